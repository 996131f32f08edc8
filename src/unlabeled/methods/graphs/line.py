"""LINE: a node's vector says whom it is joined with, and whom its neighbours are joined with."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from unlabeled.data.graphs import Graph
from unlabeled.methods.graphs.node_model import NodeModel
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.edges import EdgeSampling
from unlabeled.parts.scale import unit

ROWS = 4096  # nodes whose neighbours' neighbours are looked up at once


@dataclass(kw_only=True, eq=False)
class LINE(NodeModel):
    """Edges are drawn in proportion to their weights; both ends of one are pulled together, a node and drawn others apart.

    Tang, Qu, Wang, Zhang, Yan and Mei, 2015, arXiv:1503.03578. First order: the ends have like vectors. Second order: nodes with like
    neighbours have, as a node's vector predicts its neighbours' vectors as context. Both are learned apart, and a node's vector is the
    two beside each other, each of unit length: float32 [nodes, 2 dim]. A directed graph has second order only: order="second" reads its
    arcs as they are, else directions are left out. Nodes without an edge have zeros, and a warning says how many there are. InputError:
    bad values, a graph without an edge.
    """

    dim: int = 128  # of each order
    order: str = "both"  # first, second
    samples: int | str = "auto"  # edges drawn for each order; auto: 100 for each there is, at least 10 million
    negatives: int = 5
    reconstruct: int = 0  # nodes of lower degree are joined with neighbours' neighbours, the nearest first, until they have so many
    lr: float = 0.025  # falls linearly
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same vectors only
    seed: int = 0

    def _taken(self, values: Any) -> Graph:
        graph = super()._taken(values)  # says what it is if it is no graph
        return values if one_of("order", self.order, ("first", "second", "both")) == "second" else graph

    def _learn(self, graph: Graph) -> np.ndarray:
        alone = graph.involved() == 0
        graph = with_second_neighbours(graph, whole("reconstruct", self.reconstruct, 0))
        samples = max(10_000_000, 100 * graph.n_edges) if self.samples == "auto" else whole("samples", self.samples)
        found, self.loss_curve_ = [], []
        for order in ("first", "second") if self.order == "both" else (self.order,):
            engine = EdgeSampling(
                dim=self.dim, order=order, samples=samples, negatives=self.negatives, lr=self.lr, workers=self.workers, seed=self.seed
            )
            tables = engine.fit(graph.sources, graph.targets, graph.weights, len(graph))
            tables.nodes[alone] = 0
            found.append(unit(tables.nodes))
            self.loss_curve_ += tables.loss
        if alone.any():
            warnings.warn(f"{alone.sum():,} of {len(alone):,} nodes have no edge: their vectors are zeros", stacklevel=3)
        return np.concatenate(found, axis=1)


def with_second_neighbours(graph: Graph, least: int) -> Graph:
    """The graph with arcs from each node of a degree below `least` to the nearest of its neighbours' neighbours, until it has so many.

    How near: sum over j of w_ij w_jk / d_j, which is the weight of the arc i -> k, d_j being the sum of j's weights.
    """
    few = np.flatnonzero((graph.degrees > 0) & (graph.degrees < least))
    if not len(few):
        return graph
    A = graph.adjacency()
    onward = sp.diags(1 / np.maximum(np.asarray(A.sum(axis=1)).ravel(), 1e-12)) @ A
    more = []
    for at in range(0, len(few), ROWS):
        rows = few[at : at + ROWS]
        paths = (A[rows] @ onward).tocsr()
        paths = paths - paths.multiply(A[rows] > 0)  # not those that are neighbours already
        paths = sp.coo_matrix(paths)
        keep = (paths.data > 0) & (rows[paths.row] != paths.col)
        row, column, weight = paths.row[keep], paths.col[keep], paths.data[keep]
        order = np.lexsort((-weight, row))
        row, column, weight = row[order], column[order], weight[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)  # 0 for the nearest of each node
        keep = place < least - graph.degrees[rows[row]]
        more.append(np.stack([rows[row[keep]], column[keep], weight[keep]]))
    source, target, weight = np.concatenate(more, axis=1)
    whole_graph = (A + sp.csr_matrix((weight, (source.astype(np.int64), target.astype(np.int64))), shape=A.shape)).tocsr()
    whole_graph.sort_indices()
    return Graph(whole_graph.indptr.astype(np.int64), whole_graph.indices.astype(np.int32), whole_graph.data.astype(np.float32), True)
