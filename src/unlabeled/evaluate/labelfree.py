"""Measures that need no label."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors

PAIRS = 5000  # rows on which measures over all pairs are taken, drawn with a fixed seed


def rankme(Z: Any, eps: float = 1e-7) -> float:
    """Effective rank of Z [n, d]: the exponential of the entropy of its singular values, from 1 to min(n, d).

    Not centred, as in the paper. Compare it within one method and one d; n should be several times d. High rank is
    necessary for a good representation, not sufficient: noise raises it. A matrix of zeros has rank 1.
    Garrido et al., 2022, arXiv:2210.02885.
    """
    X = np.asarray(check_vectors(Z), dtype=np.float64)
    gram = X.T @ X if X.shape[0] >= X.shape[1] else X @ X.T
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    if not singular.sum():
        return 1.0
    p = singular / singular.sum() + eps
    return float(np.exp(-(p * np.log(p)).sum()))


def uniformity(Z: Any, t: float = 2.0) -> float:
    """log of the mean of exp(-t |u - v|^2) over pairs of different rows made unit; 0 when all coincide, about -2t at best.

    Of at most 5,000 rows. Wang and Isola, 2020, arXiv:2005.10242. Lower is more uniform.
    """
    cosine = _pairs(Z)
    return float(np.log(np.exp(-t * (2 - 2 * cosine)).mean()))


def mean_cosine(Z: Any) -> float:
    """Mean cosine between different rows of Z [n, d] (at most 5,000 of them): 1 when all point one way."""
    return float(_pairs(Z).mean())


def std_sqrt_d(Z: Any) -> float:
    """Standard deviation of each coordinate of the unit rows, averaged, times sqrt(d): about 1 healthy, 0 collapsed.

    Chen and He, 2020, arXiv:2011.10566.
    """
    U = _unit(check_vectors(Z, least=2))
    return float(U.std(axis=0).mean() * np.sqrt(U.shape[1]))


def alignment(Z1: Any, Z2: Any, alpha: float = 2.0) -> float:
    """Mean distance to the power alpha between partners, rows of Z1 and Z2 [n, d] made unit. 0 when they coincide.

    Wang and Isola, 2020, arXiv:2005.10242.
    """
    A, B = _two(Z1, Z2)
    return float((np.linalg.norm(_unit(A) - _unit(B), axis=1) ** alpha).mean())


def tolerance(Z: Any, y: Any) -> float:
    """Mean cosine between different rows of one class (needs labels y [n]). Wang and Liu, 2020, arXiv:2012.09740."""
    X = check_vectors(Z, least=2)
    labels = np.asarray(y)
    if labels.shape != (len(X),):
        raise InputError(f"y has shape {labels.shape} for {len(X)} rows: wanted one label each")
    U, total, pairs = _unit(X), 0.0, 0
    for label in np.unique(labels):
        own = U[labels == label]
        total += float(np.square(own.sum(axis=0)).sum() - len(own))
        pairs += len(own) * (len(own) - 1)
    if not pairs:
        raise InputError("every class has one member: tolerance needs a class with two")
    return total / pairs


def half_retrieval(A: Any, B: Any) -> float:
    """Two embeddings [n, d] of two parts of the same n items: share of rows whose nearest row of the other is their own.

    Cosine after each side's mean is taken off; both directions averaged; a tie counts as missed. Chance is 1 / n.
    """
    A, B = _two(A, B)
    S = _unit(A - A.mean(axis=0)) @ _unit(B - B.mean(axis=0)).T
    own = S.diagonal().copy()
    np.fill_diagonal(S, -np.inf)
    return float(((own > S.max(axis=1) + 1e-6).mean() + (own > S.max(axis=0) + 1e-6).mean()) / 2)


def neighbour_overlap(Z1: Any, Z2: Any, k: int = 10, sample: int = 2000, seed: int = 0) -> float:
    """Share of the k nearest items (cosine after the mean is taken off) that two embeddings of n items agree on.

    Of at most `sample` items, drawn with `seed`. 1: the same neighbours; chance is about k / n.
    """
    A, B = _two(Z1, Z2)
    if not 1 <= k < len(A):
        raise InputError(f"k is {k} for {len(A)} items: wanted 1 to {len(A) - 1}")
    if len(A) > sample:
        rows = np.random.default_rng(seed).choice(len(A), sample, replace=False)
        A, B = A[rows], B[rows]
    near = []
    for Z in (A, B):
        U = _unit(Z - Z.mean(axis=0))
        S = U @ U.T
        np.fill_diagonal(S, -np.inf)
        near.append(np.sort(np.argpartition(-S, min(k, len(S) - 1), axis=1)[:, :k], axis=1))
    return float(np.mean([len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(*near, strict=True)]) / k)


def rotation_probe(turned: list[Any]) -> float:
    """Accuracy of a linear classifier that says by how much a picture was turned, on pictures it wasn't trained on.

    turned: four embeddings [n, d] of the same n pictures at 0, 90, 180 and 270 degrees. Chance is 0.25. It orders
    representations much as a probe with labels does. Reed et al., 2020, arXiv:2009.07724 (SelfAugment).
    """
    from unlabeled.evaluate.probes import linear_probe

    parts = [np.asarray(check_vectors(Z, least=10)) for Z in turned]
    n = len(parts[0])
    train, test = np.arange(n) < 2 * n // 3, np.arange(n) >= 2 * n // 3
    y = np.repeat(np.arange(len(parts)), [train.sum()] * len(parts))
    y_test = np.repeat(np.arange(len(parts)), [test.sum()] * len(parts))
    return linear_probe(np.concatenate([p[train] for p in parts]), y, np.concatenate([p[test] for p in parts]), y_test)


def _unit(X: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norm > 0, norm, 1)


def _pairs(Z: Any) -> np.ndarray:
    """Cosines of all pairs of different rows, of at most PAIRS rows."""
    X = check_vectors(Z, least=2)
    if len(X) > PAIRS:
        X = X[np.sort(np.random.default_rng(0).choice(len(X), PAIRS, replace=False))]
    U = _unit(np.asarray(X, dtype=np.float32))
    return (U @ U.T)[np.triu_indices(len(U), 1)]


def _two(Z1: Any, Z2: Any) -> tuple[np.ndarray, np.ndarray]:
    A, B = check_vectors(Z1, "Z1", least=2), check_vectors(Z2, "Z2", least=2)
    if len(A) != len(B):
        raise InputError(f"Z1 has {len(A)} rows and Z2 {len(B)}: wanted two embeddings of the same items")
    return np.asarray(A), np.asarray(B)
