"""BeforeAfter: two batches of pictures side by side."""

import torch
from comfy_api.latest import io, ui

from ..erasure.errors import ErasureError
from ..erasure.pictures import Row, draw_grid
from .common import CATEGORY, lines


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
            ],
            outputs=[io.Image.Output(display_name="grid", tooltip="The labelled grid as one picture.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def execute(cls, before, after, labels, title):
        if before.shape[0] != after.shape[0]:
            raise ErasureError("after", f"{after.shape[0]} pictures against {before.shape[0]} before", "Use the same prompts and seeds on both sides.")
        names = lines(labels) or ("",)
        if before.shape[0] % len(names):
            raise ErasureError("labels", f"{len(names)} labels for {before.shape[0]} pictures", "Give one label for each row of equally many pictures.")
        pairs = [t.movedim(-1, 1).unflatten(0, (len(names), -1)) for t in (before, after)]
        rows = [Row(name, [list(pair[i]) for pair in pairs]) for i, name in enumerate(names)]
        grid = draw_grid(title, ["before", "after"], rows)
        sides = {f"{side}_images": ui.PreviewImage(batch, cls=cls).as_dict()["images"] for side, batch in (("a", before), ("b", after))}
        return io.NodeOutput(image_tensor(grid), ui=sides)


def image_tensor(picture) -> torch.Tensor:
    """RGB image -> (1, H, W, 3) in 0..1."""
    import numpy as np

    return torch.from_numpy(np.asarray(picture.convert("RGB")).astype("float32") / 255)[None]
