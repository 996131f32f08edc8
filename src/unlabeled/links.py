"""What is missing from a graph or from facts, as a finished run sees it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from unlabeled.data.graphs import Graph
from unlabeled.errors import InputError
from unlabeled.parts.scale import unit

NEAR = 50  # nearest nodes of each that are looked at when all are asked for


class Link(NamedTuple):
    """An edge, or fact, that isn't there. score: the model's own where it has one (higher is likelier), else the cosine."""

    source: str
    target: str
    score: float
    relation: str | None = None


def predict_links(run: Any, node: str | None = None, k: int = 10, *, relation: str | None = None, of: str = "tail") -> list[Link]:
    """The k likeliest edges that aren't in the graph, of one node or of all; nodes without any edge are left out when all are asked for.

    Of a knowledge graph: the likeliest facts, of one relation or of all; with a node its relation is asked for, and `of` says what is
    sought, the tail or the head. InputError: a node or relation that isn't there, vectors that were imported.
    """
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}")
    items = run.items()
    if items is None:
        raise InputError(f"{run.path} keeps no graph: links are foretold in a run of kind graph or triples")
    if items.kind == "triples":
        if node is None:
            return [Link(one.head, one.tail, one.score, one.relation) for one in run.model.predict_links(k, relation and [relation])]
        if relation is None:
            said = ", ".join(map(str, items.values.relations[:5]))
            raise InputError(f"of an entity's facts a relation is asked for (--relation): there are {said} and so on")
        run.row_of(node)
        asked = {"head": node} if of == "tail" else {"tail": node}
        answers = run.model.predict(**asked, relation=relation, k=k)
        ends = [(node, name) if of == "tail" else (name, node) for name, _ in answers]
        return [Link(a, b, float(score), relation) for (a, b), (_, score) in zip(ends, answers, strict=True)]
    if relation is not None:
        raise InputError("relation is of facts (kind triples): leave it out")
    graph = _graph(items.values)
    if node is not None:
        row = run.row_of(node)
        other = np.setdiff1d(np.arange(len(run)), [row, *graph.neighbours(row).tolist()])
        pairs = np.stack([np.full(len(other), row), other], axis=1)
    else:
        joined = np.flatnonzero(graph.degrees)
        near = run.neighbours(np.asarray(run.vectors)[joined], min(NEAR, len(run)))[1]
        pairs = np.stack([np.repeat(joined, near.shape[1]), near.ravel()], axis=1)
        pairs = np.unique(np.sort(pairs[(pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])], axis=1), axis=0)
        pairs = pairs[~graph.has(pairs) & (graph.degrees[pairs] > 0).all(axis=1)]
    if not len(pairs):
        return []
    scores = _scores(run, pairs)
    best = np.argsort(-scores, kind="stable")[:k]
    return [Link(run.ids[a], run.ids[b], float(scores[row])) for row, (a, b) in zip(best, pairs[best].tolist(), strict=True)]


def rules(run: Any, relation: str | None = None, top: int = 20) -> list[Any]:
    """Rules between relations, as the model of a knowledge graph has learned them. InputError: a run of another kind."""
    if run.kind != "triples" or not hasattr(run.model, "rules"):
        raise InputError(f"rules are of facts: {run.path} was learned from {run.kind}s, or by a method without vectors of relations")
    return list(run.model.rules(relation, top))


def _graph(values: Any) -> Graph:
    if isinstance(values, Graph):
        return values.undirected()
    return values.cliques() if hasattr(values, "cliques") else values.union()  # type: ignore[no-any-return]


def _scores(run: Any, pairs: np.ndarray) -> np.ndarray:
    model = run.model if (run.path / "model.safetensors").exists() else None
    if model is not None and hasattr(model, "score_edges"):
        # A network reads the graph to say where its nodes are; other models know it.
        scores = model.score_edges(run.items(), pairs) if hasattr(model, "net_") else model.score_edges(pairs)
        return np.asarray(scores, dtype=np.float64)
    units = unit(np.asarray(run.vectors))
    parts = np.array_split(pairs, len(pairs) // 100_000 + 1)
    return np.concatenate([(units[part[:, 0]] * units[part[:, 1]]).sum(axis=1) for part in parts])
