"""What the processes of a distributed run share. In a single process every function is the identity."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather_rows(z: Tensor) -> Tensor:
    """The rows of all processes, [world * n, d], in rank order; gradients flow back to the process they came from."""
    if world() == 1:
        return z
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(z.contiguous()))


def same_on_every_rank(x: Tensor) -> Tensor:
    """Rank 0's tensor, on every process."""
    if world() > 1:
        dist.broadcast(x, src=0)
    return x


def own_rows(x: Tensor) -> Tensor:
    """This process's share of rank 0's x [world * n, ...]: what is drawn for the whole batch is the same however many share it."""
    return same_on_every_rank(x).chunk(world())[rank()]
