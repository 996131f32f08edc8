"""`read` a path, or take what is in memory `as_items`."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data import arrays, sources
from unlabeled.data.graph_files import ALWAYS, read_graph
from unlabeled.data.images import EXTENSIONS, read_pictures
from unlabeled.data.in_memory_graphs import as_graph_items, is_graph
from unlabeled.data.items import GRAPHS, KINDS, Items, count, listed, unique
from unlabeled.data.tables import read_table
from unlabeled.errors import InputError

TABLES: dict[str, Callable[[Path], sources.Source]] = {
    ".csv": sources.open_csv,
    ".tsv": lambda path: sources.open_csv(path, "\t"),
    ".jsonl": sources.open_jsonl,
    ".ndjson": sources.open_jsonl,
    ".parquet": sources.open_parquet,
}
PICTURES = tuple("." + extension for extension in EXTENSIONS)
KNOWN = f"a folder of pictures ({', '.join(EXTENSIONS)}) or of .txt files; .txt, {', '.join(TABLES)}; .npy, .npz"
NOT_DATA = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")
ABOUT = ("readme", "license", "licence", "notice", "copying", "changelog")


def read(
    path: str | os.PathLike,
    *,
    kind: str | None = None,
    column: str | None = None,
    nodes: str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Items:
    """Items from a file or a folder.

    kind: "image", "text", "vector", "table", "graph" or "triples" where it isn't clear. column: the column, or columns (a,b,c), to
    learn from; of edges source,target. nodes: of a graph, a table with the nodes' ids, features and columns.
    cache: a folder for what doesn't fit in memory (default: temporary files, removed with the Items).
    size: the side of the pictures in pixels.
    progress(done, total): called while pictures are decoded.
    Raises InputError, one line, for whatever can't be read; single pictures that can't are listed in `unreadable` and skipped.
    """
    _check_kind(kind)
    where, folder = Path(path), None if cache is None else Path(cache)
    try:
        if where.is_dir():
            items = _read_folder(where, kind, column, folder, size, progress)
        elif not where.exists():
            raise InputError(f"no file or folder {str(path)!r}: check the path" + (" (it is a broken link)" if where.is_symlink() else ""))
        else:
            graph = kind in GRAPHS or (kind is None and where.suffix.lower() in ALWAYS)
            if nodes is not None and not graph:
                raise InputError(f"a table of nodes goes with a graph: say kind graph (--kind graph) for {path}")
            items = (
                read_graph(where, kind=kind or "graph", column=column, nodes=nodes)
                if graph
                else _read_file(where, kind, column, folder, size, progress)
            )
    except PermissionError as error:
        raise InputError(f"permission denied: {error.filename or path}; make it readable for you (chmod, chown)") from None
    items.source = str(path)
    return items


def as_items(data: Any, *, kind: str | None = None, size: int | None = None) -> Items:
    """Items of what is in memory: Items, a path, a list of str, of PIL images or of picture paths, an array, a tensor, a table.

    Nothing is dropped: item i is row i of `data`. Raises InputError, one line, for anything else.
    """
    _check_kind(kind)
    if isinstance(data, Items):
        if kind not in (None, data.kind) and {kind, data.kind} != {"table", "vector"}:
            raise InputError(f"the items are of kind {data.kind!r}, kind {kind!r} was asked for")
        return data
    if is_graph(data) or kind in GRAPHS and not isinstance(data, str | Path):
        found = as_graph_items(data, kind)
        if kind not in (None, found.kind):
            raise InputError(f"these are {found.kind}s, kind {kind!r} was asked for")
        return found
    if isinstance(data, Path) or (isinstance(data, str) and "\0" not in data and len(data) < 4096 and os.path.exists(data)):
        return read(data, kind=kind, size=size)
    if isinstance(data, str):
        raise InputError(f"no file or folder {data[:80]!r}: check the path; for one text give a list, [text]")
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "__array_interface__"):
        if hasattr(data, "column_names") or hasattr(data, "columns"):
            return read_table(sources.from_arrow(data), kind=kind, size=size, keep_empty=True)
        data = data.to_pylist() if hasattr(data, "to_pylist") else list(data)
    if isinstance(data, list | tuple):
        return _from_list(data, kind, size)
    if not any(hasattr(data, name) for name in ("__array__", "toarray", "detach")):
        raise InputError(f"data is {type(data).__name__}: wanted a path, a list of str, a list of PIL images, or {arrays.WANTED}")
    return arrays.from_array(data, kind=kind, size=size)


def _check_kind(kind: str | None) -> None:
    if kind is not None and kind not in KINDS:
        raise InputError(f"kind is {kind!r}: wanted one of {', '.join(KINDS)}")


def _from_list(data: list | tuple, kind: str | None, size: int | None) -> Items:
    if len(data) == 0:
        raise InputError("the list is empty: wanted at least one item")
    if all(isinstance(item, str) for item in data):
        if kind not in (None, "text"):
            raise InputError(f"a list of str, kind {kind!r} was asked for: wanted kind 'text' (for files give Path objects)")
        return Items("text", [sources.clean(text).replace("\0", " ") for text in data], source="a list of texts")
    if any(isinstance(item, str) for item in data):
        row, odd = next((row, item) for row, item in enumerate(data) if not isinstance(item, str))
        raise InputError(f"item {row:,} of the list is {type(odd).__name__}, others are str: wanted texts only; fill it in or leave it out")
    if all(isinstance(item, Path) or hasattr(item, "getexif") for item in data):
        if kind not in (None, "image"):
            raise InputError(f"a list of pictures, kind {kind!r} was asked for: wanted kind 'image'")
        values, _, reasons, notes = read_pictures(lambda: data, size=size)
        if values is None or reasons:
            row, reason = next(iter(sorted(reasons.items())))
            raise InputError(
                f"{len(reasons):,} of {count(len(data), 'picture')} can't be read, the first is item {row:,} ({reason}): leave it out"
            )
        return Items("image", values, source="a list of pictures", notes=notes)
    try:
        array = np.stack([np.asarray(item) for item in data]) if hasattr(data[0], "__array__") else np.asarray(data)
    except (ValueError, TypeError):
        raise InputError(
            f"a list of {type(data[0]).__name__} that don't have one length or shape: wanted texts, PIL images, or {arrays.WANTED}"
        ) from None
    return arrays.from_array(array, kind=kind, source="the list", size=size)


def _read_file(path: Path, kind: str | None, column: str | None, cache: Path | None, size: int | None, progress) -> Items:
    suffix = path.suffix.lower()
    with open(path, "rb") as file:
        empty = not file.read(1)
    if empty and suffix not in PICTURES:
        raise InputError(f"{path.name} is empty (0 bytes): wanted at least one item")
    if suffix == ".npy":
        return arrays.read_npy(path, kind=kind, cache=cache, size=size)
    if suffix == ".npz":
        return arrays.read_npz(path, kind=kind, column=column, cache=cache, size=size)
    if suffix in TABLES:
        return read_table(TABLES[suffix](path), kind=kind, column=column, cache=cache, size=size, progress=progress)
    if suffix == ".txt":
        _only("text", kind, path.name)
        codec, errors, remarks = sources.encoding(path)
        source = sources.from_texts(lambda: sources.lines(path, codec, errors), path.name, remarks)
        return read_table(source, kind="text", column="text", cache=cache)
    if suffix in PICTURES:
        return _pictures(path.parent, [path.name], kind, cache, size, progress)
    raise InputError(f"{path.name} is of a type that isn't known ({path.suffix or 'no extension'}): wanted {KNOWN}")


def _read_folder(folder: Path, kind: str | None, column: str | None, cache: Path | None, size: int | None, progress) -> Items:
    denied: list[tuple[str, str]] = []
    found: dict[str, list[str]] = {"picture": [], "text": [], "table": [], "other": []}
    for name in sorted(_walk(folder, denied), key=natural):
        found[_what(name)].append(name)
    pictures, texts, files = found["picture"], found["text"], found["table"]
    counts = " and ".join(count(len(names), what) for what, names in (("picture", pictures), ("text", texts), ("table", files)) if names)
    notes = []
    if not counts:
        if denied:
            raise InputError(f"nothing in {str(folder)!r} can be read: {denied[0][0]}: {denied[0][1]}")
        names = f"only {listed(found['other'], 3)}" if found["other"] else "no file"
        raise InputError(f"folder {str(folder)!r} has {names}: wanted {KNOWN}")
    if kind is None and texts and (pictures or files):
        other = "image" if pictures else "table"
        raise InputError(f"folder {str(folder)!r} has {counts}: say with kind which to read (--kind {other} or --kind text)")
    if pictures and kind in (None, "image"):
        items = _pictures(folder, pictures, kind, cache, size, progress)
        if files:
            notes.append(f"left aside: {listed(files, 3)} (give the path of the file to read it)")
    elif texts and kind in (None, "text"):
        items = _texts(folder, texts, cache)
    elif len(files) == 1:
        items = _read_file(folder / files[0], kind, column, cache, size, progress)
    elif files:
        raise InputError(f"folder {str(folder)!r} has {counts} ({listed(files, 5)}): give the path of one of them")
    else:
        raise InputError(f"folder {str(folder)!r} has {counts}, kind {kind!r} was asked for: leave the kind out, or give another path")
    items.unreadable.extend(denied)
    items.notes.extend(notes)
    return items


def _what(name: str) -> str:
    """picture, text, table or other, by the name of a file."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in PICTURES:
        return "picture"
    if suffix in TABLES or suffix in (".npy", ".npz"):
        return "table"
    return "text" if suffix == ".txt" and not os.path.basename(name).lower().startswith(ABOUT) else "other"


