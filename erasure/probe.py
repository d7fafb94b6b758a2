"""Which concepts does an edit harm? The sensitivity of every concept of a vocabulary, sorted.

The observation behind adversarial preservation (Bui et al. 2024, fig. 2): harm is local to the erased concept's
neighbourhood and neutral prompts sit in the middle, so preserving them protects nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .adapter import ErasureAdapter
from .concepts import NEUTRAL_PROMPTS, build_concept_space, exclusions
from .concepts.space import Progress
from .denoiser import Cond, Denoiser
from .errors import ErasureError
from .pictures import Marked, draw_spectrum
from .sensitivity import sensitivities, shared_latents


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
    adapter: ErasureAdapter,
    vocabulary: str | Sequence[str],
    *,
    strength: float = 1.0,
    latents: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
    encoding: Progress | None = None,
) -> Spectrum:
    """Sensitivity of every concept of the vocabulary, of the erased ones and of the neutral prompts.

    Args:
        latents: shared latents per concept; the cost is 2 * latents network evaluations per concept.
        progress, encoding: called with (concepts done, concepts in all) while probing and encoding; may raise to cancel.

    Raises:
        ErasureError: the adapter does not fit the model, or `latents` < 1.
    """
    if latents < 1:
        raise ErasureError("latents", f"{latents} is too few", "Use at least 1.")
    erased = tuple(c["name"] for c in adapter.card.get("concepts", []))
    space = build_concept_space(denoiser, vocabulary, progress=encoding)
    extra = [w for w in (*erased, *NEUTRAL_PROMPTS) if w not in space.words]
    words = [*space.words, *extra]
    cond = Cond.cat([space.cond, denoiser.encode(extra).to("cpu", next(iter(space.cond.tensors.values())).dtype)]) if extra else space.cond
    with adapter.on(denoiser, strength) as edit:
        with edit.at_strength(0):
            shared = shared_latents(denoiser, latents, seed)
        found = sensitivities(denoiser, edit, cond, shared, progress=progress)
    order = found.argsort(descending=True, stable=True).tolist()
    return Spectrum({words[i]: float(f"{float(found[i]):.6g}") for i in order}, erased, exclusions(denoiser, words, erased), NEUTRAL_PROMPTS)
