"""RAND-WALK: word vectors with a generative model behind them, and the tests that say whether it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unlabeled.errors import InputError
from unlabeled.methods.words.cooccurrence_model import CooccurrenceModel
from unlabeled.methods.words.word_model import WordModel
from unlabeled.parts.cell_factors import factorise
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.cooccurrence_counts import Counts


@dataclass(kw_only=True, eq=False)
class RandWalk(CooccurrenceModel):
    """A text is a slow walk c_t on the sphere that says w with probability exp<v_w, c_t> / Z; then the logarithm of how often two
    words stand together is |v + v'|^2 + C (objective "sn"), and their mutual information <v, v'> ("pmi").

    Arora, Li, Liang, Ma and Risteski, 2016, "A Latent Variable Model Approach to PMI-based Word Embeddings", arXiv:1502.03520. Least
    squares weighted by min(x, xmax) over the pairs that were seen (what never stands together says nothing, unlike in `Swivel`), each
    pair once, one set of vectors, C learned; the vectors have absorbed the theory's 1 / 2d. Pairs count the same at every distance.
    A compiled loop of AdaGrad, see `parts.cell_factors` (needs a C compiler). For texts, counts (symmetric ones) and what is learned
    see `CooccurrenceModel`; `constant_` is C. InputError: bad values, no word often enough, no counts, counts that aren't symmetric,
    a rate at which it runs away.

        model = RandWalk().fit(texts); model.analogy("man", "king", "woman"); diagnostics(model, model.count(texts))
    """

    dim: int = 100
    window: int = 10
    objective: str = "sn"
    xmax: float | None = 100.0  # None: every pair weighs the same
    learn_constant: bool = True  # False: C is 0
    epochs: int = 50
    lr: float = 0.05
    min_count: int = 20  # the paper has 1,000, for three billion words
    max_words: int | None = None
    seed: int = 0
    weighting: ClassVar[str] = "flat"

    def _factorise(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        norm = one_of("objective", self.objective, ("sn", "pmi")) == "sn"
        xmax = None if self.xmax is None else number("xmax", self.xmax, 0, above=True)

        def cell(rows: np.ndarray, columns: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            target = np.log(count) if norm else counts.pmi(rows, columns, count)
            return target, np.ones(len(count)) if xmax is None else np.minimum(count, xmax)

        found = factorise(
            counts, cell, dim=self.dim, epochs=self.epochs, lr=self.lr, seed=self.seed,
            norm=norm, tied=True, constant=0.0 if norm and self.learn_constant else None,
        )  # fmt: skip
        self.constant_, self.loss_curve_ = np.asarray(found.constant), found.loss
        return found.rows, found.columns

    def _keep(self, rows: np.ndarray, columns: np.ndarray, symmetric: bool) -> None:
        super()._keep(rows, columns, symmetric=False)

    def analogy(self, a: str, b: str, c: str, k: int = 1) -> list[tuple[str, float]]:
        """What is to c as b is to a: the k words d with the least |v_a - v_b - v_c + v_d|^2, the three left out, and minus that."""
        rows = [self._row(one) for one in (a, b, c)]
        far = np.square(self.vectors_ - (self.vectors_[rows[1]] - self.vectors_[rows[0]] + self.vectors_[rows[2]])).sum(axis=1)
        far[rows] = np.inf
        near = np.argsort(far, kind="stable")[: min(whole("k", k), len(far) - len(set(rows)))]
        return [(self.vocabulary_[row], -float(far[row])) for row in near]

    def relation(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """Relations are lines: the main direction float32 [dim] of the differences of pairs of words, and all singular values."""
        differences = np.stack([self.vector(b) - self.vector(a) for a, b in pairs])
        _, s, Vt = np.linalg.svd(differences, full_matrices=False)
        return Vt[0] * np.where(differences.sum(axis=0) @ Vt[0] < 0, -1, 1).astype(np.float32), s


def diagnostics(model: WordModel, counts: Counts | Any, *, draws: int = 1000, least: float = 20, seed: int = 0) -> dict[str, float]:
    """Does the theory hold for these vectors? counts: of the same words, [words, words], as `count` gives them, or SciPy's.

    Z_cv: standard deviation over mean of Z_c = sum over w of exp<v_w, c>, for random c of length 4 over the mean length of the vectors
    (so that vectors of any scale are treated alike), near 0 where it hardly depends on c. norm_freq_corr: Pearson's correlation of
    |v|^2 and log frequency. pmi_dot_corr: of <v, v'> and PMI, over pairs seen at least `least` times. isotropy: the least Z_c over the
    largest for the principal axes c, to both sides; at most 1.
    """
    counts = counts if isinstance(counts, Counts) else Counts.of(counts)
    V = np.asarray(model.vectors_, np.float64)
    if counts.shape != (len(V), len(V)):
        raise InputError(f"counts {counts.shape}, {len(V)} words: wanted counts of these words with each other")
    lengths = np.linalg.norm(V, axis=1)
    reach = 4 / max(lengths.mean(), 1e-12)
    c = np.random.default_rng(seed).normal(size=(draws, V.shape[1]))
    Z = np.exp(V @ (reach * c / np.linalg.norm(c, axis=1, keepdims=True)).T).sum(axis=0)
    axes = np.linalg.eigh(V.T @ V)[1]
    ends = np.exp(V @ (reach * np.concatenate([axes, -axes], 1))).sum(axis=0)
    seen = counts.row_sums > 0
    often = [cells[(cells["value"] >= least) & (cells["row"] < cells["column"])] for cells in counts]
    row, column, value = (np.concatenate([cells[name] for cells in often]) for name in ("row", "column", "value"))
    dot = (V[row] * V[column]).sum(axis=1)
    return {
        "Z_cv": float(Z.std() / Z.mean()),
        "norm_freq_corr": _correlation(lengths[seen] ** 2, np.log(counts.row_sums[seen])),
        "pmi_dot_corr": _correlation(dot, counts.pmi(row, column, value)),
        "isotropy": float(ends.min() / ends.max()),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")
