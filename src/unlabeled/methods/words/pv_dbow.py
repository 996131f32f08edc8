"""PV-DBOW: a document's vector predicts its words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.methods.words.word_model import WordModel
from unlabeled.parts.checks import whole
from unlabeled.parts.scale import unit
from unlabeled.parts.skipgram import Corpus, SkipGram, Tables
from unlabeled.parts.vocabulary import Vocabulary


@dataclass(kw_only=True, eq=False)
class ParagraphVectors(WordModel):
    """What models of documents share whose vectors the engine learns. `doc_vectors_` float32 [texts, ...] are the fitted texts';
    those of others are found by steps of their own, the words' vectors kept, and depend a little on which texts come together.
    """

    def _engine(self, documents_alone: bool = False) -> SkipGram:
        raise NotImplementedError

    def _learn(self, texts: Iterable[Any], known: Vocabulary) -> np.ndarray:
        corpus = known.encode(texts)
        found = self._engine().fit(corpus, len(known.words))
        assert found.docs is not None
        self.loss_curve_, self.doc_vectors_, self.output_vectors_ = found.loss, self._told(found.docs, corpus), found.output
        for name, table in found.shared.items():
            setattr(self, f"{name}_", table)
        return found.words

    def _infer(self, texts: list[Any]) -> np.ndarray:
        """What `doc_vectors_` is, of further texts."""
        shared = {name: getattr(self, f"{name}_") for name in ("topics", "projection", "bias") if hasattr(self, f"{name}_")}
        known, corpus = Tables(self.vectors_, self.output_vectors_, None, self.counts_, [], shared), self._corpus(texts)
        return self._told(self._engine(documents_alone=True).infer(corpus, known), corpus)

    def _embed(self, texts: list[Any]) -> np.ndarray:
        return self._infer(texts)

    def _told(self, docs: np.ndarray, corpus: Corpus) -> np.ndarray:
        """The vectors [texts, ...] as they are given to people: those of texts without a known word, which are as they began, zeros."""
        docs[np.diff(corpus.starts) == 0] = 0
        return docs

    @property
    def _n_features_out(self) -> int:
        return self.doc_vectors_.shape[1]


@dataclass(kw_only=True, eq=False)
class PVDBOW(ParagraphVectors):
    """Distributed bag of words: each document has a vector that predicts its words, and, with train_words, words each other as well.

    Le and Mikolov, 2014, "Distributed Representations of Sentences and Documents", arXiv:1405.4053; words trained beside: Dai, Olah and
    Le, 2015, arXiv:1507.07998. One loop, see `parts.skipgram` (needs a C compiler); for texts and what is learned see `WordModel`.
    transform: float32 [n, dim], zeros for a text without any known word, by as many epochs as the fitted texts had; two calls with the
    same list give the same. InputError: bad values, no word often enough.

        model = PVDBOW().fit(documents)
        model.doc_vectors_; model.similar_documents(0); model.transform(["another document"])
    """

    dim: int = 100
    window: int = 5
    negatives: int = 5
    train_words: bool = True
    epochs: int = 20
    lr: float = 0.025
    sample: float = 1e-3
    min_count: int = 5
    max_words: int | None = None
    workers: int | None = 1
    seed: int = 0

    def _engine(self, documents_alone: bool = False) -> SkipGram:
        names = ("dim", "window", "negatives", "epochs", "lr", "sample", "workers", "seed")
        setting = {name: getattr(self, name) for name in names}
        return SkipGram(documents=True, neighbours=self.train_words and not documents_alone, **setting)

    def similar_documents(self, document: int | str, k: int = 10) -> list[tuple[int, float]]:
        """Rows of the k fitted documents nearest to one of them (by row, itself left out) or to another text, with their cosines."""
        own = document if isinstance(document, int | np.integer) else None
        if own is not None and not 0 <= own < len(self.doc_vectors_):
            raise InputError(f"document={own}: wanted a row from 0 to {len(self.doc_vectors_) - 1}, or a text")
        query = self.doc_vectors_[own] if own is not None else self.transform([document])[0]
        cosine = unit(self.doc_vectors_) @ unit(query[None])[0]
        rows = [int(row) for row in np.argsort(-cosine, kind="stable") if row != own][: whole("k", k)]
        return [(row, float(cosine[row])) for row in rows]
