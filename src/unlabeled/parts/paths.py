"""How far two rows are apart along paths through dense places, and coordinates in which that is a plain distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.neighbours import knn_graph, neighbours

EXACT = 4_000  # rows up to which every row is a landmark
LANDMARKS = 1_000  # beyond
STEEPEST = 600.0  # the largest exponent of an edge: e^600 times a million edges is still a number


def joined(graph: Any, X: np.ndarray, metric: str = "euclidean") -> Any:
    """The graph of distances with its components joined, each by its shortest edge to the rest, until there is one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    while True:
        count, part = connected_components(graph, directed=False)
        if count == 1:
            return graph
        largest, edges = int(np.bincount(part).argmax()), {}
        for one in range(count):
            if one == largest:
                continue
            inside, outside = np.flatnonzero(part == one), np.flatnonzero(part != one)
            near = neighbours(X[outside], 1, queries=X[inside], metric=metric, exact=True)
            at = int(near.distances[:, 0].argmin())
            a, b = int(inside[at]), int(outside[near.rows[at, 0]])
            edges[min(a, b), max(a, b)] = max(float(near.distances[at, 0]), float(np.finfo(np.float32).tiny))
        rows, columns = np.array(list(edges)).T
        new = coo_array((np.array(list(edges.values()), graph.dtype), (rows, columns)), shape=graph.shape)
        graph = graph.maximum(new.tocsr()).maximum(new.T.tocsr())


def path_distances(graph: Any, rho: float, sources: np.ndarray) -> np.ndarray:
    """Squared density-path distances float32 [sources, n] along a connected graph of distances.

    (log(1 + D) / rho)^2, D the smallest sum of exp(rho d) - 1 over the edges of a path: one long edge costs far more than many
    short ones, so paths avoid empty regions. Distances are divided by the median edge first. rho = 0 is its limit: the
    square of the path's plain length (Isomap). Chapelle and Zien, 2005, "Semi-Supervised Classification by Low Density Separation".
    """
    from scipy.sparse.csgraph import dijkstra

    if not (np.isfinite(rho) and rho >= 0):
        raise InputError(f"rho={rho!r}: wanted a finite number of at least 0")
    graph = graph.astype(np.float64)
    scale = float(np.median(graph.data)) if graph.nnz else 1.0
    scale = scale if scale > 1e-12 * graph.data.max(initial=0) else float(graph.data.mean())  # most rows are copies of others
    lengths = graph.data / scale
    graph.data = np.expm1(np.minimum(rho * lengths, STEEPEST)) if rho else lengths
    graph.data = np.maximum(graph.data, 1e-300)  # an edge of 0 would be none
    found = np.empty((len(sources), graph.shape[0]), np.float32)
    rows = max(1, (1 << 24) // graph.shape[0])  # 128 MB of float64 at once
    for start in range(0, len(sources), rows):
        D = dijkstra(graph, directed=False, indices=sources[start : start + rows])
        found[start : start + rows] = np.square(np.log1p(D) / rho if rho else D)
    return found


def landmark_mds(squared: np.ndarray, landmarks: np.ndarray, delta: float = 0.1) -> np.ndarray:
    """Coordinates float32 [n, dim] whose squared distances are close to `squared` [m, n], those of m landmark rows to all rows.

    Classical scaling of the landmarks: double centring, and the axes whose eigenvalue is above `delta` of the largest. The other rows
    go where their distances to the landmarks put them (de Silva and Tenenbaum, 2004). With every row a landmark: classical scaling.
    """
    from scipy.linalg import eigh

    among = squared[:, landmarks].astype(np.float64)
    middle = among.mean(axis=0)
    gram = -(among - middle - middle[:, None] + middle.mean()) / 2
    values, vectors = eigh((gram + gram.T) / 2)
    keep = np.flatnonzero(values > max(delta * values[-1], 1e-12 * np.abs(values).max()))[::-1]
    if not len(keep):  # all rows at one place
        return np.zeros((squared.shape[1], 1), np.float32)
    back = (vectors[:, keep] / np.sqrt(values[keep])).astype(np.float32)
    return -((squared - middle[:, None].astype(np.float32)).T @ back) / 2


def density_coordinates(
    X: np.ndarray, *, k: int = 15, rho: float = 1.0, delta: float = 0.1, landmarks: int | None = None, first: Any = (), seed: int = 0
) -> np.ndarray:
    """Coordinates float32 [n, dim] of the rows X [n, d], far apart where only paths through empty regions join them.

    Euclidean k-nearest-neighbour graph, components joined, density-path distances, classical scaling. landmarks: how many
    rows the distances are measured from (None: all of up to 4,000 rows, else 1,000); memory is landmarks x n. first: rows that
    are landmarks in any case.
    """
    n = len(X)
    wanted = min(n, landmarks or (n if n <= EXACT else LANDMARKS))
    fixed = np.unique(np.asarray(first, dtype=np.int64))[:wanted]
    drawn = np.random.default_rng(seed).permutation(n)
    rows = np.sort(np.concatenate([fixed, drawn[~np.isin(drawn, fixed)][: wanted - len(fixed)]]).astype(np.int64))
    graph = joined(knn_graph(X, k, metric="euclidean", seed=seed), X)
    return landmark_mds(path_distances(graph, rho, rows), rows, delta)
