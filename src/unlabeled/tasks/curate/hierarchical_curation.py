"""Choose a large, varied and balanced part of a skewed pool: k-means of k-means, and a sample that goes evenly down the tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import _check_n_features, check_is_fitted

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.kmeans_large import kmeans_large, nearest_center
from unlabeled.vectors import VectorEstimator


@dataclass(kw_only=True, eq=False)
class HierarchicalKMeans(VectorEstimator):
    """Curate a pool before pretraining or labelling: k-means of the items, then of the centres, and so on; then a balanced sample.

    Centres of k-means follow the density of the data almost as it is; centres of centres, and k-means again on the few items
    nearest to each centre ("resampling"), spread more evenly over what there is, so that a rare kind isn't lost in a common one.

    levels: clusters of each level, falling (the paper, for 743 million pictures: 10 million, 500,000, 50,000, 10,000); None: a
    tenth of the items up to 1,000, of more than 100,000 items a hundredth, then a tenth and a fiftieth of that. resample_steps: as
    in the paper. nearest: items a cluster kept in a resampling, one number or one a level (None: half of what a cluster has on
    average, 2 to 10). metric: "cosine" (the paper: Euclidean on vectors of unit length; here the centres have unit length too,
    which saves a copy of the data) or "euclidean".

    fit(Z): real [n, d], in memory or memory-mapped. Learned: `tree_`, tree_[0] [n] the cluster of each item, tree_[t] the cluster
    of each cluster of the level below; `centers_`, one [k, d] a level; `distance_` [n], squared, of each item to its centre. Copies
    of an item draw centres to them: remove them first (`unlabeled.duplicates`). InputError: bad values, more clusters than items.
    Vo et al., 2024, "Automatic Data Curation for Self-Supervised Learning: A Clustering-Based Approach", arXiv:2405.15613.

    >>> curator = HierarchicalKMeans(levels=(1000, 100, 20)).fit(vectors)
    >>> rows = curator.sample(10_000)                  # balanced over all levels
    >>> curator.sizes(3), curator.labels(3)            # the coarsest level
    """

    levels: tuple[int, ...] | None = None
    resample_steps: int = 10
    nearest: int | tuple[int, ...] | None = None
    metric: str = "cosine"
    iters: int = 20  # of each k-means
    seed: int = 0

    def fit(self, Z: Any, y: Any = None) -> Self:
        rows = self._vectors(Z, reset=True)
        one_of("metric", self.metric, ("cosine", "euclidean"))
        levels, steps = self._levels(len(rows)), whole("resample_steps", self.resample_steps, 0)
        nearest = self.nearest if isinstance(self.nearest, tuple | list) else (self.nearest,) * len(levels)
        if len(nearest) != len(levels):
            raise InputError(f"nearest={self.nearest!r}: wanted one number, or one for each of the {len(levels)} levels")
        self.tree_, self.centers_ = [], []
        for t, (k, r) in enumerate(zip(levels, nearest, strict=True)):
            r = min(max(len(rows) // (2 * k), 2), 10) if r is None else whole("nearest", r)
            pool = rows
            for step in range(steps + 1):
                found = kmeans_large(pool, k, metric=self.metric, iters=self.iters, seed=self.seed + 1000 * t + step)
                # All items of the level are assigned again, the last time too; centres that nobody is nearest to are dropped.
                labels, distance = nearest_center(rows, found.centers, self.metric)
                used, labels = np.unique(labels, return_inverse=True)
                pool = gather(rows, np.sort(foremost(labels, distance, np.full(len(used), r))))
            self.tree_.append(labels)
            self.centers_.append(found.centers[used])
            if t == 0:
                self.distance_ = distance
            rows = self.centers_[-1]
        return self

    def labels(self, level: int = 1) -> np.ndarray:
        """The cluster of each item at a level, 1 the finest: int64 [n]."""
        check_is_fitted(self)
        if not 1 <= whole("level", level) <= len(self.tree_):
            raise InputError(f"level={level}: wanted 1, the finest, to {len(self.tree_)}")
        labels = self.tree_[0]
        for parents in self.tree_[1:level]:
            labels = parents[labels]
        return labels

    def sizes(self, level: int = 1) -> np.ndarray:
        """How many items each cluster of a level has, none of them 0: int64 [k]."""
        return np.bincount(self.labels(level), minlength=len(self.centers_[level - 1]))

    def predict(self, Z: Any) -> np.ndarray:
        """The cluster of new items at the finest level: int64 [n]."""
        Z = self._vectors(Z, reset=False)
        return nearest_center(Z, self.centers_[0], self.metric)[0]

    def sample(self, n: int, *, rule: str = "balanced", leaf: str = "random", seed: int | None = None) -> np.ndarray:
        """n different items of those that were fitted, as rows in order: int64 [n].

        rule: "balanced" (each cluster of the coarsest level gives as many as any other, or all it has, and so on inside of each)
        or "random" (any n items). leaf: which items of a cluster of the finest level: "random" ones or the "closest" to its centre.
        """
        check_is_fitted(self)
        if whole("n", n) > len(self.distance_):
            raise InputError(f"n={n} of {len(self.distance_)} items: wanted at most all of them")
        one_of("rule", rule, ("balanced", "random"))
        one_of("leaf", leaf, ("random", "closest"))
        rng = np.random.default_rng(self.seed if seed is None else seed)
        if rule == "random":
            return np.sort(rng.choice(len(self.distance_), n, replace=False))
        top = len(self.tree_)
        share = water_filling(self.sizes(top), n, rng)
        for level in range(top - 1, 0, -1):
            room, below, parents = self.sizes(level), np.zeros(len(self.centers_[level - 1]), np.int64), self.tree_[level]
            order = np.argsort(parents, kind="stable")
            for parent, children in enumerate(np.split(order, np.flatnonzero(np.diff(parents[order])) + 1)):
                below[children] = water_filling(room[children], int(share[parent]), rng)
            share = below
        key = self.distance_ if leaf == "closest" else rng.random(len(self.distance_))
        return np.sort(foremost(self.tree_[0], key, share))

    def _vectors(self, Z: Any, *, reset: bool, least: int = 1) -> np.ndarray:
        if not isinstance(Z, np.memmap):
            return super()._vectors(Z, reset=reset, least=least)
        if not reset:  # a memory map stays one, whatever its dtype, and is read in blocks
            check_is_fitted(self)
        Z = check_vectors(Z)
        _check_n_features(self, Z, reset=reset)
        return Z

    def _levels(self, n: int) -> tuple[int, ...]:
        if self.levels is None:
            first = max(n // 100, min(n // 10, 1000), 1)
            return tuple(k for i, k in enumerate((first, first // 10, first // 50)) if i == 0 or k > 1)
        levels = tuple(whole("levels", k) for k in self.levels) if isinstance(self.levels, tuple | list) else ()
        if not levels or levels[0] > n or any(a <= b for a, b in zip(levels, levels[1:], strict=False)):
            raise InputError(f"levels={self.levels!r} for n_samples={n}: wanted falling numbers of clusters, the first at most {n}")
        return levels


def water_filling(sizes: Any, n: int, rng: np.random.Generator) -> np.ndarray:
    """Deal n items out over clusters as equally as their sizes [k] allow: int64 [k], with the sum n.

    Each gives min(level, its size), with the highest level whose total isn't above n; what is left goes, one each, to random
    clusters that still have room. n must not be above the sum of the sizes.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    if not 0 <= n <= sizes.sum():
        raise InputError(f"{n} items of clusters with {sizes.sum()}: wanted 0 to all of them")
    ascending = np.sort(sizes)
    # Total at the level of each size: all smaller clusters whole, the others cut there.
    totals = np.cumsum(ascending) - ascending + ascending * np.arange(len(sizes), 0, -1)
    whole_ones = int(np.searchsorted(totals, n, side="right"))  # so many clusters are smaller than the level, or equal
    level = (n - ascending[:whole_ones].sum()) // (len(sizes) - whole_ones) if whole_ones < len(sizes) else ascending[-1]
    share = np.minimum(sizes, level)
    room = np.flatnonzero(sizes > share)
    share[rng.permutation(room)[: n - share.sum()]] += 1
    return share


def foremost(labels: np.ndarray, key: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The rows with the smallest keys of each cluster c, count[c] of them or all it has. labels, key: [n]; count: [k]."""
    order = np.lexsort((key, labels))
    starts = np.cumsum(np.bincount(labels, minlength=len(count))) - np.bincount(labels, minlength=len(count))
    return order[np.arange(len(order)) - starts[labels[order]] < count[labels[order]]]


__all__ = ["HierarchicalKMeans", "foremost", "water_filling"]
