"""k-means with thousands of clusters of millions of rows: the search for the nearest centre is faiss's, on every core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unlabeled.data.storage import blocks, gather
from unlabeled.parts.assign import TOLERANCE, KMeans, check_vectors
from unlabeled.parts.checks import one_of, whole

BLOCK = 4 << 20  # bytes of rows at a time: enough for every core, little beside the data
SEED_ROWS = 50  # rows a cluster from which the first centres are drawn
FEW = 64  # centres up to which distances are a plain product
BATCH = 8  # a draw of first centres adds an eighth of those that are there


def kmeans_large(X: Any, k: int, *, metric: str = "euclidean", iters: int = 20, seed: int = 0) -> KMeans:
    """k clusters of the rows of X by Lloyd's iteration, as `parts.assign.kmeans`, for a large k: no slower than faiss's own.

    X: real [n, d], in memory or memory-mapped, read in blocks of 4 MB and never copied as a whole. metric: "euclidean", or
    "cosine" (rows and centres have unit length). k is cut to n. The first centres are drawn as in k-means++ (Arthur and
    Vassilvitskii, 2007) from 50 k random rows, but several at once, each time an eighth as many as there are: within a draw they
    don't know of each other. A cluster that lost its members gets a row drawn in the same manner; one that is empty at the end
    has no label. What `kmeans` has beyond it (weights, several starts, its way with empty clusters) is too slow at this size.
    n k distances an iteration, n k at the end and 50 k^2 (or n k) for the start. InputError: bad values.
    """
    X = check_vectors(X, "X")
    k, iters, metric = min(whole("k", k), len(X)), whole("iters", iters), one_of("metric", metric, ("euclidean", "cosine"))
    rng = np.random.default_rng(seed)
    spherical = metric == "cosine"
    # Distances are computed as |x|^2 - 2xc + |c|^2, which in float32 loses everything when all rows lie far from 0.
    offset = np.zeros(X.shape[1], np.float32) if spherical else _mean(X)
    sample = gather(X, np.sort(rng.choice(len(X), min(len(X), SEED_ROWS * k), replace=False)))
    centers, before, spread = _first(_rows(sample, offset, spherical), k, rng), None, 0.0
    for _ in range(iters):
        labels, distance, sums = _assign(X, centers, offset, spherical)
        spread = spread or float(distance.sum(dtype=np.float64))
        size = np.bincount(labels, minlength=k)
        after = sums / np.maximum(size, 1)[:, None].astype(np.float32)
        empty = np.flatnonzero(size == 0)
        drawn = _draw(distance, len(empty), rng)
        after[empty] = centers[empty]
        after[empty[: len(drawn)]] = _rows(gather(X, drawn), offset, spherical)
        after = _unit(after) if spherical else after
        still = float((((after - centers) ** 2).sum(axis=1) * size).sum()) <= TOLERANCE * spread and not len(drawn)
        centers = after
        if still or (before is not None and np.array_equal(labels, before) and not len(drawn)):
            break
        before = labels
    labels, distance, _ = _assign(X, centers, offset, spherical)
    inertia = float(distance.sum(dtype=np.float64))
    return KMeans(labels, centers + offset, inertia / 2 if spherical else inertia)


def nearest_center(X: Any, centers: np.ndarray, metric: str = "euclidean") -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the centres [k, d] for each row of X [n, d]: int64 [n], and the squared distance to it, float32 [n]."""
    spherical = metric == "cosine"
    offset = np.zeros(centers.shape[1], np.float32) if spherical else centers.mean(axis=0)
    labels, distance, _ = _assign(X, _unit(centers.copy()) if spherical else centers - offset, offset, spherical, total=False)
    return labels, distance


def _assign(
    X: np.ndarray, centers: np.ndarray, offset: np.ndarray, spherical: bool, total: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest centre of each row [n], squared distance to it [n], and the sum of each centre's rows [k, d]."""
    import faiss
    import torch

    index: Any = faiss.IndexFlatL2(centers.shape[1])
    index.add(np.ascontiguousarray(centers))
    labels, distance, sums = np.empty(len(X), np.int64), np.empty(len(X), np.float32), torch.zeros(centers.shape)
    for start, rows in _blocks(X, offset, spherical):
        here = slice(start, start + len(rows))
        found, nearest = index.search(rows, 1)
        labels[here], distance[here] = nearest[:, 0], np.maximum(found[:, 0], 0)
        if total:
            sums.index_add_(0, torch.from_numpy(labels[here]), torch.from_numpy(rows))
    return labels, distance, sums.numpy()


def _first(rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k of the rows [m, d], far from each other."""
    chosen = [rng.integers(len(rows), size=1)]
    distance = np.full(len(rows), np.inf, np.float32)
    squares, there = np.vecdot(rows, rows), 1
    while there < k:
        distance = np.minimum(distance, _nearest_of_few(rows, squares, rows[chosen[-1]]))
        distance[chosen[-1]] = 0
        drawn = _draw(distance, min(max(there // BATCH, 1), k - there), rng)
        if len(drawn) == 0:  # fewer different rows than clusters
            drawn = rng.permutation(len(rows))[: k - there]
        chosen.append(drawn)
        there += len(drawn)
    return rows[np.concatenate(chosen)].copy()


def _nearest_of_few(rows: np.ndarray, squares: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared distance of each row to the nearest centre. faiss's search pays from some dozens of centres on."""
    import torch

    if len(centers) > FEW:
        return _assign(rows, centers, np.zeros(rows.shape[1], np.float32), False, total=False)[1]
    few = torch.from_numpy(centers)
    own = few.square().sum(1, keepdim=True)
    near = [torch.addmm(own, few, part.T, alpha=-2).amin(0) for part in torch.from_numpy(rows).split(BLOCK // FEW)]
    return np.maximum(torch.cat(near).numpy() + squares, 0)


def _draw(distance: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` different rows, by their squared distance to their centre; fewer where fewer are away from it."""
    if count == 0:
        return np.empty(0, np.int64)
    chance = distance.astype(np.float64)
    there = min(count, int((chance > 0).sum()))
    # The largest of log(u) / w are a draw without replacement by the weights w (Efraimidis and Spirakis, 2006).
    with np.errstate(divide="ignore"):
        keys = np.log(rng.random(len(chance))) / chance
    return np.argpartition(-keys, there - 1)[:there] if there else np.empty(0, np.int64)


def _blocks(X: np.ndarray, offset: np.ndarray, spherical: bool) -> Iterator[tuple[int, np.ndarray]]:
    for start, rows in blocks(X, BLOCK):
        yield start, _rows(rows, offset, spherical)


def _rows(rows: np.ndarray, offset: np.ndarray, spherical: bool) -> np.ndarray:
    """Rows as `gather` copied them, which may be written into: minus the offset, or of unit length."""
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    if spherical:
        return _unit(rows)
    rows -= offset
    return rows


def _unit(rows: np.ndarray) -> np.ndarray:
    """Made of unit length, in place; a row of zeros stays one."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(length > 0, length, 1)
    return rows


def _mean(X: np.ndarray) -> np.ndarray:
    return (sum(rows.sum(axis=0, dtype=np.float64) for _, rows in blocks(X, BLOCK)) / len(X)).astype(np.float32)
