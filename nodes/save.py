"""SaveErasedLoRA: the eraser as a file other people can use."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..erasure.adapter import save_adapter
from ..erasure.errors import ErasureError
from ..erasure.files import check_writable, write_atomic
from ..erasure.pictures import thumbnail
from ..erasure.pictures.grid import png_bytes, to_image
from .common import CATEGORY, adapter_of, check_choice, confined

PLACES = ("output/loras", "models/loras")


def folder_of(place: str) -> Path:
    check_choice("place", place, PLACES)
    return Path(folder_paths.get_output_directory()) / "loras" if place == PLACES[0] else Path(folder_paths.get_folder_paths("loras")[0])


class SaveErasedLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SaveErasedLoRA",
            display_name="Save Erased LoRA",
            category=CATEGORY,
            description="Writes the eraser as an ordinary LoRA file: it loads in stock ComfyUI, A1111, Forge and diffusers. What it erases stands in its metadata, with a before/after thumbnail.",
            is_output_node=True,
            inputs=[
                io.LoraModel.Input("lora", tooltip="The eraser from training."),
                io.Image.Input("before", optional=True, tooltip="A picture of the concept before, for the thumbnail."),
                io.Image.Input("after", optional=True, tooltip="The same picture after."),
                io.String.Input("name", default="my eraser", tooltip="File name without ending; 'erasers/fuel pump' makes a subfolder. An existing file is never overwritten."),
                io.Combo.Input("place", options=list(PLACES), default=PLACES[0], tooltip="Both are found by the LoRA loaders."),
                io.String.Input("author", default="", tooltip="Written into the file."),
                io.String.Input("notes", multiline=True, default="", tooltip="Written into the file: what it is for, a licence."),
            ],
            outputs=[io.String.Output(display_name="lora_name", tooltip="The name under which LoRA loaders list it.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def validate_inputs(cls, name, place):
        try:
            if name is not None:
                confined("name", folder_of(place), name, ".safetensors")
        except ErasureError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, lora, name, place, author, notes, before=None, after=None):
        folder = folder_of(place)
        path = _free(check_writable("name", confined("name", folder, name, ".safetensors"), (".safetensors",)))
        pair = [t[i].movedim(-1, 0) for t, i in ((before, 0), (after, -1)) if t is not None]
        small = thumbnail(*pair) if len(pair) == 2 else None
        save_adapter(adapter_of(lora), path, author=author, notes=notes, thumbnail=small)
        if pair:
            write_atomic(path.with_suffix(".preview.png"), png_bytes(to_image(pair[-1]) if small is None else _side_by_side(*pair)))
        shown = ui.PreviewImage(after if after is not None else before, cls=cls).as_dict() if pair else {}
        listed = str(path.relative_to(folder))
        return io.NodeOutput(listed, ui={**shown, "text": (f"saved {place}/{listed}",)})


def _side_by_side(before, after):
    import torch

    return to_image(torch.cat([before, after], 2))


def _free(path: Path) -> Path:
    """`path`, or the first `name 2`, `name 3` ... that does not exist yet."""
    found, number = path, 2
    while found.exists():
        found, number = path.with_name(f"{path.stem} {number}{path.suffix}"), number + 1
    return found
