"""Graphs as networks see them; and views of one: other graphs of the same nodes, with edges left out and features masked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.graphs import Graph, Hypergraph, Multiplex
from unlabeled.errors import InputError

with warnings.catch_warnings():  # PyTorch says once a process that sparse CSR is young, and that it doesn't check it
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1))


@dataclass(eq=False)
class GraphView:
    """A graph for a network: what the nodes say, and what joins them.

    x: the features, sparse CSR [n, features]. pairs: int64 [2, arcs], an undirected edge in both directions; of a hypergraph
    (group, member), [2, memberships]. weights: float32 [arcs], or None: all 1. groups: how many, of a hypergraph.
    views: of a multiplex graph its relations by name, each a GraphView with the same x.
    """

    x: Tensor
    pairs: Tensor
    weights: Tensor | None = None
    groups: int | None = None
    views: dict[str, GraphView] | None = None

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @classmethod
    def of(cls, graph: Graph | Hypergraph | Multiplex, device: torch.device | str = "cpu") -> GraphView:
        """From `data.graphs`; nodes without features are told apart by their number alone (an identity matrix)."""
        n = len(graph)
        x = _csr(graph.features, device) if graph.features is not None else _identity(n, device)
        if isinstance(graph, Hypergraph):
            group = np.repeat(np.arange(graph.n_edges), graph.sizes)
            return cls(x, torch.from_numpy(np.stack([group, graph.nodes]).astype(np.int64)).to(device), groups=graph.n_edges)
        if isinstance(graph, Multiplex):
            views = {name: replace(cls.of(part, device), x=x) for name, part in graph.views.items()}
            return cls(x, torch.cat([view.pairs for view in views.values()], dim=1), views=views)
        if not isinstance(graph, Graph):
            raise InputError(f"a network of nodes reads graphs, this is a {type(graph).__name__}")
        graph = graph.undirected()
        pairs = torch.from_numpy(np.stack([graph.sources, graph.targets]).astype(np.int64)).to(device)
        return cls(x, pairs, None if graph.weights is None else torch.from_numpy(graph.weights).to(device))

    @cached_property
    def adjacency(self) -> Tensor:
        """D^-1/2 (A + I) D^-1/2, sparse CSR [n, n] (Kipf and Welling, 2017, arXiv:1609.02907). InputError: these are groups."""
        if self.groups is not None:
            raise InputError('this network reads edges, these are groups: give the hypergraph\'s .cliques(), or take encoder="unigcnii"')
        return normalised(self.pairs, self.weights, len(self))

    @cached_property
    def incidence(self) -> Tensor:
        """Which group has which nodes, ones, sparse CSR [groups, n]. InputError: these are edges."""
        if self.groups is None:
            raise InputError("this network reads groups of nodes, these are edges: give a data.graphs.Hypergraph")
        return sparse(self.pairs, torch.ones(self.pairs.shape[1], device=self.pairs.device), self.groups, len(self))

    @cached_property
    def edge(self) -> tuple[Tensor, int]:
        """The number of each arc's edge, int64 [arcs], the same in both directions, and how many there are; of a hypergraph the group."""
        if self.groups is not None:
            return self.pairs[0], self.groups
        low, high = self.pairs.min(dim=0).values, self.pairs.max(dim=0).values
        edges, number = torch.unique(low * len(self) + high, return_inverse=True)
        return number, len(edges)

    def with_edges(self, keep: Tensor) -> GraphView:
        """Only those arcs, or memberships: a mask, or numbers."""
        return replace(self, pairs=self.pairs[:, keep], weights=None if self.weights is None else self.weights[keep])

    def with_values(self, values: Tensor) -> GraphView:
        """The same places of x with other values, float32 [entries]."""
        x = torch.sparse_csr_tensor(self.x.crow_indices(), self.x.col_indices(), values, self.x.shape)
        x._turned = _turned(self.x)  # type: ignore[attr-defined]
        return replace(self, x=x)


def normalised(pairs: Tensor, weights: Tensor | None, n: int, *, self_loops: bool = True) -> Tensor:
    """The adjacency with self-loops, divided by the roots of both degrees: sparse CSR [n, n]; a node without edges keeps itself."""
    w = torch.ones(pairs.shape[1], device=pairs.device) if weights is None else weights
    if self_loops:
        own = torch.arange(n, device=pairs.device)
        pairs, w = torch.cat([pairs, torch.stack([own, own])], dim=1), torch.cat([w, torch.ones(n, device=pairs.device)])
    degree = torch.zeros(n, device=pairs.device).index_add_(0, pairs[0], w)
    root = degree.clamp(min=1e-12).rsqrt() * (degree > 0)
    return sparse(pairs, root[pairs[0]] * w * root[pairs[1]], n, n)


