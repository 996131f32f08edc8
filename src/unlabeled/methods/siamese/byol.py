"""BYOL."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import negative_cosine
from unlabeled.parts.teacher import Teacher


@dataclass(kw_only=True, eq=False)
class BYOL(Learner):
    """From one view, predict how a slow copy of the network sees the other; no negatives.

    Grill et al., 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", arXiv:2006.07733.
    The loss lies in [0, 4]; near 0 at once means collapse. The paper: ResNet-50, hidden=4096, dim=256, momentum=0.996,
    batches of 4096, LARS, 1000 epochs; a short training needs a quicker teacher.
    """

    dim: int = 128  # width of the projection
    hidden: int = 512  # of the projector and the predictor
    momentum: float = 0.97  # of the teacher, rising to 1; 0 leaves a SimSiam
    predictor: bool = True  # without it both networks may agree on one vector for everything

    def build(self, encoder: nn.Module) -> Net:
        project = mlp(encoder.width, self.hidden, self.dim)
        predict = mlp(self.dim, self.hidden, self.dim) if self.predictor else nn.Identity()
        teacher = Teacher(encoder, project, momentum=self.momentum, steps=self.steps_)
        return Net(encode=encoder, project=project, predict=predict, teacher=teacher)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        v1, v2 = batch.views[:2]
        p1, p2 = (net.predict(net.project(net.encode(view))) for view in (v1, v2))
        return 2 + negative_cosine(p1, net.teacher(v2)) + negative_cosine(p2, net.teacher(v1))

    def after_step(self, net: Net, batch: Batch) -> None:
        net.teacher.update()
