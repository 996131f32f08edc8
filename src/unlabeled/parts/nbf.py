"""Neural Bellman-Ford networks on facts: paths from a query's entity, all answers at once, many queries at once.

Zhu, Zhang, Xhonneux and Tang, 2021, arXiv:2106.06935; the graph of relations: Galkin et al., 2023, arXiv:2310.04562.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from unlabeled.errors import MissingCompiler
from unlabeled.parts import native

MEETINGS = ("hh", "tt", "ht", "th")  # what two relations share: heads, tails, one's heads and the other's tails, the other way round
DENSE = 4096  # relations, inverses counted, up to which their graph is a dense matrix


@dataclass(frozen=True, eq=False)
class FactGraph:
    """Facts as edges from head to tail, and by the inverse relation, r + relations, from tail to head; sorted by where they end."""

    starts: np.ndarray  # int64 [n + 1]
    sources: np.ndarray  # int32 [edges]
    kinds: np.ndarray  # int32 [edges]
    n: int
    relations: int  # without inverses

    @classmethod
    def of(cls, facts: np.ndarray, n: int, relations: int) -> FactGraph:
        """facts: int [m, 3], each once."""
        edges = with_inverses(facts, relations)
        order = np.lexsort((edges[:, 1], edges[:, 0], edges[:, 2]))
        starts = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(edges[:, 2], minlength=n), out=starts[1:])
        return cls(starts, edges[order, 0].astype(np.int32), edges[order, 1].astype(np.int32), n, relations)

    @cached_property
    def targets(self) -> np.ndarray:
        """int32 [edges]."""
        return np.repeat(np.arange(self.n, dtype=np.int32), np.diff(self.starts))

    @cached_property
    def _keys(self) -> np.ndarray:
        return self._key(self.sources, self.kinds, self.targets)

    def _key(self, source: np.ndarray, kind: np.ndarray, target: np.ndarray) -> np.ndarray:
        return (target.astype(np.int64) * self.n + source) * 2 * self.relations + kind

    def without(self, facts: np.ndarray) -> torch.Tensor:
        """float32 [edges]: 0 for the edges of these facts int [m, 3], both ways, 1 for all others."""
        weight = np.ones(len(self.sources), np.float32)
        gone = with_inverses(facts, self.relations)
        keys = self._key(gone[:, 0], gone[:, 1], gone[:, 2])
        place = np.minimum(np.searchsorted(self._keys, keys), max(len(weight) - 1, 0))
        if len(weight):
            weight[place[self._keys[place] == keys]] = 0
        return torch.from_numpy(weight)


def with_inverses(facts: np.ndarray, relations: int) -> np.ndarray:
    """int64 [2 m, 3]: facts, and (tail, relation + relations, head)."""
    facts = np.asarray(facts, dtype=np.int64).reshape(-1, 3)
    return np.concatenate([facts, np.stack([facts[:, 2], facts[:, 1] + relations, facts[:, 0]], axis=1)])


def relation_graph(facts: np.ndarray, n: int, relations: int, meetings: tuple[str, ...] = MEETINGS) -> torch.Tensor:
    """float32 [2 R, len(meetings) 2 R]: block by block which relations (columns) meet which (rows); inverses count as relations.

    "ht": some entity is a head of the row's relation and a tail of the column's. Products of sparse incidences [entities, 2 R], made 0
    and 1. Dense for few relations, else sparse CSR.
    """
    edges = with_inverses(facts, relations)
    ones = np.ones(len(edges), np.float32)
    ends = {
        name: sp.csr_matrix((ones, (edges[:, side], edges[:, 1])), (n, 2 * relations)).minimum(1) for name, side in (("h", 0), ("t", 2))
    }
    table = sp.hstack([(ends[pair[0]].T @ ends[pair[1]]).minimum(1) for pair in meetings], format="csr").astype(np.float32)
    if table.shape[0] <= DENSE:
        return torch.from_numpy(table.toarray())
    places = (torch.from_numpy(part.astype(np.int64)) for part in (table.indptr, table.indices))
    return torch.sparse_csr_tensor(*places, torch.from_numpy(table.data), table.shape)


def messages(x: torch.Tensor, rel: torch.Tensor, graph: FactGraph, weight: torch.Tensor) -> torch.Tensor:
    """[b, n, d]: for each node the sum, over the edges into it, of weight * x of the source * rel of the kind.

    x [b, n, d], rel [b, 2 R, d], weight [edges]. On the processor a compiled loop, if there is a compiler; else PyTorch, with a table of
    all edges.
    """
    if x.device.type == "cpu" and x.dtype == torch.float32:
        try:
            return _Messages.apply(x, rel, graph, weight)  # type: ignore[no-any-return]
        except MissingCompiler:
            pass
    return messages_by_edge(x, rel, graph, weight)


def messages_by_edge(x: torch.Tensor, rel: torch.Tensor, graph: FactGraph, weight: torch.Tensor) -> torch.Tensor:
    source, kind, target = (torch.from_numpy(part).long().to(x.device) for part in (graph.sources, graph.kinds, graph.targets))
    said = x[:, source] * rel[:, kind] * weight.to(x)[:, None]
    return torch.zeros_like(x).index_add(1, target, said)


class _Messages(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, rel: Any, graph: FactGraph, weight: Any) -> Any:
        x, rel, weight = x.contiguous(), rel.contiguous(), weight.contiguous()
        out = torch.zeros_like(x)
        _call("nbf_forward", graph, x, rel, weight, out=out)
        ctx.graph = graph
        ctx.save_for_backward(x, rel, weight)
        return out

    @staticmethod
    def backward(ctx: Any, *given: Any) -> Any:
        x, rel, weight = ctx.saved_tensors
        dx, drel = torch.zeros_like(x), torch.zeros_like(rel)
        _call("nbf_backward", ctx.graph, x, rel, weight, g=given[0].contiguous(), dx=dx, drel=drel)
        return dx, drel, None, None


def _call(function: str, graph: FactGraph, x: torch.Tensor, rel: torch.Tensor, weight: torch.Tensor, **more: torch.Tensor) -> None:
    at = {name: tensor.data_ptr() for name, tensor in more.items()}
    task = _Task(
        x=x.data_ptr(), rel=rel.data_ptr(), weight=weight.data_ptr(), starts=graph.starts.ctypes.data, kind=graph.kinds.ctypes.data,
        queries=len(x), n=x.shape[1], kinds=rel.shape[1], d=x.shape[2], **{"from": graph.sources.ctypes.data}, **at,
    )  # fmt: skip
    native.library(Path(__file__).with_suffix(".c"))[function](ctypes.byref(task))


class _Task(ctypes.Structure):
    """As in nbf.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "rel", "weight", "g", "out", "dx", "drel", "starts", "from", "kind")),
        *((name, ctypes.c_int64) for name in ("queries", "n", "kinds", "d")),
    )


