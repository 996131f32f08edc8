"""Rows of an array that may be larger than memory: written once to an .npy file, read by position."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.errors import InputError

IN_MEMORY = 64 << 20  # bytes: what is smaller is handed out as an ordinary array
RESIDENT = 256 << 20  # bytes: a memory map up to this size may as well stay in memory once touched
BLOCK = 16 << 20  # bytes read at a time when a whole array is looked through

_files: weakref.WeakKeyDictionary[mmap.mmap, Any] = weakref.WeakKeyDictionary()


def gather(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Copy of `values[rows]`.

    A large memory map is read with positioned reads: touching it in random order maps a whole large page (up to 2 MB) for each row, so that
    a few thousand rows hold gigabytes, and giving the pages back costs more than the reads do.
    """
    found = _file_under(values) if values.nbytes > RESIDENT else None
    if found is None or not values[:1].flags.c_contiguous:
        return np.asarray(values)[rows]
    file, offset = found
    step = int(np.prod(values.shape[1:], dtype=np.int64)) * values.itemsize
    out = np.empty((len(rows), *values.shape[1:]), values.dtype)
    if len(rows) == 0:
        return out
    view, stride = _bytes(out), values.strides[0]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(rows) != 1) + 1]) if stride == step else np.arange(len(rows))
    ends = np.append(starts[1:], len(rows))
    fd = file.fileno()
    for begin, end, where in zip((starts * step).tolist(), (ends * step).tolist(), (rows[starts] * stride + offset).tolist(), strict=True):
        if os.preadv(fd, [view[begin:end]], where) != end - begin:
            _read_fully(fd, view[begin:end], where)
    return out


def blocks(values: np.ndarray, size: int = BLOCK) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows) in order, about `size` bytes at a time, without leaving a memory map resident."""
    step = max(1, size // max(1, values[:1].nbytes))
    for start in range(0, len(values), step):
        stop = min(start + step, len(values))
        yield start, gather(values, np.arange(start, stop)) if values.nbytes > RESIDENT else np.array(values[start:stop])


def _file_under(values: np.ndarray) -> tuple[Any, int] | None:
    """The open file below a memory map and the position in it of the first row; None when `values` isn't one."""
    root: Any = values
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    if not isinstance(root, np.memmap) or root.mode == "c" or root.filename is None:
        return None  # a private map ("c") may differ from its file
    if root.mode != "r":
        root.flush()
    pages: Any = root.base
    if pages not in _files:
        try:
            _files[pages] = open(root.filename, "rb", buffering=0)  # noqa: SIM115 - lives as long as the map
        except OSError:
            return None
    return _files[pages], root.offset + values.__array_interface__["data"][0] - root.__array_interface__["data"][0]


def write_at(fd: int, where: int, values: np.ndarray, folder: Path) -> None:
    """A contiguous array at a position of an open file in `folder`."""
    view, done = _bytes(values), 0
    with disk_errors(folder):
        while done < len(view):
            done += os.pwrite(fd, view[done:], where + done)


def _bytes(values: np.ndarray) -> memoryview:
    """The memory of a contiguous array."""
    return memoryview(values.reshape(-1).view(np.uint8).data)


def _read_fully(fd: int, view: memoryview, where: int) -> None:
    """A single read stops at 2 GB and at signals: go on until everything is there."""
    done = 0
    while done < len(view):
        got = os.preadv(fd, [view[done:]], where + done)
        if got == 0:
            raise InputError("the file behind the data became shorter while it was read: read it again")
        done += got


@contextmanager
def disk_errors(folder: Path):
    """A full disk is said in one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"no space left in {folder}: free some, or name another folder (for temporary files: TMPDIR)") from None
        raise


def scratch(cache: Path | None, suffix: str) -> Path:
    """A new file in `cache`, or among the temporary files."""
    folder = Path(cache) if cache is not None else Path(tempfile.gettempdir())
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix="unlabeled-", suffix=suffix, dir=folder)
    os.close(handle)
    return Path(path)


def mapped(path: Path, temporary: bool) -> np.ndarray:
    """A finished .npy file as a read-only map; a temporary file is removed with the map."""
    values = np.load(path, mmap_mode="r")
    if temporary:
        weakref.finalize(values._mmap, _remove, path, os.getpid())
    return values


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked worker that ends before us
        path.unlink(missing_ok=True)


class RowFile:
    """An .npy file [n, *shape] written by position, from any thread, and never resident in memory.

    Used as a context manager: leaving it through an exception removes the file. `cache=None`: a temporary file.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, cache: Path | None, name: str):
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.cache, self.name = cache, name
        self.path = scratch(cache, ".npy")
        self.file = open(self.path, "r+b", buffering=0)  # noqa: SIM115 - closed by finish or __exit__
        self.offset = self._header(0)
        self.rows = 0

    @property
    def step(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def _header(self, rows: int) -> int:
        """NumPy pads the header so that the number of rows can grow in place."""
        self.file.seek(0)
        np.lib.format.write_array_header_1_0(
            self.file, {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (rows, *self.shape)}
        )
        return self.file.tell()

    def write(self, start: int, values: np.ndarray) -> None:
        """Rows `start` onwards; `values` is [m, *shape]."""
        write_at(self.file.fileno(), self.offset + start * self.step, np.ascontiguousarray(values, self.dtype), self.path.parent)
        self.rows = max(self.rows, start + len(values))

    def append(self, values: np.ndarray) -> None:
        self.write(self.rows, values)

    def rewrite(self, change: Callable[[int, np.ndarray], np.ndarray], shape: tuple[int, ...] | None = None) -> None:
        """Replace the rows, a block at a time, by `change(first row, rows)`, which may give fewer or narrower rows, never more bytes."""
        rows, step, old = self.rows, self.step, self.shape
        self.shape, self.rows = (old if shape is None else shape), 0
        many = max(1, BLOCK // max(1, step))
        for start in range(0, rows, many):
            block = np.empty((min(many, rows - start), *old), self.dtype)
            _read_fully(self.file.fileno(), _bytes(block), self.offset + start * step)
            self.append(change(start, block))

    def finish(self) -> np.ndarray:
        """The array: in memory when it is small and temporary, else a read-only map."""
        self._header(self.rows)
        self.file.truncate(self.offset + self.rows * self.step)
        self.file.close()
        if self.cache is not None:
            return mapped(self.path.replace(Path(self.cache) / f"{self.name}.npy"), temporary=False)
        if self.rows * self.step > IN_MEMORY:
            return mapped(self.path, temporary=True)
        values = np.load(self.path)
        self.path.unlink()
        return values

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if not self.file.closed:
            self.file.close()
            self.path.unlink(missing_ok=True)
