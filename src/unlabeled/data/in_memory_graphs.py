"""Graphs that are in memory, whatever library made them, as Items."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from unlabeled.data.graphs import Graph, Hypergraph, Multiplex, Triples
from unlabeled.data.items import GRAPHS, Items
from unlabeled.errors import InputError

WANTED = "a Graph, a sparse adjacency [n, n], pairs of node numbers int [m, 2], or a graph of NetworkX, igraph or PyTorch Geometric"


def is_graph(data: Any) -> bool:
    """Whether these are a graph beyond doubt: ours, or NetworkX's, igraph's, PyTorch Geometric's."""
    known = isinstance(data, Graph | Hypergraph | Multiplex | Triples)
    return known or type(data).__module__.partition(".")[0] in ("networkx", "igraph") or hasattr(data, "edge_index")


def as_graph_items(data: Any, kind: str | None = None) -> Items:
    """Items of kind "graph" or "triples". Names of nodes become ids; numbers that come with nodes (PyG's x) features.

    NetworkX, igraph: the edges' attribute `weight`, where all have one. Raises InputError for anything else.
    """
    if isinstance(data, Items):
        if data.kind not in GRAPHS:
            raise InputError(f"the items are {data.kind}s: wanted a graph")
        return data
    if isinstance(data, Triples):
        return Items("triples", data, list(data.entities), source="triples")
    if isinstance(data, Graph | Hypergraph | Multiplex):
        return Items("graph", data, source="a graph")
    module = type(data).__module__.partition(".")[0]
    if module == "networkx":
        names = list(data.nodes)
        number = {node: row for row, node in enumerate(names)}
        weights = [w for _, _, w in data.edges(data="weight")]
        edges = np.array([(number[a], number[b]) for a, b, *_ in data.edges], dtype=np.int64).reshape(-1, 2)
        graph = Graph.of(edges, len(names), weights if weights and None not in weights else None, directed=data.is_directed())
        return Items("graph", graph, [str(name) for name in names], source="a NetworkX graph")
    if module == "igraph":
        weighed = "weight" in data.es.attributes()
        pairs = np.array(data.get_edgelist(), dtype=np.int64).reshape(-1, 2)
        graph = Graph.of(pairs, data.vcount(), data.es["weight"] if weighed else None, directed=data.is_directed())
        named = "name" in data.vs.attributes()
        return Items("graph", graph, [str(name) for name in data.vs["name"]] if named else (), source="an igraph graph")
    if hasattr(data, "edge_index"):  # PyTorch Geometric's Data
        pairs = np.asarray(data.edge_index.detach().cpu()).T
        n = int(data.num_nodes)
        both = Graph.of(pairs, n, directed=True)
        graph = Graph.of(pairs, n, features=getattr(data, "x", None), directed=not bool(both.has(both.edges()[:, ::-1]).all()))
        return Items("graph", graph, source="a PyTorch Geometric graph")
    if sp.issparse(data) or (isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[0] == data.shape[1] and data.shape[0] > 2):
        return Items("graph", from_adjacency(data), source="an adjacency matrix")
    if isinstance(data, np.ndarray | list | tuple):
        array = np.asarray(data)
        if array.ndim == 2 and array.shape[1] == 3 and (kind == "triples" or array.dtype.kind in "UO"):
            triples = Triples.of(array)
            return Items("triples", triples, list(triples.entities), source="triples")
        if array.ndim == 2 and array.shape[1] == 2:
            return Items("graph", Graph.of(array), source="pairs of nodes")
    raise InputError(f"data is {type(data).__name__}: wanted {WANTED}")


def from_adjacency(matrix: Any) -> Graph:
    """A matrix [n, n]: an entry above 0 is an edge, with that weight; directed unless it is symmetric. InputError: not square, below 0."""
    found = sp.coo_matrix(matrix)
    if found.shape[0] != found.shape[1]:
        raise InputError(f"an adjacency of shape {list(found.shape)}: wanted [n, n]")
    keep = found.data != 0
    row, column, weights = found.row[keep], found.col[keep], found.data[keep].astype(np.float64)
    whole = sp.csr_matrix((weights, (row, column)), shape=found.shape)
    if not (abs(whole - whole.T) > 1e-6).nnz:
        upper = sp.triu(whole, 1).tocoo()
        return Graph.of(np.stack([upper.row, upper.col], 1), found.shape[0], upper.data)
    return Graph.of(np.stack([row, column], 1), found.shape[0], weights, directed=True)


__all__ = ["as_graph_items", "from_adjacency", "is_graph"]
