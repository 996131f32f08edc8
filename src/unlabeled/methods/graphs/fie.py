"""Fisher information embedding: vectors of nodes from a few runs of k-means, without any gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from unlabeled.data.graphs import Graph
from unlabeled.data.in_memory_graphs import as_graph_items
from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.methods.kept import ArrayModel
from unlabeled.parts.checks import number, whole
from unlabeled.parts.kmeans_large import kmeans_large
from unlabeled.parts.nystrom import Anchors
from unlabeled.parts.scale import unit

SAMPLE = 300_000  # rows that a k-means sees, at most
BYTES = 1 << 28  # that they take, and blocks of rows, at most
BINS = 32  # of numbers of neighbours, on a scale of logarithms, for nodes that say nothing else


@dataclass(kw_only=True, eq=False)
class FIE(ArrayModel, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A neighbourhood as the step that EM takes towards it from a mixture of Gaussians that all nodes share; layer upon layer.

    Chen, Pellizzoni and Borgwardt, 2023, "Fisher Information Embedding for Node and Graph Learning", arXiv:2305.07580; not its layers
    for supervised networks, nor its pooling of whole graphs. Graphs: as in `NodeModel`, read without directions; an edge of weight w is a
    neighbour w times. Nodes without features, in a graph that has some, have the zeros' vector; in a graph without any, a node says how
    many neighbours it has, and vectors tell places of different shape apart, not parts of the graph.
    `transform` gives float32 [n, (layers + 1) dim] of any graph with such features: what nodes say, and what each layer makes of it;
    fewer where there are fewer different nodes. InputError: bad values, no nodes, other features than learned.

        FIE(layers=2).fit_transform(Graph.of(pairs, features=X))
    """

    layers: int = 3
    dim: int = 256  # anchors of each kernel
    mixtures: int = 1  # Gaussians
    sigma: float = 0.5  # width of the kernels
    eps: float = 1.0  # temperature of what belongs to which Gaussian; the released code takes the width of the vectors: all to all alike
    concat: bool = True  # False: the last layer alone
    seed: int = 0

    def fit(self, X: Any, y: Any = None, **ignored: Any) -> Self:
        """Learn means and anchors from a graph, layer by layer; `y` is never looked at."""
        whole("layers", self.layers), whole("dim", self.dim), whole("mixtures", self.mixtures)
        number("sigma", self.sigma, 0, above=True), number("eps", self.eps, 0, above=True)
        around, x = neighbourhoods(X)
        rng, n = np.random.default_rng(self.seed), x.shape[0]
        if n == 0:
            raise InputError("a graph without nodes: there is nothing to learn from")
        self.inputs_ = Inputs("graph", features=x.shape[1])
        self._learn(0, x[_drawn(n, x.shape[1], rng)].toarray())
        x = self._kernel(0).see(x)
        for layer in range(1, self.layers + 1):
            # Nodes as often as they are somebody's neighbour: of these the multisets are made that are compared.
            neighbours = around.indices[_drawn(around.nnz, x.shape[1], rng)]
            means = self._centres(x[neighbours], self.mixtures)
            setattr(self, f"means_{layer}_", means)
            rows = _drawn(n, means.size, rng)
            self._learn(layer, np.concatenate(list(self._steps(around[rows], x, means))))
            x = self._layer(layer, around, x)
        return self

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """Of the nodes of a graph, this one or another. out: an array to write to. progress: called with (layers done, layers)."""
        check_is_fitted(self, "inputs_")
        around, x = neighbourhoods(X)
        if x.shape[1] != self.inputs_.features:
            raise InputError(f"nodes say {x.shape[1]:,} numbers each, those that were learned from said {self.inputs_.features:,}")
        said = [self._kernel(0).see(x)]
        for layer in range(1, self.layers + 1):
            said.append(self._layer(layer, around, said[-1]))
            if progress:
                progress(layer, self.layers)
        found = np.concatenate(said if self.concat else said[-1:], axis=1)
        if out is not None:
            out[:] = found
        return found if out is None else out

    def _layer(self, layer: int, around: sp.csr_matrix, x: np.ndarray) -> np.ndarray:
        """float32 [n, dim]: what a layer makes of the one before."""
        kernel, means = self._kernel(layer), getattr(self, f"means_{layer}_")
        return np.concatenate([kernel.see(step) for step in self._steps(around, x, means)])

    def _steps(self, around: sp.csr_matrix, x: np.ndarray, means: np.ndarray) -> Iterator[np.ndarray]:
        """Blocks float32 [b, mixtures * d] of rows of `around`: how far each mean moves towards a node's neighbours, itself among them.

        How much a neighbour belongs to each Gaussian is a softmax over these; how much it counts, a softmax of that over the neighbours.
        Both numerators hang on the neighbour alone, so that a Gaussian is a sparse product and never an array of edges.
        """
        likely = unit(x) @ means.T / self.eps
        likely = np.exp(likely - likely.max(axis=1, keepdims=True))
        counts = np.exp(likely / likely.sum(axis=1, keepdims=True))
        for start in range(0, around.shape[0], step := max(1, BYTES // (4 * means.size))):
            near, moved = around[start : start + step], []
            for mean, count in zip(means, counts.T, strict=True):
                weighed = sp.csr_matrix((near.data * count[near.indices], near.indices, near.indptr), near.shape)
                moved.append(weighed @ x / np.asarray(weighed.sum(axis=1)) - mean)
            yield np.concatenate(moved, axis=1, dtype=np.float32)

    def _learn(self, layer: int, X: np.ndarray) -> None:
        kernel = Anchors.of(self._centres(X, self.dim), self.sigma)
        for name in ("rows", "whiten"):
            setattr(self, f"{name}_{layer}_", getattr(kernel, name))

    def _kernel(self, layer: int) -> Anchors:
        return Anchors(getattr(self, f"rows_{layer}_"), getattr(self, f"whiten_{layer}_"), self.sigma)

    def _centres(self, X: np.ndarray, k: int) -> np.ndarray:
        """float32 [at most k, d] of unit length: spherical k-means of the rows that aren't zeros."""
        some = X[np.abs(X).sum(axis=1) > 0]
        some = some if len(some) else np.ones((1, X.shape[1]), np.float32)
        return unit(kmeans_large(some, k, metric="cosine", iters=20, seed=self.seed).centers)

    @property
    def _n_features_out(self) -> int:
        widths = [len(getattr(self, f"rows_{layer}_")) for layer in range(self.layers + 1)]
        return sum(widths) if self.concat else widths[-1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def neighbourhoods(X: Any) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Whose neighbours are who, each node its own among them, float32 [n, n]; and what the nodes say, rows of length 1."""
    graph = as_graph_items(X).values
    if not isinstance(graph, Graph):
        raise InputError(f"FIE reads graphs, this is a {type(graph).__name__}: give its .cliques(), .union() or .graph()")
    graph = graph.undirected()
    x = _degrees(graph) if graph.features is None else graph.features
    length = np.sqrt(np.asarray(x.multiply(x).sum(axis=1), np.float64)).ravel()
    around = (graph.adjacency() + sp.eye(len(graph), dtype=np.float32, format="csr")).tocsr()
    return around, (sp.diags(1 / np.where(length > 0, length, 1)) @ x).tocsr().astype(np.float32)


def _degrees(graph: Graph) -> sp.csr_matrix:
    """The logarithm of one more than each node's number of neighbours, float32 [n, BINS], as its two nearest whole numbers."""
    value = np.log2(1 + graph.degrees)
    low = np.minimum(value.astype(np.int64), BINS - 2)
    rows = np.repeat(np.arange(len(graph)), 2)
    shares = np.stack([low + 1 - value, value - low], axis=1).ravel()
    return sp.csr_matrix((shares, (rows, np.stack([low, low + 1], axis=1).ravel())), (len(graph), BINS), dtype=np.float32)


def _drawn(n: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers, in order: all, or as many as k-means sees of this width."""
    room = min(SAMPLE, max(1, BYTES // (4 * width)))
    return np.arange(n) if n <= room else np.sort(rng.choice(n, room, replace=False))


__all__ = ["FIE", "neighbourhoods"]
