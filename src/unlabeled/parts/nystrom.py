"""Kernels as coordinates: what a few anchors see of vectors, such that dot products are nearly the kernel (Williams and Seeger, 2001)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh

RIDGE = 1e-6  # eigenvalues below this share of the largest are noise: anchors that say the same


class Anchors(NamedTuple):
    """The kernel |a| |b| exp((cos(a, b) - 1) / sigma^2), seen from anchors; exact among them."""

    rows: np.ndarray  # float32 [m, d] of unit length
    whiten: np.ndarray  # float32 [m, m]: the anchors' own kernel to the power -1/2
    sigma: float

    @classmethod
    def of(cls, rows: np.ndarray, sigma: float) -> Anchors:
        """From anchors [m, d] of unit length."""
        wide = rows.astype(np.float64)
        values, vectors = eigh(_kappa(wide @ wide.T, sigma))
        root = 1 / np.sqrt(np.maximum(values, RIDGE * values[-1]))
        return cls(rows, ((vectors * root) @ vectors.T).astype(np.float32), sigma)

    def see(self, X: Any) -> np.ndarray:
        """float32 [n, m] of rows X [n, d], dense or sparse; a row of zeros stays one."""
        square = X.multiply(X).sum(axis=1) if hasattr(X, "multiply") else (X * X).sum(axis=1)
        length = np.sqrt(np.asarray(square, np.float32)).reshape(-1, 1)
        cosine = np.asarray(X @ self.rows.T) / np.where(length > 0, length, 1)
        return length * (_kappa(cosine, self.sigma) @ self.whiten)  # type: ignore[no-any-return]


def _kappa(cosine: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp((cosine - 1) / sigma**2)  # type: ignore[no-any-return]


__all__ = ["Anchors"]
