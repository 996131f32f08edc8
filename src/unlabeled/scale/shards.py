"""Parquet files and Lance tables on local or object storage as blocks to read and shards to write; Parquet through fsspec."""

from __future__ import annotations

import io
import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from unlabeled.errors import InputError

ROWS = 50_000  # rows of a block, where the row groups of a file allow it: what is done again when a worker is lost
LANCE = ".lance"
MANIFEST = "manifest.json"  # written last: its shards are all there is, and all whole


@dataclass(frozen=True)
class Block:
    """Some row groups of one Parquet file, or rows of a Lance table: what one task reads, and one shard's items."""

    number: int
    path: str  # as fsspec opens it, with its protocol
    groups: tuple[int, int]  # first and last + 1; of a Lance table its version, twice
    first: int  # row of the file that the block begins with
    rows: int


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path within it. InputError: its protocol's package isn't installed."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(str(path))  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        raise InputError(f"{path} can't be reached ({error})") from None


def files(path: str) -> list[str]:
    """The Parquet files of a file, a folder or a pattern (data/*.parquet), in order, as URLs."""
    storage, inside = filesystem(path)
    if any(sign in inside for sign in "*?["):
        found = storage.glob(inside)
    elif storage.isdir(inside):
        found = [name for name in storage.find(inside) if not _hidden(name, inside)]
    else:
        found = [inside] if storage.exists(inside) else []
    found = sorted(name for name in found if name.endswith((".parquet", ".pq")))
    if not found:
        raise InputError(f"no Parquet file at {path}: wanted a .parquet file, a folder of them or a pattern such as data/*.parquet")
    return [storage.unstrip_protocol(name) for name in found]


def _hidden(name: str, folder: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(os.path.relpath(name, folder)).parts)


def blocks(path: str, rows: int = ROWS) -> list[Block]:
    """All of the path's files, or a Lance table (a folder NAME.lance), cut into blocks of about `rows` rows.

    Only the files' footers are read. A table is read in the version that it has now, whatever is written to it later.
    """
    import pyarrow.parquet as pq

    found: list[Block] = []
    if is_lance(path):
        table = lance_table(path)
        total, version = table.count_rows(), int(table.version)
        starts = range(0, total, rows)
        found = [Block(n, str(path), (version, version), first, min(rows, total - first)) for n, first in enumerate(starts)]
        if not found:
            raise InputError(f"{path} has no rows")
        return found
    for url in files(path):
        storage, inside = filesystem(url)
        try:
            with storage.open(inside, "rb") as file:
                about = pq.ParquetFile(file).metadata
                sizes = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
        except OSError:
            raise
        except Exception as error:  # pyarrow raises nearly anything on damaged files
            raise InputError(f"{url} is not a readable Parquet file ({str(error).splitlines()[0]})") from None
        begin, first, here = 0, 0, 0
        for group, size in enumerate(sizes):
            here += size
            if here >= rows or group == len(sizes) - 1:
                if here:
                    found.append(Block(len(found), url, (begin, group + 1), first, here))
                begin, first, here = group + 1, first + here, 0
    if not found:
        raise InputError(f"{path}: its Parquet files have no rows")
    return found


def read_block(block: Block, columns: list[str] | None = None) -> Any:
    """The block as a pyarrow Table."""
    import pyarrow.parquet as pq

    if is_lance(block.path):
        table = lance_table(block.path)
        table.checkout(block.groups[0])
        asked = table.take_offsets(list(range(block.first, block.first + block.rows)))
        return (asked if columns is None else asked.select(columns)).to_arrow()
    storage, inside = filesystem(block.path)
    with storage.open(inside, "rb") as file:
        return pq.ParquetFile(file).read_row_groups(list(range(*block.groups)), columns=columns)


def is_lance(path: str) -> bool:
    return str(path).rstrip("/").endswith(LANCE)


