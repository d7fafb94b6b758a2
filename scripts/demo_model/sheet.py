"""Contact sheets: a labelled grid of pictures as a PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """(B, 3, H, W) in 0..1 to (B, H, W, 3) in uint8."""
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def write_sheet(path: Path, rows: list[np.ndarray], labels: list[str], cell: int = 128, columns: int = 1) -> None:
    """Each row is (N, H, W, 3) uint8 with a label on its left; `columns` such rows stand beside each other."""
    margin, per_row = 110, max(len(row) for row in rows)
    width = (margin + per_row * cell) * columns
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (width, lines * cell), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (row, label) in enumerate(zip(rows, labels)):
        left, top = (index // lines) * (margin + per_row * cell), (index % lines) * cell
        pen.text((left + 4, top + cell // 2 - 6), label[:20], fill="black")
        for column, picture in enumerate(row):
            image = Image.fromarray(picture)
            image = image if image.size == (cell, cell) else image.resize((cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(image, (left + margin + column * cell, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
