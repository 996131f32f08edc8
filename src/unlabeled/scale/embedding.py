"""Vectors of many Parquet files or a Lance table by a run's model, on Ray Data: one shard a block, written once or again, never half."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.scale.cluster import cluster
from unlabeled.scale.shards import (
    LANCE,
    ROWS,
    Block,
    blocks,
    described,
    is_lance,
    read_block,
    shard_name,
    shard_says,
    write_lance,
    write_manifest,
    write_shard,
)

NOT_MODEL = (".html", ".partial")  # files of a run's folder that its model can do without
NOR = ("report.json", "clusters.json", "checkpoint.safetensors")


def embed(
    run: str | Path,
    path: str,
    out: str,
    *,
    address: str = "local",
    kind: str | None = None,
    column: str | None = None,
    rows: int = ROWS,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Vectors of all rows of the Parquet files or the Lance table at `path`, as the run's model makes them; returns the manifest.

    path: a .parquet file, a folder or a pattern, or a table NAME.lance, local or on object storage (s3://..., gs://..., by fsspec).
    out: a folder that gets part-000000.parquet, ... with the columns id and vector, a shard for each block of about `rows` rows, and at
    the end manifest.json. Is it called NAME.lance, the shards go to NAME-shards beside it, and at the end into a Lance table there.
    Shards that are there already, of the same model and block, are kept: the same command goes on with what was stopped. A block whose
    worker was lost is embedded again. ids: the files' id column, else the row (of several files file:row).
    InputError: not Parquet, another kind than the run's, numbers that are missing or categories (both depend on the whole set).
    """
    from unlabeled.saving import read_config

    config = read_config(run)
    if "class" not in config:
        raise InputError(f"{run} has no model")
    model = packed(Path(run))
    found = blocks(path, rows)
    table = out if is_lance(out) else None
    out = str(out).rstrip("/").removesuffix(LANCE) + "-shards" if table else str(out)
    several = len({block.path for block in found}) > 1
    how = config.get("read", {})
    reading = {"kind": kind or how.get("kind") or config["inputs"]["kind"], "column": column or how.get("column"), "several": several}
    mark = zlib.crc32(
        repr([sorted((name, zlib.crc32(content)) for name, content in model.items()), sorted(reading.items(), key=str)]).encode()
    )
    say(f"{sum(block.rows for block in found):,} rows in {len({b.path for b in found})} files, {len(found)} blocks")
    with cluster(address) as ray:
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        workers = max(1, min(len(found), gpus or int(resources.get("CPU", 1))))
        say(f"{workers} workers{' with a GPU each' if gpus else ''} on {len(ray.nodes())} nodes")
        told, shipped = [{"block": json.dumps(described(block))} for block in found], ray.put(model)
        dataset = ray.data.from_items(told, override_num_blocks=len(found)).map_batches(
            Embedder,
            fn_constructor_args=(shipped, reading, out, mark),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=1 if gpus else None,
        )
        shards = sorted(dataset.take_all(), key=lambda shard: shard["number"])
    wrong = [shard["error"] for shard in shards if shard["error"]]
    if wrong:
        raise InputError(f"{wrong[0]}{f' (and {len(wrong) - 1} more blocks)' if len(wrong) > 1 else ''}")
    if [int(shard["number"]) for shard in shards] != [block.number for block in found]:
        raise RuntimeError(f"{len(shards)} shards came back for {len(found)} blocks: nothing was marked as finished, run it again")
    said = {
        "shards": [{"file": shard_name(int(shard["number"])), "rows": int(shard["rows"])} for shard in shards],
        "rows": sum(int(shard["rows"]) for shard in shards),
        "width": max(int(shard["width"]) for shard in shards),
        "skipped": sum(int(shard["skipped"]) for shard in shards),
        "kept": sum(int(shard["kept"]) for shard in shards),
        "source": str(path),
        "model": config["class"],
    }
    write_manifest(out, said)
    if table:
        say(f"writing {table}")
        write_lance(str(table), [f"{out}/{shard['file']}" for shard in said["shards"]])
    return said


class Embedder:
    """A worker of Ray Data: it has the model, and makes a shard of each block."""

    def __init__(self, model: Any, reading: dict[str, Any], out: str, mark: int):
        import ray

        from unlabeled.saving import load_model

        with tempfile.TemporaryDirectory(prefix="unlabeled-model-") as folder:
            unpack(ray.get(model) if isinstance(model, ray.ObjectRef) else model, Path(folder))
            self.model = load_model(folder)
        self.reading, self.out, self.mark = reading, out, mark

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        told = [json.loads(block) for block in batch["block"]]
        said = [self.one_or_why(Block(**block | {"groups": tuple(block["groups"])})) for block in told]
        return {name: np.array([one[name] for one in said]) for name in said[0]}

    def one_or_why(self, block: Block) -> dict[str, Any]:
        """What the user has to mend comes back as a result: of an exception Ray would keep the text of its traceback alone."""
        try:
            return self.one(block) | {"error": ""}
        except InputError as error:
            return {"number": block.number, "rows": 0, "width": 0, "skipped": 0, "kept": 0, "error": str(error)}

    def one(self, block: Block) -> dict[str, int]:
        mark = described(block) | {"mark": self.mark}
        before = shard_says(self.out, block.number)
        if before is not None and before.get("block") == mark:
            return before["said"] | {"kept": 1}
        items = block_items(block, self.model, **self.reading)
        vectors = self.model.transform(items)
        said = {"number": block.number, "rows": len(vectors), "width": vectors.shape[1], "skipped": block.rows - len(vectors)}
        write_shard(self.out, block.number, list(items.ids), vectors, {"block": mark, "said": said})
        return said | {"kept": 0}


def block_items(block: Block, model: Any, *, kind: str, column: str | None, several: bool) -> Any:
    """The block's rows as items, with the ids that the whole has."""
    from unlabeled.data import sources
    from unlabeled.data.items import RowNumbers
    from unlabeled.data.tables import read_table

    name = block.path.rsplit("/", 1)[-1]
    where = f"{name}, rows {block.first:,} to {block.first + block.rows - 1:,}"
    try:
        source = sources.from_arrow(read_block(block), where)
        size = model.inputs_.size if kind == "image" else None
        items = read_table(source, kind=kind, column=column, size=size)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if items.fields and (
        any("=" in field for field in items.fields) or any("filled" in note or "no value" in note for note in items.notes)
    ):
        raise InputError(f"{where}: missing numbers and categories depend on the whole set: fill them in and number them before")
    if isinstance(items.ids, RowNumbers):
        rows = np.asarray(items.ids.rows) + block.first
        items.ids = [f"{name}:{row}" for row in rows.tolist()] if several else RowNumbers(rows)
    return items


def packed(folder: Path) -> dict[str, bytes]:
    """The files that a saved model consists of, by their names in the folder: they travel to the workers, the run's data don't."""
    kept = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(("database", "cache", "."))
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept if path.suffix not in NOT_MODEL and path.name not in NOR}


def unpack(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
