"""What all models of the nodes of one graph share: how graphs come in, whose vectors come out, what is near a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from unlabeled.data.graphs import Graph
from unlabeled.data.in_memory_graphs import as_graph_items
from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.methods.kept import ArrayModel
from unlabeled.parts.checks import whole
from unlabeled.parts.scale import unit


@dataclass(kw_only=True, eq=False)
class NodeModel(ArrayModel, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A keyword-only dataclass. What `fit` learned: `ids_` (of the nodes) and `vectors_`, float32 [nodes, dim].

    Graphs: `data.graphs.Graph`, Items of kind "graph", a sparse or dense adjacency, a NetworkX, igraph or PyG graph, or pairs int [m, 2].
    A directed graph is read without its directions unless the system says otherwise.
    """

    LISTS = ("ids_",)

    def fit(self, X: Any, y: Any = None, **ignored: Any) -> Self:
        """Learn from a graph; `y` is never looked at. InputError: no graph, or one without an edge."""
        items = as_graph_items(X)
        graph = self._taken(items.values)
        if graph.n_edges == 0:
            raise InputError(f"{type(self).__name__} learns from edges, and this graph of {len(graph):,} nodes has none")
        self.ids_ = list(items.ids)
        self.vectors_ = np.ascontiguousarray(self._learn(graph), dtype=np.float32)
        self.inputs_ = Inputs("graph")
        return self

    def _learn(self, graph: Graph) -> np.ndarray:
        """Vectors [nodes, dim]; `loss_curve_`, a list, if there is one."""
        raise NotImplementedError

    def _taken(self, values: Any) -> Graph:
        """The graph as this system reads it."""
        if not isinstance(values, Graph):
            raise InputError(
                f"{type(self).__name__} reads graphs, this is a {type(values).__name__}: give its .cliques(), .union() or .graph()"
            )
        return values.undirected()

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """float32 [n, dim] of the nodes of a graph, by their ids: as learned; a new node has the mean of its known neighbours, or zeros."""
        check_is_fitted(self, "vectors_")
        items = as_graph_items(X)
        place = {name: row for row, name in enumerate(self.ids_)}
        rows = np.array([place.get(name, -1) for name in items.ids], dtype=np.int64)
        found = np.where(rows[:, None] >= 0, self.vectors_[np.maximum(rows, 0)], 0).astype(np.float32)
        new = np.flatnonzero(rows < 0)
        if len(new):
            arcs = self._taken(items.values).adjacency()[new]
            arcs = arcs.multiply(rows >= 0).tocsr()
            weight = np.maximum(np.asarray(arcs.sum(axis=1)), 1e-12)
            found[new] = (arcs @ found) / weight
        if out is not None:
            out[:] = found
            found = out
        if progress:
            progress(len(found), len(found))
        return found

    def most_similar(self, node: Any, k: int = 10) -> list[tuple[str, float]]:
        """The k nodes nearest to a node (its id, or its number in the fitted graph), itself left out, with their cosines."""
        check_is_fitted(self, "vectors_")
        row = self._row(node)
        units = unit(self.vectors_)
        cosine = units @ units[row]
        cosine[row] = -np.inf
        best = np.argsort(-cosine, kind="stable")[: min(whole("k", k), len(cosine) - 1)]
        return [(self.ids_[one], float(cosine[one])) for one in best]

    def _row(self, node: Any) -> int:
        if isinstance(node, str):
            if node not in self.ids_:
                raise InputError(f"no node is called {node!r}: there are {len(self.ids_):,}, {self.ids_[0]!r} for one")
            return self.ids_.index(node)
        if not 0 <= int(node) < len(self.ids_):
            raise InputError(f"node {node} of {len(self.ids_):,}: there is none")
        return int(node)

    @property
    def _n_features_out(self) -> int:
        return self.vectors_.shape[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
