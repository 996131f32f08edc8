"""Random walks over a graph, as texts whose words are nodes; and the vectors that skip-gram learns from them."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data.graphs import Graph
from unlabeled.parts import native
from unlabeled.parts.alias import alias_tables
from unlabeled.parts.checks import number, whole
from unlabeled.parts.skipgram import Corpus, SkipGram, Tables, _table, processors

IN_MEMORY = 50_000_000  # tokens; more lie in a temporary file
PIECE = 4_000_000  # tokens that are made at once


def random_walks(
    graph: Graph,
    per_node: int,
    length: int,
    p: float = 1.0,
    q: float = 1.0,
    seed: int = 0,
    workers: int | None = 1,
    *,
    nodes: np.ndarray | None = None,
    held: int = IN_MEMORY,
) -> Corpus:
    """per_node walks of at most `length` nodes from each node (or from `nodes`), pass by pass, in each pass in a new order.

    Perozzi, Al-Rfou and Skiena, 2014, arXiv:1403.6652; second order: Grover and Leskovec, 2016, arXiv:1607.00653. From v, having come
    from t, the next node x is drawn in proportion to the weight of its arc, times 1/p where x = t, times 1/q where t doesn't point to x:
    exactly, by rejection, without tables of pairs. A node that points nowhere ends a walk, and none starts there. Walks don't depend on
    `workers`. More than `held` tokens lie in a temporary file, made piece by piece. InputError: bad values.
    """
    passes, length = whole("walks", per_node), whole("length", length, 2)
    number("p", p, 0, above=True), number("q", q, 0, above=True)
    starting = np.arange(len(graph)) if nodes is None else np.asarray(nodes)
    starting = starting[graph.degrees[starting] > 0].astype(np.int32)
    rng = np.random.default_rng(seed)
    keep, other = (None, None) if graph.weights is None else alias_tables(graph.weights, graph.starts)
    sums = None if graph.weights is None else np.bincount(graph.sources, graph.weights, minlength=len(graph))
    held_alive = (graph.starts, graph.targets, graph.weights, keep, other, sums)
    task = _Task(*(None if one is None else one.ctypes.data for one in held_alive), float(p), float(q), length)
    file = tempfile.TemporaryFile(prefix="unlabeled-walks-") if passes * len(starting) * length > held else None  # noqa: SIM115
    tokens, lengths = [], []
    for _ in range(passes):
        order = rng.permutation(starting)
        for at in range(0, len(order), max(1, PIECE // length)):
            walks, sizes = _made(task, order[at : at + max(1, PIECE // length)], length, int(rng.integers(2**63)), workers)
            whole_walks = walks.ravel() if sizes.min() == length else walks[np.arange(length) < sizes[:, None]]
            lengths.append(sizes)
            if file is None:
                tokens.append(whole_walks)
            else:
                whole_walks.tofile(file)
    ends = np.concatenate([[0], np.cumsum(np.concatenate([*lengths, np.zeros(0, np.int32)]), dtype=np.int64)])
    if file is None:
        return Corpus(np.concatenate([*tokens, np.zeros(0, np.int32)]), ends)
    file.flush()
    return Corpus(np.memmap(file, np.int32, "r", shape=(int(ends[-1]),)), ends)


def learn_walks(engine: SkipGram, corpus: Corpus, n: int, *, start: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None) -> Tables:
    """What `engine` learns from walks over the nodes 0 to n - 1; nodes in no walk have zeros.

    start: to go on from: vectors and context [n, dim], and how often each node was in walks, which negatives are drawn by. Nodes that
    weren't in any begin anew. `SkipGram.fit` would do, but counts all tokens at once, as int64; here a file of them stays one.
    """
    engine._checked()
    corpus.check(n)
    counts = sum((np.bincount(part, minlength=n) for part in _pieces(corpus.tokens)), np.zeros(n, np.int64))
    words, output = _table(n, engine.dim), _table(n, engine.dim)
    cut = (slice(None), slice(engine.dim))
    words[cut] = (np.random.default_rng(engine.seed).random((n, engine.dim), np.float32) - 0.5) / engine.dim
    if start is not None:
        seen = start[2] > 0
        words[seen, : engine.dim], output[cut] = start[0][seen], start[1]
        counts += start[2]
    loss = engine._run(corpus, words, output, None, {}, counts, fixed=False)
    words[counts == 0] = 0
    return Tables(words[cut].copy(), output[cut].copy(), None, counts, loss)


def _pieces(tokens: np.ndarray) -> Iterator[np.ndarray]:
    return (tokens[at : at + PIECE] for at in range(0, len(tokens), PIECE))


def _made(task: Any, nodes: np.ndarray, length: int, seed: int, workers: int | None) -> tuple[np.ndarray, np.ndarray]:
    lib = native.library(Path(__file__).with_suffix(".c"))
    lib.walks_make.restype = None
    walks, sizes = np.empty((len(nodes), length), np.int32), np.empty(len(nodes), np.int32)
    threads = min(processors() if workers is None else whole("workers", workers), len(nodes))
    cuts = np.linspace(0, len(nodes), threads + 1).astype(np.int64).tolist()
    at = [ctypes.c_void_p(one.ctypes.data) for one in (nodes, walks, sizes)]

    def work(one: int) -> None:
        first, last = (ctypes.c_int64(cut) for cut in cuts[one : one + 2])
        lib.walks_make(ctypes.byref(task), at[0], first, last, ctypes.c_uint64(seed), *at[1:])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return walks, sizes


class _Task(ctypes.Structure):
    """As in walks.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("starts", "targets", "weights", "keep", "other", "sums")),
        ("p", ctypes.c_double), ("q", ctypes.c_double), ("length", ctypes.c_int64),
    )  # fmt: skip


__all__ = ["learn_walks", "random_walks"]
