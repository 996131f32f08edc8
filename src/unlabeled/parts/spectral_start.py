"""Something to say for nodes that come without features: where they are in their graphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from unlabeled.data.graphs import Graph

SMALL = 300  # nodes up to which all eigenvectors are computed


def spectral_start(graphs: Sequence[Graph], dim: int) -> np.ndarray:
    """Leading eigenvectors, times their eigenvalues, of the mean of the graphs' normalised adjacencies (with loops).

    float32 [n, min(dim, n)].
    Signs are fixed: of each vector the entry farthest from 0 is positive. Scaled so that the mean row has length 1.
    Vectors of another graph are not comparable with these.
    """
    mean = sum(_normalised(graph) for graph in graphs) / len(graphs)
    n = mean.shape[0]
    if n <= SMALL or dim >= n - 1:
        values, vectors = np.linalg.eigh(mean.toarray())
    else:
        values, vectors = eigsh(mean, k=dim, which="LA", v0=np.ones(n), tol=1e-4)
    order = np.argsort(-values)[:dim]
    found = vectors[:, order] * values[order]
    found *= np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])] + 1e-300)
    return (found / max(np.linalg.norm(found, axis=1).mean(), 1e-12)).astype(np.float32)


def _normalised(graph: Graph) -> sp.csr_matrix:
    adjacency = graph.undirected().adjacency().astype(np.float64) + sp.identity(len(graph), format="csr")
    root = sp.diags(1 / np.sqrt(np.asarray(adjacency.sum(axis=1)).ravel()))
    return (root @ adjacency @ root).tocsr()


__all__ = ["spectral_start"]
