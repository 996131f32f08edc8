"""Several vectors for a word, and what chooses among them: the loop of disambiguated skip-gram."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.skipgram import WIDTH, Corpus, Engine, _table

MOST = 32  # senses of a word, see skipgram.c


@dataclass(frozen=True)
class SenseTables:
    senses: np.ndarray  # float32 [words, k, dim]: a word in each of its senses, as it predicts
    output: np.ndarray  # float32 [words, dim]: as it is predicted, and as it stands in a context
    choose: np.ndarray  # float32 [words, k, dim], with
    bias: np.ndarray  # float32 [words, k]: scores of the senses are choose @ context + bias
    prior: np.ndarray  # float32 [words, k]: share of a word's uses in the last epoch; zeros of words that were never seen
    counts: np.ndarray  # int64 [words]
    loss: list[float]


@dataclass(frozen=True, kw_only=True)
class Senses(Engine):
    """A word's vector is the mixture of its k senses' by softmax(choose @ context + bias), and predicts its neighbours.

    Grzegorczyk, 2018, arXiv:1901.01695 (disambiguated skip-gram). The context is the mean of the OUTPUT vectors of the 2 * window words
    around (no gradient goes there). noise: 1 adds Gumbel noise to the scores, which are divided by the temperature (Jang et al., 2016,
    arXiv:1611.01144); 0: a plain softmax. entropy: weight of the entropy of the choice, which is made small.
    """

    dim: int = 100
    window: int = 5
    negatives: int = 5
    senses: int = 3
    temperature: float = 0.5
    noise: float = 1.0
    entropy: float = 0.0
    shrink: bool = True

    def fit(self, corpus: Corpus, n_words: int, progress: Callable[[int, int], None] = lambda done, total: None) -> SenseTables:
        self._check("window", "senses")
        if self.senses > MOST or self.negatives < 1 or 2 * self.window * (self.negatives + 1) > 128:
            raise InputError(
                f"senses={self.senses}, window={self.window}, negatives={self.negatives}: wanted at most {MOST} senses, "
                "and 2 * window * (negatives + 1) of at most 128"
            )
        if not self.temperature > 0 or self.noise < 0 or self.entropy < 0:
            raise InputError(
                f"temperature={self.temperature}, noise={self.noise}, entropy={self.entropy}: wanted above 0, 0 or more, 0 or more"
            )
        corpus.check(n_words)
        counts = np.bincount(corpus.tokens, minlength=n_words).astype(np.int64)
        k, rng = self.senses, np.random.default_rng(self.seed)
        words, output, choose = _table(n_words * k, self.dim), _table(n_words, self.dim), _table(n_words * k, self.dim)
        words[:, : self.dim] = (rng.random((n_words * k, self.dim), np.float32) - 0.5) / self.dim
        bias, meant = np.zeros((n_words, k), np.float32), np.zeros((n_words, k), np.float32)

        def told(done: int, total: int) -> None:
            if done < total:
                meant[:] = 0
            progress(done, total)

        more = {"window": self.window, "shrink": self.shrink, "mixed": k, "doc_dim": WIDTH, "shared": choose, "bias": bias, "state": meant}
        more |= {"alpha": self.temperature, "doc_lr": self.noise, "prior": self.entropy}
        loss = self._train("senses_train", corpus, words, output, counts, told, more=more)
        cut = [table[:, : self.dim].copy() for table in (words, output, choose)]
        prior = meant / np.maximum(meant.sum(axis=1, keepdims=True), 1e-9)
        return SenseTables(cut[0].reshape(n_words, k, -1), cut[1], cut[2].reshape(n_words, k, -1), bias, prior, counts, loss)


def contexts(output: np.ndarray, corpus: Corpus, window: int) -> np.ndarray:
    """The mean of the vectors of the `window` words to either side of every word, float32 [tokens, dim]; zeros where there are none."""
    tokens, length = corpus.tokens, np.diff(corpus.starts)
    first, last = np.repeat(corpus.starts[:-1], length), np.repeat(corpus.starts[1:], length)
    place = np.arange(len(tokens))
    left, right = np.maximum(place - window, first), np.minimum(place + window + 1, last)
    found = np.zeros((len(tokens), output.shape[1]), np.float32)
    # Running sums in parts, so that they stay exact and small.
    for start in range(0, len(tokens), 1 << 18):
        stop = min(start + (1 << 18), len(tokens))
        low, high = int(left[start]), int(right[start:stop].max())
        run = np.zeros((high - low + 1, output.shape[1]), np.float64)
        np.cumsum(output[tokens[low:high]], axis=0, out=run[1:])
        own = output[tokens[start:stop]]
        total = run[right[start:stop] - low] - run[left[start:stop] - low] - own
        found[start:stop] = total / np.maximum(right[start:stop] - left[start:stop] - 1, 1)[:, None]
    return found
