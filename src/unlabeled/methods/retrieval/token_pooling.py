"""Token pooling: late-interaction search with a fraction of the vectors, without training anything again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors, kmeans
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.late_interaction import maxsim, stacked
from unlabeled.parts.scale import unit
from unlabeled.vectors import VectorEstimator

METHODS = ("hierarchical", "ward", "kmeans", "sequential")


def pool_tokens(D: Any, factor: int = 2, method: str = "hierarchical", protect: int = 1, seed: int = 0) -> np.ndarray:
    """The token vectors D [n, d] of one document, merged to about n / factor: float32 [protect + max(1, (n - protect) // factor), d], unit.

    Rows are made unit, grouped, and replaced by their group's mean, made unit again. method: "hierarchical", Ward's clustering
    of the rows of 1 - D D^T, so of tokens by how they relate to all tokens, as the reference code has it; "ward", of the
    vectors themselves; "kmeans", spherical; "sequential", runs of `factor` tokens. The first `protect` tokens ([CLS] and
    markers) are kept as they are. Give no padding. The order of groups is that of their first tokens.
    """
    whole("factor", factor), one_of("method", method, METHODS), whole("protect", protect, 0)
    D = unit(check_vectors(D, "D"))
    kept, free = D[:protect], D[protect:]
    groups = max(1, len(free) // factor)
    if groups >= len(free):
        return D
    return np.concatenate([kept, merged(free, _labels(free, groups, factor, method, seed))])


def merged(D: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean, made unit, of the rows of D [n, d] with each label, in the order of their first rows: float32 [groups, d]."""
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), D.shape[1]))
    np.add.at(sums, place, D)
    return unit(sums[np.argsort(first)]).astype(np.float32)


def _labels(D: np.ndarray, groups: int, factor: int, method: str, seed: int) -> np.ndarray:
    if method == "sequential":
        return np.minimum(np.arange(len(D)) // factor, groups - 1)
    if method == "kmeans":
        return kmeans(D, groups, metric="cosine", seed=seed, iters=20).labels
    from scipy.cluster.hierarchy import fcluster, linkage

    # Ward takes its input for points in a Euclidean space: the square matrix is n such points, one a token, not n (n - 1) / 2 distances.
    points = 1 - D @ D.T if method == "hierarchical" else D
    return fcluster(linkage(points, "ward"), groups, "maxclust")


@dataclass(kw_only=True, eq=False)
class TokenPooling(VectorEstimator):
    """An index for late interaction that holds `factor` times fewer vectors; queries are searched as ever.

    Clavié, Chaffin and Adams, 2024, "Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance Impact via
    Token Pooling", arXiv:2409.14683; factors 2 to 4 there. Only documents are pooled. Scores are MaxSim, exact, of every document.

    encoder: None (documents and queries are lists of arrays [tokens, d]), "minilm", or anything that `unlabeled.encoders` calls
    a text encoder with a transformer: documents and queries are texts then, cut after its number of tokens; `layer` says whose
    states (0 word embeddings, -1 the last). MiniLM was trained for one vector a text: its last states are so much alike that one
    vector finds as much, and its lower ones (2, say) find less. Arrays of a model trained for late interaction are what this is for.

    >>> index = TokenPooling(factor=2, encoder="minilm").fit(texts)
    >>> rows, scores = index.search(["how does a wing behave in supersonic flow"], k=10)   # [1, 10] each
    >>> index.n_vectors_, index.bytes_
    """

    factor: int = 2
    method: str = "hierarchical"
    protect: int = 1
    encoder: Any = None
    layer: int = -1
    seed: int = 0

    def fit(self, corpus: Any, y: Any = None) -> Self:
        """Pool the documents' tokens and keep them. InputError: no documents, one without tokens, bad parameters."""
        tokens, starts = stacked(self._tokens(corpus, "corpus"), "corpus")
        pooled = [pool_tokens(D, self.factor, self.method, self.protect, self.seed) for D in np.split(tokens, starts[1:-1])]
        self.tokens_, self.starts_ = stacked(pooled, "corpus")
        self.n_features_in_, self.n_vectors_, self.bytes_ = self.tokens_.shape[1], len(self.tokens_), self.tokens_.nbytes
        return self

    def search(self, queries: Any, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The k documents (or as many as there are) with the largest MaxSim: rows int64 [q, k], best first, and scores float32 [q, k]."""
        check_is_fitted(self)
        whole("k", k)
        asked, query_starts = stacked(self._tokens(queries, "queries"), "queries")
        if asked.shape[1] != self.n_features_in_:
            raise InputError(f"queries have {asked.shape[1]} numbers a token, the documents {self.n_features_in_}: wanted the same")
        scores = maxsim(asked, query_starts, self.tokens_, self.starts_)
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return rows, np.take_along_axis(scores, rows, axis=1)

    def _tokens(self, items: Any, name: str) -> Any:
        if isinstance(items, str):
            raise InputError(f"{name} is one text: wanted a list")
        if self.encoder is not None:
            from unlabeled.encoders.tokens import token_states

            return token_states(items, self.encoder, layer=self.layer)
        if len(items) and isinstance(items[0], str):
            raise InputError(f'{name} are texts: name an encoder, as in TokenPooling(encoder="minilm"), or give arrays [tokens, d]')
        return items
