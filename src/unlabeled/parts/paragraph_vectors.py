"""Words and documents in one space: PV-DBOW trained together with skip-grams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unlabeled.errors import InputError

BLOCK = 64  # neighbouring tokens that are compared with each other at once: a band of a dense product is quicker than single pairs
BLOCKS, STEPS = 32, 100  # blocks a step, at most: small corpora shall have so many steps an epoch, too
LONG = 16  # words of a document from which on a step averages over them instead of adding them up
NOISE = 64  # random words that a step's tokens share; they are weighted as `negative` for each true pair


@dataclass(frozen=True, kw_only=True)
class ParagraphVectors:
    """How word and document vectors are trained; `fit` gives them, `infer` those of further documents.

    A document's vector predicts each of its words, a word's vector those within `window` of it, by one output matrix, against
    `negative` random words a pair, drawn by frequency to the power of 3/4. Le and Mikolov, 2014, arXiv:1405.4053 (PV-DBOW);
    Mikolov et al., 2013, arXiv:1310.4546; together as in Dai, Olah and Le, 2015, arXiv:1507.07998 (gensim: dbow_words=1).

    In blocks of tokens instead of pair by pair: near pairs are weighted as a window of random size would draw them on average,
    random words are shared within a step. Words take Adagrad's steps, as a step's sum over a frequent word would overshoot otherwise;
    documents plain ones: they see few steps, and Adagrad's first, while the words still mean nothing, are its largest.
    One core trains a million tokens, subsampled to a quarter, for 20 epochs in about a minute.
    """

    dim: int = 100
    window: int = 15
    negative: float = 5
    epochs: int = 20
    lr: float = 0.1  # falls linearly to a hundredth
    sample: float | None = None  # a word of frequency f is kept with probability sqrt(sample / f) + sample / f; 0 keeps all
    # Default: 1e-5, as is usual; of less than a million words what lets those of ten uses be, or hardly any would be left.
    seed: int = 0

    def fit(self, docs: Sequence[np.ndarray], n_words: int) -> Vectors:
        """docs: for each document its words as whole numbers below n_words, in order; it may be empty."""
        tokens, owners = _flat(docs, n_words)
        counts = np.bincount(tokens, minlength=n_words).astype(np.int64)
        generator = torch.Generator().manual_seed(self.seed)
        start = (torch.rand(n_words + len(docs), self.dim, generator=generator) - 0.5) / self.dim
        found = Vectors(start[:n_words].numpy(), start[n_words:].numpy(), np.zeros((n_words, self.dim), np.float32), counts)
        self._train(found, tokens, owners, generator, new=False)
        return found

    def infer(self, docs: Sequence[np.ndarray], known: Vectors) -> np.ndarray:
        """Vectors of documents that were not fitted, float32 [n, dim]: gradient steps on these alone, the words' stay."""
        tokens, owners = _flat(docs, len(known.words))
        generator = torch.Generator().manual_seed(self.seed + 1)
        start = (torch.rand(len(docs), self.dim, generator=generator) - 0.5) / self.dim
        found = Vectors(known.words, start.numpy(), known.output, known.counts)
        self._train(found, tokens, owners, generator, new=True)
        return found.docs

    def _train(self, found: Vectors, tokens: np.ndarray, owners: np.ndarray, generator: torch.Generator, new: bool) -> None:
        words, docs, output = (torch.from_numpy(part) for part in (found.words, found.docs, found.output))
        noise = torch.from_numpy(found.counts).double() ** 0.75
        share = np.maximum(found.counts, 1) / max(found.counts.sum(), 1)
        sample = max(1e-5, 10 / max(found.counts.sum(), 1)) if self.sample is None else self.sample
        chance = np.sqrt(sample / share) + sample / share if sample else np.ones(len(share))
        rng = np.random.default_rng(self.seed + new)
        gaps = torch.arange(BLOCK)[:, None] - torch.arange(BLOCK)
        band = ((self.window + 1 - gaps.abs()) / self.window).clamp(min=0).fill_diagonal_(0)
        memory = [torch.full_like(part, 1e-6) for part in (words, output)]
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        for epoch in range(self.epochs):
            kept = _shuffled(tokens, owners, starts, rng, chance)
            size = BLOCK * int(np.clip(len(kept[0]) // (BLOCK * STEPS), 1, BLOCKS))
            steps = -(-len(kept[0]) // size)
            for step in range(steps):
                rate = self.lr * max(0.01, 1 - (epoch + step / steps) / self.epochs)
                here = slice(step * size, (step + 1) * size)
                w, d = (torch.from_numpy(part[here]) for part in kept)
                drawn = torch.multinomial(noise, NOISE, replacement=True, generator=generator)
                u, far, p = output[w], output[drawn], docs[d]
                # A document and its words; a document and random words.
                pull, push = (p * u).sum(dim=1).sigmoid() - 1, (p @ far.T).sigmoid() * (self.negative / NOISE)
                _descend(docs, d, pull[:, None] * u + push @ far, rate)
                if new:
                    continue
                du, dfar = pull[:, None] * p, push.T @ p
                v = words[w]
                # Each word and those near it in the same document, a block of the text at a time.
                V, U, owner = (_blocks(part) for part in (v, u, d))
                near = band * ((owner[:, :, None] == owner[:, None]) & (owner >= 0)[:, None])
                G = near * ((V @ U.transpose(1, 2)).sigmoid() - 1)
                push = (v @ far.T).sigmoid() * (near.sum(dim=2).flatten()[: len(v), None] * (self.negative / NOISE))
                du = du + (G.transpose(1, 2) @ V).flatten(0, 1)[: len(v)]
                _adagrad(words, memory[0], w, (G @ U).flatten(0, 1)[: len(v)] + push @ far, rate)
                _adagrad(output, memory[1], torch.cat([w, drawn]), torch.cat([du, dfar + push.T @ v]), rate)


@dataclass(frozen=True)
class Vectors:
    words: np.ndarray  # float32 [words, dim]
    docs: np.ndarray  # float32 [documents, dim]
    output: np.ndarray  # float32 [words, dim], which predicts
    counts: np.ndarray  # int64 [words]: uses in the documents fitted


def _flat(docs: Sequence[np.ndarray], n_words: int) -> tuple[np.ndarray, np.ndarray]:
    """All words one after another, and the document of each."""
    rows = [np.asarray(doc, dtype=np.int64).ravel() for doc in docs]
    tokens = np.concatenate([*rows, np.zeros(0, np.int64)])
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < n_words:
        raise InputError(f"docs hold numbers from {tokens.min()} to {tokens.max()}: wanted words from 0 to {n_words - 1}")
    return tokens, np.repeat(np.arange(len(rows)), [len(row) for row in rows])


def _shuffled(
    tokens: np.ndarray, owners: np.ndarray, starts: np.ndarray, rng: np.random.Generator, chance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The words kept this time and their documents, the documents in a new order."""
    if not len(tokens):
        return tokens, owners
    place = np.empty(owners[-1] + 1, np.int64)
    place[owners[starts]] = rng.permutation(len(starts))
    kept = np.flatnonzero(rng.random(len(tokens)) < chance[tokens])
    kept = kept[np.argsort(place[owners[kept]], kind="stable")]
    return tokens[kept], owners[kept]


def _blocks(rows: Tensor) -> Tensor:
    """[n, ...] cut into [blocks, BLOCK, ...]; missing rows are -1 (of document numbers) and otherwise 0."""
    missing = -len(rows) % BLOCK
    pad = [0, 0] * (rows.ndim - 1) + [0, missing]
    return F.pad(rows, pad, value=-1 if rows.ndim == 1 else 0).unflatten(0, (-1, BLOCK))


def _adagrad(rows: Tensor, memory: Tensor, index: Tensor, gradient: Tensor, rate: float) -> None:
    """One step on the rows that occur in index; the gradients of a row that occurs often are added up. Duchi et al., 2011."""
    used, place = index.unique(return_inverse=True)
    total = torch.zeros(len(used), rows.shape[1]).index_add_(0, place, gradient)
    squares = memory[used] + total.square()
    memory[used] = squares
    rows[used] -= rate * total / squares.sqrt()


def _descend(rows: Tensor, index: Tensor, gradient: Tensor, rate: float) -> None:
    """One plain step on the rows that occur in index; the gradients of a row are added up, of more than LONG as if they were LONG."""
    used, place = index.unique(return_inverse=True)
    total = torch.zeros(len(used), rows.shape[1]).index_add_(0, place, gradient)
    uses = torch.bincount(place, minlength=len(used))[:, None]
    rows[used] -= rate * total / (uses / LONG).clamp(min=1)


__all__ = ["ParagraphVectors", "Vectors"]
