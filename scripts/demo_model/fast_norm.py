"""Group normalisation with a backward pass that is fast on the CPU: torch's own takes two thirds of a training step there.

    y = a x + s with a, s per sample and channel; dx = a dy + b x + c, whose factors need only two sums over the pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        n, c = x.shape[:2]
        dims, pixels = tuple(range(2, x.dim())), x[0, 0].numel()
        mean = (x.sum(dims, dtype=torch.float32) / pixels).view(n, groups, -1).mean(-1)
        square = (torch.linalg.vector_norm(x, dim=dims, dtype=torch.float32).square() / pixels).view(n, groups, -1).mean(-1)
        rstd = ((square - mean.square()).clamp(min=0) + eps).rsqrt()
        rstd, mean = (t.repeat_interleave(c // groups, 1) for t in (rstd, mean))
        a = rstd * weight.float()
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.groups = groups
        return torch.addcmul(_like(bias.float() - mean * a, x), x, _like(a, x))

    @staticmethod
    def backward(ctx, dy: Tensor):
        x, weight, mean, rstd = ctx.saved_tensors
        n, c = x.shape[:2]
        dims, per_group = tuple(range(2, x.dim())), x[0, 0].numel() * (c // ctx.groups)
        sum_dy = dy.sum(dims, dtype=torch.float32)
        sum_dy_xhat = ((dy * x).sum(dims, dtype=torch.float32) - mean * sum_dy) * rstd
        w = weight.float()
        group = lambda t: (t.view(n, ctx.groups, -1).sum(-1) / per_group).repeat_interleave(c // ctx.groups, 1)
        g1, g2 = group(w * sum_dy), group(w * sum_dy_xhat)
        b = -rstd.square() * g2
        dx = torch.addcmul(_like(-rstd * g1 - b * mean, x), x, _like(b, x)).addcmul_(dy, _like(rstd * w, x))
        return dx, None, sum_dy_xhat.sum(0).to(weight.dtype), sum_dy.sum(0).to(weight.dtype), None


def _like(t: Tensor, x: Tensor) -> Tensor:
    """(N, C) factors in x's dtype, shaped to broadcast over its pixels."""
    return t.to(x.dtype).view(*t.shape, *([1] * (x.dim() - 2)))


def install() -> None:
    """Use it wherever torch's group_norm is called."""
    def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
        return _GroupNorm.apply(x, num_groups, weight, bias, eps)

    F.group_norm = group_norm
