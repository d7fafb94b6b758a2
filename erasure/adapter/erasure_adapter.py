"""The result of every eraser: an immutable set of low-rank factors with a card, apart from any model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..denoiser import Denoiser
from ..errors import ErasureError
from .lora import LoraLayer, LoraNetwork


@dataclass(frozen=True)
class Factors:
    """One layer's delta = alpha / r * up @ down; down (r, in[, kh, kw]), up (out, r[, 1, 1])."""

    down: Tensor
    up: Tensor
    alpha: float


@dataclass(frozen=True)
class ErasureAdapter:
    """A LoRA that erases.

    Attributes:
        layers: adapter-file name ("lora_unet_..._attn2_to_k") -> Factors, on the CPU.
        card: what was erased, how, from which base, with which scores (plain JSON types).
    """

    layers: Mapping[str, Factors]
    card: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def from_network(cls, lora: LoraNetwork, denoiser: Denoiser, card: Mapping[str, object]) -> ErasureAdapter:
        """Freeze what a `LoraNetwork` holds now, rounded to float16 as the file will be."""
        keys = {module: key for key, module in denoiser.file_keys().items()}
        layers = {
            keys[name]: Factors(layer.down.detach().cpu().half(), layer.up.detach().cpu().half(), float(torch.tensor(layer.alpha).half()))
            for name, layer in zip(lora.names, lora.layers)
        }
        return cls(layers, dict(card))

    def on(self, denoiser: Denoiser, strength: float = 1.0) -> LoraNetwork:
        """Layers ready to erase inside `with adapter.on(denoiser):`; several nest and add up.

        Raises:
            ErasureError: the base model lacks a layer or has it in another shape.
        """
        modules, layers = denoiser.file_keys(), {}
        unmatched = [key for key in self.layers if key not in modules]
        if unmatched:
            raise ErasureError(
                "adapter", f"{len(unmatched)} of {len(self.layers)} layers are not in this model (first: {unmatched[0]})",
                f"It was made for {self.card.get('base', {}).get('architecture', 'another architecture')}; load it on such a model.",
            )
        for key, f in self.layers.items():
            module = denoiser.network.get_submodule(modules[key])
            expected = module.weight.shape
            found = (f.up.shape[0], *f.down.shape[1:])
            if found != tuple(expected):
                raise ErasureError("adapter", f"layer {key} has shape {found}, the model's {tuple(expected)}", "Load it on the architecture it was made for.")
            layers[modules[key]] = LoraLayer(f.down.float(), f.up.float(), f.alpha, module)
        lora = LoraNetwork(denoiser.network, layers).to(denoiser.device).requires_grad_(False)
        lora.strength = strength
        return lora

    def base_mismatch(self, denoiser: Denoiser, tolerance: float = 1e-4) -> str | None:
        """Why the denoiser is not the base this was trained on, or None. Dtype does not count as a difference."""
        trained_on = self.card.get("base", {}).get("fingerprint")
        if not trained_on:
            return "the file does not say which base model it was trained on"
        here = denoiser.fingerprint()
        if set(here) != set(trained_on):
            return "trained on another architecture"
        worst = max(abs(here[k] - v) / max(abs(v), 1e-12) for k, v in trained_on.items())
        if worst > tolerance:
            return f"trained on another checkpoint of this architecture (weights differ by up to {100 * worst:.2g} %)"
        return None

    def is_finite(self) -> bool:
        return all(math.isfinite(f.alpha) and torch.isfinite(f.down).all() and torch.isfinite(f.up).all() for f in self.layers.values())

    @property
    def rank(self) -> int:
        return max(f.down.shape[0] for f in self.layers.values())

    @property
    def alpha(self) -> float:
        return max(f.alpha for f in self.layers.values())
