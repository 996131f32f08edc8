"""SCAN: sort items into classes without labels."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import clone
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, family, plan
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.gather import gather_rows, world
from unlabeled.parts.pseudo import outputs
from unlabeled.tasks.cluster import directions
from unlabeled.views import ImageViews, VectorViews, views_for

CONFIDENT = 0.1  # share of the items that must pass the threshold; where fewer do, this share of each class passes
TOP = 10  # most confident items of a class whose mean its prototype is nearest to


@dataclass(kw_only=True, eq=False)
class SCAN(Learner):
    """A classifier of n_classes that puts each item and its nearest neighbours into one class, and all classes to use.

    Van Gansbeke, Vandenhende, Georgoulis, Proesmans and Van Gool, 2020, "SCAN: Learning to Classify Images without Labels",
    arXiv:2005.12320. Step 1, a pretext representation finds each item's neighbours, without augmentation. Step 2, from its
    weights, -log of the product of the class probabilities of an item and of one of its neighbours, less the entropy of the
    mean probabilities of the batch. Step 3, sure items are their own labels for strongly augmented views. The paper: SimCLR,
    20 neighbours (50 on ImageNet), Adam with lr 1e-4, batches of 128, 100 epochs of step 2 and up to 200 of step 3, until no
    more items become sure; here step 3 has a fixed share of the epochs.

    fit, predict, predict_proba, transform (the encoder's vectors), `labels_` int64 [n], prototypes(). `neighbours_` int64 [n, k].
    """

    n_classes: int = 10  # may exceed the true number
    pretext: Any = None  # a Learner, fitted or not (default: SimCLR); of vectors by default the vectors themselves are the pretext
    neighbours: int = 20
    entropy_weight: float = 5.0
    heads: int = 10  # the one with the lowest loss is kept
    self_label: float = 1 / 3  # share of the epochs that goes to step 3; 0 leaves it out
    threshold: float = 0.99  # probability from which an item is sure
    lr: float = 1e-3  # of the heads
    encoder_lr: float = 1e-4  # of an encoder that comes from the pretext

    # Steps of a fit -----------------------------------------------------------------------------------------------
    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        """As `Learner.fit`; an unfitted pretext is fitted first, on the same items."""
        items = self._items(X, reset=True)
        shared: dict[str, Any] = {"encoder": self.encoder, "seed": self.seed, "device": self.device, "batch_size": self.batch_size}
        default = None if family(items.kind) == "vector" else SimCLR(**shared, temperature=0.2)
        pretext = self.pretext if isinstance(self.pretext, Learner) else default
        if self.pretext is not None and pretext is not self.pretext:
            raise InputError(f"pretext must be a Learner or None, got {type(self.pretext).__name__}")
        self.pretext_ = pretext if pretext is None or hasattr(pretext, "net_") else clone(pretext).fit(items)
        super().fit(X, y, **options)
        logits = torch.from_numpy(self.predict_proba(X))
        self.net_.labels.copy_(logits.argmax(dim=1))
        self.net_.prototypes.copy_(torch.from_numpy(_prototypes(self.transform(X), logits.numpy())))
        return self

    def build(self, encoder: Any) -> Net:
        n, pretext = self.n_items_, getattr(self, "pretext_", None)
        size = min(self.batch_size, max(n, 2))
        if not 2 <= self.n_classes <= size or self.neighbours < 1 or self.heads < 1:
            wanted = f"n_classes from 2 to the {size} examples of a batch, neighbours and heads from 1"
            raise InputError(f"wanted {wanted}, got {self.n_classes!r}, {self.neighbours!r} and {self.heads!r}")
        if not 0 <= self.self_label < 1 or not 0 < self.threshold < 1:
            raise InputError(f"wanted 0 <= self_label < 1 and 0 < threshold < 1, got {self.self_label!r} and {self.threshold!r}")
        encoder = encoder if pretext is None else copy.deepcopy(pretext.net_.encode)
        net = Net(encode=encoder, heads=nn.Linear(encoder.width, self.heads * self.n_classes))
        for name, value in {
            "neighbours": torch.zeros(n, min(self.neighbours, max(n - 1, 1)), dtype=torch.long),
            "head_loss": torch.zeros(self.heads),  # of the last epoch of step 2
            "epoch": torch.zeros((), dtype=torch.long),
            "sure": torch.full((self.n_classes,), self.threshold),  # from which probability an item of a class is sure
            "labels": torch.full((n,), -1),
            "prototypes": torch.full((self.n_classes,), -1),
        }.items():
            net.register_buffer(name, value)
        return net

    def optimizers(self, net: Net) -> dict[str, torch.optim.Optimizer]:
        optimizer = self.optimizer_over(net.heads)
        if any(p.requires_grad for p in net.encode.parameters()):
            for group in self.optimizer_over(net.encode).param_groups:
                optimizer.add_param_group(group | {"lr": self.lr if self.pretext_ is None else self.encoder_lr})
        return {"loss": optimizer}

    def default_views(self, kind: str) -> Any:
        return views_for(kind, views=1)

    def before_epoch(self, net: Net, data: Source) -> None:
        self._data = data
        epoch = int(net.epoch)
        if epoch == 0:
            net.neighbours.copy_(torch.from_numpy(self.mine(data)))
        if epoch < self._switch(len(data)):
            net.head_loss.zero_()
        elif epoch == self._switch(len(data)):
            net.sure.copy_(self._sure(self._probabilities(net, data)))
        net.epoch += 1

    def mine(self, data: Source) -> np.ndarray:
        """The nearest items of each by cosine, itself left out: int64 [n, k]. Of pictures as they are, without augmentation."""
        import faiss

        Z = directions(data.items.take(np.arange(len(data))) if self.pretext_ is None else self.pretext_.transform(data.items))
        index: Any = faiss.IndexFlatIP(Z.shape[1])
        index.add(Z)
        k = min(self.neighbours, len(Z) - 1)
        found = index.search(Z, k + 1)[1]
        itself = found == np.arange(len(Z))[:, None]
        itself[~itself.any(axis=1), -1] = True  # among more than k copies of an item it need not find itself
        return found[~itself].reshape(len(Z), k)

    # Losses -------------------------------------------------------------------------------------------------------
    def loss(self, net: Net, batch: Batch) -> Any:
        views = self.views if self.views is not None else self.default_views(self.inputs_.kind)
        if int(net.epoch) <= self._switch(self.n_items_):
            pick = torch.randint(net.neighbours.shape[1], (len(batch.index),), device=batch.index.device)
            other = _first(views(self._data.take(net.neighbours[batch.index, pick].cpu().numpy())))
            anchors, partners = self._all_heads(net, torch.cat([batch.views[0], other])).softmax(dim=2).chunk(2)
            agree, spread = scan_loss(anchors, partners)
            each = agree - self.entropy_weight * spread
            batch.head_loss = each.detach()  # type: ignore[attr-defined]
            return each.sum()
        with torch.no_grad():
            p = self._best(net, batch.views[0]).softmax(dim=1)
        strong = _first(_strong(self.inputs_.kind, views)(self._data.take(batch.index.cpu().numpy())))
        return self_label_loss(self._best(net, strong), p, net.sure)

    def after_step(self, net: Net, batch: Batch) -> None:
        if int(net.epoch) <= self._switch(self.n_items_):
            net.head_loss += gather_rows(batch.head_loss[None]).mean(dim=0)

    # What a user calls --------------------------------------------------------------------------------------------
    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities, float32 [n, n_classes]."""
        return self._probabilities(self.net_, Source(self._items(X, reset=False), self.net_.encode, self.inputs_)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        return self.predict_proba(X).argmax(axis=1)

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        return self.fit(X).labels_

    def prototypes(self) -> np.ndarray:
        """For each class the fitted item nearest to the mean of its ten most confident ones, int64 [n_classes]; -1 for an empty class."""
        return self.net_.prototypes.numpy()

    @property
    def labels_(self) -> np.ndarray:
        return self.net_.labels.numpy()

    @property
    def neighbours_(self) -> np.ndarray:
        return self.net_.neighbours.numpy()

    # Within -------------------------------------------------------------------------------------------------------
    def _switch(self, n: int) -> int:
        """The epoch that step 3 begins with."""
        epochs = plan(self, n).epochs
        return epochs if not self.self_label else max(1, round(epochs * (1 - self.self_label)))

    def _all_heads(self, net: Net, x: Tensor) -> Tensor:
        return net.heads(net.encode(x)).float().unflatten(1, (self.heads, self.n_classes))

    def _best(self, net: Net, x: Tensor) -> Tensor:
        return self._all_heads(net, x)[:, net.head_loss.argmin()]

    def _probabilities(self, net: Net, data: Source) -> Tensor:
        return outputs(net, lambda x: self._best(net, x).softmax(dim=1), data)

    def _sure(self, p: Tensor) -> Tensor:
        """From which probability an item of each class is sure: the threshold, or what a tenth of the class reaches."""
        top, label = p.max(dim=1)
        cut = torch.full_like(p[0], self.threshold)
        if (top > self.threshold).float().mean() < CONFIDENT:  # a small network seldom reaches 0.99
            for c in label.unique():
                cut[c] = min(self.threshold, float(top[label == c].quantile(1 - CONFIDENT)))
        return cut


def scan_loss(anchors: Tensor, partners: Tensor) -> tuple[Tensor, Tensor]:
    """Of the class probabilities of items and of one neighbour each, [n, heads, C]: mean of -log of their product, entropy of the mean.

    Both [heads].
    """
    agree = -(anchors * partners).sum(dim=2).clamp(min=1e-8).log().mean(dim=0)
    mean = gather_rows(anchors).mean(dim=0).clamp(min=1e-8)  # of the batch: of single items it would make them all undecided
    return agree, -(mean * mean.log()).sum(dim=1)


def self_label_loss(logits: Tensor, p: Tensor, sure: Tensor) -> Tensor:
    """Cross-entropy of logits [n, C] with the most probable class of p [n, C], where its probability exceeds sure [C].

    Every class that occurs among those counts the same; 0 where none is sure.
    """
    top, label = p.max(dim=1)
    chosen = top > sure[label]
    count = torch.bincount(gather_rows(label)[gather_rows(chosen)], minlength=p.shape[1])
    each = F.cross_entropy(logits.float(), label, reduction="none")
    total = (each / count[label].clamp(min=1) * chosen).sum() / (count > 0).sum().clamp(min=1)
    return total * world()  # the processes' losses are averaged, this is each one's part of the sum


def _first(views: Any) -> Tensor:
    return (views[0] if isinstance(views, tuple) else views)[0]


def _strong(kind: str, usual: Any) -> Any:
    """Views that change an item more than the usual ones."""
    if isinstance(usual, ImageViews):
        stronger = replace(usual.policy, jitter=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, cutout=1.0, cutout_size=0.33)
        return replace(usual, policy=stronger)
    if isinstance(usual, VectorViews):
        return replace(usual, noise=2 * usual.noise, corruption=min(1.0, 1.5 * usual.corruption))
    return usual


def _prototypes(Z: np.ndarray, p: np.ndarray) -> np.ndarray:
    found, label = np.full(p.shape[1], -1), p.argmax(axis=1)
    for c in np.unique(label):
        rows = np.flatnonzero(label == c)
        best = rows[np.argsort(-p[rows, c], kind="stable")[:TOP]]
        found[c] = rows[np.square(Z[rows] - Z[best].mean(axis=0)).sum(axis=1).argmin()]
    return found
