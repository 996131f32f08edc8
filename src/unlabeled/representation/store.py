"""What a run keeps of its items, in LanceDB: table `items` (row, id, text or thumbnail, vector) and table `columns` (what may change).

Why two tables: open-source LanceDB adds a column of given values only by rewriting the table. So the narrow one is rewritten, as one new
version (atomic: a reader sees the old columns or the new), and the wide one, with pictures and vectors, is written once.

Ids and texts are kept once more in `items.arrow`, mapped when read, and full-text search has an index of its own (`fulltext.py`):
lancedb takes 2.5 s to import and several ms to answer a query over 100,000 texts, which nobody who only searches should wait for.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from unlabeled.data.storage import BLOCK, gather
from unlabeled.errors import InputError
from unlabeled.representation.fulltext import Words

if TYPE_CHECKING:
    import pyarrow as pa

    from unlabeled.data import Items

ARROW = "items.arrow"
THUMBNAIL = 64  # pixels, the longer side


def write(folder: Path, items: Items, vectors: np.ndarray) -> None:
    """Write both tables (and the full-text index of texts) of `items` with their `vectors`, float32 [n, d], into an existing folder."""
    import pyarrow as pa

    database = _connect(folder)
    content = {"text": [pa.field("text", pa.string())], "image": [pa.field("thumbnail", pa.binary())]}.get(items.kind, [])
    vector = pa.field("vector", pa.list_(pa.float32(), vectors.shape[1]))
    schema = pa.schema([pa.field("row", pa.int64()), pa.field("id", pa.string()), *content, vector])
    database.create_table("items", _batches(items, vectors, schema), schema=schema)
    _write_arrow(folder, items)
    rows = pa.array(np.arange(len(vectors)))
    columns = {_stored(name): _column(name, values, len(vectors)) for name, values in items.columns.items()}
    database.create_table("columns", pa.table({"row": rows, **columns}))


def _write_arrow(folder: Path, items: Items) -> None:
    """Ids, texts and the index of their words, for those who only search."""
    import pyarrow as pa

    columns = {"id": _strings(list(items.ids))}
    if items.kind == "text":
        texts = items.take(np.arange(len(items)))
        columns["text"] = _strings(texts)
        Words.of(texts).write(folder)
    table = pa.table(columns)
    with pa.OSFile(str(folder / ARROW), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=65_536)


def _batches(items: Items, vectors: np.ndarray, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    count, width = vectors.shape
    size = min(8192, max(1, BLOCK // (4 * width + (items.values[:1].nbytes if items.kind == "image" else 0))))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) as threads:
        for start in range(0, count, size):
            rows = np.arange(start, min(start + size, count))
            arrays = [pa.array(rows), _strings(items.ids[start : start + size])]
            if items.kind == "text":
                arrays.append(_strings(items.take(rows)))
            elif items.kind == "image":
                arrays.append(pa.array(list(threads.map(thumbnail, items.take(rows))), pa.binary()))
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(gather(vectors, rows).ravel()), width))
            yield pa.record_batch(arrays, schema=schema)


def thumbnail(pixels: np.ndarray) -> bytes:
    """The PNG of one uint8 picture [H, W, 1 or 3], shrunk to at most 64 pixels."""
    from PIL import Image

    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


class Store:
    """The tables of one folder, read when asked for: lancedb takes 3 s to import, and neighbours don't need it."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count

    @cached_property
    def database(self) -> Any:
        return _connect(self.folder)

    @cached_property
    def items(self) -> Any:
        return self.database.open_table("items")

    def values(self, name: str) -> list[str]:
        """All of `id` or `text`, in row order."""
        if (self.folder / ARROW).exists():
            import pyarrow as pa

            with pa.memory_map(str(self.folder / ARROW)) as file:
                return pa.ipc.open_file(file).read_all()[name].to_pylist()  # type: ignore[no-any-return]
        return self._in_order(self.items.search().select(["row", name]).limit(self.count).to_arrow())[name].to_pylist()

    def thumbnails(self, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        found = self.items.take_offsets(sorted({int(row) for row in rows})).select(["row", "thumbnail"]).to_arrow()
        png = dict(zip(found["row"].to_pylist(), found["thumbnail"].to_pylist(), strict=True))
        return [png[int(row)] for row in rows]

    @cached_property
    def words(self) -> Words:
        """The full-text index; made now for runs that were written before there was one."""
        return Words.read(self.folder, self.count) or Words.of(self.values("text"))

    def columns(self) -> list[str]:
        return [_asked(name) for name in self._columns().column_names if name != "row"]

    def columns_written(self) -> int:
        return (self.folder / "columns.lance" / "_versions").stat().st_mtime_ns

    def column(self, name: str) -> np.ndarray:
        """The values as numbers, or as an array of objects for strings (None where one is missing)."""
        return self._columns()[_stored(name)].to_numpy()

    def set_columns(self, columns: Mapping[str, Any]) -> None:
        table = self._columns()
        for name, values in columns.items():
            new, stored = _column(name, values, self.count), _stored(name)
            place = table.schema.get_field_index(stored)
            table = table.append_column(stored, new) if place < 0 else table.set_column(place, stored, new)
        written = self.database.create_table("columns", table, mode="overwrite")
        written.optimize(cleanup_older_than=timedelta(days=1))  # yesterday's versions: today's may still be open in another process

    def _columns(self) -> pa.Table:
        return self._in_order(self.database.open_table("columns").to_arrow())

    def _in_order(self, table: pa.Table) -> pa.Table:
        return table if np.array_equal(table["row"].to_numpy(), np.arange(self.count)) else table.sort_by("row")


def _connect(folder: Path) -> Any:
    ours = "lancedb" not in sys.modules
    import lancedb

    if ours:  # lancedb warns in every forked child, a DataLoader's too, that using it there is experimental: nobody there does
        warnings.filterwarnings("ignore", message="lancedb fork support", category=RuntimeWarning)
    return lancedb.connect(folder)


def _stored(name: str) -> str:
    """The name that Lance gets: it refuses dots, empty names and some that start with `_`; `row` is taken. Undone by `_asked`."""
    name = name.replace("%", "%25").replace(".", "%2E")
    return f"%{ord(name[0]):02X}{name[1:]}" if name == "row" or name.startswith("_") else name or "%"


def _asked(stored: str) -> str:
    return "" if stored == "%" else unquote(stored)


def _strings(values: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # a file name that isn't UTF-8 comes as lone surrogates: kept readable, and distinct
        return pa.array([value.encode("utf-8", "backslashreplace").decode() for value in values], pa.string())


def _column(name: str, values: Any, count: int) -> pa.Array:
    import pyarrow as pa

    if len(values) != count:
        raise InputError(f"column {name!r} has {len(values):,} values for {count:,} items: give one per item, in their order")
    try:
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else pa.array(values, from_pandas=True)
    except UnicodeEncodeError:
        array = _strings(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"column {name!r} can't be stored ({reason}): give one string, number or boolean per item") from None
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        array = array.cast(pa.string())
    if pa.types.is_nested(array.type):
        raise InputError(f"column {name!r} holds {array.type}, wanted one string, number or boolean per item: make several columns")
    return array
