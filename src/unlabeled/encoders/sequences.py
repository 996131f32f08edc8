"""Encoders of parts in order: pieces of a waveform, rows of patches of a picture. Nothing in them looks at a later part."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place of [n, C, ...]: unlike batch norm it mixes neither places nor items."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Waves(nn.Module):
    """Strided convolutions over waveforms [n, samples] -> [n, T, 1, width], one vector for each product(strides) samples.

    Each clip is brought to unit loudness first. van den Oord et al., 2018, arXiv:1807.03748, have strides 5 4 2 2 2 at 16 kHz.
    """

    def __init__(self, width: int, strides: Sequence[int] = (5, 4, 2, 2), kernels: Sequence[int] = (10, 8, 4, 4)):
        super().__init__()
        layers, before = [], 1
        for kernel in kernels:  # a convolution, written as a linear map of windows: half the time of nn.Conv1d and a norm on a CPU
            layers.append(nn.Sequential(nn.Linear(before * kernel, width), nn.LayerNorm(width), nn.ReLU(inplace=True)))
            before = width
        self.layers, self.kernels, self.strides = nn.ModuleList(layers), tuple(kernels), tuple(strides)

    def length(self, samples: int) -> int:
        """How many vectors a clip gives."""
        for stride, kernel in zip(self.strides, self.kernels, strict=True):
            samples = max(0, (samples - kernel) // stride + 1)
        return samples

    def forward(self, x: Tensor) -> Tensor:
        x = x / (x.square().mean(dim=1, keepdim=True).sqrt() + 1e-4)
        x = x[:, :, None]
        for kernel, stride, layer in zip(self.kernels, self.strides, self.layers, strict=True):
            x = layer(x.unfold(1, kernel, stride).flatten(2))
        return x[:, :, None]


class Patches(nn.Module):
    """Half overlapping patches of pictures [n, C, H, W], each through the same small convolutions -> [n, rows, columns, width]."""

    def __init__(self, width: int, channels: int, patch: int):
        super().__init__()
        self.patch, self.stride = patch, max(1, patch // 2)
        self.layers = nn.Sequential(
            *[nn.Conv2d(channels, width // 2, 3, 2, 1), ChannelNorm(width // 2), nn.ReLU(inplace=True)],
            *[nn.Conv2d(width // 2, width, 3, 2, 1), ChannelNorm(width), nn.ReLU(inplace=True)],
            *[nn.Conv2d(width, width, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        )

    def length(self, size: int) -> int:
        """How many rows of patches a picture gives."""
        return max(0, (size - self.patch) // self.stride + 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.unfold(2, self.patch, self.stride).unfold(3, self.patch, self.stride).permute(0, 2, 3, 1, 4, 5)
        return self.layers(rows.flatten(0, 2) - 0.5).unflatten(0, rows.shape[:3])


class Recurrent(nn.Module):
    """What is known after each part: a GRU along T of [n, T, columns, width], each column by itself."""

    def __init__(self, before: int, width: int):
        super().__init__()
        self.gru = nn.GRU(before, width, batch_first=True)

    def forward(self, z: Tensor) -> Tensor:
        n, _, columns, _ = z.shape
        return self.gru(z.transpose(1, 2).flatten(0, 1))[0].unflatten(0, (n, columns)).transpose(1, 2)


class RowsAbove(nn.Module):
    """What is known at each patch from its own row and those above, over three columns a layer: masked convolutions.

    After van den Oord et al., 2016, arXiv:1606.05328 (PixelCNN), whose rows are also causal within: here only rows are predicted.
    """

    def __init__(self, before: int, width: int, layers: int = 3):
        super().__init__()
        self.first = nn.Conv2d(before, width, 1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, (2, 3)) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        c = self.first(z.permute(0, 3, 1, 2))
        for layer in self.layers:
            c = c + F.relu(layer(F.pad(c, (1, 1, 1, 0))))
        return c.permute(0, 2, 3, 1)


def clips(waves: Sequence, samples: int) -> Tensor:
    """Waveforms of any length as float32 [n, samples]: the middle of long ones, short ones with silence on both sides."""
    out = torch.zeros(len(waves), samples)
    for row, wave in zip(out, waves, strict=True):
        wave = torch.as_tensor(wave, dtype=torch.float32)
        cut, gap = max(0, len(wave) - samples) // 2, max(0, samples - len(wave)) // 2
        piece = wave[cut : cut + samples]
        row[gap : gap + len(piece)] = piece
    return out
