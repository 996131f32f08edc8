"""The Poincaré ball: distances, and points moved by Riemannian gradient steps so that what is related is near; a compiled loop.

A ball of radius 1 in which lengths grow without bounds towards the edge: a tree fits into two dimensions, its root in the middle.
Nickel and Kiela, 2017, arXiv:1705.08039.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unlabeled.data.graphs import Graph
from unlabeled.errors import InputError
from unlabeled.parts import native
from unlabeled.parts.checks import number, one_of, whole

EDGE = 1e-5  # points stay within 1 - EDGE of the middle
LANES = 4  # numbers that are worked on at once: rows are padded to a multiple of it


def distance(A: Any, B: Any, geometry: str = "poincare") -> np.ndarray:
    """float64 [n, m]: between the rows of A [n, d] and of B [m, d]; geometry "euclidean": squared distances, as the paper trains them."""
    A, B = np.asarray(A, np.float64), np.asarray(B, np.float64)
    near = sum((A[:, None, c] - B[None, :, c]) ** 2 for c in range(A.shape[1]))
    return _lengths(near, A[:, None], B[None], geometry)


def pair_distance(A: Any, B: Any, geometry: str = "poincare") -> np.ndarray:
    """float64 [n]: between row i of A [n, d] and row i of B [n, d]."""
    A, B = np.asarray(A, np.float64), np.asarray(B, np.float64)
    return _lengths(((A - B) ** 2).sum(axis=-1), A, B, geometry)


def _lengths(square: Any, A: np.ndarray, B: np.ndarray, geometry: str) -> np.ndarray:
    if geometry == "euclidean":
        return np.asarray(square)
    x = 2 * square / ((1 - (A**2).sum(axis=-1)) * (1 - (B**2).sum(axis=-1)))
    # arcosh(1 + x), but without its loss of digits where x is small.
    return np.log1p(x + np.sqrt(x * (x + 2)))  # type: ignore[no-any-return]


def project(points: np.ndarray) -> np.ndarray:
    """Points [n, d] that left the ball, back to just within its edge; the others as they are."""
    length = np.linalg.norm(points, axis=-1, keepdims=True)
    return np.where(length < 1 - EDGE, points, points * ((1 - EDGE) / np.maximum(length, EDGE)))


def descend(points: np.ndarray, gradient: np.ndarray, lr: float) -> np.ndarray:
    """A Riemannian step: the Euclidean gradient [n, d] by the inverse of the ball's metric, ((1 - |x|^2) / 2)^2, and back into the ball."""
    metric = ((1 - (points**2).sum(axis=-1, keepdims=True)) / 2) ** 2
    return project(points - lr * metric * gradient)


class Points(NamedTuple):
    """vectors float64 [n, dim], within the ball; the mean loss of each epoch."""

    vectors: np.ndarray
    loss: list[float]


