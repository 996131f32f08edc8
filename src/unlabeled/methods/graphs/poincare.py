"""Poincaré embeddings: a hierarchy in a few dimensions, what is general in the middle, what is special at the edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unlabeled.data import Items
from unlabeled.data.graphs import Graph
from unlabeled.data.in_memory_graphs import as_graph_items
from unlabeled.errors import InputError
from unlabeled.methods.graphs.node_model import NodeModel
from unlabeled.parts.checks import number, whole
from unlabeled.parts.closure import closure
from unlabeled.parts.hyperbolic import Hyperbolic, distance, pair_distance


@dataclass(kw_only=True, eq=False)
class Poincare(NodeModel):
    """Nodes as points of the Poincaré ball: each is nearer to what it "is a" than to what it isn't; distances grow towards the edge.

    Nickel and Kiela, 2017, "Poincaré Embeddings for Learning Hierarchical Representations", arXiv:1705.08039. Data: pairs (u, v),
    u is a v, of numbers or names; a directed graph; or an undirected one (a network), whose edges go both ways. Weights don't count.
    `vectors_`: float64 [nodes, dim], within the ball, since near its edge float32 has few digits left; `transform` gives float32, and
    of new nodes the mean of what they point to. Pairs are taken one by one instead of in batches. InputError: bad values, no edge.

        model = Poincare(dim=5).fit([("dog", "canine"), ("canine", "mammal"), ("cat", "mammal")])
        model.is_a("dog", "mammal"); model.most_similar("dog"); model.depth()
    """

    dim: int = 5
    negatives: int = 10
    epochs: int = 300
    lr: float = 0.3
    burn_in: int = 10  # epochs before, at a tenth of the rate, with negatives by how many pairs they are in
    closure: bool = True  # of a directed graph everything that follows is learned, too: a dog is a mammal
    geometry: str = "poincare"  # or "euclidean": the same with squared distances, to compare with
    riemannian: bool = True  # False: plain gradient steps in the ball, to compare with
    # "softmax", or for networks "links": each edge by itself, as likely as 1 / (exp((distance - radius) / temperature) + 1); it wants an
    # lr of about temperature / 10, since its gradient grows with 1 / temperature.
    loss: str = "softmax"
    radius: float = 1.0
    temperature: float = 1.0
    workers: int = 1  # threads; with more than one the seed gives nearly the same vectors only
    seed: int = 0

    def fit(self, X: Any, y: Any = None, **ignored: Any) -> Self:
        """Learn from a hierarchy or a network; `y` is never looked at. InputError: no graph, or one without an edge."""
        super().fit(_items(X))
        self.vectors_ = self.__dict__.pop("_points")
        return self

    def _taken(self, values: Any) -> Graph:
        return values if isinstance(values, Graph) else super()._taken(values)

    def _learn(self, graph: Graph) -> np.ndarray:
        graph = closure(graph) if self.closure and graph.directed else graph
        settings = {name: getattr(self, name) for name in Hyperbolic.__dataclass_fields__}
        self._points, self.loss_curve_ = Hyperbolic(**settings).fit(graph)
        return self._points

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        return super().transform(_items(X), out, progress)

    def distances(self, nodes: Any) -> np.ndarray:
        """float64 [m, n]: of some nodes (numbers) to all."""
        check_is_fitted(self, "vectors_")
        return distance(self.vectors_[nodes], self.vectors_, self.geometry)

    def most_similar(self, node: Any, k: int = 10) -> list[tuple[str, float]]:
        """The k nodes nearest to a node (its id, or its number in the fitted graph), itself left out, with their distances."""
        check_is_fitted(self, "vectors_")
        row = self._row(node)
        far = self.distances([row])[0]
        far[row] = np.inf
        best = np.argsort(far, kind="stable")[: min(whole("k", k), len(far) - 1)]
        return [(self.ids_[one], float(far[one])) for one in best]

    def score_edges(self, pairs: Any) -> np.ndarray:
        """float64 [m]: minus the distance of the ends of pairs (numbers or ids) [m, 2]; higher is likelier an edge."""
        check_is_fitted(self, "vectors_")
        u, v = self._rows(pairs).T
        return -pair_distance(self.vectors_[u], self.vectors_[v], self.geometry)

    def _rows(self, pairs: Any) -> np.ndarray:
        """int64 [m, 2]: numbers of the nodes in pairs of numbers or ids."""
        found = np.asarray(pairs)
        if found.dtype.kind not in "iu":
            place = {name: row for row, name in enumerate(self.ids_)}
            found = np.array([place[one] if one in place else self._row(one) for one in found.ravel().tolist()]).reshape(found.shape)
        if found.size and (found.ndim != 2 or found.shape[1] != 2 or not 0 <= found.min() <= found.max() < len(self.ids_)):
            raise InputError(f"pairs {list(found.shape)} of nodes: wanted [m, 2], numbers from 0 to {len(self.ids_) - 1} or ids")
        return found.reshape(-1, 2).astype(np.int64)

    def is_a(self, u: Any, v: Any, alpha: float = 1000.0) -> float:
        """How much u (a number or an id) is a v: -(1 + alpha (|v| - |u|)) d(u, v), high where v is near and nearer to the middle."""
        check_is_fitted(self, "vectors_")
        pair = [self._row(one) for one in (u, v)]
        here, there = np.linalg.norm(self.vectors_[pair], axis=1)
        return float((1 + number("alpha", alpha, 0) * (there - here)) * self.score_edges([pair])[0])

    def depth(self) -> np.ndarray:
        """float64 [n]: how far each node is from the middle, where what is most general lies."""
        check_is_fitted(self, "vectors_")
        middle = np.zeros((1, self.vectors_.shape[1]))
        far = distance(self.vectors_, middle, self.geometry)[:, 0]
        return np.sqrt(far) if self.geometry == "euclidean" else far


def _items(X: Any) -> Items:
    """Pairs have a direction here, and names may be given for numbers."""
    if isinstance(X, list | tuple):
        if {np.shape(one) for one in X} != {(2,)}:
            raise InputError(f"a {type(X).__name__} of {len(X):,}: wanted pairs (u, v) of numbers or names, at least one")
        X = np.asarray(X)
    if not isinstance(X, np.ndarray) or X.ndim != 2 or X.shape[1] != 2:
        return as_graph_items(X)
    if X.dtype.kind in "iu":
        return as_graph_items(Graph.of(X, directed=True))
    if not all(isinstance(name, str) for name in X.ravel().tolist()):
        raise InputError(f"pairs of {X.dtype}: wanted whole numbers or names")
    names, rows = np.unique(X, return_inverse=True)
    return Items("graph", Graph.of(rows.reshape(-1, 2), len(names), directed=True), [str(name) for name in names], source="pairs of names")


__all__ = ["Poincare"]
