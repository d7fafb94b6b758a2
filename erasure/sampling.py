"""Deterministic sampling: DDIM (Song et al. 2021), which in sigma space is Euler's step on dx/dsigma = d."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .denoiser import Cond, Denoiser
from .errors import ErasureError
from .randomness import noise


def ddim_sigmas(table: Tensor, steps: int, offset: int = 1) -> Tensor:
    """(steps + 1,) descending noise levels at training steps offset, offset + T/steps, ..., then 0.

    Raises ErasureError when steps is not in 1..T. `offset` in 0..T/steps-1 shifts the grid; 1 is Stable Diffusion's "leading" spacing.
    """
    if not 1 <= steps <= len(table):
        raise ErasureError("steps", f"{steps} is out of range", f"Use 1 to {len(table)}.")
    stride = len(table) // steps
    timesteps = (torch.arange(steps) * stride + offset).clamp(max=len(table) - 1)
    return torch.cat([table[timesteps].flip(0), torch.zeros(1)])


@torch.no_grad()
def trajectory(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, cond: Cond, uncond: Cond, guidance: float
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Walk B guided trajectories at once; each state comes with both predictions that guidance needed anyway.

    Args:
        x: (B, C, H, W) start latents.
        sigmas: (S + 1, B) descending levels, one column per sample; the last row is where it ends.
        cond: B rows.  uncond: one row.
        guidance: classifier-free guidance scale w in d = d(0) + w (d(c) - d(0)).

    Yields:
        (x_t, sigma_t (B,), d_cond, d_uncond) for each of the S states; after the last, x at sigmas[-1].
    """
    both = Cond.cat([cond, uncond.expand(len(cond))])
    for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:]):
        d_cond, d_uncond = denoiser.directions(torch.cat([x, x]), torch.cat([sigma, sigma]), both).chunk(2)
        yield x, sigma, d_cond, d_uncond
        d = d_uncond + guidance * (d_cond - d_uncond)
        x = x + (sigma_next - sigma).view(-1, 1, 1, 1) * d
    yield x, sigmas[-1], d_cond, d_uncond


@torch.no_grad()
def generate(
    denoiser: Denoiser,
    prompts: list[str],
    seeds: list[int],
    *,
    steps: int = 20,
    guidance: float = 4.0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Images (B, 3, H, W) in 0..1, one per prompt; the same seed starts from the same noise whatever the batch.

    Args:
        prompts, seeds: B of each.
        progress: called with (images done, images in all).
    """
    device, uncond = denoiser.device, denoiser.encode([""])
    sigmas = ddim_sigmas(denoiser.sigmas, steps).to(device)
    chunk, images = max(1, denoiser.max_batch // 2), []
    for i in range(0, len(prompts), chunk):
        cond = denoiser.encode(prompts[i : i + chunk])
        unit = torch.stack([noise(denoiser.latent_shape, seed, 0, "image") for seed in seeds[i : i + chunk]])
        columns = sigmas[:, None].expand(-1, len(cond))
        x = denoiser.start_latents(unit.to(device), columns[0])
        for x, *_ in trajectory(denoiser, x, columns, cond, uncond, guidance):
            pass
        images.append(denoiser.decode(x))
        if progress:
            progress(min(i + chunk, len(prompts)), len(prompts))
    return torch.cat(images)
