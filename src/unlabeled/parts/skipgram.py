"""Vectors of what stands near what: one compiled engine for skip-gram, CBOW, paragraph vectors, and pairs of a graph."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts import native

WIDTH = 8  # floats that are worked on at once: rows are padded to a multiple of it


@dataclass(frozen=True)
class Corpus:
    """Texts as numbers, all in one row: text i is tokens[starts[i] : starts[i + 1]]. Both may be memory-mapped files."""

    tokens: np.ndarray  # int32 [words of all texts]
    starts: np.ndarray  # int64 [texts + 1]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, texts: Sequence[Any]) -> Corpus:
        """From lists or arrays of word numbers, one a text."""
        rows = [np.asarray(text, dtype=np.int32).ravel() for text in texts]
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=starts[1:])
        return cls(np.concatenate([*rows, np.zeros(0, np.int32)]), starts)

    def check(self, n_words: int) -> None:
        if self.tokens.dtype != np.int32 or self.starts.dtype != np.int64 or len(self.starts) < 2:
            raise InputError(
                f"tokens are {self.tokens.dtype}, starts {self.starts.dtype} [{len(self.starts)}]: wanted int32, int64 and a text"
            )
        if self.starts[0] != 0 or self.starts[-1] != len(self.tokens) or (np.diff(self.starts) < 0).any():
            raise InputError(f"starts must rise from 0 to the number of tokens, {len(self.tokens)}")
        if len(self.tokens) and not 0 <= int(self.tokens.min()) <= int(self.tokens.max()) < n_words:
            raise InputError(f"tokens run from {self.tokens.min()} to {self.tokens.max()}: wanted words from 0 to {n_words - 1}")


@dataclass(frozen=True)
class Tables:
    """What was learned. `loss`: mean over what predicted a word, an epoch each."""

    words: np.ndarray  # float32 [words, dim]: a word as it predicts
    output: np.ndarray  # float32 [words, dim]: as it is predicted; with a tree, of its nodes
    docs: np.ndarray | None  # float32 [texts, dim]
    counts: np.ndarray  # int64 [words]: uses
    loss: list[float]


@dataclass(frozen=True, kw_only=True)
class SkipGram:
    """How vectors are trained; `fit` gives them, `infer` those of further texts.

    Mikolov, Chen, Corrado and Dean, 2013, arXiv:1301.3781; Mikolov, Sutskever, Chen, Corrado and Dean, 2013, arXiv:1310.4546;
    documents: Le and Mikolov, 2014, arXiv:1405.4053 (PV-DBOW; with cbow PV-DM). Defaults are word2vec's. All that predicts one word
    shares its negatives (Ji et al., 2016, arXiv:1604.04661). Needs a C compiler, see `parts.native`.

    With workers=1 a seed gives the same vectors again; several write into one table without locks, and differ a little each time.
    """

    dim: int = 100
    window: int = 5  # words to either side, at most: each time a number from 1 to it is drawn, unless shrink=False
    negatives: int = 5  # words drawn for each predicted one; 0: a tree of the words instead (hierarchical softmax)
    epochs: int = 5
    lr: float = 0.025  # falls linearly, over all epochs, to lr_end
    lr_end: float = 1e-4
    sample: float = 1e-3  # a word of frequency f is kept with probability sqrt(sample / f) + sample / f; 0 keeps all
    power: float = 0.75  # negatives are drawn in proportion to their counts to this power
    cbow: bool = False  # the mean of the neighbours predicts, instead of each
    documents: bool = False  # each text has a vector that predicts its words, too
    neighbours: bool = True  # False: documents alone predict
    shrink: bool = True
    workers: int | None = None  # threads; None: as many as this process may use
    seed: int = 0

    def fit(
        self,
        corpus: Corpus,
        n_words: int,
        *,
        start: np.ndarray | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tables:
        """Vectors of the words 0 to n_words - 1. start: word vectors [n_words, dim] to begin with. progress: (epochs done, epochs)."""
        self._check()
        corpus.check(n_words)
        counts = np.bincount(corpus.tokens, minlength=n_words).astype(np.int64)
        rng = np.random.default_rng(self.seed)
        words = _table(n_words, self.dim)
        words[:, : self.dim] = (rng.random((n_words, self.dim), np.float32) - 0.5) / self.dim if start is None else start
        docs = self._fresh_docs(len(corpus), rng) if self.documents else None
        output = _table(n_words, self.dim)
        loss = self._run(corpus, words, output, docs, counts, fixed=False, progress=progress)
        trim = slice(None), slice(self.dim)
        return Tables(words[trim].copy(), output[trim].copy(), None if docs is None else docs[trim].copy(), counts, loss)

    def infer(self, corpus: Corpus, known: Tables) -> np.ndarray:
        """Vectors of further texts, float32 [texts, dim]: their own steps alone, the words' vectors stay."""
        self._check()
        corpus.check(len(known.words))
        words, output = (_table(len(part), self.dim) for part in (known.words, known.output))
        words[:, : self.dim], output[:, : self.dim] = known.words, known.output
        docs = self._fresh_docs(len(corpus), np.random.default_rng(self.seed + 1))
        self._run(corpus, words, output, docs, known.counts, fixed=True)
        return docs[:, : self.dim].copy()

    # Within -------------------------------------------------------------------------------------------------------
    def _fresh_docs(self, n: int, rng: np.random.Generator) -> np.ndarray:
        docs = _table(n, self.dim)
        docs[:, : self.dim] = (rng.random((n, self.dim), np.float32) - 0.5) / self.dim
        return docs

    def _run(
        self,
        corpus: Corpus,
        words: np.ndarray,
        output: np.ndarray,
        docs: np.ndarray | None,
        counts: np.ndarray,
        *,
        fixed: bool,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[float]:
        lib = native.library(Path(__file__).with_suffix(".c"))
        lib.skipgram_start()
        share = np.maximum(counts, 1) / max(counts.sum(), 1)
        keep = (np.sqrt(self.sample / share) + self.sample / share).astype(np.float32) if self.sample else None
        tree = huffman(counts) if self.negatives == 0 else None
        noise = _noise(counts, self.power) if tree is None else np.zeros(1, np.int32)
        tokens, starts = np.ascontiguousarray(corpus.tokens), np.ascontiguousarray(corpus.starts)
        done = ctypes.c_int64(0)
        workers = max(1, min(self.workers or processors(), len(corpus)))
        # Each thread has a stretch of the texts, all with about as many words.
        cuts = np.searchsorted(starts, np.linspace(0, len(tokens), workers + 1)[1:-1])
        cuts = np.concatenate([[0], cuts, [len(corpus)]]).tolist()
        losses = np.zeros((workers, 2))
        tasks = [
            _Task(
                words=_at(words), output=_at(output), docs=_at(docs), tokens=_at(tokens), starts=_at(starts), keep=_at(keep),
                noise=_at(noise), path_start=_at(tree and tree[0]), path_node=_at(tree and tree[1]), path_turn=_at(tree and tree[2]),
                noise_size=len(noise), total=max(1, self.epochs * len(tokens)), done=ctypes.addressof(done), loss=_at(losses[one]),
                lr=self.lr, lr_end=min(self.lr, self.lr_end), dim=words.shape[1], window=self.window, negatives=self.negatives,
                mean=self.cbow, neighbours=self.neighbours, fixed=fixed, shrink=self.shrink,
            )
            for one in range(workers)
        ]  # fmt: skip
        curve = []
        seeds = np.random.default_rng([self.seed, fixed]).integers(0, 2**63, size=(self.epochs, workers))

        def work(epoch: int, one: int) -> int:
            return lib.skipgram_train(
                ctypes.byref(tasks[one]), ctypes.c_int64(cuts[one]), ctypes.c_int64(cuts[one + 1]), ctypes.c_uint64(int(seeds[epoch, one]))
            )

        with ThreadPoolExecutor(workers) as pool:
            for epoch in range(self.epochs):
                losses[:] = 0
                if any(pool.map(work, [epoch] * workers, range(workers))):
                    raise MemoryError("the threads of the skip-gram engine found no memory")
                if not np.isfinite(output).all():
                    raise InputError(f"training ran away in epoch {epoch + 1} with lr={self.lr}: lower lr")
                curve.append(float(losses[:, 0].sum() / max(losses[:, 1].sum(), 1)))
                progress(epoch + 1, self.epochs)
        return curve

    def _check(self) -> None:
        for name, least in (("dim", 1), ("window", 1), ("negatives", 0), ("epochs", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise InputError(f"{name}={value!r}: wanted a whole number of at least {least}")
        if self.window > 100 or self.negatives > 100:
            raise InputError(f"window={self.window}, negatives={self.negatives}: wanted at most 100")
        if not self.lr > 0 or not self.lr_end >= 0 or not self.sample >= 0:
            raise InputError(f"lr={self.lr}, lr_end={self.lr_end}, sample={self.sample}: wanted lr above 0, the others 0 or more")
        if not (self.documents or self.neighbours):
            raise InputError("documents=False and neighbours=False: nothing would predict")


class _Task(ctypes.Structure):
    """As in skipgram.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("words", "output", "docs", "tokens", "starts", "keep", "noise")),
        *((name, ctypes.c_void_p) for name in ("path_start", "path_node", "path_turn")),
        ("noise_size", ctypes.c_int64), ("total", ctypes.c_int64), ("done", ctypes.c_void_p), ("loss", ctypes.c_void_p),
        ("lr", ctypes.c_float), ("lr_end", ctypes.c_float),
        *((name, ctypes.c_int32) for name in ("dim", "window", "negatives", "mean", "neighbours", "fixed", "shrink")),
    )  # fmt: skip


def huffman(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tree in which a frequent word's way is short (Huffman, 1952).

    From the root to each word: starts int64 [words + 1], nodes int32 and turns uint8 [all steps].
    """
    n = len(counts)
    if n < 2:
        raise InputError("a tree of words needs two words or more")
    order = np.argsort(counts, kind="stable")
    weight = np.concatenate([counts[order], np.zeros(n - 1, np.int64)]).astype(np.int64)
    parent, turn = np.zeros(2 * n - 1, np.int64), np.zeros(2 * n - 1, np.uint8)
    leaf, node = 0, n
    for made in range(n, 2 * n - 1):  # leaves and made nodes both lie sorted by weight: the two lightest are at their heads
        for side in (0, 1):
            if leaf < n and (node >= made or weight[leaf] <= weight[node]):
                one, leaf = leaf, leaf + 1
            else:
                one, node = node, node + 1
            weight[made] += weight[one]
            parent[one], turn[one] = made, side
    ways: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    for place, word in enumerate(order.tolist()):
        one = place
        while one != 2 * n - 2:
            ways[word].append((int(parent[one]) - n, int(turn[one])))
            one = int(parent[one])
    starts = np.zeros(n + 1, np.int64)
    np.cumsum([len(way) for way in ways], out=starts[1:])
    flat = [step for way in ways for step in reversed(way)]
    return starts, np.array([step[0] for step in flat], np.int32), np.array([step[1] for step in flat], np.uint8)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _noise(counts: np.ndarray, power: float) -> np.ndarray:
    """Words as often as they are to be drawn: a number drawn from this list is a word drawn by its count to the power."""
    chance = counts.astype(np.float64) ** power if counts.any() else np.ones(len(counts))
    size = int(min(max(1_000_000, 20 * len(counts)), 50_000_000))
    edges = np.cumsum(chance) / chance.sum()
    return np.searchsorted(edges, (np.arange(size) + 0.5) / size).clip(max=len(counts) - 1).astype(np.int32)


def _table(n: int, dim: int) -> np.ndarray:
    """Zeros float32 [n, dim rounded up], each row at a multiple of 32 bytes."""
    width = -(-dim // WIDTH) * WIDTH
    room = np.zeros(n * width + WIDTH, np.float32)
    offset = -(room.ctypes.data // 4) % WIDTH
    return room[offset : offset + n * width].reshape(n, width)


def _at(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


__all__ = ["Corpus", "SkipGram", "Tables", "huffman"]
