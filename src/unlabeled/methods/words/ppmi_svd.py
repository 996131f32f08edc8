"""PPMI-SVD: the main directions of positive pointwise mutual information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.utils.extmath import randomized_svd

from unlabeled.errors import InputError
from unlabeled.methods.words.cooccurrence_model import CooccurrenceModel
from unlabeled.parts.checks import whole
from unlabeled.parts.cooccurrence import ppmi
from unlabeled.parts.cooccurrence_counts import Counts


@dataclass(kw_only=True, eq=False)
class PPMISVD(CooccurrenceModel):
    """max(0, log p(w, c) / (p(w) p(c))) with contexts' counts to the power 0.75, then a truncated SVD, singular values to the power 1/2.

    Levy, Goldberg and Dagan, 2015, "Improving Distributional Similarity with Lessons Learned from Word Embeddings". Nothing is
    trained, and the matrix is held in memory. `vectors_` are the rows' alone: the columns' are of contexts, and adding them was no
    gain. For texts and counts see `CooccurrenceModel`. InputError: bad values, no word often enough, no counts.

        model = PPMISVD().fit(texts); model.most_similar("king")
    """

    dim: int = 100
    window: int = 10
    power: float = 0.75
    min_count: int = 5
    max_words: int | None = None
    seed: int = 0

    def _factorise(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        if whole("dim", self.dim) > min(counts.shape):
            raise InputError(f"dim={self.dim}: the counts {counts.shape} have no more than {min(counts.shape)} directions")
        U, s, Vt = randomized_svd(ppmi(counts.matrix(), self.power), self.dim, random_state=self.seed)
        return U * np.sqrt(s), Vt.T * np.sqrt(s)

    def _keep(self, rows: np.ndarray, columns: np.ndarray, symmetric: bool) -> None:
        super()._keep(rows, columns, symmetric=False)
