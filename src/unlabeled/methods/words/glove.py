"""GloVe: dot products and biases of words are the logarithms of their counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unlabeled.methods.words.cooccurrence_model import CooccurrenceModel
from unlabeled.parts.cell_factors import factorise
from unlabeled.parts.checks import number
from unlabeled.parts.cooccurrence_counts import Counts


@dataclass(kw_only=True, eq=False)
class GloVe(CooccurrenceModel):
    """Weighted least squares of <u_i, v_j> + b_i + c_j and log x_ij over the pairs that were seen; weight min(1, x / xmax)^0.75.

    Pennington, Socher and Manning, 2014, "GloVe: Global Vectors for Word Representation". A compiled loop of AdaGrad, see
    `parts.cell_factors` (needs a C compiler). For texts, counts and what is learned see `CooccurrenceModel`; `row_bias_` and
    `col_bias_` are float32 [rows] and [columns]. The paper's xmax of 100 is for billions of words. InputError: bad values, no word
    often enough, no counts, a rate at which it runs away.

        model = GloVe().fit(texts); model.most_similar("king")
    """

    dim: int = 100
    window: int = 10
    xmax: float = 10.0
    power: float = 0.75
    epochs: int = 25
    lr: float = 0.05
    min_count: int = 5
    max_words: int | None = None
    seed: int = 0

    def _factorise(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        xmax, power = number("xmax", self.xmax, 0, above=True), number("power", self.power)

        def cell(rows: np.ndarray, columns: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.log(count), np.minimum(count / xmax, 1) ** power

        found = factorise(counts, cell, dim=self.dim, epochs=self.epochs, lr=self.lr, seed=self.seed, biases=True)
        self.row_bias_, self.col_bias_, self.loss_curve_ = found.row_bias, found.column_bias, found.loss
        return found.rows, found.columns
