"""Encoders as maps: features per place instead of one vector for a whole picture."""

from __future__ import annotations

from torch import Tensor, nn

from unlabeled.errors import InputError


def feature_map(encoder: nn.Module, x: Tensor) -> Tensor:
    """The encoder's last map before pooling, [n, width, h, w]. x: [n, C, H, W]. InputError for an encoder without `map`."""
    if not hasattr(encoder, "map"):
        raise InputError(f"the encoder ({type(encoder).__name__}) has no method map(x) -> [n, width, h, w]: choose conv5, resnet18 or vit")
    return encoder.map(x)


class Map(nn.Module):
    """An encoder whose output is its map: what the teacher of a dense method is a copy of."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return feature_map(self.encoder, x)
