"""The label-free measures, in words: what each says, which direction is good, and which of them may be compared between arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    name: str
    means: str  # a sentence for someone who isn't a specialist
    ranked: bool = False  # more is better, and arms may be compared by it
    full: float | None = 1.0  # what fills a bar; None: the arm's dim


MEASURES = {
    "half_retrieval": Measure(
        "Halves find each other",
        "Each item is cut in two and the halves are embedded apart: the share of halves whose nearest other half is their own. "
        "Higher is better: 1 is perfect, guessing gives 1 divided by the number of items.",
        ranked=True,
    ),
    "half_mrr": Measure(
        "Halves find each other, rank",
        "The same, with credit for second and third places: the mean of 1 divided by the place at which the own half is found. "
        "Higher is better, 1 is perfect.",
        ranked=True,
    ),
    "stability": Measure(
        "Neighbours that stay",
        "The share of an item's nearest neighbours that stay when learning is repeated. Higher is steadier. "
        "What has no chance in it reaches 1 without being good, so no best is marked.",
    ),
    "rankme": Measure(
        "Directions in use (RankMe)",
        "How many of the vector's directions the items really spread over. More is richer; near 1, all items lie on one line. "
        "The bar shows it as a share of the vector's length.",
        full=None,
    ),
    "mean_cosine": Measure(
        "Likeness of two random items",
        "Mean cosine of two items drawn at random. Near 0 is good; near 1, every item looks the same to it. "
        "Neighbours are found after the mean is taken off, which repairs a moderate value.",
    ),
    "std_sqrt_d": Measure(
        "Spread",
        "Standard deviation of the unit vectors, times the square root of their length. 1 is fully spread; near 0, they have collapsed to a point.",
    ),
    "uniformity": Measure(
        "Evenness (uniformity)",
        "How evenly the items cover all directions: 0 when all are the same, -4 when nothing could be more even. "
        "Lower is more even; noise is even too, so this alone proves nothing.",
        full=-4.0,
    ),
}

LABELS = {
    "learned": "the vectors of this run",
    "raw": "the items as they are, mean taken off",
    "pca": "the items through a linear projection",
    "random encoder": "the same network before training",
    "pretrained": "the pretrained network, untouched",
}


def value(number: Any) -> tuple[float, float] | None:
    """(mean, standard deviation) of a measure in either of its forms; None where there is no number."""
    mean, std = (number.get("mean"), number.get("std")) if isinstance(number, Mapping) else (number, None)
    return None if isinstance(mean, bool) or not isinstance(mean, (int, float)) else (mean, std or 0.0)


def best(arms: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """The arms that are best by a ranked measure, best first: more than one where they lie within a standard deviation of the first."""
    values = {arm["name"]: found for arm in arms if (found := value(arm.get(key)))}
    if len(values) < 2:
        return []
    order = sorted(values, key=lambda name: -values[name][0])
    mean, std = values[order[0]]
    return [name for name in order if mean - values[name][0] <= max(std, values[name][1])]


def compare(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each ranked measure: does what was learned beat the baselines? Computed from the numbers alone."""
    sentences = []
    for key, measure in MEASURES.items():
        first = best(arms, key) if measure.ranked else []
        values = {arm["name"]: value(arm.get(key)) for arm in arms}
        if not first or not values.get("learned"):
            continue
        rivals = [name for name in first if name != "learned"]
        score = {name: f"{name} {found[0]:.2f}" for name, found in values.items() if found}
        if "learned" not in first:
            said = f"a baseline does better ({score[first[0]]}, {score['learned']})"
        elif rivals:
            said = f"no clear winner ({score['learned']}, {score[rivals[0]]})"
        else:
            runner_up = max((name for name in score if name != "learned"), key=lambda name: values[name])  # type: ignore[arg-type, return-value]
            said = f"what was learned does best ({score['learned']}, next {score[runner_up]})"
        sentences.append(f"{measure.name}: {said}.")
    return sentences
