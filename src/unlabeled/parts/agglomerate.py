"""Merging clusters on a graph of nearest neighbours: graph degree linkage, as JULE has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors

MOST = 20_000  # clusters to begin with: their affinities are a dense matrix
CROWDED = 100  # clusters; while there are more, the choice of a merge also looks at how distinct a nearest cluster is
CHAIN = 50  # longest chain of nearest neighbours that becomes one cluster


def agglomerate(X: Any, n_clusters: int, *, k: int = 20, near: int = 5) -> np.ndarray:
    """Labels, int64 [n], of the rows of X [n, d]: chains of nearest neighbours, merged until `n_clusters` remain.

    k: neighbours in the graph. near: see `merge`. Zhang et al., 2012, "Graph Degree Linkage", arXiv:1208.5092, with the local
    contrast of Yang et al., 2016, arXiv:1604.03628. There may be fewer clusters than asked for where chains give fewer.
    """
    X = check_vectors(X, "X", least=2)
    graph, nearest = neighbours(X, k)
    return merge(X, graph, chains(nearest), n_clusters, near=near)


def neighbours(X: np.ndarray, k: int = 20, scale: float = 1.0) -> tuple[Any, np.ndarray]:
    """The directed graph W, sparse [n, n], and the nearest neighbour of each row, int64 [n].

    W_ij = exp(-|x_i - x_j|^2 / s) if j is among the k nearest of i, with s = scale * the mean of all these squared distances.
    """
    import faiss

    n, k = len(X), min(k, len(X) - 1)
    index: Any = faiss.IndexFlatL2(X.shape[1])
    X = np.ascontiguousarray(X - X.mean(axis=0), dtype=np.float32)
    index.add(X)
    squared, near = index.search(X, k + 1)
    own = near == np.arange(n)[:, None]
    own[~own.any(axis=1), -1] = True  # among many copies a row may miss itself
    squared, near = squared[~own].reshape(n, k).clip(min=0), near[~own].reshape(n, k)
    weights = np.exp(-squared / max(scale * float(squared.mean()), 1e-12))
    graph = sparse.csr_matrix((weights.ravel(), (np.repeat(np.arange(n), k), near.ravel())), shape=(n, n))
    return graph, near[:, 0].astype(np.int64)


def chains(nearest: np.ndarray, longest: int = CHAIN) -> np.ndarray:
    """Clusters to begin with, int64 [n]: each row goes with its nearest neighbour, that one with its own, ..., about n / 4 in all."""
    labels, count = np.full(len(nearest), -1, np.int64), 0
    for start in range(len(nearest)):
        chain: list[int] = []
        here = start
        while labels[here] == -1 and len(chain) < longest:
            chain.append(here)
            labels[here] = -2  # on this chain
            here = int(nearest[here])
        joined = int(labels[here])
        labels[chain] = joined if joined >= 0 else count
        count += bool(chain) and joined < 0
    return labels


def linkage(graph: Any, labels: np.ndarray) -> np.ndarray:
    """U [c, c]: sum over paths i -> m -> j with i and j in a and m in b, zero on the diagonal.

    U / |a|^2 is the affinity of a to b; the affinity of a pair is the sum of both directions. labels: 0 .. c - 1.
    """
    members = sparse.csr_matrix((np.ones(len(labels)), (np.arange(len(labels)), labels)))
    out, back = (members.T @ graph).tocsr(), (graph @ members).T.tocsr()
    paths = (out.multiply(back) @ members).toarray()
    np.fill_diagonal(paths, 0)
    return paths


def symmetric(paths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Affinity of every pair of clusters, [c, c]; nobody is their own neighbour (-inf)."""
    one_way = paths / np.square(sizes.astype(np.float64))[:, None]
    affinity = one_way + one_way.T
    np.fill_diagonal(affinity, -np.inf)
    return affinity