@dataclass(frozen=True, kw_only=True)
class GraphViews:
    """A callable: (GraphView, generator) -> as many GraphViews as there are entries in drop_edges and mask_features.

    drop_edges: share of the edges left out, each in both directions or in none. mask_features: share of the numbers set to 0.
    mode: "dim", the same of every node (GRACE's); "node", all of some nodes; "entry", each by itself.
    """

    drop_edges: tuple[float, ...] = (0.3, 0.4)
    mask_features: tuple[float, ...] = (0.3, 0.3)
    mode: str = "dim"

    def __post_init__(self):
        if len(self.drop_edges) != len(self.mask_features) or not all(0 <= p < 1 for p in (*self.drop_edges, *self.mask_features)):
            raise InputError(f"drop_edges={self.drop_edges}, mask_features={self.mask_features}: wanted as many shares from 0 to below 1")
        if self.mode not in ("dim", "node", "entry"):
            raise InputError(f'mode={self.mode!r}: wanted "dim", "node" or "entry"')

    def __call__(self, graph: GraphView, generator: torch.Generator) -> list[GraphView]:
        return [
            mask_features(drop_edges(graph, p, generator), q, self.mode, generator)
            for p, q in zip(self.drop_edges, self.mask_features, strict=True)
        ]


def drop_edges(graph: GraphView, share: float, generator: torch.Generator) -> GraphView:
    """Each edge is left out with this probability, both of its directions together; of a hypergraph whole groups."""
    if share <= 0:
        return graph
    number, edges = graph.edge
    keep = torch.rand(edges, generator=generator, device=graph.pairs.device) >= share
    return graph.with_edges(keep[number])


def mask_features(graph: GraphView, share: float, mode: str, generator: torch.Generator) -> GraphView:
    """Features become 0 with this probability; which of them go together says `mode` (see `GraphViews`)."""
    if share <= 0:
        return graph
    n, d = graph.x.shape
    size = {"dim": d, "node": n, "entry": graph.x.values().shape[0]}[mode]
    keep = (torch.rand(size, generator=generator, device=graph.pairs.device) >= share).float()
    return graph.with_values(graph.x.values() * _of_entry(graph.x, keep, mode))


def _of_entry(x: Tensor, keep: Tensor, mode: str) -> Tensor:
    if mode == "dim":
        return keep[x.col_indices()]
    return keep if mode == "entry" else keep[_rows_of(x)]


def _rows_of(x: Tensor) -> Tensor:
    """The row of each entry of a sparse CSR tensor."""
    return torch.repeat_interleave(torch.arange(x.shape[0], device=x.device), x.crow_indices().diff())


def _csr(matrix: Any, device: torch.device | str) -> Tensor:
    parts = (torch.from_numpy(np.asarray(part, dtype=np.int64)) for part in (matrix.indptr, matrix.indices))
    return torch.sparse_csr_tensor(*parts, torch.from_numpy(matrix.data.astype(np.float32)), matrix.shape, device=device)


def _identity(n: int, device: torch.device | str) -> Tensor:
    return torch.sparse_csr_tensor(torch.arange(n + 1), torch.arange(n), torch.ones(n), (n, n), device=device)


def sparse(pairs: Tensor, values: Tensor, rows: int, columns: int) -> Tensor:
    """Sparse CSR [rows, columns] of values [m] at pairs int64 [2, m], in any order."""
    order = torch.argsort(pairs[0] * columns + pairs[1], stable=True)
    starts = torch.zeros(rows + 1, dtype=torch.int64, device=pairs.device)
    starts[1:] = torch.bincount(pairs[0], minlength=rows).cumsum(0)
    return torch.sparse_csr_tensor(starts, pairs[1][order], values[order].float(), (rows, columns))


def transposed(x: Tensor) -> Tensor:
    """The transpose of a sparse CSR tensor, as CSR; kept with it. Tensors that `with_values` made share the work of ordering."""
    kept = getattr(x, "_transposed", None)
    if kept is None:
        starts, rows, order = _turned(x)
        kept = torch.sparse_csr_tensor(starts, rows, x.values()[order], (x.shape[1], x.shape[0]))
        x._transposed = kept  # type: ignore[attr-defined]
    return kept


def _turned(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the transpose's rows start, the row of x that each of its entries is of, and their order among those of x."""
    kept = getattr(x, "_turned", None)
    if kept is None:
        columns = x.col_indices()
        order = torch.argsort(columns, stable=True)
        starts = torch.zeros(x.shape[1] + 1, dtype=torch.int64, device=x.device)
        starts[1:] = torch.bincount(columns, minlength=x.shape[1]).cumsum(0)
        kept = starts, _rows_of(x)[order], order
        x._turned = kept  # type: ignore[attr-defined]
    return kept


__all__ = ["GraphView", "GraphViews", "drop_edges", "mask_features", "normalised", "sparse", "transposed"]
