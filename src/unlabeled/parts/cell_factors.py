"""Vectors of rows and columns fitted to the cells of a matrix of counts that are above 0: AdaGrad in a compiled loop."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts import native
from unlabeled.parts.checks import number, whole
from unlabeled.parts.cooccurrence_counts import Counts

WIDTH = 16  # floats that are worked on at once: rows are padded to a multiple of it


@dataclass(frozen=True)
class Factors:
    """rows float32 [n, dim], columns [m, dim] (the same array where they are tied), biases [n] and [m], the constant, loss by epoch."""

    rows: np.ndarray
    columns: np.ndarray
    row_bias: np.ndarray
    column_bias: np.ndarray
    constant: float
    loss: list[float]


def factorise(
    counts: Counts,
    cell: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    *,
    dim: int,
    epochs: int,
    lr: float,
    seed: int = 0,
    norm: bool = False,
    tied: bool = False,
    biases: bool = False,
    constant: float | None = None,
    first: float = 1.0,
    scale: float | None = None,
) -> Factors:
    """Least of the sum of weight / 2 (score - target)^2 over the cells, in random order, each row with sums of squares of its own.

    cell(rows, columns, counts) gives target and weight. score: <u, v>, or |u + v|^2 (norm), and biases that are learned. constant:
    added to it, learned from this value on; None: there is none. tied: rows and columns are the same things, have one set of vectors,
    and a pair counts once. first: what the sums of squares begin with. scale: of the first vectors, uniform within half of it
    (default 1 / dim). The cells are read shard by shard, in a new order each epoch. InputError: bad values, a rate at which it runs
    away.
    """
    whole("dim", dim), whole("epochs", epochs), number("lr", lr, 0, above=True)
    if tied and not counts.symmetric:
        raise InputError(f"the counts {counts.shape} aren't symmetric: one set of vectors needs (a, b) to say what (b, a) does")
    rng = np.random.default_rng(seed)
    tables = [_start(n, dim, scale or 1 / dim, rng) for n in (counts.shape[:1] if tied else counts.shape)]
    squares = [np.full_like(table, first) for table in tables]
    bias = [np.zeros(n, np.float32) for n in counts.shape] if biases else []
    bias_squares = [np.full_like(one, first) for one in bias]
    shared = np.array([constant or 0.0, first, constant is not None])
    held = [tables[0], tables[-1], squares[0], squares[-1], *bias, *bias_squares]
    none = [None] * (8 - len(held))  # where biases would be
    task = _Task(*(one.ctypes.data for one in held), *none, shared.ctypes.data, lr, tables[0].shape[1], norm)
    lib = native.library(Path(__file__).with_suffix(".c"))
    lib.factors_step.restype = ctypes.c_double
    curve = []
    for epoch in range(epochs):
        loss, n = 0.0, 0
        for shard in rng.permutation(counts.parts[0] * counts.parts[1]):
            found = counts.shard(*divmod(int(shard), counts.parts[1]))
            row, column, value = (found[name] for name in ("row", "column", "value"))
            if tied:
                once = row <= column
                row, column, value = row[once], column[once], value[once]
            target, weight = (np.ascontiguousarray(one, np.float32) for one in cell(row, column, value))
            row, column, order = np.ascontiguousarray(row), np.ascontiguousarray(column), rng.permutation(len(row))
            given = (ctypes.c_void_p(one.ctypes.data) for one in (row, column, target, weight, order))
            loss += lib.factors_step(ctypes.byref(task), *given, ctypes.c_int64(len(row)))
            n += len(row)
        if not all(np.isfinite(table).all() for table in tables):
            raise InputError(f"training ran away in epoch {epoch + 1} with lr={lr}: lower lr")
        curve.append(loss / max(n, 1))
    rows, columns = (np.ascontiguousarray(table[:, :dim]) for table in (tables[0], tables[-1]))
    of_rows, of_columns = bias or [np.zeros(n, np.float32) for n in counts.shape]
    return Factors(rows, rows if tied else columns, of_rows, of_columns, float(shared[0]), curve)


class _Task(ctypes.Structure):
    """As in cell_factors.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("rows", "columns", "row_sums", "column_sums", "row_bias", "column_bias")),
        *((name, ctypes.c_void_p) for name in ("row_bias_sums", "column_bias_sums", "constant")),
        ("lr", ctypes.c_float), ("width", ctypes.c_int32), ("norm", ctypes.c_int32),
    )  # fmt: skip


def _start(n: int, dim: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Small numbers float32 [n, dim padded], the padding 0: it stays 0, whatever the steps are."""
    table = np.zeros((n, -(-dim // WIDTH) * WIDTH), np.float32)
    table[:, :dim] = (rng.random((n, dim), np.float32) - 0.5) * scale
    return table
