"""From distances of all pairs to other metrics and to weights: linkage, along a graph, UMAP's fuzzy graph. All [n, n], symmetric."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import squareform


def ultrametric(D: np.ndarray, kind: str = "single") -> np.ndarray:
    """The height at which each pair first shares a cluster. "single": the longest step on the way with the shortest longest step."""
    return squareform(cophenet(linkage(squareform(D, checks=False), kind)))


def geodesic(D: np.ndarray, k: int) -> np.ndarray:
    """Shortest ways along the graph that joins each row with its k nearest; pairs that it doesn't join: 1.5 times the farthest."""
    near = _nearest(D, k)
    rows = np.repeat(np.arange(len(D)), near.shape[1])
    steps = np.maximum(D[rows, near.ravel()], np.finfo(float).tiny)  # 0 would be no edge
    found = shortest_path(csr_array((steps, (rows, near.ravel())), shape=D.shape), directed=False)
    there = np.isfinite(found)
    return np.where(there, found, 1.5 * max(found[there].max(), D.max()))


def fuzzy(D: np.ndarray, k: int) -> np.ndarray:
    """UMAP's weights: exp(-(d - rho) / sigma) among the k nearest, joined by a + b - ab. McInnes et al., 2018, arXiv:1802.03426.

    rho is the distance to the nearest other vector; sigma makes a row's weights add up to log2(k). The diagonal is 1.
    """
    n = len(D)
    near = _nearest(D, k)
    d = np.take_along_axis(D, near, axis=1)
    rho = np.where(d > 0, d, np.inf).min(axis=1)
    beyond = np.maximum(d - np.where(np.isfinite(rho), rho, 0)[:, None], 0)
    wanted = min(np.log2(near.shape[1]), near.shape[1] - 1e-3) if near.shape[1] > 1 else 1.0
    least = 1e-3 * float(d.mean()) or 1.0
    low, high = np.full(n, least), np.full(n, max(1e3 * float(d.max()), least))
    for _ in range(64):
        sigma = (low + high) / 2
        over = np.exp(-beyond / sigma[:, None]).sum(axis=1) > wanted
        low, high = np.where(over, low, sigma), np.where(over, sigma, high)
    w = np.zeros_like(D)
    np.put_along_axis(w, near, np.exp(-beyond / high[:, None]), axis=1)
    w = w + w.T - w * w.T
    np.fill_diagonal(w, 1)
    return w


def strongest(w: np.ndarray, top: int) -> np.ndarray:
    """Only the weights that are among the `top` largest of either row; the diagonal stays."""
    keep = np.eye(len(w), dtype=bool)
    np.put_along_axis(keep, _nearest(-w, top), True, axis=1)
    return np.where(keep | keep.T, w, 0)


def _nearest(D: np.ndarray, k: int) -> np.ndarray:
    """The k other columns with the smallest entries of each row: int64 [n, min(k, n - 1)]."""
    D = D.copy()
    np.fill_diagonal(D, np.inf)
    return np.argsort(D, axis=1, kind="stable")[:, : min(k, len(D) - 1)]
