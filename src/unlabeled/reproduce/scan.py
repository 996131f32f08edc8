"""SCAN: from a pretext representation's nearest neighbours to a classifier, better than k-means on the same representation.

Scores are taken on held-out pictures; clusters are matched with classes on the training pictures.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from unlabeled.evaluate.probes import clustering_scores
from unlabeled.learner import Learner, Source
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.assign import hungarian, kmeans
from unlabeled.reproduce.code import fingerprint_of
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.cluster import directions
from unlabeled.tasks.cluster.scan import SCAN


class RandomNeighbours(SCAN):
    """Neighbours drawn from all pictures."""

    def mine(self, data: Source) -> np.ndarray:
        n = len(data)
        return (np.arange(n)[:, None] + np.random.default_rng(self.seed).integers(1, n, (n, self.neighbours))) % n


def run(lab: Lab) -> Arms:
    classes = len(np.unique(lab.y))  # how many are wanted is said to every arm, as in the paper
    simclr = lab.learner(SimCLR, temperature=0.2)
    fitted = lab.fit(simclr)
    table: Arms = {}
    step2, step3 = lab.setting(8, 100), lab.setting(4, 100)
    common: dict[str, Any] = {"n_classes": classes, "epochs": step2, "self_label": 0.0, "heads": lab.setting(5, 10)}
    arms = {
        "SCAN": (SCAN, common | {"epochs": step2 + step3, "self_label": step3 / (step2 + step3)}),
        "SCAN without self-labels": (SCAN, common),
        "random neighbours": (RandomNeighbours, common),
        "no entropy": (SCAN, common | {"entropy_weight": 0.0}),
    }
    for name, (system, parameters) in arms.items():
        learner = lab.learner(system, **{"lr": 1e-2} | parameters)
        code = [fingerprint_of(cls.__module__, cls.__name__) for cls in (system, SCAN, SimCLR)]
        parts = [learner, simclr, lab.X, lab.y, lab.X_test, lab.y_test, code]
        table[name] = lab.remember("scan", parts, partial(scored, lab, learner, fitted))
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))
    for name, (Z, Z_test) in {"k-means on SimCLR": lab.vectors(fitted), "k-means on pixels": lab.raw()}.items():
        X = directions(np.concatenate([Z, Z_test]))
        found = kmeans(X[: len(Z)], classes, seed=lab.seed, n_init=30)
        nearest = ((found.centers**2).sum(axis=1) - 2 * X[len(Z) :] @ found.centers.T).argmin(axis=1)
        table[name] = scores(found.labels, nearest, lab.y, lab.y_test, classes)
    return table


def scored(lab: Lab, scan: SCAN, pretext: Learner) -> dict[str, float]:
    scan.set_params(pretext=pretext).fit(lab.X)
    table = scores(scan.labels_, scan.predict(lab.X_test), lab.y, lab.y_test, scan.n_classes)
    return table | {"neighbours of one class": float((lab.y[scan.neighbours_] == lab.y[:, None]).mean())}


def scores(labels: np.ndarray, held_out: np.ndarray, y: np.ndarray, y_test: np.ndarray, classes: int) -> dict[str, float]:
    """Accuracy and NMI of held-out clusters, and the effective number of clusters as a share of those that were wanted."""
    matched = hungarian(labels, y)
    right = float(np.mean([matched.get(int(label), None) == true for label, true in zip(held_out, y_test.tolist(), strict=True)]))
    share = np.bincount(held_out, minlength=classes) / len(held_out)
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    return {"accuracy": right, "nmi": clustering_scores(held_out, y_test)["nmi"], "classes used": float(np.exp(entropy) / classes)}


REPRODUCTION = Reproduction(
    system="scan",
    sets=("fashion_mnist", "cifar10"),
    run=run,
    claims=(
        Claim("SCAN beats k-means on the same SimCLR vectors", ours="SCAN", than="k-means on SimCLR", metric="accuracy", margin=0.02),
        Claim("and k-means on pixels", ours="SCAN", than="k-means on pixels", metric="accuracy", margin=0.02),
        Claim(
            "neighbours from the pretext are needed",
            ours="SCAN without self-labels",
            than="random neighbours",
            metric="accuracy",
            margin=0.1,
            role="key ingredient removed",
        ),
        Claim(
            "without the entropy of the batch's mean fewer than half of the classes are used",
            ours="no entropy",
            than=0.5,
            metric="classes used",
            lower=True,
            role="key ingredient removed",
        ),
        Claim(
            "self-labels add to it",
            ours="SCAN",
            than="SCAN without self-labels",
            metric="accuracy",
            margin=0.01,
            role="key ingredient removed",
        ),
    ),
    full="CIFAR-10, -100-20, STL-10: ResNet-18, SimCLR, 20 neighbours, 10 heads, Adam lr 1e-4, batches of 128, 100 + 200 epochs",
)
