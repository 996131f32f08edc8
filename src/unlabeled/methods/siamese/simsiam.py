"""SimSiam."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import negative_cosine


@dataclass(kw_only=True, eq=False)
class SimSiam(Learner):
    """Two views, a predictor and a stop-gradient; no negatives, no momentum.

    Chen and He, 2020, "Exploring Simple Siamese Representation Learning", arXiv:2011.10566.
    The loss lies in [-1, 0]; near -1 at once means collapse. The paper's settings for ImageNet: optimizer="sgd",
    lr=0.05 * batch_size / 256, warmup=0, encoder="resnet50", dim=2048, predictor_dim=512.
    """

    dim: int = 256  # width of the projection
    layers: int = 2  # of the projector; the paper has 3, and 2 on CIFAR-10
    predictor_dim: int = 64  # a bottleneck, a quarter of dim
    lr: float = 2e-3
    stop_gradient: bool = True  # False collapses: there to be seen

    def build(self, encoder: nn.Module) -> Net:
        project = mlp(encoder.width, *[self.dim] * self.layers, last="norm")
        return Net(encode=encoder, project=project, predict=mlp(self.dim, self.predictor_dim, self.dim))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        z1, z2 = (net.project(net.encode(view)) for view in batch.views)
        p1, p2 = net.predict(z1), net.predict(z2)
        if self.stop_gradient:
            z1, z2 = z1.detach(), z2.detach()
        return (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2

    def optimizers(self, net: Net) -> dict:
        # The predictor's learning rate is not decayed: it has to follow representations that still move (section 4.2).
        return {"loss": self.optimizer_over(net.encode, net.project, constant=(net.predict,))}
