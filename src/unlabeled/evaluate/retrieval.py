"""How good a search is, against what is known to be relevant. Every measure gives a number a query, NaN where nothing is relevant."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError

# For each query the relevant items: a collection of rows, or {row: gain}; gains of 0 or less are not relevant, as are unjudged items.
Relevant = Sequence[Collection[int] | Mapping[int, float]]


def ndcg(found: Any, relevant: Relevant, k: int = 10) -> np.ndarray:
    """Discounted cumulated gain of the first k over that of the best order there can be, float64 [q]; the gain itself, as in trec_eval.

    found: rows of items, int [q, m], best first, -1: nothing. Järvelin and Kekäläinen, 2002.
    """
    gains, judged = _gains(found, relevant, k)
    discount = 1 / np.log2(np.arange(2, k + 2))
    best = np.array([np.sort(np.fromiter(one.values(), float))[::-1][:k] @ discount[: min(len(one), k)] for one in judged])
    return _over(gains @ discount[: gains.shape[1]], best)


def recall(found: Any, relevant: Relevant, k: int = 10) -> np.ndarray:
    """Share of the relevant items that are among the first k, float64 [q]."""
    gains, judged = _gains(found, relevant, k)
    return _over((gains > 0).sum(axis=1), np.array([len(one) for one in judged]))


def reciprocal_rank(found: Any, relevant: Relevant, k: int = 10) -> np.ndarray:
    """1 / the place of the first relevant item, 0 where it isn't among the first k, float64 [q]."""
    gains, judged = _gains(found, relevant, k)
    right = gains > 0
    first = np.where(right.any(axis=1), 1 / (right.argmax(axis=1) + 1), 0)
    return _over(first, np.array([len(one) > 0 for one in judged], float))


MEASURES: dict[str, Callable[[Any, Relevant, int], np.ndarray]] = {"ndcg": ndcg, "recall": recall, "mrr": reciprocal_rank}


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """mean: of each measure over the queries that have something relevant. each: float64 [q], NaN for the others."""

    mean: dict[str, float]
    each: dict[str, np.ndarray]
    queries: int  # with something relevant
    dropped: int  # without

    def table(self) -> str:
        lines = [f"{name:12} {value:.4f}" for name, value in self.mean.items()]
        return "\n".join([*lines, f"{self.queries} queries" + f", {self.dropped} without anything relevant left out" * bool(self.dropped)])


def retrieval_scores(found: Any, relevant: Relevant, measures: Sequence[str] = ("ndcg@10", "recall@100", "mrr@10")) -> RetrievalScores:
    """The measures "ndcg@k", "recall@k" and "mrr@k" of what a search found. See `ndcg`. InputError: an unknown measure, bad shapes.

    >>> scores, rows = index.search(queries, 100)
    >>> print(retrieval_scores(rows, [{3, 17}, {4: 2.0, 9: 1.0}]).table())
    """
    each = {}
    for name in measures:
        match = re.fullmatch(r"(\w+)@([1-9]\d*)", name)
        if match is None or match[1] not in MEASURES:
            raise InputError(f"measure {name!r}: wanted one of {', '.join(MEASURES)}, with @ and how many results, as in ndcg@10")
        each[name] = MEASURES[match[1]](found, relevant, int(match[2]))
    there = np.array([bool(one) for one in _judged(relevant)])
    if not there.any():
        raise InputError("no query has anything relevant: nothing to measure")
    return RetrievalScores({k: float(v[there].mean()) for k, v in each.items()}, each, int(there.sum()), int((~there).sum()))


def _judged(relevant: Relevant) -> list[dict[int, float]]:
    pairs = [one.items() if isinstance(one, Mapping) else ((item, 1.0) for item in one) for one in relevant]
    return [{int(item): float(gain) for item, gain in one if gain > 0} for one in pairs]


def _gains(found: Any, relevant: Relevant, k: int) -> tuple[np.ndarray, list[dict[int, float]]]:
    """The gain of each of the first k found, [q, k or fewer], an item found twice counted once; and what is relevant."""
    rows = np.asarray(found)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or len(rows) != len(relevant):
        raise InputError(f"found has shape {rows.shape} of {rows.dtype} for {len(relevant)} queries: wanted whole numbers [queries, k]")
    if k < 1:
        raise InputError(f"k={k}: wanted 1 or more")
    judged, rows = _judged(relevant), rows[:, :k]
    gains = np.zeros(rows.shape)
    for one, gain, items in zip(judged, gains, rows.tolist(), strict=True):
        left = dict(one)
        gain[:] = [left.pop(item, 0.0) for item in items]
    return gains, judged


def _over(value: np.ndarray, best: np.ndarray) -> np.ndarray:
    return np.divide(value, best, out=np.full(len(value), np.nan), where=best > 0)
