"""BYOL: predicting a slow copy's view of the other crop teaches without negatives; without the predictor both agree on nothing."""

from __future__ import annotations

from unlabeled.methods.siamese.byol import BYOL
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    return lab.compare({"BYOL": lab.learner(BYOL), "no predictor": lab.learner(BYOL, predictor=False)})


REPRODUCTION = Reproduction(
    system="byol",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("two views without negatives teach more than the network has at random", ours="BYOL", than="untrained", margin=0.05),
        Claim("the predictor is needed", ours="BYOL", than="no predictor", margin=0.03, role="key ingredient removed"),
    ),
    full="ImageNet: ResNet-50, hidden=4096, dim=256, momentum=0.996, batches of 4096, LARS, 1000 epochs",
)
