"""Peak memory of this process, for reports."""

from __future__ import annotations

import sys

import torch


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """{"gpu": MiB} where there is a CUDA device and {"ram": MiB} where the system tells it."""
    peaks = {}
    if device.type == "cuda":
        peaks["gpu"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        import resource  # not on Windows
    except ImportError:
        return peaks
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    peaks["ram"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
    return peaks
