"""Vectors of words and n-grams whose sum says which word is missing from a text: the loop of sent2vec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.skipgram import WIDTH, Corpus, Engine, Tables, _table

FACTOR = np.uint64(116049371)  # of the hash of an n-gram: h = first word, then h = h * FACTOR + next word


@dataclass(frozen=True, kw_only=True)
class NgramSums(Engine):
    """Each word of a text is predicted by the mean of all its other words and of the n-grams that don't hold it.

    Pagliardini, Gupta and Jaggi, 2018, arXiv:1703.02507. N-grams are hashed to `buckets` rows after the words'. A word is a target with
    the probability of `sample`; as context it always counts. `dropped` random n-grams of the text are left out each time. Of a text of
    more than 256 words each 256 are learned from as one; eight targets share their negatives and see the vectors as they were before.
    """

    dim: int = 100
    negatives: int = 10
    epochs: int = 5
    lr: float = 0.2
    lr_end: float = 0.0
    sample: float = 1e-5
    power: float = 0.5
    order: int = 2  # longest n-gram; 1: words alone
    buckets: int = 2_000_000
    dropped: int = 4

    def fit(self, corpus: Corpus, n_words: int, progress: Callable[[int, int], None] = lambda done, total: None) -> Tables:
        """Tables whose `words` are [n_words + buckets, dim] (with order=1 [n_words, dim])."""
        self._check("order", "buckets")
        if self.order > 8 or self.dropped < 0 or self.negatives < 1:
            raise InputError(
                f"order={self.order}, dropped={self.dropped}, negatives={self.negatives}: wanted at most 8, 0 or more, 1 or more"
            )
        corpus.check(n_words)
        counts = np.bincount(corpus.tokens, minlength=n_words).astype(np.int64)
        rows = n_words + (self.buckets if self.order > 1 else 0)
        words, output = _table(rows, self.dim), _table(n_words, self.dim)
        rng = np.random.default_rng(self.seed)
        for start in range(0, rows, 1 << 16):  # in parts: the table may be large
            part = words[start : start + (1 << 16), : self.dim]
            part[:] = (2 * rng.random(part.shape, np.float32) - 1) / self.dim
        more = {"first_gram": n_words, "buckets": self.buckets, "order": self.order, "dropped": self.dropped, "doc_dim": WIDTH}
        loss = self._train("sums_train", corpus, words, output, counts, progress, more=more)
        if not np.isfinite(words).all():
            raise InputError(f"training ran away with lr={self.lr}: lower lr")
        return Tables(words[:, : self.dim].copy(), output[:, : self.dim].copy(), None, counts, loss)


def ngram_rows(corpus: Corpus, n_words: int, order: int, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a text's n-grams (n from 2 to order), text after text, as the loop counts them: rows int64 and starts [texts + 1]."""
    tokens, length = corpus.tokens.astype(np.uint64), np.diff(corpus.starts)
    text = np.repeat(np.arange(len(length)), length)
    hashed, rows, texts = tokens.copy(), [], []
    for n in range(2, order + 1):
        if len(tokens) < n:
            break
        hashed = hashed[:-1] * FACTOR + tokens[n - 1 :]
        within = text[: len(hashed)] == text[n - 1 :]
        rows.append(n_words + (hashed[within] % np.uint64(buckets)).astype(np.int64))
        texts.append(text[: len(hashed)][within])
    of = np.concatenate([*texts, np.zeros(0, np.int64)]).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=len(length)))])
    return np.concatenate([*rows, np.zeros(0, np.int64)])[np.argsort(of, kind="stable")], starts


def sums(tables: np.ndarray, corpus: Corpus, n_words: int, order: int, buckets: int) -> np.ndarray:
    """The mean of each text's words and n-grams, float32 [texts, dim]; zeros for a text without any."""
    import torch

    grams, starts = ngram_rows(corpus, n_words, order, buckets)
    length, n_grams = np.diff(corpus.starts), np.diff(starts)
    rows = np.empty(len(corpus.tokens) + len(grams), np.int64)
    ends = np.cumsum(length + n_grams)
    at = np.concatenate([[0], ends[:-1]])
    rows[np.repeat(at - corpus.starts[:-1], length) + np.arange(len(corpus.tokens))] = corpus.tokens
    rows[np.repeat(at + length - starts[:-1], n_grams) + np.arange(len(grams))] = grams
    with torch.no_grad():
        return torch.nn.functional.embedding_bag(
            torch.from_numpy(rows), torch.from_numpy(tables), torch.from_numpy(at), mode="mean"
        ).numpy()