def _pictures(folder: Path, names: list[str], kind: str | None, cache: Path | None, size: int | None, progress) -> Items:
    _only("image", kind, str(folder))
    values, kept, reasons, notes = read_pictures(
        lambda: (os.path.join(folder, name) for name in names), cache=cache, size=size, progress=progress
    )
    ids, _ = unique([sources.clean(name) for name in names])
    unreadable = [(ids[row], reason) for row, reason in sorted(reasons.items())]
    if values is None:
        first = "; ".join(f"{name}: {reason}" for name, reason in unreadable[:3])
        raise InputError(f"none of {count(len(names), 'picture')} in {str(folder)!r} can be read ({first}): wanted at least one")
    return Items("image", values, [ids[row] for row in kept.tolist()], unreadable=unreadable, notes=notes)


def _texts(folder: Path, names: list[str], cache: Path | None) -> Items:
    """A folder of .txt files: each is one text."""
    ids, _ = unique([sources.clean(name) for name in names])
    unreadable: dict[str, str] = {}
    remarks: dict[str, str] = {}

    def texts() -> Iterator[tuple[str, str]]:
        foreign: set[str] = set()
        for name, where in zip(ids, names, strict=True):
            try:
                codec, errors, remark = sources.encoding(folder / where)
                yield name, (folder / where).read_text(codec, errors)
                foreign.update([name] if remark else [])
            except (InputError, OSError) as error:
                unreadable[name] = "permission denied" if isinstance(error, PermissionError) else str(error)
        if foreign:
            remarks["encoding"] = f"{count(len(foreign), 'file')} not UTF-8, read by guess: {listed(sorted(foreign), 3)}"

    items = read_table(sources.from_texts(texts, str(folder), remarks), kind="text", column="text", cache=cache)
    items.unreadable.extend(unreadable.items())
    return items


def _only(found: str, kind: str | None, name: str) -> None:
    if kind not in (None, found):
        raise InputError(f"{name} holds items of kind {found!r}, kind {kind!r} was asked for: leave the kind out, or give another path")


def _walk(folder: Path, denied: list[tuple[str, str]]) -> Iterator[str]:
    """Paths below the folder, forward slashes, links followed once; hidden files and what systems leave behind are passed over."""

    def complain(error: OSError) -> None:
        reason = "permission denied" if isinstance(error, PermissionError) else str(error)
        denied.append((sources.clean(os.path.relpath(error.filename, folder)), reason))

    seen = set()
    for where, folders, files in os.walk(folder, followlinks=True, onerror=complain):
        state = os.stat(where)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = [name for name in folders if not _passed_over(name)]
        below = os.path.relpath(where, folder)
        for name in itertools.filterfalse(_passed_over, files):
            yield (name if below == "." else os.path.join(below, name)).replace(os.sep, "/")


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in NOT_DATA


def natural(path: str) -> list[list[Any]]:
    """Sort key: 'a2' before 'a10', folder by folder."""
    return [
        [int(part) if place % 2 else part.casefold() for place, part in enumerate(re.split(r"([0-9]+)", step))] for step in path.split("/")
    ]
