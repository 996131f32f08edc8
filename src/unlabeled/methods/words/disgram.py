"""Disambiguated skip-gram: several vectors for a word, and what chooses among them, learned together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unlabeled.errors import InputError
from unlabeled.methods.words.word_model import WordModel
from unlabeled.parts.checks import number, whole
from unlabeled.parts.senses import Senses, contexts
from unlabeled.parts.skipgram import Corpus
from unlabeled.parts.vocabulary import Vocabulary, tokenised


@dataclass(frozen=True)
class Sense:
    """One of the senses of a word."""

    share: float  # of the word's uses
    words: list[tuple[str, float]]  # nearest to it, with their cosines
    vector: np.ndarray  # float32 [dim]


@dataclass(kw_only=True, eq=False)
class DisambiguatedSkipGram(WordModel):
    """The senses of words, without a dictionary: a word has `n_senses` vectors, and what stands around it says which one is meant.

    Grzegorczyk, 2018, "Vector representations of text data in deep learning", arXiv:1901.01695. As skip-gram, but what predicts is the
    mixture of a word's vectors by softmax((A_w c + a_w + Gumbel noise) / temperature), c being the mean of the words around; `entropy`
    times the entropy of the choice makes it decided. One loop, see `parts.senses` (needs a C compiler); the paper has Wikipedia and
    momentum, here words are predicted against drawn ones. For texts and what is learned see `WordModel`.

    Learned besides: `sense_vectors_` float32 [words, n_senses, dim], `shares_` float32 [words, n_senses] of a word's uses, 0 below
    min_share (those senses are never chosen); `vectors_` are the senses' means by their shares. transform: float32 [n, dim], the mean
    of a text's words, each in the sense that it has there. InputError: bad values, no word often enough, no such word or place.

        model = DisambiguatedSkipGram(n_senses=3).fit(sentences)
        for sense in model.senses("bank"): print(sense.share, sense.words)
        model.disambiguate("they sat on the bank of the river".split(), 4)     # the place in senses("bank")
    """

    dim: int = 100
    n_senses: int = 3
    window: int = 5
    negatives: int = 5
    temperature: float = 0.5
    noise: float = 1.0  # how much of Gumbel's noise; 0: a plain softmax
    entropy: float = 0.0  # the paper's is optional; at 0.1 most words of a corpus of 2.5 million kept one sense only
    min_share: float = 0.05
    epochs: int | None = None  # None: see `WordModel`
    lr: float = 0.1  # at a skip-gram's 0.025 the choice learns too slowly
    sample: float = 1e-4
    min_count: int = 5
    max_words: int | None = None
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same vectors only
    seed: int = 0

    def _learn(self, texts: Iterable[Any], known: Vocabulary) -> np.ndarray:
        number("min_share", self.min_share, 0, 1)
        names = ("dim", "window", "negatives", "temperature", "noise", "entropy", "lr", "sample", "workers", "seed")
        epochs = self._passes(int(known.counts.sum()), self.epochs)
        engine = Senses(senses=self.n_senses, epochs=epochs, **{name: getattr(self, name) for name in names})
        found = engine.fit(known.encode(texts), len(known.words))
        self.loss_curve_, self.output_vectors_, self.choose_, self.bias_ = found.loss, found.output, found.choose, found.bias
        self.sense_vectors_ = found.senses
        share = found.prior + (found.prior.sum(axis=1, keepdims=True) == 0) * (
            np.arange(self.n_senses) == 0
        )  # never among others: one sense
        share *= share >= np.minimum(self.min_share, share.max(axis=1, keepdims=True))  # the largest stays whatever min_share says
        self.shares_ = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
        return np.einsum("wk,wkd->wd", self.shares_, found.senses)

    def senses(self, word: str, k: int = 10) -> list[Sense]:
        """A word's senses, the most usual first, each with the k words nearest to it. InputError: a word that isn't known."""
        row = self._row(word)
        return [
            Sense(float(self.shares_[row, s]), self._nearest(self.sense_vectors_[row, s], k, [word]), self.sense_vectors_[row, s])
            for s in self._ranked(row)
        ]

    def disambiguate(self, tokens: Sequence[str], i: int) -> int:
        """Which of senses(tokens[i]) is meant, by the words around place i. InputError: no such place, or a word that isn't known."""
        tokens = list(next(iter(tokenised([list(tokens)]))))
        if not 0 <= whole("i", i, 0) < len(tokens):
            raise InputError(f"i={i}: wanted a place from 0 to {len(tokens) - 1}")
        self._row(tokens[i])
        return int(self.tag([tokens])[0][i])

    def tag(self, X: Any) -> list[np.ndarray]:
        """For every word of every text its place in senses(word), int64; -1 for words that aren't known."""
        check_is_fitted(self, "sense_vectors_")
        texts = [list(words) for words in tokenised(self._texts(X))]
        corpus = self._corpus(texts)
        order = np.argsort(np.argsort(-self.shares_, axis=1, kind="stable"), axis=1)
        places = np.split(order[corpus.tokens, self._chosen(corpus)], corpus.starts[1:-1])
        found = [np.full(len(words), -1, np.int64) for words in texts]
        for row, words, place in zip(found, texts, places, strict=True):
            row[[word in self._number for word in words]] = place
        return found

    def _embed(self, texts: list[Any]) -> np.ndarray:
        corpus = self._corpus(texts)
        sums = np.zeros((len(corpus), self.vectors_.shape[1]), np.float32)
        length = np.diff(corpus.starts)
        np.add.at(sums, np.repeat(np.arange(len(corpus)), length), self.sense_vectors_[corpus.tokens, self._chosen(corpus)])
        return sums / np.maximum(length, 1)[:, None]

    def _chosen(self, corpus: Corpus) -> np.ndarray:
        """The sense of every word, int64 [tokens].

        In training frequent words are mostly left out of what stands around; here they count as little as they were there.
        """
        share = np.maximum(self.counts_, 1) / self.counts_.sum()
        kept = np.minimum(np.sqrt(self.sample / share) + self.sample / share, 1) if self.sample else np.ones(len(share))
        kept = kept.astype(np.float32)[:, None]
        around = contexts(self.output_vectors_ * kept, corpus, self.window) / np.maximum(contexts(kept, corpus, self.window), 1e-9)
        chosen = np.empty(len(around), np.int64)
        for start in range(0, len(around), 8192):
            part = corpus.tokens[start : start + 8192]
            score = np.einsum("nkd,nd->nk", self.choose_[part], around[start : start + 8192]) + self.bias_[part]
            chosen[start : start + 8192] = np.where(self.shares_[part] > 0, score, -np.inf).argmax(axis=1)
        return chosen

    def _ranked(self, row: int) -> list[int]:
        return [int(s) for s in np.argsort(-self.shares_[row], kind="stable") if self.shares_[row, s] > 0]
