"""What a paper claims, small enough to be measured, and the verdict that the seeds give on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

HOLDS, FAILS, NOT_SHOWN = "holds", "fails", "not shown at this scale"
ROLES = ("trivial baseline", "key ingredient removed", "by itself")
CONFIDENCE = 0.95  # of the interval, from one side: a claim has a direction


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`ours` beats `than` in `metric` by at least `margin`.

    than: another arm, several (the best of them, seed by seed), or a number. lower: less is better. on: the claim is made
    of this data set only (with the user's own data it is asked of those). pooled: it is made of the mean over the data sets.
    margin below 0: "not worse by more than".
    """

    text: str
    ours: str
    than: str | tuple[str, ...] | float
    metric: str = "knn"
    margin: float = 0.0
    role: str = "trivial baseline"
    lower: bool = False
    on: str | None = None
    pooled: bool = False

    def __init__(self, text: str, **fields: Any):
        values = {"metric": "knn", "margin": 0.0, "role": ROLES[0], "lower": False, "on": None, "pooled": False} | fields | {"text": text}
        unknown = values.keys() - self.__dataclass_fields__.keys()
        missing = self.__dataclass_fields__.keys() - values.keys()
        if unknown or missing:
            raise TypeError(f"a claim has the fields {', '.join(self.__dataclass_fields__)}: got {', '.join(sorted(unknown | missing))}")
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if self.role not in ROLES:
            raise ValueError(f"role is {self.role!r}: wanted one of {', '.join(ROLES)}")

    def judge_all(self, sets: dict[str, Sequence[dict[str, dict[str, float]]]]) -> list[dict[str, Any]]:
        """The claim on each data set that it is made of, or on their mean. sets: {data set: for each seed {arm: {metric: value}}}."""
        if self.pooled and len(sets) > 1:
            return [{"on": f"mean of {len(sets)} sets"} | self.judge([_mean(seed) for seed in zip(*sets.values(), strict=True)])]
        asked = {name: arms for name, arms in sets.items() if self.on in (None, name)} or sets
        return [{"on": name} | self.judge(arms) for name, arms in asked.items()]

    def judge(self, arms: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
        """The claim on one data set. arms: for each seed {arm: {metric: value}}."""
        ours = [self._value(seed, self.ours) for seed in arms]
        if isinstance(self.than, int | float):
            than = [float(self.than)] * len(arms)
        else:
            names = (self.than,) if isinstance(self.than, str) else self.than
            best = min if self.lower else max
            than = [best(self._value(seed, name) for name in names) for seed in arms]
        sign = -1 if self.lower else 1
        difference = [sign * (a - b) for a, b in zip(ours, than, strict=True)]
        low, high = interval(difference)
        return {
            "text": self.text,
            "role": self.role,
            "ours": self.ours,
            "than": list(self.than) if isinstance(self.than, tuple) else self.than,
            "metric": self.metric,
            "lower_is_better": self.lower,
            "ours_per_seed": ours,
            "than_per_seed": than,
            "difference": float(np.mean(difference)),
            "interval": [low, high],
            "margin": self.margin,
            "verdict": verdict(difference, self.margin),
        }

    def _value(self, arms: dict[str, dict[str, float]], name: str) -> float:
        try:
            return float(arms[name][self.metric])
        except KeyError:
            raise KeyError(f'the claim "{self.text}" needs {self.metric} of {name}: the run gave {sorted(arms)}') from None


def _mean(sets: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """{arm: {metric: mean over the sets}} of what all of them have."""
    first, *others = sets
    shared = {arm: [metric for metric in scores if all(metric in one.get(arm, {}) for one in others)] for arm, scores in first.items()}
    return {arm: {m: float(np.mean([one[arm][m] for one in sets])) for m in metrics} for arm, metrics in shared.items()}


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Where the true mean difference lies above the first and below the second number, each with 95 % confidence (Student's t).

    With one seed nothing is known: (-inf, inf). Differences without any spread count as exact.
    """
    from scipy.stats import t

    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:
        return -math.inf, math.inf
    reach = float(t.ppf(CONFIDENCE, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d)))
    return float(d.mean()) - reach, float(d.mean()) + reach


def verdict(differences: Sequence[float], margin: float) -> str:
    """holds: the mean reaches the margin and the interval is clear of zero (of the margin, where that is below zero).

    fails: the interval lies below the margin, so more seeds would not help. Otherwise: not shown at this scale.
    """
    if not all(math.isfinite(value) for value in differences):
        return FAILS
    low, high = interval(differences)
    if np.mean(differences) >= margin and low > (0 if margin >= 0 else margin):
        return HOLDS
    if len(differences) > 1 and np.ptp(differences) == 0 and differences[0] >= margin and differences[0] >= 0:
        return HOLDS  # exactly equal where "not worse" was claimed
    return FAILS if high < margin else NOT_SHOWN
