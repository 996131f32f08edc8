"""A run folder: vectors, items, columns and a neighbour index, written whole or not at all, opened again by one call.

    RUN/config.json                     what made it, its format, its state, and the name of the database in force
    RUN/database-1f3a9c2e/              items.lance, columns.lance (LanceDB: see store.py), vectors.npy, center.npy, neighbours.faiss
    RUN/model.safetensors, report.html  are others' and are left alone

How a kill at any moment is survived: a database is written under a new name and flushed to the disk; then config.json is replaced, which a
file system does in one step, by one that names it, with the state "done". Until then the folder is what it was: an older run still opens, a
training run (state "training", written by the learner) can still be resumed, a new one (state "writing") is refused.

Vectors lie twice on the disk: in the table, for filters and other users of LanceDB, and in vectors.npy, which is memory-mapped. Importing
lancedb takes 3 s of processor time and reading 100,000 x 384 out of it 0.25 to 0.5 s; mapping takes none, and neighbours must not wait.
"""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unlabeled.data.storage import blocks
from unlabeled.errors import InputError
from unlabeled.representation import index, store

if TYPE_CHECKING:
    from unlabeled.data import Items

FORMAT = 1
PARTIAL = "config.json.partial"
OLD = ("model.safetensors", "checkpoint.safetensors", "report.json", "report.html")  # what belongs to the run that overwrite=True replaces


