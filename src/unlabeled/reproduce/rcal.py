"""RCAL: with wrong labels and rare classes, Gaussians of the classes serve the rare ones better than the labels as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.evaluate.uncertain import UncertainEncoder
from unlabeled.parts.label_noise import long_tail, noisy_labels
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sources import split
from unlabeled.tasks.noisy_labels.rcal import RCAL

RATE, RATIO, RARE, DRAWS = 0.3, 50, 4, 4  # wrong labels, largest over smallest class, classes called rare, draws of the noise
PENALTY = 0.01  # of the logistic regressions: of 1, 0.1 and 0.01 the best of each of the three (seed 100; weaker ones not tried)


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """A labelled set whose training part is cut to a long tail, the largest class with at most n_train items; the test part as it is."""
    parts = split(source, seed, (None, n_test))
    smallest = int(np.unique(parts.y, return_counts=True)[1].min())
    rows = long_tail(parts.y, RATIO, min(n_train or smallest, smallest), seed=seed)
    X = [parts.X[i] for i in rows] if isinstance(parts.X, list) else parts.X[rows]
    return X, parts.y[rows], parts.X_test, parts.y_test


def logistic(Z: np.ndarray, y: np.ndarray, Z_test: np.ndarray, balanced: bool = False) -> Any:
    """Logistic regression on standardised vectors: its classes, and log probabilities [n, K]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(Z)
    model = LogisticRegression(C=1 / (PENALTY * len(Z)), max_iter=200, tol=1e-3, class_weight="balanced" if balanced else None)
    model.fit(scaler.transform(Z), y)
    return model.classes_, model.predict_log_proba(scaler.transform(Z_test))


def network(lab: Lab, y: np.ndarray) -> np.ndarray:
    """What a network says that is trained on the labels from its first weights; of texts, an MLP on what TF-IDF makes of them."""
    X, X_test = (lab.X, lab.X_test) if lab.data.kind == "image" else lab.raw()
    encoder = lab.setting("conv5", "resnet18") if lab.data.kind == "image" else "mlp"
    model = UncertainEncoder(encoder=encoder, epochs=lab.setting(15, 200), seed=lab.seed)
    return model.fit(X, y).predict(X_test)


def run(lab: Lab) -> Arms:
    Z, Z_test = lab.embedded()
    names, sizes = np.unique(lab.y, return_counts=True)
    rare = names[np.argsort(sizes, kind="stable")[:RARE]]
    found: dict[str, list[tuple[float, float]]] = {}
    for draw in range(DRAWS):
        seed = DRAWS * lab.seed + draw  # of training, too: one start for all draws would stay in their mean
        y = noisy_labels(lab.y, RATE, targets="mix", seed=seed)[0]
        arms = {
            "RCAL": RCAL(seed=seed),
            "no outliers removed": RCAL(seed=seed, contamination=0.0),
            "nothing borrowed": RCAL(seed=seed, q=0),
            "no draws": RCAL(seed=seed, sampling=False),
            "no anchor": RCAL(seed=seed, beta=0.0),
            "frozen vectors": RCAL(seed=seed, frozen=True),
        }
        classes, plain = logistic(Z, y, Z_test)
        prior = np.log(np.unique(y, return_counts=True)[1] / len(y))
        said = {
            "linear": classes[plain.argmax(axis=1)],
            "linear, weighted classes": classes[logistic(Z, y, Z_test, balanced=True)[1].argmax(axis=1)],
            "linear, adjusted logits": classes[(plain - prior).argmax(axis=1)],
        }
        said |= {name: model.fit(Z, y).predict(Z_test) for name, model in arms.items()}
        if draw == 0:  # the dearest arm: once
            said["network trained on the labels"] = network(lab, y)
        for name, labels in said.items():
            tail = np.mean([(labels[lab.y_test == one] == one).mean() for one in rare])
            found.setdefault(name, []).append((float((labels == lab.y_test).mean()), float(tail)))
    table = {name: dict(zip(("accuracy", "rare"), np.mean(values, axis=0).tolist(), strict=True)) for name, values in found.items()}
    for name, scores in table.items():
        lab.say(f"{name}: accuracy {scores['accuracy']:.3f}, rare classes {scores['rare']:.3f}")
    return table


KEY = "key ingredient removed"
REPRODUCTION = Reproduction(
    system="rcal",
    sets=("fashion_mnist",),
    run=run,
    load=load,
    n=(1000, 10000),  # the largest class, and the test part
    claims=(
        Claim(
            "RCAL beats a network trained on the labels", ours="RCAL", than="network trained on the labels", metric="accuracy", margin=0.04
        ),
        Claim("and a linear classifier of the same vectors", ours="RCAL", than="linear", metric="accuracy", margin=0.04),
        Claim(
            "on rare classes it is no worse than weighted classes or adjusted logits",
            ours="RCAL",
            than=("linear, weighted classes", "linear, adjusted logits"),
            metric="rare",
            margin=-0.01,
        ),
        Claim("the draws are what serves rare classes", ours="RCAL", than="no draws", metric="rare", margin=0.02, role=KEY),
        Claim("borrowing from frequent classes helps them", ours="RCAL", than="nothing borrowed", metric="rare", role=KEY),
        Claim("so does holding the vectors near where they were", ours="RCAL", than="no anchor", metric="rare", margin=0.02, role=KEY),
    ),
    full="CIFAR-10/100, imbalance 10 and 100, noise 0.1 to 0.5, WebVision, Clothing1M: ResNet, MoCo v2, encoder fine-tuned",
)
