"""What a method remembers from earlier batches. Buffers: saved in checkpoints, never a gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.parts.gather import gather_rows


class Queue(nn.Module):
    """The last `size` unit vectors, first in first out. He et al., 2019, arXiv:1911.05722.

    `vectors` holds only what was added, [min(added, size), dim], oldest first: an empty queue gives no negatives
    rather than random ones. Batches may be of any length.
    """

    def __init__(self, size: int, dim: int):
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"a queue needs a positive size and dim, got {size} and {dim}")
        self.size = size
        self.register_buffer("rows", torch.zeros(size, dim))
        self.register_buffer("added", torch.zeros((), dtype=torch.long))

    @property
    def vectors(self) -> Tensor:
        added = int(self.added)
        if added <= self.size:
            return self.rows[:added].clone()
        return self.rows.roll(-(added % self.size), dims=0)

    @torch.no_grad()
    def add(self, z: Tensor) -> None:
        z = gather_rows(F.normalize(z.detach().float(), dim=1))[-self.size :]
        where = (int(self.added) + torch.arange(len(z), device=z.device)) % self.size
        self.rows[where] = z
        self.added += len(z)
