"""Views of one size share a forward pass, as multi-crop wants it: fewer, larger passes, and a batch norm sees one size at a time."""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor, nn

from unlabeled.parts.norm import unmeasured


def by_size(views: list[Tensor]) -> list[Tensor]:
    """Neighbouring views of one shape in one batch each. What is made of the batches and joined again is in the order of the views."""
    return [torch.cat(list(same)) for _, same in groupby(views, key=lambda view: view.shape[1:])]


def encode_by_size(encode: nn.Module, views: list[Tensor]) -> Tensor:
    """encode(view) of all views, [views * n, width]. Only views of the first one's size move the running statistics of batch norm.

    Whole items are embedded with those statistics later, and small crops have others: mixed, they suit neither.
    """
    first, *others = by_size(views)
    encoded = [encode(first)]
    with unmeasured(encode):
        encoded += [encode(small) for small in others]
    return torch.cat(encoded)
