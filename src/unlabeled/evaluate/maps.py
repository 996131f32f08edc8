"""A picture of a representation: two numbers for each item."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.evaluate.labelfree import _directions, draw
from unlabeled.parts.assign import blocks, check_vectors
from unlabeled.parts.neighbours import neighbours

FITTED = 5_000  # items that the map is fitted on; the others are placed among them
PERPLEXITY, NEIGHBOURS = 30, 90
AXES = 50  # principal axes that distances are computed in, where there are more
EARLY, LATE = 100, 250  # iterations. openTSNE's 250 and 500 take twice the time for the same map (share of neighbours kept .591 and .591)


def map2d(Z: Any, seed: int = 0) -> np.ndarray:
    """Positions of the rows of Z [n, d], float32 [n, 2]: items that lie near each other in Z lie near each other in it.

    t-SNE (van der Maaten and Hinton, 2008) through openTSNE on rows that are centred and made unit, started from the first
    two principal components (Kobak and Berens, 2019), on up to 5,000 items drawn with `seed`; each further item goes to
    the weighted mean of its five nearest fitted ones. Repeatable for a seed. Under ten items: the principal components
    themselves; identical items: all at (0, 0). Distances between far groups mean nothing.

    Measured on digits, 10 neighbours kept / 10-NN accuracy on the map: this .591 / .984 in 4 s on a core, the two principal
    components .119 / .624, scikit-learn's TSNE .591 / .984 in 11 s. Barnes-Hut: FFT takes three times as long at 5,000 points.
    """
    Z = check_vectors(Z)
    rows = draw(len(Z), FITTED, seed)
    chosen = gather(Z, rows).astype(np.float32)
    if len(rows) == len(Z):
        return _fit(_directions(chosen), seed)
    import faiss

    from unlabeled.representation.index import unit

    center = chosen.mean(axis=0, dtype=np.float64).astype(np.float32)
    chosen = unit(chosen, center)
    fitted = _fit(chosen, seed)
    index: Any = faiss.IndexFlatIP(chosen.shape[1])
    index.add(chosen)
    positions, start = np.empty((len(Z), 2), np.float32), 0
    for block in blocks(Z):
        cosine, near = index.search(unit(block.numpy(), center), 5)
        weight = np.maximum(cosine, 1e-3)[:, :, None]
        positions[start : start + len(block)] = (fitted[near] * weight).sum(axis=1) / weight.sum(axis=1)
        start += len(block)
    positions[rows] = fitted
    return positions


def neighbours_kept(Z: Any, positions: Any, k: int = 10, seed: int = 0) -> float:
    """Share of each item's k nearest rows of Z [n, d] (centred cosine) that are among its k nearest on the map [n, 2].

    Of at most 5,000 items, drawn with `seed`; chance is about k / n.
    """
    Z, places = check_vectors(Z), check_vectors(positions, "positions")
    if len(Z) != len(places) or not 1 <= k < len(Z):
        raise InputError(f"{len(Z)} vectors, {len(places)} positions, k={k}: wanted as many of both, and more than k")
    rows = draw(len(Z), FITTED, seed)
    near = [_nearest(X, k)[1] for X in (_directions(gather(Z, rows).astype(np.float32)), gather(places, rows).astype(np.float32))]
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(*near, strict=True)]) / k)


def _nearest(X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows [n, k] of the k nearest other rows of each row of X [n, d]."""
    found = neighbours(X, k, metric="euclidean")
    return found.distances, found.rows


def _fit(X: np.ndarray, seed: int) -> np.ndarray:
    variance, axes = np.linalg.eigh((X.T @ X if len(X) else X).astype(np.float64))
    axes = axes[:, ::-1][:, :AXES]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)  # an axis has no sign: fix it
    X = np.ascontiguousarray(X @ axes, dtype=np.float32)
    start = np.zeros((len(X), 2))
    start[:, : X.shape[1]] = X[:, :2]
    if len(X) < 10 or variance[-1] < 1e-6:
        return start.astype(np.float32)
    import openTSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    perplexity = min(PERPLEXITY, (len(X) - 1) / 3)
    distance, rows = _nearest(X, min(NEIGHBOURS, len(X) - 1))
    affinities = PerplexityBasedNN(perplexity=perplexity, knn_index=PrecomputedNeighbors(rows, distance), n_jobs=-1)
    start *= 1e-4 / start[:, 0].std()
    tsne = openTSNE.TSNE(
        initialization=start,
        early_exaggeration_iter=EARLY,
        n_iter=LATE,
        negative_gradient_method="bh",
        n_jobs=-1,
        random_state=seed,
    )
    return np.asarray(tsne.fit(affinities=affinities), dtype=np.float32)
