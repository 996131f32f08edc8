"""Drawing in proportion to weights, in constant time: alias tables, one or many at once."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts import native


def alias_tables(weights: np.ndarray, starts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A table for each row of weights: row r is weights[starts[r] : starts[r + 1]] (None: all are one row).

    Walker, 1977; Vose, 1991. To draw from a row, draw one of its entries evenly and a number u in [0, 1): it stays where
    u < keep[entry], else it becomes entry other[entry] of the row. keep: float32, other: int32, both [weights]. InputError: weights that
    aren't finite or below 0, a row that has none above 0.
    """
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    starts = np.array([0, len(weights)]) if starts is None else starts
    starts = np.ascontiguousarray(starts, dtype=np.int64)
    filled = starts[:-1][np.diff(starts) > 0]
    if len(weights) and (not np.isfinite(weights).all() or weights.min() < 0 or np.maximum.reduceat(weights, filled).min() <= 0):
        raise InputError("weights must be finite and 0 or more, with one above 0 in each row")
    if np.diff(starts).max(initial=0) >= 2**31:
        raise InputError(f"a row of {np.diff(starts).max():,} weights: at most {2**31 - 1:,} fit a table")
    keep, other = np.empty(len(weights), np.float32), np.empty(len(weights), np.int32)
    lib = native.library(Path(__file__).with_suffix(".c"))
    given = (ctypes.c_void_p(one.ctypes.data) for one in (keep, other))
    at = (ctypes.c_void_p(one.ctypes.data) for one in (weights, starts))
    if lib.alias_build(*at, ctypes.c_int64(len(starts) - 1), *given):
        raise MemoryError("no memory to build alias tables in")
    return keep, other


__all__ = ["alias_tables"]
