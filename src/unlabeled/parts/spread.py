"""Labels spread along the edges of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.errors import InputError

MOST = 2_000  # steps; conjugate gradients need about a hundred at alpha = 0.99


def spread(graph: Any, Y: np.ndarray, alpha: float = 0.99, tol: float = 1e-6) -> np.ndarray:
    """F [n, c] with F = alpha S F + (1 - alpha) Y, S the graph's weights over the roots of both ends' degrees.

    graph: a symmetric scipy sparse [n, n] without loops or negative weights; Y: [n, c]. Zhou et al., 2004, "Learning with Local and
    Global Consistency". I - alpha S is positive definite: conjugate gradients on all columns at once, until the residual is
    `tol` of Y's length. Memory and time are linear in the edges. A row that no label reaches is 0.
    """
    from scipy.sparse import csr_array, diags_array

    if graph.ndim != 2 or graph.shape != (len(Y), len(Y)):
        raise InputError(f"graph has shape {graph.shape} for {len(Y)} rows of Y: wanted [{len(Y)}, {len(Y)}]")
    if not 0 <= alpha < 1:
        raise InputError(f"alpha={alpha!r}: wanted 0 <= alpha < 1")
    degree = np.asarray(graph.sum(axis=1), dtype=np.float64).ravel()
    root = diags_array(np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0))
    S = csr_array(root @ graph @ root) * alpha
    target = (1 - alpha) * np.asarray(Y, dtype=np.float64)
    F, residual = target.copy(), S @ target  # from (1 - alpha) Y on: what is missing there is alpha S of it
    p, size = residual.copy(), np.square(residual).sum(axis=0)
    enough = (tol * np.linalg.norm(target, axis=0)) ** 2
    for _ in range(MOST):
        if (size <= enough).all():
            break
        moved = p - S @ p
        step = np.divide(size, (p * moved).sum(axis=0), out=np.zeros_like(size), where=size > enough)
        F += step * p
        residual -= step * moved
        before, size = size, np.square(residual).sum(axis=0)
        p = residual + np.divide(size, before, out=np.zeros_like(size), where=before > 0) * p
    return np.maximum(F, 0)
