"""MoCo v2: keys of a slow network in a queue are good negatives; they stop being so without the slowness, and when there are few."""

from __future__ import annotations

from unlabeled.methods.contrastive.moco import MoCo
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    paper = lab.setting({}, {"queue": 65536, "momentum": 0.999, "hidden": 2048})
    return lab.compare(
        {
            "MoCo v2": lab.learner(MoCo, **paper),
            "no momentum": lab.learner(MoCo, **paper | {"momentum": 0.0}),
            "a queue of 8": lab.learner(MoCo, **paper | {"queue": 8}),
            "linear head": lab.learner(MoCo, **paper | {"hidden": None}),
        }
    )


KEY = "key ingredient removed"
REPRODUCTION = Reproduction(
    system="moco-v2",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("MoCo teaches the network more than it has at random", ours="MoCo v2", than="untrained", margin=0.05),
        Claim("the keys have to come from a network that changes slowly", ours="MoCo v2", than="no momentum", margin=0.03, role=KEY),
        Claim("many negatives are better than few", ours="MoCo v2", than="a queue of 8", metric="probe", margin=0.02, role=KEY),
        Claim("v2: a hidden layer in the head helps", ours="MoCo v2", than="linear head", metric="probe", margin=0.01, role=KEY),
    ),
    full="ImageNet: ResNet-50, 200 epochs, batches of 256, SGD lr 0.03, a queue of 65,536 keys, momentum 0.999, temperature 0.2",
)
