"""BeforeAfter: two batches of pictures side by side."""

import torch
from comfy_api.latest import io, ui

from ..erasure.errors import ErasureError
from ..erasure.pictures import Row, draw_grid
from .common import CATEGORY, lines, text_lines


class BeforeAfter(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BeforeAfter",
            display_name="Before / After",
            category=CATEGORY,
            description="Compares two batches of pictures drawn with the same seeds, and makes a labelled grid to share.",
            is_output_node=True,
            inputs=[
                io.Image.Input("before", tooltip="Pictures of the model as it was."),
                io.Image.Input("after", tooltip="Pictures of the edited model, same prompts and seeds, same order."),
                io.String.Input("labels", multiline=True, default="", tooltip="One label a row, one a line. Pictures are shared out over the rows in order."),
                io.String.Input("title", default="", tooltip="Written above the grid."),
                io.Image.Input("more", optional=True, tooltip="Further batches of the same pictures, one after the other: other strengths, other erasers."),
                io.String.Input("columns", default="", optional=True, tooltip="Names of the batches, separated by commas: '0, 0.5, 1, 1.5' for a ladder of strengths. Empty: before, after."),
            ],
            outputs=[io.Image.Output(display_name="grid", tooltip="The labelled grid as one picture.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def execute(cls, before, after, labels, title, more=None, columns=""):
        batches = _batches(before, after, more)
        heads, names = _heads(columns, len(batches)), text_lines(labels) or ("",)
        if before.shape[0] % len(names):
            raise ErasureError("labels", f"{len(names)} labels for {before.shape[0]} pictures", "Give one label for each row of equally many pictures.")
        parts = [t.movedim(-1, 1).unflatten(0, (len(names), -1)) for t in batches]
        rows = [Row(name, [list(part[i]) for part in parts]) for i, name in enumerate(names)]
        grid = draw_grid(title, heads, rows)
        shown = {f"{letter}_images": ui.PreviewImage(batch, cls=cls).as_dict()["images"] for letter, batch in zip("abcdefgh", batches)}
        return io.NodeOutput(image_tensor(grid), ui={**shown, "columns": heads, "labels": list(names), "title": (title,)})


def _batches(before: torch.Tensor, after: torch.Tensor, more: torch.Tensor | None) -> list[torch.Tensor]:
    """Equally large batches (B, H, W, 3): before, after, and those joined in `more`."""
    count = before.shape[0]
    if count != after.shape[0]:
        raise ErasureError("after", f"{after.shape[0]} pictures against {count} before", "Use the same prompts and seeds on both sides.")
    if more is None:
        return [before, after]
    if more.shape[0] % count or more.shape[0] > 6 * count:
        raise ErasureError("more", f"{more.shape[0]} pictures do not make whole batches of {count}, at most six", "Join batches of the same prompts and seeds with Batch Images.")
    return [before, after, *more.split(count)]


def _heads(columns: str, count: int) -> list[str]:
    heads = list(lines(columns)) or ["before", "after", *(f"after {i}" for i in range(2, count))]
    if len(heads) != count:
        raise ErasureError("columns", f"{len(heads)} names for {count} batches", "Name each batch once, separated by commas, or leave it empty.")
    return heads


def image_tensor(picture) -> torch.Tensor:
    """RGB image -> (1, H, W, 3) in 0..1."""
    import numpy as np

    return torch.from_numpy(np.asarray(picture.convert("RGB")).astype("float32") / 255)[None]
