"""The embedded model: a tiny Stable Diffusion 1.x layout trained on emoji artwork, shipped with the project."""

from __future__ import annotations

from pathlib import Path

from ..errors import ErasureError
from .diffusers import DiffusersDenoiser, load_pipeline

FOLDER = Path(__file__).parent.parent / "demo"
MODEL = FOLDER / "model"
JUDGE = FOLDER / "judge"

_SHOWN_ON = ("dog", "car", "house", "banana", "face", "guitar", "picture", "tree", "fish", "bus", "star", "hammer", "flower", "bird", "shoe", "ball", "castle", "key", "cake", "boat")


class DemoDenoiser(DiffusersDenoiser):
    """The embedded model as a Denoiser, with training settings that suit its size."""

    defaults = {"vocabulary": "demo", "learning_rate": 2e-3, "steps": 300, "preserve_strength": 20.0}
    style_defaults = {  # a style shows on many things, and goes less easily than an object
        "templates": ("{}", *(f"a {thing} in {{}}" for thing in _SHOWN_ON)), "negative_guidance": 2.0, "preserve_strength": 5.0, "steps": 400,
    }


def check_installed() -> None:
    """Refuse to go on without the embedded weights."""
    if not (MODEL / "model_index.json").is_file():
        raise ErasureError("model", "the embedded model is missing from this installation", "Install the project again, with its erasure/demo folder.")


def load_demo(device: str = "auto", dtype: str = "auto") -> DemoDenoiser:
    """Load the embedded model.

    Raises:
        ErasureError: its weights are missing from the installation.
    """
    check_installed()
    pipeline = load_pipeline(MODEL, device, dtype)
    if pipeline.device.type == "cpu":  # the fused attention's backward pass is slow there
        from diffusers.models.attention_processor import AttnProcessor

        pipeline.unet.set_attn_processor(AttnProcessor())
    return DemoDenoiser(pipeline, "demo")
