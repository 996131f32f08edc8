"""Lbl2Vec: documents sorted into topics that are described by a few keywords."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from unlabeled.errors import InputError
from unlabeled.methods.frozen import Frozen
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.checks import number, whole
from unlabeled.parts.scale import unit
from unlabeled.parts.skipgram import Corpus, SkipGram, Tables
from unlabeled.saving import load_model
from unlabeled.tasks.cluster import TOKEN
from unlabeled.vectors import VectorEstimator


@dataclass(kw_only=True, eq=False)
class Lbl2Vec(VectorEstimator):
    """Topics that you know and can name keywords for: which documents belong to each, without a single label.

    Schopf, Braun and Matthes, 2021, "Lbl2Vec: An Embedding-Based Approach for Unsupervised Document Retrieval on Predefined
    Topics", arXiv:2210.06023. Word and document vectors are learned in one space (PV-DBOW with skip-grams, `parts.skipgram`, which
    needs a C compiler). The documents nearest to a topic's keywords, without outliers among them (LOF; Breunig et al., 2000),
    average to the topic's vector; every document's score is its cosine with that. Other than in the paper the means of all
    documents and of all words are taken off. The paper: 300 dimensions, words of at least 50 documents, 10 epochs, large corpora.
    encoder: instead of learned vectors those of a text model, for documents and keywords alike (its authors' later
    Lbl2TransformerVec): a name ("minilm"), an estimator with transform, which is fitted on the documents if it isn't yet, or a function.

    docs: a list of n str. keywords: topic -> words. Learned: `labels_`, the topics; `keyword_vectors_`, `label_vectors_`
    float32 [topics, dim]; `doc_vectors_` float32 [n, dim]; `members_`, how many documents made each topic's vector. A keyword
    that occurs too seldom is left out with a warning. InputError: a topic without any keyword left, bad values.

        topics = Lbl2Vec(keywords={"space": ["orbit", "nasa"], "cars": ["engine", "dealer"]}).fit(docs)
        topics.predict()                     # the topic of each; predict(new_docs) of others
        topics.rank("space", 10)             # rows of docs, best first
    """

    keywords: Mapping[str, Sequence[str]] | None = None
    vector_size: int = 100
    min_count: int = 5  # uses below which a word has no vector
    epochs: int | None = None  # None: 20, and of less than 100,000 words as many more as make two million, at most 200
    window: int = 15
    sample: float | None = None  # frequent words are left out as in `parts.skipgram`. None: 1e-4, and of less than 100,000 words
    # what lets those of ten uses be. The paper: 1e-5, of large corpora
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same vectors only
    similarity_threshold: float = 0.3  # cosine with the keywords from which a document is a candidate
    min_docs: int = 50  # candidates in any case
    max_docs: int | None = None
    clean_outliers: bool = True
    contamination: float | str = "auto"  # share of outliers among the candidates
    encoder: Any = None
    seed: int = 0

    def fit(self, docs: Sequence[str], y: Any = None) -> Self:
        texts = self._texts(docs)
        self._check()
        self.doc_vectors_ = self._learned(texts) if self.encoder is None else self._encoded(texts, fit=True)
        return self.describe()

    def describe(self, **changed: Any) -> Self:
        """Topics' vectors anew, by the words and documents learned before: describe(keywords={...}), describe(min_docs=20)."""
        check_is_fitted(self, "doc_vectors_")
        self.set_params(**changed)._check()
        self.labels_ = [str(label) for label in self.keywords or {}]
        D, found = unit(self.doc_vectors_), []
        self.members_, keyword_vectors = [], []
        for label, words in (self.keywords or {}).items():
            keyword_vectors.append(unit(self._of_words(str(label), words)).mean(axis=0))
            near = D @ unit(keyword_vectors[-1][None])[0]
            rows = self._candidates(D, near)
            found.append(self.doc_vectors_[rows].mean(axis=0))
            self.members_.append(len(rows))
        self.keyword_vectors_, self.label_vectors_ = np.stack(keyword_vectors), np.stack(found)
        return self

    def decision_function(self, docs: Sequence[str] | None = None) -> np.ndarray:
        """Cosine of each document (of those fitted, without docs) with each topic, float32 [n, topics]."""
        check_is_fitted(self)
        Z = self.doc_vectors_ if docs is None else self.transform(docs)
        return unit(Z) @ unit(self.label_vectors_).T

    def predict(self, docs: Sequence[str] | None = None) -> np.ndarray:
        """The topic of each document, str [n]. How sure that is: `decision_function`."""
        best = self.decision_function(docs).argmax(axis=1)
        return np.array(self.labels_, dtype=object)[best]

    def rank(self, label: str, k: int = 10) -> np.ndarray:
        """The k fitted documents that are most about a topic, best first: rows, int64."""
        check_is_fitted(self)
        if label not in self.labels_:
            raise InputError(f"label {label!r}: wanted one of {', '.join(self.labels_)}")
        return np.argsort(-self.decision_function()[:, self.labels_.index(label)], kind="stable")[: whole("k", k)]

    def transform(self, docs: Sequence[str]) -> np.ndarray:
        """Vectors of documents, float32 [n, dim]; those of learned word vectors by gradient steps with the words kept."""
        check_is_fitted(self)
        texts = self._texts(docs)
        if self.encoder is not None:
            return self._encoded(texts)
        known = Tables(self.word_vectors_, self.output_vectors_, None, self.counts_, [])
        return self._trainer(documents_alone=True).infer(self._ids(texts), known) - self.doc_mean_

    # Within -------------------------------------------------------------------------------------------------------
    def _learned(self, texts: list[str]) -> np.ndarray:
        uses = Counter(word for text in texts for word in _words(text))
        self.vocabulary_ = sorted(word for word, count in uses.items() if count >= self.min_count)
        if not self.vocabulary_:
            raise InputError(f"no word occurs min_count={self.min_count} times in these {len(texts)} documents: lower it, or give more")
        self.uses_ = sum(uses[word] for word in self.vocabulary_)
        found = self._trainer().fit(self._ids(texts), len(self.vocabulary_))
        assert found.docs is not None
        # Words and documents share a large mean each (their cones): with it nearly every cosine is above the threshold.
        self.doc_mean_, self.output_vectors_, self.counts_ = found.docs.mean(axis=0), found.output, found.counts
        self.word_vectors_ = found.words - found.words.mean(axis=0)
        return found.docs - self.doc_mean_

    def _trainer(self, documents_alone: bool = False) -> SkipGram:
        epochs = min(200, max(20, round(2e6 / self.uses_))) if self.epochs is None else self.epochs
        sample = max(1e-4, 10 / self.uses_) if self.sample is None else self.sample
        setting: dict[str, Any] = {name: getattr(self, name) for name in ("window", "workers", "seed")}
        return SkipGram(dim=self.vector_size, documents=True, neighbours=not documents_alone, epochs=epochs, sample=sample, **setting)

    def _ids(self, texts: list[str]) -> Corpus:
        number_of = {word: i for i, word in enumerate(self.vocabulary_)}
        return Corpus.of([[number_of[word] for word in _words(text) if word in number_of] for text in texts])

    def _of_words(self, label: str, words: Sequence[str]) -> np.ndarray:
        """Vectors of a topic's keywords; learned ones of a phrase are those of its words."""
        if self.encoder is not None:
            return self._encoded([str(word) for word in words])
        there = {word: i for i, word in enumerate(self.vocabulary_)}
        missing = [word for phrase in words for word in _words(str(phrase)) or [str(phrase)] if word not in there]
        rows = [there[word] for phrase in words for word in _words(str(phrase)) if word in there]
        if not rows:
            raise InputError(f"keywords of {label!r} ({', '.join(missing)}) occur less than min_count={self.min_count} times: name others")
        if missing:
            warnings.warn(f"keywords of {label!r} left out, they occur too seldom: {', '.join(missing)}", stacklevel=3)
        return self.word_vectors_[rows]

    def _candidates(self, D: np.ndarray, near: np.ndarray) -> np.ndarray:
        """The documents that a topic's vector is made of."""
        order = np.argsort(-near, kind="stable")
        enough = max(min(self.min_docs, len(order)), int((near >= self.similarity_threshold).sum()))
        rows = order[:enough] if self.max_docs is None else order[: min(enough, self.max_docs)]
        if not self.clean_outliers or len(rows) < 3:
            return rows
        from sklearn.neighbors import LocalOutlierFactor

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of copies, which leave no distances to compare
            inlier = LocalOutlierFactor(n_neighbors=min(20, len(rows) - 1), contamination=self.contamination).fit_predict(D[rows]) == 1
        return rows[inlier] if inlier.any() else rows

    def _encoded(self, texts: list[str], fit: bool = False) -> np.ndarray:
        if fit:
            self._encoder = Frozen(encoder=self.encoder) if isinstance(self.encoder, str) else self.encoder
            if not callable(self._encoder):
                try:
                    check_is_fitted(self._encoder)
                except NotFittedError:
                    self._encoder = clone(self._encoder).fit(texts)
        if not hasattr(self, "_encoder"):
            raise InputError("the encoder was a function, which isn't saved: load(folder, encoder=...)")
        Z = self._encoder(texts) if callable(self._encoder) else self._encoder.transform(texts)
        return np.asarray(check_vectors(Z, "what encoder gave"), dtype=np.float32)

    def _texts(self, docs: Any) -> list[str]:
        if isinstance(docs, str) or not hasattr(docs, "__len__") or not len(docs) or not all(isinstance(one, str) for one in docs):
            raise InputError(f"docs is {type(docs).__name__}: wanted a list of str, one a document")
        return list(docs)

    def _check(self) -> None:
        if not isinstance(self.keywords, Mapping) or len(self.keywords) < 1:
            raise InputError(f"keywords={self.keywords!r}: wanted a topic or more, each with its keywords, {{'space': ['orbit', 'nasa']}}")
        for label, words in self.keywords.items():
            if isinstance(words, str) or not len(words):
                raise InputError(f"keywords of {label!r} are {words!r}: wanted a list of words")
        for name in ("vector_size", "min_count", "window", "min_docs"):
            whole(name, getattr(self, name))
        number("similarity_threshold", self.similarity_threshold, -1, 1)
        if self.max_docs is not None and whole("max_docs", self.max_docs) < self.min_docs:
            raise InputError(f"max_docs={self.max_docs}: wanted min_docs={self.min_docs} or more")

    def save(self, folder: str | Path) -> None:
        """As every estimator on vectors; an encoder with a save of its own lies in a folder within, a function must be given again."""
        own = copy.copy(self)
        own.encoder = None if self.encoder is None else "given"
        VectorEstimator.save(own, folder)
        if hasattr(getattr(self, "_encoder", None), "save"):
            self._encoder.save(Path(folder) / "encoder")

    @classmethod
    def load(cls, folder: str | Path, *, encoder: Any = None) -> Self:
        """What `save` wrote. encoder: the function, where it was one."""
        model = super().load(folder)
        inner = encoder or (load_model(Path(folder) / "encoder") if (Path(folder) / "encoder").exists() else None)
        if inner is not None:
            model.encoder = model._encoder = inner
        return model


def _words(text: str) -> list[str]:
    return TOKEN.findall(text.lower())


__all__ = ["Lbl2Vec"]
