"""Few-shot episodes: a few classes, a few labelled examples of each, and further examples of them to be told apart."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.checks import whole
from unlabeled.parts.labels import known


@dataclass(frozen=True)
class Episode:
    classes: np.ndarray  # [n_way]: the drawn classes, in an order drawn anew each time; the place in it is a class's number
    support: np.ndarray  # int64 [n_way * k_shot]: rows of the data, class by class
    query: np.ndarray  # int64 [m]: other rows, class by class
    query_codes: np.ndarray  # int64 [m]: the class numbers of the queries


class Episodes:
    """Draws episodes from labelled rows: n_way classes, k_shot support rows and n_query query rows of each.

    y: [n]; -1, "" and None are no label. Classes with fewer than k_shot + n_query rows are left out (`classes` are those that
    remain). unbalanced: the n_way * n_query queries fall on the classes by shares from a Dirichlet distribution with this
    concentration (as far as a class has rows), instead of evenly. InputError: fewer than n_way classes remain.
    """

    def __init__(self, y: Any, n_way: int = 5, k_shot: int = 1, n_query: int = 15, *, unbalanced: float | None = None):
        for name, value, least in (("n_way", n_way, 2), ("k_shot", k_shot, 1), ("n_query", n_query, 1)):
            whole(name, value, least)
        if unbalanced is not None and not 0 < unbalanced < math.inf:
            raise InputError(f"unbalanced is a concentration: wanted a positive number or None, got {unbalanced!r}")
        y = np.asarray(y)
        if y.ndim != 1:
            raise InputError(f"y has shape {y.shape}: wanted one label a row")
        there = known(y)
        rows = np.flatnonzero(there)
        names, codes, sizes = np.unique(y[rows], return_inverse=True, return_counts=True)
        enough = sizes >= k_shot + n_query
        if enough.sum() < n_way:
            raise InputError(
                f"{enough.sum()} of {len(names)} classes have the {k_shot + n_query} rows that {k_shot} support and {n_query} query "
                f"examples take: wanted n_way={n_way} such classes or more"
            )
        self.classes = names[enough]
        self.members = [rows[codes == code] for code in np.flatnonzero(enough)]
        self.n_way, self.k_shot, self.n_query, self.unbalanced = n_way, k_shot, n_query, unbalanced

    def draw(self, rng: np.random.Generator) -> Episode:
        chosen = rng.permutation(len(self.classes))[: self.n_way]
        counts = np.full(self.n_way, self.n_query)
        if self.unbalanced is not None:
            counts = rng.multinomial(counts.sum(), rng.dirichlet(np.full(self.n_way, self.unbalanced)))
        shuffled = [rng.permutation(self.members[code]) for code in chosen]
        query = [rows[self.k_shot :][:count] for rows, count in zip(shuffled, counts, strict=True)]
        return Episode(
            self.classes[chosen],
            np.concatenate([rows[: self.k_shot] for rows in shuffled]),
            np.concatenate(query),
            np.repeat(np.arange(self.n_way), [len(rows) for rows in query]),
        )


@dataclass(frozen=True)
class FewShotAccuracy:
    mean: float  # over the episodes, of the share of queries that are told right
    interval: float  # the true mean lies within mean +- interval with 95 % confidence
    each: np.ndarray  # float64 [episodes]

    def table(self) -> str:
        return f"{100 * self.mean:.2f} +- {100 * self.interval:.2f} % ({len(self.each)} episodes)"


def few_shot_accuracy(
    model: Any,
    X: Any,
    y: Any,
    *,
    n_way: int = 5,
    k_shot: int = 1,
    n_query: int = 15,
    episodes: int = 600,
    seed: int = 0,
    unbalanced: float | None = None,
) -> FewShotAccuracy:
    """How well classes are told apart from k_shot examples of each. X: [n, ...] or a list, y: [n], classes never trained on.

    model: has `episode(support, y)`, which gives a function of queries (HyperShot); or `fit` and `predict`, and is fitted anew
    for every episode (a scikit-learn classifier); or is a function (support, y, query) -> labels. The same seed gives every
    model the same episodes. The rest as in `Episodes`. InputError: too few classes or rows.
    """
    y = np.asarray(y)
    if len(y) != len(X) or episodes < 2:
        raise InputError(f"X has {len(X)} rows and y {len(y)}, episodes={episodes!r}: wanted a label a row and 2 episodes or more")
    drawn, rng = Episodes(y, n_way, k_shot, n_query, unbalanced=unbalanced), np.random.default_rng(seed)
    each = np.empty(episodes)
    for i in range(episodes):
        one = drawn.draw(rng)
        found = _answer(model, _rows(X, one.support), y[one.support], _rows(X, one.query))
        each[i] = np.mean(np.asarray(found) == y[one.query])
    return FewShotAccuracy(float(each.mean()), 1.96 * float(each.std(ddof=1)) / math.sqrt(episodes), each)


def _answer(model: Any, support: Any, y: np.ndarray, query: Any) -> Any:
    if hasattr(model, "episode"):
        return model.episode(support, y)(query)
    return copy.deepcopy(model).fit(support, y).predict(query) if hasattr(model, "predict") else model(support, y, query)


def _rows(X: Any, index: np.ndarray) -> Any:
    return X[index] if hasattr(X, "shape") else [X[i] for i in index]
