"""node2vec: DeepWalk whose walks stay near or go far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from unlabeled.errors import InputError
from unlabeled.methods.graphs.deepwalk import DeepWalk
from unlabeled.parts.checks import one_of

# Features of a pair of nodes from their vectors, float32 [m, dim] each: the paper's binary operators.
OPERATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "hadamard": lambda a, b: a * b,
    "average": lambda a, b: (a + b) / 2,
    "l1": lambda a, b: abs(a - b),
    "l2": lambda a, b: (a - b) ** 2,
}
GRID = tuple((p, q) for p in (0.25, 1.0, 4.0) for q in (0.25, 1.0, 4.0))


@dataclass(kw_only=True, eq=False)
class Node2Vec(DeepWalk):
    """DeepWalk with walks that remember where they come from: from t to v, then to x with a chance in proportion to the edge's weight,
    times 1/p if x is t, times 1/q if x is no neighbour of t.

    Grover and Leskovec, 2016, arXiv:1607.00653. q below 1 goes far and finds communities, q above 1 stays near and tells how a node is
    placed; a large p seldom turns back. Drawn exactly and without tables of pairs, see `parts.walks`; everything else is DeepWalk's.

        model = Node2Vec(p=0.25, q=0.25).fit(graph)
        model.edge_features(pairs)                       # for a classifier of pairs: is there an edge?
        Node2Vec().search_pq(graph, score)               # score: a number, higher is better, from vectors [nodes, dim]
    """

    p: float = 1.0  # return parameter
    q: float = 1.0  # in-out parameter

    def edge_features(self, pairs: Any, op: str = "hadamard") -> np.ndarray:
        """float32 [m, dim] of pairs of nodes, numbers in the fitted graph [m, 2]. op: hadamard, average, l1 or l2."""
        check_is_fitted(self, "vectors_")
        pairs = np.asarray(pairs)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise InputError(f"pairs are {pairs.dtype} {list(pairs.shape)}: wanted numbers of nodes [m, 2]")
        if len(pairs) and not 0 <= pairs.min() <= pairs.max() < len(self.vectors_):
            raise InputError(f"pairs name nodes from {pairs.min()} to {pairs.max()}: wanted 0 to {len(self.vectors_) - 1}")
        return OPERATORS[one_of("op", op, tuple(OPERATORS))](self.vectors_[pairs[:, 0]], self.vectors_[pairs[:, 1]])

    def search_pq(self, X: Any, score: Callable[[np.ndarray], float], grid: Iterable[tuple[float, float]] = GRID) -> Self:
        """Fit with each (p, q) and keep the best by `score`, which must not know what is tested on; `searched_`: {(p, q): score}."""
        found = {(p, q): clone(self).set_params(p=p, q=q).fit(X) for p, q in grid}
        scores = {pair: float(score(model.vectors_)) for pair, model in found.items()}
        best = found[max(scores, key=scores.__getitem__)]
        self.__dict__.update(vars(best), searched_=scores)
        return self
