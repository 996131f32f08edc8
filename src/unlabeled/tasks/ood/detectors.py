"""Scores that tell items like those of the training data from others: higher is more like them. Of logits, or of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import InputError
from unlabeled.parts.checks import whole
from unlabeled.parts.labels import classes_of
from unlabeled.parts.neighbours import neighbours
from unlabeled.vectors import VectorEstimator


def max_softmax(logits: Any) -> Any:
    """The largest softmax probability [n] of logits [n, classes]. Hendrycks and Gimpel, 2017, arXiv:1610.02136.

    A tensor gives a tensor and can be differentiated, anything else a float32 array. InputError: not [n, classes], NaN or infinite.
    """
    return _of_logits(logits, lambda x: x.softmax(dim=1).amax(dim=1))


def energy(logits: Any, temperature: float = 1.0) -> Any:
    """The negative energy T log sum exp(logit / T) [n]. Liu, Wang, Owens and Li, 2020, arXiv:2010.03759. As `max_softmax`."""
    if not temperature > 0:
        raise InputError(f"temperature={temperature!r}: wanted more than 0")
    return _of_logits(logits, lambda x: temperature * (x / temperature).logsumexp(dim=1))


def squared_mahalanobis(v: Tensor, means: Tensor, precision: Tensor) -> Tensor:
    """(v - m)^T P (v - m) of every v [n, d] to every mean [classes, d]: [n, classes]."""
    off = v[:, None] - means
    return torch.einsum("ncd,de,nce->nc", off, precision, off)


@dataclass(kw_only=True, eq=False)
class Mahalanobis(VectorEstimator):
    """Minus the squared Mahalanobis distance to the nearest class mean, with one covariance for all classes.

    Lee, Lee, Lee and Shin, 2018, arXiv:1807.03888. Without labels there is one class; rows with y = -1 aren't used.
    ridge: added to the covariance, times its mean variance (the paper: none). Without it, directions that the training data don't
    vary in could not count, and there a stray item is surest to be one. Z: [n, d].

        scores = Mahalanobis().fit(Z, y).score_samples(Z_new)     # [n]; the lowest are the strangest
    """

    ridge: float = 1e-6

    def fit(self, Z: Any, y: Any = None) -> Self:
        Z = np.float64(self._vectors(Z, reset=True, least=2))
        if not self.ridge > 0:
            raise InputError(f"ridge={self.ridge!r}: wanted more than 0")
        if y is None:
            codes = np.zeros(len(Z), np.int64)
        else:
            if len(np.asarray(y)) != len(Z):
                raise InputError(f"y has {len(np.asarray(y))} labels for {len(Z)} rows: wanted one each (-1 for none)")
            codes = classes_of(y, least=1)[1]
        Z, codes = Z[codes >= 0], codes[codes >= 0]
        self.means_ = np.stack([Z[codes == one].mean(axis=0) for one in range(codes.max() + 1)])
        off = Z - self.means_[codes]
        covariance = off.T @ off / len(Z)
        scale = np.trace(covariance) / len(covariance)
        # Without any spread within the classes every direction counts alike.
        self.precision_ = np.linalg.inv(covariance + (self.ridge * scale if scale > 0 else 1.0) * np.eye(len(covariance)))
        return self

    def score_samples(self, Z: Any) -> np.ndarray:
        """float32 [n], 0 at a class mean."""
        Z = torch.from_numpy(np.float64(self._vectors(Z, reset=False)))
        means, precision = torch.from_numpy(self.means_), torch.from_numpy(self.precision_)
        nearest = [squared_mahalanobis(block, means, precision).amin(dim=1) for block in Z.split(4096)]
        return -torch.cat(nearest).float().numpy()


@dataclass(kw_only=True, eq=False)
class KNNDistance(VectorEstimator):
    """Minus the distance to the k-th nearest training row, all rows of unit length.

    Sun, Ming, Zhu and Li, 2022, Out-of-Distribution Detection with Deep Nearest Neighbors, arXiv:2204.06507 (k = 50 for
    CIFAR-10, 200 for CIFAR-100). No labels. k is cut to the rows there are. A training row's nearest is itself: score other rows.
    A row of zeros has no direction and is sqrt(2) from everything.

        scores = KNNDistance(k=50).fit(Z).score_samples(Z_new)     # [n], from -2 to 0; the lowest are the strangest
    """

    k: int = 50

    def fit(self, Z: Any, y: Any = None) -> Self:
        whole("k", self.k)
        self.reference_ = self._vectors(Z, reset=True)
        return self

    def score_samples(self, Z: Any) -> np.ndarray:
        """float32 [n]."""
        Z = self._vectors(Z, reset=False)
        cosine = neighbours(self.reference_, min(self.k, len(self.reference_)), queries=Z).distances[:, -1]
        return -np.sqrt(2 * np.maximum(cosine, 0))


def _of_logits(logits: Any, score: Any) -> Any:
    if isinstance(logits, Tensor):
        return score(logits)
    from unlabeled.parts.assign import check_vectors

    return score(torch.from_numpy(np.array(check_vectors(logits, "logits"), dtype=np.float32))).numpy()
