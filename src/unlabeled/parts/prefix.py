"""Vectors whose first numbers work by themselves: cut to a size, and searched coarse to fine."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.losses import unit


def truncate(Z: Any, m: int) -> np.ndarray:
    """The first m numbers of each vector, at unit length again: float32 [n, m]."""
    Z = check_vectors(Z)
    if not 1 <= m <= Z.shape[1]:
        raise InputError(f"m is {m}: the vectors have 1 to {Z.shape[1]} numbers")
    return unit(torch.from_numpy(np.array(Z[:, :m], dtype=np.float32))).numpy()


def funnel_search(queries: Any, Z: Any, k: int = 10, dims: tuple[int, ...] = (16, 64), shortlist: int = 200) -> np.ndarray:
    """The k nearest rows of Z [n, d] by cosine for each query [m, d], searched coarse to fine: int64 [m, k], nearest first.

    All rows are compared on the first dims[0] numbers; `shortlist` of them again on dims[1], half as many on each size that
    follows (never fewer than k). Multiply-adds a query: n * dims[0] + shortlist * dims[1] + ..., instead of n * dims[-1].
    """
    queries, Z = check_vectors(queries, "queries"), check_vectors(Z)
    if not dims or list(dims) != sorted(set(dims)) or queries.shape[1] != Z.shape[1]:
        raise InputError(f"wanted dims that grow, and queries as long as the vectors ({Z.shape[1]}); got {dims!r}, {queries.shape[1]}")
    if not 1 <= k <= min(shortlist, len(Z)):
        raise InputError(f"k is {k}: wanted 1 to {min(shortlist, len(Z))}, the shortlist or all vectors")
    first, *finer = dims
    keep = min(shortlist, len(Z)) if finer else k
    found = torch.from_numpy(truncate(queries, first) @ truncate(Z, first).T).topk(keep, dim=1).indices
    for step, m in enumerate(finer):
        keep = k if step == len(finer) - 1 else max(k, keep // 2)
        rows = unit(torch.from_numpy(Z[found.numpy(), :m]))
        closeness = torch.einsum("qd,qnd->qn", torch.from_numpy(truncate(queries, m)), rows)
        found = found.gather(1, closeness.topk(keep, dim=1).indices)
    return found.numpy()
