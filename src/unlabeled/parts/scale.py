"""Vectors and their columns brought to one scale."""

from __future__ import annotations

import numpy as np


def unit(X: np.ndarray) -> np.ndarray:
    """The rows of X [n, d] at length 1, rows of zeros as they are: float32."""
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return (X / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


def column_scale(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column of Z [n, d], float64 [d]; infinite where a column says nothing, so that it becomes 0.

    That is one which is constant up to rounding, or a dead unit of a network: MiniLM has three, 1e-33 wide beside others of 0.05.
    """
    mean, deviation = Z.mean(axis=0, dtype=np.float64), Z.std(axis=0, dtype=np.float64)
    deviation[(deviation <= 1e-6 * np.abs(mean)) | (deviation <= 1e-7 * deviation.max())] = np.inf
    return mean, deviation
