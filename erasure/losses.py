"""Losses in d = (x - x0) / sigma space, weighted over noise levels."""

from __future__ import annotations

import torch
from torch import Tensor

from .denoiser import Denoiser


_SIGMA_MAX = 20.0  # above Stable Diffusion's 14.6; zero-terminal-SNR schedules reach thousands


def sigma_weights(sigma: Tensor, weighting: str, denoiser: Denoiser) -> Tensor:
    """(B,) weights whose mean over the training table is 1, so that weightings share one learning rate.

    uniform: 1, the eps loss.  min-snr: min(SNR, 5) / SNR (Hang et al. 2023).  x0: sigma^2, which turns the loss
    into an x0 loss and reproduces the published adversarial-preservation code.
    """

    def raw(s: Tensor) -> Tensor:
        if weighting == "uniform":
            return torch.ones_like(s)
        if weighting == "min-snr":
            return (5 * denoiser.noise_ratio(s).square()).clamp(max=1)
        return s.clamp(max=_SIGMA_MAX).square()

    return raw(sigma) / raw(denoiser.sigmas.to(sigma.device)).mean()


def weighted_mse(d: Tensor, d_target: Tensor, weights: Tensor) -> Tensor:
    """Scalar: mean over samples of w_i * mean((d - d*)^2), for d, d* (B, C, H, W) and weights (B,)."""
    return (weights * (d - d_target).square().flatten(1).mean(1)).mean()