def lance_table(path: str) -> Any:
    """The LanceDB table in the folder NAME.lance, on a disk or an object store (opened by Lance itself, with its own settings)."""
    import lancedb

    folder, _, name = str(path).rstrip("/").rpartition("/")
    try:
        return lancedb.connect(folder or ".").open_table(name.removesuffix(LANCE))
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{path} is not a readable Lance table ({str(error).splitlines()[0]})") from None


def write_lance(path: str, shards: list[str]) -> None:
    """The shards' ids and vectors, in order, as the Lance table NAME.lance: a new one, or a new version of the one that is there."""
    import lancedb
    import pyarrow as pa
    import pyarrow.parquet as pq

    def read(shard: str) -> Any:
        storage, inside = filesystem(shard)
        with storage.open(inside, "rb") as file:
            return pq.ParquetFile(file).read(columns=["id", "vector"]).replace_schema_metadata(None)

    schema = read(shards[0]).schema
    batches = (batch for shard in shards for batch in read(shard).to_batches())
    folder, _, name = str(path).rstrip("/").rpartition("/")
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    lancedb.connect(folder or ".").create_table(name.removesuffix(LANCE), data=reader, mode="overwrite")


def shard_name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def write_shard(folder: str, number: int, ids: list[str], vectors: np.ndarray, said: dict[str, Any]) -> None:
    """ids and vectors [n, d] as a Parquet file that is there whole or not at all, however often it is written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors, np.float32).ravel()), vectors.shape[1])
    table = pa.table({"id": pa.array(ids, pa.string()), "vector": flat}).replace_schema_metadata({"unlabeled": json.dumps(said)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    put(folder, shard_name(number), buffer.getvalue())


def shard_says(folder: str, number: int) -> dict[str, Any] | None:
    """What `write_shard` was told of the shard; None where there is none."""
    import pyarrow.parquet as pq

    storage, inside = filesystem(f"{folder}/{shard_name(number)}")
    if not storage.exists(inside):
        return None
    try:
        with storage.open(inside, "rb") as file:
            return json.loads(pq.ParquetFile(file).schema_arrow.metadata[b"unlabeled"])  # type: ignore[no-any-return]
    except (KeyError, TypeError, ValueError):  # not one of ours; pyarrow's errors are ValueErrors
        return None


def read_vectors(path: str) -> tuple[list[str], np.ndarray]:
    """ids and vectors float32 [n, d] of a shard."""
    import pyarrow.parquet as pq

    storage, inside = filesystem(path)
    with storage.open(inside, "rb") as file:
        table = pq.ParquetFile(file).read(columns=["id", "vector"])
    lists = table.column("vector").combine_chunks()
    width = lists.type.list_size
    return table.column("id").to_pylist(), lists.flatten().to_numpy().reshape(-1, width).astype(np.float32, copy=False)


def put(folder: str, name: str, content: bytes) -> None:
    """A file that appears whole or not at all: object stores do that by themselves, on a disk it is renamed when it is written."""
    storage, inside = filesystem(folder)
    target = f"{inside}/{name}"
    if storage.protocol == "file" or "file" in storage.protocol:
        os.makedirs(inside, exist_ok=True)
        partial = f"{inside}/.{name}.{uuid.uuid4().hex}"
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
        return
    storage.pipe_file(target, content)


def write_manifest(folder: str, said: dict[str, Any]) -> None:
    put(folder, MANIFEST, (json.dumps(said, indent=1) + "\n").encode())


def read_manifest(folder: str) -> dict[str, Any]:
    """What `embed` wrote of the folder when all of it was there."""
    storage, inside = filesystem(f"{folder}/{MANIFEST}")
    if not storage.exists(inside):
        raise InputError(f"{folder} has no {MANIFEST}: wanted a folder that `unlabeled embed ... --ray-address` wrote to its end")
    return json.loads(storage.cat_file(inside))  # type: ignore[no-any-return]


def described(block: Block) -> dict[str, Any]:
    return asdict(block) | {"groups": list(block.groups)}
