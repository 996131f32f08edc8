"""Encoders of plain vectors and table rows."""

from __future__ import annotations

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
    """Vectors as they are: float [n, features] -> the same. For embeddings that come from elsewhere."""

    kind = "vector"

    def __init__(self, features: int):
        super().__init__()
        self.width = features

    def forward(self, x: Tensor) -> Tensor:
        return x
