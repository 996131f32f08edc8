"""DDFA: classes from domains that hold them in different shares."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.data import Items, as_items
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.assign import kmeans
from unlabeled.parts.calibrate import temperature
from unlabeled.parts.checks import whole
from unlabeled.parts.factorise import factorise, mixtures
from unlabeled.parts.pseudo import outputs, uniform_over
from unlabeled.saving import load_model
from unlabeled.vectors import VectorEstimator
from unlabeled.views.whole import whole as as_they_are


@dataclass(kw_only=True, eq=False)
class Discriminator(Learner):
    """Which domain an item comes from, were all domains equally large: a network kept at the epoch that held-out items speak for.

    fit(X, y): y int64 [n], from 0 to domains - 1. predict_proba: float64 [n, domains], by a temperature found on held-out items.
    """

    domains: int = 2
    held: float = 0.15  # share of each domain
    epochs: int | None = 10
    batch_size: int = 128
    lr: float = 1e-3
    whiten: float | None = 0.0

    def default_views(self, kind: str) -> Any:
        return as_they_are

    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        self._y, rng = np.asarray(y, dtype=np.int64), np.random.default_rng(self.seed)
        held = [rng.permutation(rows)[: int(self.held * len(rows))] for rows in (np.flatnonzero(self._y == d) for d in range(self.domains))]
        self._held = np.sort(np.concatenate(held))
        self._learned = np.setdiff1d(np.arange(len(self._y)), self._held)
        self._lowest, items = np.inf, self._items(X, reset=True)
        super().fit(items)
        if len(self._held):
            self._keep(self.net_, Source(items, self.net_.encode, self.inputs_))
            self.net_.load_state_dict(self._best)
        return self

    def build(self, encoder: nn.Module) -> Net:
        net = Net(encode=encoder, classify=nn.Linear(encoder.width, self.domains))  # type: ignore[arg-type]
        net.register_buffer("temperature", torch.ones(()))
        return net

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        """As many items of each domain: the prior over domains that the later steps take for granted."""
        rows = torch.from_numpy(self._learned)
        return rows[uniform_over(torch.from_numpy(self._y[self._learned]), n, generator)]

    def before_epoch(self, net: Net, data: Source) -> None:
        if len(self._held):
            self._keep(net, data)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        return F.cross_entropy(
            net.classify(net.encode(batch.views[0])).float(), torch.from_numpy(self._y).to(batch.index.device)[batch.index]
        )

    def _keep(self, net: Net, data: Source) -> None:
        """Keep these weights if no earlier ones told the held-out items' domains better."""
        y = self._y[self._held]
        held = Source(data.items.subset(self._held), net.encode, data.inputs, data.device)
        logits = outputs(net, lambda x: self.embed(net, x), held).cpu()
        weight = torch.from_numpy(1 / np.bincount(y, minlength=self.domains).clip(1)).float()
        loss = float(F.cross_entropy(logits, torch.from_numpy(y), weight))
        if loss < self._lowest:
            net.temperature.fill_(temperature(logits.numpy(), y))
            self._lowest, self._best = loss, copy.deepcopy(net.state_dict())

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return net.classify(net.encode(x))

    def predict_proba(self, X: Any) -> np.ndarray:
        return (torch.from_numpy(self.transform(X)).double() / float(self.net_.temperature)).softmax(dim=1).numpy()


