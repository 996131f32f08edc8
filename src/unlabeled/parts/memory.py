"""What a method remembers from earlier batches. Buffers: saved in checkpoints, never a gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.parts.gather import gather_rows


class Queue(nn.Module):
    """The last `size` vectors, first in first out; unit ones, or with unit=False as they came. He et al., 2019, arXiv:1911.05722.

    `vectors` holds only what was added, [min(added, size), dim], oldest first: an empty queue gives no negatives
    rather than random ones. Batches may be of any length.
    """

    def __init__(self, size: int, dim: int, unit: bool = True):
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"a queue needs a positive size and dim, got {size} and {dim}")
        self.size, self.unit = size, unit
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
        z = z.detach().float()
        z = gather_rows(F.normalize(z, dim=1) if self.unit else z)[-self.size :]
        where = (int(self.added) + torch.arange(len(z), device=z.device)) % self.size
        self.rows[where] = z
        self.added += len(z)


class Bank(nn.Module):
    """A unit row for every example, found by its index. Wu et al., 2018, arXiv:1805.01978.

    update: row <- unit(momentum * row + (1 - momentum) * z). Rows start at random on the sphere (from torch's generator).
    """

    def __init__(self, n: int, dim: int, momentum: float = 0.5):
        super().__init__()
        if n < 1 or dim < 1:
            raise ValueError(f"a bank needs a positive n and dim, got {n} and {dim}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum!r}")
        self.momentum = momentum
        self.register_buffer("rows", F.normalize(torch.randn(n, dim), dim=1))

    def forward(self, z: Tensor, index: Tensor | None = None) -> Tensor:
        """Cosines of z [m, dim] (normalised here) with every row, [m, n], or with the rows `index` [m, k] alone, [m, k].

        Gradients reach z, never the bank.
        """
        with torch.autocast(z.device.type, enabled=False):
            z = F.normalize(z.float(), dim=1)
            if index is None or 16 * index.shape[1] > len(self.rows):  # one product with all rows is quicker than picking many
                every = z @ self.rows.clone().T
                return every if index is None else every.gather(1, index)
            return torch.einsum("md,mkd->mk", z, self.rows[index])

    @torch.no_grad()
    def update(self, index: Tensor, z: Tensor) -> None:
        index, z = gather_rows(index), gather_rows(F.normalize(z.detach().float(), dim=1))
        mixed = self.momentum * self.rows[index] + (1 - self.momentum) * z
        self.rows[index] = F.normalize(mixed, dim=1)
