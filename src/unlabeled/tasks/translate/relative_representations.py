"""Relative representations: items told by their cosines to anchors, so that spaces trained apart become comparable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.parts.assign import kmeans
from unlabeled.parts.scale import unit
from unlabeled.vectors import VectorTransformer


@dataclass(kw_only=True, eq=False)
class RelativeRepresentation(VectorTransformer):
    """Vectors [n, d] become cosines to k of their own rows, float32 [n, k], which rotation, reflection and scale don't change.

    Moschella et al., 2022, "Relative representations enable zero-shot latent space communication", arXiv:2209.15430; 300 uniformly
    drawn anchors there. Fit one for each space, on the same training items in the same order, or on parallel ones (a sentence and
    its translation). With one seed "uniform" draws the same rows everywhere; the other choices look at the space, so name the
    first one's rows for the others. Departs from the paper: spaces are centred unless `center` is False, as a common direction
    would swamp all cosines; and there is no other similarity than cosine. A row at the mean, and an anchor there, has cosine 0
    with all.

    >>> a = RelativeRepresentation(choose="farthest").fit(Z_a)
    >>> b = RelativeRepresentation(anchors=a.anchor_rows_).fit(Z_b)
    >>> head = LogisticRegression(max_iter=1000).fit(b.transform(Z_b), y)
    >>> stitch(a, head).predict(Z_a_new)              # a head for the vectors of another encoder
    >>> space_similarity(a.transform(Z_a), b.transform(Z_b)).mrr
    """

    anchors: Any = 300  # how many (at most as there are rows), or which rows, a list
    choose: str = "uniform"  # or "farthest" (from each other), or "kmeans" (the rows nearest to the centres)
    center: bool = True
    seed: int = 0

    def fit(self, Z: Any, y: Any = None) -> Self:
        """Choose the anchors among the rows of Z. InputError: bad parameters, a row that isn't there."""
        Z = self._vectors(Z, reset=True, least=2)
        self.mean_ = Z.mean(axis=0, dtype=np.float64).astype(np.float32) if self.center else np.zeros(Z.shape[1], np.float32)
        U = unit(Z - self.mean_)
        self.anchor_rows_ = self._rows(U)
        self.anchors_ = U[self.anchor_rows_]
        self._n_features_out = len(self.anchors_)
        return self

    def transform(self, Z: Any) -> np.ndarray:
        """float32 [n, k]: the cosine with each anchor."""
        Z = self._vectors(Z, reset=False)
        return unit(Z - self.mean_) @ self.anchors_.T

    def _rows(self, U: np.ndarray) -> list[int]:
        n = len(U)
        if not isinstance(self.anchors, int | np.integer):
            rows = np.asarray(self.anchors)
            if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows) or not 0 <= rows.min() <= rows.max() < n:
                raise InputError(f"anchors={self.anchors!r} of {n} rows: wanted how many, or a list of rows from 0 to {n - 1}")
            return rows.tolist()
        if isinstance(self.anchors, bool) or self.anchors < 1:
            raise InputError(f"anchors={self.anchors!r}: wanted 1 or more")
        k, rng = min(int(self.anchors), n), np.random.default_rng(self.seed)
        if self.choose == "uniform":
            return rng.permutation(n)[:k].tolist()
        if self.choose == "farthest":
            return _farthest(U, k, int(rng.integers(n)))
        if self.choose == "kmeans":
            centers = kmeans(U, k, metric="cosine", seed=self.seed, iters=20).centers
            found = dict.fromkeys(int(row) for row in (U @ centers.T).argmax(axis=0))
            return list(dict.fromkeys([*found, *rng.permutation(n).tolist()]))[:k]  # two centres may share their nearest row
        raise InputError(f"choose={self.choose!r}: wanted 'uniform', 'farthest' or 'kmeans'")


class RelativeProjection(nn.Module):
    """An encoder whose output is relative: cosines with anchors that it encodes anew in every pass, so that gradients reach them too.

    encode: [n, ...] -> [n, d]; anchors: inputs [k, ...], kept in the module. forward: [n, ...] -> [n, k]. Put a head behind it, and
    heads can be exchanged between networks that were trained with the same anchors.
    """

    anchors: Tensor

    def __init__(self, encode: nn.Module, anchors: Tensor):
        super().__init__()
        self.encode = encode
        self.register_buffer("anchors", anchors)

    def forward(self, x: Tensor) -> Tensor:
        z = F.normalize(self.encode(torch.cat([x, self.anchors])), dim=1)  # in one pass, so that batch norms see both alike
        return z[: len(x)] @ z[len(x) :].T


def stitch(relative: RelativeRepresentation, head: Any) -> Pipeline:
    """The head (fitted on the relative vectors of some other space) behind this space's: an estimator of this space's vectors."""
    wanted = getattr(head, "n_features_in_", relative._n_features_out)
    if wanted != relative._n_features_out:
        raise InputError(f"the head reads {wanted} numbers, this space has {relative._n_features_out} anchors: wanted the same anchors")
    return Pipeline([("relative", relative), ("head", head)])


def _farthest(U: np.ndarray, k: int, first: int) -> list[int]:
    """k rows, each the farthest from those before it. Gonzalez, 1985."""
    rows = [first]
    nearest = U @ U[first]
    while len(rows) < k:
        nearest[rows[-1]] = np.inf
        rows.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, U @ U[rows[-1]])
    return rows
