"""Places [n, dim] from weights or distances of all pairs: stress, the graph's Laplacian, UMAP's cross-entropy."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import eigh


def classical_map(delta: np.ndarray, dim: int) -> np.ndarray:
    """Classical scaling (Torgerson, 1952): exact where delta [n, n] are distances of points in dim dimensions."""
    squared = np.square(delta)
    inner = -(squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()) / 2
    values, axes = _top(inner, dim)
    return axes * np.sqrt(np.maximum(values, 0))


def mds_map(delta: np.ndarray, dim: int, *, starts: int = 1, seed: int = 0) -> np.ndarray:
    """Places with the least sum of (|y_i - y_j| - delta_ij)^2, by SMACOF from the classical solution and starts - 1 random ones."""
    from sklearn.manifold import smacof

    if not delta.any():
        return np.zeros((len(delta), dim))
    rng, best, lowest = np.random.default_rng(seed), None, np.inf
    for start in range(starts):
        first = classical_map(delta, dim) if start == 0 else rng.normal(size=(len(delta), dim)) * delta.std()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the last of 300 rounds still moved a little
            found, stress = smacof(delta, n_components=dim, init=first, n_init=1, normalized_stress=False)
        if stress < lowest:
            best, lowest = found, stress
    assert best is not None
    return best


def laplacian_map(w: np.ndarray, dim: int) -> np.ndarray:
    """The smoothest functions on the graph of weights w [n, n]: L y = lambda D y, without the constant one; variance 1 over the rows.

    Belkin and Niyogi, 2003. The diagonal doesn't count. Where the graph has parts, the first functions tell these apart.
    """
    w = w - np.diag(w.diagonal())
    degree = np.maximum(w.sum(axis=1), 1e-12)
    scale = 1 / np.sqrt(degree)
    _, axes = _top(w * scale[:, None] * scale, dim + 1)
    return axes[:, 1:] * scale[:, None] * np.sqrt(degree.sum())


def cross_entropy_map(
    w: np.ndarray, dim: int, *, epochs: int = 200, min_dist: float = 0.1, negatives: int = 5, most: int = 30, seed: int = 0
) -> np.ndarray:
    """Places with a low cross-entropy between w [n, n] and 1 / (1 + a |y_i - y_j|^2b), from the Laplacian's. As UMAP, arXiv:1802.03426.

    Each epoch draws pairs by their weight (on average at most `most` a row) and five others for each, which are pushed away:
    the pairs that are not neighbours weigh less than in the full sum, as in UMAP itself (Damrich and Hamprecht, 2021).
    """
    rng = np.random.default_rng(seed)
    n = len(w)
    a, b = _curve(min_dist)
    Y = laplacian_map(w, dim)
    Y = 10 * Y / max(float(np.abs(Y).max()), 1e-12) + rng.normal(scale=1e-4, size=Y.shape)
    heads, tails = np.nonzero(np.where(np.eye(n, dtype=bool), 0, w))
    if not len(heads):
        return Y
    chance = w[heads, tails] / w[heads, tails].max()
    chance *= min(1.0, most * n / chance.sum())
    for epoch in range(epochs):
        rate = 1 - epoch / epochs
        drawn = rng.permutation(np.flatnonzero(rng.random(len(heads)) < chance))
        for part in np.array_split(drawn, max(1, 2 * len(drawn) // n)):  # few enough for a row to move about once
            i, j = heads[part], tails[part]
            way = Y[i] - Y[j]
            squared = np.square(way).sum(axis=1, keepdims=True)
            power = np.maximum(squared, 1e-12) ** b
            pull = np.clip(-2 * a * b * power / np.maximum(squared, 1e-12) / (1 + a * power) * way, -4, 4)
            others = rng.integers(0, n, (len(part), negatives))
            apart = Y[i][:, None] - Y[others]
            squared = np.square(apart).sum(axis=2, keepdims=True)
            push = np.clip(2 * b / ((1e-3 + squared) * (1 + a * squared**b)) * apart, -4, 4).sum(axis=1)
            np.add.at(Y, i, rate * (pull + push))
            np.add.at(Y, j, -rate * pull)
    return Y - Y.mean(axis=0)


def _curve(min_dist: float) -> tuple[float, float]:
    """a and b for which 1 / (1 + a d^2b) is nearest to 1 up to min_dist and exp(min_dist - d) beyond."""
    from scipy.optimize import curve_fit

    d = np.linspace(0, 3, 300)
    (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), d, np.where(d < min_dist, 1, np.exp(min_dist - d)))
    return float(a), float(b)


def _top(symmetric: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues, falling, and their vectors as columns with the largest entry positive; zeros where there are fewer."""
    n = len(symmetric)
    values, axes = np.zeros(dim), np.zeros((n, dim))
    found = min(dim, n)
    some, vectors = eigh(symmetric, subset_by_index=[n - found, n - 1])
    values[:found], axes[:, :found] = some[::-1], vectors[:, ::-1]
    return values, axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(dim)] < 0, -1, 1)
