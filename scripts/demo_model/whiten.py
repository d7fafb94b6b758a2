"""Whiten the autoencoder's latents: an exact change of basis folded into its two 1x1 convolutions.

The diffusion noise has the same strength in every latent direction. Where one direction holds most of the variance,
the others (colour, detail) drown early; with z' = W (z - mu) all four count alike. Reconstructions do not change.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def whiten(vae, mean: Tensor, std: Tensor, floor: float = 0.02) -> None:
    """Change `vae` in place, given posterior means and deviations (N, 4, h, w) of its training pictures.

    Directions with less than `floor` of the largest variance are not blown up to one. The encoder's own deviations
    do not transform linearly: they become their constant average.
    """
    flat = mean.double().permute(1, 0, 2, 3).flatten(1)
    centre = flat.mean(1)
    values, vectors = torch.linalg.eigh(torch.cov(flat))
    scale = values.clamp(min=floor * values.max().item()).rsqrt()
    w = vectors @ torch.diag(scale) @ vectors.T  # ZCA: stays closest to the original channels
    back = torch.linalg.inv(w)
    quant, post, n = vae.quant_conv, vae.post_quant_conv, len(centre)
    rows, bias = quant.weight[:n, :, 0, 0].double(), quant.bias[:n].double()
    quant.weight[:n, :, 0, 0] = (w @ rows).to(quant.weight)
    quant.bias[:n] = (w @ (bias - centre)).to(quant.bias)
    variance = w.square() @ std.double().square().mean((0, 2, 3))
    quant.weight[n:] = 0
    quant.bias[n:] = variance.log().to(quant.bias)
    kernel = post.weight[:, :, 0, 0].double()
    post.bias += (kernel @ centre).to(post.bias)
    post.weight[:, :, 0, 0] = (kernel @ back).to(post.weight)
