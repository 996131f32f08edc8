"""Concepts: a few directions of a space of vectors, every vector as a mixture of them, and what such a set of directions is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.parts.assign import blocks, check_vectors, kmeans
from unlabeled.parts.checks import whole

METHODS = ("nmf", "pca", "kmeans")
FITTED = 20_000  # rows that a basis is learned from; the others are only encoded


@dataclass(frozen=True)
class ConceptBasis:
    """A [n, d] ~ U V^T + mean, with one concept in each column of V. What U may be is the method's:

    "nmf": not negative, nor is V; "pca": anything, V orthonormal; "kmeans": one entry of 1 a row;
    "masked": the projections of those columns whose cosine exceeds `threshold`, as shares (Choi et al., 2023). V's columns
    have unit length but for "kmeans". network: what decodes U where that isn't linear.
    """

    V: np.ndarray  # float32 [d, k]
    mean: np.ndarray  # float32 [d], zeros but for "pca"
    method: str
    threshold: float = 0.0
    network: Callable[[np.ndarray], np.ndarray] | None = None

    def encode(self, A: Any) -> np.ndarray:
        """The coefficients U float32 [..., k] of A [..., d]: vectors, or maps of local vectors. Each row's depend on it alone."""
        grid = np.shape(A)[:-1]
        rows = check_vectors(A if len(grid) == 1 else np.reshape(A, (-1, np.shape(A)[-1])), "A")
        if rows.shape[1] != len(self.V):
            raise InputError(f"A has {rows.shape[1]} numbers a vector, the concepts have {len(self.V)}: wanted the same")
        return np.concatenate([self._encode(block.numpy()) for block in blocks(rows)]).reshape(*grid, self.V.shape[1])

    def decode(self, U: Any) -> np.ndarray:
        """What the coefficients U [..., k] stand for, float32 [..., d]."""
        return np.asarray(self.network(U) if self.network else U @ self.V.T + self.mean, dtype=np.float32)

    def _encode(self, A: np.ndarray) -> np.ndarray:
        if self.method == "masked":
            return masked_shares(torch.from_numpy(A), torch.from_numpy(self.V), self.threshold)[0].numpy()
        A = A.astype(np.float64) - self.mean
        if self.method == "pca":
            return (A @ self.V).astype(np.float32)
        if self.method == "kmeans":
            distance = np.square(self.V).sum(axis=0) - 2 * A @ self.V
            return np.eye(self.V.shape[1], dtype=np.float32)[distance.argmin(axis=1)]
        from scipy.optimize import nnls

        # |a - V u|^2 = |Q^T a - R u|^2 + a constant, V = QR: least squares with k rows instead of d.
        Q, R = np.linalg.qr(np.float64(self.V))
        return np.array([nnls(R, a)[0] for a in A @ Q], dtype=np.float32)


def learn_basis(A: Any, k: int, method: str = "auto", seed: int = 0, iters: int = 200) -> ConceptBasis:
    """k concepts of the vectors A [n, d] by factorisation, learned from at most 20,000 rows drawn with `seed`.

    "nmf" (of A without negative numbers), "pca", "kmeans"; "auto" is NMF where it can be, else PCA. k is cut to min(n, d), of
    "kmeans" to n. Semi-NMF, for A of any sign, isn't offered: its concepts cancel each other (on titles, all 20 were typical of the
    same 12 items).
    """
    A = check_vectors(A, "A", least=2)
    n, d = A.shape
    if method not in (*METHODS, "auto"):
        raise InputError(f"method={method!r}: wanted {', '.join(METHODS)} or auto")
    whole("k", k)
    if n > FITTED:
        A = gather(A, np.sort(np.random.default_rng(seed).choice(n, FITTED, replace=False)))
    A = np.asarray(A, dtype=np.float32)
    lowest = float(A.min())
    if method == "auto":
        method = "nmf" if lowest >= 0 else "pca"
    if method == "nmf" and lowest < 0:
        raise InputError(f"A holds {lowest:g}: NMF wants no negative numbers (those after a ReLU, say); take pca or kmeans")
    k = int(min(k, len(A) if method == "kmeans" else min(A.shape)))
    mean = A.mean(axis=0, dtype=np.float64).astype(np.float32) if method == "pca" else np.zeros(d, np.float32)
    if method == "kmeans":
        return ConceptBasis(np.ascontiguousarray(kmeans(A, k, seed=seed, n_init=3).centers.T), mean, method)
    if method == "pca":
        from sklearn.decomposition import PCA

        with np.errstate(invalid="ignore"):  # rows that are all alike have shares of nothing
            V = PCA(k, random_state=seed).fit(A).components_.T
    else:
        V = _nmf(A, k, seed, iters)
    length = np.linalg.norm(V, axis=0)
    return ConceptBasis(np.ascontiguousarray(V / np.where(length > 0, length, 1), dtype=np.float32), mean, method)


