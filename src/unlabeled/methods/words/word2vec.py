"""word2vec: words that stand in like places get like vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from unlabeled.encoders import Inputs
from unlabeled.methods.words.word_model import WordModel, read_word2vec
from unlabeled.parts.skipgram import SkipGram
from unlabeled.parts.vocabulary import Vocabulary


@dataclass(kw_only=True, eq=False)
class Word2Vec(WordModel):
    """Skip-gram (or CBOW) with negative sampling: a word's vector predicts the words around it.

    Mikolov, Chen, Corrado and Dean, 2013, arXiv:1301.3781; Mikolov, Sutskever, Chen, Corrado and Dean, 2013, arXiv:1310.4546. Its
    defaults, but few texts are read more often. One loop for all of it, see `parts.skipgram` (needs a C compiler); for texts and what
    is learned see `WordModel`. InputError: bad values, no word often enough.

        model = Word2Vec().fit(sentences)                    # a list of str, lists of words, or a file with a sentence a line
        model.most_similar("king"); model.analogy("man", "king", "woman")
        model.transform(["a text's vector is the mean of its words'"])
        model.save_word2vec("vectors.bin"); Word2Vec.load_word2vec("vectors.bin")
    """

    dim: int = 100
    window: int = 5
    negatives: int = 5  # 0: a tree of the words instead (hierarchical softmax)
    cbow: bool = False
    epochs: int | None = None  # None: 5, and of few words as many more as make five million, at most 100
    lr: float = 0.025
    sample: float = 1e-3
    min_count: int = 5
    max_words: int | None = None
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same vectors only
    seed: int = 0

    def _learn(self, texts: Iterable[Any], known: Vocabulary) -> np.ndarray:
        names = ("dim", "window", "negatives", "cbow", "lr", "sample", "workers", "seed")
        engine = SkipGram(epochs=self._passes(int(known.counts.sum()), self.epochs), **{name: getattr(self, name) for name in names})
        found = engine.fit(known.encode(texts), len(known.words))
        self.loss_curve_ = found.loss
        return found.words

    @classmethod
    def load_word2vec(cls, path: str | Path, *, most: int | None = None) -> Self:
        """Vectors of a file in word2vec's format, text or binary, also .gz; at most the `most` first words."""
        words, vectors = read_word2vec(path, most=most)
        model = cls(dim=vectors.shape[1])
        model.vocabulary_, model.vectors_, model.counts_ = words, vectors, np.zeros(len(words), np.int64)
        model.inputs_ = Inputs("text")
        return model
