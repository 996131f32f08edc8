"""How well vectors tell labels of which an item may have several: one-vs-rest logistic regression, as many guesses as there are labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unlabeled.errors import InputError

PENALTIES = (1.0, 0.1, 0.01, 0.001)  # weight of half the squared weights beside the mean loss, strongest first: for every arm the same


def top_k_f1(Z: Any, Y: Any, train: Any, seed: int = 0) -> dict[str, float]:
    """micro and macro F1 of the items that aren't in `train`, by logistic regression on those that are.

    Perozzi et al., 2014, arXiv:1403.6652: an item with k labels is given the k likeliest ones. Z: float [n, d]; Y: bool [n, labels];
    train: rows. Z is standardised with the training rows' statistics; the penalty is chosen by micro F1 on a fifth of the training rows
    (drawn with `seed`), then all are used: the same search for all vectors. A label that no training row has is never given. InputError:
    shapes that don't fit, no rows left to test.
    """
    Z, Y = np.asarray(Z, dtype=np.float32), np.asarray(Y, dtype=bool)
    if Z.ndim != 2 or Y.ndim != 2 or len(Z) != len(Y) or not np.isfinite(Z).all():
        raise InputError(f"vectors {list(Z.shape)}, labels {list(Y.shape)}: wanted finite [n, d] and [n, labels]")
    rows = np.asarray(train, dtype=np.int64)
    test = np.setdiff1d(np.arange(len(Z)), rows)
    test = test[Y[test].any(axis=1)]
    if len(rows) < 5 or not len(test):
        raise InputError(f"{len(rows)} rows to learn from and {len(test)} with labels to test on: wanted 5 and 1 at least")
    held, rest = np.split(np.random.default_rng(seed).permutation(rows), [len(rows) // 5])
    scores = [f1(Y[held], guesses(guessed, Y[held]))["micro"] for guessed in _path(Z, Y, rest, held, PENALTIES)]
    best = PENALTIES[int(np.argmax(scores))]
    *_, guessed = _path(Z, Y, rows, test, (best,))
    return f1(Y[test], guesses(guessed, Y[test]))


def guesses(scores: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """bool [n, labels]: of each row the k highest scores, k being how many labels Y says it has."""
    place = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return place < Y.sum(axis=1, keepdims=True)


def f1(Y: np.ndarray, guessed: np.ndarray) -> dict[str, float]:
    """micro: of all labels together; macro: mean over the labels, 0 for one that is neither there nor guessed."""
    right, there, said = (Y & guessed).sum(axis=0), Y.sum(axis=0), guessed.sum(axis=0)
    return {
        "micro": float(2 * right.sum() / max(there.sum() + said.sum(), 1)),
        "macro": float((2 * right / np.maximum(there + said, 1)).mean()),
    }


def _path(Z: np.ndarray, Y: np.ndarray, rows: np.ndarray, test: np.ndarray, penalties: tuple[float, ...]) -> Iterator[np.ndarray]:
    """Scores [test, labels] for each penalty, each fit going on from the last one's."""
    from scipy.optimize import minimize

    mean, spread = Z[rows].mean(axis=0), Z[rows].std(axis=0)
    spread[spread <= 1e-6 * abs(mean) + 1e-12] = np.inf  # a constant column says nothing
    A, B = ((Z[part] - mean) / spread for part in (rows, test))
    y = Y[rows].astype(np.float32)
    share = np.clip(y.mean(axis=0), 1e-4, 1 - 1e-4)
    # In the axes of A the curvature is nearly diagonal, and a rotation leaves the penalty as it is: a few steps are enough.
    along, axes = np.linalg.eigh((A.T @ A).astype(np.float64) / len(A))
    A, B = (np.concatenate([part @ axes.astype(np.float32), np.ones((len(part), 1), np.float32)], axis=1) for part in (A, B))
    curvature = share * (1 - share) * np.append(np.maximum(along, 0), 1)[:, None]
    W = np.zeros((A.shape[1], y.shape[1]))
    W[-1] = np.log(share / (1 - share))
    for penalty in penalties:
        decay = np.full((len(W), 1), penalty)
        decay[-1] = 1e-9
        scale = 1 / np.sqrt(curvature + decay)

        def loss(flat: np.ndarray, decay: np.ndarray = decay, scale: np.ndarray = scale) -> tuple[float, np.ndarray]:
            w = flat.reshape(scale.shape) * scale
            x = A @ w.astype(np.float32)
            e = np.exp(-abs(x))
            value = (np.maximum(x, 0) - y * x + np.log(1 + e)).sum(dtype=np.float64) / len(A) + (decay * w**2).sum() / 2
            p = np.where(x >= 0, 1, e) / (1 + e)
            return float(value), ((A.T @ (p - y) / len(A) + decay * w) * scale).ravel()

        found = minimize(loss, (W / scale).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 100, "ftol": 1e-6, "gtol": 1e-4})
        W = found.x.reshape(scale.shape) * scale
        yield np.where(y.any(axis=0), B @ W.astype(np.float32), -np.inf)


__all__ = ["f1", "guesses", "top_k_f1"]
