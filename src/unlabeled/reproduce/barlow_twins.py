"""Barlow Twins: features that agree between views and not with each other; without the second part they say the same many times."""

from __future__ import annotations

from unlabeled.methods.siamese.barlow_twins import BarlowTwins
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    return lab.compare({"Barlow Twins": lab.learner(BarlowTwins), "no off-diagonal term": lab.learner(BarlowTwins, off_diagonal=0.0)})


REPRODUCTION = Reproduction(
    system="barlow-twins",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("decorrelated agreement teaches more than the network has at random", ours="Barlow Twins", than="untrained", margin=0.05),
        Claim(
            "the off-diagonal term is needed", ours="Barlow Twins", than="no off-diagonal term", margin=0.03, role="key ingredient removed"
        ),
    ),
    full="ImageNet: ResNet-50, projector 8192-8192-8192, off_diagonal=0.0051, batches of 2048, LARS, 1000 epochs",
)
