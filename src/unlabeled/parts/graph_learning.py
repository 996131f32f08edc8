"""Graphs that are learned: each node joined to those most like it, with weights that carry gradients; nowhere a matrix [n, n].

A graph learner scales what nodes say, number by number, and joins each node to its k nearest by cosine (SUBLIME, Liu et al., 2022,
arXiv:2201.06367). Which nodes are nearest has no gradient, how near they are has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.parts.losses import unit
from unlabeled.views.graphs import GraphView

BLOCK = 16_000_000  # cosines computed at once, 64 MB
ACTS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh, "none": lambda x: x}


class Attentive(nn.Module):
    """[n, d] -> [n, d]: each number times a learned factor, layer by layer, an activation between the layers. The factors start at 1."""

    def __init__(self, width: int, layers: int = 2, act: str = "relu"):
        super().__init__()
        self.factors = nn.ParameterList(nn.Parameter(torch.ones(width)) for _ in range(layers))
        if act not in ACTS:
            raise InputError(f"act={act!r}: wanted one of {', '.join(ACTS)}")
        self.act = ACTS[act]

    def forward(self, x: Tensor, positive: bool = False) -> Tensor:
        """positive: no number of x is below 0, so that relu(x w) is x relu(w) and all layers are one."""
        if positive and self.act is torch.relu:
            whole = self.factors[0]
            for factor in self.factors[1:]:
                whole = whole.relu() * factor
            return x * whole
        for number, factor in enumerate(self.factors):
            x = (self.act(x) if number else x) * factor
        return x


@torch.no_grad()
def most_alike(x: Tensor, k: int) -> Tensor:
    """The k other rows with the largest cosine with each row of x [n, d], nearest first: int64 [n, min(k, n - 1)]."""
    with torch.autocast(x.device.type, enabled=False):  # cosines after smoothing differ in their third digit, bfloat16's last
        x = unit(x)
        n, k, rows = len(x), min(k, len(x) - 1), max(1, BLOCK // len(x))
        found = torch.empty(n, k, dtype=torch.int64, device=x.device)
        for start in range(0, n, rows):
            cosine = x[start : start + rows] @ x.T
            own = torch.arange(len(cosine), device=x.device)
            cosine[own, own + start] = -2  # below every cosine
            found[start : start + rows] = cosine.topk(k, dim=1).indices
    return found


@dataclass(frozen=True, eq=False)
class Pattern:
    """Which nodes are joined, symmetric, without loops. share: 1 where both chose each other, 1/2 where one did.

    starts, columns: the pairs with row < column as CSR; rows of them besides. both: CSR of both directions and the loops, `at` says which
    pair each entry is, the loops being one past the last.
    """

    starts: Tensor  # int64 [n + 1]
    rows: Tensor  # int64 [pairs]
    columns: Tensor  # int64 [pairs]
    share: Tensor  # float32 [pairs]
    both: tuple[Tensor, Tensor]
    at: Tensor  # int64 [2 * pairs + n]

    @classmethod
    def of(cls, neighbours: Tensor) -> Pattern:
        """From those that each node chose, int64 [n, k], not itself."""
        n, k = neighbours.shape
        own = torch.arange(n, device=neighbours.device)
        chooser = own.repeat_interleave(k)
        low, high = torch.minimum(chooser, neighbours.reshape(-1)), torch.maximum(chooser, neighbours.reshape(-1))
        return cls.of_pairs(low, high, n)

    @classmethod
    def of_pairs(cls, low: Tensor, high: Tensor, n: int) -> Pattern:
        """From pairs of nodes, low < high; one that is there twice has a share of 1."""
        pair, times = torch.unique(low * n + high, return_counts=True)
        low, high, own = pair // n, pair % n, torch.arange(n, device=pair.device)
        number = torch.arange(len(pair), device=pair.device)
        keys = torch.cat([pair, high * n + low, own * (n + 1)])
        order = torch.argsort(keys)
        at = torch.cat([number, number, torch.full_like(own, len(pair))])[order]
        return cls(_starts(low, n), low, high, times.float() / 2, (_starts(keys // n, n), (keys % n)[order]), at)

    def matrix(self, values: Tensor, loops: float) -> Tensor:
        """Symmetric, sparse CSR [n, n], of values [pairs] in both directions and the same number in every loop."""
        n = len(self.starts) - 1
        every = torch.cat([values, values.new_full((1,), loops)])
        return torch.sparse_csr_tensor(*self.both, every[self.at], (n, n))


def _starts(rows: Tensor, n: int) -> Tensor:
    return torch.cat([rows.new_zeros(1), torch.bincount(rows, minlength=n).cumsum(0)])


class _Dots(torch.autograd.Function):
    """<x_i, y_j> of the pairs of a pattern, i < j; both directions where x is y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(x)
        ctx.pattern = pattern
        return _dots(pattern, x, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return ctx.pattern.matrix(gradient, 0.0) @ ctx.saved_tensors[0], None


def _dots(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
    n = len(pattern.starts) - 1
    zeros = torch.sparse_csr_tensor(pattern.starts, pattern.columns, x.new_zeros(len(pattern.columns)), (n, n))
    return torch.sparse.sampled_addmm(zeros, x, y.T, beta=0.0).values()


class _Weighted(torch.autograd.Function):
    """The matrix of weights of a pattern's pairs and of loops, times h; with gradients of all three."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, loops: Tensor, h: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(weights, loops, h)
        ctx.pattern = pattern
        return pattern.matrix(weights, 0.0) @ h + loops[:, None] * h

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        weights, loops, h = ctx.saved_tensors
        gradient, pattern = gradient.contiguous(), ctx.pattern
        back = pattern.matrix(weights, 0.0) @ gradient + loops[:, None] * gradient
        return _dots(pattern, gradient, h) + _dots(pattern, h, gradient), (gradient * h).sum(dim=1), back, None


def cosines(x: Tensor, pattern: Pattern) -> Tensor:
    """float32 [pairs]: of the pairs of rows that a pattern joins, with their gradients; 0 with a row of zeros."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        # Dots over lengths: dividing rows instead would pass several more times over all of x.
        length = torch.linalg.vector_norm(x, dim=1).clamp(min=1e-12)
        return _Dots.apply(x, pattern) / (length[pattern.rows] * length[pattern.columns])  # type: ignore[no-any-return]


@dataclass(eq=False)
class Joined(GraphView):
    """A GraphView whose adjacency is learned: D^-1/2 (A + I) D^-1/2 as weights of pairs and of loops; `times` carries their gradients."""

    pattern: Pattern | None = None
    off: Tensor | None = None  # float32 [pairs], normalised
    loops: Tensor | None = None  # float32 [n]

    def between(self, neighbours: Tensor) -> Tensor:
        """float32 [n, k]: the weights, before they were normalised, of edges from each node to those in int64 [n, k]."""
        own, pattern, n = torch.arange(len(neighbours), device=neighbours.device)[:, None], self.pattern, len(neighbours)
        asked = torch.minimum(own, neighbours) * n + torch.maximum(own, neighbours)
        return self.weights[torch.searchsorted(pattern.rows * n + pattern.columns, asked)]  # type: ignore[index, union-attr]

    @classmethod
    def of_weights(cls, x: Tensor, pattern: Pattern, weights: Tensor, drop: float = 0.0) -> Joined:
        """weights: float32 [pairs], not negative; a node's own loop weighs 1. drop: share of the entries, after normalising, set to 0."""
        rows, columns = pattern.rows, pattern.columns
        degree = torch.ones(len(pattern.starts) - 1, device=x.device).index_add(0, rows, weights).index_add(0, columns, weights)
        root = degree.rsqrt()
        # An edge is dropped in both directions or in none, where the authors drop entries of the matrix: it stays symmetric.
        off, loops = F.dropout(weights * root[rows] * root[columns], drop), F.dropout(1 / degree, drop)
        return cls(x, torch.stack([rows, columns]), weights, pattern=pattern, off=off, loops=loops)

    def times(self, h: Tensor) -> Tensor:
        """The adjacency times h [n, d]."""
        with torch.autocast(h.device.type, enabled=False):
            return _Weighted.apply(self.off, self.loops, h.float(), self.pattern)  # type: ignore[no-any-return]


__all__ = ["Attentive", "Joined", "Pattern", "cosines", "most_alike"]
