"""Principal components, as an estimator that is kept like the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unlabeled.parts.checks import whole
from unlabeled.vectors import VectorTransformer


@dataclass(kw_only=True, eq=False)
class PCA(VectorTransformer):
    """The `dim` directions in which vectors differ most (Pearson, 1901): the baseline of every reduction.

    fit(Z [n, d]), transform(Z) -> float32 [n, dim]. whiten: every component gets the same spread. `components_` [dim, d],
    `explained_variance_ratio_` [dim]; dim is cut to what n and d allow.

        small = ul.PCA(dim=32).fit_transform(Z)
    """

    dim: int = 32
    whiten: bool = False
    seed: int = 0

    def fit(self, Z: Any, y: Any = None) -> Self:
        from sklearn.decomposition import PCA as Components

        Z = self._vectors(Z, reset=True, least=2)
        dim = min(whole("dim", self.dim), *Z.shape)
        found = Components(dim, random_state=self.seed).fit(Z)
        self.mean_, self.components_ = found.mean_.astype(np.float32), found.components_.astype(np.float32)
        self.explained_variance_ratio_ = found.explained_variance_ratio_.astype(np.float32)
        deviation = np.sqrt(np.maximum(found.explained_variance_, 1e-12))
        self.scale_ = (1 / deviation if self.whiten else np.ones(dim)).astype(np.float32)
        self._n_features_out = dim
        return self

    def transform(self, Z: Any) -> np.ndarray:
        """float32 [n, dim]."""
        return (self._vectors(Z, reset=False) - self.mean_) @ self.components_.T * self.scale_
