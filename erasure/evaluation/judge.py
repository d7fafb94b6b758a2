"""The judge of the embedded model: a small classifier of concepts, styles and backgrounds, trained on real renders only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 64
_WIDTHS = (32, 64, 128, 192)


@dataclass(frozen=True)
class JudgeScores:
    """Probabilities per picture: concept_probs (B, Nc) and style_probs (B, Ns), with the names of the columns."""

    concept_probs: Tensor
    style_probs: Tensor
    concepts: tuple[str, ...]
    styles: tuple[str, ...]


class _Block(nn.Module):
    """Halves the size: two convolutions with batch norm and a pooled shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(F.avg_pool2d(x, 2)))


class Judge(nn.Module):
    """Reads pictures (B, 3, H, W) in 0..1 of any size; they are brought to 64 px first."""

    def __init__(self, concepts: list[str], styles: list[str], backgrounds: list[str]):
        super().__init__()
        self.concepts, self.styles, self.backgrounds = tuple(concepts), tuple(styles), tuple(backgrounds)
        self.stem = nn.Sequential(nn.Conv2d(3, _WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(_WIDTHS[0]), nn.ReLU())
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip(_WIDTHS, _WIDTHS[1:])))
        texture = 2 * _WIDTHS[1]
        self.heads = nn.ModuleDict({
            "concept": nn.Linear(_WIDTHS[-1], len(concepts)),
            "style": nn.Linear(_WIDTHS[-1] + texture, len(styles)),
            "background": nn.Linear(_WIDTHS[-1], len(backgrounds)),
        })

    @classmethod
    def load(cls, folder: str | Path, device="cpu") -> Judge:
        """Load from config.json and model.safetensors."""
        folder = Path(folder)
        judge = cls(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
        judge.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(folder / "model.safetensors").items()})
        return judge.to(device).eval()

    def features(self, images: Tensor) -> Tensor:
        """(B, 192) pooled features, for perceptual distances."""
        return self._pooled(images)[0]

    def _pooled(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(features (B, 192), texture (B, 128)): texture is mean and spread of the early maps, where a style shows."""
        if images.shape[-1] != SIZE or images.shape[-2] != SIZE:
            images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True)
        early = self.blocks[0](self.stem(images * 2 - 1))
        late = self.blocks[1:](early)
        return late.mean((2, 3)), torch.cat([early.mean((2, 3)), early.float().std((2, 3)).to(early.dtype)], 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits by head: "concept" (B, Nc), "style" (B, Ns), "background" (B, Nb)."""
        features, texture = self._pooled(images)
        inputs = {"concept": features, "style": torch.cat([features, texture], 1), "background": features}
        return {name: head(inputs[name]) for name, head in self.heads.items()}

    @torch.no_grad()
    def classify(self, images: Tensor) -> JudgeScores:
        """Probabilities, on the CPU."""
        logits = self(images.to(next(self.parameters()).device))
        return JudgeScores(logits["concept"].softmax(1).cpu(), logits["style"].softmax(1).cpu(), self.concepts, self.styles)
