"""Concepts of vectors by factorisation, and how much each counts for what a head makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import InputError
from unlabeled.parts.assign import kmeans
from unlabeled.parts.attribution import attribute, over_places
from unlabeled.parts.concepts import ConceptBasis, learn_basis, left_out
from unlabeled.parts.labels import classes_of
from unlabeled.parts.pooled_head import Headed
from unlabeled.vectors import VectorTransformer


@dataclass(frozen=True)
class Strategies:
    """Groups of items that are decided by the same concepts, and what each concept is the reason for."""

    labels: np.ndarray  # int64 [n]: the group of each item
    importance: np.ndarray  # [n, k]: what they were grouped by; `evaluate.map2d` makes a picture of it
    prevalence: np.ndarray  # [k]: share of the items for which the concept counts most
    reliability: np.ndarray | None  # [k]: share of those items that the head gets right, NaN where there are none; None without labels

    def table(self) -> str:
        """A line a concept, the most prevalent first."""
        lines = ["concept  counts most for  of them right"]
        for i in np.argsort(-self.prevalence, kind="stable"):
            right = "-" if self.reliability is None or np.isnan(self.reliability[i]) else f"{self.reliability[i]:.3f}"
            lines.append(f"{i:7}  {self.prevalence[i]:15.3f}  {right:>13}")
        return "\n".join(lines)


@dataclass(kw_only=True, eq=False)
class ConceptExplainer(Headed, VectorTransformer):
    """Which few directions vectors are made of, and how much each counts in a head's decision.

    Fel, Boutin, Moayeri, Cadène, Bethune, Andéol, Chalvidal and Serre, 2023, A Holistic Approach to Unifying Automatic
    Concept Extraction and Concept Importance Estimation, arXiv:2306.07304. A ~ U V^T: NMF (CRAFT), PCA (ICE), k-means (ACE).
    "auto" is NMF where no number is negative, else PCA. Importance is attribution on U of s(u) = head(u V^T); on an
    affine head gradient x input ("gxi"), "ig", "occlusion" and "shap" are the same and optimal: so explain the last layer.

    Z: vectors [n, d], or maps of local vectors [n, ..., d], ReLU'd for NMF; in the paper those of one class. head: weights
    (W [d, classes], b), used on the mean over places, a torch function [n, ..., d] -> logits (not kept by `save`), "linear": logistic
    regression on y (-1: no label), or None: then no label is needed, and a concept's importance for an item is by how much
    its squared error of reconstruction grows without the concept. InputError: bad values, negative ones for NMF, an unknown name.

        explainer = ConceptExplainer(k=10).fit(maps, head=(W, b))       # maps [n, 7, 7, 128]
        phi = explainer.importance(maps, target=3)                      # [n, 10]: each concept's share in the logit of class 3
        where = explainer.heatmaps(maps)[..., phi.mean(axis=0).argmax()]  # [n, 7, 7]: where the most important one is
        print(explainer.strategies(maps, y, target=3).table())
    """

    k: int = 10
    method: str = "auto"
    attribution: str = "gxi"
    seed: int = 0

    def fit(self, Z: Any, y: Any = None, head: Any = None) -> Self:
        A = self._maps(Z, reset=True)
        basis = learn_basis(A.reshape(-1, A.shape[-1]), self.k, self.method, self.seed)
        self.concepts_, self.mean_, self.method_ = basis.V, basis.mean, basis.method
        self._n_features_out = basis.V.shape[1]
        self.__dict__.pop("head_", None)
        self._head = None
        if isinstance(head, str) and head == "linear":
            self.classes_, codes = classes_of(y)
            if len(codes) != len(A):
                raise InputError(f"y has {len(codes)} labels for {len(A)} items: wanted one each (-1 for none)")
            self.learn_head(A.reshape(len(A), -1, A.shape[-1]).mean(axis=1), codes)
        elif head is not None:
            self.with_head(head)
        self.importance_ = self.importance(A).mean(axis=0)
        return self

    @property
    def basis(self) -> ConceptBasis:
        return ConceptBasis(self.concepts_, self.mean_, self.method_)

    def encode(self, Z: Any) -> np.ndarray:
        """How much of each concept is in each vector: float32 [n, ..., k]."""
        return self.basis.encode(self._maps(Z, reset=False))

    heatmaps = encode  # of maps [n, h, w, d]: where in each picture each concept is, [n, h, w, k]

    def transform(self, Z: Any) -> np.ndarray:
        """The same with the mean over a map's places: float32 [n, k]."""
        U = self.encode(Z)
        return U.reshape(len(U), -1, U.shape[-1]).mean(axis=1)

    def importance(self, Z: Any, target: Any = None, attribution: str | None = None) -> np.ndarray:
        """phi float32 [n, k]: each concept's share in the logit of `target`: a class's place, one for each item, or the class predicted."""
        A = self._maps(Z, reset=False)
        U = self.basis.encode(A)
        if not self.has_head():
            each = left_out(A.reshape(-1, A.shape[-1]), U.reshape(-1, U.shape[-1]), self.basis)
            return each.reshape(len(A), -1, U.shape[-1]).sum(axis=1)
        u, score = self.score_of(A, target)
        return attribute(attribution or self.attribution, score, u, self.seed).float().numpy()

    def score_of(self, Z: Any, target: Any = None) -> tuple[Tensor, Any]:
        """(u, s): the coefficients of Z and the logit of `target` as a function of them, for `parts.attribution` and its curves."""
        A = self._maps(Z, reset=False)
        # Weights are used in float64, so that equal attributions come out equal; a network has the precision that it has.
        kind = torch.float32 if self._head is not None else torch.float64
        u = torch.from_numpy(self.basis.encode(A)).to(kind)
        V, mean = torch.from_numpy(self.concepts_).to(kind), torch.from_numpy(self.mean_).to(kind)
        with torch.no_grad():
            logits = self.logits(torch.from_numpy(A).to(kind))
        if target is None:
            place = logits.argmax(dim=1)
        else:
            place = torch.as_tensor(np.broadcast_to(np.asarray(target, dtype=np.int64), (len(A),)).copy())
            if not bool(((place >= 0) & (place < logits.shape[1])).all()):
                raise InputError(f"target={target!r}: the head has {logits.shape[1]} outputs, wanted their places from 0")

        def score(u: Tensor) -> Tensor:
            if self._head is not None:
                return self.logits(u @ V.T + mean).gather(1, place[:, None])[:, 0]
            # (mean of u V^T + mean) W + b with W taken first: k numbers a place instead of d.
            W, b = (torch.from_numpy(self.head_[name]).to(kind)[..., place] for name in ("W", "b"))
            return (over_places(u) / (u[0].numel() // u.shape[-1]) * (V.T @ W).T).sum(dim=1) + mean @ W + b

        return u, score

    def strategies(self, Z: Any, y: Any = None, n: int = 5, target: Any = None) -> Strategies:
        """n groups of items by their importances, and each concept's prevalence and (with y: places of the true classes) reliability."""
        phi = self.importance(Z, target)
        top = phi.argmax(axis=1)
        k = phi.shape[1]
        count = np.bincount(top, minlength=k)
        reliability = None
        if y is not None and self.has_head():
            A = self._maps(Z, reset=False)
            with torch.no_grad():
                right = self.logits(torch.from_numpy(A)).argmax(dim=1).numpy() == np.asarray(y)
            reliability = np.where(count > 0, np.bincount(top, weights=right, minlength=k) / np.maximum(count, 1), np.nan)
        labels = kmeans(phi, min(n, len(phi)), seed=self.seed, n_init=5).labels
        return Strategies(labels, phi, count / len(phi), reliability)

    def _maps(self, Z: Any, reset: bool) -> np.ndarray:
        """Z as float32 [n, ..., d]; every local vector is checked like a vector."""
        shape = tuple(Z.shape) if isinstance(Z, np.ndarray | Tensor) else ()
        if len(shape) < 3:
            return self._vectors(Z, reset=reset, least=2 if reset else 1)
        return self._vectors(Z.reshape(-1, shape[-1]), reset=reset).reshape(shape)
