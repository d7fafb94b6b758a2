"""Labelled same-seed comparison grids, readable at node size."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_INK, _MUTED, _PAPER = (24, 26, 31), (110, 116, 128), (255, 255, 255)
_RED, _GREEN = (196, 43, 43), (22, 122, 74)
_GAP, _MARGIN, _CELL = 6, 18, 168


@dataclass(frozen=True)
class Row:
    """One prompt: its label, whether it is erased (red), to keep (green) or neither, and its pictures.

    `cells[column]` holds the images of that column, one per seed, each (3, H, W) in 0..1.
    """

    label: str
    cells: Sequence[Sequence[Tensor]]
    role: str = ""


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in 0..1 -> RGB image."""
    array = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array, "RGB")


def draw_grid(title: str, columns: Sequence[str], rows: Sequence[Row], note: str = "") -> Image.Image:
    """Grid with a title, one headed column per strength and one labelled row per prompt."""
    seeds = max(len(cell) for row in rows for cell in row.cells)
    cell = _CELL if seeds * len(columns) <= 6 else 112
    block = seeds * cell + (seeds - 1) * _GAP
    label_width, header = 190, 84 if title else 44
    width = _MARGIN * 2 + label_width + len(columns) * block + (len(columns) - 1) * _GAP * 3
    height = header + len(rows) * (cell + _GAP) + _MARGIN + (26 if note else 0)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((_MARGIN, 16), title, _INK, _font(24))
    lefts = [_MARGIN + label_width + i * (block + _GAP * 3) for i in range(len(columns))]
    for left, name in zip(lefts, columns):
        draw.text((left + block / 2, header - 22), name, _INK, _font(17), anchor="mm")
    for r, row in enumerate(rows):
        top = header + r * (cell + _GAP)
        _draw_label(draw, row, top, cell, label_width)
        for left, pictures in zip(lefts, row.cells):
            for s, picture in enumerate(pictures):
                sheet.paste(to_image(picture).resize((cell, cell), Image.LANCZOS), (left + s * (cell + _GAP), top))
    if note:
        draw.text((_MARGIN, height - 30), note, _MUTED, _font(14))
    return sheet


def _draw_label(draw: ImageDraw.ImageDraw, row: Row, top: int, cell: int, width: int) -> None:
    lines = textwrap.wrap(row.label or '"" (empty)', 17)[:4]
    colour = {"erased": _RED, "to keep": _GREEN}.get(row.role, _MUTED)
    y = top + cell / 2 - (len(lines) * 22 + (18 if row.role else 0)) / 2
    for line in lines:
        draw.text((_MARGIN, y), line, _INK, _font(17))
        y += 22
    if row.role:
        draw.text((_MARGIN, y), row.role, colour, _font(14))


def thumbnail(before: Tensor, after: Tensor, size: int = 256) -> bytes:
    """JPEG bytes of a before | after picture, left and right half side by side, at most `size` px wide."""
    half = size // 2
    sheet = Image.new("RGB", (size, half), _PAPER)
    for i, picture in enumerate((before, after)):
        sheet.paste(to_image(picture).resize((half - 1, half), Image.LANCZOS), (i * (half + 1), 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def png_bytes(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one under the other, centred."""
    width = max(p.width for p in pictures)
    sheet = Image.new("RGB", (width, sum(p.height for p in pictures)), _PAPER)
    y = 0
    for picture in pictures:
        sheet.paste(picture, ((width - picture.width) // 2, y))
        y += picture.height
    return sheet


def _font(size: int) -> ImageFont.ImageFont:
    return ImageFont.load_default(size)
