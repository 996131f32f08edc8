"""Search among codes of bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.checks import whole
from unlabeled.parts.scale import unit
from unlabeled.vectors import VectorEstimator


@dataclass(kw_only=True, eq=False)
class HammingIndex(VectorEstimator):
    """The nearest codes by the number of bits that differ: exact, through faiss, 4 bytes a text for 32 bits.

    candidates: where vectors are given, too, so many texts are found by their codes and then ordered by the vectors' cosines
    (as Real-Binary paragraph vectors are meant; Grzegorczyk and Kurdziel, 2016, arXiv:1611.01116). Codes are uint8 [n, bytes], eight
    bits each, as `BinaryParagraphVectors.encode` gives them or np.packbits makes them. Of equally near ones the first row comes first.

        index = HammingIndex().fit(model.encode(docs))
        rows, distances = index.search(model.encode(queries), k=10)
    """

    candidates: int = 200

    def fit(self, codes: Any, y: Any = None, *, vectors: Any = None) -> Self:
        """Keep the codes uint8 [n, bytes] and, where given, vectors float32 [n, d]. InputError: other shapes or types."""
        whole("candidates", self.candidates)
        self.codes_ = _codes(codes, "codes")
        self.vectors_ = None if vectors is None else unit(check_vectors(vectors, "vectors"))
        if self.vectors_ is not None and len(self.vectors_) != len(self.codes_):
            raise InputError(f"vectors are {len(self.vectors_)}, codes {len(self.codes_)}: wanted a vector for each code")
        return self

    def search(self, codes: Any, k: int = 10, *, vectors: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest (or as many as there are): rows int64 [q, k], best first, and distances float32 [q, k].

        Distances are bits that differ; with the queries' vectors 1 - cosine, among the `candidates` nearest codes.
        """
        check_is_fitted(self)
        asked = _codes(codes, "codes", self.codes_.shape[1])
        first = min(whole("k", k) if vectors is None else max(k, self.candidates), len(self.codes_))
        rows, distances = self._nearest(asked, first)
        if vectors is None:
            return rows, distances
        if self.vectors_ is None:
            raise InputError("vectors are given to search with, but none were to fit: fit(codes, vectors=...)")
        Q = unit(check_vectors(vectors, "vectors"))
        if Q.shape != (len(asked), self.vectors_.shape[1]):
            raise InputError(f"vectors have shape {Q.shape}: wanted {(len(asked), self.vectors_.shape[1])}")
        cosine = np.stack([self.vectors_[found] @ query for found, query in zip(rows, Q, strict=True)])
        order = np.argsort(-cosine, axis=1, kind="stable")[:, : whole("k", k)]
        return np.take_along_axis(rows, order, axis=1), 1 - np.take_along_axis(cosine, order, axis=1)

    def _nearest(self, asked: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """faiss gives equally near ones in any order, and any of those at the edge."""
        import faiss

        index = faiss.IndexBinaryFlat(8 * self.codes_.shape[1])
        index.add(self.codes_)  # type: ignore[call-arg]
        distances, rows = index.search(asked, k)  # type: ignore[call-arg]
        order = np.lexsort((rows, distances), axis=1)
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1).astype(np.float32)


def _codes(codes: Any, name: str, width: int | None = None) -> np.ndarray:
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.dtype != np.uint8 or not codes.size or width not in (None, codes.shape[1]):
        raise InputError(f"{name} are {codes.dtype} {list(codes.shape)}: wanted uint8 [n, {width or 'bytes'}], eight bits a byte")
    return np.ascontiguousarray(codes)
