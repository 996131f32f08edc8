"""Encoders as maps: features per place instead of one vector for a whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of each place of one map with each of another, [n, places of a, places of b]. a: [n, d, h, w], b: [n, d, h', w']."""
    with torch.autocast(a.device.type, enabled=False):
        return F.normalize(a.float().flatten(2), dim=1).transpose(1, 2) @ F.normalize(b.float().flatten(2), dim=1)


def propagate(x: Tensor, g: Tensor, gamma: float) -> Tensor:
    """Each place becomes the sum of all places' unit g, weighted by max(cosine of their x, 0)^gamma. x, g: [n, d, h, w].

    Xie et al., 2020, arXiv:2011.10043.
    """
    with torch.autocast(x.device.type, enabled=False):
        weight = cosines(x, x).clamp(min=0) ** gamma  # [n, i, j], symmetric
        return (F.normalize(g.float().flatten(2), dim=1) @ weight).view_as(x)


def same_place(a: Tensor, b: Tensor, grid_a: Sequence[int], grid_b: Sequence[int], ratio: float) -> Tensor:
    """Which bins of two crops show the same place of the picture: bool [n, bins of a, bins of b].

    a, b: boxes [n, 4] (left, top, right, bottom in the picture's frame). A flipped crop's bins have a negative width, so
    that no special case is needed. The distance of two centres is measured in diagonals of the larger bin.
    """
    (centre_a, diagonal_a), (centre_b, diagonal_b) = (_bins(box, *grid) for box, grid in ((a, grid_a), (b, grid_b)))
    return torch.cdist(centre_a, centre_b) < ratio * torch.maximum(diagonal_a, diagonal_b)[:, None, None]


def _bins(box: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Centres of a crop's bins, [n, h * w, 2], row by row, and a bin's diagonal, [n]."""
    across, down = (box[:, 2] - box[:, 0]) / w, (box[:, 3] - box[:, 1]) / h
    x = box[:, :1] + (torch.arange(w, device=box.device) + 0.5) * across[:, None]
    y = box[:, 1:2] + (torch.arange(h, device=box.device) + 0.5) * down[:, None]
    centres = torch.stack([x[:, None, :].expand(-1, h, w), y[:, :, None].expand(-1, h, w)], dim=-1)
    return centres.flatten(1, 2), torch.hypot(across, down)


def flat(encoder: nn.Module, x: Tensor) -> Tensor:
    """What an encoder says of each place, side by side: [n, width * h * w]; where it has no map its vectors [n, width]."""
    return feature_map(encoder, x).flatten(1) if x.ndim == 4 and hasattr(encoder, "map") else encoder(x)


def flat_width(encoder: nn.Module, inputs: Any) -> int:
    """How long the rows of `flat` are. inputs: what the learner knows of its data (kind, channels, size)."""
    if inputs.kind != "image" or not hasattr(encoder, "map"):
        return encoder.width
    training = encoder.training
    with torch.no_grad():
        found = flat(encoder.eval(), torch.zeros(1, inputs.channels, inputs.size, inputs.size))
    encoder.train(training)
    return found.shape[1]
