"""Batch norm: over the whole batch when several processes share it, and without counting what whole items don't look like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unlabeled.parts.gather import world


class SharedBatchNorm(_BatchNorm):
    """Mean and variance of the rows of all processes, with their gradients; alone or in eval mode ordinary batch norm.

    PyTorch's own SyncBatchNorm runs on GPUs only. Batches of the processes must be of one size.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if world() == 1 or not self.training:
            return super().forward(x)
        from torch.distributed.nn.functional import all_reduce

        dims, shape = [0, *range(2, x.ndim)], [1, -1] + [1] * (x.ndim - 2)
        wide = x.float()
        mean = all_reduce(wide.mean(dim=dims)) / world()
        var = all_reduce((wide - mean.view(shape)).square().mean(dim=dims)) / world()
        if self.track_running_stats:
            count = x.numel() / x.shape[1] * world()
            assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach().to(self.running_mean), momentum)
            self.running_var.lerp_((var.detach() * count / (count - 1)).to(self.running_var), momentum)
        out = (wide - mean.view(shape)) * (var.view(shape) + self.eps).rsqrt()
        if self.weight is not None:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)


def share_statistics(net: nn.Module) -> None:
    """Make every batch norm of the net look at all processes. In place, parameters and names stay as they are."""
    if dist.is_available() and world() > 1:
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.__class__ = SharedBatchNorm  # what else refers to the module (a teacher, an optimizer) keeps it


def batch_norms(net: nn.Module) -> list[_BatchNorm]:
    return [module for module in net.modules() if isinstance(module, _BatchNorm)]


@contextmanager
def unmeasured(net: nn.Module) -> Iterator[None]:
    """Within, batch norm keeps its running statistics as they are."""
    momenta = [(norm, norm.momentum) for norm in batch_norms(net)]
    for norm, _ in momenta:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum
