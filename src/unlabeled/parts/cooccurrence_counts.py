"""Counts of what stands near what, in shards: a matrix that may be larger than memory, made in one reading of the texts."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from unlabeled.errors import InputError
from unlabeled.parts import native
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.skipgram import Corpus

CELL = np.dtype([("row", np.int32), ("column", np.int32), ("value", np.float32)])
COUNTED = np.dtype([("key", np.uint64), ("value", np.float64)])
HELD = 10_000_000  # different pairs counted in memory (about a gigabyte while they are sorted); beyond, they go to the disk
TOP = 2048  # pairs of so many frequent words are counted in a square, which is quicker than a table


@dataclass(frozen=True)
class Counts:
    """A matrix [rows, columns] of counts by its cells above 0. Shard (i, j) has the rows r with r % parts[0] == i and the columns c
    with c % parts[1] == j: where both are sorted by frequency, each shard has frequent and rare ones (striding).

    cells: CELL [n], shard by shard, within by row and column; may be a memory-mapped file. starts: int64 [shards + 1].
    row_sums, column_sums: float64, of the whole matrix. symmetric: cell (a, b) says what (b, a) does.
    """

    shape: tuple[int, int]
    parts: tuple[int, int]
    cells: np.ndarray
    starts: np.ndarray
    row_sums: np.ndarray
    column_sums: np.ndarray
    symmetric: bool

    @classmethod
    def of(cls, matrix: Any, *, shard: int = 4096) -> Counts:
        """From a SciPy sparse matrix. InputError: a count below 0 or not finite, or none above 0."""
        matrix = csr_array(matrix, dtype=np.float64, copy=True)
        matrix.sum_duplicates()
        if not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
            raise InputError("the counts have values below 0, or that aren't finite: wanted how often, 0 or more")
        matrix.eliminate_zeros()
        if not matrix.nnz:
            raise InputError(f"the counts {matrix.shape} are all 0: there is nothing to learn from")
        parts = tuple(-(-n // shard) for n in matrix.shape)
        found = matrix.tocoo()
        row, column = found.coords
        order = np.lexsort((column, row, column % parts[1], row % parts[0]))
        cells = np.empty(matrix.nnz, CELL)
        cells["row"], cells["column"], cells["value"] = row[order], column[order], found.data[order]
        sizes = np.bincount((row % parts[0]) * parts[1] + column % parts[1], minlength=parts[0] * parts[1])
        symmetric = matrix.shape[0] == matrix.shape[1] and abs(matrix - matrix.T).max() <= 1e-6 * matrix.max()
        rows, columns = (np.asarray(matrix.sum(axis=axis)).ravel() for axis in (1, 0))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return cls(matrix.shape, (parts[0], parts[1]), cells, starts, rows, columns, bool(symmetric))

    @property
    def total(self) -> float:
        return float(self.row_sums.sum())

    def shard(self, i: int, j: int) -> np.ndarray:
        """Its cells, in memory."""
        at = i * self.parts[1] + j
        return np.array(self.cells[self.starts[at] : self.starts[at + 1]])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.shard(i, j) for i in range(self.parts[0]) for j in range(self.parts[1]))

    def matrix(self) -> csr_array:
        """The whole, float64, in memory."""
        cells = self.cells
        return coo_array((cells["value"].astype(np.float64), (cells["row"], cells["column"])), shape=self.shape).tocsr()

    @cached_property
    def logs(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Logarithms of the rows' sums, the columns' and the total; those of rows and columns without any count are 0."""
        rows, columns = (np.log(np.where(sums > 0, sums, 1)) for sums in (self.row_sums, self.column_sums))
        return rows, columns, float(np.log(self.total))

    def pmi(self, row: np.ndarray, column: np.ndarray, value: Any) -> np.ndarray:
        """log x + log |D| - log x_i* - log x_*j of cells, with the sums of the whole matrix: float64."""
        rows, columns, total = self.logs
        return np.log(value, dtype=np.float64) + total - rows[row] - columns[column]


