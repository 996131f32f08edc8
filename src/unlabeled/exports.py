"""A run written for other tools: the map and neighbours for Embedding Atlas, a table, the labels."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data.storage import BLOCK
from unlabeled.errors import InputError
from unlabeled.labels import Labels
from unlabeled.run import Run

NEIGHBOURS = 15
EXACT = 50_000  # items up to which every pair is compared; beyond, nearest neighbours are sought in the nearest cells


def export(run: Run, to: str | Path, *, neighbours: int = NEIGHBOURS, vectors: bool = False) -> dict[str, Any]:
    """Write a run's items as one table: id, text or picture, columns, labels, map and neighbours. Returns "rows", "columns" and "file".

    to: .parquet, as Embedding Atlas opens it: x, y, `neighbors` {ids: row numbers, distances: 1 - cosine}, pictures as {bytes: PNG}; or
    .csv, without pictures, neighbours and vectors. vectors: add the column `vector`. Raises InputError for other names.
    """
    path = Path(to)
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(f"{path.name!r}: wanted a name that ends in .parquet or .csv")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} isn't there: give a folder that exists")
    if neighbours < 1:
        raise InputError(f"neighbours={neighbours}: wanted 1 or more")
    if not {"x", "y"} <= set(run.columns):
        from unlabeled.evaluate import map2d

        at = map2d(np.asarray(run.vectors))
        run.set_columns(x=at[:, 0], y=at[:, 1])
    table: dict[str, Any] = {"id": run.ids}
    if run.texts is not None:
        table["text"] = run.texts
    table |= {name: run.column(name) for name in run.columns if name not in table}
    labels = Labels(run)
    if len(labels):
        table["given_label"] = [label or None for label in labels.values()]
    partial = path.with_name(f".{path.name}.partial")
    if path.suffix == ".csv":
        partial.write_text(csv_text(list(table), zip(*table.values(), strict=True)), encoding="utf-8", newline="")
    else:
        _parquet(run, table, partial, neighbours, vectors)
    os.replace(partial, path)
    return {"rows": len(run), "columns": list(table), "file": str(path)}


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV. Text that a spreadsheet would take for a formula stays as it is: ids and labels must come back the same."""
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return target.getvalue()


def _parquet(run: Run, table: dict[str, Any], path: Path, neighbours: int, vectors: bool) -> None:
    """Written block by block: all pictures of a large run don't fit in memory beside its vectors."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    from unlabeled.parts.neighbours import neighbours as nearest

    columns = {name: pa.array(values, from_pandas=True) for name, values in table.items()}
    k, width = min(neighbours, len(run) - 1), run.vectors.shape[1]
    step = max(1, min(8_192, BLOCK // (4 * width)))
    found = nearest(np.asarray(run.vectors) - run.center, k, exact=len(run) <= EXACT) if k else None
    writer = None
    try:
        for start in range(0, len(run), step):
            rows = np.arange(start, min(start + step, len(run)))
            part = {name: values.slice(start, len(rows)) for name, values in columns.items()}
            block = np.asarray(run.vectors[start : start + len(rows)])
            if run.kind == "image":
                part["image"] = pa.array([{"bytes": png} for png in run.thumbnails(rows)], pa.struct([("bytes", pa.binary())]))
            if found is not None:
                lists = [
                    pa.FixedSizeListArray.from_arrays(pa.array(values[rows].ravel(), kind), k).cast(pa.list_(kind))
                    for values, kind in ((found.rows, pa.int64()), (found.distances, pa.float32()))
                ]
                part["neighbors"] = pa.StructArray.from_arrays(lists, ["ids", "distances"])
            if vectors:
                part["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), width)
            batch = pa.table(part)
            writer = writer or ParquetWriter(path, batch.schema)
            writer.write_table(batch)
    finally:
        if writer is not None:
            writer.close()
