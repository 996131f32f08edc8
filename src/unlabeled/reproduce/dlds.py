"""Deep low-density separation: a network and boundaries through empty regions make more of few labels than the network alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unlabeled.parts.labels import NO_LABEL
from unlabeled.parts.whiten import Whitening
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.classify import LabelPropagation
from unlabeled.tasks.semi_supervised.dlds import LDS, DeepLDS, GradTSVM

DRAWS = {3: 1, 10: 1}  # labels a class, and how often they are drawn


@dataclass(kw_only=True, eq=False)
class Straight(DeepLDS):
    """Plain distances of the space instead of paths."""

    def _label(self, z: np.ndarray, y: Any) -> np.ndarray:
        return GradTSVM(C=self.C, unlabelled=self.unlabelled).fit(z, y).transduction_scores_


@dataclass(kw_only=True, eq=False)
class Spreading(DeepLDS):
    """Labels spread along a graph of the space instead of boundaries between."""

    def _label(self, z: np.ndarray, y: Any) -> np.ndarray:
        return np.log(LabelPropagation(k=self.k, metric="euclidean").fit(z, y).label_distributions_.clip(1e-9))


@dataclass(kw_only=True, eq=False)
class SelfTaught(DeepLDS):
    """The network's own guesses as labels."""

    def _taught(self, *arguments: Any) -> Any:
        self._net = super()._taught(*arguments)
        return self._net

    def _label(self, z: np.ndarray, y: Any) -> np.ndarray:
        return torch.log_softmax(self._net[-1](torch.from_numpy(z)), dim=1).numpy()


def run(lab: Lab) -> Arms:
    Z, Z_test = lab.embedded() if lab.data.kind == "text" else lab.raw()
    if lab.data.kind == "image" and Z.shape[1] > 100:  # the card's 50 principal axes
        axes = Whitening.fit(Z, 0.0, 50)
        Z, Z_test = axes.transform(Z), axes.transform(Z_test)
    shared: dict[str, Any] = {"landmarks": 400, "seed": lab.seed}
    arms = {
        "DeepLDS": DeepLDS(**shared),
        "network on the labels": DeepLDS(rounds=0, pretrain=0, seed=lab.seed),
        "network after an auto-encoder": DeepLDS(rounds=0, seed=lab.seed),
        "network on its own guesses": SelfTaught(**shared),
        "label spreading in the network's space": Spreading(**shared),
        "without paths": Straight(**shared),
        "without the unlabelled rows' term": DeepLDS(unlabelled=0.0, **shared),
        "LDS without a network": LDS(**shared),
        "label spreading without a network": LabelPropagation(metric="euclidean"),
    }
    found: dict[str, dict[str, list[float]]] = {name: {} for name in arms}
    for each, draws in DRAWS.items():
        for draw in range(draws):
            rng = np.random.default_rng([lab.seed, each, draw])
            y = np.full(len(lab.y), NO_LABEL)
            names, codes = np.unique(lab.y, return_inverse=True)
            for c in range(len(names)):
                y[rng.permutation(np.flatnonzero(codes == c))[:each]] = c
            hidden, test = y == NO_LABEL, np.searchsorted(names, lab.y_test)
            for name, model in arms.items():
                model.fit(Z, y)
                scores = {
                    "unlabelled": (model.transduction_[hidden] == codes[hidden]).mean(),
                    "test": (model.predict(Z_test) == test).mean(),
                }
                for metric, value in scores.items():
                    found[name].setdefault(metric, []).append(value)
                    found[name].setdefault(f"{metric}, {each} a class", []).append(value)
    table = {name: {metric: float(np.mean(values)) for metric, values in scores.items()} for name, scores in found.items()}
    for name, scores in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in scores.items()))
    return table


def claim(text: str, than: str | tuple[str, ...], **more: Any) -> Claim:
    return Claim(text, ours="DeepLDS", than=than, metric="unlabelled", pooled=True, **more)


REPRODUCTION = Reproduction(
    system="dlds",
    sets=("digits", "fashion_mnist", "stackoverflow_titles"),
    run=run,
    n=(1500, 1000),
    claims=(
        claim(
            "with 3 and 10 labels a class, more than the network alone, with or without an auto-encoder before",
            ("network on the labels", "network after an auto-encoder"),
            margin=0.02,
        ),
        claim("more than the network taught by its own guesses", "network on its own guesses"),
        claim("more than LDS makes of the same rows without a network", "LDS without a network"),
        claim("in the network's space boundaries do more than label spreading", "label spreading in the network's space"),
        claim("paths through dense places, not plain distances, make it", "without paths", role="key ingredient removed"),
        claim("boundaries have to avoid the rows without a label", "without the unlabelled rows' term", role="key ingredient removed"),
    ),
    full="customer survey answers of the authors' employer: a few dozen to a few hundred labels, thousands of rows; not public",
)
