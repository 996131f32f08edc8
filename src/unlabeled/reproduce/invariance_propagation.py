"""Invariance propagation: far neighbours of neighbours as positives bring together more than views of one picture do."""

from __future__ import annotations

from unlabeled.methods.contrastive.invariance_propagation import InvariancePropagation
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    shared = lab.setting({"epochs": 24, "temperature": 0.07, "start": 0.5}, {"epochs": 800, "temperature": 0.07, "start": 30 / 800})
    shared |= {"background": lab.setting(512, 4096)}
    return lab.compare(
        {
            "propagation": lab.learner(InvariancePropagation, **shared),
            "no propagation": lab.learner(InvariancePropagation, **shared, weight=0.0),
            "easy positives": lab.learner(InvariancePropagation, **shared, hard=False),
            "nearest neighbours": lab.learner(InvariancePropagation, **shared, levels=1, k=20),
        }
    )


KEY = "key ingredient removed"
REPRODUCTION = Reproduction(
    system="invariance-propagation",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("it teaches the network more than it has at random", ours="propagation", than="untrained", margin=0.05),
        Claim("propagated positives help", ours="propagation", than="no propagation", margin=0.01, role=KEY),
        Claim("hard positives are as good as easy ones at least", ours="propagation", than="easy positives", role=KEY),
        Claim("walks find better positives than a ball does", ours="propagation", than="nearest neighbours", role=KEY),
    ),
    full="CIFAR-10: ResNet-18, 800 epochs, batches of 128, SGD lr 0.03, 4,096 negatives, 20 positives, temperature 0.07",
)
