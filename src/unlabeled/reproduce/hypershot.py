"""HyperShot: a network that writes classifiers of new classes from the kernel matrix of their few examples, better than from the examples.

Classes are learned from and tested on apart; of Omniglot whole alphabets. Accuracy over 400 episodes of 5 classes, 15 queries each.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.datasets import load as load_set
from unlabeled.errors import InputError
from unlabeled.learner import Net
from unlabeled.parts.episodes import few_shot_accuracy
from unlabeled.reproduce.code import fingerprint_of
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sources import split
from unlabeled.tasks.few_shot.hypershot import HyperShot

EPISODES, QUERIES = 400, 15
HELD_OUT = 0.3  # share of the classes, at least


@dataclass(kw_only=True, eq=False)
class ProtoNet(HyperShot):
    """Snell et al., 2017: the nearest class mean of embeddings learned for that."""

    def build(self, encoder: nn.Module) -> Net:
        net = super().build(encoder)
        del net.hyper
        return net

    def solve(self, net: Net, support: Tensor) -> list[Tensor]:
        return [support.mean(dim=1)]

    def scores(self, net: Net, weights: list[Tensor], support: Tensor, z: Tensor) -> Tensor:
        return -(z[:, None] - weights[0]).square().sum(dim=2)


@dataclass(kw_only=True, eq=False)
class Shuffled(HyperShot):
    """The hypernetwork sees the classes in another order than the one in which they are numbered."""

    def solve(self, net: Net, support: Tensor) -> list[Tensor]:
        return super().solve(net, support[torch.randperm(len(support))])


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Base classes and others, whole alphabets where the set tells of alphabets; the labels of both."""
    if source == "omniglot":
        items = load_set(source)
        X, y, groups = items.values, np.asarray(items.columns["label"]), np.asarray(items.columns["alphabet"])
    else:
        parts = split(source, seed, (n_train, n_test))
        X, y = parts.X, parts.y
        groups = y
    rng = np.random.default_rng(seed)
    names, held = rng.permutation(np.unique(groups)), 0
    while len(np.unique(y[np.isin(groups, names[:held])])) < max(2, HELD_OUT * len(np.unique(y))):
        held += 1
    test = np.flatnonzero(np.isin(groups, names[:held]))
    train = np.flatnonzero(np.isin(groups, names[held:]))
    if len(np.unique(y[train])) < 2:
        raise InputError(f"{source} has {len(np.unique(y))} classes: wanted two to learn from and two others")
    train, test = (np.sort(rng.permutation(rows)[:n]) for rows, n in ((train, n_train), (test, n_test)))
    A, B = ([X[i] for i in rows] if isinstance(X, list) else X[rows] for rows in (train, test))
    return A, y[train], B, y[test]


def run(lab: Lab) -> Arms:
    ways = min(5, len(np.unique(lab.y)), len(np.unique(lab.y_test)))
    each = lab.setting(8, 20)
    common: dict[str, Any] = {"n_way": ways, "batch_size": ways * each, "epochs": None, "lr": 1e-3}
    common |= {"examples": lab.setting(28_000, 20_000_000), "encoder": "auto"}
    if lab.data.kind == "image":
        common["encoder"] = lab.setting("conv5", "conv4")
    trained = {
        "HyperShot": {k: lab.learner(HyperShot, k_shot=k, **common) for k in (1, 5)},
        "embeddings instead of kernels": {1: lab.learner(HyperShot, kernel=None, **common)},
        "kernels in another order": {1: lab.learner(Shuffled, **common)},
        "ProtoNet": {1: lab.learner(ProtoNet, **common)},
    }
    table: Arms = {}
    for name, models in trained.items():
        for k, model in models.items():
            code = fingerprint_of(type(model).__module__, type(model).__name__)
            parts = [model, code, lab.X, lab.y, lab.X_test, lab.y_test, lab.seed, EPISODES, QUERIES]
            found = lab.remember("hypershot", parts, partial(learned, lab, model))
            table.setdefault(name, {})[f"{k}-shot"] = found["accuracy"]
            lab.costs[f"{name}, {k}-shot"] = {"seconds": found["seconds"]}
        lab.say(f"{name}: {table[name]}")
    blank = lab.vectors(lab.untrained(trained["HyperShot"][1]))
    for name, (base, Z) in (("untrained, class means", blank), ("raw, class means", lab.raw())):
        Z = Z - base.mean(axis=0)  # which is worth 6 points to the raw pictures at the calibration seed
        table[name] = {f"{k}-shot": accuracy(lab, nearest_mean, Z, k, ways) for k in (1, 5)}
        lab.say(f"{name}: {table[name]}")
    return table


def learned(lab: Lab, model: HyperShot) -> dict[str, float]:
    """Accuracy on new classes, after learning from the base classes and their labels."""
    started = time.monotonic()
    model.fit(lab.X, lab.y)
    seconds = time.monotonic() - started
    Z = model.transform(lab.X_test)
    with torch.random.fork_rng():
        torch.manual_seed(lab.seed)
        found = accuracy(lab, lambda S, s, Q: model.episode(S, s, embedded=True)(Q), Z, model.k_shot, model.n_way)
    return {"accuracy": found, "seconds": seconds}


def accuracy(lab: Lab, classify: Any, Z: np.ndarray, k: int, ways: int) -> float:
    return few_shot_accuracy(classify, Z, lab.y_test, n_way=ways, k_shot=k, n_query=QUERIES, episodes=EPISODES, seed=lab.seed).mean


def nearest_mean(support: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The class whose mean direction is nearest: of one example, the nearest neighbour."""
    classes, codes = np.unique(y, return_inverse=True)
    unit = support / np.maximum(np.linalg.norm(support, axis=1, keepdims=True), 1e-12)
    means = np.stack([unit[codes == code].mean(axis=0) for code in range(len(classes))])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return classes[(queries @ means.T).argmax(axis=1)]


REPRODUCTION = Reproduction(
    system="hypershot",
    sets=("omniglot",),
    run=run,
    load=load,
    n=(4000, 4000),
    claims=(
        Claim(
            "new classes are told apart better than by their pixels",
            ours="HyperShot",
            than="raw, class means",
            metric="1-shot",
            margin=0.2,
        ),
        Claim("with five examples each, too", ours="HyperShot", than="raw, class means", metric="5-shot", margin=0.1),
        Claim("and better than by the untrained network", ours="HyperShot", than="untrained, class means", metric="1-shot", margin=0.1),
        Claim(
            "the kernel matrix serves the hypernetwork better than the embeddings",
            ours="HyperShot",
            than="embeddings instead of kernels",
            metric="1-shot",
            margin=0.02,
            role="key ingredient removed",
        ),
    ),
    full="Omniglot to EMNIST, CUB, mini-ImageNet: conv4, Adam 1e-3, 2000 to 4000 epochs of 100 episodes with 16 queries a class",
)
