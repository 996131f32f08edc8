"""Which nodes are joined, by the products of their vectors: the likelihood of a whole graph in blocks, or of drawn pairs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 1 << 20  # products held at a time


def dots(z: Tensor, pairs: Tensor) -> Tensor:
    """z_i.z_j, [m], of pairs int64 [2, m]."""
    return (z[pairs[0]] * z[pairs[1]]).sum(dim=1)


def link_loss(z: Tensor, joined: Tensor, drawn: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of pairs that are joined and of pairs that aren't, both weighing the same: 2 log 2 / 2 where z says nothing.

    z: [n, d]. joined: int64 [2, m], each with both directions, a node with itself included. drawn: int64 [2, k], pairs to take for all that
    aren't joined; None: those themselves, n^2 - m. Kipf and Welling, 2016, arXiv:1611.07308: their cross-entropy over the n x n table with
    pos_weight and norm is this mean.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = z.float()
        found = dots(z, joined)
        if drawn is not None:
            return (F.softplus(-found).mean() + F.softplus(dots(z, drawn)).mean()) / 2
        apart = softplus_of_all(z) - F.softplus(found).sum()
        return (F.softplus(-found).mean() + apart / max(len(z) ** 2 - joined.shape[1], 1)) / 2


def softplus_of_all(z: Tensor) -> Tensor:
    """The sum of log(1 + exp(z_i.z_j)) over all i and j; z: float32 [n, d]. The n x n table is never held whole."""
    return _SoftplusOfAll.apply(z)  # type: ignore[no-any-return]


class _SoftplusOfAll(torch.autograd.Function):
    """The gradient is worked out beside the sum. Blocks above the diagonal count for those below it."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        z = z.detach()
        slope, total = torch.zeros_like(z), z.new_zeros((), dtype=torch.float64)
        rows = max(1, min(len(z), BLOCK // len(z)))
        for start in range(0, len(z), rows):
            here, there = z[start : start + rows], z[start:]
            square = len(here)
            # One exponential serves the sum and the slope. Above 80, where it would overflow, the sum is a little short, the slope is not.
            s = (here @ there.T).clamp_(max=80).exp_().add_(1)
            part = s.log()
            total += 2 * part.sum() - part[:, :square].sum()
            s.reciprocal_().neg_().add_(1)
            slope[start : start + rows] += 2 * (s @ there)
            slope[start + square :] += 2 * (s[:, square:].T @ here)
        ctx.save_for_backward(slope)
        return total.float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return gradient * ctx.saved_tensors[0]


__all__ = ["dots", "link_loss", "softplus_of_all"]
