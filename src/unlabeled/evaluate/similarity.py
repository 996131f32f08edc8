"""Do vectors lie near each other where people find what they stand for alike? Pairs of texts, pairs of words, analogies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.scale import unit


def pair_correlation(A: Any, B: Any, scores: Any, *, center: bool = False) -> float:
    """Spearman's correlation of the cosines of A[i] and B[i], [n, d] each, with scores [n]; NaN where all cosines are the same.

    center: the mean of all 2n vectors is taken away first. InputError: lengths that differ, fewer than 2 pairs.
    """
    from scipy.stats import spearmanr

    A, B, scores = np.asarray(A, np.float64), np.asarray(B, np.float64), np.asarray(scores, np.float64)
    if A.shape != B.shape or A.ndim != 2 or len(scores) != len(A) or len(A) < 2:
        raise InputError(f"vectors {A.shape} and {B.shape}, scores {scores.shape}: wanted two of [n, d] and [n], n of 2 or more")
    if center:
        mean = (A.mean(axis=0) + B.mean(axis=0)) / 2
        A, B = A - mean, B - mean
    cosine = (unit(A) * unit(B)).sum(axis=1)
    return float("nan") if np.ptp(cosine) == 0 or np.ptp(scores) == 0 else float(spearmanr(cosine, scores)[0])


@dataclass(frozen=True)
class WordScores:
    """each: Spearman's correlation, set by set, where at least `least` pairs are known; known: how many are; mean: of the sets."""

    mean: float
    each: dict[str, float]
    known: dict[str, int]

    def table(self) -> str:
        return "\n".join(
            [*(f"{name:16} {value:.3f}  {self.known[name]:5} pairs" for name, value in self.each.items()), f"mean {self.mean:.3f}"]
        )


def word_similarity(words: Sequence[str], vectors: Any, sets: Mapping[str, Any], least: int = 50) -> WordScores:
    """How well the cosines of words agree with people's judgements. vectors: [words, d]. sets: as `datasets.pairs.word_pairs` gives them.

    Pairs with a word that isn't known are left out; a set with fewer than `least` pairs doesn't count. Mean: NaN where none does.
    """
    place = {word: i for i, word in enumerate(words)}
    Z = np.asarray(vectors)
    if len(Z) != len(place):
        raise InputError(f"{len(words)} words ({len(place)} different), {len(Z)} vectors: wanted one each")
    each, known = {}, {}
    for name, pairs in sets.items():
        rows = [(place[a], place[b], s) for a, b, s in zip(pairs.left, pairs.right, pairs.value, strict=True) if a in place and b in place]
        known[name] = len(rows)
        if len(rows) >= max(least, 2):
            left, right, scores = zip(*rows, strict=True)
            each[name] = pair_correlation(Z[list(left)], Z[list(right)], scores)
    return WordScores(float(np.mean(list(each.values()))) if each else float("nan"), each, known)


def analogy_accuracy(words: Sequence[str], vectors: Any, questions: Mapping[str, Sequence[tuple[str, str, str, str]]]) -> dict[str, float]:
    """Share of questions a : b = c : ? whose nearest word to b - a + c, the three left out, is the right one; by section, and "all".

    3CosAdd (Mikolov et al., 2013). Questions with a word that isn't known are left out; sections without any are, too.
    """
    Z, place = unit(np.asarray(vectors, np.float32)), {word: i for i, word in enumerate(words)}
    right, asked = {}, {}
    for section, four in questions.items():
        rows = np.array([[place[word] for word in one] for one in four if all(word in place for word in one)], np.int64).reshape(-1, 4)
        if not len(rows):
            continue
        hits = 0
        for part in np.array_split(rows, -(-len(rows) // 512)):
            a, b, c, d = part.T
            near = (Z[b] - Z[a] + Z[c]) @ Z.T
            near[np.arange(len(part))[:, None], part[:, :3]] = -np.inf
            hits += int((near.argmax(axis=1) == d).sum())
        right[section], asked[section] = hits, len(rows)
    found = {section: right[section] / asked[section] for section in right}
    return found | ({"all": sum(right.values()) / sum(asked.values())} if asked else {})
