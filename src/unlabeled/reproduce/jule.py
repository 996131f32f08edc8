"""JULE: clusters of digits that are merged and learned in turns are better than k-means', and than the same merges without learning."""

from __future__ import annotations

import numpy as np

from unlabeled.evaluate.probes import clustering_scores
from unlabeled.methods.clustering.jule import JULE
from unlabeled.parts.agglomerate import agglomerate
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.cluster import cluster


def run(lab: Lab) -> Arms:
    wanted, pixels = len(np.unique(lab.y)), lab.raw()[0]  # how many clusters are wanted is said to every arm, as in the paper
    X = lab.X
    while max(X.shape[1:3]) < 16:  # of 8 pixels a network with strides leaves one
        X = X.repeat(2, axis=1).repeat(2, axis=2)

    def arm(**more: float) -> JULE:
        return lab.learner(JULE, **SETTING | {"n_clusters": wanted, "epochs": lab.setting(EPOCHS, 40)} | more)

    learners = {"JULE": arm(), "JULE, one period": arm(unroll=0.999)}
    labels: dict[str, np.ndarray] = {name: lab.fit(learner, X).labels_ for name, learner in learners.items()}
    labels["merges of pixels"] = agglomerate(pixels, wanted)
    labels["merges of an untrained network"] = agglomerate(lab.vectors(lab.untrained(arm(), X), X)[0], wanted)
    labels["k-means"] = cluster(pixels, wanted, seed=lab.seed).labels
    return {name: clustering_scores(found, lab.y) for name, found in labels.items()}


EPOCHS = 20
SETTING = {"batch_size": 100, "optimizer": "sgd", "lr": 0.01, "encoder": "conv5-dense"}
REPRODUCTION = Reproduction(
    system="jule",
    sets=("digits",),
    run=run,
    claims=(
        Claim("its clusters know the classes better than k-means' of pixels", ours="JULE", than="k-means", metric="nmi", margin=0.08),
        Claim("learning improves the merges", ours="JULE", than="merges of pixels", metric="nmi", role="key ingredient removed"),
        Claim(
            "an untrained network would not have done",
            ours="JULE",
            than="merges of an untrained network",
            metric="nmi",
            role="key ingredient removed",
        ),
        Claim(
            "several periods beat one",
            ours="JULE",
            than="JULE, one period",
            metric="nmi",
            role="key ingredient removed",
        ),
        Claim("NMI of 0.85 on digits", ours="JULE", than=0.85, metric="nmi", role="by itself", on="digits"),
    ),
    full="MNIST, COIL-20 and 7 more: 5x5 convolutions of 50 filters, 160 dimensions, 20 epochs a period, SGD lr 0.01, batches of 100",
)
