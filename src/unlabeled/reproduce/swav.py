"""SwAV: views that predict each other's balanced assignment to prototypes teach a network; without the balance all land on one."""

from __future__ import annotations

import numpy as np

from unlabeled.methods.clustering.swav import SwAV
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.views import ImageViews


def run(lab: Lab) -> Arms:
    many, two = ImageViews(local=4, local_scale=(0.1, 0.4)), ImageViews()
    # Four crops of half the side cost as much as one large one: two crops are shown for half as many epochs again.
    epochs = lab.setting(8, 270)
    arms = {
        "SwAV": lab.learner(SwAV, views=many, epochs=epochs),
        "two crops": lab.learner(SwAV, views=two, epochs=epochs * 3 // 2),
        "no Sinkhorn": lab.learner(SwAV, views=many, epochs=epochs, sinkhorn_iters=0),
    }
    table = lab.compare(arms)
    for name, learner in arms.items():
        share = np.bincount(lab.fit(learner).assign(lab.X), minlength=learner.prototypes) / len(lab.X)
        used = share[share > 0]
        table[name]["usage"] = float(-(used * np.log(used)).sum() / np.log(len(share)))  # entropy; 1: all prototypes alike
    return table


REPRODUCTION = Reproduction(
    system="swav",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("SwAV teaches the network more than it has at random", ours="SwAV", than="untrained", metric="probe", margin=0.08),
        Claim("the codes have to be balanced", ours="SwAV", than="no Sinkhorn", metric="probe", margin=0.03, role="key ingredient removed"),
        Claim("without the balance the prototypes collapse", ours="no Sinkhorn", than=0.5, metric="usage", lower=True, role="by itself"),
        Claim(
            "small crops besides are worth more than two large ones for longer",
            ours="SwAV",
            than="two crops",
            metric="probe",
            role="key ingredient removed",
        ),
    ),
    full="ImageNet: ResNet-50, 2 crops of 224 and 6 of 96 pixels, 3000 prototypes, batches of 4096, LARS lr 4.8, 800 epochs",
)
