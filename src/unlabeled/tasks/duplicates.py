"""Groups of items that are the same, or nearly."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.errors import InputError

EXACT = 50_000  # vectors that are compared each with each; beyond, only within neighbouring cells of a faiss IVF index


def near_duplicates(Z: Any, threshold: float | None = None, k: int = 10, seed: int = 0) -> list[tuple[list[int], float]]:
    """Groups of near-duplicates: (rows in order, similarity), most similar first.

    Two items belong together when one is among the k nearest of the other and their cosine, on mean-subtracted vectors
    of Z [n, d], is `threshold` or more; groups are the connected components, `similarity` is the weakest link of a group.
    Rows that are equal in every number are always found, whatever k and threshold (similarity 1).

    threshold=None fits it to the data: a pair must be four times as close as an item is to its k-th neighbour (the median
    over items). Where that takes in more than 2 % of the items and they don't stand apart (few pairs between that distance
    and twice it), the space is too coarse to tell near-duplicates by it, and only pairs that stand out from the items'
    nearest-neighbour distances by 3 robust standard deviations (of their logarithm) are kept. Near-duplicates are those of
    this space: a representation that ignores a difference makes duplicates of items that differ in it.

    Up to 50,000 different rows the search is exact; beyond, each row is compared with the rows of its nearest cells, which
    misses almost no pair as close as these. InputError: bad values in Z, threshold or k.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    from unlabeled.parts.assign import check_vectors
    from unlabeled.parts.neighbours import neighbours
    from unlabeled.representation.index import unit

    Z = np.ascontiguousarray(check_vectors(Z), dtype=np.float32)
    if threshold is not None and not -1 <= threshold <= 1:
        raise InputError(f"threshold={threshold!r}: wanted a cosine from -1 to 1, or None to fit it to the data")
    if k < 1:
        raise InputError(f"k={k!r}: wanted at least 1 neighbour")
    first, same = _equal_rows(Z)
    X = unit(Z[first], Z.mean(axis=0, dtype=np.float64).astype(np.float32))
    n = len(X)
    links = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    if n > 1:
        nearest = neighbours(X, k, exact=n <= EXACT, seed=seed)
        cosine, near = 1 - nearest.distances, nearest.rows
        limit = _fitted(np.sqrt(np.maximum(2 - 2 * cosine, 0))) if threshold is None else threshold
        row, place = np.nonzero((cosine >= limit) & (near >= 0))
        links = row, near[row, place], np.clip(cosine[row, place], -1, 1)
    components = connected_components(csr_array((np.ones(len(links[0])), links[:2]), shape=(n, n)), directed=False)[1]
    weakest = np.ones(n)
    np.minimum.at(weakest, components[links[0]], links[2])
    group = components[same]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    found = [(sorted(rows.tolist()), float(weakest[group[rows[0]]])) for rows in np.split(order, starts[1:]) if len(rows) > 1]
    return sorted(found, key=lambda pair: (-pair[1], pair[0][0]))


def _equal_rows(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row of each different vector [m], and for each row which of them it is [n]."""
    packed = (Z + 0.0).view(np.dtype((np.void, Z.shape[1] * Z.itemsize))).ravel()  # + 0.0: no negative zeros
    return np.unique(packed, return_index=True, return_inverse=True)[1:]


def _fitted(distance: np.ndarray) -> float:
    """The least cosine of a near-duplicate, from the distances [n, k] of each item to its neighbours. See `near_duplicates`."""
    nearest, last = distance[:, 0], float(np.median(distance[:, -1]))
    limit = last / 4
    close, between = (nearest < limit).mean(), ((nearest >= limit) & (nearest < 2 * limit)).mean()
    if close > 0.02 and between > 0.1 * close:
        logs = np.log(np.maximum(nearest, 1e-6))
        spread = 1.4826 * np.median(np.abs(logs - np.median(logs)))
        limit = min(limit, float(np.exp(np.median(logs) - 3 * spread)))
    return 1 - limit**2 / 2
