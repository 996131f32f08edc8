"""MLC: clusters of a representation that its own objective makes linear, from SimCLR's vectors of pictures or from plain vectors.

Clusters are scored on the items that were learned from, as in the paper.
"""

from __future__ import annotations

import numpy as np

from unlabeled.evaluate.probes import clustering_scores
from unlabeled.methods.clustering.mlc import MLC
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.assign import kmeans
from unlabeled.parts.neighbours import nearest
from unlabeled.parts.spectral import spectral
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.cluster import directions


def run(lab: Lab) -> Arms:
    classes = len(np.unique(lab.y))
    X = lab.vectors(lab.fit(lab.learner(SimCLR)), lab.X)[0] if lab.data.kind == "image" and min(lab.X.shape[1:3]) > 16 else lab.raw()[0]
    # As many steps of small sets as of large ones; 512 rows a batch are more than dim * classes.
    common = {"n_clusters": classes, "encoder": "mlp", "epochs": None, "examples": lab.setting(75_000, 5_000_000)}
    common |= {"dim": 32, "batch_size": 256, "lr": 1e-3}
    arms = {
        "MLC": {},
        "first stage only": {"warm": 1.0},
        "random cluster head": {"warm": 0.0},
        "no expansion": {"expansion": 0.0},
    }
    table: Arms = {}
    for name, own in arms.items():
        fitted = lab.fit(lab.learner(MLC, **common | own), X)
        table[name] = clusters(fitted.labels_, lab.y) | linear(fitted.transform(X), lab.y)
    table["MLC"]["share of the rank"] = table["MLC"]["rank of a class"] / table["first stage only"]["rank of a class"]
    V = directions(X)
    table["k-means"] = clusters(kmeans(V, classes, seed=lab.seed, n_init=30).labels, lab.y)
    table["spectral clustering"] = clusters(spectral(graph(V), classes, lab.seed), lab.y)
    table["least-squares subspaces"] = clusters(spectral(least_squares(V), classes, lab.seed), lab.y)
    for name, values in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in values.items()))
    return table


def clusters(labels: np.ndarray, y: np.ndarray) -> dict[str, float]:
    found = clustering_scores(labels, y)
    return {"accuracy": found["accuracy"], "nmi": found["nmi"]}


def linear(z: np.ndarray, y: np.ndarray, energy: float = 0.95, dims: int = 5) -> dict[str, float]:
    """How linear the true classes are: dimensions that hold 95 % of a class, of all items, and |cos| between the classes' first 5 axes."""

    def rank(rows: np.ndarray) -> int:
        power = np.linalg.svd(rows, compute_uv=False) ** 2
        return int(np.searchsorted(np.cumsum(power) / power.sum(), energy) + 1)

    each = [z[y == c] for c in np.unique(y)]
    axes = np.stack([np.linalg.svd(rows, full_matrices=False)[2][:dims] for rows in each])
    cosine = np.linalg.svd(np.einsum("ird,jsd->ijrs", axes, axes), compute_uv=False).mean(axis=2)
    off = cosine[~np.eye(len(each), dtype=bool)].mean()
    return {"rank of a class": float(np.mean([rank(rows) for rows in each])), "rank": float(rank(z)), "cosine": float(off)}


def graph(V: np.ndarray, k: int = 10) -> np.ndarray:
    """Affinity [n, n]: 1 where one is among the k nearest of the other, and with itself."""
    A = np.eye(len(V), dtype=np.float32)
    np.put_along_axis(A, nearest(V, k), 1, axis=1)
    return np.maximum(A, A.T)


def least_squares(V: np.ndarray, ridge: float = 0.1) -> np.ndarray:
    """Affinity [n, n]: how items rebuild each other, V (V^T V + ridge n / d I)^-1 V^T in absolute value. Lu et al., 2012."""
    gram = V.T @ V
    return np.abs(V @ np.linalg.solve(gram + ridge * np.trace(gram) / len(gram) * np.eye(len(gram)), V.T)).astype(np.float32)


REPRODUCTION = Reproduction(
    system="mlc",
    sets=("fashion_mnist", "digits"),
    run=run,
    claims=(
        Claim("its clusters are better than those of k-means on the same vectors", ours="MLC", than="k-means", metric="nmi", margin=0.0),
        Claim(
            "the second stage makes each class a subspace of a fifth fewer dimensions",
            ours="MLC",
            than=1.0,
            metric="share of the rank",
            lower=True,
            margin=0.2,
            role="key ingredient removed",
        ),
        Claim(
            "and the subspaces of the classes more orthogonal",
            ours="MLC",
            than="first stage only",
            metric="cosine",
            lower=True,
            margin=0.02,
            role="key ingredient removed",
        ),
        Claim(
            "without the coding rate of all items the features collapse",
            ours="no expansion",
            than="MLC",
            metric="rank",
            lower=True,
            margin=5.0,
            role="key ingredient removed",
        ),
        Claim(
            "the cluster head must start from the first stage",
            ours="MLC",
            than="random cluster head",
            metric="nmi",
            margin=0.02,
            role="key ingredient removed",
        ),
    ),
    full="CIFAR-10, -20, -100 and TinyImageNet-200: ResNet-18, batches of 1000 to 2000, dim 128, eps2 0.1, SGD",
)
