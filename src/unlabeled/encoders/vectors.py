"""Encoders of plain vectors and table rows."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from unlabeled.parts.heads import mlp


class MLP(nn.Module):
    """Standardises each feature with the statistics of the data, then hidden layers. float [n, features] -> [n, width]."""

    kind = "vector"

    def __init__(self, features: int, width: int = 256, layers: int = 2):
        super().__init__()
        self.width = width
        self.normalise = nn.BatchNorm1d(features, affine=False)
        self.layers = nn.Sequential(mlp(features, *[width] * layers, last="bn"), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.normalise(x))


class Identity(nn.Module):
    """Vectors as they are, or table columns standardised: float [n, features] -> the same shape."""

    kind = "vector"

    def __init__(self, features: int, standardise: bool = False):
        super().__init__()
        self.width, self.standardise = features, standardise
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    @torch.no_grad()
    def prepare(self, batches: Iterable[Tensor], n: int) -> None:
        """Measure each column's mean and standard deviation; a constant column keeps its scale."""
        if not self.standardise:
            return
        total, squares = torch.zeros(self.width, dtype=torch.float64), torch.zeros(self.width, dtype=torch.float64)
        for rows in batches:
            total += rows.double().sum(dim=0)
            squares += rows.double().square().sum(dim=0)
        variance = (squares / n - (total / n).square()).clamp(min=0)
        self.mean.copy_(total / n)
        self.std.copy_(torch.where(variance > 1e-12, variance.sqrt(), 1.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std
