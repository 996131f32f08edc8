"""CPP: clusters by rate reduction are better than those of the frozen vectors themselves, their number and names are found too.

Ten of the topics where texts have more, drawn with the seed. Clusters are scored on the items that were learned from, as in the paper.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.methods.frozen import Frozen
from unlabeled.parts.assign import hungarian, kmeans
from unlabeled.parts.spectral import spectral
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.mlc import clusters, graph, linear
from unlabeled.reproduce.sources import split
from unlabeled.tasks.cluster import TOKEN, directions
from unlabeled.tasks.cluster.cpp import CPP, vote

TOPICS, ITEMS = 10, 2_000
KS = (4, 6, 8, 9, 10, 11, 12, 14, 17, 20, 25, 30)


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    label = "class" if source == "stackoverflow_titles" else None  # names, not numbers
    parts = split(source, seed, (n_train, n_test), label=label)
    if parts.kind != "text":
        return parts.X, parts.y, parts.X_test, parts.y_test
    parts = split(source, seed, (None, None), label=label)
    rng, names = np.random.default_rng(seed), np.unique(parts.y)
    chosen = rng.permutation(names)[:TOPICS]
    rows, rows_test = (np.sort(rng.permutation(np.flatnonzero(np.isin(y, chosen)))[:n]) for y, n in ((parts.y, ITEMS), (parts.y_test, 100)))
    return [parts.X[i] for i in rows], parts.y[rows], [parts.X_test[i] for i in rows_test], parts.y_test[rows_test]


def run(lab: Lab) -> Arms:
    classes = len(np.unique(lab.y))
    Z, y = frozen(lab)[:ITEMS], lab.y[:ITEMS]
    common: dict[str, Any] = {"k": classes, "z_dim": 32, "batch_size": 256, "steps": lab.setting(300, 3000), "seed": lab.seed}
    arms: dict[str, dict[str, Any]] = {
        "CPP": {"k": None, "ks": tuple(sorted({*KS, classes}))},
        "random cluster head": {"warm": 0.0},
        "no expansion": {"expansion": 0.0},
    }
    table: Arms = {}
    for name, own in arms.items():
        found = CPP(**common | own).fit(Z)
        labels = found.cut(Z, classes) if name == "CPP" else found.labels_
        table[name] = clusters(labels, y) | {"rank": linear(found.transform(Z), y)["rank"]}
        if name == "CPP":
            table[name] |= {"wrong by": float(abs(found.k_ - classes)), "clusters found": float(found.k_)}
            table[name]["named"], table.setdefault("words of other items", {})["named"] = names(lab, Z, labels, y)
    V = directions(Z)
    table["k-means"] = clusters(kmeans(V, classes, seed=lab.seed, n_init=30).labels, y)
    table["spectral clustering"] = clusters(spectral(graph(V), classes, lab.seed), y)
    for name, values in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in values.items()))
    return table


def frozen(lab: Lab) -> np.ndarray:
    """Vectors of the items to learn from alone."""
    if lab.data.kind == "text":
        return lab.remember_vectors(Frozen(encoder="minilm"), lab.X)
    if lab.data.kind == "image" and min(lab.X.shape[1:3]) > 16:
        return lab.vectors(lab.fit(lab.learner(SimCLR)), lab.X)[0]
    return lab.raw()[0]


def names(lab: Lab, Z: np.ndarray, labels: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Share of the clusters whose three names hold the name of their topic; the same when the words' vectors are shuffled.

    Candidates are all words of at least five of the texts. 0 where there are no texts.
    """
    if lab.data.kind != "text":
        return 0.0, 0.0
    words, uses = np.unique([word for text in lab.X for word in set(TOKEN.findall(text.lower()))], return_counts=True)
    candidates = words[uses >= 5].tolist()
    vectors = lab.remember_vectors(Frozen(encoder="minilm"), candidates)
    topic, rng = hungarian(labels, y), np.random.default_rng(lab.seed)

    def right(vectors: np.ndarray) -> float:
        found = vote(Z, labels, candidates, vectors)
        told = [any(word in TOKEN.findall(str(topic[c]).lower()) for word in found[c]) for c in topic]
        return float(np.mean(told))

    return right(vectors), float(np.mean([right(rng.permutation(vectors)) for _ in range(10)]))


REPRODUCTION = Reproduction(
    system="cpp",
    sets=("stackoverflow_titles", "fashion_mnist", "digits"),
    run=run,
    load=load,
    claims=(
        Claim("its clusters are better than k-means' of the same vectors", ours="CPP", than="k-means", metric="nmi", pooled=True),
        Claim(
            "and no worse than spectral clustering's",
            ours="CPP",
            than="spectral clustering",
            metric="accuracy",
            margin=-0.01,
            pooled=True,
        ),
        Claim(
            "the number of classes is found within three",
            ours="CPP",
            than=3.0,
            metric="wrong by",
            lower=True,
            role="by itself",
            pooled=True,
        ),
        Claim(
            "without the coding rate of all items the features collapse",
            ours="no expansion",
            than="CPP",
            metric="rank",
            lower=True,
            margin=5.0,
            role="key ingredient removed",
        ),
        Claim(
            "the cluster head must start from the features'",
            ours="CPP",
            than="random cluster head",
            metric="nmi",
            role="key ingredient removed",
            pooled=True,
        ),
        Claim(
            "most clusters get the word of their topic among three",
            ours="CPP",
            than="words of other items",
            metric="named",
            margin=0.5,
            on="stackoverflow_titles",
        ),
    ),
    full="CLIP ViT-L/14 vectors of CIFAR-10, -20, -100 and ImageNet-1k: z_dim 128, hidden 4096, batches of 1000 to 2000, 15 to 30 epochs",
)
