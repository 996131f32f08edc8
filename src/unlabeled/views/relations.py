"""Views of multiplex graphs: the graph as it is, and each of its relations with edges left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.views.graphs import GraphView, sparse

DENSE = 20_000  # nodes up to which a dense relation is multiplied as a dense matrix


@dataclass(frozen=True, kw_only=True)
class RelationViews:
    """A callable: (GraphView of a multiplex, generator) -> [the graph itself, then one thinned GraphView a relation].

    drop_edges: share of the edges left out, each in both directions or in none; a node's own loop stays. 0 gives the graph alone.
    The normalised weights of the other edges grow by 1 / (1 - share) instead of being normalised anew, which would take a sort.
    """

    drop_edges: float = 0.5

    def __post_init__(self):
        if not 0 <= self.drop_edges < 1:
            raise InputError(f"drop_edges={self.drop_edges!r}: wanted a share from 0 to below 1")

    def __call__(self, graph: GraphView, generator: torch.Generator) -> list[GraphView]:
        if not graph.views:
            raise InputError("views of relations are made of a multiplex graph: give a data.graphs.Multiplex")
        if self.drop_edges == 0:
            return [graph]
        return [graph, *(thinned(view, self.drop_edges, generator) for view in graph.views.values())]


def thinned(view: GraphView, share: float, generator: torch.Generator) -> GraphView:
    """The same nodes, their normalised adjacency without some of the edges."""
    adjacency = view.adjacency
    keep = (torch.rand(adjacency.values().shape[0], generator=generator, device=adjacency.device) >= share).float() / (1 - share)
    rows, columns, mirror = mirrored(view)
    keep = torch.where(rows < columns, keep, keep[mirror]).masked_fill(rows == columns, 1.0)
    return with_adjacency(view, torch.sparse_csr_tensor(*_places(adjacency), adjacency.values() * keep, adjacency.shape))


def with_adjacency(view: GraphView, adjacency: Tensor) -> GraphView:
    """The same nodes with another normalised adjacency, sparse CSR [n, n], symmetric."""
    found = replace(view)
    found.__dict__["adjacency"] = adjacency  # where the cached property keeps it
    return found


def smoothed(view: GraphView, hops: int) -> Tensor:
    """Unit rows, float32 [n, features]: the features taken `hops` times over the normalised adjacency; kept with the view."""
    kept = view.__dict__.setdefault("_smoothed", {})
    if hops not in kept:
        adjacency, x = view.adjacency, view.x.to_dense()
        if adjacency.values().shape[0] > len(view) ** 2 / 20 and len(view) <= DENSE:
            adjacency = adjacency.to_dense()  # faster where many nodes are joined
        for _ in range(hops):
            x = adjacency @ x
        kept[hops] = F.normalize(x, dim=1)
    return kept[hops]  # type: ignore[no-any-return]


def mean_relation(graph: GraphView) -> GraphView:
    """The mean of the relations' normalised adjacencies; kept with the graph."""
    if "_mean" not in graph.__dict__:
        views, n = list((graph.views or {}).values()), len(graph)
        places = torch.cat([torch.stack(mirrored(view)[:2]) for view in views], dim=1)
        values = torch.cat([view.adjacency.values() for view in views]) / len(views)
        keys, place = torch.unique(places[0] * n + places[1], return_inverse=True)
        values = torch.zeros(len(keys), device=keys.device).index_add(0, place, values)
        graph.__dict__["_mean"] = with_adjacency(graph, sparse(torch.stack([keys // n, keys % n]), values, n, n))
    return graph.__dict__["_mean"]  # type: ignore[no-any-return]


def mirrored(view: GraphView) -> tuple[Tensor, Tensor, Tensor]:
    """Of each entry of the adjacency its row, its column, and where (column, row) is: int64 [entries] each; kept with the view."""
    kept = view.__dict__.get("_mirrored")
    if kept is None:
        starts, columns = _places(view.adjacency)
        rows = torch.repeat_interleave(torch.arange(len(view), device=starts.device), starts.diff())
        kept = view.__dict__["_mirrored"] = (rows, columns, mirror(rows, columns, len(view)))
    return kept  # type: ignore[no-any-return]


def mirror(rows: Tensor, columns: Tensor, n: int) -> Tensor:
    """Where the entry (column, row) of each entry is, in a symmetric pattern sorted by rows, then columns."""
    return torch.argsort(columns * n + rows)


def _places(adjacency: Tensor) -> tuple[Tensor, Tensor]:
    return adjacency.crow_indices(), adjacency.col_indices()


__all__ = ["RelationViews", "mean_relation", "mirror", "mirrored", "smoothed", "thinned", "with_adjacency"]
