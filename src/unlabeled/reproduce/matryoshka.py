"""Matryoshka: trained at all sizes at once, the first few numbers of a vector serve as well as a network trained for that size alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from unlabeled.methods.contrastive.matryoshka import Matryoshka
from unlabeled.methods.contrastive.matryoshka_adaptor import MatryoshkaAdaptor
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.prefix import funnel_search, truncate
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

DIMS, SMALL = (4, 8, 16, 32, 64), 8
FUNNEL, SHORTLIST = (16, 64), 200


def run(lab: Lab) -> Arms:
    def simclr(dims: tuple[int, ...]) -> Any:
        return lab.learner(Matryoshka, objective=SimCLR(), dims=dims)

    arms = {"nested": simclr(DIMS), "plain": simclr(DIMS[-1:]), "alone": simclr((SMALL,))}
    fitted = {name: lab.fit(learner) for name, learner in arms.items()}
    lab.costs |= {name: learner.cost_ for name, learner in fitted.items()}
    Z = {name: lab.vectors(learner) for name, learner in fitted.items()}
    Z["untrained"] = lab.vectors(lab.untrained(arms["nested"]))
    adaptor = MatryoshkaAdaptor(dims=DIMS, epochs=20, seed=lab.seed).fit(Z["plain"][0])
    Z["adapted"] = lab.vectors(adaptor, *Z["plain"])
    turned = PCA(random_state=lab.seed).fit(Z["plain"][0])
    Z["PCA of plain"] = tuple(turned.transform(part).astype(np.float32) for part in Z["plain"])
    sizes = {"alone": (SMALL,)}
    cut: dict[str, Any] = {f"{name} {m}": tuple(truncate(z, m) for z in pair) for name, pair in Z.items() for m in sizes.get(name, DIMS)}
    table = lab.compare(cut, baselines=False) | {"raw": lab.score(*lab.raw())}

    database, queries = Z["nested"]
    for name, dims in (("nested 64", FUNNEL[-1:]), ("funnel", FUNNEL)):
        found = funnel_search(queries, database, 10, dims, SHORTLIST)
        table.setdefault(name, {})["map10"] = map10(lab.y[found], lab.y_test)
    n = len(database)
    table["funnel"]["work"] = (n * FUNNEL[0] + min(SHORTLIST, n) * FUNNEL[1]) / (n * FUNNEL[1])
    lab.say(f"funnel: {table['funnel']}, full search {table['nested 64']['map10']:.4f}")
    return table


def map10(found: np.ndarray, y: np.ndarray) -> float:
    """Mean average precision of the labels found for each query, [m, 10]."""
    right = found == y[:, None]
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    return float(((precision * right).sum(axis=1) / np.maximum(right.sum(axis=1), 1)).mean())


REPRODUCTION = Reproduction(
    system="matryoshka",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("the network learns more than it has untrained", ours="nested 64", than="untrained 64", margin=0.05),
        Claim(
            "eight numbers of a nested vector beat eight of a plain one",
            ours="nested 8",
            than="plain 8",
            margin=0.05,
            role="key ingredient removed",
        ),
        Claim("they serve as well as a network trained for eight alone", ours="nested 8", than="alone 8", margin=-0.015, role="by itself"),
        Claim("the whole vector loses nothing by it", ours="nested 64", than="plain 64", margin=-0.01, role="by itself"),
        Claim(
            "a funnel finds what the full search finds", ours="funnel", than="nested 64", metric="map10", margin=-0.005, role="by itself"
        ),
        Claim("with less than a third of the work", ours="funnel", than=0.3, metric="work", lower=True, role="by itself"),
    ),
    full="ImageNet-1K: ResNet-50, dims 8 to 2048, 40 epochs, batches of 256 a GPU, SGD; 1-NN and mAP@10 on the validation set",
)
