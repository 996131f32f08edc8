"""A graph convolution for graphs that are learned along with it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unlabeled.encoders.graphs import GCN, spread, transposed
from unlabeled.parts.graph_learning import Joined
from unlabeled.views.graphs import GraphView
from unlabeled.views.relations import mirror


class DroppedGCN(GCN):
    """A GCN of graphs that may be learned (`Joined`), one for all of them; numbers of the features are dropped in training, too."""

    def forward(self, graph: GraphView) -> Tensor:
        h = self.first(self._dropped(graph.x))
        for number, (bias, act) in enumerate(zip(self.biases, self.acts, strict=True)):
            if number:
                h = self.rest[number - 1](F.dropout(h, self.dropout, self.training))
            h = act((graph.times(h) if isinstance(graph, Joined) else spread(graph.adjacency, h)) + bias)
        return h

    def _dropped(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return x
        back = transposed(x)
        order = getattr(x, "_order", None)
        if order is None:  # where the entries of the transpose are in x, found once
            row = torch.repeat_interleave(torch.arange(x.shape[0], device=x.device), x.crow_indices().diff())
            order = x._order = mirror(row, x.col_indices(), x.shape[0])  # type: ignore[attr-defined]
        values = F.dropout(x.values(), self.dropout)
        kept = torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape)
        kept._transposed = torch.sparse_csr_tensor(back.crow_indices(), back.col_indices(), values[order], back.shape)  # type: ignore[attr-defined]
        return kept


__all__ = ["DroppedGCN"]
