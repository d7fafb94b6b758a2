"""Preservation without a search: the controls that show whether searching matters."""

from __future__ import annotations

import torch

from ..concepts import ConceptSpace
from .base import Preserver


class FixedPreserver(Preserver):
    """Always the same words: `config.preserve`, or the neutral prompt, as ESD with a fixed preserved prompt."""

    def candidates(self) -> ConceptSpace:
        words = tuple(self.config.preserve) or ("a photo",)
        return ConceptSpace(words, self.setup.denoiser.encode(list(words)).to("cpu"))

    def prefill(self) -> list[str]:
        return self.keys

    def choose(self, step: int, count: int) -> list[int]:
        return [(step * count + i) % len(self.words) for i in range(count)]


class RandomPreserver(Preserver):
    """Uniformly random candidates: the same vocabulary as the search, without the search."""

    def prefill(self) -> list[str]:
        return self.keys if self.config.steps * self.config.preserve_batch > 2 * len(self.keys) else []

    def choose(self, step: int, count: int) -> list[int]:
        return torch.randint(len(self.words), (count,), generator=self.generator(step, "random")).tolist()


class NearestPreserver(RandomPreserver):
    """Uniformly from the `search_top` candidates nearest to the erased concept in text space."""

    def candidates(self) -> ConceptSpace:
        space = self.setup.space  # nearest first
        return space.select(range(min(len(space), self.config.search_top)))
