"""Plain classifiers of vectors: nearest class mean, calibrated logistic regression, labels spread along a graph of neighbours."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax

from unlabeled.parts.calibrate import platt, temperature
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.labels import NO_LABEL
from unlabeled.parts.neighbours import knn_graph, neighbours
from unlabeled.parts.scale import column_scale
from unlabeled.parts.spread import spread
from unlabeled.representation.index import unit
from unlabeled.vectors import VectorClassifier

PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)  # of half the squared weights beside the mean loss, strongest first
SEARCHED_ON = 10_000  # labelled rows that the penalty and the calibration are found on, at most


@dataclass(kw_only=True, eq=False)
class NearestClassMean(VectorClassifier):
    """The class whose mean direction is nearest by cosine: hard to beat with one to five labels a class, and done at once.

    centre: the mean of all rows, those without a label too, is taken off first (Wang et al., 2019, "SimpleShot",
    arXiv:1911.04623). Probabilities are a softmax of the cosines over `temperature`: an order, not calibrated.
    A class with one example is that example. InputError: fewer than two classes, bad values.

        model = NearestClassMean().fit(Z, y)      # y = -1 where there is no label
        model.predict(Z_new), model.predict_proba(Z_new)
    """

    temperature: float = 0.1
    centre: bool = True

    def fit(self, Z: Any, y: Any) -> Self:
        number("temperature", self.temperature, 0, above=True)
        Z, codes = self._labelled(Z, y)
        self.mean_ = Z.mean(axis=0, dtype=np.float64).astype(np.float32) * bool(self.centre)
        directions = unit(Z, self.mean_)
        zero = np.zeros_like(self.mean_)
        self.prototypes_ = unit(np.stack([directions[codes == c].mean(axis=0) for c in range(len(self.classes_))]), zero)
        return self

    def predict_proba(self, Z: Any) -> np.ndarray:
        Z = self._vectors(Z, reset=False)
        return softmax(unit(Z, self.mean_).astype(np.float64) @ self.prototypes_.T / self.temperature, axis=1)


@dataclass(kw_only=True, eq=False)
class CalibratedProbe(VectorClassifier):
    """Logistic regression on standardised vectors, its penalty chosen by cross-validation, its probabilities calibrated.

    calibration: "temperature" (one number for all classes; Guo et al., 2017, arXiv:1706.04599), "platt" (a slope and an offset
    for each class, then scaled to add up to 1; Platt, 1999), or None. Penalty and calibration come from predictions on held-out folds,
    on at most 10,000 labelled rows; the final weights from all of them. A class with one example is never held out; where
    every class has one, the middle penalty is taken and nothing is calibrated.
    Learned: `coef_`, `intercept_` (of vectors as they come), `penalty_`, `temperature_`. InputError: fewer than two classes, bad values.

        model = CalibratedProbe().fit(Z, y)       # rows with y = -1 are left out
        sure = model.predict_proba(Z_new).max(axis=1)
    """

    calibration: str | None = "temperature"
    folds: int = 5
    penalties: tuple[float, ...] = PENALTIES
    seed: int = 0

    def fit(self, Z: Any, y: Any) -> Self:
        from sklearn.metrics import log_loss

        one_of("calibration", self.calibration, ("temperature", "platt", None))
        whole("folds", self.folds, 2)
        penalties = sorted((number("penalties", one, 0, above=True) for one in self.penalties), reverse=True)
        Z, codes = self._labelled(Z, y)
        Z, codes = Z[codes != NO_LABEL].astype(np.float64), codes[codes != NO_LABEL]
        mean, spread_ = column_scale(Z)
        X = (Z - mean) / spread_
        fold_of = _folds(codes, self.folds, self.seed)
        held = fold_of >= 0
        self.penalty_, outside = penalties[len(penalties) // 2], None
        if held.any():
            scores = {one: np.zeros((len(X), len(self.classes_))) for one in penalties}
            for fold in range(int(fold_of.max()) + 1):
                rest, out = (fold_of != fold) & (fold_of > -2), fold_of == fold
                for one, (weights, bias) in zip(penalties, _path(X[rest], codes[rest], penalties), strict=True):
                    scores[one][out] = X[out] @ weights.T + bias
            truth, names = codes[held], np.arange(len(self.classes_))
            losses = [log_loss(truth, softmax(scores[one][held], axis=1), labels=names) for one in penalties]
            self.penalty_ = penalties[int(np.argmin(losses))]
            outside = scores[self.penalty_][held]
        weights, bias = _path(X, codes, [self.penalty_])[0]
        self.coef_ = weights / spread_
        self.intercept_ = bias - self.coef_ @ mean
        self.temperature_, self.slopes_, self.offsets_ = 1.0, None, None
        if outside is not None and self.calibration == "temperature":
            self.temperature_ = temperature(outside, truth)
        elif outside is not None and self.calibration == "platt":
            self.slopes_, self.offsets_ = platt(outside, truth)
        return self

    def predict_proba(self, Z: Any) -> np.ndarray:
        Z = self._vectors(Z, reset=False)
        scores = Z.astype(np.float64) @ self.coef_.T + self.intercept_
        if self.slopes_ is None:
            return softmax(scores / self.temperature_, axis=1)
        shares = expit(scores * self.slopes_ + self.offsets_).clip(1e-12)
        return shares / shares.sum(axis=1, keepdims=True)


@dataclass(kw_only=True, eq=False)
class LabelPropagation(VectorClassifier):
    """Few labels spread to all rows along the graph of nearest neighbours, with many rows that have none.

    Zhou et al., 2004, "Learning with Local and Global Consistency" (scikit-learn calls it LabelSpreading). alpha: how much a row
    takes from its neighbours rather than from its own label; sparse and solved by conjugate gradients: 100,000 rows take seconds
    once their neighbours are found. Learned: `transduction_` [n], the class of every row of `fit`, and `label_distributions_`
    [n, classes]; `unreached_`: rows with no path to a label, which get the labels' own shares. New rows take the mean of their k
    nearest fitted rows, by similarity. metric: "cosine" or "euclidean". InputError: fewer than two classes, bad values.

        model = LabelPropagation().fit(Z, y)      # y = -1 for most rows
        model.transduction_, model.predict(Z_new)
    """

    k: int = 15
    alpha: float = 0.9  # the paper: 0.99, with which 100 labels of 400 digits gave .64 right, and balanced .94
    balance: bool = True  # the labels of a class weigh 1 together: else the class with most of them floods the graph
    metric: str = "cosine"
    seed: int = 0

    def fit(self, Z: Any, y: Any) -> Self:
        whole("k", self.k)
        number("alpha", self.alpha, 0, 1 - 1e-6)
        one_of("metric", self.metric, ("cosine", "euclidean"))
        Z, codes = self._labelled(Z, y, least=2)
        Y = (codes[:, None] == np.arange(len(self.classes_))).astype(np.float64)
        shares = Y.sum(axis=0)
        if self.balance:
            Y /= shares
        F = spread(knn_graph(Z, self.k, metric=self.metric, weight="similarity", seed=self.seed), Y, self.alpha)
        reached = F.sum(axis=1) > 0
        self.unreached_ = int((~reached).sum())
        if self.unreached_:
            warnings.warn(f"{self.unreached_:,} of {len(Z):,} rows have no path to a label: they get the labels' shares", stacklevel=2)
            F[~reached] = shares
        self.label_distributions_ = (F / F.sum(axis=1, keepdims=True)).astype(np.float32)
        self.transduction_ = self.classes_[self.label_distributions_.argmax(axis=1)]
        self.vectors_ = Z
        return self

    def predict_proba(self, Z: Any) -> np.ndarray:
        Z = self._vectors(Z, reset=False)
        found = neighbours(self.vectors_, self.k, queries=Z, metric=self.metric, seed=self.seed)
        distances = found.distances.astype(np.float64)
        if self.metric == "cosine":
            votes = 1 - distances
        else:  # against the row's own distance to the last of them, so that no row's answer hangs on what else is asked
            votes = np.exp(-np.square(distances / np.maximum(distances[:, -1:], np.finfo(np.float32).tiny)))
        votes = np.maximum(votes, 1e-9) * (found.rows >= 0)
        p = np.zeros((len(Z), len(self.classes_)))
        for place in range(votes.shape[1]):
            p += votes[:, place, None] * self.label_distributions_[found.rows[:, place]]
        return p / p.sum(axis=1, keepdims=True)


def held_out(y: np.ndarray, part: int, seed: int) -> np.ndarray:
    """bool [n]: one in `part` examples of every class that has as many, drawn with the seed."""
    rng = np.random.default_rng(seed)
    out = np.zeros(len(y), bool)
    for value in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == value))
        out[members[: len(members) // part]] = True
    return out


def _folds(codes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """A fold for each row, every class dealt out over them; -1: only learned from (alone in its class), -2: left out of the search."""
    rng = np.random.default_rng(seed)
    fold_of = np.full(len(codes), -2, np.int64)
    most = max(2, int(np.ceil(SEARCHED_ON / len(np.unique(codes)))))  # of each class, so that rare ones stay whole
    for dealt, code in enumerate(np.unique(codes)):
        members = rng.permutation(np.flatnonzero(codes == code))[:most]
        fold_of[members] = (dealt + np.arange(len(members))) % folds if len(members) > 1 else -1
    return fold_of


def _path(X: np.ndarray, y: np.ndarray, penalties: list[float]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights [classes, d] and biases [classes] for each penalty, each search from the end of the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model, found = LogisticRegression(max_iter=300, warm_start=True), []
    for penalty in penalties:
        model.set_params(C=1 / (penalty * len(X)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # almost no penalty on separable rows: it could go on for ever
            warnings.filterwarnings("ignore", "The number of unique classes")  # two shots of twenty classes are not a regression
            model.fit(X, y)
        weights, bias = model.coef_.copy(), model.intercept_.copy()
        if len(weights) == 1:  # two classes have one row of weights: half for each, as a softmax has it
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        found.append((weights, bias))
    return found
