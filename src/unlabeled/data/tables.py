"""A table becomes Items: which columns to learn from, and their values, written batch by batch so that it may be larger than memory."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unlabeled.data.images import read_pictures
from unlabeled.data.items import Items, RowNumbers, count, listed, unique
from unlabeled.data.sources import ROWS, Source, encoded, numbers
from unlabeled.data.storage import IN_MEMORY, RowFile, disk_errors, scratch
from unlabeled.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

CATEGORIES = 50  # a string column with more different values isn't a category
ID_NAMES = ("id", "ids", "_id", "uuid", "index", "", "unnamed: 0")
# Columns of these names are answers, not data: a label must not reach a system that learns without labels, unless the user names it.
LABEL_NAMES = ("label", "labels", "class", "classes", "target", "targets", "y", "class_id", "label_id", "class_label", "split", "fold")
TEXT_NAMES = (
    "text",
    "texts",
    "title",
    "sentence",
    "content",
    "body",
    "abstract",
    "description",
    "question",
    "review",
    "comment",
    "message",
    "tweet",
    "document",
    "caption",
    "summary",
)


def read_table(
    source: Source,
    *,
    kind: str | None = None,
    column: str | None = None,
    cache: Path | None = None,
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    keep_empty: bool = False,
) -> Items:
    """Items of a table: the column or columns asked for, or else chosen; the others are kept beside them.

    keep_empty: an empty text stays an item, where rows must go on to correspond to something else.
    """
    found, chosen = _named(source, kind, column) if column is not None else _chosen(source, kind)
    left = [name for name in source.names if name not in chosen]
    id_name = next((name for name in left if _is(name, ID_NAMES) and source.roles[name] in ("text", "number")), None)
    beside = [name for name in left if name != id_name and source.roles[name] not in ("image", "vector")]
    others, notes = _Others(source, id_name, beside), []
    unreadable: list[tuple[str, str]] = []
    fields: list[str] = []
    values: Any
    if column is None and beside:
        notes.append(f"learns from {count(len(chosen), 'column')}: {listed(map(repr, chosen), 6)}; beside: {listed(map(repr, beside), 6)}")
    if found == "image":
        values, unreadable, remarks = _pictures(source, chosen[0], others, cache, size, progress)
    elif found == "text":
        values, remarks = _texts(source, chosen, others, cache, keep_empty)
    elif source.roles[chosen[0]] == "vector":
        values, remarks = _vectors(source, chosen[0], others, cache)
    else:
        values, fields, remarks = _numbers(source, chosen, others, cache)
    ids, columns, more = others.finish()
    return Items(found, values, ids, columns, unreadable, source.title, fields, [*notes, *remarks, *more, *source.remarks.values()])


# -- which columns ----------------------------------------------------------------------------------------------------------------------


def _chosen(source: Source, kind: str | None) -> tuple[str, list[str]]:
    """The kind of the items and the columns they are made of, where the user named none."""
    free = [name for name in source.names if not _is(name, ID_NAMES + LABEL_NAMES)]
    images, texts, vectors, plain = (
        [name for name in free if source.roles[name] == role] for role in ("image", "text", "vector", "number")
    )
    prose = _prose(source, texts, lenient=kind == "text" or not (plain or vectors))
    choices = {"image": images[:1], "text": prose, "table": plain or vectors[:1], "vector": vectors[:1] or plain}
    for found in [kind] if kind else ["image", "text", "table"]:
        if choices[found]:
            return ("vector" if source.roles[choices[found][0]] == "vector" else found), choices[found]
    what = {"image": "column of encoded pictures", "text": "column of texts"}.get(kind or "", "column of texts or numbers")
    aside = " besides labels and ids" if any(source.roles[name] in ("text", "number") for name in source.names) else ""
    raise InputError(f"{source.title} has no {what} to learn from{aside}: it has {listed(source.names)}; name one with column (--column)")


def _named(source: Source, kind: str | None, column: str) -> tuple[str, list[str]]:
    """The kind of the items, for the column or columns (a,b,c) that the user named."""
    names = [column] if column in source.names else [name.strip() for name in column.split(",")]
    for name in names:
        if name not in source.names:
            close = difflib.get_close_matches(name, source.names, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(f"no column {name!r} in {source.title}: it has {listed(source.names)}{hint}")
    roles = {"text" if source.roles[name] == "empty" else source.roles[name] for name in names}  # empty so far: that is said later
    if roles <= {"text", "number"}:
        found = {"text"} if roles == {"text"} else {"table", "vector", "text"} if roles == {"number"} else {"table", "vector"}
        default = "text" if roles == {"text"} else "table"
        found |= {"table", "vector"} if roles == {"text"} and len(names) > 1 else set()
    elif len(names) == 1 and roles <= {"image", "vector"}:
        default = roles.pop()
        found = {"vector", "table"} if default == "vector" else {"image"}
    else:
        raise InputError(
            f"column {column!r} of {source.title} is {listed(sorted(roles))}: wanted one column of texts, pictures or "
            "vectors, or columns of numbers (a,b,c)"
        )
    if kind is not None and kind not in found:
        raise InputError(
            f"column {column!r} of {source.title} holds items of kind {default!r}, kind {kind!r} was asked for: "
            "name another column, or leave the kind out"
        )
    return kind or default, names


def _prose(source: Source, names: list[str], lenient: bool) -> list[str]:
    """The string column that is text: the longest; with numbers beside it, only one that reads like text (a category or a name doesn't)."""
    import pyarrow.compute as pc

    best, most = [], -1.0
    for name in names:
        texts = source.sample[name].drop_null()
        length = pc.mean(pc.utf8_length(texts)).as_py()
        words = 1 + pc.mean(pc.count_substring_regex(texts, r"\S\s+")).as_py()
        different = pc.count_distinct(texts).as_py() / len(texts)
        reads = different > 0.2 and words >= (2 if _is(name, TEXT_NAMES) else 5)
        if length > most and (lenient or reads):
            best, most = [name], length
    return best


def _is(name: str, names: Sequence[str]) -> bool:
    return name.strip().lower() in names


# -- the values -------------------------------------------------------------------------------------------------------------------------


class _Others:
    """The ids and the columns beside the values, gathered batch by batch."""

    def __init__(self, source: Source, id_name: str | None, names: list[str]):
        self.source, self.id_name, self.names = source, id_name, names
        self.wanted = [*names, *([id_name] if id_name is not None else [])]
        self.parts: dict[str, list[pa.Array]] = {name: [] for name in self.wanted}
        self.rows: list[np.ndarray] = []
        self.seen = 0

    def add(self, batch: pa.Table, keep: np.ndarray) -> None:
        """The rows of the batch that stay: bool [rows]."""
        import pyarrow as pa

        for name in self.wanted:
            values = batch.column(name)
            self.parts[name].extend((values if keep.all() else values.filter(pa.array(keep))).chunks)
        self.rows.append(np.flatnonzero(keep) + self.seen)
        self.seen += batch.num_rows

    def finish(self) -> tuple[Sequence[str], dict[str, Any], list[str]]:
        """ids, columns, notes."""
        import pyarrow as pa

        rows, notes = np.concatenate(self.rows), []
        columns = {name: values for name in self.names if (values := _column(self.parts[name], self.source.comma)) is not None}
        gone = [name for name in self.names if name not in columns]
        if gone:
            notes.append(f"no value at all in {listed(map(repr, gone))}: dropped")
        if self.id_name is None:
            return RowNumbers(rows if len(rows) < self.seen else range(self.seen)), columns, notes
        names = pa.chunked_array(self.parts[self.id_name]).cast(pa.large_string()).to_pylist()
        ids, repeats = unique([name or f"row {row}" for name, row in zip(names, rows.tolist(), strict=True)])
        if repeats:
            notes.append(f"{count(repeats, 'repeated id')} in column {self.id_name!r}: marked (2), (3), ...")
        return ids, columns, notes


def _column(parts: list[pa.Array], comma: bool) -> Any:
    """A column beside the items: an array of numbers (whole ones int64), or a list of str ('' where there is none); None when empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pa.chunked_array(parts)
    if pa.types.is_large_string(values.type):
        found, wrong = numbers(values, comma)
        if wrong:
            return pc.fill_null(values, "").to_pylist()
        values = found
        if values.null_count == 0 and pc.all(pc.equal(pc.floor(values), values)).as_py() and pc.max(pc.abs(values)).as_py() < 2**53:
            values = values.cast(pa.int64())
    if values.null_count == len(values):
        return None
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type):
        return values.to_numpy()
    return ["" if value is None else str(value) for value in values.to_pylist()]


def _pictures(
    source: Source, name: str, others: _Others, cache: Path | None, size: int | None, progress: Callable[[int, int], None] | None
) -> tuple[np.ndarray, list[tuple[str, str]], list[str]]:
    def pictures() -> Iterator[bytes | None]:
        return (encoded(value) for batch in source.read([name]) for value in batch.column(name))

    values, kept, reasons, notes = read_pictures(pictures, cache=cache, size=size, progress=progress)
    if values is None:
        raise InputError(
            f"none of {count(len(reasons), 'picture')} in column {name!r} of {source.title} can be read ({reasons[0]}): wanted at least one"
        )
    good, start = np.zeros(len(kept) + len(reasons), bool), 0
    good[kept] = True
    for batch in source.read(others.wanted or [name]):
        others.add(batch, good[start : start + batch.num_rows])
        start += batch.num_rows
    return values, [(str(row), reason) for row, reason in sorted(reasons.items())], notes


def _texts(source: Source, names: list[str], others: _Others, cache: Path | None, keep_empty: bool) -> tuple[Any, list[str]]:
    """Texts, cleaned; several columns are joined by line breaks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    store, empty, replaced = _TextFile(cache), 0, 0
    for batch in source.read([*names, *others.wanted]):
        columns = [batch.column(name).cast(pa.large_string()) for name in names]
        texts = columns[0]
        if len(columns) > 1:
            texts = pc.binary_join_element_wise(*columns, pa.scalar("\n", pa.large_string()), null_handling="skip")
        texts = pc.fill_null(texts, "")
        nul = pc.sum(pc.match_substring(texts, "\0")).as_py()
        if nul:
            texts, replaced = pc.replace_substring(texts, "\0", " "), replaced + nul
        full = pc.not_equal(pc.utf8_trim_whitespace(texts), "")
        keep = full.to_numpy()
        empty += int((~keep).sum())
        store.append(texts if keep_empty else texts.filter(full))
        others.add(batch, np.ones_like(keep) if keep_empty else keep)
    if empty == others.seen:
        raise InputError(f"{source.title}: all {count(empty, 'text')} in {listed(map(repr, names))} are empty: wanted at least one")
    notes = [f"{count(empty, 'empty text')} {'kept' if keep_empty else 'dropped'}"] if empty else []
    return store.finish(), notes + ([f"{count(replaced, 'text')} with NUL characters: replaced by spaces"] if replaced else [])


def _vectors(source: Source, name: str, others: _Others, cache: Path | None) -> tuple[np.ndarray, list[str]]:
    """A column of lists of numbers, all of one length."""
    import pyarrow as pa
    import pyarrow.compute as pc

    width = next(len(value) for value in source.sample[name] if value.is_valid)
    wrong, bad = 0, 0
    with RowFile((width,), np.float32, cache, "vectors") as file:
        for batch in source.read([name, *others.wanted]):
            lists = batch.column(name)
            fits = pc.equal(pc.list_value_length(lists), width).fill_null(False)
            rows = pc.list_flatten(lists.filter(fits)).cast(pa.float32(), safe=False).to_numpy().reshape(-1, width)
            bad += int((~np.isfinite(rows)).any(axis=1).sum())
            wrong += len(lists) - len(rows)
            file.append(rows)
            others.add(batch, fits.to_numpy())
        if bad:
            raise InputError(
                f"{source.title}: {count(bad, 'vector')} in column {name!r} with NaN or infinite values: drop or fill in those rows"
            )
        return file.finish(), [f"{count(wrong, 'row')} without a vector of {width} numbers: dropped"] if wrong else []


def _numbers(source: Source, names: list[str], others: _Others, cache: Path | None) -> tuple[np.ndarray, list[str], list[str]]:
    """float32 [n, d], the names of the d numbers, notes: missing ones are filled with the mean; of a string column, a number a category."""
    import pyarrow.compute as pc

    categories = {name: _categories(source, name) for name in names if source.roles[name] == "text"}
    labels = [label for name in names for label in ([f"{name}={value}" for value in categories[name]] if name in categories else [name])]
    total, present = np.zeros(len(labels)), np.zeros(len(labels), np.int64)
    odd = dict.fromkeys(names, 0)
    with RowFile((len(labels),), np.float32, cache, "table") as file:
        for batch in source.read([*names, *others.wanted]):
            columns = []
            for name in names:
                if name in categories:
                    columns += [pc.equal(batch.column(name), value).fill_null(False).to_numpy() for value in categories[name]]
                else:
                    found, wrong = numbers(batch.column(name), source.comma)
                    columns.append(found.to_numpy())
                    odd[name] += wrong
            with np.errstate(over="ignore"):
                rows = np.stack(columns, axis=1).astype(np.float32)
            rows[~np.isfinite(rows)] = np.nan
            total += np.nansum(rows, axis=0, dtype=np.float64)
            present += np.isfinite(rows).sum(axis=0)
            file.append(rows)
            others.add(batch, np.ones(len(rows), bool))
        notes = [f"column {name!r}: {count(wrong, 'value')} not a number, counted as missing" for name, wrong in odd.items() if wrong]
        full = present > 0
        if not full.any():
            raise InputError(f"{source.title}: {listed(map(repr, names))} hold no number at all: name other columns with column (--column)")
        if not full.all():
            notes.append(f"no value at all in {listed(label for label, ok in zip(labels, full, strict=True) if not ok)}: dropped")
        holes = file.rows - present[full]
        if holes.any():
            notes.append(f"{count(int(holes.sum()), 'missing number')} in {count(int((holes > 0).sum()), 'column')}: filled with the mean")
        if holes.any() or not full.all():
            mean = (total[full] / present[full]).astype(np.float32)
            file.rewrite(lambda _, rows: np.where(np.isnan(rows[:, full]), mean, rows[:, full]), (len(mean),))
        return file.finish(), [label for label, ok in zip(labels, full, strict=True) if ok], notes


def _categories(source: Source, name: str) -> list[str]:
    import pyarrow.compute as pc

    found: set[str] = set()
    for batch in source.read([name]):
        found.update(value for value in pc.unique(batch.column(name)).to_pylist() if value)
        if len(found) > CATEGORIES:
            raise InputError(
                f"column {name!r} of {source.title} is text with more than {CATEGORIES} different values: too many for "
                "categories; leave it out, or learn from it alone, as text"
            )
    return sorted(found)


class _TextFile:
    """Texts in memory while they are few, then in an Arrow file that is mapped."""

    def __init__(self, cache: Path | None):
        self.cache, self.bytes = cache, 0
        self.parts: list[pa.Array] = []
        self.writer: Any = None

    def append(self, texts: pa.ChunkedArray) -> None:
        self.parts.extend(texts.chunks)
        self.bytes += texts.nbytes
        if self.bytes > IN_MEMORY:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self.writer is None:
            self.path = scratch(self.cache, ".arrow")
            self.file = open(self.path, "wb")  # noqa: SIM115 - closed by finish
            self.writer = pa.ipc.new_file(self.file, pa.schema([("text", pa.large_string())]))
        with disk_errors(self.path.parent):
            self.writer.write_table(pa.table({"text": pa.chunked_array(self.parts, pa.large_string())}), max_chunksize=ROWS)
        self.parts, self.bytes = [], 0

    def finish(self) -> Any:
        import pyarrow as pa

        if self.writer is None:
            return [text for part in self.parts for text in part.to_pylist()]
        self._flush()
        self.writer.close()
        self.file.close()
        values = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()["text"]
        if self.cache is None:
            self.path.unlink()  # the map keeps it until the Items are gone
        else:
            self.path.replace(Path(self.cache) / "texts.arrow")
        return values
