"""A table of shares as mixtures of a few hidden ones: extreme rows, weights on the simplex, non-negative factors."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.optimize import nnls

from unlabeled.errors import InputError

HEAVY = 10.0  # weight of "adds up to 1" beside the numbers of a row, which are at most 1


def extreme_rows(rows: np.ndarray, k: int) -> np.ndarray:
    """k rows of [m, r] of which the others are nearly mixtures: the longest one, then what of the rest is longest, int64 [k].

    Successive projection; Araujo et al., 2001; Gillis and Vavasis, 2014, arXiv:1208.1237.

    InputError: the rows span fewer than k directions.
    """
    rest = np.array(rows, dtype=np.float64)
    chosen: list[int] = []
    first = np.square(rest).sum(axis=1).max(initial=0.0)
    for _ in range(k):
        power = np.square(rest).sum(axis=1)
        if not power.size or power.max() <= 1e-12 * first:
            raise InputError(f"{len(rest)} rows span {len(chosen)} directions only: wanted {k}, ask for fewer classes")
        chosen.append(int(power.argmax()))
        axis = rest[chosen[-1]] / np.sqrt(power[chosen[-1]])
        rest -= np.outer(rest @ axis, axis)
    return np.array(chosen)


def mixtures(rows: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Each row of [n, r] as a mixture of the corners [k, r]: float64 [n, k], not negative, rows add up to 1; least squares."""
    system = np.vstack([np.asarray(corners, dtype=np.float64).T, np.full((1, len(corners)), HEAVY)])
    right = np.column_stack([np.asarray(rows, dtype=np.float64), np.full(len(rows), HEAVY)])
    weights = np.stack([nnls(system, one)[0] for one in right])
    return weights / weights.sum(axis=1, keepdims=True)


def factorise(Q: np.ndarray, k: int, restarts: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Q [m, r], whose columns add up to 1, as A [m, k] times B [k, r], both alike: columns are shares of cells, and of classes.

    Each class is taken to have a cell (nearly) of its own: the k most extreme of the cells' shares over the columns, the smallest
    tenth of the cells left out, start a factorisation that lowers the Kullback-Leibler divergence (Lee and Seung, 2001).
    restarts: as many from random starts besides, the lowest divergence wins.
    """
    from sklearn.decomposition import non_negative_factorization

    mass = Q.mean(axis=1)
    share = Q / np.maximum(Q.sum(axis=1, keepdims=True), 1e-12)  # of the columns in each row
    large = np.flatnonzero(mass >= np.quantile(mass, 0.1)) if len(Q) * 0.9 >= k else np.arange(len(Q))
    corners = share[large[extreme_rows(share[large], k)]]
    A = mixtures(share, corners) * mass[:, None]
    B = corners * Q.shape[1]  # p(column | class) to p(class | column), but for the class's own share
    starts = [(A / np.maximum(A.sum(axis=0), 1e-9), B * A.sum(axis=0)[:, None])]
    rng = np.random.default_rng(seed)
    starts += [(rng.dirichlet(np.ones(len(Q)), k).T, rng.dirichlet(np.ones(k), Q.shape[1]).T) for _ in range(restarts)]
    best, lowest = starts[0], np.inf
    for A, B in starts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the last digits, which are not wanted
            A, B, _ = non_negative_factorization(
                Q,
                np.maximum(A, 1e-6),  # what is 0 would stay 0
                np.maximum(B, 1e-6),
                n_components=k,
                init="custom",
                solver="mu",
                beta_loss="kullback-leibler",
                max_iter=200,
                tol=1e-5,
            )
        A, B = A / A.sum(axis=0), B * A.sum(axis=0)[:, None]
        fit = A @ B
        divergence = float((Q * np.log(np.maximum(Q, 1e-12) / np.maximum(fit, 1e-12)) - Q + fit).sum())
        if divergence < lowest:
            best, lowest = (A, B / B.sum(axis=0)), divergence
    return best
