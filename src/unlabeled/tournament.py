"""Several methods trained for a short time, judged without labels: which one is worth the long run?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from unlabeled.data import Items
from unlabeled.errors import InputError
from unlabeled.evaluate import half_retrieval, neighbour_overlap
from unlabeled.evaluate.labelfree import draw
from unlabeled.judge import halves
from unlabeled.learner import default_epochs, family

# Those that were best somewhere in docs/defaults.md, and differ in kind.
CANDIDATES = {
    "image": ("simclr", "vicreg", "decoupled-uniformity", "jigclu", "rotnet"),
    "text": ("tfidf-svd", "none", "simclr"),
    "vector": ("none", "simclr", "vicreg"),
}
SHARE = 0.15  # of the whole training that each candidate gets
SAMPLES, PARTS = 10, 600  # samples of items that are judged, and items in each


@dataclass(frozen=True)
class Tournament:
    """How it ended. scores: for each method the judge's measure on every sample; leads: share of samples on which the winner is first."""

    winner: str
    measure: str
    scores: dict[str, list[float]]
    leads: float
    seconds: float

    def sentence(self) -> str:
        """Who won, by how much, and how sure that is."""
        means = {name: float(np.mean(values)) for name, values in self.scores.items()}
        second = max((name for name in means if name != self.winner), key=lambda name: means[name])
        sure = "clearly" if self.leads >= 0.95 else "probably" if self.leads >= 0.7 else "hardly more than by chance"
        won = f"{self.winner} won the tournament {sure}: first on {self.leads:.0%} of {len(self.scores[self.winner])} samples"
        by = f"by {self.measure}, {means[self.winner]:.3f} against {means[second]:.3f} of {second}"
        return f"{won} {by}; without labels this is a hint, not a proof (docs/defaults.md)"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def tournament(
    items: Items,
    make: Callable[[str], Any],
    names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> Tournament:
    """Train each named method briefly on the same items and judge them on the same samples.

    make: name -> an estimator as it would be trained in full. names: default, what suits the kind of data. The judge is
    the one of the report: how often one part of an item finds its other part (pictures, texts), or how many neighbours
    the two halves of an item's features agree on (vectors). InputError: fewer than two methods, too few items.
    """
    names = tuple(names or CANDIDATES[family(items.kind)])
    if len(set(names)) < 2:
        raise InputError(f"a tournament needs two different methods or more, got {', '.join(names) or 'none'}")
    if len(items) < 20:
        raise InputError(f"{len(items)} items are too few to judge methods by: wanted 20 or more; name a method")
    tell, started = say or (lambda line: None), time.monotonic()
    pairs = []
    for sample in range(SAMPLES):
        chosen = items.subset(draw(len(items), min(PARTS, max(10, len(items) // 2)), seed + sample))
        pairs.append(halves(chosen, seed + sample))
    measure = "half_neighbours" if family(items.kind) == "vector" else "half_retrieval"
    scores: dict[str, list[float]] = {}
    for name in names:
        model = shortened(make(name), len(items)).fit(items)
        scores[name] = []
        for first, second in pairs:
            a, b = model.transform(first), model.transform(second)
            value = half_retrieval(a, b) if measure == "half_retrieval" else neighbour_overlap(a, b, k=min(10, len(a) - 1), seed=seed)
            scores[name].append(float(value))
        tell(f"  {name}: {measure} {np.mean(scores[name]):.3f} ± {np.std(scores[name]):.3f}")
    winner = max(scores, key=lambda name: float(np.mean(scores[name])))
    others = np.array([values for name, values in scores.items() if name != winner])
    leads = float((np.array(scores[winner]) > others.max(axis=0)).mean())
    return Tournament(winner, measure, scores, leads, time.monotonic() - started)


def shortened(model: Any, n: int) -> Any:
    """The same estimator with a part of its training."""
    settings = model.get_params(deep=False)
    if settings.get("epochs"):
        return clone(model).set_params(epochs=max(1, round(settings["epochs"] * SHARE)))
    if settings.get("epochs") is None and "examples" in settings:
        whole = default_epochs(settings["examples"], n) * n
        return clone(model).set_params(examples=max(settings["batch_size"], round(min(settings["examples"], whole) * SHARE)))
    return clone(model)
