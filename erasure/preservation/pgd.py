"""The continuous search of the paper's ablation (Bui et al. 2024, sec. 5): c_a is a free embedding, moved by gradient ascent.

It starts at the erased concept's embedding and is kept between updates; c += rate * ||c|| * g / ||g||, without a
projection. As published, it is searched and preserved on the erased concept's own latents. The paper finds that
it drifts to meaningless embeddings, which is why the discrete choice exists.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..concepts import ConceptSpace
from ..denoiser import Cond
from ..latents import States
from .base import Preserver, Setup


class PGDPreserver(Preserver):
    def __init__(self, setup: Setup):
        super().__init__(setup)
        concept = setup.config.concepts[setup.index].name
        self.embedding = {k: t.float() for k, t in setup.denoiser.encode([concept]).tensors.items()}

    def candidates(self) -> ConceptSpace:
        return self.setup.space.select([])

    def search(self, step: int) -> None:
        denoiser, lora = self.setup.denoiser, self.setup.lora
        for k in range(self.config.pgd_steps):
            state = self._latents(step, 1, f"search-{k}")
            context = self.embedding["context"].detach().requires_grad_()
            cond = Cond({**self.embedding, "context": context})
            with lora.at_strength(0), torch.no_grad():
                d_teacher = denoiser.direction(state.x, state.sigma, cond)
            loss = denoiser.gradient_scale * (denoiser.direction(state.x, state.sigma, cond) - d_teacher).square().mean()
            (gradient,) = torch.autograd.grad(loss, [context])
            denoiser.backwards += 1
            norm = gradient.norm()
            if torch.isfinite(norm) and norm > 0:
                step_size = self.config.pgd_rate * context.detach().norm() / norm
                self.embedding["context"] = context.detach() + step_size * gradient

    def states(self, step: int, count: int) -> States:
        s = self._latents(step, count, "states")
        cond = Cond(self.embedding).expand(count)
        with self.setup.lora.at_strength(0):
            d_teacher = self.setup.denoiser.directions(s.x, s.sigma, cond)
        return States(s.x, s.sigma, cond, d_teacher, s.d_anchor, ("(embedding)",) * count)

    def _latents(self, step: int, count: int, purpose: str) -> States:
        gen, keys = self.generator(step, purpose), self.setup.erase_keys
        rows = torch.randint(len(keys), (count,), generator=gen).tolist()
        return States.cat([self.setup.pool.draw(keys[r], gen) for r in rows])

    def tensors(self) -> dict[str, Tensor]:
        return {"context": self.embedding["context"]}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.embedding["context"] = tensors["context"].to(self.setup.denoiser.device)
