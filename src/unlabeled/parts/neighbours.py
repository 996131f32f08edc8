"""Each row's nearest other rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.scale import unit

EXACT_PAIRS = 1e10  # rows times queries up to which every pair is compared


def nearest(X: np.ndarray, k: int) -> np.ndarray:
    """The k other rows of X [n, d] with the largest inner product with each, nearest first: int64 [n, min(k, n - 1)]."""
    import faiss

    X = np.ascontiguousarray(X, dtype=np.float32)
    n, k = len(X), min(k, len(X) - 1)
    index: Any = faiss.IndexFlatIP(X.shape[1])
    index.add(X)
    found = index.search(X, k + 1)[1]
    itself = found == np.arange(n)[:, None]
    itself[~itself.any(axis=1), -1] = True  # among more than k copies of a row it need not find itself
    return found[~itself].reshape(n, k)


@dataclass(frozen=True)
class Neighbours:
    rows: np.ndarray  # int64 [m, k], nearest first
    distances: np.ndarray  # float32 [m, k]: euclidean, or for metric="cosine" 1 - cosine
    recall: float  # share of the k nearest that were found: 1.0 where the search was exact, else measured on `measured_on` queries
    measured_on: int = 0

    def said(self) -> str:
        """One phrase for people."""
        return f"recall {self.recall:.3f} on {self.measured_on:,} queries" if self.measured_on else "exact"


def neighbours(
    X: Any, k: int, *, queries: Any = None, metric: str = "cosine", exact: bool | None = None, recall: float = 0.95, seed: int = 0
) -> Neighbours:
    """The k nearest rows of X [n, d] to each of `queries` [m, d]; without queries, to each row of X, which is not its own neighbour.

    metric: "cosine" (a row of zeros is at 1 from everything) or "euclidean". exact=None: exact while n x m is at most 1e10
    (100,000 rows with each other, 25 s on 4 cores at 128 numbers), beyond through an inverted file (faiss IVF), in which as
    many lists are searched as reach `recall` on 500 of the queries. k is cut to the rows there are. InputError: bad values.
    """
    import faiss

    from unlabeled.parts.assign import check_vectors

    if metric not in ("cosine", "euclidean"):
        raise InputError(f"metric={metric!r}: wanted 'cosine' or 'euclidean'")
    itself = queries is None
    X = check_vectors(X, "X")
    # Euclidean distances are computed as |x|^2 - 2xy + |y|^2, which in float32 loses everything when all rows lie far from 0.
    offset = X.mean(axis=0, dtype=np.float64).astype(np.float32) if metric == "euclidean" else None
    X = _places(X, offset)
    Q = X if itself else _places(check_vectors(queries, "queries"), offset)
    n, d = X.shape
    if Q.shape[1] != d:
        raise InputError(f"queries have {Q.shape[1]} numbers a row, X has {d}: wanted the same")
    if not isinstance(k, int | np.integer) or k < 1 or n - itself < 1:
        raise InputError(f"k={k!r} neighbours among {n - itself} rows: wanted 1 or more of each")
    k = int(min(k, n - itself))
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    flat: Any = faiss.IndexFlat(d, kind)
    if exact or (exact is None and n * len(Q) <= EXACT_PAIRS):
        flat.add(X)
        scores, rows = _search(flat, Q, k, itself)
        return Neighbours(rows, _distances(scores, metric), 1.0)
    index: Any = faiss.IndexIVFFlat(flat, d, int(2 * n**0.5), kind)
    index.cp.niter, index.cp.seed = 10, seed + 1
    draw = np.random.default_rng(seed)
    index.train(X[np.sort(draw.choice(n, min(n, 100 * index.nlist), replace=False))])
    index.add(X)
    asked = np.sort(draw.choice(len(Q), min(len(Q), 500), replace=False))
    true = faiss.knn(Q[asked], X, k + itself, kind)[0]
    for lists in (8, 16, 32, 64, 128, 256, index.nlist):
        index.nprobe = min(lists, index.nlist)
        scores = index.search(Q[asked], k + itself)[0]
        last = true[:, -1:]
        found = float(((scores >= last - 1e-6) if metric == "cosine" else (scores <= last * (1 + 1e-6))).mean())
        if found >= recall:
            break
    scores, rows = _search(index, Q, k, itself)
    return Neighbours(rows, _distances(scores, metric), found, len(asked))


def knn_graph(X: Any, k: int = 15, *, metric: str = "cosine", mutual: bool = False, weight: str = "distance", seed: int = 0) -> Any:
    """The k-nearest-neighbour graph of X [n, d]: a symmetric scipy.sparse.csr_array [n, n] without loops.

    Two rows are joined when one is among the k nearest of the other (mutual: each of the other). weight: "distance" (as in
    `neighbours`), "similarity" (1 - cosine distance, not below 0; euclidean: exp(-(d / s)^2), s the median distance to the
    k-th neighbour) or "one". Rows that are equal keep an edge: its distance is the smallest positive float32, not 0.
    """
    from scipy.sparse import csr_array

    if weight not in ("distance", "similarity", "one"):
        raise InputError(f"weight={weight!r}: wanted 'distance', 'similarity' or 'one'")
    found = neighbours(X, k, metric=metric, seed=seed)
    n, k = found.rows.shape
    distance = np.maximum(found.distances, np.finfo(np.float32).tiny)
    if weight == "one":
        values = np.ones_like(distance)
    elif weight == "similarity":
        scale = float(np.median(distance[:, -1]))
        values = np.maximum(1 - distance if metric == "cosine" else np.exp(-np.square(distance / scale)), np.finfo(np.float32).tiny)
    else:
        values = distance
    there = found.rows.ravel() >= 0
    graph = csr_array((values.ravel()[there], (np.repeat(np.arange(n), k)[there], found.rows.ravel()[there])), shape=(n, n))
    return graph.minimum(graph.T) if mutual else graph.maximum(graph.T)


def _places(X: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """The rows minus the offset, or of unit length where there is none."""
    if offset is not None:
        return np.ascontiguousarray(X - offset, dtype=np.float32)
    return np.ascontiguousarray(unit(X), dtype=np.float32)


def _distances(scores: np.ndarray, metric: str) -> np.ndarray:
    return np.maximum(1 - scores, 0) if metric == "cosine" else np.sqrt(np.maximum(scores, 0))


def _search(index: Any, Q: np.ndarray, k: int, itself: bool) -> tuple[np.ndarray, np.ndarray]:
    if not itself:
        return index.search(Q, k)
    scores, rows = index.search(Q, k + 1)
    own = rows == np.arange(len(Q))[:, None]
    own[~own.any(axis=1), -1] = True  # among more than k copies of a row it need not find itself
    return scores[~own].reshape(len(Q), k), rows[~own].reshape(len(Q), k)
