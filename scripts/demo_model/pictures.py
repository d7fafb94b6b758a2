"""Training pictures: renders laid on a background colour, moved a little, as float batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from catalogue import BACKGROUNDS, STYLES

INK = list(STYLES).index("ink")
BLACK = list(BACKGROUNDS).index("black")


class Pictures:
    """All renders in memory, at 128 px or a fraction of it. Indices: concept, style, background."""

    def __init__(self, work_dir: Path, shrink: int = 1):
        rgba = torch.from_numpy(np.load(work_dir / "renders.npy")).permute(0, 1, 4, 2, 3).float() / 255
        rgba[:, :, :3] *= rgba[:, :, 3:]  # premultiplied, so that shrinking and blending are linear
        if shrink > 1:
            rgba = F.avg_pool2d(rgba.flatten(0, 1), shrink).unflatten(0, rgba.shape[:2])
        self.renders = (rgba * 255).round().byte()  # (concepts, styles, 4, H, W)
        self.colours = torch.tensor(list(BACKGROUNDS.values()), dtype=torch.float32) / 255
        self.concepts, self.styles = self.renders.shape[:2]

    def draw_labels(self, count: int, gen: torch.Generator) -> Tensor:
        """(count, 3) random concept, style and background; black ink is never laid on black."""
        limits = (self.concepts, self.styles, len(self.colours))
        labels = torch.stack([torch.randint(n, (count,), generator=gen) for n in limits], 1)
        return self.legal(labels)

    @staticmethod
    def legal(labels: Tensor) -> Tensor:
        invisible = (labels[:, 1] == INK) & (labels[:, 2] == BLACK)
        labels[invisible, 2] = 0
        return labels

    def compose(self, labels: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 for labels (B, 3)."""
        rgba = self.renders[labels[:, 0], labels[:, 1]].float() / 255
        return rgba[:, :3] + self.colours[labels[:, 2]][:, :, None, None] * (1 - rgba[:, 3:])

    def moved(self, labels: Tensor, gen: torch.Generator, shift: float = 0.06, scale: float = 0.08, turn: float = 0.0) -> Tensor:
        """`compose`, then shifted, scaled, turned and mirrored at random; the border continues the background."""
        images = self.compose(labels)
        n = len(images)
        uniform = lambda spread: (torch.rand(n, generator=gen) * 2 - 1) * spread
        size, angle, flip = 1 + uniform(scale), uniform(turn), torch.where(torch.rand(n, generator=gen) < 0.5, -1.0, 1.0)
        rows = torch.stack([flip * size * angle.cos(), -size * angle.sin(), uniform(shift), flip * size * angle.sin(), size * angle.cos(), uniform(shift)], 1)
        grid = F.affine_grid(rows.view(n, 2, 3), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
