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
    "links_found": Measure(
        "Hidden edges are found",
        "A tenth of the edges is hidden and everything learns anew from the rest: how often a hidden edge's two nodes are nearer to each "
        "other than two nodes that share none. Higher is better: 1 is perfect, guessing gives 0.5.",
        ranked=True,
    ),
    "facts_found": Measure(
        "Hidden facts are found",
        "A tenth of the facts is hidden and the model learns anew from the rest: the mean of 1 / rank of the right answer among all "
        "entities. Higher is better: 1 is always first.",
        ranked=True,
    ),
    "half_retrieval": Measure(
        "Parts find each other",
        "Two parts of each item (halves of a text, two crops of a picture) are embedded apart: "
        "the share whose nearest other part is their own. On pictures it followed usefulness best of the measures without labels. "
        "Higher is better: 1 is perfect, guessing gives 1 divided by the number of items.",
        ranked=True,
    ),
    "half_neighbours": Measure(
        "Parts agree on their neighbours",
        "The share of the ten nearest items that the two parts of an item have in common. Higher is better: 1 is full agreement.",
        ranked=True,
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
        "Standard deviation of the unit vectors' numbers, times the square root of how many there are. "
        "1 is fully spread; near 0, all have collapsed to a point.",
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
    "as it is": "the vectors of this run, nothing trained",
    "tf-idf + svd": "counts of words, rare ones weighted up, through a linear projection",
    "adjacency svd": "who is joined with whom, through a linear projection",
    "frequency": "how often an entity is an answer to that relation",
    "features": "what the nodes say of themselves, without the edges",
    "raw": "the items as they are, mean taken off",
    "pca": "the items through a linear projection",
    "random n-grams": "words and pairs of words, rare ones weighted up, each a random direction",
    "random encoder": "the same network before training",
    "pretrained": "the pretrained network, untouched",
}


def value(number: Any) -> tuple[float, float] | None:
    """(mean, standard deviation) of a measure in either of its forms; None where there is no number."""
    mean, std = (number.get("mean"), number.get("std")) if isinstance(number, Mapping) else (number, None)
    return None if isinstance(mean, bool) or not isinstance(mean, (int, float)) else (mean, std or 0.0)


def title(arm: Mapping[str, Any]) -> str:
    return str(arm["name"])[:1].upper() + str(arm["name"])[1:]


def best(arms: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """The arms that are best by a ranked measure, best first: more than one where two standard deviations, or 0.01, don't part them."""
    values = [(arm, *found) for arm in arms if (found := value(arm.get(key)))]
    if len(values) < 2:
        return []
    values.sort(key=lambda entry: -entry[1])
    _, most, spread = values[0]
    return [arm for arm, mean, std in values if most - mean <= 2 * max(spread, std, 0.005)]


def compare(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each ranked measure: does the first arm, the run's own, beat the others? Computed from the numbers alone."""
    sentences = []
    for key, measure in MEASURES.items():
        first = best(arms, key) if measure.ranked else []
        values = sorted(((found[0], title(arm)) for arm in arms[1:] if (found := value(arm.get(key)))), reverse=True)
        own = value(arms[0].get(key)) if arms else None
        if not first or not values or own is None:
            continue
        score, rival = f"{own[0]:.2f}", f"{values[0][1]} ({values[0][0]:.2f})"
        if arms[0] not in first:
            said = f"the baseline {rival} does better than this run ({score})"
        elif len(first) > 1:
            said = f"this run ({score}) and {rival} are level"
        else:
            said = f"this run ({score}) does better than the next best, {rival}"
        sentences.append(f"{measure.name}: {said}.")
    return sentences
