"""SimCLR."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, cat, nn

from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import negative_cosine, nt_xent


@dataclass(kw_only=True, eq=False)
class SimCLR(Learner):
    """Each view finds its partner among all other views of the batch.

    Chen et al., 2020, "A Simple Framework for Contrastive Learning of Visual Representations", arXiv:2002.05709.
    The paper trains with LARS, batches of 4096, a 2048-128 projector and temperature 0.1 for ImageNet, 0.5 for CIFAR-10.
    """

    dim: int = 128  # width of the projection
    hidden: int = 256
    temperature: float = 0.1
    negatives: bool = True  # without them only the partners are drawn together, and all vectors may become one

    def build(self, encoder: nn.Module) -> Net:
        return Net(encode=encoder, project=mlp(encoder.width, self.hidden, self.dim))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        if batch.views[0].shape == batch.views[1].shape:  # one forward pass: both views share batch-norm statistics
            z1, z2 = net.project(net.encode(cat(batch.views[:2]))).chunk(2)
        else:
            z1, z2 = (net.project(net.encode(view)) for view in batch.views[:2])
        if not self.negatives:
            return negative_cosine(z1, z2) / self.temperature
        return nt_xent(z1, z2, self.temperature)
