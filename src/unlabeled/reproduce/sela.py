"""SeLa: labels that fit the predictions best, all equally frequent, teach a network; the likeliest labels without that rule collapse."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from unlabeled.methods.clustering.sela import SeLa
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.views import ImageViews


class Likeliest(SeLa):
    """The same loop with the plain argmax."""

    def relabel(self, log_p: Tensor) -> Tensor:
        return log_p.argmax(dim=1)


def effective(labels: np.ndarray, most: int) -> float:
    """exp of the labels' entropy, as a share of `most`: 1 where all are equally frequent."""
    share = np.bincount(labels) / len(labels)
    return float(np.exp(-(share[share > 0] * np.log(share[share > 0])).sum()) / most)


def run(lab: Lab) -> Arms:
    # One view an example: twice the epochs of a method with two.
    common = {
        "views": ImageViews(views=1),
        "epochs": lab.setting(24, 800),
        "clusters": lab.setting(64, 128),
        "relabels": lab.setting(8, 80),
    }
    arms = {
        "SeLa": lab.learner(SeLa, **common, heads=lab.setting(4, 10)),
        "one head": lab.learner(SeLa, **common, heads=1),
        "no equipartition": lab.learner(Likeliest, **common, heads=lab.setting(4, 10)),
        "random labels": lab.learner(SeLa, **common | {"relabels": 0}, heads=lab.setting(4, 10)),
    }
    table = lab.compare(arms)
    for name, learner in arms.items():
        labels = lab.fit(learner).labels_
        table[name]["clusters"] = float(np.mean([effective(head, learner.clusters) for head in labels]))
    return table


REPRODUCTION = Reproduction(
    system="sela",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("SeLa teaches the network more than it has at random", ours="SeLa", than="untrained", metric="probe", margin=0.05),
        Claim(
            "labels have to be equally frequent",
            ours="SeLa",
            than="no equipartition",
            metric="probe",
            margin=0.03,
            role="key ingredient removed",
        ),
        Claim(
            "without that rule most clusters die out", ours="no equipartition", than=0.25, metric="clusters", lower=True, role="by itself"
        ),
        Claim("several heads are no worse than one", ours="SeLa", than="one head", metric="probe", margin=-0.01, role="by itself"),
    ),
    full="ImageNet: ResNet-50, 10 heads of 3000 clusters, 80 relabellings in 400 epochs, SGD lr 0.05; CIFAR: 10 heads of 128",
)
