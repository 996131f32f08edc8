"""sent2vec: vectors of words and n-grams whose mean says which word is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.methods.words.word_model import WordModel
from unlabeled.parts.checks import whole
from unlabeled.parts.ngram_sums import NgramSums, sums
from unlabeled.parts.scale import unit
from unlabeled.parts.vocabulary import Vocabulary


@dataclass(kw_only=True, eq=False)
class Sent2Vec(WordModel):
    """Vectors of sentences: the mean of those of their words and n-grams, which were learned for just that.

    Pagliardini, Gupta and Jaggi, 2018, "Unsupervised Learning of Sentence Embeddings using Compositional n-Gram Features",
    arXiv:1703.02507. Each word of a sentence is predicted by the mean of all the others and of the n-grams, against drawn words (in
    proportion to the root of their counts); the whole sentence is the window, and frequent words are left out as targets only. The
    paper has 600 to 700 dimensions, 2 million buckets, sample 1e-5, lr 0.2 and some hundred million sentences; the defaults are for less.

    A small corpus wants word_ngrams=1, sample=1e-3 and 50 epochs or so: learned from 650,000 words for 30, pairs of words made sentences'
    similarity no better (Spearman .50 with them at lr 0.3, .53 without at 0.2; one seed). Keep to lr=0.2: without pairs, 0.3 ran away.

    Departures. Eight targets share their negatives and see the vectors as they were before: half the time of one after the other, but rates
    must be lower. N-grams that hold the missing word are left out, where the authors' program puts a placeholder into them. Texts of more
    than 256 words are learned from in pieces of as many; their vectors are still of the whole.

    One loop, see `parts.ngram_sums` (needs a C compiler). For texts and what is learned see `WordModel`; `grams_` float32 [buckets, dim]
    are the n-grams', by hash. transform: float32 [n, dim], zeros for a text without any known word. InputError: bad values, no word
    often enough, a rate at which it runs away.

        model = Sent2Vec(workers=None).fit(sentences)        # a list of str, lists of words, or a file with a sentence a line
        Z = model.transform(["a sentence", "another one"]); model.most_similar("king")
        model.nearest_texts("how do I bake bread", sentences)
    """

    dim: int = 100
    word_ngrams: int = 2  # the longest; 1: words alone
    negatives: int = 10
    sample: float = 1e-4
    dropout_k: int = 4  # n-grams of a sentence left out at each step
    epochs: int = 20
    buckets: int = 200_000
    lr: float = 0.2
    min_count: int = 5
    max_words: int | None = None
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same vectors only
    seed: int = 0

    def _learn(self, texts: Iterable[Any], known: Vocabulary) -> np.ndarray:
        names = ("dim", "negatives", "sample", "epochs", "buckets", "lr", "workers", "seed")
        setting = {name: getattr(self, name) for name in names}
        engine = NgramSums(order=whole("word_ngrams", self.word_ngrams), dropped=whole("dropout_k", self.dropout_k, 0), **setting)
        found, n = engine.fit(known.encode(texts), len(known.words)), len(known.words)
        # The loss of knowing nothing, and numbers far beyond the 4 to 6 of trained vectors: rows can run away unseen by the loss.
        if not (found.loss[-1] < (1 + self.negatives) * np.log(2) and np.abs(found.words).max() < 50):
            raise InputError(f"training ran away with lr={self.lr}: lower lr")
        self.loss_curve_, self.grams_ = found.loss, found.words[n:]
        return found.words[:n]

    def _embed(self, texts: list[Any]) -> np.ndarray:
        return sums(self._table, self._corpus(texts), len(self.vocabulary_), self.word_ngrams, max(len(self.grams_), 1))

    def nearest_texts(self, query: str, texts: Sequence[Any], k: int = 10) -> list[tuple[Any, float]]:
        """The k texts whose vectors are nearest to that of the query, with their cosines."""
        cosine = unit(self.transform(texts)) @ unit(self.transform([query]))[0]
        return [(texts[row], float(cosine[row])) for row in np.argsort(-cosine, kind="stable")[: whole("k", k)]]

    @property
    def _table(self) -> np.ndarray:
        """Words and n-grams one after another, as `sums` wants them; both are views of it, for there may be gigabytes."""
        table: np.ndarray | None = getattr(self, "_both", None)
        if table is None or self.vectors_.base is not table or self.grams_.base is not table:
            n, table = len(self.vectors_), np.concatenate([self.vectors_, self.grams_])
            self._both, self.vectors_, self.grams_ = table, table[:n], table[n:]
        return table
