"""The published search (Bui et al. 2024, alg. 1): a Gumbel-softmax choice over the candidates, moved by gradient ascent.

    max_pi || d_student(G(pi) (.) R) - d_teacher(G(pi) (.) R) ||^2

One logit per candidate, initialised to 1/n, constant temperature, hard straight-through one-hot, one Adam step
between two updates. The gradient reaches the logits through the student only, as published.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..losses import sigma_weights, weighted_mse
from .controls import RandomPreserver
from .base import Setup


class GumbelPreserver(RandomPreserver):
    def __init__(self, setup: Setup):
        super().__init__(setup)
        n = len(self.words)
        self.logits = torch.full((n,), 1.0 / n, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.logits], lr=self.config.search_learning_rate)

    def search(self, step: int) -> None:
        """One ascent step of the logits on the student-teacher difference of the chosen concept."""
        denoiser, lora = self.setup.denoiser, self.setup.lora
        gen = self.generator(step, "search")
        choice = self._one_hot(gen)
        row = int(choice.argmax())
        self.setup.pool.ensure([self.keys[row]], lora)
        state = self.setup.pool.draw(self.keys[row], gen)
        d_student = denoiser.direction(state.x, state.sigma, self.cond.mix(choice.to(denoiser.device)[None]))
        weights = sigma_weights(state.sigma, self.config.weighting, denoiser)
        (self.logits.grad,) = torch.autograd.grad(-denoiser.gradient_scale * weighted_mse(d_student, state.d_cond, weights), [self.logits])
        self.logits.grad /= denoiser.gradient_scale
        denoiser.backwards += 1
        if torch.isfinite(self.logits.grad).all():
            self.optimizer.step()

    def choose(self, step: int, count: int) -> list[int]:
        gen = self.generator(step, "choose")
        return [int(self._one_hot(gen).argmax()) for _ in range(count)]

    def _one_hot(self, gen: torch.Generator) -> Tensor:
        """(N,) straight-through one-hot sample (Jang et al. 2017), with noise from `gen`."""
        uniform = torch.rand(len(self.logits), generator=gen).clamp(min=1e-20)
        soft = ((self.logits - (-uniform.log()).log()) / self.config.temperature).softmax(0)
        hard = torch.nn.functional.one_hot(soft.argmax(), len(soft)).to(soft.dtype)
        return hard - soft.detach() + soft

    def tensors(self) -> dict[str, Tensor]:
        state = self.optimizer.state.get(self.logits, {})
        moments = {k: state.get(k, torch.zeros_like(self.logits)) for k in ("exp_avg", "exp_avg_sq")}
        return {"logits": self.logits.detach(), "step": torch.as_tensor(state.get("step", 0.0)), **moments}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            self.logits.copy_(tensors["logits"])
        self.optimizer.state[self.logits] = {k: tensors[k].clone() for k in ("step", "exp_avg", "exp_avg_sq")}
