"""Small networks that stand on an encoder."""

from __future__ import annotations

from torch import nn


def mlp(*widths: int, norm: bool = True, last: str | None = None) -> nn.Sequential:
    """Linear layers through `widths`, batch norm and ReLU between them: mlp(512, 2048, 128) has one hidden layer.

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
        layers.append(nn.Linear(before, after, bias=(not norm) if not end else last is None))
        if not end:
            layers += [nn.BatchNorm1d(after)] if norm else []
            layers.append(nn.ReLU(inplace=True))
        elif last:
            layers.append(nn.BatchNorm1d(after, affine=last == "bn"))
    return nn.Sequential(*layers)
