"""Everything that follows from "is a": the transitive closure of a directed graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unlabeled.data.graphs import Graph
from unlabeled.errors import InputError

MOST = 2_000_000_000  # pairs of steps that a round may look at: some seconds


def closure(graph: Graph) -> Graph:
    """The same nodes, u -> v wherever a way leads from u to v; without weights, and without u -> u, even where there are circles.

    Ways get twice as long each round, so there are as many rounds as the logarithm of the longest. InputError: an undirected graph,
    or so many pairs that they would not fit.
    """
    if not graph.directed:
        raise InputError("the graph has no directions: a closure is of u -> v, give Graph.of(pairs, directed=True)")
    reached = replace(graph, weights=None, features=None).adjacency().astype(bool)
    before = -1
    while reached.nnz != before:
        before = reached.nnz
        into = np.bincount(reached.indices, minlength=len(graph))
        if (looked := int(into @ np.diff(reached.indptr).astype(np.int64))) > MOST:
            raise InputError(f"{looked:,} pairs of steps in one round: the closure of this graph is too large (circles, or long ways)")
        reached = reached + reached @ reached
    reached.setdiag(False)
    reached.eliminate_zeros()
    reached.sort_indices()
    return replace(graph, starts=reached.indptr.astype(np.int64), targets=reached.indices.astype(np.int32), weights=None)


__all__ = ["closure"]
