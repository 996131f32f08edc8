"""What is larger than one machine: vectors and curation of many Parquet files, on a Ray cluster (extra `ray`)."""

from __future__ import annotations

from unlabeled.scale.curation import curate
from unlabeled.scale.embedding import embed

__all__ = ["curate", "embed"]
