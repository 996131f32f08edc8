"""Scores of facts, and vectors of entities and relations learned from facts and corrupted facts: a compiled loop."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts import native
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.skipgram import processors

SCORERS = ("distmult", "transe", "complex", "bilinear")  # numbered as in triples.c
CRITERIA = ("logistic", "margin")
OPTIMIZERS = ("sgd", "adagrad-row", "adagrad")
EMPTY = np.uint64(2**64 - 1)


class Tables(NamedTuple):
    """entities float32 [n, dim], relations float32 [relations, dim] (bilinear: [relations, dim * dim], rows one after another).

    inverses: of the relations asked from tail to head, where they have vectors of their own, else of 0 rows. loss: of each epoch.
    """

    entities: np.ndarray
    relations: np.ndarray
    inverses: np.ndarray
    loss: list[float]


def width(scorer: str, dim: int) -> int:
    """Numbers of a relation."""
    return dim * dim if scorer == "bilinear" else dim


def query(scorer: str, x: Any, r: Any, heads: bool = False) -> Any:
    """[b, dim]: what all answers to (x, r, ?) are held against, with heads those to (?, r, x). x, r: NumPy arrays or tensors alike.

    The score of an answer y is the dot product with it, for transe minus the squared distance: of distmult sum h r t, of transe
    -|h + r - t|^2 (Bordes et al., 2013), of complex Re sum h r conj(t) (Trouillon et al., 2016, arXiv:1606.06357; the first half of a
    row are real parts), of bilinear h M t.
    """
    if scorer == "distmult":
        return x * r
    if scorer == "transe":
        return x - r if heads else x + r
    if scorer == "complex":
        half = x.shape[-1] // 2
        a, b, c, d = x[..., :half], x[..., half:], r[..., :half], r[..., half:]
        d = -d if heads else d
        parts = [a * c - b * d, a * d + b * c]
        if isinstance(x, np.ndarray):
            return np.concatenate(parts, axis=-1)
        import torch

        return torch.cat(parts, dim=-1)
    M = r.reshape(len(r), x.shape[-1], x.shape[-1])
    return (M @ x[:, :, None])[:, :, 0] if heads else (x[:, None, :] @ M)[:, 0, :]


def against(scorer: str, q: Any, entities: Any) -> Any:
    """[b, n]: the scores of all entities [n, dim] as answers to queries [b, dim]."""
    table = q @ entities.T
    if scorer != "transe":
        return table
    table *= 2
    table -= (q * q).sum(-1)[:, None]
    table -= (entities * entities).sum(-1)
    return table


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """Facts are to score higher than facts with another tail or head: one fact and its negatives a step.

    criterion: "margin", sum of max(0, margin + S(negative) - S(fact)), as in Yang et al., 2014, arXiv:1412.6575; or "logistic", the
    cross-entropy of every score. Tails and heads are replaced in turn, by entities drawn evenly; with `strict` a known fact is no
    negative. InputError: bad values, a rate at which it runs away. One worker repeats itself exactly.
    """

    scorer: str = "distmult"
    dim: int = 100
    negatives: int = 2  # of a fact; in turn of its tail and of its head
    criterion: str = "logistic"
    margin: float = 1.0
    epochs: int = 100
    lr: float = 0.1
    optimizer: str = "adagrad"  # "adagrad", a rate for each number; "adagrad-row", for each vector; "sgd"
    l2: float = 0.0  # of the vectors in a step: of relations, and of entities unless unit
    unit: bool = False  # vectors of entities have length 1
    strict: bool = True
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same vectors only
    seed: int = 0

    def fit(
        self,
        facts: np.ndarray,
        n_entities: int,
        n_relations: int,
        *,
        start: np.ndarray | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tables:
        """facts: int [m, 3]. start: vectors of entities [n, dim] to begin with. progress: (epochs done, epochs)."""
        self._check()
        lib = native.library(Path(__file__).with_suffix(".c"))
        rng = np.random.default_rng(self.seed)
        wide = width(self.scorer, self.dim)
        entities, relations = first_tables(self.scorer, self.dim, n_entities, n_relations, rng, unit=self.unit)
        if start is not None:
            entities[:] = start
        per = {"adagrad": (self.dim, wide)}.get(self.optimizer, (1, 1))
        squares = [np.zeros((len(table), n), np.float32) for table, n in zip((entities, relations), per, strict=True)]
        facts = np.ascontiguousarray(facts, dtype=np.int32)
        known, maybe = self._hashed(lib, facts, n_entities, n_relations) if self.strict else (None, None)
        order = np.empty_like(facts)
        workers = max(1, min(self.workers or processors(), len(facts)))
        cuts = np.linspace(0, len(facts), workers + 1).astype(int).tolist()
        losses = np.zeros((workers, 2))
        tasks = [
            _Task(
                entities=_at(entities), relations=_at(relations), entity_squares=_at(squares[0]), relation_squares=_at(squares[1]),
                facts=_at(order), known=_at(known), maybe=_at(maybe), mask=0 if known is None else len(known) - 1,
                bits=0 if maybe is None else 64 * len(maybe) - 1, n=n_entities, n_relations=n_relations,
                loss=_at(losses[one]), lr=self.lr, margin=self.margin, l2=self.l2, dim=self.dim, wide=wide, negatives=self.negatives,
                kind=SCORERS.index(self.scorer), criterion=CRITERIA.index(self.criterion), optimizer=OPTIMIZERS.index(self.optimizer),
                unit=self.unit,
            )
            for one in range(workers)
        ]  # fmt: skip
        curve = []

        def work(one: int, seed: int) -> int:
            return int(lib.triples_train(ctypes.byref(tasks[one]), *map(ctypes.c_int64, cuts[one : one + 2]), ctypes.c_uint64(seed)))

        with ThreadPoolExecutor(workers) as pool:
            for epoch in range(self.epochs):
                losses[:] = 0
                order[:] = facts[rng.permutation(len(facts))]
                if any(pool.map(work, range(workers), rng.integers(0, 2**63, size=workers).tolist())):
                    raise MemoryError("the threads of the engine for facts found no memory")
                if not (np.isfinite(entities).all() and np.isfinite(relations).all()):
                    raise InputError(f"training ran away in epoch {epoch + 1} with lr={self.lr}: lower lr")
                curve.append(float(losses[:, 0].sum() / max(losses[:, 1].sum(), 1)))
                progress(epoch + 1, self.epochs)
        return Tables(entities, relations, np.zeros((0, wide), np.float32), curve)

    def _hashed(self, lib: ctypes.CDLL, facts: np.ndarray, n: int, relations: int) -> tuple[np.ndarray, np.ndarray]:
        if n * n * relations >= 2**63:
            raise InputError(f"{n:,} entities and {relations:,} relations are too many to keep apart: strict=False")
        places = 1 << max(6, int(2 * len(facts)).bit_length())
        known, maybe = np.full(places, EMPTY, np.uint64), np.zeros(places * 4 // 64, np.uint64)
        lib.triples_hash(
            ctypes.c_void_p(_at(facts)), *map(ctypes.c_int64, (len(facts), n, relations)),
            ctypes.c_void_p(_at(known)), ctypes.c_uint64(places - 1), ctypes.c_void_p(_at(maybe)), ctypes.c_uint64(places * 4 - 1),
        )  # fmt: skip
        return known, maybe

    def _check(self) -> None:
        check_shape(self.scorer, self.dim)
        one_of("criterion", self.criterion, CRITERIA)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("negatives", "epochs"):
            whole(name, getattr(self, name))
        number("lr", self.lr, 0, above=True)
        number("margin", self.margin, 0)
        number("l2", self.l2, 0)


def check_shape(scorer: str, dim: int) -> None:
    """InputError: no such scorer, or a dim that it can't have."""
    one_of("scorer", scorer, SCORERS)
    if whole("dim", dim) % 2 and scorer == "complex":
        raise InputError(f"dim={dim} of complex vectors: wanted an even number, half are real parts")


