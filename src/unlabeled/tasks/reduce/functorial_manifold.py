"""A family of maps from two choices: how alike pairs are (weights), and what the map pays for (loss). UMAP, Isomap and others are cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.spatial.distance import cdist, squareform

from unlabeled.errors import InputError
from unlabeled.parts.neighbours import neighbours
from unlabeled.parts.pairweights import fuzzy, geodesic, strongest, ultrametric
from unlabeled.parts.planar import cross_entropy_map, laplacian_map, mds_map
from unlabeled.vectors import VectorTransformer

WEIGHTS, LOSSES = ("single", "maximal", "isomap", "fuzzy"), ("mds", "laplacian", "ce")
AROUND = 5  # fitted rows that a new one is placed between


@dataclass(kw_only=True, eq=False)
class FunctorialEmbedding(VectorTransformer):
    """Few numbers an item by a chosen pair of weights and loss, with its guarantees as numbers (`stability_report`, `refinement_report`).

    Shiebler, 2020, "Functorial Manifold Learning", arXiv:2011.07435. Cells with a name:
    maximal + mds: metric MDS; isomap + mds: Isomap; fuzzy + ce: UMAP; maximal + laplacian, top=15: Laplacian Eigenmaps;
    single + mds: Single Linkage Scaling; fuzzy + laplacian: LUMAP; maximal + ce: MLCE (the last three are the paper's).

        picture = FunctorialEmbedding(weights="fuzzy", loss="laplacian").fit(Z)   # Z: real [n, d]
        picture.embedding_                                                        # float32 [n, 2]
        FunctorialEmbedding(weights="single", loss="mds", metric="precomputed").fit(distances)

    transform puts a new row between the five fitted ones that are nearest (for "precomputed": distances [m, n] to the fitted).
    InputError: bad vectors, a matrix that is no symmetric distance, a parameter out of range.
    Departures: distances are divided by their median before exp(-d), which is 0 in many dimensions otherwise; pairs that a
    graph does not join are 1.5 times as far as the farthest joined ones; beyond `most` rows a sample is fitted.
    """

    weights: str = "fuzzy"  # of pairs: single (linkage), maximal (the distances), isomap (along the graph), fuzzy (as UMAP)
    loss: str = "laplacian"  # mds, laplacian or ce (UMAP's cross-entropy)
    dim: int = 2
    k: int = 15  # neighbours in the graph of isomap and fuzzy
    top: int | None = None  # keep so many of the strongest weights of each row; mds wants them all
    metric: str = "euclidean"  # or "precomputed"
    starts: int = 4  # of mds: the classical solution and random ones, the best stays
    epochs: int = 200  # of ce
    min_dist: float = 0.1  # of ce
    most: int = 3000  # rows that are fitted: time and memory grow with their square
    seed: int = 0

    def fit(self, Z: Any, y: Any = None) -> Self:
        if self.weights not in WEIGHTS or self.loss not in LOSSES or self.metric not in ("euclidean", "precomputed"):
            raise InputError(
                f"{self.weights}, {self.loss}, {self.metric}: wanted one of {WEIGHTS}, one of {LOSSES}, euclidean or precomputed"
            )
        if min(self.dim, self.k, self.starts, self.epochs, self.most - 2, self.top or 1) < 1:
            raise InputError("dim, k, top, starts and epochs are 1 or more, most 3 or more")
        X = self._vectors(Z, reset=True, least=3)
        self.rows_ = np.sort(np.random.default_rng(self.seed).permutation(len(X))[: self.most])
        D = self._square(X)[np.ix_(self.rows_, self.rows_)] if self.metric == "precomputed" else self._square(X[self.rows_])
        self.fitted_ = X[:0] if self.metric == "precomputed" else X[self.rows_]
        self.map_ = self._map(self._pairs(D)).astype(np.float32)
        self._n_features_out = self.dim
        self.embedding_ = self.transform(X)
        return self

    def transform(self, Z: Any) -> np.ndarray:
        X = self._vectors(Z, reset=False)
        placed = np.empty((len(X), self.dim), np.float32)
        for start in range(0, len(X), 1000):
            part = X[start : start + 1000]
            d = part[:, self.rows_] if self.metric == "precomputed" else cdist(part, self.fitted_)
            near = np.argsort(d, axis=1, kind="stable")[:, :AROUND]
            d = np.take_along_axis(d, near, axis=1)
            weight = np.where(d[:, :1] > 0, 1 / np.maximum(d, 1e-30), np.arange(near.shape[1]) == 0)  # a fitted row lies where it lies
            placed[start : start + 1000] = np.einsum("nk,nkd->nd", weight / weight.sum(axis=1, keepdims=True), self.map_[near])
        return placed

    def _square(self, X: np.ndarray) -> np.ndarray:
        """Distances of all pairs, float64 [n, n]."""
        X = X.astype(np.float64)
        if self.metric == "euclidean":
            return cdist(X, X)
        if X.shape[0] != X.shape[1] or (X < 0).any() or X.diagonal().any() or not np.allclose(X, X.T, atol=1e-6 * X.max()):
            raise InputError(f"distances {X.shape}: wanted a square symmetric matrix without negative numbers, 0 on the diagonal")
        return (X + X.T) / 2

    def _pairs(self, D: np.ndarray) -> np.ndarray:
        """Weights [n, n] of the pairs, 1 for no distance, from distances [n, n]: the clustering half of the method."""
        middle = float(np.median(squareform(D, checks=False))) or 1.0
        if self.weights == "fuzzy":
            w = fuzzy(D, self.k)
        else:
            metric = {"single": ultrametric, "maximal": lambda D: D, "isomap": lambda D: geodesic(D, self.k)}[self.weights]
            w = np.exp(-metric(D) / middle)
        return w if self.top is None else strongest(w, self.top)

    def _map(self, w: np.ndarray) -> np.ndarray:
        """Places [n, dim] that the loss finds best for these weights."""
        if self.loss == "laplacian":
            return laplacian_map(w, self.dim)
        if self.loss == "ce":
            return cross_entropy_map(w, self.dim, epochs=self.epochs, min_dist=self.min_dist, most=2 * self.k, seed=self.seed)
        delta = -np.log(np.maximum(w, np.finfo(float).tiny))
        joined = w > 0
        return mds_map(np.where(joined, delta, 1.5 * delta[joined].max()), self.dim, starts=self.starts, seed=self.seed)

    def refinement_report(self, Z: Any) -> dict[str, float]:
        """The order of the metrics: single linkage <= the distances <= along the graph. How far it is broken, and by how many pairs (0)."""
        D = self._square(replace(self)._vectors(Z, reset=True, least=3))
        u, g = ultrametric(D), geodesic(D, self.k)
        rounding = 1e-9 * D.max()
        above = np.maximum(u - D, D - g)
        return {
            "violations": int((above > rounding).sum() // 2),
            "largest": float(max(above.max(), 0.0)),
            "single_to_distance": float(u.sum() / D.sum()) if D.any() else 1.0,
            "graph_to_distance": float(g.sum() / D.sum()) if D.any() else 1.0,
        }

    def stability_report(self, Z: Any, noise: Sequence[float] = (0.05, 0.1, 0.2, 0.4)) -> list[dict[str, float]]:
        """What noise moves, one dict a level (as a share of the spread of Z's numbers).

        moved: the largest change of a distance. single, average, complete: the largest change of a linkage's metric over
        that; single linkage never exceeds 1. kept: share of the 10 nearest rows on the map that stay; procrustes: the
        disparity of the two maps (0 the same up to turning, moving and scaling, 1 unlike).
        """
        from scipy.spatial import procrustes

        X = replace(self)._vectors(Z, reset=True, least=3)
        if self.metric != "euclidean" or not all(level > 0 for level in noise):
            raise InputError("stability_report wants vectors (metric='euclidean') and levels of noise above 0")
        rng, D = np.random.default_rng(self.seed), self._square(X)
        clean, k = replace(self).fit(X).embedding_, min(10, len(X) - 1)
        near = neighbours(clean, k, metric="euclidean").rows
        report = []
        for level in noise:
            other = (X + rng.normal(scale=level * float(X.std()), size=X.shape)).astype(np.float32)
            D_other = self._square(other)
            moved = float(np.abs(D - D_other).max())
            one = {"noise": level, "moved": moved}
            for linkage in ("single", "average", "complete"):
                one[linkage] = float(np.abs(ultrametric(D, linkage) - ultrametric(D_other, linkage)).max()) / moved
            map_other = replace(self).fit(other).embedding_
            both = neighbours(map_other, k, metric="euclidean").rows[:, :, None] == near[:, None]
            report.append(one | {"kept": float(both.any(axis=2).mean()), "procrustes": float(procrustes(clean, map_other)[2])})
        return report

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == "precomputed"
        return tags
