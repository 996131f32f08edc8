"""Vectors of nodes against classes of nodes: a linear classifier on few of them, everything about it chosen on others."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from unlabeled.errors import InputError

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # scikit-learn's C


class NodeSplit(NamedTuple):
    """Which nodes are to learn from, to choose with and to test on; int64 each."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def random_split(y: np.ndarray, seed: int, train: float = 0.1, val: float = 0.1) -> NodeSplit:
    """Shares of the nodes that have a class (y >= 0), at random."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(np.asarray(y) >= 0))
    a, b = round(train * len(rows)), round(val * len(rows))
    if min(a, b, len(rows) - a - b) < 1:
        raise InputError(f"{len(rows)} labelled nodes don't give {train:.0%} to learn from and {val:.0%} to choose with")
    return NodeSplit(rows[:a], rows[a : a + b], rows[a + b :])


def split_by_class(y: np.ndarray, seed: int, each: int | float) -> NodeSplit:
    """So many of each class to learn from, or that share of it but at least one, as many to choose with, and the rest to test on."""
    y, rng = np.asarray(y), np.random.default_rng(seed)
    train, val = [], []
    for label in np.unique(y[y >= 0]):
        rows = rng.permutation(np.flatnonzero(y == label))
        n = each if isinstance(each, int) else max(1, round(each * len(rows)))
        train.append(rows[:n])
        val.append(rows[n : 2 * n])
    used = np.concatenate(train + val)
    test = np.setdiff1d(np.flatnonzero(y >= 0), used)
    if not len(test):
        raise InputError(f"{each} of each class leave no node to test on")
    return NodeSplit(np.concatenate(train), np.concatenate(val), test)


def node_accuracy(Z: Any, y: Any, splits: Iterable[NodeSplit]) -> float:
    """Mean over splits of the test accuracy of logistic regression on vectors [n, d], dense or sparse.

    Rows of unit length, or columns of unit spread (not centred where sparse), and the penalty: whatever is best on `val`; the first of
    equally good ones. The same search for every representation.
    """
    y = np.asarray(y)
    scaled = [_unit_rows(Z), _unit_columns(Z)]
    return float(np.mean([_one(scaled, y, split) for split in splits]))


def _one(scaled: list[Any], y: np.ndarray, split: NodeSplit) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    best: tuple[float, float] = (-1.0, 0.0)
    for X in scaled:
        model = LogisticRegression(max_iter=200, tol=1e-3, warm_start=True)
        for strength in STRENGTHS:
            model.set_params(C=strength)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a search that ends early is as good for choosing
                model.fit(X[split.train], y[split.train])
            val = float(model.score(X[split.val], y[split.val]))
            if val > best[0]:
                best = val, float(model.score(X[split.test], y[split.test]))
    return best[1]


def _unit_rows(Z: Any) -> Any:
    if sp.issparse(Z):
        length = np.sqrt(np.asarray(Z.multiply(Z).sum(axis=1)).ravel())
        return sp.csr_matrix(sp.diags(1 / np.maximum(length, 1e-12)) @ Z)
    return Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)


def _unit_columns(Z: Any) -> Any:
    if sp.issparse(Z):
        mean = np.asarray(Z.mean(axis=0)).ravel()
        spread = np.sqrt(np.maximum(np.asarray(Z.multiply(Z).mean(axis=0)).ravel() - mean**2, 0))
        return sp.csr_matrix(Z @ sp.diags(np.where(spread > 1e-8, 1 / np.maximum(spread, 1e-8), 0)))
    spread = Z.std(axis=0)
    return (Z - Z.mean(axis=0)) / np.where(spread > 1e-8, spread, np.inf)


__all__ = ["NodeSplit", "node_accuracy", "random_split", "split_by_class"]
