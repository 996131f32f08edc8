"""WordTour: any vectors in one order in which neighbours are alike, closed to a ring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.neighbours import neighbours as nearest_rows
from unlabeled.parts.tour import greedy_tour, short_tour, tour_bound, tour_length
from unlabeled.vectors import VectorTransformer


@dataclass(kw_only=True, eq=False)
class WordTour(VectorTransformer):
    """A closed tour through all vectors, as short as can be found: who stands side by side is alike (not all who are alike do).

    Sato, 2022, "Word Tour: One-dimensional Word Embeddings via the Traveling Salesman Problem", arXiv:2205.01954.
    fit takes real vectors [n, d] and, if you like, n names. Learned: `order_` int64 [n], `place_` of each row in it,
    `length_`, `greedy_length_` of the tour it started from, and `bound_`, which no tour is shorter than.

        tour = WordTour().fit(vectors, names=words)
        tour.neighbours("cat", r=5)                   # eleven words of the order, "cat" in the middle
        smooth = tour.blur(counts, sigma=10)          # counts: float [m, n], one column a word

    transform gives each vector the place of the fitted row nearest to it, float32 [m, 1]; after place n - 1 comes 0.
    InputError: bad vectors, a parameter out of range, names that are not one a row, a name that is not there.
    Departure: the paper's 40,000 words went through LKH for hours; here 2-opt, Or-opt and kicks (1 % above the bound on
    5,000 vectors of 384 numbers in some seconds). In few dimensions it stays about 4 % above the shortest tour.
    """

    metric: str = "euclidean"  # the paper's; "cosine" where lengths tell how frequent a word is and not what it means
    k: int = 10  # neighbours that moves are tried with
    solver: str = "2opt+oropt"  # or "2opt", or "greedy", where both start from
    kicks: float = 0.2  # a row, each some milliseconds: tours shaken and mended
    time_limit: float | None = None  # seconds for the kicks; what is cut short is not repeatable
    seed: int = 0

    def fit(self, Z: Any, y: Any = None, names: Any = None) -> Self:
        if self.metric not in ("euclidean", "cosine") or self.solver not in ("2opt+oropt", "2opt", "greedy"):
            raise InputError(f"metric={self.metric!r}, solver={self.solver!r}: wanted euclidean or cosine, 2opt+oropt, 2opt or greedy")
        if self.k < 2 or not self.kicks >= 0:
            raise InputError(f"k={self.k}, kicks={self.kicks}: wanted 2 or more neighbours and 0 or more kicks")
        X = self._rows(Z, reset=True)
        n = len(X)
        if names is not None and len(names) != n:
            raise InputError(f"{len(names)} names for {n} vectors: wanted one each")
        self.names_ = None if names is None else np.array([str(one) for one in names])
        start = greedy_tour(X, self.k)
        oropt, kicks = self.solver == "2opt+oropt", self.kicks
        greedy = self.solver == "greedy"
        found = (
            start if greedy else short_tour(X, self.k, oropt=oropt, kicks=kicks, start=start, seed=self.seed, time_limit=self.time_limit)
        )
        self.order_ = found.astype(np.int64)
        self.place_ = np.argsort(self.order_)
        self.length_, self.greedy_length_ = tour_length(X, found), tour_length(X, start)
        self.bound_ = tour_bound(X, self.length_, self.k)
        self.vectors_, self._n_features_out = X, 1
        return self

    def transform(self, Z: Any) -> np.ndarray:
        near = nearest_rows(self.vectors_, 1, queries=self._rows(Z, reset=False), metric="euclidean").rows[:, 0]
        return self.place_[near].astype(np.float32)[:, None]

    def position(self, item: Any) -> int:
        """The place of a name (without names: of a row) in the order."""
        if self.names_ is None:
            if not isinstance(item, int | np.integer) or not 0 <= item < len(self.order_):
                raise InputError(f"no row {item!r} among {len(self.order_)}; fit with names to ask by name")
            return int(self.place_[item])
        rows = np.flatnonzero(self.names_ == str(item))
        if not len(rows):
            raise InputError(f"{item!r} is not among the {len(self.names_)} names")
        return int(self.place_[rows[0]])

    def neighbours(self, item: Any, r: int = 5) -> list[Any]:
        """The names (or rows) from r places before to r after it."""
        n = len(self.order_)
        r = min(r, (n - 1) // 2)
        rows = self.order_[(self.position(item) + np.arange(-r, r + 1)) % n]
        return (rows if self.names_ is None else self.names_[rows]).tolist()

    def blur(self, histograms: Any, sigma: float = 10.0) -> np.ndarray:
        """Counts [m, n], one column a fitted row, spread over the places around (a Gaussian of sigma places, round the ring).

        float32 [m, n], columns as they came, rows that add up to 1 (rows of zeros stay). sigma=0 only scales.
        """
        from scipy.ndimage import gaussian_filter1d

        H = check_vectors(histograms, "histograms")
        if H.shape[1] != len(self.order_) or (H < 0).any() or not sigma >= 0:
            raise InputError(
                f"histograms are {H.shape}, sigma is {sigma}: wanted [m, {len(self.order_)}] without negative numbers, sigma >= 0"
            )
        total = H.sum(axis=1, keepdims=True, dtype=np.float64)
        H = H / np.where(total > 0, total, 1)
        if sigma > 0:
            H = gaussian_filter1d(H[:, self.order_], sigma, axis=1, mode="wrap")[:, self.place_]
        return H.astype(np.float32)

    def _rows(self, Z: Any, reset: bool) -> np.ndarray:
        X = self._vectors(Z, reset=reset)
        length = np.linalg.norm(X, axis=1, keepdims=True)
        return X / np.where(length > 0, length, 1) if self.metric == "cosine" else X
