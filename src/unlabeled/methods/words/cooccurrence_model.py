"""What models of counts share: texts are counted once, or counts come as they are, and an objective makes vectors of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.methods.words.word_model import WordModel
from unlabeled.parts.checks import whole
from unlabeled.parts.cooccurrence_counts import Counts, count_pairs
from unlabeled.parts.vocabulary import Vocabulary


@dataclass(kw_only=True, eq=False)
class CooccurrenceModel(WordModel):
    """A keyword-only dataclass with at least dim, window, min_count, max_words and seed; `_factorise` is all that a model adds.

    Beside what `WordModel` says: `row_vectors_` and `col_vectors_` float32 [rows, dim] and [columns, dim], `counts_` float64, each
    row's sum, where counts were given. `vectors_` are the sums of the two where rows and columns are the same things, else the rows'.
    """

    weighting: ClassVar[str] = "1/d"  # of a pair of words at distance d; or "flat"
    shard: int = 4096  # rows and columns that are held at once

    def fit(self, X: Any, y: Any = None, *, words: Sequence[str] | None = None, **ignored: Any) -> Self:
        """Learn from texts, or from a SciPy sparse matrix of counts [rows, columns], whose rows may be named by `words`.

        `y` is never looked at. InputError: counts below 0, none above 0, names that aren't one a row.
        """
        if not issparse(X):
            return super().fit(X, y, **ignored)
        names = [str(row) for row in range(X.shape[0])] if words is None else list(words)
        if len(names) != X.shape[0] or len(set(names)) < len(names):
            raise InputError(f"words has {len(names)} names, {len(set(names))} different, the counts {X.shape[0]} rows: wanted one a row")
        counts = Counts.of(X, shard=whole("shard", self.shard))
        # By frequency, so that each shard has rows and columns of all kinds.
        by = [np.argsort(-sums, kind="stable") for sums in (counts.row_sums, counts.column_sums)]
        if counts.symmetric:
            by[1] = by[0]
        self._keep(*self._factorise(Counts.of(X.tocsr()[by[0]][:, by[1]], shard=self.shard)), counts.symmetric)
        for name, value in list(self._arrays().items()):  # back in the order that they came in
            if name.startswith(("row_", "col_", "vectors_")):
                setattr(self, name, np.ascontiguousarray(value[np.argsort(by[name.startswith("col_")])]))
        self.vocabulary_, self.counts_, self.inputs_ = names, counts.row_sums, Inputs("text")
        return self

    def count(self, X: Any) -> Counts:
        """How often the words that were learned stand together in these texts, as the model counts."""
        check_is_fitted(self, "vectors_")
        return self._count(self._texts(X), Vocabulary(self.vocabulary_, self.counts_))

    def _count(self, texts: Iterable[Any], known: Vocabulary) -> Counts:
        window = whole("window", getattr(self, "window", 1))
        return count_pairs(known.encode(texts), len(known.words), window=window, weighting=self.weighting, shard=whole("shard", self.shard))

    def _learn(self, texts: Iterable[Any], known: Vocabulary) -> np.ndarray:
        self._keep(*self._factorise(self._count(texts, known)), symmetric=True)
        return self.vectors_

    def _keep(self, rows: np.ndarray, columns: np.ndarray, symmetric: bool) -> None:
        self.row_vectors_, self.col_vectors_ = (np.ascontiguousarray(one, np.float32) for one in (rows, columns))
        self.vectors_ = self.row_vectors_ + self.col_vectors_ if symmetric else self.row_vectors_.copy()

    def _factorise(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the rows [n, dim] and of the columns [m, dim]."""
        raise NotImplementedError
