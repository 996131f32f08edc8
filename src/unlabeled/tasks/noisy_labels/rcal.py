"""RCAL: wrong labels and rare classes at once, by calibrated class distributions of vectors learned without labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.parts.checks import whole
from unlabeled.parts.scale import column_scale
from unlabeled.vectors import VectorClassifier

FEWEST = 5  # rows of a class below which nobody can say which of them is odd


@dataclass(kw_only=True, eq=False)
class RCAL(VectorClassifier):
    """A classifier for labels that are partly wrong and classes of which some are rare, on vectors that were learned without labels.

    Zhang, Zhao, Yao, Li, Tang, Zhou and Liu, 2022, "When Noisy Labels Meet Long Tail Dilemmas", arXiv:2211.10955. Each class is a
    Gaussian of its rows without outliers; rare classes borrow from the nearest frequent ones; draws from the Gaussians make the
    classes equally frequent while a head is trained, and an adapter of the vectors that is held near them.

    Departures: the paper fine-tunes the encoder itself, here a residual layer on the vectors moves them (cheap, and vectors are
    all it takes; what a fine-tuned network could gain is lost). The paper's weights of what is borrowed are not known to us.
    Vectors without a negative number (after a ReLU) are no Gaussians: their square root is taken; then columns are standardised.

    fit(Z [n, d], y [n]); Learned: `inlier_` bool [n]; `gaussians_`: means [K, d], covariances [K, d, d], in the standardised space;
    `doubtful_` [K]: share of a class's kept rows that lie nearer to another class's mean: where it is above a half most of the
    class's labels may be wrong, and so is its Gaussian. InputError: bad values, fewer than two classes.

        Z = SimCLR().fit(images).transform(images)
        model = RCAL().fit(Z, y)       # y: partly wrong, -1 where there is none
        model.predict(Z_test), model.doubtful_
    """

    lof_k: int = 20  # neighbours within the class
    contamination: float = 0.2  # share of each class that is left out as outliers; 0: nothing
    tail: float = 0.25  # a class with a smaller share of the largest one's rows borrows
    q: int = 3  # from so many; 0: it doesn't
    gamma: float = 0.2  # share of a rare class's mean that is borrowed
    shrink: float = 0.1  # added to every variance (of standardised columns)
    sampling: bool = True
    # Weight of the anchor, the mean squared move of a coordinate; of .1, .5, 2, 8 and 64 the one whose classifier told held-out
    # wrong labels best (mean over the classes; Fashion-MNIST with a long tail, two seeds).
    beta: float = 2.0
    frozen: bool = False  # without the adapter
    hidden: int = 256  # width of the adapter
    alpha: float = 1.0  # of mixup; 0: none
    epochs: int = 30
    refresh: int = 5  # epochs after which the Gaussians are estimated again, on the moved vectors
    batch_size: int = 128
    lr: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0

    def fit(self, Z: Any, y: Any) -> Self:
        self._check()
        Z, codes = self._labelled(Z, y)
        rows = np.flatnonzero(codes >= 0)
        self.root_ = bool((Z >= 0).all())
        placed = np.sqrt(Z) if self.root_ else Z
        self.mean_, self.scale_ = column_scale(placed)
        X, labels, K = self._placed(Z[rows]), codes[rows], len(self.classes_)
        kept = inliers(X, labels, self.lof_k, self.contamination)
        self.inlier_ = np.zeros(len(Z), bool)
        self.inlier_[rows[kept]] = True
        self.weights_ = {name: value.detach().numpy() for name, value in self._trained(X, labels, kept, K).items()}
        moved = _adapted(self._tensors(), torch.from_numpy(X)).numpy()
        means, covariances = self._gaussians(moved, labels, kept, K)
        self.gaussians_ = {"means": means, "covariances": covariances}
        nearest = (np.square(means).sum(axis=1) - 2 * moved[kept] @ means.T).argmin(axis=1)
        self.doubtful_ = np.array([(nearest[labels[kept] == c] != c).mean() for c in range(K)])
        return self

    def predict_proba(self, Z: Any) -> np.ndarray:
        """Of each row the probability of each class, float64 [n, K]."""
        x = torch.from_numpy(self._placed(self._vectors(Z, reset=False)))
        w = self._tensors()
        return torch.softmax((_adapted(w, x) @ w["head"] + w["bias"]).double(), dim=1).numpy()

    def _trained(self, X: np.ndarray, labels: np.ndarray, kept: np.ndarray, K: int) -> dict[str, Tensor]:
        (n, d), draw = X.shape, torch.Generator().manual_seed(self.seed)
        w = {"head": torch.zeros(d, K), "bias": torch.zeros(K)}
        if not self.frozen:
            first = torch.randn(d, self.hidden, generator=draw) * (2 / d) ** 0.5
            w |= {"in": first, "in_bias": torch.zeros(self.hidden), "out": torch.zeros(self.hidden, d)}  # it starts as the identity
        for value in w.values():
            value.requires_grad_()
        steps = -(-n // self.batch_size) * self.epochs
        optimizer = torch.optim.AdamW(w.values(), lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        x, target = torch.from_numpy(X), F.one_hot(torch.from_numpy(labels), K).float()
        sizes = torch.from_numpy(np.bincount(labels, minlength=K))
        missing = (sizes.max() - sizes) if self.sampling else torch.zeros_like(sizes)
        drawn_of, features = torch.arange(K).repeat_interleave(missing), torch.empty(0, d)
        mixes = np.random.default_rng(self.seed)
        for epoch in range(self.epochs):
            if len(drawn_of):
                if epoch == 0 or (not self.frozen and epoch % self.refresh == 0):
                    with torch.no_grad():
                        means, covariances = self._gaussians(_adapted(w, x).numpy(), labels, kept, K)
                    mu, root = torch.from_numpy(means), torch.linalg.cholesky(torch.from_numpy(covariances).double()).float()
                noise = torch.randn(len(drawn_of), d, generator=draw).split(missing.tolist())
                features = mu[drawn_of] + torch.cat([one @ root[c].T for c, one in enumerate(noise)])
            batches = torch.randperm(n, generator=draw).split(self.batch_size)
            for rows, fresh in zip(batches, torch.randperm(len(drawn_of), generator=draw).tensor_split(len(batches)), strict=True):
                share = mixes.beta(self.alpha, self.alpha) if self.alpha else 1.0
                other = rows[torch.randperm(len(rows), generator=draw)]
                mixed = _adapted(w, share * x[rows] + (1 - share) * x[other])
                loss = F.cross_entropy(mixed @ w["head"] + w["bias"], share * target[rows] + (1 - share) * target[other]) * len(rows)
                drawn = len(fresh)
                if drawn:
                    loss = loss + F.cross_entropy(features[fresh] @ w["head"] + w["bias"], drawn_of[fresh]) * drawn
                loss = loss / (len(rows) + drawn)
                if not self.frozen:
                    loss = loss + self.beta * (_adapted(w, x[rows]) - x[rows]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return w

    def _gaussians(self, X: np.ndarray, labels: np.ndarray, kept: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
        means, covariances, sizes = class_gaussians(X[kept], labels[kept], K)
        means, covariances = borrowed(means, covariances, sizes, tail=self.tail, q=self.q, gamma=self.gamma)
        return means, covariances + self.shrink * np.eye(X.shape[1], dtype=np.float32)

    def _placed(self, Z: np.ndarray) -> np.ndarray:
        placed = np.sqrt(np.maximum(Z, 0)) if self.root_ else Z
        return ((placed - self.mean_) / self.scale_).astype(np.float32)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(value) for name, value in self.weights_.items()}

    def _check(self) -> None:
        least = {"lof_k": 1, "q": 0, "hidden": 1, "epochs": 1, "refresh": 1, "batch_size": 1}
        for name, low in least.items():
            whole(name, getattr(self, name), low)
        for name in ("contamination", "tail", "gamma"):
            if not 0 <= getattr(self, name) <= 1 or (name == "contamination" and self.contamination == 1):
                raise InputError(f"{name}={getattr(self, name)!r}: wanted a share from 0 to 1 (contamination: below 1)")
        if not (self.shrink > 0 and self.lr > 0 and self.beta >= 0 and self.alpha >= 0 and self.weight_decay >= 0):
            raise InputError("shrink and lr must be above 0, beta, alpha and weight_decay not below")


def _adapted(w: dict[str, Tensor], x: Tensor) -> Tensor:
    return x + torch.relu(x @ w["in"] + w["in_bias"]) @ w["out"] if "in" in w else x


def inliers(X: np.ndarray, labels: np.ndarray, k: int, contamination: float) -> np.ndarray:
    """Which rows of X [n, d] are none of their class's outliers, bool [n]: all but the share with the largest local outlier factor.

    Breunig, Kriegel, Ng and Sander, 2000. Classes of fewer than five rows keep all.
    """
    from sklearn.neighbors import LocalOutlierFactor

    kept = np.ones(len(X), bool)
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        gone = int(contamination * len(members))
        if len(members) < FEWEST or not gone:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # equal rows have an infinite density: they stay
            oddness = -LocalOutlierFactor(n_neighbors=min(k, len(members) - 1)).fit(X[members]).negative_outlier_factor_
        kept[members[np.argsort(-oddness, kind="stable")[:gone]]] = False
    return kept


def class_gaussians(X: np.ndarray, labels: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [K, d], covariance [K, d, d] (one row: zeros) and number of rows [K] of each class; float32."""
    d = X.shape[1]
    means, covariances, sizes = np.zeros((K, d), np.float32), np.zeros((K, d, d), np.float32), np.bincount(labels, minlength=K)
    for c in range(K):
        rows = X[labels == c].astype(np.float64)
        means[c] = rows.mean(axis=0)
        centred = rows - rows.mean(axis=0)
        covariances[c] = centred.T @ centred / max(len(rows) - 1, 1)
    return means, covariances, sizes


def borrowed(
    means: np.ndarray, covariances: np.ndarray, sizes: np.ndarray, *, tail: float, q: int, gamma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances after classes with fewer than `tail` times the largest one's rows took from their q nearest others.

    Weights: rows of the giver over its distance. A mean moves by gamma; a covariance is replaced, where a class has more rows
    than dimensions averaged with its own. Without a rare class, or q = 0, all stay as they are.
    """
    rare = sizes < tail * sizes.max()
    if not q or not rare.any():
        return means, covariances
    givers = np.flatnonzero(~rare)
    new_means, new_covariances = means.copy(), covariances.copy()
    for t in np.flatnonzero(rare):
        distance = np.linalg.norm(means[givers] - means[t], axis=1)
        near = np.argsort(distance, kind="stable")[:q]
        weights = sizes[givers[near]] / np.maximum(distance[near], 1e-6)
        weights = weights / weights.sum()
        new_means[t] = gamma * weights @ means[givers[near]] + (1 - gamma) * means[t]
        theirs = np.tensordot(weights, covariances[givers[near]], axes=1)
        new_covariances[t] = (theirs + covariances[t]) / 2 if sizes[t] > means.shape[1] else theirs
    return new_means, new_covariances