def first_tables(scorer: str, dim: int, n: int, relations: int, rng: np.random.Generator, *, unit: bool) -> tuple[np.ndarray, np.ndarray]:
    """Entities and relations to begin with, float32, such that scores begin near 0 and with unit vectors are of the size of 1."""
    entities = rng.normal(size=(n, dim)).astype(np.float32)
    if unit:
        entities /= np.maximum(np.linalg.norm(entities, axis=1, keepdims=True), 1e-12)
    else:
        entities /= dim**0.5 if scorer == "transe" else dim**0.25  # a product of three has then about the deviation 1 / dim^(1/4)
    r = rng.normal(size=(relations, width(scorer, dim))).astype(np.float32)
    return entities, r / np.float32(dim ** (0.25 if scorer in ("distmult", "complex") else 0.5))


class _Task(ctypes.Structure):
    """As in triples.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("entities", "relations", "entity_squares", "relation_squares", "facts", "known", "maybe")),
        ("mask", ctypes.c_uint64), ("bits", ctypes.c_uint64),
        ("n", ctypes.c_int64), ("n_relations", ctypes.c_int64), ("loss", ctypes.c_void_p),
        *((name, ctypes.c_float) for name in ("lr", "margin", "l2")),
        *((name, ctypes.c_int32) for name in ("dim", "wide", "negatives", "kind", "criterion", "optimizer", "unit")),
    )  # fmt: skip


def _at(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


__all__ = ["Negatives", "Tables", "against", "check_shape", "first_tables", "query", "width"]