class Layer(nn.Module):
    """A node's next state: what it has and what comes in, mapped, normalised, rectified, and added to what it has."""

    def __init__(self, dim: int):
        super().__init__()
        self.own, self.incoming, self.norm = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False), nn.LayerNorm(dim)

    def forward(self, x: torch.Tensor, incoming: torch.Tensor) -> torch.Tensor:
        return x + torch.relu(self.norm(self.own(x) + self.incoming(incoming)))


class RelationEncoder(nn.Module):
    """Vectors of all relations relative to the one that is asked for: paths in the graph of relations."""

    def __init__(self, dim: int, layers: int, meetings: int):
        super().__init__()
        self.layers = nn.ModuleList(Layer(dim) for _ in range(layers))
        self.kinds = nn.ParameterList(nn.Parameter(1 + 0.1 * torch.randn(meetings, dim)) for _ in range(layers))

    def forward(self, graph: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        """graph: as `relation_graph`. asked: long [b]. [b, 2 R, dim]."""
        n, b, dim = graph.shape[0], len(asked), self.kinds[0].shape[1]
        start = torch.zeros(n, b, dim)
        start[asked, torch.arange(b)] = 1
        x = start
        for layer, kinds in zip(self.layers, self.kinds, strict=True):
            said = (x[None] * kinds[:, None, None, :]).reshape(-1, b * dim)
            x = layer(x, (graph @ said).reshape(n, b, dim) + start)
        return x.transpose(0, 1)


class EntityPredictor(nn.Module):
    """Scores of all entities as answers: paths from the query's entity, each step times a vector of its relation."""

    def __init__(self, dim: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(Layer(dim) for _ in range(layers))
        self.relations = nn.ModuleList(nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)) for _ in range(layers))
        self.score = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(
        self,
        graph: FactGraph,
        weight: torch.Tensor,
        relations: torch.Tensor,
        asked: torch.Tensor,
        heads: torch.Tensor,
        answers: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """relations [b, 2 R, dim] and the one asked for, long [b]; heads: long [b]. [b, n], or of answers long [b, k] only: [b, k]."""
        rows = torch.arange(len(heads))
        query = relations[rows, asked]
        start = torch.zeros(len(heads), graph.n, query.shape[1]).index_put((rows, heads), query)
        x = start
        for layer, project in zip(self.layers, self.relations, strict=True):
            x = layer(x, messages(x, project(relations), graph, weight) + start)
        if answers is not None:
            x = x[rows[:, None], answers]
        return self.score(torch.cat([x, query[:, None].expand(-1, x.shape[1], -1)], dim=-1)).squeeze(-1)  # type: ignore[no-any-return]


__all__ = [
    "MEETINGS",
    "EntityPredictor",
    "FactGraph",
    "Layer",
    "RelationEncoder",
    "messages",
    "messages_by_edge",
    "relation_graph",
    "with_inverses",
]
