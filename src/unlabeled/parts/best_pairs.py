"""The pairs of nodes whose vectors have the largest products, among those that aren't joined."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.data.graphs import Graph
from unlabeled.errors import InputError

BLOCK = 1 << 22  # products held at a time


def best_pairs(vectors: np.ndarray, graph: Graph, k: int) -> tuple[np.ndarray, np.ndarray]:
    """At most k pairs int64 [k, 2] of different nodes, the smaller first, that are no edges of an undirected graph, and their products.

    vectors: float32 [n, d]. Best first; of equal ones those of smaller nodes. The n x n table is never held whole.
    """
    n = len(vectors)
    pairs, scores = np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    rows = max(1, BLOCK // max(n, 1))
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        s = vectors[start:stop] @ vectors.T
        s[np.arange(n) <= np.arange(start, stop)[:, None]] = -np.inf  # each pair once, and no node with itself
        source = np.repeat(np.arange(stop - start), graph.degrees[start:stop])
        s[source, graph.targets[graph.starts[start] : graph.starts[stop]]] = -np.inf
        flat = s.ravel()
        floor = scores[-1] if len(scores) == k else -np.inf
        found = np.flatnonzero(flat > floor)
        if len(found) > k:
            least = np.partition(flat[found], len(found) - k)[len(found) - k]
            found = found[flat[found] >= least]
        here = np.stack([found // n + start, found % n], axis=1)
        pairs, scores = np.concatenate([pairs, here]), np.concatenate([scores, flat[found]])
        order = np.argsort(-scores, kind="stable")[:k]
        pairs, scores = pairs[order], scores[order]
    return pairs, scores


def checked_pairs(pairs: Any, n: int) -> np.ndarray:
    """int64 [m, 2]. InputError: another shape, numbers that are no nodes."""
    found = np.asarray(pairs)
    found = found.reshape(0, 2) if found.size == 0 else found
    if found.ndim != 2 or found.shape[1] != 2 or (found.dtype.kind not in "iu" and found.size):
        raise InputError(f"pairs are {found.dtype} {list(found.shape)}: wanted whole numbers [m, 2], two nodes each")
    if found.size and not 0 <= found.min() <= found.max() < n:
        raise InputError(f"pairs name nodes from {found.min()} to {found.max()}: wanted 0 to {n - 1}")
    return found.astype(np.int64)


__all__ = ["best_pairs", "checked_pairs"]
