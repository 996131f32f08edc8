"""Centres that move with batches: which are near, where they begin, and pairs of one cluster as what is hardly a negative."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.parts.losses import unit


def nearest(z: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Which centres are the nearest and the second nearest by cosine: z [n, d], centroids [k, d] -> int64 [n], [n]."""
    with torch.autocast(z.device.type, enabled=False):
        own, second = (unit(z) @ unit(centroids).T).topk(2, dim=1).indices.T
    return own, second


def farthest_chain(z: Tensor, k: int) -> Tensor:
    """k rows of unit z [n, d]: the first, then always the one least like the one chosen last."""
    chosen, left = [0], torch.ones(len(z), dtype=torch.bool, device=z.device)
    while len(chosen) < k:
        left[chosen[-1]] = False
        chosen.append(int((z @ z[chosen[-1]]).masked_fill(~left, torch.inf).argmin()))
    return z[chosen].clone()


def false_negatives(own: Tensor, cosine: Tensor, mine: Tensor, most: float) -> Tensor:
    """Which pairs are of one cluster, bool [n, N]: own int64 [N], cosine [n, N]; row i is sentence mine[i], which is none to itself.

    At most the share `most` of the n (N - 1) pairs, those with the largest cosines.
    """
    same = own[mine][:, None] == own
    same[torch.arange(len(mine)), mine] = False
    allowed = int(most * len(mine) * (len(own) - 1))
    if int(same.sum()) > allowed:
        kept = cosine.masked_fill(~same, -torch.inf).flatten().topk(allowed).indices
        same = torch.zeros_like(same).flatten().index_fill(0, kept, True).view_as(same)
    return same


def bidirectional_margin(cosine: Tensor, same: Tensor, mine: Tensor, alpha: float, beta: float) -> Tensor:
    """Mean over the pairs of `same` of relu(d + alpha) + relu(-d - beta), d = cos(i, j) - cos(i, i+); 0 where there are none."""
    delta = cosine - cosine[torch.arange(len(mine)), mine][:, None]
    each = F.relu(delta + alpha) + F.relu(-delta - beta)
    return (each * same).sum() / same.sum().clamp(min=1)