class Representation:
    """Vectors [n, d] of n items, with the items: made by `create` or `import_vectors`, opened again by `open`."""

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path, self.config = path, config
        self.kind: str = config["kind"]
        self._folder = path / config["database"]
        self._store = store.Store(self._folder, config["items"]["count"])

    @classmethod
    def create(
        cls, path: str | Path, items: Items, vectors: np.ndarray, *, config: dict[str, Any], overwrite: bool = False, finish: bool = False
    ) -> Representation:
        """Write `items` and their `vectors` [n, d] (any real type, a memory map too; kept as float32) as the run `path`.

        `path` must not exist, be empty, or be what a killed `create` left. A folder in state "training" is completed with `finish=True`:
        the files beside the database stay. `overwrite=True` replaces a run, whose model and report go once the new database is in place.
        Raises InputError for vectors that aren't finite or don't match, ids that repeat, a folder that is in use, and a full disk.
        """
        path = Path(path)
        vectors = _matrix(vectors)
        _check_items(items, len(vectors))
        before = _may_write(path, overwrite, finish)
        about = {"count": len(vectors), "dim": vectors.shape[1], "source": items.source, "notes": items.notes}
        about |= {"unreadable": items.unreadable, "fields": items.fields}
        name = f"database-{secrets.token_hex(4)}"
        config = {**config, "format": FORMAT, "state": "done", "kind": items.kind, "items": about, "database": name}
        _json(config)  # what can't be written is found before the work, not after
        with _disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            try:
                if before is None:
                    _write_config(path, {"format": FORMAT, "state": "writing"})
                (path / name).mkdir()
                _write_vectors(vectors, path / name)
                written = np.load(path / name / "vectors.npy", mmap_mode="r")
                config["index"] = index.build(written, np.load(path / name / "center.npy"), path / name)
                store.write(path / name, items, written)
                _flush(path / name)
                _write_config(path, config)  # from here on, this is the run
            except BaseException:
                _sweep(path, keep=(before or {}).get("database"))
                if before is None:
                    for left in ("config.json", PARTIAL):
                        (path / left).unlink(missing_ok=True)
                    if not any(path.iterdir()):
                        path.rmdir()
                raise
        _sweep(path, keep=name)
        if before is not None and not finish:
            for left in OLD:
                (path / left).unlink(missing_ok=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Representation:
        """Open the run `path`. InputError when it isn't there, isn't a run, is half-written, damaged, or of a newer format."""
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path} isn't there: a run is a folder made by `unlabeled learn ... --out {path}`")
        config = _read_config(path)
        if config is None:
            raise InputError(f"{path} isn't a run (it has no config.json): give the folder that `unlabeled learn ... --out` made")
        if config.get("format", FORMAT) > FORMAT:
            raise InputError(f"{path} was made by a newer unlabeled (format {config['format']}; this one reads {FORMAT}): upgrade")
        if config.get("state") == "training":
            raise InputError(f"{path} is half-written (training was stopped): finish it with `unlabeled learn ... --out {path} --resume`")
        if config.get("state") != "done":
            raise InputError(f"{path} is half-written (the process that wrote it was stopped): run the command that made it again")
        run = cls(path, config)
        missing = [name for name in ("items.lance", "columns.lance", "center.npy", "vectors.npy") if not (run._folder / name).exists()]
        missing += [index.FILE] if run.index_info["kind"] == "hnsw" and not (run._folder / index.FILE).exists() else []
        if missing:
            raise InputError(f"{path} is damaged ({config['database']}/{missing[0]} is missing): restore a copy, or make the run again")
        try:
            len(run)
        except ValueError as error:  # shorter than its header says
            raise InputError(f"{path} is damaged (vectors.npy: {error}): restore a copy, or make the run again") from None
        return run

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def vectors(self) -> np.ndarray:
        """float32 [n, d], mapped from the disk. Writing into it changes this copy only, never the run."""
        return np.load(self._folder / "vectors.npy", mmap_mode="c")

    @cached_property
    def center(self) -> np.ndarray:
        """The mean of the vectors, float32 [d]. Neighbours are cosines of what is left when it is taken off, of queries too."""
        return np.load(self._folder / "center.npy")

    @cached_property
    def ids(self) -> list[str]:
        return self._store.values("id")

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def row_of(self, id: str) -> int:
        """The row of one id; InputError with the closest ids when there is none."""
        if id not in self._rows:
            alike = islice((known for known in self.ids if abs(len(known) - len(id)) <= 3), 20_000)  # difflib is slow
            near = ", ".join(difflib.get_close_matches(id, alike, 3, cutoff=0.3)) or ", ".join(self.ids[:3])
            raise InputError(f"no item has the id {id!r}; the closest are: {near}")
        return self._rows[id]

    @cached_property
    def texts(self) -> list[str] | None:
        """The texts, in row order; None for a run that isn't of texts."""
        return self._store.values("text") if self.kind == "text" else None

    def thumbnails(self, index: Sequence[int] | np.ndarray) -> list[bytes]:
        """The pictures of these rows as PNG, at most 64 pixels a side."""
        if self.kind != "image":
            raise InputError(f"{self.path} has no pictures: its items are of the kind {self.kind!r}")
        outside = [int(row) for row in index if not 0 <= row < len(self)]
        if outside:
            raise InputError(f"row {outside[0]} is asked for; {self.path} has rows 0 to {len(self) - 1}")
        return self._store.thumbnails(index)

    @property
    def columns(self) -> list[str]:
        return self._store.columns()

    @property
    def columns_written(self) -> int:
        """Changes when columns are written, by this or another process: cheaper than reading them again to see."""
        return self._store.columns_written()

    def column(self, name: str) -> np.ndarray:
        """One column [n]: numbers, booleans, or an array of str objects."""
        if name not in self.columns:
            raise InputError(f"{self.path} has no column {name!r}; it has: {', '.join(self.columns) or 'none'}")
        return self._store.column(name)

    def set_columns(self, **columns: Any) -> None:
        """Add or replace columns, [n] each, of strings, numbers or booleans: all of them in one step, or none."""
        with _disk_errors(self.path):
            self._store.set_columns(columns)

    @property
    def index_info(self) -> dict[str, Any]:
        """{"kind": "flat" or "hnsw", "recall_at_10": float, "measured_on": queries}; `index.describe` makes a phrase of it."""
        return self.config["index"]

    @cached_property
    def _index(self) -> index.Index:
        return index.Index(self.vectors, self.center, self.index_info, self._folder)

    def neighbours(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest items of each of `vectors` [m, d] (or one [d]): cosines float32 [m, k] and rows int64 [m, k], nearest first.

        k is cut to n. A vector of the run finds itself first. One that lies on the mean (all do, when all items are the same) scores 0.
        """
        queries = np.atleast_2d(np.asarray(vectors, np.float32))
        if queries.ndim != 2 or queries.shape[1] != len(self.center):
            raise InputError(f"queries of shape {np.shape(vectors)}, wanted [m, {len(self.center)}]: embed them as the run was embedded")
        if not np.isfinite(queries).all():
            raise InputError(f"query {int(np.argmin(np.isfinite(queries).all(axis=1)))} holds NaN or infinity: give finite numbers")
        return self._index.search(queries, _positive(k))

    def neighbours_kept(self, vectors: np.ndarray, k: int, keep: Sequence[np.ndarray | None]) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `neighbours`, of each vector only among the items that its `keep`, bool [n] or None, keeps: (cosines, rows), at most k."""
        if len(keep) != len(vectors) or any(one is not None and one.shape != (len(self),) for one in keep):
            raise InputError(f"{len(keep)} masks for {len(vectors)} queries: give one bool [{len(self)}] or None each")
        return self._index.search_kept(np.asarray(vectors, np.float32), _positive(k), keep)

    def search_text(self, query: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Full-text search (BM25, English stems and stop words): rows int64, scores float32, best first; at most k texts."""
        if self.kind != "text":
            raise InputError(f"{self.path} has no texts (its items are of kind {self.kind!r}): search by example, with `id:...` or a file")
        return self._store.words.search(query, _positive(k))


def import_vectors(
    array: np.ndarray,
    items: Any = None,
    path: str | Path | None = None,
    ids: Sequence[str] | None = None,
    kind: type[Representation] = Representation,
) -> Representation:
    """Make a representation of anybody's embeddings: `array` real [n, d], e.g. a NumPy array, memory map or CPU tensor.

    `items`: what they are embeddings of: a list of n texts, Items, or a pyarrow table (its `id` and `text` are used as such, the rest
    are kept as columns). `ids`: n distinct strings, by default the row numbers. Without `path`, the folder is temporary.
    """
    from unlabeled.data import Items

    vectors = _matrix(array)
    columns: dict[str, Any] = {}
    if hasattr(items, "column_names"):
        columns = {name: items[name] for name in items.column_names}
        ids = ids if ids is not None or "id" not in columns else [str(value) for value in columns.pop("id").to_pylist()]
        items = [str(text or "") for text in columns.pop("text").to_pylist()] if "text" in columns else None
    if items is None or isinstance(items, (list, tuple)):
        count = len(vectors) if items is None else len(items)
        form, values = ("vector", vectors) if items is None else ("text", list(items))
        if form == "text" and not all(isinstance(text, str) for text in values):
            raise InputError("items holds values that aren't strings: give a list of texts, Items or a pyarrow table")
        items = Items(kind=form, values=values, ids=[str(row) for row in range(count)] if ids is None else list(ids), columns=columns)
    elif not isinstance(items, Items):
        raise InputError(f"items is a {type(items).__name__}, wanted a list of texts, Items or a pyarrow table")
    elif ids is not None:
        raise InputError("ids came twice, in items and by themselves: give one of them")
    config = {"class": "import_vectors"}
    if path is not None:
        return kind.create(path, items, vectors, config=config)
    folder = tempfile.mkdtemp(prefix="unlabeled-")
    try:
        run = kind.create(folder, items, vectors, config=config)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(run, _remove, folder, os.getpid())
    return run


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked worker that ends before us
        shutil.rmtree(folder, ignore_errors=True)


def _matrix(vectors: Any) -> np.ndarray:
    vectors = vectors if isinstance(vectors, np.ndarray) else np.asarray(vectors)
    if vectors.dtype.kind not in "fiub" or vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(f"vectors of shape {list(vectors.shape)} and type {vectors.dtype}, wanted real numbers [n, d], n and d at least 1")
    return vectors


def _positive(k: int) -> int:
    if k < 1:
        raise InputError(f"k is {k}, wanted 1 or more")
    return int(k)


def _check_items(items: Items, count: int) -> None:
    if not len(items) == len(items.ids) == count:
        raise InputError(f"{len(items):,} items with {len(items.ids):,} ids came with {count:,} vectors: give one of each per item")
    seen: dict[str, int] = {}
    for row, name in enumerate(items.ids):
        if seen.setdefault(name, row) != row:
            raise InputError(f"id {name!r} names both row {seen[name]} and row {row}: make the ids distinct, or leave them out")


def _may_write(path: Path, overwrite: bool, finish: bool) -> dict[str, Any] | None:
    """The config of the run that `path` already holds, None where there is nothing to lose; InputError where it must not be written."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: give the name of a folder for the run")
    before = _read_config(path) if path.is_dir() else None
    if before is None:
        if path.is_dir() and any(file.name != PARTIAL for file in path.iterdir()):
            raise InputError(f"{path} isn't empty and isn't a run: give the name of a new folder")
        return None
    if before.get("state") == "writing":
        return None
    if not overwrite and not (finish and before.get("state") == "training"):
        remedy = "" if before.get("state") == "done" else "finish it with --resume, "
        raise InputError(f"{path} already holds a run (state {before.get('state')!r}): {remedy}give another name, or overwrite it")
    return before


def _read_config(path: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        config = None
    if not isinstance(config, dict) or config.get("state") == "done" and not {"kind", "items", "index", "database"} <= config.keys():
        if not isinstance(config, dict) or config.get("format", FORMAT) <= FORMAT:
            raise InputError(f"{path} isn't a run, or is damaged (its config.json isn't a run's): give another folder, or make it again")
    return config


def _json(config: dict[str, Any]) -> str:
    return json.dumps(config, indent=1, default=lambda value: value.item() if isinstance(value, np.generic) else str(value))


def _write_config(path: Path, config: dict[str, Any]) -> None:
    partial = path / PARTIAL
    partial.write_text(_json(config), encoding="utf-8")
    _flush(partial)
    os.replace(partial, path / "config.json")
    _flush(path)


def _sweep(path: Path, keep: str | None) -> None:
    """Remove the databases that config.json doesn't name: replaced ones, and what killed writers left."""
    for old in path.glob("database-*"):
        if old.name != keep:
            shutil.rmtree(old, ignore_errors=True)


def _write_vectors(vectors: np.ndarray, folder: Path) -> None:
    """vectors.npy and center.npy, block by block; written, not mapped, because a full disk kills a process that writes through a map."""
    count, width = vectors.shape
    total, bad, first = np.zeros(width), 0, 0
    with open(folder / "vectors.npy", "wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count, width)})
        for start, read in blocks(vectors):
            with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is said below
                block = np.ascontiguousarray(read, "<f4")
            finite = np.isfinite(block).all(axis=1)
            if not finite.all():
                first = first if bad else start + int(np.argmin(finite))
                bad += int((~finite).sum())
            elif not bad:
                file.write(block.data)
                total += block.sum(axis=0, dtype=np.float64)
    if bad:
        raise InputError(f"{bad:,} of {count:,} vectors hold NaN or infinity, the first in row {first}: remove or mend them")
    np.save(folder / "center.npy", (total / count).astype(np.float32))


def _flush(path: Path) -> None:
    """Have a file, a folder, or everything in a database on the disk before going on."""
    for place in [path, *(path.rglob("*") if path.name.startswith("database-") else [])]:
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Say in one line that the disk is full, or that `path` can't be written, whichever library found out."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # lancedb and faiss raise the last two, with the system's words inside
        full = re.search(r"No space left|os error 28|File too large|os error 27|Disk quota", str(error))
        if full or isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(f"disk full while writing {path}: make room and run it again; what was there before is untouched") from None
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise InputError(f"{path} can't be written ({error.strerror}): give a folder that you may write to") from None
        raise
