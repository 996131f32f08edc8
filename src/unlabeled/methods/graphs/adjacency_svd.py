"""Adjacency SVD: the main directions of who is joined with whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.utils.extmath import randomized_svd

from unlabeled.data.graphs import Graph
from unlabeled.methods.graphs.node_model import NodeModel
from unlabeled.parts.checks import whole


@dataclass(kw_only=True, eq=False)
class AdjacencySVD(NodeModel):
    """A truncated SVD of D^-1/2 A D^-1/2, each direction times the root of its singular value. Nothing is trained.

    The spectral baseline of Perozzi, Al-Rfou and Skiena, 2014, arXiv:1403.6652, and of others. For graphs see `NodeModel`. dim is cut to
    the number of nodes less one. InputError: bad values, no edge.
    """

    dim: int = 64
    seed: int = 0

    def _learn(self, graph: Graph) -> np.ndarray:
        A = graph.adjacency()
        root = 1 / np.sqrt(np.maximum(np.asarray(A.sum(axis=1)).ravel(), 1e-12))
        root[graph.degrees == 0] = 0
        A = A.multiply(root[:, None]).multiply(root).tocsr()
        U, s, _ = randomized_svd(A, min(whole("dim", self.dim), max(1, len(graph) - 1)), random_state=self.seed)
        return U * np.sqrt(s)
