"""How much an edit changes what the network predicts for a concept, relative to how much the concept matters.

    s(c) = mean_j || d_on(x_j, c) - d_off(x_j, c) ||^2  /  mean_j || d_off(x_j, c) - d_off(x_j, 0) ||^2

The same (x_j, sigma_j) serve all concepts (common random numbers), so a ranking needs few latents. The
denominator is the teacher's own conditional-unconditional gap; without it, loud concepts always win. It is at least
half the mean gap of all concepts measured: a word that says little to the model (a neutral prompt, above all the
empty one) is not harmed more just because it is quiet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .denoiser import Cond, Denoiser
from .randomness import noise
from .sampling import ddim_sigmas, trajectory

_FLOOR = 0.5  # of the mean gap


@dataclass(frozen=True)
class SharedLatents:
    """J states on which all concepts are measured: x (J, C, H, W), sigma (J,), d_null (J, C, H, W) of the teacher."""

    x: Tensor
    sigma: Tensor
    d_null: Tensor


def shared_latents(denoiser: Denoiser, count: int, seed: int, steps: int = 20) -> SharedLatents:
    """States of `count` unconditional trajectories, the j-th taken at the (j + 1/2) / count point of the middle 60 % of its steps.

    Call with the adapter off.
    """
    uncond = denoiser.encode([""])
    sigmas = ddim_sigmas(denoiser.sigmas, steps).to(denoiser.device)[:, None].expand(-1, count)
    unit = torch.stack([noise(denoiser.latent_shape, seed, j, "shared-latents") for j in range(count)])
    x = denoiser.start_latents(unit.to(denoiser.device), sigmas[0])
    taken = [round(steps * (0.2 + 0.6 * (j + 0.5) / count)) for j in range(count)]
    found: dict[int, tuple[Tensor, ...]] = {}
    for i, (x_t, sigma, d, _) in enumerate(trajectory(denoiser, x, sigmas, uncond.expand(count), uncond, 0.0)):
        found |= {j: (x_t[j], sigma[j], d[j]) for j in range(count) if taken[j] == i}
    rows = [found[j] for j in range(count)]
    return SharedLatents(*(torch.stack([r[k] for r in rows]) for k in range(3)))


def predictions(denoiser: Denoiser, cond: Cond, latents: SharedLatents) -> Tensor:
    """(N, J, C, H, W) directions of N concepts on the J shared latents, as the network stands now."""
    n, j = len(cond), len(latents.sigma)
    x, sigma = latents.x.repeat(n, 1, 1, 1), latents.sigma.repeat(n)
    rows = torch.arange(n).repeat_interleave(j)
    return denoiser.directions(x, sigma, cond[rows]).unflatten(0, (n, j))


def gap(d_off: Tensor, latents: SharedLatents) -> Tensor:
    """(N,) teacher's conditional-unconditional gap of N concepts, from d_off (N, J, C, H, W)."""
    return (d_off - latents.d_null).square().flatten(1).mean(1)


def normalised(change: Tensor, gaps: Tensor) -> Tensor:
    """(N,) sensitivities from mean squared changes and gaps (N,); a gap counts as at least half the mean gap."""
    return change / gaps.clamp(min=_FLOOR * gaps.mean().clamp(min=1e-12))


def sensitivities(
    before: Callable[[Cond], Tensor],
    after: Callable[[Cond], Tensor],
    cond: Cond,
    latents: SharedLatents,
    *,
    chunk: int,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """(N,) sensitivity of each row of `cond` to an edit.

    Args:
        before, after: rows (n) -> `predictions` (n, J, C, H, W) of the model without and with the edit.
        chunk: rows per call.
        progress: called with (concepts done, concepts in all); may raise to cancel.
    """
    changes, gaps = [], []
    for i in range(0, len(cond), chunk):
        rows = cond[slice(i, i + chunk)].to(latents.x.device, torch.float32)
        off, on = before(rows), after(rows)
        changes.append((on - off).square().flatten(1).mean(1).cpu())
        gaps.append(gap(off, latents).cpu())
        if progress:
            progress(min(i + chunk, len(cond)), len(cond))
    return normalised(torch.cat(changes), torch.cat(gaps))
