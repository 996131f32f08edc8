"""A network that weighs the edges of a graph: a view that is learned."""

from __future__ import annotations

import torch
from torch import nn

from unlabeled.encoders.graphs import SparseLinear
from unlabeled.parts.graph_learning import Joined, Pattern
from unlabeled.views.graphs import GraphView


class EdgeAugmenter(nn.Module):
    """A relation with weights from 0 to 1, drawn: each edge by the sum of what its nodes say for being kept (Gumbel's sigmoid).

    The authors' network reads both nodes, in both orders, in one linear layer, and takes the mean: that is this sum.
    """

    def __init__(self, features: int, hidden: int, width: int):
        super().__init__()
        self.first, self.score, self.decode = SparseLinear(features, hidden, bias=True), nn.Linear(hidden, 1), nn.Linear(width, features)

    def forward(self, view: GraphView) -> Joined:
        pattern = view.__dict__.get("_pattern")
        if pattern is None:
            low, high = view.pairs
            pattern = view.__dict__["_pattern"] = Pattern.of_pairs(low[low < high], high[low < high], len(view))
        score = self.score(self.first(view.x).relu())[:, 0]
        noise = torch.rand(len(pattern.rows), device=score.device).clamp(1e-4, 1 - 1e-4).logit()
        return Joined.of_weights(view.x, pattern, (score[pattern.rows] + score[pattern.columns] + noise).sigmoid())


__all__ = ["EdgeAugmenter"]
