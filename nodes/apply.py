"""ApplyErasedLoRA: load an eraser, check that it fits, say what it does."""

import os

import comfy.sd
import folder_paths
from comfy_api.latest import io

from ..erasure.adapter import ErasureAdapter, load_adapter
from ..erasure.errors import ErasureError, printable
from ..erasure.hosts.comfy import ComfyDenoiser
from .common import CATEGORY, ErasedLora, adapter_of

WIRED = "(the wired LoRA)"


def choices() -> list[str]:
    return [WIRED, *(name for name in folder_paths.get_filename_list("loras") if name.lower().endswith(".safetensors"))]


class ApplyErasedLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ApplyErasedLoRA",
            display_name="Apply Erased LoRA",
            category=CATEGORY,
            description="Loads an eraser into a model. Several in a row add up. Warns when it was made for another model or has no effect.",
            inputs=[
                io.Model.Input("model", tooltip="The model to erase from."),
                io.Clip.Input("clip", optional=True, tooltip="Passed through; erasers of this pack leave the text encoder alone."),
                io.LoraModel.Input("lora", optional=True, tooltip="An eraser straight from training; counts while '(the wired LoRA)' is chosen below."),
                io.Combo.Input("lora_name", options=choices(), default=WIRED, tooltip="A file from the loras folder, or the wired one."),
                io.Float.Input("strength", default=1.0, min=-10.0, max=10.0, step=0.05, tooltip="1 erases as trained, 0 does nothing. Still visible: try 1.2 to 1.5, or train longer; others change: 0.6 to 0.8. Below zero brings out what was erased."),
            ],
            outputs=[
                io.Model.Output(display_name="model"),
                io.Clip.Output(display_name="clip"),
                io.String.Output(display_name="card", tooltip="What it erases, how it was made, and warnings."),
            ],
        )

    @classmethod
    def validate_inputs(cls, lora_name, strength):
        if lora_name not in choices():
            return f"lora_name: '{lora_name}' is not in the loras folder. Refresh the list, or choose another file."
        if strength is not None and not -10 <= strength <= 10:
            return f"strength: {strength} is out of range. Use -10 to 10."
        return True

    @classmethod
    def fingerprint_inputs(cls, lora_name, **_):
        if lora_name == WIRED or lora_name not in choices():
            return ""
        path = folder_paths.get_full_path_or_raise("loras", lora_name)
        stat = os.stat(path)
        return f"{stat.st_mtime_ns}-{stat.st_size}"

    @classmethod
    def execute(cls, model, lora_name, strength, clip=None, lora=None):
        adapter = _adapter(lora_name, lora)
        loaded = ErasedLora(adapter)
        erased, new_clip = comfy.sd.load_lora_for_models(model, clip, loaded, strength, strength)
        unused = ["Warning: the wired LoRA is not used, since a file is chosen."] if lora is not None and lora_name != WIRED else []
        card = "\n".join([*describe(adapter), *unused, *_warnings(model, adapter, erased, strength)])
        return io.NodeOutput(erased, new_clip, card, ui={"text": (card,)})


def _adapter(lora_name: str, lora: dict | None) -> ErasureAdapter:
    if lora_name == WIRED:
        if lora is None:
            raise ErasureError("lora", "nothing is wired in", "Connect a LORA_MODEL, or choose a file.")
        return adapter_of(lora)
    if lora_name not in choices():
        raise ErasureError("lora_name", f"'{lora_name}' is not in the loras folder", "Choose one of the files in the list.")
    return load_adapter(folder_paths.get_full_path_or_raise("loras", lora_name))


def describe(adapter: ErasureAdapter) -> list[str]:
    """The card of an adapter as lines of plain text; everything in it comes from a file and is not trusted."""
    card = adapter.card
    if not card.get("concepts"):
        return ["An ordinary LoRA: it does not say that it erases anything."]
    erases = ", ".join(c["name"] + (f" -> {c['target']}" if c["target"] else "") for c in card["concepts"])
    rows = [f"Erases: {erases}", f"Recipe: {card.get('recipe', '?')}, {card.get('steps_done', '?')} updates, rank {adapter.rank}",
            f"Made for: {card.get('base', {}).get('name', '?')} ({card.get('base', {}).get('architecture', '?')})"]
    if card.get("preserved"):
        rows.append(f"Protected: {', '.join(card['preserved'][:8])}")
    return [printable(row)[:400] for row in rows]


def _warnings(model, adapter: ErasureAdapter, erased, strength: float) -> list[str]:
    patched = {key for key in erased.patches if len(erased.patches[key]) > len(model.patches.get(key, ()))}
    if not patched:
        raise ErasureError("lora_name", "none of its layers are in this model", f"It was made for {adapter.card.get('base', {}).get('architecture', 'another architecture')}; load it there.")
    found = []
    if len(patched) < len(adapter.layers):
        found.append(f"Warning: only {len(patched)} of {len(adapter.layers)} layers fit this model.")
    if strength == 0 or not any(f.up.any() for f in adapter.layers.values()):
        found.append("Warning: no effect, the strength or all its weights are zero.")
    base = adapter.base_mismatch(ComfyDenoiser.for_weights(model)) if adapter.card.get("base") else None
    if base:
        found.append(f"Warning: {base}; the erasure may be weaker or cost more here.")
    return found
