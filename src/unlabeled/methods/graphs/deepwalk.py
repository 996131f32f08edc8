"""DeepWalk: random walks are sentences, nodes their words."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unlabeled.data.graphs import Graph
from unlabeled.data.in_memory_graphs import as_graph_items
from unlabeled.errors import InputError
from unlabeled.methods.graphs.node_model import NodeModel
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.skipgram import Corpus, SkipGram
from unlabeled.parts.walks import learn_walks, random_walks


@dataclass(kw_only=True, eq=False)
class DeepWalk(NodeModel):
    """Walks of `length` nodes from every node, `walks` times; a node's vector predicts which nodes are near it in the walks.

    Perozzi, Al-Rfou and Skiena, 2014, arXiv:1403.6652. Node2Vec with p = q = 1. The paper has a tree of the nodes (loss="hs"); negatives
    (loss="ns", Mikolov et al., 2013, arXiv:1310.4546) are quicker. A node without edges is in no walk: its vector is zeros, and a
    warning says how many there are. Weights of edges are followed; a directed graph is walked without its directions unless
    directed=True. InputError: bad values, a graph without an edge.

        model = DeepWalk().fit(graph)                    # anything that NodeModel reads
        model.most_similar("a", 5); model.transform(graph)
        model.partial_fit(larger)                        # the same graph with further edges or nodes: walks from where it grew
    """

    dim: int = 128
    walks: int = 10  # from each node
    length: int = 80  # nodes of a walk
    window: int = 10  # nodes to either side, at most
    loss: str = "ns"  # negatives, or "hs": hierarchical softmax, a tree of the nodes
    negatives: int = 5
    lr: float = 0.025  # falls linearly
    directed: bool = False  # walks follow the arcs of a directed graph
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same vectors only
    seed: int = 0

    p, q = 1.0, 1.0  # of the walks: Node2Vec's fields

    def _taken(self, values: Any) -> Graph:
        graph = super()._taken(values)  # says what it is if it is no graph
        return values if self.directed else graph

    def _learn(self, graph: Graph) -> np.ndarray:
        corpus = self._walks(graph, np.arange(len(graph)), self.seed)
        found = learn_walks(self._engine, corpus, len(graph))
        return self._known(graph, found.words, found.output, found.counts, found.loss)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Go on with a graph that has grown: walks start only where edges came, by the nodes' ids. Others' vectors hardly change.

        A node counts as touched where the sum of its edges' weights isn't what it was. Nodes that are gone are forgotten. InputError:
        loss="hs", whose tree is of the nodes that were there.
        """
        if not hasattr(self, "vectors_"):
            return self.fit(X)
        if self.loss == "hs":
            raise InputError('loss="hs" has a tree of the nodes that it was fitted to: partial_fit needs loss="ns"')
        items = as_graph_items(X)
        graph, ids = self._taken(items.values), list(items.ids)
        place = {name: row for row, name in enumerate(self.ids_)}
        old = np.array([place.get(name, -1) for name in ids], dtype=np.int64)
        known = old >= 0
        words, output = np.zeros((2, len(graph), self.dim), np.float32)
        counts, strength = np.zeros(len(graph), np.int64), np.full(len(graph), -1.0)
        for new, was in ((words, self.vectors_), (output, self.output_), (counts, self.counts_), (strength, self.strength_)):
            new[known] = was[old[known]]
        touched = np.flatnonzero(~np.isclose(strength, _strength(graph), rtol=1e-5))
        corpus, curve = self._walks(graph, touched, self.seed + 1), list(self.loss_curve_)
        if len(corpus):
            found = learn_walks(self._engine, corpus, len(graph), start=(words, output, counts))
            words, output, counts, loss = found.words, found.output, found.counts, found.loss
            curve += loss
        self.ids_ = ids
        self.vectors_ = self._known(graph, words, output, counts, curve)
        return self

    def _known(self, graph: Graph, words: np.ndarray, output: np.ndarray, counts: np.ndarray, loss: list[float]) -> np.ndarray:
        """Keep what `partial_fit` goes on from."""
        self.output_, self.counts_, self.strength_, self.loss_curve_ = output, counts, _strength(graph), loss
        if alone := int((counts == 0).sum()):
            warnings.warn(f"{alone:,} of {len(counts):,} nodes are in no walk: their vectors are zeros", stacklevel=4)
        return words

    def _walks(self, graph: Graph, nodes: np.ndarray, seed: int) -> Corpus:
        return random_walks(graph, self.walks, self.length, self.p, self.q, seed, self.workers, nodes=nodes)

    @property
    def _engine(self) -> SkipGram:
        tree = one_of("loss", self.loss, ("ns", "hs")) == "hs"
        negatives = 0 if tree else whole("negatives", self.negatives)
        more: dict[str, Any] = {"dim": self.dim, "window": self.window, "lr": self.lr, "workers": self.workers, "seed": self.seed}
        return SkipGram(**more, negatives=negatives, epochs=1, sample=0)


def _strength(graph: Graph) -> np.ndarray:
    """float64 [nodes]: the sum of the weights of each node's edges."""
    return np.bincount(graph.sources, graph.weights, minlength=len(graph)).astype(np.float64)
