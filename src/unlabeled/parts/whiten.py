"""PCA whitening of vectors, full or part of the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass
class Whitening:
    """Subtract the mean, turn to the principal axes, divide each by its standard deviation to the power `power`.

    power 0 only centres and turns (cosines after centring are unchanged), 1 whitens fully, 0.5 lies between: it lets the
    many weak directions of a learned representation speak without letting the weakest, mere noise, shout. No label is
    involved. Su et al., 2021, arXiv:2103.15316, for power 1 on sentence vectors; measured for the rest in docs/defaults.md.
    """

    mean: np.ndarray  # [d]
    matrix: np.ndarray  # [d, width]

    @classmethod
    def fit(cls, vectors: np.ndarray, power: float, most: int | None = None) -> Self:
        """vectors: float [n, d]. Keeps at most `most` axes; axes without variance are dropped, so there are never more than n - 1."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        variance, axes = _principal(vectors - mean, most)
        kept = variance > max(variance[0] * 1e-7, 1e-12)
        if not kept.any():
            kept[0] = True  # all items identical: one direction of zeros
            variance = np.ones_like(variance)
        # The sign of an axis is arbitrary: fix it, so that the same data give the same vectors.
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
        scale = variance[kept] ** (-power / 2)
        scale *= np.sqrt(variance[kept].sum() / (variance[kept] * scale**2).sum())  # keep the overall spread
        return cls(mean.astype(np.float32), (axes[:, kept] * scale).astype(np.float32))

    @property
    def width(self) -> int:
        return int(self.matrix.shape[1])

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        """float [n, d] -> float32 [n, width]."""
        return ((vectors - self.mean) @ self.matrix).astype(np.float32, copy=False)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean, "matrix": self.matrix}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        return cls(arrays["mean"], arrays["matrix"])


def _principal(centred: np.ndarray, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Variances, largest first, and their axes as columns; through the smaller of the two Gram matrices."""
    from scipy.linalg import eigh

    n, d = centred.shape
    size = min(n, d)
    gram = (centred.T @ centred if d <= n else centred @ centred.T) / max(1, n - 1)
    variance, axes = eigh(gram, subset_by_index=[max(0, size - (most or size)), size - 1])
    variance, axes = variance[::-1], axes[:, ::-1]
    if d > n:
        axes = centred.T @ axes / np.sqrt(np.maximum(variance, 1e-30) * max(1, n - 1))
    return variance, axes
