"""LeJEPA."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn, stack

from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import sigreg


@dataclass(kw_only=True, eq=False)
class LeJEPA(Learner):
    """Every view near the mean of the item's global views, and each view's batch normally distributed.

    Balestriero and LeCun, 2025, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics",
    arXiv:2511.08544. One trade-off, no teacher, no stop-gradient. Its loss is reported to follow probe quality.
    """

    dim: int = 128
    hidden: int = 512
    weight: float = 0.05  # of the regulariser; the invariance gets 1 - weight
    global_views: int = 2  # the first views; the rest are local
    directions: int = 256  # drawn anew each step
    knots: int = 17
    t_max: float = 3.0

    def build(self, encoder: nn.Module) -> Net:
        return Net(encode=encoder, project=mlp(encoder.width, self.hidden, self.dim))

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        z = stack([net.project(net.encode(view)) for view in batch.views]).float()
        centre = z[: self.global_views].mean(dim=0)
        invariance = (z - centre).square().mean()
        gaussian = stack([sigreg(view, self.directions, self.knots, self.t_max) for view in z]).mean()
        return {"invariance": (1 - self.weight) * invariance, "sigreg": self.weight * gaussian}
