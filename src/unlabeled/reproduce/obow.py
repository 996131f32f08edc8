"""OBoW: naming a picture's visual words from a crop of it teaches, and more so when teacher and vocabulary learn along."""

from __future__ import annotations

import numpy as np

from unlabeled.methods.siamese.obow import OBoW
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.views.bags import BagViews


def run(lab: Lab) -> Arms:
    options = {
        "encoder": lab.setting("conv5-dense", "resnet18"),
        "epochs": lab.setting(10, 200),
        "batch_size": lab.setting(64, 256),
        "words": lab.setting(256, 8192),
        "inv_delta": lab.setting(30.0, 15.0),  # maps of 128 channels: at 15 a cell is spread over a fifth of the words
        "views": lab.setting(BagViews(crops=1, patches=2), BagViews(crops=2, patches=5)),
    }
    online = lab.learner(OBoW, **options)
    arms = {
        "OBoW": online,
        "random teacher": lab.learner(OBoW, momentum=1.0, renew=False, **options),
    }
    table = lab.compare(arms)
    bags = lab.fit(online).bag_of_words(lab.X_test)
    table["OBoW"] |= {
        "words a picture": float(np.mean(perplexity(bags))),
        "words in use": float(perplexity(bags.mean(axis=0))) / bags.shape[1],
    }
    return table


def perplexity(p: np.ndarray) -> np.ndarray:
    """How many entries a distribution (rows of p) is spread over: exp of its entropy."""
    return np.exp(-(p * np.log(np.maximum(p, 1e-30))).sum(axis=-1))


REPRODUCTION = Reproduction(
    system="obow",
    sets=("cifar10",),
    run=run,
    n=(3000, 10000),
    claims=(
        Claim(
            "naming visual words teaches more than the network has at random", ours="OBoW", than="untrained", metric="probe", margin=0.05
        ),
        Claim(
            "the teacher and its words have to learn along",
            ours="OBoW",
            than="random teacher",
            metric="probe",
            margin=0.02,
            role="key ingredient removed",
        ),
        Claim("the vocabulary stays in use", ours="OBoW", than=0.05, metric="words in use", role="by itself"),
    ),
    full="ImageNet: ResNet-50, 8192 words of two levels, 2 + 5 crops of 160 and 96 pixels, SGD lr 0.03, batches of 256, 200 epochs",
)
