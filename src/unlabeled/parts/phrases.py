"""Names of several words, from files or lists of them and of edges between them, are found in texts: the longest first."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unlabeled.errors import InputError
from unlabeled.parts.vocabulary import Lines, words_of


def name_of(name: str) -> str:
    """A name as texts have it: its words in lower case, a space between them. "" where it has none."""
    return " ".join(words_of(name))


class Phrases:
    """A gazetteer. names: as `name_of` writes them; those of one word find themselves."""

    def __init__(self, names: Iterable[str]):
        self._known: set[tuple[str, ...]] = {tuple(name.split()) for name in names if " " in name}
        lengths: dict[str, set[int]] = {}
        for words in self._known:
            lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {word: sorted(found, reverse=True) for word, found in lengths.items()}

    def spans(self, words: Sequence[str]) -> list[int]:
        """How many words each piece of a text has, from left to right: the longest name that begins there, else the word alone."""
        found, place = [], 0
        while place < len(words):
            long = (n for n in self._lengths.get(words[place], ()) if tuple(words[place : place + n]) in self._known)
            found.append(next(long, 1))
            place += found[-1]
        return found

    def link(self, words: Sequence[str]) -> list[str]:
        """The text with each name as one word: ["an", "ice hockey", "team"]."""
        linked, place = [], 0
        for n in self.spans(words):
            linked.append(" ".join(words[place : place + n]))
            place += n
        return linked


def edges_of(graph: Any) -> dict[tuple[str, str], float]:
    """{(x, y): count} of edges or of a file of them, the counts of equal edges added up."""
    if isinstance(graph, str | Path):
        path = Path(graph)
        if not path.is_file():
            raise InputError(f"graph={str(graph)!r}: no such file; wanted one with an edge a line: x, y and maybe a count")
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            graph = list(filter(None, csv.reader(file, delimiter="," if path.suffix == ".csv" else "\t")))
    found: dict[tuple[str, str], float] = {}
    for row, edge in enumerate(() if graph is None else graph):
        try:
            x, y, count = edge if len(edge) == 3 else (*edge, 1)
            x, y, count = name_of(x), name_of(y), float(count)
        except (TypeError, ValueError, AttributeError):
            x = y = ""
        if not x or not y or not 0 < count < float("inf"):
            raise InputError(f"edge {row} of the graph is {edge!r}: wanted two names of letters or digits, and maybe a count above 0")
        found[x, y] = found.get((x, y), 0) + count
    return found


def names_of(gazetteer: Any) -> list[str]:
    """The names in a list, or in a file with one a line."""
    if isinstance(gazetteer, str | Path):
        gazetteer = Lines(gazetteer)
    names = [] if gazetteer is None else list(gazetteer)
    wrong = next((name for name in names if not isinstance(name, str)), None)
    if wrong is not None:
        raise InputError(f"the gazetteer holds {wrong!r}: wanted names, each a str")
    return list(filter(None, map(name_of, names)))
