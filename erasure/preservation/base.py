"""What is protected, and how it is found: the common ground of all preservers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..adapter.lora import LoraNetwork
from ..concepts import ConceptSpace
from ..config import EraseConfig
from ..denoiser import Denoiser
from ..latents import Request, States, TrajectoryPool
from ..randomness import generator


_ALWAYS_EVERY = 4  # every fourth preserved sample is a word the user protects, if there are any


@dataclass
class Setup:
    """What a preserver works with; one preserver per erased concept.

    Attributes:
        space: candidate concepts (never the erased one), on the CPU.
        erase_keys: pool keys of the erased concept's own trajectories.
        index: which erased concept this is.
    """

    denoiser: Denoiser
    lora: LoraNetwork
    pool: TrajectoryPool
    space: ConceptSpace
    config: EraseConfig
    erase_keys: list[str]
    index: int


class Preserver:
    """Chooses concepts to preserve and hands out their own, aligned latents.

    A subclass overrides `choose`; one that searches also overrides `search` and the state methods. Every draw
    must come from `self.generator(step, purpose)`, so that a resumed run repeats it.
    """

    def __init__(self, setup: Setup):
        self.setup, self.config = setup, setup.config
        space = self.candidates()
        self.words = list(space.words)
        self.cond = space.cond.to(setup.denoiser.device, torch.float32)
        self.keys = self._register(space)
        self.always = self._register(self._protected())

    def _protected(self) -> ConceptSpace:
        """Words the user wants preserved whatever the search finds."""
        words = tuple(self.config.preserve)
        return ConceptSpace(words, self.setup.denoiser.encode(list(words)) if words else self.setup.space.cond[[]])

    def _register(self, space: ConceptSpace) -> list[str]:
        keys = [f"keep/{word}" for word in space.words]
        cond = space.cond.to(self.setup.denoiser.device, torch.float32)
        self.setup.pool.register([
            Request(key, word, cond[i], self.config.candidate_steps) for i, (key, word) in enumerate(zip(keys, space.words))
        ])
        return keys

    def candidates(self) -> ConceptSpace:
        """The concepts this preserver may choose."""
        return self.setup.space

    def prefill(self) -> list[str]:
        """Pool keys that will surely be drawn, to be rolled out together before training."""
        return []

    def search(self, step: int) -> None:
        """Look for the concept that is harmed most, before update `step`."""

    def choose(self, step: int, count: int) -> list[int]:
        """Rows of the candidates to preserve in update `step`."""
        raise NotImplementedError

    def states(self, step: int, count: int) -> States:
        """`count` aligned samples of chosen concepts, each on a trajectory of its own."""
        keys = [self.keys[row] for row in self.choose(step, count)]
        for i in range(count if self.always else 0):
            turn, first = divmod(step * count + i, _ALWAYS_EVERY)
            if first == 0:
                keys[i] = self.always[turn % len(self.always)]
        pool, config = self.setup.pool, self.config
        pool.ensure(keys, self.setup.lora)
        parts = []
        for i, key in enumerate(keys):
            gen = self.generator(step, f"state-{i}")
            if config.refresh and float(torch.rand((), generator=gen)) < config.refresh:
                pool.renew(key, self.setup.lora, step + 1)
            parts.append(pool.draw(key, gen))
        return States.cat(parts)

    def generator(self, step: int, purpose: str) -> torch.Generator:
        return generator(self.config.seed, step, f"preserve-{self.setup.index}/{purpose}")

    def tensors(self) -> dict[str, Tensor]:
        """What a search has learned, for the saved state."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Undo `tensors`."""
