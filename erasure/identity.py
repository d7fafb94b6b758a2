"""What identifies a run and its base model, and the checks that need the model but no training."""

from __future__ import annotations

import hashlib
import json

from .concepts import ConceptSpace, exclusions, load_vocabulary
from .config import EraseConfig
from .denoiser import Denoiser
from .errors import ErasureError
from .version import __version__

_FOREIGN = 0.1  # relative difference of encodings; number formats make less than a hundredth


def base_facts(denoiser: Denoiser) -> dict:
    """What an adapter remembers of the model it was trained on."""
    return {
        "name": denoiser.name, "architecture": denoiser.architecture, "version": denoiser.base_version,
        "resolution": list(denoiser.resolution), "hash": denoiser.base_hash(), "fingerprint": denoiser.fingerprint(),
    }


def run_identity(denoiser: Denoiser, config: EraseConfig, space: ConceptSpace | None = None) -> str:
    """Two runs with the same identity on the same machine give the same bytes: settings, weights, how they are used, words, number format."""
    model = [denoiser.base_hash(), denoiser.architecture, denoiser.prediction_type, denoiser.latent_shape, str(denoiser.device), str(denoiser.dtype)]
    digest = hashlib.sha256(json.dumps([config.identity(), model, __version__], sort_keys=True).encode())
    digest.update(denoiser.sigmas.numpy().tobytes())
    if config.preservation != "none":
        words = space.words if space else [w.text for w in load_vocabulary(config.vocabulary, denoiser)]
        digest.update("\n".join(words).encode())
    digest.update(denoiser.encode(["a photo of a cat"]).flat().cpu().numpy().tobytes())
    return digest.hexdigest()


def check_space(denoiser: Denoiser, space: ConceptSpace) -> None:
    """Refuse candidates that another text encoder has encoded."""
    mine, theirs = denoiser.encode([space.words[0]]).to("cpu").tensors, space.cond[0].tensors
    if {k: t.shape for k, t in mine.items()} != {k: t.shape for k, t in theirs.items()} or any(
        (mine[k].float() - theirs[k].float()).norm() > _FOREIGN * mine[k].float().norm() for k in mine
    ):
        raise ErasureError("concept_space", "its words were encoded by another text encoder", "Give Load Concept Space the CLIP of this model.")


def check_preserve(denoiser: Denoiser, config: EraseConfig) -> None:
    """Refuse words to protect that are being erased, or that this preservation would ignore."""
    hit = exclusions(denoiser, config.preserve, [c.name for c in config.concepts])
    if hit:
        word, reason = next(iter(hit.items()))
        raise ErasureError("preserve", f"'{word}' cannot be protected: {reason}", "Remove it from the protected words.")
    if config.preserve and config.preservation in ("none", "pgd"):
        raise ErasureError("preserve", f"the recipe '{config.recipe}' preserves no words", "Use another recipe, ap-ranked for example.")
