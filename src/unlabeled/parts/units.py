"""Single units that tell two classes apart: which they are, and how well each does by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from unlabeled.errors import InputError
from unlabeled.parts.checks import whole


@dataclass(frozen=True)
class Unit:
    """auroc: at least 0.5, with sign -1 where the second class has the smaller values. threshold: what parts the two best, on what was
    given; the second class has sign * value > sign * threshold. means: of both classes."""

    unit: int
    auroc: float
    sign: int
    threshold: float
    means: tuple[float, float]

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Which rows are of the second class, by this unit alone: bool [n]."""
        return self.sign * features[:, self.unit] > self.sign * self.threshold


def unit_auroc(features: Any, second: Any) -> np.ndarray:
    """float64 [d]: the chance that a row of the second class has a larger value than one of the first; ties count half.

    features [n, d]; second: bool [n].
    """
    features, second = np.asarray(features), np.asarray(second, dtype=bool)
    n1, n0 = int(second.sum()), int((~second).sum())
    ranks = rankdata(features, axis=0)[second].sum(axis=0)
    return (ranks - n1 * (n1 + 1) / 2) / (n1 * n0)


def find_units(features: Any, y: Any, k: int = 1) -> list[Unit]:
    """The k units (all, if there are fewer) that tell the two classes of y apart best, best first, each scored by itself.

    features: numbers [n, d]. Judge the units on other rows: the best of many looks better than it is where it was chosen.
    InputError: y has not exactly two classes, or other rows than features; numbers that are not finite.
    """
    features, y = np.asarray(features), np.asarray(y)
    if features.ndim != 2 or len(features) != len(y) or features.shape[1] < 1:
        raise InputError(f"features are {list(features.shape)}, y {list(y.shape)}: wanted [n, d] and [n]")
    if not np.isfinite(features).all():
        raise InputError("features hold numbers that are not finite")
    classes = np.unique(y)
    if len(classes) != 2:
        raise InputError(f"y has {len(classes)} classes: wanted two, such as 0 and 1")
    second = y == classes[1]
    auroc = unit_auroc(features, second)
    best = np.argsort(-np.abs(auroc - 0.5), kind="stable")[: whole("k", k)]
    found = []
    for unit in best.tolist():
        sign = 1 if auroc[unit] >= 0.5 else -1
        x = features[:, unit].astype(np.float64)
        means = float(x[~second].mean()), float(x[second].mean())
        found.append(Unit(unit, float(max(auroc[unit], 1 - auroc[unit])), sign, sign * _threshold(sign * x, second), means))
    return found


def _threshold(x: np.ndarray, second: np.ndarray) -> float:
    """The cut with the fewest errors where larger values are the second class: between two values, or below or above all."""
    order = np.argsort(x, kind="stable")
    x, gain = x[order], np.where(second[order], -1, 1)
    right = np.concatenate([[0], np.cumsum(gain)])  # of the rows below a cut: first class minus second
    cuts = np.concatenate([[x[0] - 1], (x[:-1] + x[1:]) / 2, [x[-1] + 1]])
    allowed = np.concatenate([[True], x[1:] > x[:-1], [True]])  # equal values stay together
    return float(cuts[np.where(allowed, right, -len(x) - 1).argmax()])
