"""What identifies a run and its base model, and the checks that need the model but no training."""

from __future__ import annotations

import hashlib
import json

from .concepts import ConceptSpace, exclusions, load_vocabulary
from .config import EraseConfig
from .denoiser import Denoiser
from .errors import ErasureError
from .version import __version__


def base_facts(denoiser: Denoiser) -> dict:
    """What an adapter remembers of the model it was trained on."""
    return {
        "name": denoiser.name, "architecture": denoiser.architecture, "version": denoiser.base_version,
        "resolution": list(denoiser.resolution), "hash": denoiser.base_hash(), "fingerprint": denoiser.fingerprint(),
    }


def run_identity(denoiser: Denoiser, config: EraseConfig, space: ConceptSpace | None = None) -> str:
    """Two runs with the same identity on the same machine give the same bytes: settings, weights, words, number format."""
    digest = hashlib.sha256(json.dumps([config.identity(), denoiser.base_hash(), __version__, str(denoiser.device), str(denoiser.dtype)], sort_keys=True).encode())
    if config.preservation != "none":
        words = space.words if space else [w.text for w in load_vocabulary(config.vocabulary, denoiser)]
        digest.update("\n".join(words).encode())
    digest.update(denoiser.encode(["a photo of a cat"]).flat().cpu().numpy().tobytes())
    return digest.hexdigest()


def check_preserve(denoiser: Denoiser, config: EraseConfig) -> None:
    """Refuse words to protect that are being erased, or that this preservation would ignore."""
    hit = exclusions(denoiser, config.preserve, [c.name for c in config.concepts])
    if hit:
        word, reason = next(iter(hit.items()))
        raise ErasureError("preserve", f"'{word}' cannot be protected: {reason}", "Remove it from the protected words.")
    if config.preserve and config.preservation in ("none", "pgd"):
        raise ErasureError("preserve", f"the recipe '{config.recipe}' preserves no words", "Use another recipe, ap-ranked for example.")
