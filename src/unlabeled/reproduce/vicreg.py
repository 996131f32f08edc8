"""VICReg: keeping every dimension's variance up lets two views be drawn together; without that term they all end in one place."""

from __future__ import annotations

from unlabeled.methods.siamese.vicreg import VICReg
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    return lab.compare({"VICReg": lab.learner(VICReg), "no variance term": lab.learner(VICReg, variance=0.0)})


REPRODUCTION = Reproduction(
    system="vicreg",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("the three terms teach more than the network has at random", ours="VICReg", than="untrained", margin=0.05),
        Claim("the variance term is needed", ours="VICReg", than="no variance term", margin=0.03, role="key ingredient removed"),
    ),
    full="ImageNet: ResNet-50, expander 8192-8192-8192, batches of 2048, LARS, 1000 epochs",
)
