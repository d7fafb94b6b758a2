"""A single-file Stable Diffusion checkpoint by itself: its family, told by the header alone, and what it does not hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open

from ..errors import ErasureError

_PICKLE_SUFFIXES = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}
LAYOUTS = Path(__file__).parent / "layouts"
_START, _END = "<|startoftext|>", "<|endoftext|>"
_REMEDY = "Use a whole checkpoint with the original key names, or pass --model-config with a diffusers folder that holds its configuration."


class Family(NamedTuple):
    """What tells a family from all others, and what its tokenizers pad with (OpenCLIP: token 0)."""

    text_encoder_key: str
    unet_parameters: int  # as published; an inpainting model, a refiner or a distilled model has another number
    pads: dict[str, str]


FAMILIES = {
    "sd1": Family("cond_stage_model.transformer.text_model.embeddings.position_embedding.weight", 859_520_964, {"tokenizer": _END}),
    "sd2": Family("cond_stage_model.model.token_embedding.weight", 865_910_724, {"tokenizer": "!"}),
    "sdxl": Family("conditioner.embedders.1.model.positional_embedding", 2_567_463_684, {"tokenizer": _END, "tokenizer_2": "!"}),
}


class Layout(NamedTuple):
    """How to read a checkpoint: the diffusers folder that describes it, and what stands elsewhere.

    Args:
        pads: tokenizers to build, with what they pad with.
        scheduler: where the checkpoint's noise schedule differs from the folder's.
    """

    folder: Path
    pads: dict[str, str]
    scheduler: dict[str, object]

    def components(self) -> dict[str, object]:
        """Tokenizers and scheduler that replace the folder's, as diffusers' `from_single_file` takes them."""
        from diffusers import DDIMScheduler

        parts = {name: clip_tokenizer(pad) for name, pad in self.pads.items()}
        if self.scheduler:
            parts["scheduler"] = DDIMScheduler.from_pretrained(self.folder, subfolder="scheduler", **self.scheduler)
        return parts


def find_layout(path: Path, config: str | Path | None = None) -> Layout:
    """The layout a checkpoint asks for; reads no weights.

    Args:
        config: what to read it by, whatever it seems to be: a diffusers folder, or the name of a shipped layout.

    Raises:
        ErasureError: not a safetensors file, or not a whole Stable Diffusion 1.x, 2.x or XL checkpoint.
    """
    if path.suffix in _PICKLE_SUFFIXES:
        raise ErasureError("model", f"'{path.name}' is a pickled checkpoint, which can run code when it loads", "Convert it to .safetensors.")
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
            metadata = file.metadata() or {}
    except Exception as error:
        raise ErasureError("model", f"'{path.name}' is not a safetensors file", "Use a .safetensors checkpoint.") from error
    if config is None:
        return layout_of(path.name, shapes, metadata)
    if str(config) in ("sd1", "sd2", "sd2-v", "sdxl"):
        return Layout(LAYOUTS / config, FAMILIES[str(config).removesuffix("-v")].pads, {})
    return Layout(Path(config), {}, {})


def layout_of(name: str, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> Layout:
    """The layout for a header.

    Raises:
        ErasureError: see `find_layout`; `name` is what the error calls the file.
    """
    family = next((f for f, facts in FAMILIES.items() if facts.text_encoder_key in shapes), None)
    problem = _missing(shapes, family) or _misfit(shapes, family)
    if problem:
        raise ErasureError("model", f"'{name}' is not a Stable Diffusion 1.x, 2.x or XL checkpoint: {problem}", _REMEDY)
    prediction = _stated_prediction(shapes, metadata) or ("v_prediction" if family == "sd2" else "epsilon")
    folder = "sd2-v" if (family, prediction) == ("sd2", "v_prediction") else family
    zero_snr = prediction == "v_prediction" and "ztsnr" in shapes  # ComfyUI's mark again
    return Layout(LAYOUTS / folder, FAMILIES[family].pads, {"prediction_type": prediction, "rescale_betas_zero_snr": zero_snr})


def _missing(shapes: dict[str, tuple[int, ...]], family: str | None) -> str:
    has = {
        "UNet": any(key.startswith("model.diffusion_model.") for key in shapes),
        "text encoder": family is not None,
        "autoencoder": any(key.startswith("first_stage_model.decoder.") for key in shapes),
    }
    absent = [part for part, there in has.items() if not there]
    return f"it has no {' and no '.join(absent)} of theirs" if absent else ""


def _misfit(shapes: dict[str, tuple[int, ...]], family: str) -> str:
    if "edm_mean" in shapes or "edm_vpred.sigma_max" in shapes:
        return "it was trained in the EDM parametrisation"
    found = sum(math.prod(shape) for key, shape in shapes.items() if key.startswith("model.diffusion_model."))
    expected = FAMILIES[family].unet_parameters
    return "" if found == expected else f"its UNet has {found:,} parameters instead of {expected:,} (inpainting, depth or distilled?)"


def _stated_prediction(shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> str | None:
    """'epsilon', 'v_prediction', or None where the file does not say."""
    if "v_pred" in shapes:  # ComfyUI's mark: an empty tensor
        return "v_prediction"
    for key in ("modelspec.prediction_type", "modelspec.predict_key", "modelspec.prediction_key", "prediction_type"):
        stated = metadata.get(key, "").lower()
        if stated.startswith(("v", "eps")):
            return "v_prediction" if stated.startswith("v") else "epsilon"
    architecture = metadata.get("modelspec.architecture", "")
    return "v_prediction" if "768-v" in architecture else "epsilon" if "v2-512" in architecture else None


def clip_tokenizer(pad: str):
    """The tokenizer of OpenAI's CLIP, 77 tokens long; its 49,408 tokens follow from the merges.

    Args:
        pad: the token it pads with.
    """
    from transformers import CLIPTokenizer

    text = (LAYOUTS / "merges.txt").read_text(encoding="utf-8")
    merges = [tuple(line.split(" ")) for line in text.split("\n")[1:-1]]
    letters = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 324))]  # CLIP's names of the 256 bytes
    tokens = [*letters, *(c + "</w>" for c in letters), *map("".join, merges), _START, _END]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, pad_token=pad, model_max_length=77)
