"""Measures that need no label (tolerance excepted): Z is real [n, d], one row an item.

Larger sets are judged on rows drawn with a fixed seed. InputError: NaN, infinity, too few rows, shapes that don't match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors

RANKED = 25_600  # rows on which the rank is taken: from there on the paper's curve is flat
PAIRS = 5_000  # rows of which all pairs are looked at
LEVEL = 1e-6  # cosines nearer to each other than this are a tie: float32 doesn't tell them apart


def rankme(Z: Any, eps: float = 1e-7) -> float:
    """Effective rank of Z: the exponential of the entropy of its singular values, from 1 to min(n, d).

    p = s / sum(s) + eps of the matrix as it is, not centred, on at most 25,600 rows; in float64, from the smaller Gram
    matrix. Compare it within one method and one d; n should be several times d. High rank is necessary for a good
    representation, not sufficient: noise raises it. A matrix of zeros has rank 1.
    Garrido et al., 2022, arXiv:2210.02885.
    """
    X = _rows(Z, RANKED, least=1)
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
    U = _unit(_rows(Z, PAIRS).astype(np.float32))
    cosine = (U @ U.T)[np.triu_indices(len(U), 1)].astype(np.float64)
    return float(np.log(np.exp(-t * np.maximum(2 - 2 * cosine, 0)).mean()))


def mean_cosine(Z: Any) -> float:
    """Mean cosine between different rows, over all pairs of at most 25,600 rows: 1 when all point one way.

    High by nature where no number is negative, as in pixels or pooled features after a ReLU. Chen and He, 2020, arXiv:2011.10566.
    """
    U = _unit(_rows(Z, RANKED))
    return float((np.square(U.sum(axis=0)).sum() - np.square(U).sum()) / (len(U) * (len(U) - 1)))


def std_sqrt_d(Z: Any) -> float:
    """Standard deviation of each coordinate of the unit rows, averaged, times sqrt(d): about 1 healthy, 0 collapsed.

    Of at most 25,600 rows. Chen and He, 2020, arXiv:2011.10566.
    """
    U = _unit(_rows(Z, RANKED))
    return float(U.std(axis=0).mean() * np.sqrt(U.shape[1]))


def alignment(Z1: Any, Z2: Any, alpha: float = 2.0) -> float:
    """Mean distance to the power alpha between partners, rows of Z1 and Z2 [n, d] made unit. 0 when they coincide.

    Wang and Isola, 2020, arXiv:2005.10242.
    """
    A, B = _two(Z1, Z2, RANKED, 0)
    return float((np.linalg.norm(_unit(A) - _unit(B), axis=1) ** alpha).mean())


def tolerance(Z: Any, y: Any) -> float:
    """Mean cosine between different rows of one class: how close the vectors keep what belongs together.

    y: [n] labels; rows without one (-1, "", None, NaN) are left out. Wang and Liu, 2020, arXiv:2012.09740.
    """
    from unlabeled.evaluate.probes import check_labels

    X = _rows(Z, None)
    keep, codes = check_labels(y, len(X))
    U = _unit(X[keep])
    size = np.bincount(codes)
    if size.max(initial=0) < 2:
        raise InputError("every class has one member: tolerance needs a class with two")
    sums = np.zeros((len(size), U.shape[1]))
    np.add.at(sums, codes, U)
    return float((np.square(sums).sum() - np.square(U).sum()) / (size * (size - 1.0)).sum())


def half_retrieval(A: Any, B: Any, seed: int = 0) -> float:
    """Two embeddings [n, d] of two parts (or views) of the same n items: share of rows whose nearest row of the other is their own.

    Cosine after each side's mean is taken off; both directions averaged; a tie counts as missed, so a collapsed
    representation gets 0. Chance is 1 / n, so compare it at the same n only; beyond 5,000 items that many are drawn.
    """
    A, B = _two(A, B, PAIRS, seed)
    S = _directions(A) @ _directions(B).T
    own = S.diagonal().copy()
    np.fill_diagonal(S, -np.inf)
    return float(((own > S.max(axis=1) + LEVEL).mean() + (own > S.max(axis=0) + LEVEL).mean()) / 2)


def neighbour_overlap(Z1: Any, Z2: Any, k: int = 10, sample: int = 2000, seed: int = 0) -> float:
    """Share of the k nearest items (cosine after the mean is taken off) that two embeddings of n items agree on.

    Z1 [n, d1], Z2 [n, d2]: two seeds of training, two halves or views of each item, two methods. Of at most `sample` items,
    drawn with `seed`. 1: the same neighbours; chance is about k / n.
    """
    A, B = _two(Z1, Z2, sample, seed, same_width=False)
    if not 1 <= k < len(A):
        raise InputError(f"k is {k} for {len(A)} items: wanted 1 to {len(A) - 1}")
    near = []
    for Z in (A, B):
        U = _directions(Z)
        S = U @ U.T
        np.fill_diagonal(S, -np.inf)
        near.append(np.argpartition(-S, k - 1, axis=1)[:, :k])
    return float(np.mean([len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(*near, strict=True)]) / k)


def rotation_probe(turned: Sequence[Any], seed: int = 0) -> float:
    """Accuracy of a linear classifier that says by how much a picture was turned, on pictures it wasn't trained on.

    turned: four embeddings [n, d] of the same n pictures at 0, 90, 180 and 270 degrees; a third of the pictures, drawn with
    `seed`, is held out. Chance is 0.25. It orders representations much as a probe with labels does, where pictures have an
    upright direction. Reed et al., 2020, arXiv:2009.07724 (SelfAugment).
    """
    from unlabeled.evaluate.probes import linear_probe

    parts = [np.asarray(check_vectors(Z, least=6)) for Z in turned]
    if len(parts) < 2 or len({part.shape for part in parts}) > 1:
        raise InputError(f"turned has embeddings of shapes {[p.shape for p in parts]}: wanted one of the same shape for each rotation")
    order = np.random.default_rng(seed).permutation(len(parts[0]))
    train, test = order[: 2 * len(order) // 3], order[2 * len(order) // 3 :]
    y, y_test = (np.repeat(np.arange(len(parts)), len(rows)) for rows in (train, test))
    return linear_probe(np.concatenate([p[train] for p in parts]), y, np.concatenate([p[test] for p in parts]), y_test, seed=seed)


def domain_purity(Z: Any, domains: Any, k: int = 20) -> float:
    """Share of an item's k nearest items that come from the same source: how much of what Z says is the source.

    Z: [n, d]; domains: [n], the source of each item (camera, hospital, vendor), not its class. Cosine after the mean is taken
    off; of at most 5,000 rows. 1: sources lie apart; where they don't matter it is the sum of the squared shares of the
    sources, 1/2 for two of one size. Scalbert et al., 2023, arXiv:2303.06088.
    """
    X, source = check_vectors(Z, least=2), np.asarray(domains)
    if source.shape != (len(X),):
        raise InputError(f"domains has shape {source.shape} for {len(X)} rows: wanted one source each")
    rows = draw(len(X), PAIRS)
    if not 1 <= k < len(rows):
        raise InputError(f"k is {k} for {len(rows)} items: wanted 1 to {len(rows) - 1}")
    U = _directions(gather(X, rows).astype(np.float32))
    S = U @ U.T
    np.fill_diagonal(S, -np.inf)
    near = np.argpartition(-S, k - 1, axis=1)[:, :k]
    return float((source[rows][near] == source[rows][:, None]).mean())


def draw(n: int, most: int | None, seed: int = 0) -> np.ndarray:
    """All of n rows, or `most` of them at random, in order."""
    if most is None or n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _rows(Z: Any, most: int | None, least: int = 2) -> np.ndarray:
    X = check_vectors(Z, least=least)
    return gather(X, draw(len(X), most)).astype(np.float64)


def _two(Z1: Any, Z2: Any, most: int, seed: int, same_width: bool = True) -> tuple[np.ndarray, np.ndarray]:
    A, B = check_vectors(Z1, "Z1", least=2), check_vectors(Z2, "Z2", least=2)
    if len(A) != len(B) or (same_width and A.shape != B.shape):
        wanted = "two embeddings of the same items" + " in the same space" * same_width
        raise InputError(f"Z1 has shape {A.shape} and Z2 {B.shape}: wanted {wanted}")
    rows = draw(len(A), most, seed)
    return gather(A, rows).astype(np.float32), gather(B, rows).astype(np.float32)


def _unit(X: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norm > 0, norm, 1)


def _directions(X: np.ndarray) -> np.ndarray:
    """Rows minus their mean, made unit; what lies on the mean up to rounding becomes 0."""
    from unlabeled.representation.index import unit

    return unit(X, X.mean(axis=0, dtype=np.float64).astype(np.float32))
