"""A run's columns as the page colours and filters by them: numbers, categories with their values, texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from unlabeled.errors import InputError

SHOWN = 40  # values of a category that are told apart
CATEGORIES = 1_000  # distinct strings up to which a column is a category, if they repeat
FEW = 20  # distinct whole numbers up to which they are categories
OWN_CATEGORIES = ("cluster", "topic", "duplicate_group", "concept", "curation_cluster")
OWN = (*OWN_CATEGORIES, "cluster_name", "topic_name", "topic_group", "x", "y", "predicted", "confidence", "duplicate", "outlier_score",
       "concept_score", "curated", "suspect", "suspect_score", "suspected_class", "tour", "density", "label", "given_label")  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column: what kind it is, and for colouring one number for each item."""

    name: str
    kind: str  # "category", "number", "boolean" or "text"
    raw: np.ndarray  # [n], numbers, booleans or objects (None: missing)
    codes: np.ndarray | None  # float32 [n], NaN where missing; None of texts
    values: list[str] | None  # what the codes of a category stand for; code len(values): one of the others
    distinct: int | None

    @classmethod
    def of(cls, name: str, raw: np.ndarray) -> Column:
        """Find out what kind of column the values [n] are."""
        if raw.dtype == bool:
            return cls(name, "boolean", raw, raw.astype(np.float32), ["no", "yes"], 2)
        if raw.dtype.kind in "fiu":
            whole = raw.dtype.kind in "iu"
            few = np.unique(raw[:10_000]) if whole else ()
            if not whole or (name not in OWN_CATEGORIES and len(few) > FEW) or len(few) > CATEGORIES:
                return cls(name, "number", raw, raw.astype(np.float32), None, None)
            strings = [str(value) for value in raw.tolist()]
            if name in OWN_CATEGORIES or len(set(strings)) <= FEW:
                return cls._category(name, raw, strings)
            return cls(name, "number", raw, raw.astype(np.float32), None, None)
        texts = [None if value is None else str(value) for value in raw.tolist()]
        distinct = len(set(texts))
        if distinct > CATEGORIES or distinct > max(FEW, len(texts) // 2):
            return cls(name, "text", raw, None, None, distinct)
        return cls._category(name, raw, texts)

    @classmethod
    def _category(cls, name: str, raw: np.ndarray, strings: Sequence[str | None]) -> Column:
        import pyarrow as pa

        found = pa.array(strings, pa.string()).dictionary_encode()
        codes = found.indices.to_numpy(zero_copy_only=False).astype(np.float64)
        there = ~np.isnan(codes)
        size = np.bincount(codes[there].astype(np.int64), minlength=len(found.dictionary))
        order = np.argsort(-size, kind="stable")
        names = found.dictionary.to_pylist()
        missing = [place for place, value in enumerate(names) if value == ""]
        order = np.array([place for place in order if place not in missing], np.int64)
        place = np.full(len(names) + 1, np.nan)
        place[order] = np.minimum(np.arange(len(order)), SHOWN)
        values = place[np.where(there, codes, len(names)).astype(np.int64)].astype(np.float32)
        return cls(name, "category", raw, values, [names[i] for i in order[:SHOWN]], len(order))

    @cached_property
    def _strings(self) -> np.ndarray:
        return np.array([str(value) for value in self.raw.tolist()])

    def about(self) -> dict[str, Any]:
        """What the page is told of it."""
        low = high = None
        if self.kind == "number" and self.codes is not None and np.isfinite(self.codes).any():
            finite = self.codes[np.isfinite(self.codes)]
            low, high = float(finite.min()), float(finite.max())
        return {
            "name": self.name,
            "kind": self.kind,
            "distinct": self.distinct,
            "min": low,
            "max": high,
            "values": self.values,
            "own": self.name in OWN,
        }

    def where(self, wanted: Mapping[str, Any]) -> np.ndarray:
        """bool [n]: which items one filter keeps. wanted: "in" (values), "min" and "max", or "contains"."""
        if wanted.get("contains") is not None:
            part = str(wanted["contains"]).casefold()
            return np.array([value is not None and part in str(value).casefold() for value in self.raw.tolist()])
        if wanted.get("in") is not None:
            if self.kind == "boolean":
                said = {str(value).lower() for value in wanted["in"]}
                return np.isin(self.raw, [v for v, names in ((False, {"no", "false", "0"}), (True, {"yes", "true", "1"})) if names & said])
            return np.isin(self._strings, [str(value) for value in wanted["in"]])
        if self.kind not in ("number", "boolean") and self.raw.dtype.kind not in "fiu":
            raise InputError(f"the column {self.name!r} holds no numbers: filter it by its values, or by what it contains")
        keep = np.isfinite(self.raw.astype(np.float64))
        for bound, holds in (("min", np.greater_equal), ("max", np.less_equal)):
            if wanted.get(bound) is not None:
                keep &= holds(self.raw.astype(np.float64), float(wanted[bound]))
        return keep


def plain(value: Any) -> Any:
    """One value as JSON holds it."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def density(positions: np.ndarray, cells: int = 256, blur: float = 2.0) -> np.ndarray:
    """How many items lie around each item of a map [n, 2], float32 [n], 1 in the thickest place: counts in cells, blurred."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    low = positions.min(axis=0)
    side = float(max(np.ptp(positions, axis=0).max(), 1e-9))
    at = (positions - low) / side * (cells - 1)
    counts = np.histogram2d(at[:, 0], at[:, 1], bins=cells, range=[[-0.5, cells - 0.5]] * 2)[0]
    found = map_coordinates(gaussian_filter(counts, blur), at.T, order=1)
    return (found / max(float(found.max()), 1e-12)).astype(np.float32)