def merge(X: np.ndarray, graph: Any, labels: np.ndarray, n_clusters: int, *, near: int = 5, contrast: float = 1.0) -> np.ndarray:
    """Merge clusters (labels 0 .. c - 1) two by two until n_clusters remain: labels 0 .. n_clusters - 1.

    A cluster a and its nearest, b, go together where affinity(a, b) + contrast * (affinity(a, b) - mean affinity of a to its
    2nd to near-th nearest) is largest; the contrast only counts while there are more than 100. Clusters without any affinity go
    to the one with the nearest mean, the closest such pair first: at once if they have no more members than the graph has
    neighbours, else when nothing else is left to merge.
    """
    count = int(labels.max()) + 1
    if n_clusters < 1 or count > MOST:
        raise InputError(f"{count} clusters to be merged to {n_clusters}: wanted at most {MOST}, and 1 or more in the end")
    labels, alive = labels.copy(), np.ones(count, bool)
    sizes = np.bincount(labels, minlength=count)
    sums = np.zeros((count, X.shape[1]))
    np.add.at(sums, labels, X)
    paths, degree = linkage(graph, labels), graph.nnz / len(labels)
    affinity, near = symmetric(paths, sizes), min(near, count - 1)
    order, best = _top(affinity, near)
    for remaining in range(count, n_clusters, -1):
        alone = alive & (best[:, 0] <= 0)
        # A small one is an outlier: its members have neighbours elsewhere, who don't return it. A large one may be complete, and waits.
        lonely = np.flatnonzero(alone if alone.sum() == remaining else alone & (sizes <= degree))
        if len(lonely):
            squared = np.square(means := sums / sizes.clip(min=1)[:, None]).sum(axis=1)
            distance = squared[lonely][:, None] + squared - 2 * means[lonely] @ means.T
            distance[:, ~alive], distance[np.arange(len(lonely)), lonely] = np.inf, np.inf
            row, b = divmod(int(distance.argmin()), count)
            a = int(lonely[row])
        else:
            score = best[:, 0].copy()
            if remaining > max(CROWDED, near) and near > 1:
                with np.errstate(invalid="ignore"):
                    score += contrast * (best[:, 0] - best[:, 1:].mean(axis=1))
            a = int(np.where(alive, score, -np.inf).argmax())
            b = int(order[a, 0])
        # Paths into a merged cluster add up exactly; of those out of it, the ones that leave from a and end in b are left out, as
        # in the authors' code: the linkage is counted anew from the graph in every period.
        paths[a] += paths[b]
        paths[:, a] += paths[:, b]
        paths[a, a], paths[b], paths[:, b] = 0, 0, 0
        sizes[a], sizes[b], alive[b] = sizes[a] + sizes[b], 0, False
        sums[a] += sums[b]
        labels[labels == b] = a
        now = paths[a] / float(sizes[a]) ** 2 + paths[:, a] / np.square(sizes.clip(min=1).astype(np.float64))
        now[~alive], now[a] = -np.inf, -np.inf
        affinity[a], affinity[:, a] = now, now
        affinity[b], affinity[:, b] = -np.inf, -np.inf
        stale = np.flatnonzero(alive & (((order == a) | (order == b)).any(axis=1) | (now > best[:, -1])))
        stale = np.union1d(stale, [a])
        order[stale], best[stale] = _top(affinity[stale], near)
        best[b] = -np.inf
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def nearest_clusters(X: np.ndarray, graph: Any, labels: np.ndarray, near: int) -> np.ndarray:
    """The clusters that are nearest to each (labels 0 .. c - 1), int64 [c, near], filled up with -1; equal affinities by their means."""
    sizes = np.bincount(labels)
    sums = np.zeros((len(sizes), X.shape[1]))
    np.add.at(sums, labels, X)
    means = sums / sizes[:, None]
    squared = np.square(means).sum(axis=1)
    distance = squared[:, None] + squared - 2 * means @ means.T
    ranked = np.lexsort((distance, -symmetric(linkage(graph, labels), sizes)), axis=1)[:, : min(near, len(sizes) - 1)]
    return np.pad(ranked, ((0, 0), (0, near - ranked.shape[1])), constant_values=-1)


def periods(clusters: int, n_clusters: int, unroll: float) -> list[int]:
    """How many clusters there are after each period, if a period merges the share `unroll` of them, down to n_clusters."""
    counts = []
    while clusters > n_clusters:
        clusters = max(n_clusters, clusters - math.ceil(unroll * clusters))
        counts.append(clusters)
    return counts


def _top(affinity: np.ndarray, near: int) -> tuple[np.ndarray, np.ndarray]:
    """The `near` largest of each row, largest first: where, and how large."""
    where = np.argpartition(-affinity, near - 1, axis=1)[:, :near]
    values = np.take_along_axis(affinity, where, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(where, order, axis=1), np.take_along_axis(values, order, axis=1)
