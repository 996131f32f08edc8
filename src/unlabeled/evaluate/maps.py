"""A picture of a representation: two numbers for each item."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.parts.assign import check_vectors

FITTED = 5000  # items that the map is fitted on; the others are placed among them
PERPLEXITY = 30


def map2d(Z: Any, seed: int = 0) -> np.ndarray:
    """Positions of the rows of Z [n, d], float32 [n, 2]: items that lie near each other in Z lie near each other in it.

    t-SNE (van der Maaten and Hinton, 2008) through openTSNE, started from the first two principal components, on up to
    5,000 items; each further item goes to the mean of its five nearest fitted ones. Under ten items: the principal
    components themselves. Distances between far groups mean nothing. Rows are centred and made unit first.
    """
    X = np.asarray(check_vectors(Z), dtype=np.float32)
    X = X - X.mean(axis=0)
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    X = X / np.where(norm > 0, norm, 1)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(X), FITTED, replace=False)) if len(X) > FITTED else np.arange(len(X))
    fitted = _fit(X[rows], seed)
    if len(rows) == len(X):
        return fitted
    positions = np.empty((len(X), 2), np.float32)
    for start in range(0, len(X), 2048):
        similarity = X[start : start + 2048] @ X[rows].T
        near = np.argpartition(-similarity, 5, axis=1)[:, :5]
        weight = np.maximum(np.take_along_axis(similarity, near, axis=1), 1e-3)
        positions[start : start + 2048] = (fitted[near] * weight[:, :, None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    positions[rows] = fitted
    return positions


def neighbours_kept(Z: Any, positions: np.ndarray, k: int = 10) -> float:
    """Share of each item's k nearest rows of Z [n, d] (centred cosine) that are among its k nearest on the map [n, 2]."""
    X = np.asarray(check_vectors(Z, least=k + 1))
    X = X - X.mean(axis=0)
    X = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    high = X @ X.T
    low = -np.square(positions[:, None] - positions[None]).sum(axis=2)
    near = []
    for S in (high, low):
        np.fill_diagonal(S, -np.inf)
        near.append(np.argpartition(-S, k, axis=1)[:, :k])
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(*near, strict=True)]) / k)


def _fit(X: np.ndarray, seed: int) -> np.ndarray:
    left, singular, _ = np.linalg.svd(X, full_matrices=False) if min(X.shape) <= 1000 else _leading(X)
    start = np.zeros((len(X), 2))
    width = min(2, len(singular))
    start[:, :width] = left[:, :width] * singular[:width]
    start *= np.where(start[np.abs(start).argmax(axis=0), np.arange(2)] < 0, -1, 1)  # an axis has no sign of its own: fix it
    if len(X) < 10 or singular[0] < 1e-6:
        return start.astype(np.float32)
    import openTSNE

    reduced = (left * singular)[:, :50] if X.shape[1] > 50 else X
    scaled = start / max(start[:, 0].std(), 1e-12) * 1e-4
    scaled += np.random.default_rng(seed).normal(scale=1e-6, size=scaled.shape)  # identical items must be able to part
    tsne = openTSNE.TSNE(
        perplexity=min(PERPLEXITY, (len(X) - 1) / 3),
        initialization=scaled,
        neighbors="exact" if len(X) < 2000 else "annoy",
        n_iter=400,
        n_jobs=-1,
        random_state=seed,
    )
    return np.asarray(tsne.fit(reduced), dtype=np.float32)


def _leading(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.utils.extmath import randomized_svd

    return randomized_svd(X, 50, random_state=0)  # type: ignore[no-any-return]
