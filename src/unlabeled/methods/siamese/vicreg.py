"""VICReg."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import vicreg


@dataclass(kw_only=True, eq=False)
class VICReg(Learner):
    """Partners close, every dimension spread out, no two dimensions alike; nothing shared between the branches but weights.

    Bardes, Ponce and LeCun, 2021, "VICReg: Variance-Invariance-Covariance Regularization", arXiv:2105.04906.
    The paper's weights are 25, 25 and 1 with an 8192-8192-8192 expander.
    """

    dim: int = 512  # width of the projector's layers, which the paper calls an expander
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def build(self, encoder: nn.Module) -> Net:
        return Net(encode=encoder, project=mlp(encoder.width, self.dim, self.dim, self.dim))

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        z1, z2 = (net.project(net.encode(view)) for view in batch.views)
        invariance, variance, covariance = vicreg(z1, z2)
        return {
            "invariance": self.invariance * invariance,
            "variance": self.variance * 2 * variance,  # the paper adds both views' hinges
            "covariance": self.covariance * covariance,
        }
