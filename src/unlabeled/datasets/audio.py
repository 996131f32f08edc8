"""Sound as waveforms: tables with a column of samples, as fsdd and esc10 have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.datasets.named import HOW, VARIABLE
from unlabeled.errors import InputError


def waveforms(name: str) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """The clips of a set in $UNLABELED_DATA, or of a parquet file or its folder: float32 in [-1, 1] each, and the other columns.

    Samples lie in a column `audio` (int16 or float lists) or `mulaw` (8 bits a sample, mu = 255, -1 as 0 and 1 as 255).
    """
    import pyarrow.parquet as pq

    path = Path(name) if Path(name).exists() else Path(os.environ.get(VARIABLE, "")) / name
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise InputError(f"{name} is neither a file or folder nor a set with a parquet file: {HOW}")
    table = pq.read_table(files[0])
    column = next((one for one in ("audio", "mulaw") if one in table.column_names), None)
    if column is None:
        raise InputError(f"{files[0]} has no column audio or mulaw with samples: it has {', '.join(table.column_names)}")
    clips = [_samples(value.as_py() if column == "mulaw" else value.values.to_numpy(zero_copy_only=False)) for value in table[column]]
    return clips, {other: table[other].to_numpy() for other in table.column_names if other != column}


def _samples(value: Any) -> np.ndarray:
    if isinstance(value, bytes):
        level = np.frombuffer(value, np.uint8).astype(np.float32) / 127.5 - 1
        return (np.sign(level) * (256 ** np.abs(level) - 1) / 255).astype(np.float32)
    return value.astype(np.float32) / (32768 if value.dtype.kind == "i" else 1)