def count_pairs(
    corpus: Corpus, n_words: int, *, window: int = 10, weighting: str = "1/d", shard: int = 4096, held: int = HELD, top: int = TOP
) -> Counts:
    """How often two of the words 0 to n_words - 1 stand within `window` words of each other in a text: symmetric [n_words, n_words].

    weighting: "1/d" counts a pair at distance d as 1 / d, "flat" as 1. As in `parts.cooccurrence`, (a, b) and (b, a) both say how
    often, and (a, a) twice. shard: rows of a shard, at most. held: different pairs held in memory; when there are more, they are
    sorted, written to a temporary file and added up shard by shard, so that memory holds those and one shard's. top: pairs of the
    first so many words are held in any case. InputError: no two words stand together, bad values.
    """
    whole("window", window)
    flat = one_of("weighting", weighting, ("1/d", "flat")) == "flat"
    whole("shard", shard)
    corpus.check(n_words)
    parts = -(-n_words // shard)
    size = -(-n_words // parts)
    runs = list(_runs(corpus, min(top, n_words), max(whole("held", held), window), window, flat, parts, size))
    if not runs:
        raise InputError("no two known words stand together in any text: there is nothing to count (lower min_count, or give longer texts)")
    cells, starts = _merged(runs, parts, size)
    sums = np.zeros(n_words)
    for at in range(0, len(cells), 1 << 22):
        block = cells[at : at + (1 << 22)]
        sums += np.bincount(block["row"], block["value"], minlength=n_words)
    return Counts((n_words, n_words), (parts, parts), cells, starts, sums, sums, True)


def _runs(corpus: Corpus, top: int, held: int, window: int, flat: bool, parts: int, size: int) -> Iterator[np.ndarray]:
    """COUNTED arrays, each sorted by key; all but a single one on the disk."""
    lib = native.library(Path(__file__).with_suffix(".c"))
    lib.counts_new.restype, lib.counts_size.restype = ctypes.c_void_p, ctypes.c_int64
    whole_number, pointer = ctypes.c_int64, ctypes.c_void_p
    counter = pointer(lib.counts_new(whole_number(top), whole_number(held)))
    if not counter:
        raise MemoryError("no memory to count pairs in")
    tokens, starts = np.ascontiguousarray(corpus.tokens), np.ascontiguousarray(corpus.starts)
    at = np.zeros(2, np.int64)
    try:
        spilled, full = False, 1
        while full:
            full = lib.counts_add(
                counter, pointer(tokens.ctypes.data), pointer(starts.ctypes.data), whole_number(len(corpus)),
                pointer(at.ctypes.data), whole_number(window), ctypes.c_int(flat),
            )  # fmt: skip
            if full < 0:
                raise MemoryError(f"no memory for {held:,} different pairs: lower `held`")
            one, other = (np.empty(lib.counts_size(counter), COUNTED) for _ in range(2))
            turned = lib.counts_take(counter, pointer(one.ctypes.data), pointer(other.ctypes.data), whole_number(parts), whole_number(size))
            run = other if turned else one
            spilled = spilled or bool(full)
            if len(run):
                yield _Growing().add(run).array(COUNTED) if spilled else run
    finally:
        lib.counts_free(counter)


def _merged(runs: list[np.ndarray], parts: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The runs' cells added up, shard by shard, and where each shard starts."""
    edges = np.arange(parts * parts + 1, dtype=np.uint64) * np.uint64(size * size)
    cuts = [np.searchsorted(run["key"], edges) for run in runs]
    starts, found = [0], []
    file = _Growing() if len(runs) > 1 else None
    for shard in range(parts * parts):
        pieces = [run[cut[shard] : cut[shard + 1]] for run, cut in zip(runs, cuts, strict=True)]
        piece = np.concatenate(pieces) if len(pieces) != 1 else pieces[0]
        key, value = piece["key"], piece["value"]
        if len(pieces) > 1 and len(key):
            order = np.argsort(key, kind="stable")
            key, value = key[order], value[order]
            first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
            key, value = key[first], np.add.reduceat(value, first)
        cells = np.empty(len(key), CELL)
        local = (key - edges[shard]).astype(np.int64)
        cells["row"], cells["column"] = local // size * parts + shard // parts, local % size * parts + shard % parts
        cells["value"] = value
        starts.append(starts[-1] + len(cells))
        if file:
            file.add(cells)
        else:
            found.append(cells)
    return file.array(CELL) if file else np.concatenate(found), np.array(starts, np.int64)


class _Growing:
    """A temporary file, gone with the last array that is mapped to it."""

    def __init__(self) -> None:
        self.file: Any = tempfile.TemporaryFile(prefix="unlabeled-counts-")  # noqa: SIM115

    def add(self, rows: np.ndarray) -> _Growing:
        rows.tofile(self.file)
        return self

    def array(self, dtype: np.dtype) -> np.ndarray:
        self.file.flush()
        return np.memmap(self.file, dtype, "r", shape=(self.file.seek(0, 2) // dtype.itemsize,))
