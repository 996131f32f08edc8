"""Small networks that stand on an encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mlp(*widths: int, norm: bool = True, last: str | None = None, spatial: bool = False) -> nn.Sequential:
    """Linear layers through `widths`, batch norm and ReLU between them: mlp(512, 2048, 128) has one hidden layer.

    spatial: 1x1 convolutions instead, for maps [n, width, h, w].

    norm: batch norm before each ReLU (the linear layer below it then needs no bias). last: None leaves the output as it
    is, "norm" ends with a batch norm without parameters, which SimSiam and Barlow Twins need, "bn" with an affine one.
    """
    if len(widths) < 2:
        raise ValueError(f"mlp needs at least an input and an output width, got {widths}")
    if last not in (None, "norm", "bn"):
        raise ValueError(f'last must be None, "norm" or "bn", got {last!r}')
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        end = i == len(widths) - 2
        bias = (not norm) if not end else last is None
        layers.append(nn.Conv2d(before, after, 1, bias=bias) if spatial else nn.Linear(before, after, bias=bias))
        batch_norm = nn.BatchNorm2d if spatial else nn.BatchNorm1d
        if not end:
            layers += [batch_norm(after)] if norm else []
            layers.append(nn.ReLU(inplace=True))
        elif last:
            layers.append(batch_norm(after, affine=last == "bn"))
    return nn.Sequential(*layers)


class Prototypes(nn.Module):
    """k unit vectors learned by gradient; forward gives the cosines of z [n, dim] with them, [n, k]."""

    def __init__(self, dim: int, k: int):
        super().__init__()
        if dim < 1 or k < 1:
            raise ValueError(f"prototypes need a positive dim and k, got {dim} and {k}")
        self.weight = nn.Parameter(F.normalize(torch.randn(k, dim), dim=1))

    def forward(self, z: Tensor, frozen: bool = False) -> Tensor:
        """frozen: their gradient is zero, not missing: optimizers and processes that share a batch count on one."""
        weight = self.weight * 0 + self.weight.detach() if frozen else self.weight
        return F.normalize(z.float(), dim=1) @ F.normalize(weight, dim=1).T
