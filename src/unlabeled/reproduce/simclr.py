"""SimCLR: telling two views of one picture from all others teaches; drawing the views together without others to tell them from doesn't."""

from __future__ import annotations

from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    return lab.compare({"SimCLR": lab.learner(SimCLR), "no negatives": lab.learner(SimCLR, negatives=False)})


REPRODUCTION = Reproduction(
    system="simclr",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim(
            "telling views apart teaches more than the network has at random",
            ours="SimCLR",
            than="untrained",
            margin=0.05,
        ),
        Claim("the negatives are needed", ours="SimCLR", than="no negatives", margin=0.03, role="key ingredient removed"),
    ),
    full="ImageNet: ResNet-50, batches of 4096, LARS lr 4.8, 1000 epochs, temperature 0.1; CIFAR-10: batches of 512, temperature 0.5",
)
