"""Hosts translate one kind of model into a `Denoiser`; nothing else in the core knows which model it is."""

from __future__ import annotations

from pathlib import Path

from ..denoiser import Denoiser


def load_denoiser(model: str, device: str = "auto", dtype: str = "auto", config: str | None = None) -> Denoiser:
    """'demo', a diffusers folder or a `.safetensors` checkpoint as a Denoiser.

    Args:
        config: diffusers folder, or name of a shipped layout, that describes a single-file checkpoint (default: found from its header).

    Raises:
        ErasureError: see `hosts.diffusers.load_pipeline`.
    """
    if model == "demo":
        from .demo import load_demo

        return load_demo(device, dtype)
    from .diffusers import DiffusersDenoiser, load_pipeline

    return DiffusersDenoiser(load_pipeline(model, device, dtype, config), Path(model).stem)
