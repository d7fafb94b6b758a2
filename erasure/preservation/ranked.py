"""The search that really searches: every R updates, rank all candidates by the harm done to them so far.

Harm is the normalised sensitivity (`erasure.sensitivity`) on a few shared latents; the preserved batch is drawn
from the most harmed candidates, in proportion to their harm, always on trajectories of their own. The teacher's
side is computed once, so a ranking costs J network evaluations per candidate. Before anything is harmed, the
nearest candidates are preserved.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..sensitivity import gap, normalised, predictions, shared_latents
from .base import Preserver, Setup


class RankedPreserver(Preserver):
    def __init__(self, setup: Setup):
        super().__init__(setup)
        denoiser = setup.denoiser
        with setup.lora.at_strength(0):
            self.latents = shared_latents(denoiser, self.config.search_latents, self.config.seed)
            self.d_off = predictions(denoiser, self.cond, self.latents)
        self.gaps = gap(self.d_off, self.latents)
        self.harm = torch.ones(len(self.words))

    def search(self, step: int) -> None:
        concepts = len(self.config.concepts)
        turn, every = step // concepts, max(1, self.config.search_every // concepts)
        if turn == 0 or (turn + every // 2) % every:  # turns of this concept; first at R / 2
            return
        d_on = predictions(self.setup.denoiser, self.cond, self.latents)
        change = (d_on - self.d_off).square().flatten(1).mean(1)
        harm = normalised(change, self.gaps).cpu()
        if torch.isfinite(harm).all():
            self.harm = harm
            self.setup.pool.ensure([self.keys[i] for i in self.top()], self.setup.lora)

    def prefill(self) -> list[str]:
        return [self.keys[i] for i in self.top()]

    def top(self) -> list[int]:
        """Rows of the most harmed candidates, worst first."""
        return self.harm.argsort(descending=True, stable=True)[: self.config.search_top].tolist()

    def choose(self, step: int, count: int) -> list[int]:
        rows = self.top()
        weights = self.harm[rows].clamp(min=1e-12)
        drawn = torch.multinomial(weights, count, replacement=True, generator=self.generator(step, "choose"))
        return [rows[i] for i in drawn.tolist()]

    def tensors(self) -> dict[str, Tensor]:
        return {"harm": self.harm}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.harm = tensors["harm"]
