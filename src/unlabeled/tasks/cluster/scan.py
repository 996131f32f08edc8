"""SCAN: sort items into classes without labels."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, family, plan
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.neighbours import nearest
from unlabeled.parts.pseudo import outputs
from unlabeled.parts.selflabel import representatives, self_label_loss, sure_from
from unlabeled.tasks.cluster import directions
from unlabeled.views import ImageViews, views_for
from unlabeled.views.images import ImagePolicy
from unlabeled.views.stronger import stronger

NEARLY_WHOLE = ImagePolicy(scale=(0.8, 1.0), rotate=0.3, shear=0.3, translate=0.3, cutout=0.5)


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
    lr: float = 1e-2  # of the heads
    encoder_lr: float = 3e-4  # of an encoder that comes from the pretext

    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        """As `Learner.fit`; an unfitted pretext is fitted first, on the same items."""
        items = self._items(X, reset=True)
        self.pretext_ = self.pretext
        if self.pretext is None and family(items.kind) != "vector":
            shared: dict[str, Any] = {"encoder": self.encoder, "seed": self.seed, "device": self.device, "batch_size": self.batch_size}
            self.pretext_ = SimCLR(**shared, temperature=0.2)
        elif not isinstance(self.pretext, Learner | None):
            raise InputError(f"pretext must be a Learner or None, got {type(self.pretext).__name__}")
        if self.pretext_ is not None and not hasattr(self.pretext_, "net_"):
            self.pretext_ = clone(self.pretext_).fit(items)
        super().fit(items, y, **options)
        p = self.predict_proba(items)
        self.net_.labels.copy_(torch.from_numpy(p.argmax(axis=1)))
        self.net_.prototypes.copy_(torch.from_numpy(representatives(self.transform(items), p)))
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
        # Pooled features share a large mean: standardised, a head is done within 200 steps instead of the paper's 20,000.
        heads = nn.Sequential(nn.BatchNorm1d(encoder.width, affine=False), nn.Linear(encoder.width, self.heads * self.n_classes))
        net = Net(encode=encoder, heads=heads)
        net.register_buffer("neighbours", torch.zeros(n, min(self.neighbours, max(n - 1, 1)), dtype=torch.long))
        net.register_buffer("head_loss", torch.zeros(self.heads))  # of the last epoch of step 2
        net.register_buffer("epoch", torch.zeros((), dtype=torch.long))
        net.register_buffer("sure", torch.full((self.n_classes,), self.threshold))  # from which probability an item of a class is sure
        net.register_buffer("labels", torch.full((n,), -1))
        net.register_buffer("prototypes", torch.full((self.n_classes,), -1))
        return net

    def optimizers(self, net: Net) -> dict[str, torch.optim.Optimizer]:
        optimizer = self.optimizer_over(net.heads)
        if any(p.requires_grad for p in net.encode.parameters()):
            for group in self.optimizer_over(net.encode).param_groups:
                optimizer.add_param_group(group | {"lr": self.lr / 10 if self.pretext_ is None else self.encoder_lr})
        return {"loss": optimizer}

    def default_views(self, kind: str) -> Any:
        """Pictures are shown nearly whole, as in the paper: small crops, good for a pretext, cost 5 points of accuracy here."""
        return ImageViews(views=1, share=1.0, policy=NEARLY_WHOLE) if kind == "image" else views_for(kind, views=1)

    def mine(self, data: Source) -> np.ndarray:
        """The nearest items of each by cosine, itself left out: int64 [n, k]. Of pictures as they are, without augmentation."""
        Z = data.items.take(np.arange(len(data))) if self.pretext_ is None else self.pretext_.transform(data.items)
        return nearest(directions(Z), self.neighbours)

    def before_epoch(self, net: Net, data: Source) -> None:
        self._data, epoch, switch = data, int(net.epoch), self._switch(len(data))
        if epoch == 0:
            net.neighbours.copy_(torch.from_numpy(self.mine(data)))
        if epoch < switch:
            net.head_loss.zero_()
        elif epoch == switch:
            net.sure.copy_(sure_from(self._probabilities(net, data), self.threshold))
        net.epoch += 1

    def loss(self, net: Net, batch: Batch) -> Tensor:
        views = self.views if self.views is not None else self.default_views(self.inputs_.kind)
        if int(net.epoch) <= self._switch(self.n_items_):
            drawn = torch.randint(net.neighbours.shape[1], (len(batch.index),), device=batch.index.device)
            other = _first(views(self._data.take(net.neighbours[batch.index, drawn].cpu().numpy())))
            anchors, partners = self._all_heads(net, torch.cat([batch.views[0], other])).softmax(dim=2).chunk(2)
            agree, spread = scan_loss(anchors, partners)
            batch.head_loss = (agree - self.entropy_weight * spread).detach()  # type: ignore[attr-defined]
            return (agree - self.entropy_weight * spread).sum()
        with torch.no_grad():
            p = self._best(net, batch.views[0]).softmax(dim=1)
        strong = _first(stronger(views)(self._data.take(batch.index.cpu().numpy())))
        return self_label_loss(self._best(net, strong), p, net.sure)

    def after_step(self, net: Net, batch: Batch) -> None:
        if int(net.epoch) <= self._switch(self.n_items_):
            net.head_loss += gather_rows(batch.head_loss[None]).mean(dim=0)

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


def scan_loss(anchors: Tensor, partners: Tensor) -> tuple[Tensor, Tensor]:
    """Of the class probabilities of items and of one neighbour each, [n, heads, C]: mean of -log of their product, entropy of the mean.

    Both [heads].
    """
    agree = -(anchors * partners).sum(dim=2).clamp(min=1e-8).log().mean(dim=0)
    mean = gather_rows(anchors).mean(dim=0).clamp(min=1e-8)  # of the batch: of single items it would make them all undecided
    return agree, -(mean * mean.log()).sum(dim=1)


def _first(views: Any) -> Tensor:
    return (views[0] if isinstance(views, tuple) else views)[0]
