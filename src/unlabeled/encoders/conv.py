"""A small convolutional network for small pictures on a CPU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Convolutions with batch norm and ReLU in numbered blocks, then global average pooling: `conv4` in its default shape.

    forward: float [n, C, H, W] in [0, 1] -> [n, width], for training. map: the same before pooling, [n, width, h, w].
    embedding: what is kept of a picture, [n, grid * grid * width]: average pooling over a grid instead of over everything,
    at a slightly enlarged picture, averaged with the mirrored one.

    Measured on cifar10 (docs/defaults.md): wide and shallow beats narrow and deep at equal time on a CPU; a 5x5 first layer
    that starts as the whitening of the data's own patches saves most of an early training run (Coates and Ng, 2012); the
    grid is worth 5 points of k-NN over plain pooling when the vectors are whitened; objects look larger in random crops than
    in whole pictures, hence the enlargement (Touvron et al., 2019, arXiv:1906.06423).
    The first layer normalises the pictures with their own statistics: nobody has to pass a mean and a standard deviation.
    plain: nothing of that, 3x3 filters that start at random and are trained, and plain pooling of the picture as it is: the
    network on which reproductions compare objectives (`conv5`, and with a finer map `conv5-dense`).
    """

    kind = "image"

    def __init__(
        self,
        channels: int = 3,
        widths: Sequence[int] = (64, 128, 256),
        strides: Sequence[int] = (2, 2, 2),
        grid: int = 2,
        enlarge: float = 1.25,
        plain: bool = False,
    ):
        super().__init__()
        self.channels, self.width, self.grid, self.enlarge, self.plain = channels, widths[-1], grid, enlarge, plain
        # How this network's vectors are whitened unless the learner is told otherwise.
        self.whiten, self.whiten_dim = (0.0, None) if plain else (0.75, 256)  # type: ignore[var-annotated]
        self.normalise = nn.BatchNorm2d(channels, affine=False)
        blocks, before = [], channels
        for number, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            kernel = 5 if number == 0 and not plain else 3
            conv = nn.Conv2d(before, width, kernel, stride=stride, padding=kernel // 2, bias=False)
            blocks.append(nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
            before = width
        self.blocks = nn.ModuleList(blocks)

    @staticmethod
    def shape_for(size: int) -> dict[str, Any]:
        """Strides that leave a map of several cells for pictures of `size` pixels, so that tiny ones don't shrink to nothing."""
        if size <= 20:
            return {"strides": (1, 2, 2)}
        return {} if size <= 48 else {"strides": (2, 2, 2, 2), "widths": (64, 128, 256, 256)}

    @torch.no_grad()
    def prepare(self, batches: Iterable[Tensor], n: int) -> None:
        """Start the first layer as the whitening of the data's patches: +- their principal axes, strongest first."""
        conv = self.blocks[0][0]
        pictures = torch.cat([batch for batch, _ in zip(batches, range(4), strict=False)])  # 2,048 are plenty
        mean, std = pictures.mean(dim=(0, 2, 3)), pictures.std(dim=(0, 2, 3)).clamp(min=1e-3)
        self.normalise.running_mean.copy_(mean)
        self.normalise.running_var.copy_(std.square())
        if self.plain:
            return
        scaled = (pictures - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
        patches = F.unfold(scaled, conv.kernel_size, stride=2, padding=conv.padding).transpose(1, 2).flatten(0, 1)
        patches = patches - patches.mean(dim=0)
        variance, axes = torch.linalg.eigh(patches.T @ patches / len(patches))
        axes = axes.T.flip(0)[: len(conv.weight) // 2].view(-1, *conv.weight.shape[1:])
        filters = torch.cat([axes, -axes])  # unit norm; the batch norm after the layer sets the scale
        conv.weight[: len(filters)] = filters
        conv.weight.requires_grad_(False)  # trained it was no better, and a step costs a quarter more

    def map(self, x: Tensor) -> Tensor:
        x = self.normalise(x).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        return x

    def layers(self, x: Tensor) -> list[Tensor]:
        """The pooled output of every block, [n, width of that block] each: for probes of single layers."""
        x, pooled = self.normalise(x).contiguous(memory_format=torch.channels_last), []
        for block in self.blocks:
            x = block(x)
            pooled.append(x.mean(dim=(2, 3)))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x).mean(dim=(2, 3))

    def embedding(self, x: Tensor) -> Tensor:
        if self.plain:
            return self(x)
        size = [round(side * self.enlarge) for side in x.shape[2:]]
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        both = self.map(x) + self.map(x.flip(3))
        return F.adaptive_avg_pool2d(both, self.grid).flatten(1) / 2
