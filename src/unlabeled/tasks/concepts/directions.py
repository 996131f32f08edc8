"""The concepts of vectors without any label: directions, how much of the vectors each explains, and its most typical items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.parts.concepts import ConceptBasis, learn_basis, left_out, top_patches


@dataclass(frozen=True)
class Concepts:
    scores: np.ndarray  # float32 [n, k]: how much of each concept is in each item; 0 is nothing, k-means: cosine with the own centre
    importance: np.ndarray  # float64 [k], largest first: the share of the vectors' square that is lost without the concept
    unexplained: float  # the share that all concepts together leave
    basis: ConceptBasis

    def typical(self, concept: int, m: int = 10) -> np.ndarray:
        """The rows of the m items with the most of a concept, most first."""
        return top_patches(self.scores, concept, m)[0]

    def table(self, m: int = 5) -> str:
        """A line a concept: its importance, the share of items that have it, and the rows of its most typical ones."""
        lines = [f"{self.basis.method}: {self.unexplained:.1%} of the vectors is in none", "concept  importance  in items  typical"]
        for i, share in enumerate(self.importance):
            rows = ", ".join(str(row) for row in self.typical(i, m))
            lines.append(f"{i:7}  {share:10.3f}  {(self.scores[:, i] > 0).mean():8.3f}  {rows}")
        return "\n".join(lines)


def concepts(Z: Any, k: int = 10, method: str = "auto", seed: int = 0) -> Concepts:
    """k concepts of the rows of Z [n, d], sorted by importance; no label is used.

    method: "nmf" (no negative numbers), "pca", "kmeans"; "auto" is NMF where it can be, else k-means: of titles' MiniLM vectors the
    ten most typical items of a concept were of one class to 91 % (20 concepts; PCA 57 %), of pictures' vectors after a ReLU, NMF's
    to 90 % (10 concepts; k-means 74 %; with 20 both 83 %), in one run each. Importance is a share of the sum of squares around 0,
    for PCA around the mean (the variance);
    with PCA and k-means they and `unexplained` add up to 1, NMF's concepts overlap.
    Equal or constant rows have no concept: importance 0. InputError: bad values.
    """
    from unlabeled.parts.assign import blocks, check_vectors

    Z = check_vectors(Z, "Z", least=2)
    if method == "auto":
        method = "nmf" if all(bool((block >= 0).all()) for block in blocks(Z)) else "kmeans"
    basis = learn_basis(Z, k, method, seed)
    U, gain, rest, total = [], np.zeros(basis.V.shape[1]), 0.0, 0.0
    for block in blocks(Z):
        A = block.numpy()
        u = basis.encode(A)
        gain += left_out(A, u, basis).sum(axis=0, dtype=np.float64)
        rest += float(np.square(A - basis.decode(u)).sum(dtype=np.float64))
        total += float(np.square(A - basis.mean).sum(dtype=np.float64))
        if basis.method == "kmeans":
            length = np.linalg.norm(A, axis=1)[:, None] * np.linalg.norm(basis.V, axis=0)
            u = u * (A @ basis.V) / np.where(length > 0, length, 1)
        U.append(u)
    total = max(total, 1e-12)
    order = np.argsort(-gain, kind="stable")
    basis = ConceptBasis(np.ascontiguousarray(basis.V[:, order]), basis.mean, basis.method)
    return Concepts(np.concatenate(U)[:, order], gain[order] / total, rest / total, basis)
