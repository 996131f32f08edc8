"""The items as they are: the one view of systems that augment nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled.views.images import to_batch


def whole(x: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
    """A list with one view: pictures (uint8 [n, H, W, C]) as float32 [n, C, H, W] in [0, 1], all else unchanged."""
    return [to_batch(x) if x.dtype == torch.uint8 else x]