@dataclass(kw_only=True, eq=False)
class DDFA(VectorEstimator):
    """Classes of items from several sites, days or shops, found by nothing but how their shares differ from one to the other.

    Roberts, Mani, Garg and Lipton, 2022, "Unsupervised Learning under Latent Label Shift", arXiv:2207.13179. Discriminate: a
    network tells the domain of an item. Discretise: k-means on its answers. Factorise: cells by domains = cells by classes
    times classes by domains. Adjust: an item's answer as a mixture of the classes' domain shares, times the class's share in its own
    domain. Needed: what a class looks like doesn't depend on the domain; at least k domains, of different shares; something that is
    seen of one class only. Items of a class need not look alike. Other than in the paper the factorisation starts from the
    most extreme cells (SPA): of 20 random starts the one that fits best had 1.3 to 4 times the error of the shares (simulated).

    X: vectors [n, d], pictures, texts; y: the domain of each, any n names or numbers, never a class. The network is a `Discriminator` with
    `encoder` (the paper: ResNet-18, also with weights of SCAN), or `discriminator`, any classifier with fit and predict_proba.
    Learned: `domains_`, `mixes_` float64 [k, domains], the classes' shares in each domain; `anchors_` [k, domains], the domains' shares
    in each class; `cells_` [cells, domains]. InputError: fewer than k domains, bad values.

        found = DDFA(k=3).fit(photos, shop)
        found.mixes_                         # how much of each kind every shop has
        found.predict(photos, shop)          # or predict(photos), where the shop isn't known
    """

    k: int = 2
    encoder: Any = "auto"
    discriminator: Any = None
    options: dict[str, Any] | None = None  # of the Discriminator: epochs, lr, device, ...
    cells: int | None = None  # default: 2 k, at least 30, but no more than leaves an entry of the table 100 items, and never below k
    restarts: int = 0  # random starts of the factorisation besides
    seed: int = 0

    def fit(self, X: Any, y: Any) -> Self:
        k, X = whole("k", self.k, 2), self._read(X, reset=True)
        if y is None:
            raise InputError("DDFA requires y to be passed, but the target y is None: wanted the domain of each item")
        names = np.asarray(y)
        if names.shape != (len(X),) or (names.dtype.kind == "f" and not np.isfinite(names).all()) or any(one is None for one in names):
            raise InputError(f"y has shape {names.shape} for {len(X)} items: wanted the domain of each, known for all")
        self.domains_, d = np.unique(names.astype(str) if names.dtype == object else names, return_inverse=True)
        r = len(self.domains_)
        if r < k:
            raise InputError(f"y holds {r} domain{'s' * (r > 1)}: wanted k={k} or more, k classes can't be told by fewer")
        own = Discriminator(**{"encoder": self.encoder, "seed": self.seed, "domains": r} | (self.options or {}))
        self._discriminator = (own if self.discriminator is None else clone(self.discriminator)).fit(self._given(X), d)
        sizes = np.bincount(d, minlength=r)
        # The network learned from domains of equal size; of another classifier the prior is taken out.
        self.prior_ = np.full(r, 1 / r) if self.discriminator is None else sizes / len(d)
        q = self.domain_proba(X)
        different = len(np.unique(q.astype(np.float32), axis=0))
        # With 17 items an entry (30 cells, Fashion-MNIST) the most extreme cells were chance; the shares' error doubled.
        default = max(k, min(max(2 * k, 30), len(d) // (100 * r)))
        cells = min(default if self.cells is None else whole("cells", self.cells, k), different)
        found = kmeans(q, cells, seed=self.seed, n_init=5)
        Q = np.zeros((cells, r))
        np.add.at(Q, (found.labels, d), 1 / sizes[d])
        self.cells_, restarts = found.centers, whole("restarts", self.restarts, 0)
        try:
            _, self.mixes_ = factorise(Q[Q.sum(axis=1) > 0], k, restarts, self.seed)
        except InputError as error:
            of = f"{len(d)} items" + (f" with n_features={self.n_features_in_}" if hasattr(self, "n_features_in_") else "")
            raise InputError(f"the domains of {of} don't tell k={k} classes: {error}") from None
        self.anchors_ = self.mixes_ / self.mixes_.sum(axis=1, keepdims=True)
        return self

    def domain_proba(self, X: Any) -> np.ndarray:
        """How likely an item comes from each domain, were they equally large: float64 [n, domains]."""
        q = np.asarray(self._discriminator.predict_proba(self._given(X)), dtype=np.float64) / self.prior_
        return q / q.sum(axis=1, keepdims=True)

    def predict_proba(self, X: Any, domains: Any = None) -> np.ndarray:
        """Class probabilities, float64 [n, k], in the items' own domains [n] or, without them, in all domains alike."""
        X = self._read(X, reset=False)
        p = mixtures(self.domain_proba(X), self.anchors_)
        if domains is None:
            return p
        names = np.asarray(domains)
        names = names.astype(str) if names.dtype == object else names
        if names.shape != (len(X),) or not np.isin(names, self.domains_).all():
            raise InputError(f"domains has shape {names.shape} for {len(X)} items: wanted one of {self.domains_.tolist()} each")
        here = p * self.anchors_[:, np.searchsorted(self.domains_, names)].T
        total = here.sum(axis=1, keepdims=True)
        return np.where(total > 0, here / np.where(total > 0, total, 1), p)  # a class that this domain doesn't have at all

    def predict(self, X: Any, domains: Any = None) -> np.ndarray:
        """The likeliest class, int64 [n], from 0 to k - 1: which class is which, nobody said."""
        return self.predict_proba(X, domains).argmax(axis=1)

    def save(self, folder: str | Path) -> None:
        """As every estimator on vectors; the discriminator lies in a folder within, if it has a save of its own."""
        check_is_fitted(self)
        if not hasattr(self._discriminator, "save"):
            raise InputError(f"discriminator is a {type(self._discriminator).__name__}, which can't be saved: fit with discriminator=None")
        super().save(folder)
        self._discriminator.save(Path(folder) / "discriminator")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        model = super().load(folder)
        model._discriminator = load_model(Path(folder) / "discriminator")
        return model

    def _read(self, X: Any, reset: bool) -> Any:
        return self._vectors(X, reset=reset, least=1 + reset) if np.ndim(X) == 2 else as_items(X)

    def _given(self, X: Any) -> Any:
        return X.values if isinstance(X, Items) and self.discriminator is not None else X

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


__all__ = ["DDFA", "Discriminator"]
