"""Small knowledge graphs beside texts: graphs as one line of words, and graphs that say something else than the text does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from unlabeled.errors import InputError

Fact = tuple[str, str, str]  # subject, property, object
Facts = tuple[Fact, ...]
KINDS = ("object", "subject", "ends", "drop", "add")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def as_facts(graph: Any, name: str = "graph") -> Facts:
    """A graph as a tuple of (subject, property, object). InputError: it is anything else, or it says nothing."""
    rows = [] if isinstance(graph, str) or not hasattr(graph, "__iter__") else list(graph)
    for row in rows:
        if isinstance(row, str) or not hasattr(row, "__len__") or len(row) != 3 or not all(isinstance(one, str) for one in row):
            raise InputError(f"{name} holds {str(row)[:60]!r}: wanted a list of (subject, property, object), three str each")
    if not rows:
        raise InputError(f"{name} is {str(graph)[:60]!r}: wanted a list of (subject, property, object), and at least one")
    return tuple((str(s), str(p), str(o)) for s, p, o in rows)


def plain_name(name: str) -> str:
    """A name as people write it: Alan_Bean, birthPlace -> Alan Bean, birth Place."""
    return CAMEL.sub(" ", name.replace("_", " ")).strip(' "')


def linearise(facts: Iterable[Fact]) -> str:
    """One line: "Alan Bean | birth Place | Wheeler, Texas ; Alan Bean | occupation | Test pilot"."""
    return " ; ".join(" | ".join(map(plain_name, fact)) for fact in facts)


def content(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """What a graph says, whatever the order of its facts and however often it says them."""
    return tuple(sorted(set(facts)))


class Corruptions:
    """Graphs that are wrong in one place, made of the facts of other graphs.

    "object", "subject": another one that the property had elsewhere (of the property's only one: any other); "ends": subject and
    object change places; "drop": a fact is missing; "add": one more, of a subject that is there. Called with (graph, kind, generator):
    the graph, or None where it can't be made wrong in that way.
    """

    def __init__(self, graphs: Sequence[Facts]):
        self.facts = sorted({fact for graph in graphs for fact in graph})
        self.ends: dict[str, tuple[list[str], list[str]]] = {}
        for subject, prop, obj in self.facts:
            for known, one in zip(self.ends.setdefault(prop, ([], [])), (subject, obj), strict=True):
                known.append(one)
        self._ways: dict[str, Callable[[list[Fact], int, np.random.Generator], list[Fact] | None]] = {
            "object": lambda facts, i, rng: self._other(facts, i, 2, rng),
            "subject": lambda facts, i, rng: self._other(facts, i, 0, rng),
            "ends": lambda facts, i, rng: [*facts[:i], facts[i][::-1], *facts[i + 1 :]],
            "drop": lambda facts, i, rng: [*facts[:i], *facts[i + 1 :]] or None,
            "add": self._more,
        }

    def __call__(self, graph: Facts, kind: str, rng: np.random.Generator) -> Facts | None:
        facts, told = list(graph), content(graph)
        for i in rng.permutation(len(facts)).tolist():
            wrong = self._ways[kind](facts, i, rng)
            if wrong is not None and content(wrong) != told:
                return tuple(wrong)
        return None

    def some(self, graph: Facts, kinds: Sequence[str], n: int, rng: np.random.Generator) -> list[Facts]:
        """n wrong graphs, each wrong in a way drawn from `kinds`; of a graph that can't be made wrong so, in any way there is."""
        found: list[Facts] = []
        while len(found) < n:
            ways = [*rng.permutation(list(kinds)), *KINDS]
            found.append(next(wrong for way in ways if (wrong := self(graph, way, rng)) is not None))
        return found

    def _other(self, facts: list[Fact], i: int, end: int, rng: np.random.Generator) -> list[Fact] | None:
        own, known = facts[i], self.ends.get(facts[i][1], ([], []))[end // 2]
        pool = known if any(one != own[end] for one in known) else [fact[end] for fact in self.facts]
        for _ in range(20):
            new = pool[int(rng.integers(len(pool)))]
            if new != own[end]:
                changed = (new, *own[1:]) if end == 0 else (*own[:2], new)
                return [*facts[:i], changed, *facts[i + 1 :]]  # type: ignore[list-item]
        return None

    def _more(self, facts: list[Fact], i: int, rng: np.random.Generator) -> list[Fact] | None:
        for _ in range(20):
            _, prop, obj = self.facts[int(rng.integers(len(self.facts)))]
            if (facts[i][0], prop, obj) not in facts:
                place = int(rng.integers(len(facts) + 1))
                return [*facts[:place], (facts[i][0], prop, obj), *facts[place:]]
        return None


__all__ = ["KINDS", "Corruptions", "Fact", "Facts", "as_facts", "content", "linearise", "plain_name"]
