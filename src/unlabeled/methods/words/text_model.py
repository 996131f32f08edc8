"""Models of words whose texts have vectors of another width than their words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from unlabeled.methods.words.pv_dbow import ParagraphVectors


@dataclass(kw_only=True, eq=False)
class TextModel(ParagraphVectors):
    """transform gives float32 [n, as wide as `doc_vectors_`]; `vectors_` [words, dim] are as wide as the engine's vectors."""

    def fit(self, X: Any, y: Any = None, **ignored: Any) -> Self:
        """Learn from texts; `y` is never looked at."""
        super().fit(X)
        self._n_features_out = self.doc_vectors_.shape[1]
        return self

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """float32 [n, width]. out: an array to write to. progress: called with (done, n)."""
        if out is None and hasattr(self, "doc_vectors_"):
            X = list(self._texts(X))
            out = np.empty((len(X), self.doc_vectors_.shape[1]), np.float32)
        return super().transform(X, out, progress)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save` wrote."""
        model = super().load(folder)
        model._n_features_out = model.doc_vectors_.shape[1]
        return model
