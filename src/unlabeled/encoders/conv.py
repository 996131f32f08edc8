"""Small convolutional networks for small pictures on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConvNet(nn.Module):
    """3x3 convolutions with batch norm and ReLU in named blocks, then global average pooling.

    forward: float [n, C, H, W] in [0, 1] -> [n, width]. map: the same before pooling, [n, width, h, w].
    The first layer normalises the pictures with their own statistics (a batch norm without parameters), so nobody has
    to pass a mean and a standard deviation.
    """

    def __init__(self, channels: int = 3, widths: Sequence[int] = (64, 128, 256, 256), strides: Sequence[int] = (2, 1, 2, 1)):
        super().__init__()
        self.channels, self.width = channels, widths[-1]
        self.normalise = nn.BatchNorm2d(channels, affine=False)
        blocks, before = [], channels
        for width, stride in zip(widths, strides, strict=True):
            blocks.append(
                nn.Sequential(
                    nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
                )
            )
            before = width
        self.blocks = nn.ModuleList(blocks)

    def map(self, x: Tensor) -> Tensor:
        x = self.normalise(x).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x).mean(dim=(2, 3))
