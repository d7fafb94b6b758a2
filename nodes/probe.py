"""SensitivityProbe: which concepts does an edit harm - or would it harm, before any training."""

import json
from contextlib import ExitStack

from comfy_api.latest import io, ui

from ..erasure.config import Concept
from ..erasure.errors import ErasureError
from ..erasure.hosts.comfy import ComfyDenoiser
from ..erasure.probe import probe
from ..erasure.recipes import configure
from ..erasure.trainer import EraseTrainer
from .before_after import image_tensor
from .common import CATEGORY, ConceptSpaceSocket, ConceptsSocket, adapter_of, stages, text_lines


class SensitivityProbe(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SensitivityProbe",
            display_name="Sensitivity Probe",
            category=CATEGORY,
            description="Measures how much every concept changes. Wire an eraser or the edited model; with neither, it tries a short erasure of 'concept' first and shows what that would harm, "
            "so that you can protect it before you train.",
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The model before the edit."),
                io.Clip.Input("clip", tooltip="Its text encoder."),
                ConceptSpaceSocket.Input("concept_space", tooltip="The concepts to measure."),
                io.Model.Input("model_after", optional=True, tooltip="The edited model."),
                io.LoraModel.Input("lora", optional=True, tooltip="An eraser from training."),
                io.String.Input("concept", multiline=True, default="", tooltip="What is or would be erased, one a line; an eraser knows it by itself."),
                io.Int.Input("latents", default=4, min=1, max=32, tooltip="Noisy pictures on which every concept is measured: more is steadier and slower."),
                io.Int.Input("top", default=20, min=1, max=60, tooltip="How many of the most harmed concepts to name."),
                io.Int.Input("trial_steps", default=40, min=5, max=500, tooltip="Updates of the trial erasure, when nothing edited is wired in."),
            ],
            outputs=[
                io.Image.Output(display_name="spectrum", tooltip="All concepts sorted by how much they change."),
                io.String.Output(display_name="ranking", tooltip="All values as JSON."),
                ConceptsSocket.Output(display_name="most_harmed", tooltip="The most harmed concepts, as a list."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def execute(cls, model, clip, concept_space, concept, latents, top, trial_steps, model_after=None, lora=None):
        names, progress = text_lines(concept), stages(cls.hidden.unique_id)
        if model_after is not None and lora is not None:
            raise ErasureError("lora", "both an edited model and an eraser are wired in", "Connect one of the two.")
        with ExitStack() as stack:
            denoiser = stack.enter_context(ComfyDenoiser(model, clip))
            if model_after is not None:
                edit = stack.enter_context(ComfyDenoiser(model_after, clip))
            else:
                edit = adapter_of(lora) if lora is not None else _trial(denoiser, names, trial_steps, progress("trial erasure"))
                names = names or tuple(c["name"] for c in edit.card.get("concepts", []))
            spectrum = probe(denoiser, edit, concept_space.space, erased=names, latents=latents, progress=progress("measuring concepts"))
        what = f"Sensitivity of {len(spectrum.kept())} concepts" + (f" to erasing {', '.join(repr(n) for n in names)}" if names else "")
        picture = image_tensor(spectrum.draw(what + (" (trial)" if model_after is None and lora is None else ""), top))
        found = spectrum.to_json()
        return io.NodeOutput(picture, json.dumps(found, indent=1, ensure_ascii=False), tuple(list(spectrum.kept())[:top]),
                             ui={**ui.PreviewImage(picture, cls=cls).as_dict(), "spectrum": (found,)})


def _trial(denoiser: ComfyDenoiser, names: tuple[str, ...], steps: int, progress):
    """A short erasure without any preservation: what it harms is what a real one would harm."""
    if not names:
        raise ErasureError("concept", "nothing edited is wired in and no concept is named", "Name what you want to erase, or connect an eraser or the edited model.")

    def show(event: dict) -> None:
        if event["event"] == "step":
            progress(event["step"] + 1, event["steps"])

    config = configure(denoiser, "esd", [Concept(name) for name in names], **{"steps": steps, "trajectories": 8})
    return EraseTrainer(denoiser, config, show).run().adapter
