"""Counter-based randomness: every draw is a pure function of (seed, step, purpose).

A resumed run therefore equals an uninterrupted one bit for bit without saving any generator state,
and the numbers are the same on every device because they are always drawn on the CPU.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def generator(seed: int, step: int, purpose: str) -> torch.Generator:
    """A CPU generator that depends on nothing but its three arguments."""
    digest = hashlib.blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def noise(shape: tuple[int, ...], seed: int, step: int, purpose: str) -> Tensor:
    """Standard normal float32 noise of `shape`, on the CPU."""
    return torch.randn(shape, generator=generator(seed, step, purpose))
