"""SGC: what a node says, averaged with what its neighbours say, a few times over."""

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


@dataclass(kw_only=True, eq=False)
class SGC(ArrayModel, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """D^-1/2 (A + I) D^-1/2, `hops` times, times the features; then their main directions. Nothing is trained.

    Wu, Zhang, de Souza, Fifty, Yu and Weinberger, 2019, "Simplifying Graph Convolutional Networks", arXiv:1902.07153 (its features; the
    classifier is yours). fit takes a graph whose nodes have features, see `NodeModel`; transform gives float32 [nodes, dim] of that graph
    or of another with the same features. dim=None: all features, as they are. InputError: no features, others than were fitted.
    """

    hops: int = 2
    dim: int | None = 128  # directions kept, by a truncated SVD; at most as many as there are features or nodes
    seed: int = 0

    def fit(self, X: Any, y: Any = None, **ignored: Any) -> Self:
        """Find the main directions; `y` is never looked at."""
        from sklearn.utils.extmath import randomized_svd

        graph = _with_features(X)
        spread = propagated(graph, whole("hops", self.hops, 0))
        n, d = spread.shape
        most = d if self.dim is None else min(whole("dim", self.dim), n, d)
        self.directions_ = (
            np.eye(d, dtype=np.float32)
            if self.dim is None
            else np.ascontiguousarray(randomized_svd(spread, most, random_state=self.seed)[2], np.float32)
        )
        self.inputs_ = Inputs("graph", features=d)
        return self

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """float32 [nodes, dim]. out: an array to write to. progress: called with (done, n)."""
        check_is_fitted(self, "directions_")
        graph = _with_features(X)
        if graph.features.shape[1] != self.inputs_.features:  # type: ignore[union-attr]
            raise InputError(f"nodes say {graph.features.shape[1]:,} numbers each, {self.inputs_.features:,} were fitted")  # type: ignore[union-attr]
        found = np.asarray(propagated(graph, self.hops) @ self.directions_.T, dtype=np.float32)
        if out is not None:
            out[:] = found
        if progress:
            progress(len(found), len(found))
        return found

    @property
    def _n_features_out(self) -> int:
        return len(self.directions_)


def propagated(graph: Graph, hops: int) -> Any:
    """The features, averaged with the neighbours' so many times: sparse CSR [nodes, features]. A node without edges keeps its own."""
    import scipy.sparse as sp

    A = graph.adjacency() + sp.eye(len(graph), format="csr", dtype=np.float32)
    root = sp.diags(1 / np.sqrt(np.asarray(A.sum(axis=1)).ravel()))
    S: Any = root @ A @ root
    x: Any = graph.features
    for _ in range(hops):
        x = S @ x
    return x.tocsr()


def _with_features(X: Any) -> Graph:
    graph = as_graph_items(X).values
    if not isinstance(graph, Graph) or graph.features is None:
        raise InputError(
            f"SGC averages what nodes say, and this {type(graph).__name__} has no features: give .with_features(x), or --nodes"
        )
    return graph.undirected()