@dataclass(frozen=True, kw_only=True)
class Hyperbolic:
    """Points of nodes, such that u is nearer to v than to what it isn't related to, for every arc u -> v of a graph.

    loss: "softmax", -log of exp(-d(u, v)) over the sum of that and of the negatives' (for hierarchies); "links", the cross-entropy of
    1 / (exp((d - radius) / temperature) + 1) (for networks). Arcs are taken one by one in random order; negatives are drawn evenly, with
    replacement, in the burn-in by how many arcs they are in. Weights of arcs don't count. One thread repeats itself exactly.
    InputError: bad values, a rate at which it runs away.
    """

    dim: int = 5
    negatives: int = 10
    epochs: int = 300  # after the burn-in
    lr: float = 0.1
    burn_in: int = 10  # epochs at a tenth of the rate
    geometry: str = "poincare"  # or "euclidean": the same loop with squared distances, no ball
    riemannian: bool = True  # False: plain gradient steps in the ball, for comparison
    loss: str = "softmax"
    radius: float = 1.0
    temperature: float = 1.0
    workers: int = 1
    seed: int = 0

    def fit(self, graph: Graph, progress: Callable[[int, int], None] = lambda done, total: None) -> Points:
        self._check(graph)
        rng = np.random.default_rng(self.seed)
        start = rng.uniform(-1e-3, 1e-3, (len(graph), self.dim))
        held, task = self._task(graph, start)
        lib, curve, total = _library(), [], self.burn_in + self.epochs
        for epoch in range(total):
            task.by_degree, task.lr = epoch < self.burn_in, self.lr / 10 if epoch < self.burn_in else self.lr
            order = rng.permutation(np.arange(task.pairs, dtype=np.int32))
            parts, seeds = np.array_split(order, self.workers), rng.integers(0, 2**63, self.workers)

            def work(one: int, parts: list[np.ndarray] = parts, seeds: np.ndarray = seeds) -> float:
                given = ctypes.c_void_p(parts[one].ctypes.data), ctypes.c_int64(len(parts[one])), ctypes.c_uint64(int(seeds[one]))
                return float(lib.hyperbolic_train(ctypes.byref(task), *given))

            if self.workers == 1:
                loss = work(0)
            else:
                with ThreadPoolExecutor(self.workers) as pool:
                    loss = sum(pool.map(work, range(self.workers)))
            if not np.isfinite(held["vectors"]).all():
                raise InputError(f"training ran away in epoch {epoch + 1} with lr={self.lr}: lower lr")
            curve.append(loss / task.pairs)
            progress(epoch + 1, total)
        return Points(held["vectors"][:, : self.dim].copy(), curve)

    def step(self, graph: Graph, points: np.ndarray, u: int, v: int, negatives: Any) -> tuple[np.ndarray, float]:
        """Points [n, dim] after one step at u -> v against given negatives, and its loss before it."""
        held, task = self._task(graph, points)
        out = np.array([v, *negatives], np.int32)
        loss = _library().hyperbolic_step(ctypes.byref(task), ctypes.c_int32(u), ctypes.c_void_p(out.ctypes.data), ctypes.c_int32(len(out)))
        return held["vectors"][:, : self.dim].copy(), loss

    def _task(self, graph: Graph, start: np.ndarray) -> tuple[dict[str, np.ndarray], _Task]:
        """What the loop reads and writes; the arrays have to live as long as the task."""
        vectors = np.zeros((len(graph), -(-self.dim // LANES) * LANES))
        vectors[:, : self.dim] = start
        held: dict[str, np.ndarray] = {
            "vectors": vectors,
            "starts": np.ascontiguousarray(graph.starts, np.int64),
            "targets": np.ascontiguousarray(graph.targets, np.int32),
            "sources": np.ascontiguousarray(graph.sources, np.int32),
        }
        task = _Task(
            *(array.ctypes.data for array in held.values()), len(graph), len(graph.targets), self.lr, self.radius, self.temperature,
            vectors.shape[1], self.negatives, self.geometry == "euclidean", self.riemannian, self.loss == "links", False,
        )  # fmt: skip
        return held, task

    def _check(self, graph: Graph) -> None:
        for name, least in (("dim", 1), ("negatives", 1), ("epochs", 0), ("burn_in", 0), ("workers", 1)):
            whole(name, getattr(self, name), least)
        if self.dim > 1024 or self.negatives > 128:
            raise InputError(f"dim={self.dim}, negatives={self.negatives}: wanted at most 1024 and 128")
        if self.epochs + self.burn_in == 0:
            raise InputError("epochs=0, burn_in=0: nothing would be learned")
        number("lr", self.lr, 0, above=True), number("radius", self.radius), number("temperature", self.temperature, 0, above=True)
        one_of("geometry", self.geometry, ("poincare", "euclidean")), one_of("loss", self.loss, ("softmax", "links"))
        if len(graph.targets) == 0:
            raise InputError("a graph without an edge: there is nothing to learn from")


class _Task(ctypes.Structure):
    """As in hyperbolic.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("vectors", "starts", "targets", "sources")),
        ("n", ctypes.c_int64), ("pairs", ctypes.c_int64),
        *((name, ctypes.c_double) for name in ("lr", "radius", "temperature")),
        *((name, ctypes.c_int32) for name in ("width", "negatives", "euclidean", "riemannian", "loss", "by_degree")),
    )  # fmt: skip


def _library() -> Any:
    lib = native.library(Path(__file__).with_suffix(".c"))
    lib.hyperbolic_train.restype = lib.hyperbolic_step.restype = ctypes.c_double
    return lib


__all__ = ["Hyperbolic", "Points", "descend", "distance", "pair_distance", "project"]
