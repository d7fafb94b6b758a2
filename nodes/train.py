"""AdversarialEraseTrain: erase a concept from the MODEL that is wired in, in process."""

import comfy.sd
from comfy_api.latest import io

from ..erasure.config import Concept, EraseConfig
from ..erasure.errors import ErasureError
from ..erasure.hosts.comfy import ComfyDenoiser
from ..erasure.hosts.demo import DemoDenoiser
from ..erasure.recipes import RECIPES, configure, find_recipe
from .common import CATEGORY, AdvancedSocket, ConceptSpaceSocket, ErasedLora, draft_error, errors_name_widgets, lines, text_lines, widget
from .session import Session


def _zero(name: str) -> str:
    """What 0 stands for in the widget of a setting."""
    general, demo, style = (f"{v:g}" for v in (getattr(EraseConfig, name), DemoDenoiser.defaults[name], DemoDenoiser.style_defaults[name]))
    return f"0 takes what suits the model: {general} (the demo model {demo}, its styles {style})."


def concepts_from(concept: str, replace_with: str, exclude: tuple[str, ...] = ()) -> tuple[Concept, ...]:
    """One concept a line; one target for all, or one for each in the same order."""
    names, targets = text_lines(concept), lines(replace_with)
    if len(targets) > 1 and len(targets) != len(names):
        raise ErasureError("replace_with", f"{len(targets)} replacements for {len(names)} concepts", "Give one for all, or one for each, separated by commas in the same order.")
    targets = targets * len(names) if len(targets) == 1 else targets or ("",) * len(names)
    return tuple(Concept(name, target, exclude) for name, target in zip(names, targets))


class AdversarialEraseTrain(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="AdversarialEraseTrain",
            display_name="Adversarial Erase Train",
            category=CATEGORY,
            description="Removes concepts from the model that is wired in and gives an ordinary LoRA that erases. While it trains it looks for the concepts it harms most and protects them.",
            inputs=[
                io.Model.Input("model", tooltip="The model to edit, as it is: its weights, number format and loaded LoRAs."),
                io.Clip.Input("clip", tooltip="The model's text encoder."),
                ConceptSpaceSocket.Input("concept_space", optional=True, tooltip="What must survive. Without it: the vocabulary that suits the model."),
                io.Vae.Input("vae", optional=True, tooltip="For sharp previews. Without it previews are rough."),
                AdvancedSocket.Input("advanced", optional=True, tooltip="From Erase Advanced Settings."),
                io.String.Input("concept", multiline=True, default="", tooltip="What to erase, one concept a line: 'fuel pump', 'ink style'."),
                io.String.Input("replace_with", default="", tooltip="What it becomes; empty: nothing in particular. One for all concepts, or several separated by commas in the same order."),
                io.Combo.Input("recipe", options=list(RECIPES), default="ap-ranked", tooltip="; ".join(f"{r.name}: {r.summary.rstrip('.')}" for r in RECIPES.values()) + "."),
                io.Int.Input("steps", default=0, min=0, max=100_000, tooltip=f"Weight updates. {_zero('steps')}"),
                widget("preserve_strength", default=0.0, more=f"{_zero('preserve_strength')} To preserve nothing, choose the recipe esd."),
                widget("rank"),
                widget("seed", id="erase_seed", min=0, max=2**53, control_after_generate=False),
                io.Int.Input("preview_every", default=50, min=0, max=10_000, tooltip="Updates between two preview pictures; 0 draws none while training."),
            ],
            outputs=[
                io.LoraModel.Output(display_name="lora", tooltip="The eraser. Save it with Save Erased LoRA, or with core's Save LoRA."),
                io.Model.Output(display_name="erased_model", tooltip="The model with the eraser loaded at strength 1."),
                io.LossMap.Output(display_name="history", tooltip="The loss of every update, for core's loss graph; with the full report inside."),
                io.Image.Output(display_name="preview", tooltip="The erased concept at the same seed, from before to the end."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, concept, replace_with, recipe, steps, preserve_strength, rank, erase_seed, preview_every):
        try:
            find_recipe(recipe)
            concepts = concepts_from(concept, replace_with or "") if concept is not None else (Concept("anything"),)
        except ErasureError as error:
            return str(error)
        given = {"preserve_strength": preserve_strength or None, "rank": rank, "seed": erase_seed, "steps": steps or None}
        if preview_every is not None and not 0 <= preview_every <= 10_000:
            return f"preview_every: {preview_every} is out of range. Use 0 to 10000."
        return draft_error(concepts=concepts, **{k: v for k, v in given.items() if v is not None}) or True

    @classmethod
    def execute(cls, model, clip, concept, replace_with, recipe, steps, preserve_strength, rank, erase_seed, preview_every, concept_space=None, vae=None, advanced=None):
        settings = dict(advanced or {})
        side = settings.pop("training_side", 0)
        settings |= {"rank": rank, "seed": erase_seed} | {k: v for k, v in (("steps", steps), ("preserve_strength", preserve_strength)) if v}
        exclude = ()
        if concept_space is not None:
            settings |= concept_space.settings | {"preserve": concept_space.protect}
            exclude = concept_space.exclude
        with ComfyDenoiser(model, clip, vae, side) as denoiser, errors_name_widgets():
            config = configure(denoiser, recipe, concepts_from(concept, replace_with, exclude), **settings)
            session = Session(denoiser, config, concept_space.space if concept_space else None, preview_every, cls.hidden.unique_id)
            result, frames = session.run()
        lora = ErasedLora(result.adapter)
        erased, _ = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)
        return io.NodeOutput(lora, erased, {"loss": [r["loss"] for r in result.history], "report": result.report}, frames)
