"""Pictures and vectors of which a part is hidden: decoders that say what is there, and what they should have said.

A decoder is called with (encode, x, hidden, visible) and gives [n, places, numbers], like `target`; `fitted` brings x to its size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.parts.dense import feature_map
from unlabeled.parts.gather import gather_rows, own_rows, world
from unlabeled.parts.heads import mlp


def decoder(encoder: nn.Module, inputs: Any, patch: int | None, hidden: int, depth: int) -> nn.Module:
    """The decoder that suits what the encoder eats. patch: side in pixels of what is hidden; hidden: width; depth: of a ViT's decoder."""
    if inputs.kind != "image":
        return Features(encoder.width, inputs.features, hidden)
    if hasattr(getattr(encoder, "model", None), "layers"):  # a ViT
        return Tokens(encoder, inputs.channels, hidden, depth)
    patch = patch or (4 if inputs.size <= 64 else 16)
    if inputs.size < 2 * patch:
        raise InputError(f"patches of {patch} pixels are too large for pictures of {inputs.size}: wanted at most {inputs.size // 2}")
    return Painted(encoder, inputs.channels, inputs.size // patch * patch, patch, hidden)


def hide(n: int, places: int, share: float, device: Any) -> tuple[Tensor, Tensor]:
    """Which places are hidden, bool [n, places], and the numbers of the others, int64 [n, visible]; another draw for every row."""
    many = round(share * places) if share == 0 else min(places - 1, max(1, round(share * places)))
    order = own_rows(torch.rand(world() * n, places, device=device)).argsort(dim=1)
    return torch.zeros(n, places, dtype=torch.bool, device=device).scatter_(1, order[:, :many], True), order[:, many:]


class Features(nn.Module):
    """Of vectors: a hidden feature gets its mean, the target is standardised."""

    def __init__(self, width: int, features: int, hidden: int):
        super().__init__()
        self.layers = mlp(width, hidden, features)

    def fitted(self, x: Tensor) -> Tensor:
        return x

    def target(self, x: Tensor) -> Tensor:
        every = gather_rows(x.float())
        return ((x - every.mean(dim=0)) / every.std(dim=0, correction=0).clamp(min=1e-6))[:, :, None]

    def forward(self, encode: Any, x: Tensor, hidden: Tensor, visible: Tensor) -> Tensor:
        return self.layers(encode(torch.where(hidden, gather_rows(x).mean(dim=0), x)))[:, :, None]


class Painted(nn.Module):
    """Of pictures and any encoder with a map: hidden patches get one learned colour, a cell of the map says its block of pixels."""

    def __init__(self, encoder: nn.Module, channels: int, side: int, patch: int, hidden: int):
        super().__init__()
        self.side, self.patch = side, patch
        training = encoder.training
        with torch.no_grad():
            cells = feature_map(encoder.eval(), torch.zeros(1, channels, side, side)).shape[-1]
        encoder.train(training)
        self.factor = -(-side // cells)
        self.layers = mlp(encoder.width, hidden, channels * self.factor**2, spatial=True)
        self.colour = nn.Parameter(torch.full((channels, 1, 1), 0.5))

    def fitted(self, x: Tensor) -> Tensor:
        return _resized(x, self.side)

    def target(self, x: Tensor) -> Tensor:
        return normalised(patches(x.float(), self.patch))

    def forward(self, encode: Any, x: Tensor, hidden: Tensor, visible: Tensor) -> Tensor:
        grid = self.side // self.patch
        cover = hidden.view(-1, 1, grid, grid).repeat_interleave(self.patch, dim=2).repeat_interleave(self.patch, dim=3)
        painted = torch.where(cover, self.colour.to(x.dtype), x)
        return patches(_resized(F.pixel_shuffle(self.layers(feature_map(encode, painted)), self.factor), self.side), self.patch)


class Tokens(nn.Module):
    """Of pictures and a ViT: the encoder gets the visible patches, a small transformer fills in the others."""

    def __init__(self, encoder: Any, channels: int, hidden: int, depth: int):
        super().__init__()
        config = encoder.model.config
        self.patch, self.channels = config.patch_size, channels
        self.side = encoder.size or config.image_size
        places = (config.image_size // self.patch) ** 2
        self.narrow = nn.Linear(encoder.width, hidden)
        self.token = nn.Parameter(torch.randn(hidden) * 0.02)
        self.place = nn.Parameter(torch.randn(places + 1, hidden) * 0.02)
        layer = nn.TransformerEncoderLayer(hidden, max(1, hidden // 64), 4 * hidden, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.pixels = nn.Linear(hidden, self.patch**2 * channels)

    def fitted(self, x: Tensor) -> Tensor:
        return _resized(x, self.side)

    def target(self, x: Tensor) -> Tensor:
        return normalised(patches(x.float(), self.patch))

    def forward(self, encode: Any, x: Tensor, hidden: Tensor, visible: Tensor) -> Tensor:
        model = encode.model
        every = model.embeddings(encode.pixels(x))  # the class token, then the patches, with their places
        kept = torch.cat([every.new_zeros(len(x), 1, dtype=torch.long), visible + 1], dim=1)
        tokens = every.gather(1, kept[:, :, None].expand(-1, -1, every.shape[2]))
        for layer in model.layers:
            tokens = layer(tokens)
        narrow = self.narrow(model.layernorm(tokens))
        full = self.token.to(narrow.dtype).expand(*every.shape[:2], -1)
        full = full.scatter(1, kept[:, :, None].expand(-1, -1, narrow.shape[2]), narrow)
        return self.pixels(self.layers(full + self.place)[:, 1:])


def patches(x: Tensor, side: int) -> Tensor:
    """Pictures [n, C, H, W] as patches, row by row: [n, H / side * W / side, C * side * side]."""
    return F.unfold(x, side, stride=side).transpose(1, 2)


def normalised(x: Tensor) -> Tensor:
    """Each patch with mean 0 and variance 1. x: [..., numbers]."""
    return (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True) + 1e-6).sqrt()


def _resized(x: Tensor, side: int) -> Tensor:
    return x if x.shape[-2:] == (side, side) else F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
