"""Vectors of what stands near what: one compiled engine for skip-gram, CBOW, paragraph vectors, and pairs of a graph."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
    docs: np.ndarray | None  # float32 [texts, dim]; of `Bits(real)` [texts, real], of `Mixture` the proportions [texts, topics]
    counts: np.ndarray  # int64 [words]: uses
    loss: list[float]
    shared: dict[str, np.ndarray] = field(default_factory=dict)  # projection [dim, real] and bias [dim]; or topics [topics, dim]


@dataclass(frozen=True, kw_only=True)
class Bits:
    """A text predicts with zeros and ones: the sigmoids of its numbers, rounded; back the gradient goes through the sigmoids.

    Krizhevsky and Hinton, 2011; Grzegorczyk and Kurdziel, 2016, arXiv:1611.01116 (binary paragraph vectors). real: so many numbers a
    text, from which one matrix, the same for all texts, makes the dim bits (Real-Binary); 0: a number a bit.
    """

    real: int = 0


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A text's vector is a mixture of topics, p = softmax(w), and is added to its words': Moody, 2016, arXiv:1605.02019 (lda2vec).

    prior: weight of the log of Dirichlet(alpha), once a text and epoch; it rises from 0 to this as the rate falls to lr_end. alpha: below
    1 (None: 1 / topics) texts have few topics.
    lr: AdaGrad's, of the proportions.
    """

    topics: int
    prior: float = 200.0
    alpha: float | None = None
    lr: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What all three loops share; see `SkipGram`, `parts.ngram_sums` and `parts.senses`.

    Needs a C compiler, see `parts.native`. With workers=1 a seed gives the same vectors again; several write into one table without
    locks, and differ a little each time.
    """

    dim: int = 100
    negatives: int = 5  # words drawn for each predicted one
    epochs: int = 5
    lr: float = 0.025  # falls linearly, over all epochs, to lr_end
    lr_end: float = 1e-4
    sample: float = 1e-3  # a word of frequency f is kept with probability sqrt(sample / f) + sample / f; 0 keeps all
    power: float = 0.75  # negatives are drawn in proportion to their counts to this power
    workers: int | None = None  # threads; None: as many as this process may use
    seed: int = 0

    def _train(
        self,
        function: str,
        corpus: Corpus,
        words: np.ndarray,
        output: np.ndarray,
        counts: np.ndarray,
        progress: Callable[[int, int], None] = lambda done, total: None,
        *,
        fixed: bool = False,
        tree: Any = None,
        more: dict[str, Any],
    ) -> list[float]:
        """Run a function of skipgram.c over the texts, epoch by epoch; the tables change in place. more: further fields of its Task."""
        lib = native.library(Path(__file__).with_suffix(".c"))
        lib.skipgram_start()
        share = np.maximum(counts, 1) / max(counts.sum(), 1)
        keep = (np.sqrt(self.sample / share) + self.sample / share).astype(np.float32) if self.sample else None
        noise = _noise(counts, self.power) if tree is None else np.zeros(1, np.int32)
        tokens, starts = np.ascontiguousarray(corpus.tokens), np.ascontiguousarray(corpus.starts)
        done = ctypes.c_int64(0)
        workers = max(1, min(self.workers or processors(), len(corpus)))
        # Each thread has a stretch of the texts, all with about as many words.
        cuts = np.searchsorted(starts, np.linspace(0, len(tokens), workers + 1)[1:-1])
        cuts = np.concatenate([[0], cuts, [len(corpus)]]).tolist()
        losses = np.zeros((workers, 2))
        given = {name: _at(value) if isinstance(value, np.ndarray) else value for name, value in more.items()}
        tasks = [
            _Task(
                **{"in": _at(words)}, out=_at(output), tokens=_at(tokens), starts=_at(starts), keep=_at(keep),
                noise=_at(noise), path_start=_at(tree and tree[0]), path_node=_at(tree and tree[1]), path_turn=_at(tree and tree[2]),
                noise_size=len(noise), total=max(1, self.epochs * len(tokens)), done=ctypes.addressof(done), loss=_at(losses[one]),
                lr=self.lr, lr_end=min(self.lr, self.lr_end), dim=words.shape[1], negatives=self.negatives, fixed=fixed, **given,
            )
            for one in range(workers)
        ]  # fmt: skip
        curve = []
        seeds = np.random.default_rng([self.seed, fixed]).integers(0, 2**63, size=(self.epochs, workers))

        def work(epoch: int, one: int) -> int:
            return lib[function](
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

    def _check(self, *names: str) -> None:
        for name, least in (("dim", 1), ("negatives", 0), ("epochs", 1), *((name, 1) for name in names)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise InputError(f"{name}={value!r}: wanted a whole number of at least {least}")
        if getattr(self, "window", 1) > 100 or self.negatives > 100:
            raise InputError(f"window={getattr(self, 'window', 1)}, negatives={self.negatives}: wanted at most 100")
        if not self.lr > 0 or not self.lr_end >= 0 or not self.sample >= 0:
            raise InputError(f"lr={self.lr}, lr_end={self.lr_end}, sample={self.sample}: wanted lr above 0, the others 0 or more")


@dataclass(frozen=True, kw_only=True)
class SkipGram(Engine):
    """How vectors are trained; `fit` gives them, `infer` those of further texts.

    Mikolov, Chen, Corrado and Dean, 2013, arXiv:1301.3781; Mikolov, Sutskever, Chen, Corrado and Dean, 2013, arXiv:1310.4546;
    documents: Le and Mikolov, 2014, arXiv:1405.4053 (PV-DBOW; with cbow PV-DM). Defaults are word2vec's. All that predicts one word
    shares its negatives (Ji et al., 2016, arXiv:1604.04661); negatives=0: a tree of the words instead (hierarchical softmax).
    """

    window: int = 5  # words to either side, at most: each time a number from 1 to it is drawn, unless shrink=False
    cbow: bool = False  # the mean of the neighbours predicts, instead of each
    documents: bool | Bits | Mixture = False  # each text has a vector that predicts its words, too, or with them
    neighbours: bool = True  # False: documents alone predict
    shrink: bool = True

    def fit(
        self,
        corpus: Corpus,
        n_words: int,
        *,
        start: np.ndarray | Tables | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tables:
        """Vectors of the words 0 to n_words - 1.

        start: word vectors [n_words, dim] to begin with, or tables (with their topics, where there are). progress: (epochs done, epochs).
        """
        self._checked()
        corpus.check(n_words)
        counts = np.bincount(corpus.tokens, minlength=n_words).astype(np.int64)
        rng = np.random.default_rng(self.seed)
        given = start if isinstance(start, Tables) else None
        words, output = _table(n_words, self.dim), _table(n_words, self.dim)
        words[:, : self.dim] = (
            (rng.random((n_words, self.dim), np.float32) - 0.5) / self.dim if start is None else given.words if given else start
        )
        if given:
            output[:, : self.dim] = given.output
        docs, shared = self._fresh_docs(len(corpus), rng), self._fresh_shared(rng, given)
        loss = self._run(corpus, words, output, docs, shared, counts, fixed=False, progress=progress)
        cut = (slice(None), slice(self.dim))
        return Tables(words[cut].copy(), output[cut].copy(), self._read(docs), counts, loss, self._cut(shared))

    def infer(self, corpus: Corpus, known: Tables) -> np.ndarray:
        """What `Tables.docs` is, of further texts: their own steps alone, all else stays."""
        self._checked()
        corpus.check(len(known.words))
        words, output = (_table(len(part), self.dim) for part in (known.words, known.output))
        words[:, : self.dim], output[:, : self.dim] = known.words, known.output
        rng = np.random.default_rng(self.seed + 1)
        docs, shared = self._fresh_docs(len(corpus), rng), self._fresh_shared(rng, known)
        if docs is None:
            raise InputError("documents=False: there is nothing of a text to infer")
        self._run(corpus, words, output, docs, shared, known.counts, fixed=True)
        found = self._read(docs)
        assert found is not None
        return found

    # Within -------------------------------------------------------------------------------------------------------
    @property
    def _width(self) -> int:
        """Numbers that a text learns."""
        if isinstance(self.documents, Mixture):
            return self.documents.topics
        return self.documents.real or self.dim if isinstance(self.documents, Bits) else self.dim

    def _fresh_docs(self, n: int, rng: np.random.Generator) -> np.ndarray | None:
        if not self.documents:
            return None
        docs = _table(n, self._width)
        # Small numbers; of a mixture a little about none, of what makes bits enough to make different ones.
        scale = 0.02 if isinstance(self.documents, Mixture) else 1.0 if self._width != self.dim else 1 / self.dim
        docs[:, : self._width] = (rng.random((n, self._width), np.float32) - 0.5) * scale
        return docs

    def _fresh_shared(self, rng: np.random.Generator, given: Tables | None) -> dict[str, np.ndarray]:
        if isinstance(self.documents, Mixture):
            topics = _table(self.documents.topics, self.dim)
            known = given.shared.get("topics") if given else None
            topics[:, : self.dim] = rng.normal(size=(len(topics), self.dim)) / self.dim**0.5 if known is None else known
            return {"topics": topics}
        if isinstance(self.documents, Bits) and self.documents.real:
            projection, bias = _table(-(-self.dim // WIDTH) * WIDTH, self._width), _table(1, self.dim)
            known = given.shared.get("projection") if given else None
            projection[: self.dim, : self._width] = rng.normal(size=(self.dim, self._width)) / self._width**0.5 if known is None else known
            if given and "bias" in given.shared:
                bias[0, : self.dim] = given.shared["bias"]
            return {"projection": projection, "bias": bias}
        return {}

    def _read(self, docs: np.ndarray | None) -> np.ndarray | None:
        if docs is None:
            return None
        found = docs[:, : self._width].copy()
        if isinstance(self.documents, Mixture):
            found = np.exp(found - found.max(axis=1, keepdims=True))
            found /= found.sum(axis=1, keepdims=True)
        return found

    def _cut(self, shared: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "topics" in shared:
            return {"topics": shared["topics"][:, : self.dim].copy()}
        if shared:
            return {"projection": shared["projection"][: self.dim, : self._width].copy(), "bias": shared["bias"][0, : self.dim].copy()}
        return {}

    def _run(
        self,
        corpus: Corpus,
        words: np.ndarray,
        output: np.ndarray,
        docs: np.ndarray | None,
        shared: dict[str, np.ndarray],
        counts: np.ndarray,
        *,
        fixed: bool,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[float]:
        more: dict[str, Any] = {"window": self.window, "mean": self.cbow, "neighbours": self.neighbours, "shrink": self.shrink}
        if docs is not None:
            more |= {"docs": docs, "doc_dim": docs.shape[1]}
        if isinstance(self.documents, Mixture):
            mix = self.documents
            more |= {"kind": 3, "shared": shared["topics"], "state": np.zeros_like(docs), "mixed": mix.topics, "doc_lr": mix.lr}
            more |= {"prior": mix.prior, "alpha": 1 / mix.topics if mix.alpha is None else mix.alpha}
        elif isinstance(self.documents, Bits):
            more |= {"kind": 2, "shared": shared["projection"], "bias": shared["bias"]} if shared else {"kind": 1}
        tree = huffman(counts) if self.negatives == 0 else None
        return self._train("skipgram_train", corpus, words, output, counts, progress, fixed=fixed, tree=tree, more=more)

    def _checked(self) -> None:
        self._check("window")
        if not (self.documents or self.neighbours):
            raise InputError("documents=False and neighbours=False: nothing would predict")
        if isinstance(self.documents, Mixture) and (self.documents.topics < 1 or self.cbow or not self.neighbours):
            raise InputError("a mixture needs topics, and neighbours that each predict: cbow=False, neighbours=True")
        if isinstance(self.documents, Bits) and (self.documents.real < 0 or self.cbow):
            raise InputError(f"{self.documents}, cbow={self.cbow}: wanted real of 0 or more, and cbow=False")


class _Task(ctypes.Structure):
    """As in skipgram.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("in", "out", "docs", "tokens", "starts", "keep", "noise")),
        *((name, ctypes.c_void_p) for name in ("path_start", "path_node", "path_turn")),
        ("noise_size", ctypes.c_int64), ("total", ctypes.c_int64), ("done", ctypes.c_void_p), ("loss", ctypes.c_void_p),
        ("lr", ctypes.c_float), ("lr_end", ctypes.c_float),
        *((name, ctypes.c_int32) for name in ("dim", "window", "negatives", "mean", "neighbours", "fixed", "shrink", "kind", "doc_dim")),
        *((name, ctypes.c_void_p) for name in ("shared", "bias", "state")), ("mixed", ctypes.c_int32),
        *((name, ctypes.c_float) for name in ("prior", "alpha", "doc_lr")),
        ("first_gram", ctypes.c_int64), ("buckets", ctypes.c_int64), ("order", ctypes.c_int32), ("dropped", ctypes.c_int32),
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


__all__ = ["Bits", "Corpus", "Engine", "Mixture", "SkipGram", "Tables", "huffman"]
