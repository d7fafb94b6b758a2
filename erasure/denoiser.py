"""The one function every erasure method is written against: x0 = denoise(x, sigma, cond).

Everything lives in sigma space (variance exploding, Karras et al. 2022): x = x0 + sigma * noise. The
direction d = (x - x0) / sigma is the noise prediction of an eps- or v-model and the velocity of a flow
model, and every objective of the erasure literature is linear in it.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Cond:
    """What prompts are to the network: named tensors, batch first.

    `tensors["context"]` is (B, L, D); a host may add more (SDXL's "pooled" (B, P), ...). Indexing, joining
    and mixing act on all of them alike, so no method needs to know which model it edits.
    """

    tensors: Mapping[str, Tensor]

    def __len__(self) -> int:
        return self.tensors["context"].shape[0]

    def __getitem__(self, index) -> Cond:
        """Rows chosen by a slice, a list of ints or an index tensor (always keeps the batch axis)."""
        if isinstance(index, int):
            index = [index]
        return Cond({name: t[index] for name, t in self.tensors.items()})

    def to(self, device=None, dtype=None) -> Cond:
        return Cond({name: t.to(device=device, dtype=dtype) for name, t in self.tensors.items()})

    def expand(self, n: int) -> Cond:
        """Repeat a single row `n` times."""
        return Cond({name: t.expand(n, *t.shape[1:]) for name, t in self.tensors.items()})

    def mix(self, weights: Tensor) -> Cond:
        """Linear mixtures of the rows: weights (M, B) -> Cond of M rows. This is G(pi) (.) R of the paper."""
        return Cond({name: torch.tensordot(weights.to(t.dtype), t, dims=1) for name, t in self.tensors.items()})

    def flat(self) -> Tensor:
        """(B, L*D) float32 context vectors, for similarity."""
        return self.tensors["context"].flatten(1).float()

    @staticmethod
    def cat(conds: Iterable[Cond]) -> Cond:
        conds = list(conds)
        return Cond({name: torch.cat([c.tensors[name] for c in conds]) for name in conds[0].tensors})


class TextEncoder(abc.ABC):
    """What concept spaces need: a text encoder with its tokenizer. Every `Denoiser` is one."""

    @abc.abstractmethod
    def encode(self, prompts: Sequence[str]) -> Cond:
        """Encode prompts, without gradients, to a Cond of len(prompts) rows."""

    @abc.abstractmethod
    def tokenize(self, prompt: str) -> tuple[int, ...]:
        """Token ids of the prompt, without special tokens and padding."""

    @abc.abstractmethod
    def vocabulary(self) -> list[str]:
        """Whole words of the tokenizer, without fragments and special tokens (the paper's CLIP vocabulary)."""


class Denoiser(TextEncoder):
    """A text-to-image diffusion model seen from the erasure core. `encode` gives rows on `device`.

    Attributes:
        network: the module that adapters hook into (the UNet or transformer). Frozen.
        latent_shape: (C, H, W) of one latent.
        sigmas: (T,) ascending noise levels the model was trained on, float32 on the CPU.
        prefix: what the adapter file's names begin with for this network ("lora_unet_").
        architecture: ModelSpec architecture id of the base ("stable-diffusion-v1").
        base_version: value for `ss_base_model_version` ("sd_1.5", "sdxl_1.0", ...).
        resolution: (width, height) in pixels of what `decode` returns.
        defaults: training settings that suit this model better than the general ones.
        style_defaults: those that suit it better still for a style: a concept whose name ends in "style".
        prediction_type: what the network predicts, in the host's words; two runs that differ in it are not the same run.
        forwards: single-sample network evaluations so far, counted by `denoise`.
        backwards: single-sample backward passes, counted by whoever calls backward (about 2 evaluations each).
        max_batch: samples that one gradient-free call may hold.
    """

    network: nn.Module
    latent_shape: tuple[int, int, int]
    sigmas: Tensor
    prefix: str = "lora_unet_"
    architecture: str = "stable-diffusion-v1"
    base_version: str = "sd_1.5"
    name: str = "model"
    resolution: tuple[int, int] = (512, 512)
    defaults: Mapping[str, object] = {}
    style_defaults: Mapping[str, object] = {}
    prediction_type: str = "epsilon"
    forwards: int = 0
    backwards: int = 0
    max_batch: int = 16

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    @property
    def gradient_scale(self) -> float:
        """Losses are multiplied by this before a backward pass: float16 would round small gradients to zero."""
        return 2.0**14 if self.dtype == torch.float16 else 1.0

    @abc.abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, H, W) -> images (B, 3, H', W') in 0..1, float32 on the CPU."""

    @abc.abstractmethod
    def _predict(self, x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        """The host's part of `denoise`."""

    def start_latents(self, unit_noise: Tensor, sigma: Tensor) -> Tensor:
        """Unit noise (B, C, H, W) scaled to the start of a trajectory at sigma (B,) or scalar: sqrt(sigma^2 + 1)."""
        return unit_noise * (sigma.square() + 1).sqrt().view(-1, 1, 1, 1)

    def noise_ratio(self, sigma: Tensor) -> Tensor:
        """Noise over signal, SNR^-0.5, at each sigma: sigma itself where x = x0 + sigma * noise."""
        return sigma

    def gradient_checkpointing(self, on: bool) -> None:
        """Recompute activations in the backward pass, where the host can. Default: cannot, does nothing."""

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Inside, network evaluations are not counted: pictures drawn to look at are not training."""
        before = (self.forwards, self.backwards)
        try:
            yield
        finally:
            self.forwards, self.backwards = before

    def denoise(self, x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        """x0 prediction, float32 (B, C, H, W), for x (B, C, H, W), sigma (B,) and one cond row per sample."""
        self.forwards += x.shape[0]
        return self._predict(x, sigma, cond)

    def direction(self, x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        """d = (x - x0) / sigma, float32 (B, C, H, W)."""
        return (x - self.denoise(x, sigma, cond)) / sigma.view(-1, 1, 1, 1)

    @torch.no_grad()
    def directions(self, x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        """`direction` without gradients for any number of samples, in calls of at most `max_batch`."""
        parts = [
            self.direction(x[i : i + self.max_batch], sigma[i : i + self.max_batch], cond[slice(i, i + self.max_batch)])
            for i in range(0, x.shape[0], self.max_batch)
        ]
        return torch.cat(parts)

    def file_keys(self) -> dict[str, str]:
        """Adapter-file name -> module name, for every Linear and Conv2d of the network."""
        return {
            self.prefix + name.replace(".", "_"): name
            for name, module in self.network.named_modules()
            if isinstance(module, (nn.Linear, nn.Conv2d))
        }

    def fingerprint(self, layers: int = 16) -> dict[str, float]:
        """Mean |weight| of evenly chosen layers by file name: tells base models apart, whatever their dtype."""
        keys = sorted(self.file_keys().items())
        chosen = keys[:: max(1, len(keys) // layers)][:layers]
        return {key: float(f"{self._weight(name).abs().mean():.6g}") for key, name in chosen}

    def base_hash(self) -> str:
        """sha256 over names, shapes and evenly sampled values (1024 a layer) of all layers."""
        digest = hashlib.sha256()
        for key, name in sorted(self.file_keys().items()):
            weight = self._weight(name)
            flat = weight.flatten()
            sample = flat[:: max(1, flat.numel() // 1024)]
            digest.update(f"{key}{tuple(weight.shape)}".encode())
            digest.update(sample.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _weight(self, name: str) -> Tensor:
        return self.network.get_submodule(name).weight.detach().float()
