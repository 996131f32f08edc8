"""Instance discrimination: telling every picture from all others with what was last seen of them, instead of with learned weights.

One view an example and step: 24 epochs are the pictures that methods with two views see in 12.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.learner import Batch, Net
from unlabeled.methods.contrastive.instance_discrimination import InstanceDiscrimination
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


@dataclass(kw_only=True, eq=False)
class ParametricSoftmax(InstanceDiscrimination):
    """The same classes with a learned weight for each example (the paper's equation 1) in place of the bank."""

    def build(self, encoder: nn.Module) -> Net:
        net = super().build(encoder)
        net.classes = nn.Linear(self.dim, self.n_items_, bias=False)
        return net

    def loss(self, net: Net, batch: Batch) -> Tensor:
        return F.cross_entropy(net.classes(net.project(net.encode(batch.views[0]))).float(), batch.index)

    def after_step(self, net: Net, batch: Batch) -> None:
        """There is no bank to keep."""


def run(lab: Lab) -> Arms:
    shared = {"epochs": lab.setting(24, 400), "temperature": 0.07}
    # At 0.07 a constant Z diverges in so few steps, whatever the learning rate.
    drawn = shared | {"temperature": lab.setting(0.1, 0.07), "proximal": 30.0}
    return lab.compare(
        {
            "instance discrimination": lab.learner(InstanceDiscrimination, **shared),
            "learned weights": lab.learner(ParametricSoftmax, **shared),
            "many drawn negatives": lab.learner(InstanceDiscrimination, **drawn, negatives=lab.setting(1024, 4096)),
            "one drawn negative": lab.learner(InstanceDiscrimination, **drawn, negatives=1),
        }
    )


KEY = "key ingredient removed"
REPRODUCTION = Reproduction(
    system="instance-discrimination",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("it teaches the network more than it has at random", ours="instance discrimination", than="untrained", margin=0.05),
        Claim("remembered vectors beat learned weights", ours="instance discrimination", than="learned weights", margin=0.02, role=KEY),
        Claim("with drawn negatives, many beat one", ours="many drawn negatives", than="one drawn negative", margin=0.03, role=KEY),
    ),
    full="CIFAR-10: ResNet-18, 200 epochs, batches of 128, SGD lr 0.03, temperature 0.07; ImageNet: ResNet-50, 4,096 drawn, proximal 30",
)
