"""LoRA layers on a frozen network (Hu et al. 2021), added by forward hooks.

Nothing is renamed, replaced or rebuilt: off is the base model bit for bit, teacher and student share every
weight, and removing the hooks leaves no trace. The same mechanism serves diffusers and ComfyUI models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..denoiser import Denoiser
from ..errors import ErasureError
from ..randomness import generator

PARAMETER_SETS = {
    "xattn": "cross-attention: query, key, value and output",
    "xattn-kv": "cross-attention key and value only",
    "selfattn": "self-attention: query, key, value and output",
    "noxattn": "every Linear and Conv except cross-attention and the time embedding",
    "full": "every Linear and Conv except the time embedding",
}


# how a UNet (diffusers, ComfyUI), an MMDiT (SD3) and Flux call the attention that reads the text, and that of the picture
_CROSS = (".attn2.", ".context_block.attn.", ".txt_attn.")
_SELF = (".attn1.", ".x_block.attn.", ".x_block.attn2.", ".img_attn.")  # MMDiT-X has a second one
_TIME_EMBEDDINGS = ("time_embed", "add_embed", "label_emb", "t_embedder", "y_embedder", "time_in", "vector_in", "guidance_in")


def select_modules(network: nn.Module, parameters: str) -> list[str]:
    """Names of the Linear and Conv2d modules in a parameter set (`PARAMETER_SETS`), in network order.

    Raises:
        ErasureError: unknown set, or the network has no such layers.
    """
    if parameters not in PARAMETER_SETS:
        raise ErasureError("parameters", f"'{parameters}' is not a parameter set", f"Use one of {', '.join(PARAMETER_SETS)}.")
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and _belongs(name, parameters)
    ]
    if not names:
        raise ErasureError("parameters", f"this network has no '{parameters}' layers", f"Try another of {', '.join(PARAMETER_SETS)}.")
    return names


def _belongs(name: str, parameters: str) -> bool:
    if name.startswith(_TIME_EMBEDDINGS):
        return False
    own = any(part in name for part in _SELF)
    cross = not own and any(part in name for part in _CROSS)
    return {
        "xattn": cross,
        "xattn-kv": cross and name.endswith((".to_k", ".to_v", ".qkv")),
        "selfattn": own,
        "noxattn": not cross,
        "full": True,
    }[parameters]


class LoraLayer(nn.Module):
    """One low-rank delta: scale * up(down(x)), shapes as kohya stores them.

    down: (r, in) or (r, in, kh, kw) for a convolution.  up: (out, r) or (out, r, 1, 1).  scale = alpha / r.
    """

    def __init__(self, down: Tensor, up: Tensor, alpha: float, module: nn.Module):
        super().__init__()
        self.down, self.up = nn.Parameter(down), nn.Parameter(up)
        self.alpha, self.scale = alpha, alpha / down.shape[0]
        self.geometry = (module.stride, module.padding, module.dilation) if isinstance(module, nn.Conv2d) else None

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.down.dtype)
        if self.geometry is None:
            return self.scale * F.linear(F.linear(x, self.down), self.up)
        return self.scale * F.conv2d(F.conv2d(x, self.down, None, *self.geometry), self.up)


class LoraNetwork(nn.Module):
    """LoRA layers over named modules of a frozen network; active inside `with lora:`.

    Args:
        network: the frozen network.
        layers: module name -> LoraLayer.
    """

    def __init__(self, network: nn.Module, layers: dict[str, LoraLayer]):
        super().__init__()
        self.names = list(layers)
        self.layers = nn.ModuleList(layers.values())
        self.strength = 1.0
        self._network = [network]  # in a list: not a submodule, its weights are not ours
        self._hooks: list = []

    @classmethod
    def create(cls, denoiser: Denoiser, parameters: str, rank: int, alpha: float, seed: int) -> LoraNetwork:
        """New layers on a parameter set: `down` Kaiming-uniform, `up` zero, so the network starts unchanged. float32, on its device.

        The draw depends on a layer's name in the adapter file, so that all hosts start from the same numbers.
        """
        layers, network = {}, denoiser.network
        keys = {name: key for key, name in denoiser.file_keys().items()}
        for name in select_modules(network, parameters):
            module = network.get_submodule(name)
            out_features, in_features, *kernel = module.weight.shape
            r = min(rank, in_features, out_features)
            down = torch.empty(r, in_features, *kernel)
            nn.init.kaiming_uniform_(down, a=5**0.5, generator=generator(seed, 0, f"lora-init/{keys[name]}"))
            up = torch.zeros(out_features, r, *([1] * len(kernel)))
            layers[name] = LoraLayer(down, up, alpha * r / rank, module)
        return cls(network, layers).to(denoiser.device)

    def __enter__(self) -> LoraNetwork:
        network = self._network[0]
        for name, layer in zip(self.names, self.layers):
            self._hooks.append(network.get_submodule(name).register_forward_hook(self._hook(layer)))
        return self

    def __exit__(self, *_) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def _hook(self, layer: LoraLayer):
        def add_delta(_module, args, output):
            if self.strength == 0:
                return None  # output untouched: the base model bit for bit
            delta = layer(args[0])
            return output + (delta if self.strength == 1 else self.strength * delta).to(output.dtype)

        return add_delta

    @contextmanager
    def at_strength(self, strength: float) -> Iterator[None]:
        """Inside: deltas are multiplied by `strength`; 0 is the teacher."""
        before, self.strength = self.strength, strength
        try:
            yield
        finally:
            self.strength = before
