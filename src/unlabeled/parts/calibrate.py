"""Scores of classes become probabilities that mean what they say."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

RANGE = (1e-3, 1e3)  # of the temperature


def temperature(scores: np.ndarray, y: np.ndarray, *, smooth: bool = False) -> float:
    """The T at which softmax(scores / T) has the lowest cross-entropy with y. Guo et al., 2017, arXiv:1706.04599.

    scores: [n, classes], y: [n], the column that is right; best of rows that the scores weren't learned from.
    smooth: right is (m + 1) / (m + 2) of a row instead of 1, m the rows of its class, the rest is shared out, as in Platt's
    scaling: few rows that are all told right then don't make everything certain.
    """
    scores, y = np.asarray(scores, dtype=np.float64), np.asarray(y)
    n, classes = scores.shape
    right = 1 - 1 / (np.bincount(y, minlength=classes)[y] + 2) if smooth else np.ones(n)
    target = np.repeat((1 - right)[:, None] / max(1, classes - 1), classes, axis=1)
    target[np.arange(n), y] = right
    span = float(np.abs(scores - scores.mean(axis=1, keepdims=True)).mean()) or 1.0  # so that the search fits scores of any size

    def loss(log_t: float) -> float:
        return -float((target * log_softmax(scores / (span * np.exp(log_t)), axis=1)).sum()) / n

    found = minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded", options={"xatol": 1e-4})
    return span * float(np.exp(found.x))


def platt(scores: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset [classes] of each column: expit(slope * score + offset) is the share of its class at that score.

    scores: [n, classes], y: [n], as for `temperature`. With Platt's targets (m + 1) / (m + 2) and 1 / (n - m + 2). Platt, 1999.
    """
    scores, y = np.asarray(scores, dtype=np.float64), np.asarray(y)
    found = []
    for c in range(scores.shape[1]):
        mine = y == c
        target = np.where(mine, (mine.sum() + 1) / (mine.sum() + 2), 1 / ((~mine).sum() + 2))
        middle, span = scores[:, c].mean(), scores[:, c].std() or 1.0
        s = (scores[:, c] - middle) / span

        def loss(at: np.ndarray, s: np.ndarray = s, target: np.ndarray = target) -> tuple[float, np.ndarray]:
            z = at[0] * s + at[1]
            wrong = expit(z) - target
            return float((np.logaddexp(0, z) - target * z).mean()), np.array([(wrong * s).mean(), wrong.mean()])

        slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
        found.append((slope / span, offset - slope * middle / span))
    slopes, offsets = np.array(found).T
    return slopes, offsets
