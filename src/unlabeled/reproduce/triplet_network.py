"""Triplet network: who belongs with whom is enough to learn a distance, and better than by pairs.

The paper claims nothing of classes that were never shown. They are scored here too: as wholes they come closer (MAP@R), but
the single nearest picture (`unseen`) was found as well by the untrained network on the calibration seed.
"""

from __future__ import annotations

import numpy as np

from unlabeled.data import Items
from unlabeled.methods.contrastive.triplet_network import TripletNetwork
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    """Three fifths of the classes are seen: there the labels are the relation, as in the paper. Scored on new pictures of the seen
    classes and on the other classes, each by itself: the nearest other picture (`seen`, `unseen`), and MAP@R.

    All of it twice, the first classes seen and the last ones, and averaged: which classes are seen matters more than the seed.
    """
    classes = np.unique(lab.y)
    many = max(2, round(0.6 * len(classes)))
    splits = [split(lab, seen) for seen in (classes[:many], classes[-many:])]
    return {arm: {metric: float(np.mean([one[arm][metric] for one in splits])) for metric in splits[0][arm]} for arm in splits[0]}


def split(lab: Lab, seen: np.ndarray) -> Arms:
    shown = np.flatnonzero(np.isin(lab.y, seen))[: lab.setting(3000, None)]
    group = np.unique(lab.y[shown], return_inverse=True)[1]
    X = Items(lab.data.kind, [lab.X[i] for i in shown] if lab.data.kind == "text" else lab.X[shown], columns={"group": group})
    X.ids = [str(i) for i in shown]
    epochs = lab.setting(24, 200)
    arms = {
        "triplets": lab.learner(TripletNetwork, groups="group", epochs=epochs, batch_size=128, lr=1e-3),
        "pairs": lab.learner(TripletNetwork, groups="group", objective="siamese", epochs=epochs, batch_size=128, lr=1e-3),
        # Two views a picture and step: half the epochs, for as many pictures through the network.
        "triplets of views": lab.learner(TripletNetwork, epochs=epochs // 2, batch_size=128, lr=1e-3),
    }
    fitted = {name: lab.fit(learner, X) for name, learner in arms.items()} | {"untrained": lab.untrained(arms["triplets"], X)}
    lab.costs |= {name: fitted[name].cost_ for name in arms}
    vectors = {name: learner.transform(lab.X_test) for name, learner in fitted.items()} | {"raw": lab.raw()[1]}
    known = np.isin(lab.y_test, seen)
    table: Arms = {}
    for name, Z in vectors.items():
        (near, precise), (near_new, precise_new) = (retrieval(Z[part], lab.y_test[part]) for part in (known, ~known))
        table[name] = {"seen": near, "unseen": near_new, "seen MAP@R": precise, "unseen MAP@R": precise_new}
        lab.say(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in table[name].items()))
    return table


def retrieval(Z: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Share of rows whose nearest other row (Euclidean) is of their class, and MAP@R: R is how many others there are of it."""
    far = (Z**2).sum(axis=1)[:, None] + (Z**2).sum(axis=1) - 2 * Z @ Z.T
    np.fill_diagonal(far, np.inf)
    right = y[far.argsort(axis=1)] == y[:, None]
    many = right[:, :-1].sum(axis=1)  # the last is the query itself
    rank = np.arange(1, len(y) + 1)
    precision = np.cumsum(right, axis=1) / rank * right * (rank <= many[:, None])
    return float(right[:, 0].mean()), float((precision.sum(axis=1) / np.maximum(many, 1)).mean())


REPRODUCTION = Reproduction(
    system="triplet-network",
    sets=("fashion_mnist",),
    run=run,
    n=(6000, 2000),
    claims=(
        Claim(
            "new pictures of the seen classes are found better than by their pixels",
            ours="triplets",
            than="raw",
            metric="seen",
            margin=0.02,
        ),
        Claim(
            "all pictures of a class never seen come closer than in the untrained network",
            ours="triplets",
            than="untrained",
            metric="unseen MAP@R",
            margin=0.03,
        ),
        Claim("triplets teach more than pairs", ours="triplets", than="pairs", metric="seen", role="key ingredient removed"),
    ),
    full="CIFAR-10, 64 million triplets: four convolutions, the last of 128 filters, dropout, SGD lr 0.5 cut on plateaus; then k-NN, SVM",
)
