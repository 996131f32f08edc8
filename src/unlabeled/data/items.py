"""The items: what every reader gives and every system takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unlabeled.data.storage import IN_MEMORY, RowFile, gather
from unlabeled.errors import InputError

KINDS = ("image", "text", "vector", "table", "graph", "triples")
GRAPHS = ("graph", "triples")  # the items are nodes, or entities; their values are one object of `data.graphs`


class RowNumbers(Sequence[str]):
    """Row numbers as strings, made when asked for: millions of ids cost nothing."""

    def __init__(self, rows: range | np.ndarray):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [str(row) for row in self.rows[index]]
        return str(self.rows[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"RowNumbers({len(self)})"


@dataclass(eq=False)
class Items:
    """Items of one kind, in one order, with what is known about each.

    kind: "image", "text", "vector", "table", "graph" or "triples".
    values: image: uint8 [n, H, W, C], C 1 or 3; text: list of str or pyarrow string array [n]; vector, table: float32 [n, d].
        Arrays may be memory maps. graph: a Graph, Hypergraph or Multiplex, triples: Triples (`data.graphs`), whose nodes are the items.
    ids: n unique strings: the file's path in its folder, an id column, or the row number (from 0) in what was read.
    columns: what else was in the table, by name, aligned with the items; labels are such columns and are never learned from.
    unreadable: (name, reason) of what was skipped.
    fields: vector, table: the names of the d numbers, where known.
    notes: remarks for the user, one line each.
    """

    kind: str
    values: Any
    ids: Sequence[str] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    source: str = ""
    fields: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"kind is {self.kind!r}: wanted one of {', '.join(KINDS)}")
        if len(self.ids) == 0:
            self.ids = RowNumbers(range(len(self)))
        for name, values in [("ids", self.ids), *self.columns.items()]:
            if len(values) != len(self):
                raise InputError(f"{name} has {len(values):,} entries for {len(self):,} items: wanted one each")

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, index: Any) -> np.ndarray:
        """int64 row numbers for a slice, a mask [n], or whole numbers (negative ones count from the end)."""
        if isinstance(index, slice):
            return np.arange(*index.indices(len(self)))
        rows = np.asarray(index)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise InputError(f"a mask of shape {rows.shape} for {len(self):,} items: wanted one entry each")
            return np.flatnonzero(rows)
        rows = np.atleast_1d(rows).astype(np.int64, copy=False)
        if rows.size and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise InputError(f"row {rows.max() if rows.max() >= len(self) else rows.min():,} of {len(self):,} items: there is none")
        return np.where(rows < 0, rows + len(self), rows) if rows.size and rows.min() < 0 else rows

    def take(self, index: Any) -> Any:
        """The values at `index`, in that order: a new array [m, ...], or a list of m str. A memory map isn't left resident.

        Of nodes their features, dense; where there are none the number of their edges, [m, 1].
        """
        rows = self.rows(index)
        if self.kind in GRAPHS:
            return self.values.rows(rows)
        if self.kind != "text":
            return gather(self.values, rows)
        if isinstance(self.values, list):
            return [self.values[row] for row in rows.tolist()]
        import pyarrow as pa

        return self.values.take(pa.array(rows)).to_pylist()

    def subset(self, index: Any) -> Items:
        """The items at `index`, in that order; a large subset of a memory map goes to a temporary file."""
        rows = self.rows(index)
        columns = {
            name: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows.tolist()]
            for name, values in self.columns.items()
        }
        if isinstance(self.ids, RowNumbers):
            ids: Sequence[str] = RowNumbers(np.asarray(self.ids.rows)[rows])
        else:
            ids = [self.ids[row] for row in rows.tolist()]
        if self.kind in GRAPHS:
            values = self.values.subgraph(rows)
        elif self.kind == "text" and not isinstance(self.values, list):
            import pyarrow as pa

            values = self.values.take(pa.array(rows))
        elif self.kind == "text" or self.values[:1].nbytes * len(rows) <= IN_MEMORY:
            values = self.take(rows)
        else:
            with RowFile(self.values.shape[1:], self.values.dtype, None, "subset") as file:
                for start in range(0, len(rows), 4096):
                    file.append(self.take(rows[start : start + 4096]))
                values = file.finish()
        return Items(self.kind, values, ids, columns, list(self.unreadable), self.source, list(self.fields), list(self.notes))

    def describe(self) -> str:
        """One line: how many of what."""
        n = len(self)
        left_out = f"; {len(self.unreadable):,} unreadable"
        if self.kind in GRAPHS:
            return self.values.describe() + (left_out if self.unreadable else "")
        if self.kind == "image":
            height, width, channels = self.values.shape[1:]
            return f"{count(n, 'image')}, {width}x{height} {'grey' if channels == 1 else 'colour'}{left_out}"
        if self.kind == "text":
            sample = self.take(np.unique(np.linspace(0, n - 1, min(n, 10_000)).astype(np.int64))) if n else []
            words = np.mean([len(text.split()) for text in sample]) if n else 0
            line = f"{count(n, 'text')}, {count(round(words), 'word')} on average"
        else:
            line = f"{count(n, 'vector' if self.kind == 'vector' else 'row')} of {count(self.values.shape[1], 'number')}"
        return line + (left_out if self.unreadable else "")


def count(n: int, noun: str) -> str:
    """'1 image', '1,797 images'."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def listed(names: Iterable[Any], most: int = 12) -> str:
    """Names for an error message, cut where they become too many."""
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def short(error: BaseException) -> str:
    """What another library says, in one short line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def unique(ids: Sequence[str]) -> tuple[list[str], int]:
    """ids with ' (2)', ' (3)' ... on repeats, and how many there were."""
    seen: dict[str, int] = {}
    taken, out, repeats = set(ids), [], 0
    for name in ids:
        number = seen.get(name, 0) + 1
        new = name
        while number > 1 and (new := f"{name} ({number})") in taken:
            number += 1
        if new != name:
            repeats += 1
            taken.add(new)
        seen[name] = number
        out.append(new)
    return out, repeats
