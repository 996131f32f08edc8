"""InfoNCE whose negatives count more, less or not at all, with further columns beside those of the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.parts.gather import gather_rows, rank, world
from unlabeled.parts.losses import unit


def weighted_info_nce(
    query: Tensor,
    key: Tensor,
    *,
    temperature: float,
    weights: Tensor | None = None,
    extra: Tensor | None = None,
    extra_weights: Tensor | None = None,
    gather: bool = True,
) -> Tensor:
    """-mean_i log( e^s(i,i) / (e^s(i,i) + sum_j w_ij e^s(i,j) + sum_k v_ik e^s(i,k)) ), s = cosine / temperature.

    query, key: [n, d]. weights: [n, N], of the N keys as negatives; 0 takes a pair out; what it says of the positive is not read.
    extra: [m, d], further negatives of every row; extra_weights: [n, M], theirs. Weights, not below 0, carry no gradient.
    gather: under distributed training the keys and the extra rows of all processes count (N and M of them, in the order of the
    processes), with their gradients; in one process N = n and M = m. ValueError: shapes that don't fit, weights below 0.
    """
    if query.ndim != 2 or query.shape != key.shape:
        raise ValueError(f"wanted two [n, d] tensors of one shape, got {tuple(query.shape)} and {tuple(key.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be a positive number, got {temperature!r}")
    with torch.autocast(query.device.type, enabled=False):
        query, key = unit(query), unit(key)
        rows = torch.arange(len(query), device=query.device)
        own = rows
        if gather and world() > 1:
            key, own = gather_rows(key), rows + rank() * len(query)
            extra = None if extra is None else gather_rows(extra)
        logits = query @ key.T / temperature
        if weights is not None:
            added = _log(weights, logits)
            added[rows, own] = 0
            logits = logits + added
        if extra is not None:
            more = query @ unit(extra).T / temperature
            logits = torch.cat([logits, more if extra_weights is None else more + _log(extra_weights, more)], dim=1)
        return F.cross_entropy(logits, own)


def _log(weights: Tensor, logits: Tensor) -> Tensor:
    """Their logarithm, -inf for what is out: the softmax gives it nothing, in float32 also not a NaN."""
    if weights.shape != logits.shape or bool((weights < 0).any()):
        raise ValueError(f"weights must be {list(logits.shape)}, none below 0, got {list(weights.shape)}")
    return weights.detach().float().log()
