"""EraseAdvanced: every other training setting."""

from comfy_api.latest import io

from ..erasure.config import Concept, EraseConfig, field_type, fields_by_name
from .common import CATEGORY, AdvancedSocket, draft_error, text_lines, widget

# what AdversarialEraseTrain and LoadConceptSpace already ask for, and what has no meaning in a graph
_ELSEWHERE = {"vocabulary", "candidates", "centers", "preserve", "preservation", "checkpoint_every"}


def names() -> list[str]:
    return [name for name, f in fields_by_name().items() if f.metadata["advanced"] and name not in _ELSEWHERE]


class EraseAdvanced(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="EraseAdvanced",
            display_name="Erase Advanced Settings",
            category=CATEGORY,
            description="Every other setting of the training. What you leave at its default follows the model and the recipe.",
            inputs=[
                *(widget(name) for name in names()),
                io.Int.Input("training_side", default=0, min=0, max=2048, step=8, tooltip="Pixels a side of the pictures trained on; 0 takes the model's own. Smaller needs less memory."),
            ],
            outputs=[AdvancedSocket.Output(display_name="advanced")],
        )

    @classmethod
    def validate_inputs(cls, **inputs):
        settings = {k: v for k, v in _settings(inputs).items() if k != "training_side" and v is not None}
        return draft_error(concepts=(Concept("anything"),), **settings) or True

    @classmethod
    def execute(cls, **inputs):
        defaults = EraseConfig()
        changed = {k: v for k, v in _settings(inputs).items() if k == "training_side" or v != getattr(defaults, k)}
        return io.NodeOutput(changed)


def _settings(inputs: dict) -> dict:
    """Widget values as `EraseConfig` types."""
    fields = fields_by_name()
    found = {}
    for name, value in inputs.items():
        if name in fields and value is not None:
            kind = field_type(fields[name])
            value = text_lines(value) if kind is tuple else kind(value)
        found[name] = value
    return found
