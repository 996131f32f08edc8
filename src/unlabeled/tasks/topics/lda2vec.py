"""lda2vec: topics that lie among the words, and texts that are a few of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.utils.validation import check_is_fitted

from unlabeled.errors import InputError
from unlabeled.methods.words.pv_dbow import ParagraphVectors
from unlabeled.parts.assign import kmeans
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.scale import unit
from unlabeled.parts.skipgram import Corpus, Mixture, SkipGram, Tables
from unlabeled.parts.vocabulary import Vocabulary, tokenised


@dataclass(kw_only=True, eq=False)
class LDA2Vec(ParagraphVectors):
    """Topics, the shares of them in each text, and word vectors in the same space, learned together.

    Moody, 2016, "Mixing Dirichlet Topic Models and Word Embeddings to Make lda2vec", arXiv:1605.02019. A word and its text predict the
    words around it: c = v_word + sum_k p_k t_k against drawn words, p = softmax(the text's own weights); log Dirichlet(alpha < 1) of p,
    `lam` times, once a text and epoch, makes each text few topics. One loop, see `parts.skipgram` (needs a C compiler).

    Other than in the paper: topics begin at clusters of the texts' mean word vectors (start="random": anywhere, as there), short, so that a
    text has to choose among them, and they and the words, which were learned before, then move slowly (the paper keeps words still at
    first): at a skip-gram's rate topics grow instead, and texts stay mixtures of all. The prior rises from nothing over training, texts'
    weights learn by AdaGrad, nothing is dropped out; lam=200 of the paper made all texts of one mind here. One mixture alone, of the
    text: no further contexts such as its author.

    texts: as in `WordModel`; English stop words, words of one or two letters and numbers are left out (stop_words=False: nothing is).
    Learned: `doc_topics_` float32 [texts, n_topics], `topics_` float32 [n_topics, dim], and of words what a `WordModel` has. transform:
    float32 [n, n_topics]; a text without any known word has equal shares, nearly. InputError: bad values, no word often enough.

        model = LDA2Vec(n_topics=20).fit(docs)
        model.topics(10); model.doc_topics_.argmax(axis=1); model.transform(new_docs); model.most_similar("space")
    """

    n_topics: int = 20
    dim: int = 100
    window: int = 10
    negatives: int = 5
    lam: float = 5.0  # of 250 texts this much left more topics than none did: there the words say too little, lower it
    alpha: float | None = None  # None: 1 / n_topics
    start: str = "texts"
    pretrain_epochs: int | None = (
        None  # of the words alone, before; None: see `WordModel`; 0: none (then lr has to be a skip-gram's, 0.025)
    )
    epochs: int = 10
    lr: float = 5e-4  # of words and topics
    doc_lr: float = 2.0
    sample: float = 1e-3
    stop_words: bool = True
    min_count: int = 10
    max_words: int | None = None
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same only
    seed: int = 0

    def _learn(self, texts: Iterable[Any], known: Vocabulary) -> np.ndarray:
        one_of("start", self.start, ("texts", "random"))
        engine, corpus, n = self._engine(), known.encode(texts), len(known.words)
        rng = np.random.default_rng(self.seed)
        words = ((rng.random((n, whole("dim", self.dim))) - 0.5) / self.dim).astype(np.float32)
        begin = Tables(words, np.zeros_like(words), None, known.counts, [])
        if whole("pretrain_epochs", -1 if self.pretrain_epochs is None else self.pretrain_epochs, -1):
            begin = SkipGram(epochs=self._passes(len(corpus.tokens), self.pretrain_epochs), **self._common()).fit(corpus, n)
        if self.start == "texts":
            begin.shared["topics"] = self._clusters(corpus, begin.words)
        found = engine.fit(corpus, n, start=begin)
        assert found.docs is not None
        self.loss_curve_, self.doc_vectors_, self.output_vectors_ = found.loss, found.docs, found.output
        self.topics_ = found.shared["topics"]
        return found.words

    def _common(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("dim", "window", "negatives", "sample", "workers", "seed")}

    def _engine(self, documents_alone: bool = False) -> SkipGram:
        alpha = None if self.alpha is None else number("alpha", self.alpha, 0, above=True)
        prior, rate = number("lam", self.lam, 0), number("doc_lr", self.doc_lr, 0, above=True)
        mixture = Mixture(topics=whole("n_topics", self.n_topics), prior=prior, alpha=alpha, lr=rate)
        return SkipGram(documents=mixture, epochs=whole("epochs", self.epochs), lr=number("lr", self.lr, 0, above=True), **self._common())

    def _clusters(self, corpus: Corpus, words: np.ndarray) -> np.ndarray:
        """Topics to begin with: centres of the texts' mean vectors, the mean of all taken off, a third as long as a word."""
        length = np.diff(corpus.starts)
        sums = np.zeros((len(corpus), words.shape[1]), np.float32)
        np.add.at(sums, np.repeat(np.arange(len(corpus)), length), words[corpus.tokens])
        means = sums[length > 0] / length[length > 0, None]
        means = unit(means - means.mean(axis=0))
        if len(means) < self.n_topics:
            raise InputError(f"n_topics={self.n_topics} of {len(means)} texts that have words: wanted as many texts, or start='random'")
        labels = kmeans(means, self.n_topics, metric="cosine", seed=self.seed).labels
        centres = np.stack([means[labels == k].mean(axis=0) if (labels == k).any() else means[k] for k in range(self.n_topics)])
        return unit(centres) * (0.3 * np.linalg.norm(words, axis=1).mean())

    def _told(self, docs: np.ndarray, corpus: Corpus) -> np.ndarray:
        return docs  # equal shares, nearly, where nothing is known

    @property
    def doc_topics_(self) -> np.ndarray:
        """The shares of the topics in the fitted texts, float32 [texts, n_topics]."""
        return self.doc_vectors_

    def topics(self, k: int = 10) -> list[list[str]]:
        """The k words that are likeliest in each topic.

        That is what training says of a word near a topic: its frequency as a drawn word times exp(topic . word). Topics share a
        direction, that of the frequent words, which is taken off, and all are made as long as a word is.
        """
        check_is_fitted(self, "topics_")
        own = self.topics_ - self.topics_.mean(axis=0) if self.n_topics > 1 else self.topics_
        score = (unit(own) * np.linalg.norm(self.vectors_, axis=1).mean()) @ self.output_vectors_.T + 0.75 * np.log(self.counts_)
        return [[self.vocabulary_[row] for row in np.argsort(-of_topic, kind="stable")[: whole("k", k)]] for of_topic in score]

    def _texts(self, X: Any) -> list[Any]:
        texts = [list(words) for words in tokenised(super()._texts(X))]
        return [[word for word in words if self._says(word)] for words in texts] if self.stop_words else texts

    @staticmethod
    def _says(word: str) -> bool:
        # Two signs are a word where scripts have no letters as short as ours.
        return word not in ENGLISH_STOP_WORDS and not word.isdigit() and (len(word) > 2 or not word.isascii())
