"""Views of one size share a forward pass, as multi-crop wants it: fewer, larger passes, and a batch norm sees one size at a time."""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor


def by_size(views: list[Tensor]) -> list[Tensor]:
    """Neighbouring views of one shape in one batch each. What is made of the batches and joined again is in the order of the views."""
    return [torch.cat(list(same)) for _, same in groupby(views, key=lambda view: view.shape[1:])]
