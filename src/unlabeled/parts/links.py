"""Edges hidden from a graph, to be found again; and how well they were."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unlabeled.data.graphs import Graph
from unlabeled.errors import InputError


class LinkSplit(NamedTuple):
    """A graph to learn from, edges that were taken out of it, and as many pairs that were never edges; each int64 [m, 2]."""

    graph: Graph
    val: np.ndarray
    val_none: np.ndarray
    test: np.ndarray
    test_none: np.ndarray


def link_split(graph: Graph, val: float = 0.05, test: float = 0.1, seed: int = 0) -> LinkSplit:
    """Take shares of the edges out, in both directions, at random; other pairs are drawn evenly and are no edge of the whole graph."""
    rng = np.random.default_rng(seed)
    edges = graph.edges()
    sizes = round(len(edges) * val), round(len(edges) * test)
    if min(val, test) < 0 or val + test >= 1 or sum(sizes) == 0:
        raise InputError(f"val={val}, test={test} of {len(edges):,} edges: wanted shares from 0 that leave some edges to learn from")
    order = rng.permutation(len(edges))
    hidden = edges[order[: sum(sizes)]]
    none = non_edges(graph, sum(sizes), rng)
    a, b = sizes[0], sum(sizes)
    return LinkSplit(graph.without(hidden), hidden[:a], none[:a], hidden[a:b], none[a:b])


def non_edges(graph: Graph, n: int, rng: np.random.Generator) -> np.ndarray:
    """n different pairs of different nodes that are no edges, int64 [n, 2]."""
    size, found = len(graph), np.zeros((0, 2), np.int64)
    pairs = size * (size - 1) // (1 if graph.directed else 2)
    if pairs - graph.n_edges < 2 * n:
        raise InputError(
            f"{n:,} pairs without an edge were wanted of {pairs - graph.n_edges:,} that there are: the graph is nearly complete"
        )
    while len(found) < n:
        drawn = rng.integers(0, size, (2 * n, 2))
        drawn = drawn if graph.directed else np.sort(drawn, axis=1)
        drawn = np.concatenate([found, drawn[(drawn[:, 0] != drawn[:, 1]) & ~graph.has(drawn)]])
        found = drawn[np.sort(np.unique(drawn, axis=0, return_index=True)[1])]
    return found[:n]


def link_scores(edges: np.ndarray, none: np.ndarray) -> dict[str, float]:
    """auc and ap (average precision) of the scores of edges [m] against those of other pairs [k]. InputError: a score that isn't finite."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores = np.concatenate([edges, none])
    if not np.isfinite(scores).all():
        raise InputError("a score isn't finite: the training ran away, lower its learning rate")
    truth = np.arange(len(scores)) < len(edges)
    return {"auc": float(roc_auc_score(truth, scores)), "ap": float(average_precision_score(truth, scores))}


__all__ = ["LinkSplit", "link_scores", "link_split", "non_edges"]
