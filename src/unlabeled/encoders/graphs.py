"""Networks of the nodes of graphs and hypergraphs: plain sparse products, no library of graphs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.views.graphs import GraphView, transposed


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


def product(matrix: Tensor, x: Tensor) -> Tensor:
    """matrix @ x for a sparse CSR matrix [m, n] that isn't learned and x [n, d]."""
    return _Product.apply(matrix, transposed(matrix), x)  # type: ignore[no-any-return]


class SparseLinear(nn.Module):
    """x W for sparse features x [n, features]: only what isn't 0 is multiplied. Glorot's start."""

    def __init__(self, features: int, width: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        found = product(x, self.weight)
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
        return self.convolve(graph, torch.relu(self.first(graph.x)))

    def convolve(self, graph: GraphView, start: Tensor) -> Tensor:
        """From what the nodes say, float32 [n, width]."""
        h = start
        for number, layer in enumerate(self.rest, 1):
            mixed = (1 - self.alpha) * hyper_spread(graph, h) + self.alpha * start
            beta = math.log(self.strength / number + 1)
            h = torch.relu((1 - beta) * mixed + beta * layer(mixed))
        return h


def hyper_spread(graph: GraphView, x: Tensor) -> Tensor:
    """From nodes to their groups and back, [n, d]. A node of no group keeps its row, as if it were a group by itself.

    A group is the mean of its members over the root of the mean of their degrees, a node the sum of its groups over the root of its own.
    """
    nodes, (into, back) = graph.incidence, _scales(graph)
    found = product(transposed(nodes), product(nodes, x) * into[:, None]) * back[:, None]
    return torch.where((back == 0)[:, None], x, found)


def _scales(graph: GraphView) -> tuple[Tensor, Tensor]:
    """What groups [groups] and nodes [n] are multiplied with; kept with the graph."""
    kept = graph.__dict__.get("_scales")
    if kept is None:
        nodes, ones = graph.incidence, torch.ones(len(graph), 1, device=graph.pairs.device)
        size = (nodes @ ones)[:, 0].clamp(min=1)
        degree = (transposed(nodes) @ torch.ones(len(size), 1, device=size.device))[:, 0]
        mean = (nodes @ degree[:, None])[:, 0] / size
        kept = 1 / (size * mean.clamp(min=1).sqrt()), degree.clamp(min=1).rsqrt() * (degree > 0)
        graph.__dict__["_scales"] = kept
    return kept


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


def _fits(graph: GraphView, features: int) -> None:
    if graph.x.shape[1] != features:
        raise InputError(
            f"nodes say {graph.x.shape[1]:,} numbers each, the network was made for {features:,}: a graph with the same features is wanted "
            "(one without features can't be told from others but by its own nodes)"
        )


__all__ = ["GCN", "SparseLinear", "UniGCNII", "graph_encoder", "hyper_spread", "product", "spread"]
