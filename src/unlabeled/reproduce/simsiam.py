"""SimSiam: two views and a stop-gradient learn without negatives; without the stop-gradient there is nothing to learn from."""

from __future__ import annotations

from unlabeled.methods.siamese.simsiam import SimSiam
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    return lab.compare({"SimSiam": lab.learner(SimSiam), "no stop-gradient": lab.learner(SimSiam, stop_gradient=False)})


REPRODUCTION = Reproduction(
    system="simsiam",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("two views without negatives teach the network more than it has at random", ours="SimSiam", than="untrained", margin=0.05),
        Claim("the stop-gradient is needed", ours="SimSiam", than="no stop-gradient", margin=0.03, role="key ingredient removed"),
    ),
    full="CIFAR-10: ResNet-18, 800 epochs, batches of 512, SGD lr 0.03; ImageNet: ResNet-50, 100 epochs, batches of 512, lr 0.05",
)
