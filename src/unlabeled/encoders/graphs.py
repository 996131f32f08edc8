"""Networks of the nodes of graphs and hypergraphs: plain sparse products, no library of graphs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.views.graphs import GraphView, sparse


class _Product(torch.autograd.Function):
    """A sparse matrix, that isn't learned, times a dense one."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, back: Tensor | None, dense: Tensor) -> Tensor:
        ctx.back = back if back is not None else matrix
        with torch.autocast(dense.device.type, enabled=False):  # sparse products are there in float32 alone
            return matrix @ dense.float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        with torch.autocast(gradient.device.type, enabled=False):
            return None, None, ctx.back @ gradient.float().contiguous()


def spread(adjacency: Tensor, x: Tensor) -> Tensor:
    """adjacency @ x for a symmetric adjacency that isn't learned: its gradient needs no transpose."""
    return _Product.apply(adjacency, None, x)  # type: ignore[no-any-return]


class SparseLinear(nn.Module):
    """x W for sparse features x [n, features]: only what isn't 0 is multiplied. Glorot's start."""

    def __init__(self, features: int, width: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        found = _Product.apply(x, transposed(x), self.weight)
        return found if self.bias is None else found + self.bias


class GCN(nn.Module):
    """Graph convolutions (Kipf and Welling, 2017, arXiv:1609.02907): nodes take the mean of their neighbours, layer by layer.

    In: a GraphView; out: float32 [n, width]. hidden: widths of the layers before the last. last: whether the last layer is activated, too.
    """

    def __init__(
        self, features: int, hidden: tuple[int, ...] = (256,), width: int = 128, act: str = "relu", dropout: float = 0.0, last: bool = True
    ):
        super().__init__()
        sizes = [*hidden, width]
        self.first = SparseLinear(features, sizes[0])
        self.rest = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes)
        self.acts = nn.ModuleList(activation(act) if last or i < len(sizes) - 1 else nn.Identity() for i in range(len(sizes)))
        for layer in self.rest:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
        self.dropout, self.width, self.features = dropout, width, features

    def forward(self, graph: GraphView) -> Tensor:
        _fits(graph, self.features)
        h = self.first(graph.x)
        for i, (bias, act) in enumerate(zip(self.biases, self.acts, strict=True)):
            if i:
                h = self.rest[i - 1](nn.functional.dropout(h, self.dropout, self.training))
            h = act(spread(graph.adjacency, h) + bias)
        return h


class UniGCNII(nn.Module):
    """Convolutions of hypergraphs with initial residuals (Huang and Yang, 2021, arXiv:2105.00956): groups take the mean of their members.

    In: a GraphView of a hypergraph; out: float32 [n, width]. A node of no group keeps what it says.
    """

    def __init__(self, features: int, width: int = 128, layers: int = 2, alpha: float = 0.1, strength: float = 0.5):
        super().__init__()
        self.first = SparseLinear(features, width, bias=True)
        self.rest = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.alpha, self.strength, self.width, self.features = alpha, strength, width, features

    def forward(self, graph: GraphView) -> Tensor:
        _fits(graph, self.features)
        start = torch.relu(self.first(graph.x))
        return self.convolve(graph, start)

    def convolve(self, graph: GraphView, start: Tensor) -> Tensor:
        """From what the nodes say, float32 [n, width]."""
        groups_of, nodes_of = hyper_incidence(graph)
        h = start
        for number, layer in enumerate(self.rest, 1):
            v = _Product.apply(nodes_of, groups_of_back(graph), _Product.apply(groups_of, members_back(graph), h))
            v = torch.where(graph_alone(graph)[:, None], h, v)
            mixed = (1 - self.alpha) * v + self.alpha * start
            beta = math.log(self.strength / number + 1)
            h = torch.relu((1 - beta) * mixed + beta * layer(mixed))
        return h


def hyper_incidence(graph: GraphView) -> tuple[Tensor, Tensor]:
    """(groups from nodes [groups, n], nodes from groups [n, groups]), sparse: a group is the mean of its members, over the root of the mean
    of their degrees; a node the sum of its groups over the root of its degree."""
    return _hyper(graph)[:2]


def _hyper(graph: GraphView) -> tuple[Tensor, ...]:
    kept = graph.__dict__.get("_incidence")
    if kept is None:
        if graph.groups is None:
            raise InputError("a network of groups reads hypergraphs: give a data.graphs.Hypergraph")
        n, m, (group, node) = len(graph), graph.groups, graph.pairs
        degree = torch.zeros(n, device=node.device).index_add_(0, node, torch.ones(len(node), device=node.device))
        size = torch.zeros(m, device=node.device).index_add_(0, group, torch.ones(len(group), device=node.device)).clamp(min=1)
        mean = torch.zeros(m, device=node.device).index_add_(0, group, degree[node]) / size
        into = 1 / size[group] * mean[group].clamp(min=1e-12).rsqrt()
        back = degree[node].clamp(min=1e-12).rsqrt()
        kept = (
            sparse(torch.stack([group, node]), into, m, n),
            sparse(torch.stack([node, group]), back, n, m),
            sparse(torch.stack([node, group]), into, n, m),
            sparse(torch.stack([group, node]), back, m, n),
            degree == 0,
        )
        graph.__dict__["_incidence"] = kept
    return kept


def members_back(graph: GraphView) -> Tensor:
    """The transpose of the first of `hyper_incidence`."""
    return _hyper(graph)[2]


def groups_of_back(graph: GraphView) -> Tensor:
    """The transpose of the second of `hyper_incidence`."""
    return _hyper(graph)[3]


def graph_alone(graph: GraphView) -> Tensor:
    """bool [n]: nodes of no group."""
    return _hyper(graph)[4]


NETWORKS = {"gcn": GCN, "unigcnii": UniGCNII}


def graph_encoder(name: str, inputs: Inputs) -> nn.Module:
    """A network of nodes by name: gcn, unigcnii. InputError: another name."""
    if name not in NETWORKS:
        raise InputError(f'no network of nodes is called "{name}": choose one of {", ".join(NETWORKS)}, or give a module with a width')
    return NETWORKS[name](inputs.features)


def activation(name: str) -> nn.Module:
    """relu, prelu, elu, tanh."""
    known: dict[str, Any] = {"relu": nn.ReLU, "prelu": nn.PReLU, "elu": nn.ELU, "tanh": nn.Tanh}
    if name not in known:
        raise InputError(f"act={name!r}: wanted one of {', '.join(known)}")
    return known[name]()  # type: ignore[no-any-return]


def transposed(x: Tensor) -> Tensor:
    """The transpose of a sparse CSR tensor, as CSR; kept with it, since features are transposed in every step."""
    kept = getattr(x, "_transposed", None)
    if kept is None:
        coo = x.to_sparse_coo()
        pairs = coo.indices().flip(0)
        kept = sparse(pairs, coo.values(), x.shape[1], x.shape[0])
        x._transposed = kept  # type: ignore[attr-defined]
    return kept


def _fits(graph: GraphView, features: int) -> None:
    if graph.x.shape[1] != features:
        raise InputError(
            f"nodes say {graph.x.shape[1]:,} numbers each, the network was made for {features:,}: a graph with the same features is wanted "
            "(one without features can't be told from others but by its own nodes)"
        )


__all__ = ["GCN", "SparseLinear", "UniGCNII", "graph_encoder", "hyper_incidence", "spread"]
