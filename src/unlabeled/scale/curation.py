"""A balanced choice from vectors that no machine holds: the passes over all items run on Ray, the rest is small and runs here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.jobs import _evenness
from unlabeled.parts.assign import TOLERANCE
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.kmeans_large import SEED_ROWS, _assign, _draw, _first, _rows, _unit, kmeans_large
from unlabeled.scale.cluster import cluster
from unlabeled.scale.shards import read_manifest, read_vectors
from unlabeled.tasks.curate.hierarchical_curation import HierarchicalKMeans, foremost

TOGETHER = 16  # sums that one task adds up
RETRIES = 20  # of a task whose worker was lost


def curate(
    folder: str,
    n: int,
    *,
    levels: Sequence[int] | None = None,
    seed: int = 0,
    address: str = "local",
    say: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> dict[str, Any]:
    """n items, balanced over hierarchical k-means, of what `embed` wrote: as tasks.curate.HierarchicalKMeans chooses them.

    The vectors lie in the cluster's memory (Ray spills to disk what has no room); here are 20 bytes an item, and the few items nearest
    to each centre. settings: of `HierarchicalKMeans`. Returns what `jobs.curate` does. InputError: bad values, a folder that isn't whole.
    """
    said = read_manifest(folder)
    if not 1 <= n <= said["rows"]:
        raise InputError(f"n={n} of {said['rows']} items: wanted 1 to {said['rows']}")
    paths = [f"{folder}/{shard['file']}" for shard in said["shards"]]
    with cluster(address) as ray:
        rows = Shards(ray, paths, [shard["rows"] for shard in said["shards"]], said["width"])
        model = fit(HierarchicalKMeans(levels=None if levels is None else tuple(levels), seed=seed, **settings), rows, say)
        chosen = model.sample(n)
        ids = rows.ids(chosen)
    top = model.labels(len(model.tree_))
    drawn = np.random.default_rng(seed).choice(len(top), n, replace=False)
    even = [_evenness(np.bincount(top[which], minlength=int(top.max()) + 1) / n) for which in (chosen, drawn)]
    about = {"chosen": n, "of": len(top), "levels": [len(centers) for centers in model.centers_], "ids": ids}
    return about | {"evenness": round(even[0], 3), "evenness_at_random": round(even[1], 3)}


def fit(model: HierarchicalKMeans, rows: Shards, say: Callable[[str], None] = lambda line: None) -> HierarchicalKMeans:
    """`model.fit` of vectors in shards: its first level here, with the passes over all items on the cluster; the others of its centres."""
    one_of("metric", model.metric, ("cosine", "euclidean"))
    levels, steps = model._levels(len(rows)), whole("resample_steps", model.resample_steps, 0)
    nearest = model.nearest if isinstance(model.nearest, tuple | list) else (model.nearest,) * len(levels)
    if len(nearest) != len(levels):
        raise InputError(f"nearest={model.nearest!r}: wanted one number, or one for each of the {len(levels)} levels")
    k = levels[0]
    r = min(max(len(rows) // (2 * k), 2), 10) if nearest[0] is None else whole("nearest", nearest[0])
    pool = np.empty((0, rows.width), np.float32)
    for step in range(steps + 1):
        say(f"level 1 of {len(levels)}: {k} clusters, pass {step + 1} of {steps + 1}, of {len(pool) if step else len(rows):,} vectors")
        common: dict[str, Any] = {"metric": model.metric, "iters": model.iters, "seed": model.seed + step}
        centers = kmeans_large(pool, k, **common).centers if step else kmeans(rows, k, **common)
        labels, distance = rows.nearest(centers, model.metric)
        used, labels = np.unique(labels, return_inverse=True)
        if step < steps:
            pool = rows.gather(np.sort(foremost(labels, distance, np.full(len(used), r))))
    model.n_features_in_ = rows.width
    model.tree_, model.centers_, model.distance_ = [labels], [centers[used]], distance
    if len(levels) > 1:
        above = HierarchicalKMeans(**model.get_params() | {"levels": levels[1:], "nearest": nearest[1:], "seed": model.seed + 1000})
        above.fit(model.centers_[0])
        model.tree_, model.centers_ = [*model.tree_, *above.tree_], [*model.centers_, *above.centers_]
    return model


def kmeans(X: Shards, k: int, *, metric: str, iters: int, seed: int, start: np.ndarray | None = None) -> np.ndarray:
    """Centres [k, d] by Lloyd's iteration: `parts.kmeans_large`, with the same draws, of rows that lie in shards.

    A step's labels and sums are found shard by shard, so the result is that of one machine but for the order of float sums.
    start: centres to begin with (of unit length for metric "cosine").
    """
    k, rng, spherical = min(k, len(X)), np.random.default_rng(seed), metric == "cosine"
    offset = np.zeros(X.width, np.float32) if spherical else X.mean()
    if start is None:
        sample = X.gather(np.sort(rng.choice(len(X), min(len(X), SEED_ROWS * k), replace=False)))
        centers = _first(_rows(sample, offset, spherical), k, rng)
    else:
        centers = np.asarray(start, np.float32) - offset
    before, spread = None, 0.0
    for _ in range(iters):
        labels, distance, sums = X.assign(centers, offset, spherical)
        spread = spread or float(distance.sum(dtype=np.float64))
        size = np.bincount(labels, minlength=k)
        after = (sums / np.maximum(size, 1)[:, None]).astype(np.float32)
        empty = np.flatnonzero(size == 0)
        drawn = _draw(distance, len(empty), rng)
        after[empty] = centers[empty]
        after[empty[: len(drawn)]] = _rows(X.gather(drawn), offset, spherical)
        after = _unit(after) if spherical else after
        still = float((((after - centers) ** 2).sum(axis=1) * size).sum()) <= TOLERANCE * spread and not len(drawn)
        centers = after
        if still or (before is not None and np.array_equal(labels, before) and not len(drawn)):
            break
        before = labels
    return centers + offset


class Shards:
    """Vectors [n, d] in Parquet files, one array each in the cluster's memory; one that is lost with its node is read again."""

    def __init__(self, ray: Any, paths: list[str], sizes: list[int], width: int):
        self.ray, self.paths, self.width = ray, paths, width
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        task = ray.remote(max_retries=RETRIES, num_cpus=1)
        self._assign, self._sum, self._gather, self._total, self._ids = map(task, (_assigned, _added, _taken, _summed, _named))
        self.parts = [task(_vectors).remote(path) for path in paths]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Copy of some rows, in rising order or not."""
        out = np.empty((len(rows), self.width), np.float32)
        for where, found in self._each(self._gather, self.parts, rows):
            out[where] = found
        return out

    def ids(self, rows: np.ndarray) -> list[str]:
        out = np.empty(len(rows), object)
        for where, found in self._each(self._ids, self.paths, rows):
            out[where] = found
        return out.tolist()  # type: ignore[no-any-return]

    def mean(self) -> np.ndarray:
        return (self._add([self._total.remote(part) for part in self.parts]) / len(self)).astype(np.float32)

    def assign(self, centers: np.ndarray, offset: np.ndarray, spherical: bool, total: bool = True) -> tuple[np.ndarray, ...]:
        """Nearest centre [n], squared distance to it [n], sum of each centre's rows [k, d], added in the shards' order."""
        shared = self.ray.put((centers, offset, spherical, total))
        both = [self._assign.options(num_returns=2).remote(part, shared) for part in self.parts]
        found = self.ray.get([first for first, _ in both])
        sums = self._add([second for _, second in both]) if total else np.zeros(0)
        return np.concatenate([labels for labels, _ in found]).astype(np.int64), np.concatenate([distance for _, distance in found]), sums

    def nearest(self, centers: np.ndarray, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """As parts.kmeans_large.nearest_center."""
        spherical = metric == "cosine"
        offset = np.zeros(self.width, np.float32) if spherical else centers.mean(axis=0)
        return self.assign(_unit(centers.copy()) if spherical else centers - offset, offset, spherical, total=False)[:2]  # type: ignore[return-value]

    def _each(self, task: Any, parts: list[Any], rows: np.ndarray) -> list[tuple[np.ndarray, Any]]:
        """(places in rows, what the task found) for every shard that has some of the rows."""
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        places = {int(shard): np.flatnonzero(owner == shard) for shard in np.unique(owner)}
        found = [task.remote(parts[shard], rows[where] - self.starts[shard]) for shard, where in places.items()]
        return list(zip(places.values(), self.ray.get(found), strict=True))

    def _add(self, sums: list[Any]) -> np.ndarray:
        while len(sums) > 1:
            sums = [self._sum.remote(*sums[i : i + TOGETHER]) for i in range(0, len(sums), TOGETHER)]
        return self.ray.get(sums[0])  # type: ignore[no-any-return]


# What runs on the cluster --------------------------------------------------------------------------------------------
def _vectors(path: str) -> np.ndarray:
    return read_vectors(path)[1]


def _assigned(rows: np.ndarray, shared: tuple[Any, ...]) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    centers, offset, spherical, total = shared
    labels, distance, sums = _assign(rows, centers, offset, spherical, total)
    return (labels.astype(np.int32), distance), sums.astype(np.float64)


def _added(*sums: np.ndarray) -> np.ndarray:
    return np.sum(sums, axis=0)


def _taken(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    return rows[index]


def _summed(rows: np.ndarray) -> np.ndarray:
    return rows.sum(axis=0, dtype=np.float64)


def _named(path: str, index: np.ndarray) -> list[str]:
    ids = read_vectors(path)[0]
    return [ids[i] for i in index.tolist()]
