"""Barlow Twins."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import barlow


@dataclass(kw_only=True, eq=False)
class BarlowTwins(Learner):
    """The two views' features correlate one to one: each with itself, none with another.

    Zbontar et al., 2021, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", arXiv:2103.03230.
    The paper: ResNet-50, a projector 8192-8192-8192, off_diagonal=0.0051, batches of 2048, LARS, 1000 epochs.
    """

    dim: int = 512  # width of the projector's layers
    off_diagonal: float = 0.0051  # weight of every correlation between different features

    def build(self, encoder: nn.Module) -> Net:
        return Net(encode=encoder, project=mlp(encoder.width, self.dim, self.dim, self.dim))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        z1, z2 = (net.project(net.encode(view)) for view in batch.views[:2])
        return barlow(z1, z2, self.off_diagonal)
