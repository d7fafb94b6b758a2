"""Which concepts does an edit harm? The sensitivity of every concept of a vocabulary, sorted.

The observation behind adversarial preservation (Bui et al. 2024, fig. 2): harm is local to the erased concept's
neighbourhood and neutral prompts sit in the middle, so preserving them protects nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from torch import Tensor

from .adapter import ErasureAdapter
from .concepts import NEUTRAL_PROMPTS, ConceptSpace, build_concept_space, exclusions
from .concepts.space import Progress
from .denoiser import Cond, Denoiser
from .errors import ErasureError
from .pictures import Marked, draw_spectrum
from .sensitivity import predictions, sensitivities, shared_latents

_PAIR_BYTES = 256 << 20  # of predictions held while another model is brought in


@dataclass(frozen=True)
class Spectrum:
    """Concept -> sensitivity, most harmed first; which are erased, which mean the same (and why), which are neutral prompts."""

    values: dict[str, float]
    erased: tuple[str, ...]
    excluded: dict[str, str]
    neutral: tuple[str, ...]

    def kept(self) -> dict[str, float]:
        """The spectrum without what is erased (or means the same) and without the neutral prompts."""
        return {w: v for w, v in self.values.items() if w not in self.excluded and w not in self.neutral}

    def percentile(self, word: str) -> float:
        """Share of the concepts (0..1) that are harmed more than `word`."""
        return sum(v > self.values[word] for v in self.values.values()) / len(self.values)

    def to_json(self) -> dict:
        return {
            "erased": list(self.erased), "excluded": self.excluded, "neutral": {w: {"sensitivity": self.values[w], "share_harmed_more": round(self.percentile(w), 4)} for w in self.neutral},
            "sensitivity": self.values,
        }

    def draw(self, title: str, top: int = 20):
        """The spectrum as a picture."""
        marked = [Marked(w, self.values[w], "erased") for w in self.erased] + [Marked(w, self.values[w], "neutral") for w in self.neutral]
        return draw_spectrum(self.kept(), marked, title, top)


def probe(
    denoiser: Denoiser,
    edit: ErasureAdapter | Denoiser,
    vocabulary: str | Sequence[str] | ConceptSpace,
    *,
    erased: Sequence[str] | None = None,
    strength: float = 1.0,
    latents: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
    encoding: Progress | None = None,
) -> Spectrum:
    """Sensitivity of every concept of the vocabulary, of the erased ones and of the neutral prompts.

    Args:
        edit: an adapter, or another model to compare with.
        erased: what the edit was meant to erase (default: what the adapter says).
        latents: shared latents per concept; the cost is 2 * latents network evaluations per concept.
        progress, encoding: called with (concepts done, concepts in all) while probing and encoding; may raise to cancel.

    Raises:
        ErasureError: the adapter does not fit the model, or `latents` < 1.
    """
    if latents < 1:
        raise ErasureError("latents", f"{latents} is too few", "Use at least 1.")
    if erased is None:
        erased = [c["name"] for c in edit.card.get("concepts", [])]
    space = vocabulary if isinstance(vocabulary, ConceptSpace) else build_concept_space(denoiser, vocabulary, progress=encoding)
    extra = [w for w in dict.fromkeys((*erased, *NEUTRAL_PROMPTS)) if w not in space.words]
    words = [*space.words, *extra]
    cond = Cond.cat([space.cond, denoiser.encode(extra).to("cpu", next(iter(space.cond.tensors.values())).dtype)]) if extra else space.cond
    with ExitStack() as stack:
        shared, before, after, chunk = _sides(stack, denoiser, edit, strength, latents, seed)
        found = sensitivities(before, after, cond, shared, chunk=chunk, progress=progress)
    order = found.argsort(descending=True, stable=True).tolist()
    return Spectrum({words[i]: float(f"{float(found[i]):.6g}") for i in order}, tuple(erased), exclusions(denoiser, words, erased), NEUTRAL_PROMPTS)


def _sides(stack: ExitStack, denoiser: Denoiser, edit: ErasureAdapter | Denoiser, strength: float, latents: int, seed: int):
    """(shared latents, predictions before, predictions after, concepts per call)."""
    if isinstance(edit, Denoiser):
        shared = shared_latents(denoiser, latents, seed)
        chunk = max(1, _PAIR_BYTES // (4 * shared.x.numel()))  # few changes from one model to the other: each costs a reload
        return shared, lambda rows: predictions(denoiser, rows, shared), lambda rows: predictions(edit, rows, shared), chunk
    lora = stack.enter_context(edit.on(denoiser, strength))
    with lora.at_strength(0):
        shared = shared_latents(denoiser, latents, seed)

    def before(rows: Cond) -> Tensor:
        with lora.at_strength(0):
            return predictions(denoiser, rows, shared)

    return shared, before, lambda rows: predictions(denoiser, rows, shared), max(1, denoiser.max_batch // latents)