def _nmf(A: np.ndarray, k: int, seed: int, iters: int) -> np.ndarray:
    import warnings

    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a basis needn't be the last digit of the optimum
        return NMF(k, init="nndsvda", max_iter=iters, random_state=seed).fit(A).components_.T


def masked_shares(v: Tensor, C: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """(shares, cosines), [..., m] each, of the features v [..., d] and the unit columns C [d, m].

    A projection v.c is dropped where the cosine is below the threshold; shares are what is left over its sum (+ 0.001).
    """
    projection = v @ C
    cosine = projection / v.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    kept = projection * (cosine >= threshold)
    return kept / (kept.sum(dim=-1, keepdim=True) + 1e-3), cosine


def left_out(A: np.ndarray, U: np.ndarray, basis: ConceptBasis) -> np.ndarray:
    """By how much |a - decode(u)|^2 grows when a concept is left out: [n, k] for each row of A [n, d]; PCA: u^2."""
    R = A - basis.decode(U)
    return 2 * U * (R @ basis.V) + np.square(U) * np.square(basis.V).sum(axis=0)


@dataclass(frozen=True)
class BasisScores:
    relative_l2: float  # |A - decode(U)| / |A|
    sparsity: float  # share of the coefficients that are 0
    off: float  # distance of decoded vectors to their nearest true one, over that of true ones to each other: 1 is like A itself
    wasserstein: float  # mean over the numbers of a vector of the distance between their distributions before and after, over |A|'s mean

    def table(self) -> str:
        """One line a number."""
        return "\n".join(f"{name:12} {value:.3f}" for name, value in vars(self).items())


def basis_scores(A: Any, basis: ConceptBasis, rows: int = 2000, seed: int = 0) -> BasisScores:
    """How well, how sparsely and how truly a basis gives A [n, d] back; distances on `rows` of them."""
    from unlabeled.parts.neighbours import neighbours

    A = check_vectors(A, "A", least=3)
    if len(A) > rows:
        A = gather(A, np.sort(np.random.default_rng(seed).choice(len(A), rows, replace=False)))
    U = basis.encode(A)
    B = basis.decode(U)
    size = max(float(np.linalg.norm(A)), 1e-12)
    own = float(neighbours(A, 1, metric="euclidean").distances.mean())
    among = float(neighbours(A, 1, queries=B, metric="euclidean").distances.mean())
    return BasisScores(
        relative_l2=float(np.linalg.norm(A - B)) / size,
        sparsity=float((U == 0).mean()),
        off=among / max(own, 1e-12),
        wasserstein=float(np.abs(np.sort(A, axis=0) - np.sort(B, axis=0)).mean() / max(np.abs(A).mean(), 1e-12)),
    )


def stability(A: Any, k: int, method: str = "auto", folds: int = 5, seed: int = 0) -> float:
    """Mean cosine of the concepts learned from disjoint parts of A [n, d], matched one to one, over all pairs of parts.

    A direction of PCA has no sign: there the cosine's absolute value counts. Non-negative concepts are never far from each
    other (random ones, 0.7 or so): compare methods on the same A only.
    """
    from itertools import combinations

    from scipy.optimize import linear_sum_assignment

    A = check_vectors(A, "A", least=2 * folds)
    parts = np.array_split(np.random.default_rng(seed).permutation(len(A)), folds)
    found = []
    for part in parts:
        V = learn_basis(gather(A, np.sort(part)), k, method, seed).V
        found.append(V / np.maximum(np.linalg.norm(V, axis=0), 1e-12))
    agreement = []
    for one, other in combinations(found, 2):
        cosine = np.abs(one.T @ other) if method == "pca" else one.T @ other
        agreement.append(cosine[linear_sum_assignment(-cosine)].mean())
    return float(np.mean(agreement))


def completeness(with_concepts: float, original: float, chance: float, least: float = 0.05) -> float:
    """The share of what `original` is above chance that is left with concepts alone: 1 is all of it, below 0 worse than chance.

    InputError where the original is hardly above chance: the ratio would say nothing.
    """
    if not original - chance >= least:
        raise InputError(f"the original scores {original:.3f}, chance is {chance:.3f}: wanted {least} more, or completeness means nothing")
    return (with_concepts - chance) / (original - chance)


def top_patches(U: Any, concept: int, m: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The m items in which a concept is strongest: rows, places (a number, 0 to positions - 1) and scores, strongest first.

    U: [n, k], or [n, ..., k] of maps; every item counts with its strongest place only.
    """
    U = np.asarray(U)
    if not -U.shape[-1] <= concept < U.shape[-1]:
        raise InputError(f"concept={concept}: there are {U.shape[-1]}")
    scores = U.reshape(len(U), -1, U.shape[-1])[:, :, concept]
    best = scores.max(axis=1)
    rows = np.argsort(-best, kind="stable")[:m]
    return rows, scores[rows].argmax(axis=1), best[rows]
