"""Vectors of nodes from edges that are drawn one by one: LINE's sampling, in a compiled loop."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts import native
from unlabeled.parts.alias import alias_tables
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.skipgram import processors

WIDTH = 16  # floats that are worked on at once: rows are padded to a multiple of it
MOST = 31  # negatives, as in edges.c
CURVE = 10  # stretches of the training that have a loss of their own


@dataclass(frozen=True)
class EdgeTables:
    """in, of first order also as context: float32 [nodes, dim]; the mean loss of each tenth of the edges."""

    nodes: np.ndarray
    context: np.ndarray
    loss: list[float]


@dataclass(frozen=True, kw_only=True)
class EdgeSampling:
    """How vectors are trained. Tang, Qu, Wang, Zhang, Yan and Mei, 2015, arXiv:1503.03578.

    An arc (i, j) is drawn in proportion to its weight and counts as a plain one: log s(c_j . u_i) + sum of log s(-c_n . u_i) over
    negatives n, drawn in proportion to degree^power, goes up by stochastic gradients. Needs a C compiler, see `parts.native`. With
    workers=1 a seed gives the same vectors again.
    """

    dim: int = 128
    order: str = "second"  # first: c is u; second: nodes have vectors as context, too
    samples: int = 10_000_000  # arcs that are drawn
    negatives: int = 5
    lr: float = 0.025  # falls linearly to (nearly) nothing
    power: float = 0.75
    by_weight: bool = True  # False: arcs are drawn evenly and their weight multiplies the gradient, as the paper advises against
    workers: int | None = 1  # threads; None: as many as this process may use
    seed: int = 0

    def fit(self, sources: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, n: int) -> EdgeTables:
        """Vectors of the nodes 0 to n - 1 from arcs int32 [m], an undirected edge being two, and their weights [m] (None: all 1)."""
        whole("dim", self.dim), whole("samples", self.samples), number("lr", self.lr, 0, above=True), number("power", self.power, 0)
        first = one_of("order", self.order, ("first", "second")) == "first"
        if whole("negatives", self.negatives) > MOST:
            raise InputError(f"negatives={self.negatives}: wanted at most {MOST}")
        sources, targets = (np.ascontiguousarray(one, dtype=np.int32) for one in (sources, targets))
        ends = np.concatenate([sources, targets])
        if len(sources) != len(targets) or not len(sources) or ends.min() < 0 or ends.max() >= n:
            raise InputError(f"{len(sources):,} sources, {len(targets):,} targets: wanted as many of both, one or more, from 0 to {n - 1}")
        weights = None if weights is None else np.ascontiguousarray(weights, dtype=np.float32)
        degree = sum(np.bincount(one, weights, minlength=n) for one in (sources, targets))
        keep, other = alias_tables(weights) if weights is not None and self.by_weight else (None, None)
        noise = alias_tables(degree**self.power)
        scale = None if self.by_weight else weights
        rng = np.random.default_rng(self.seed)
        nodes = _table(n, self.dim)
        nodes[:, : self.dim] = (rng.random((n, self.dim), np.float32) - 0.5) / self.dim
        context = nodes if first else _table(n, self.dim)
        lib = native.library(Path(__file__).with_suffix(".c"))
        lib.edges_train.restype = None
        lib.edges_start()
        workers = processors() if self.workers is None else whole("workers", self.workers)
        losses, done = np.zeros((workers, 2)), ctypes.c_int64(0)
        held = (nodes, context, sources, targets, keep, other, scale, *noise)
        tasks = [
            _Task(
                *(None if one is None else one.ctypes.data for one in held),
                len(sources), n, self.samples, ctypes.addressof(done), losses[one].ctypes.data, self.lr, nodes.shape[1], self.negatives,
            )
            for one in range(workers)
        ]  # fmt: skip
        cuts = np.linspace(0, self.samples, CURVE * workers + 1).astype(np.int64).reshape(-1)
        curve = []

        def work(one: int, samples: int, seed: int) -> None:
            lib.edges_train(ctypes.byref(tasks[one]), ctypes.c_int64(samples), ctypes.c_uint64(seed))

        with ThreadPoolExecutor(workers) as pool:
            for part in np.diff(cuts).reshape(CURVE, workers):
                losses[:] = 0
                list(pool.map(work, range(workers), part.tolist(), rng.integers(0, 2**63, workers).tolist()))
                if not np.isfinite(nodes).all() or not np.isfinite(context).all():
                    raise InputError(f"training ran away with lr={self.lr}: lower lr")
                curve.append(float(losses[:, 0].sum() / max(losses[:, 1].sum(), 1)))
        found = [np.ascontiguousarray(one[:, : self.dim]) for one in (nodes, context)]
        return EdgeTables(found[0], found[1], curve)


class _Task(ctypes.Structure):
    """As in edges.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("in", "out", "sources", "targets", "keep", "other", "scale", "noise_keep", "noise_other")),
        *((name, ctypes.c_int64) for name in ("arcs", "nodes", "total")),
        *((name, ctypes.c_void_p) for name in ("done", "loss")),
        ("lr", ctypes.c_float), ("dim", ctypes.c_int32), ("negatives", ctypes.c_int32),
    )  # fmt: skip


def _table(n: int, dim: int) -> np.ndarray:
    """Zeros float32 [n, dim rounded up], each row at a multiple of 64 bytes."""
    width = -(-dim // WIDTH) * WIDTH
    room = np.zeros(n * width + WIDTH, np.float32)
    offset = -(room.ctypes.data // 4) % WIDTH
    return room[offset : offset + n * width].reshape(n, width)


__all__ = ["EdgeSampling", "EdgeTables"]
