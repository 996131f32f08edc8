"""Binary paragraph vectors: a text is a few bits, which predict its words. (Of the same thesis: `disgram`, senses of words.)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unlabeled.errors import InputError
from unlabeled.methods.words.pv_dbow import ParagraphVectors
from unlabeled.parts.checks import number, whole
from unlabeled.parts.skipgram import Bits, SkipGram
from unlabeled.parts.vocabulary import Vocabulary


@dataclass(kw_only=True, eq=False)
class BinaryParagraphVectors(ParagraphVectors):
    """Texts as codes of 32 to 128 bits, so that millions are searched by counting the bits that differ (`HammingIndex`).

    Grzegorczyk and Kurdziel, 2016, "Binary Paragraph Vectors", arXiv:1611.01116; Grzegorczyk, 2018, "Vector representations of text
    data in deep learning", arXiv:1901.01695. As PV-DBOW, but a sigmoid layer, rounded, stands between a text's numbers and the words
    that they predict; the gradient passes through the sigmoids as if nothing were rounded. real_dim: the text has so many real numbers,
    of which one matrix makes the bits (Real-Binary): search by the code, then order what it finds by the real vectors.

    Words are predicted against drawn ones instead of by a sampled softmax, and single words alone, no pairs of them: the paper's pairs
    gave it a few points. One loop, see `parts.skipgram` (needs a C compiler); for texts and what is learned see `WordModel`.
    fit and transform: float32 [n, bits] of zeros and ones, or [n, real_dim]; `codes_` uint8 [texts, bits / 8] of the fitted texts, eight
    bits a byte, the last byte filled with zeros. A text without any known word has zeros (in Real-Binary for numbers, of which the code
    is made). InputError: bad values, no word often enough.

        model = BinaryParagraphVectors(bits=32).fit(documents)
        rows, distances = HammingIndex().fit(model.codes_).search(model.encode(["a query"]), k=10)
    """

    bits: int = 32
    real_dim: int = 0
    negatives: int = 20
    epochs: int = 10
    lr: float | None = None  # None: 0.025, and 0.1 with real_dim, whose numbers change less at a step
    sample: float = 1e-4
    min_count: int = 5
    max_words: int | None = None
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same codes only
    seed: int = 0

    def _engine(self, documents_alone: bool = False) -> SkipGram:
        names = ("negatives", "epochs", "sample", "workers", "seed")
        kind = Bits(real=whole("real_dim", self.real_dim, 0))
        rate = (0.1 if self.real_dim else 0.025) if self.lr is None else number("lr", self.lr, 0, above=True)
        return SkipGram(
            dim=whole("bits", self.bits), lr=rate, documents=kind, neighbours=False, **{name: getattr(self, name) for name in names}
        )

    def _learn(self, texts: Iterable[Any], known: Vocabulary) -> np.ndarray:
        words = super()._learn(texts, known)
        learned = self.doc_vectors_
        self.codes_, self.doc_vectors_ = self._packed(learned), self._shown(learned)
        return words

    def encode(self, X: Any) -> np.ndarray:
        """The codes of texts, uint8 [n, bits / 8]: of each the steps of its own numbers, all else kept."""
        check_is_fitted(self, "codes_")
        texts = list(self._texts(X))
        return self._packed(self._infer(texts)) if texts else np.zeros((0, self.codes_.shape[1]), np.uint8)

    def code_of(self, Z: Any) -> np.ndarray:
        """The codes of what transform gave, uint8 [n, bits / 8], without learning the texts once more."""
        check_is_fitted(self, "codes_")
        Z = np.asarray(Z, dtype=np.float32)
        if Z.ndim != 2 or Z.shape[1] != (self.real_dim or self.bits):
            raise InputError(f"Z has shape {Z.shape}: wanted [n, {self.real_dim or self.bits}], as transform gives it")
        return self._packed(Z)

    def _embed(self, texts: list[Any]) -> np.ndarray:
        return self._shown(self._infer(texts))

    def _shown(self, learned: np.ndarray) -> np.ndarray:
        return learned if self.real_dim else (learned > 0).astype(np.float32)

    def _packed(self, learned: np.ndarray) -> np.ndarray:
        return np.packbits((learned @ self.projection_.T + self.bias_ if self.real_dim else learned) > 0, axis=1)
