"""LeJEPA: views near their mean, and their distribution held to a normal one by SIGReg; without SIGReg they all end in one place."""

from __future__ import annotations

from unlabeled.methods.siamese.lejepa import LeJEPA
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    return lab.compare({"LeJEPA": lab.learner(LeJEPA), "no SIGReg": lab.learner(LeJEPA, weight=0.0)})


REPRODUCTION = Reproduction(
    system="lejepa",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("prediction with SIGReg teaches more than the network has at random", ours="LeJEPA", than="untrained", margin=0.05),
        Claim("SIGReg is needed", ours="LeJEPA", than="no SIGReg", margin=0.03, role="key ingredient removed"),
    ),
    full="ImageNet: ViT-L/14, 2 + 6 views, AdamW lr 5e-4, batches of 512, 100 epochs, weight 0.05",
)
