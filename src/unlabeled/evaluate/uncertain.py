"""An encoder trained with the labels of some classes, which says of anything it embeds how unsure it is: what URL compares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.data import Items, as_items
from unlabeled.encoders import Inputs
from unlabeled.encoders import encoder as make_encoder
from unlabeled.errors import InputError
from unlabeled.parts.labels import classes_of
from unlabeled.parts.uncertainty import HeadEnsemble, LossPrediction, MaxProbability, VonMisesFisher
from unlabeled.views.images import ImagePolicy, augment, to_batch

HEADS = {"max-prob": MaxProbability, "norm": MaxProbability, "loss": LossPrediction, "vmf": VonMisesFisher, "ensemble": HeadEnsemble}
CROPS = ImagePolicy(scale=(0.5, 1.0), flip=0.0, jitter=0.0, grey=0.0)  # a mirrored letter is another letter


@dataclass(kw_only=True, eq=False)
class UncertainEncoder(BaseEstimator):
    """Train an encoder on labelled pictures (or vectors) with one of the heads of `parts.uncertainty`.

    head: "max-prob", "norm", "loss", "vmf", "ensemble", or a module class of your own, called as head(width, classes), with `forward`,
    `loss(features, y)` and `uncertainty(features)`. options: keyword arguments of the head. fit(X, y): y [n], -1 is left out.
    Vectors are the encoder's features, with "vmf" the mean directions. epochs=0: the first weights. The benchmark's other methods
    (SNGP, HET-XL, MC dropout, nivMF, ELK) are not here. InputError: bad values, fewer than two classes.

        model = UncertainEncoder(head="loss").fit(images, names)
        Z, u = model.embed_with_uncertainty(others)       # float32 [n, width] and [n]; a higher u is less sure
    """

    head: str | type[nn.Module] = "max-prob"
    options: dict[str, Any] = field(default_factory=dict)
    encoder: str | nn.Module = "auto"
    views: ImagePolicy | None = CROPS  # of pictures, while training
    epochs: int = 30
    batch_size: int = 128
    lr: float = 2e-3
    weight_decay: float = 1e-4
    seed: int = 0

    def fit(self, X: Any, y: Any) -> Self:
        items = as_items(X)
        if len(items) != len(np.asarray(y)):
            raise InputError(f"X has {len(items)} items, y {len(np.asarray(y))} labels: wanted one each")
        if items.kind not in ("image", "vector", "table"):
            raise InputError(f"X holds {items.kind}s: wanted pictures or vectors")
        if self.epochs < 0 or self.batch_size < 4 or not self.lr > 0:
            raise InputError(f"epochs={self.epochs}, batch_size={self.batch_size}, lr={self.lr}: wanted at least 0, 4, and above 0")
        self.classes_, codes = classes_of(y)
        draw = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng(devices=[]):  # the layers' first weights come from the global generator
            torch.manual_seed(self.seed)
            self.net_ = self._network(items)
        rows = np.flatnonzero(codes >= 0)
        batches = [(x, t) for _ in range(self.epochs) for x, t in self._batches(rows, codes, draw)]
        optimizer = torch.optim.AdamW(self.net_.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=len(batches) + 1, pct_start=0.1)
        self.net_.train()
        self.loss_curve_ = []
        head: Any = self.net_["head"]
        for index, target in batches:
            x = self._tensor(items, index)
            if x.ndim == 4 and self.views is not None:
                x = augment(x, self.views, generator=draw)[0]
            more = {"generator": draw} if isinstance(head, VonMisesFisher) else {}
            loss = head.loss(self.net_["encode"](x), target, **more)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            self.loss_curve_.append(float(loss.detach()))
        if not batches:
            with torch.no_grad():  # the statistics of batch norm, which training would have left
                for part in np.array_split(rows, -(-len(rows) // self.batch_size)) * 5:
                    self.net_["encode"](self._tensor(items, part))
        self.net_.eval()
        return self

    def embed_with_uncertainty(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Vectors, float32 [n, width], and how unsure each is, float32 [n]: higher is less sure."""
        found = [self._read(x) for x in self._parts(X)]
        vectors, unsure = zip(*found, strict=True)
        return torch.cat(vectors).float().numpy(), torch.cat(unsure).float().numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest upstream class of each item, [n]; InputError where the head knows no classes."""
        check_is_fitted(self, "net_")
        if isinstance(self.net_["head"], VonMisesFisher):
            raise InputError("a head of directions knows no classes: it can't predict one")
        with torch.no_grad():
            chosen = torch.cat([self.net_["head"](self.net_["encode"](x)).argmax(dim=1) for x in self._parts(X)])
        return self.classes_[chosen.numpy()]

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            features = self.net_["encode"](x)
            head: Any = self.net_["head"]
            return (head(features)[0] if isinstance(head, VonMisesFisher) else features), head.uncertainty(features)

    def _parts(self, X: Any) -> list[Tensor]:
        check_is_fitted(self, "net_")
        items = as_items(X)
        return [self._tensor(items, part) for part in np.array_split(np.arange(len(items)), -(-len(items) // 512))]

    def _network(self, items: Items) -> nn.ModuleDict:
        from copy import deepcopy

        shape = items.values.shape
        inputs = Inputs("image", shape[-1], min(shape[1:3])) if items.kind == "image" else Inputs("vector", features=shape[1])
        encode = make_encoder(deepcopy(self.encoder) if isinstance(self.encoder, nn.Module) else self.encoder, inputs)
        if isinstance(self.head, str) and self.head not in HEADS:
            raise InputError(f"head={self.head!r}: wanted one of {', '.join(HEADS)}, or a class of modules")
        kind: Any = HEADS[self.head] if isinstance(self.head, str) else self.head
        width: Any = encode.width
        given = {"norm": True} if self.head == "norm" else {}
        sizes = (width,) if self.head == "vmf" else (width, len(self.classes_))
        return nn.ModuleDict({"encode": encode, "head": kind(*sizes, **given | self.options)})

    def _batches(self, rows: np.ndarray, codes: np.ndarray, draw: torch.Generator) -> list[tuple[np.ndarray, Tensor]]:
        """An epoch's batches: rows and their labels; for directions two rows of each class that comes, the partners in the second half."""
        order = rows[torch.randperm(len(rows), generator=draw).numpy()]
        if isinstance(self.net_["head"], VonMisesFisher):
            turn = torch.randperm(len(self.classes_), generator=draw).numpy()  # so that the classes of a batch change
            order = order[np.argsort(turn[codes[order]], kind="stable")]  # within a class as shuffled
            starts = np.flatnonzero(np.diff(codes[order], prepend=-1) != 0)
            place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
            pairs = np.flatnonzero((place % 2 == 0) & (np.append(codes[order][1:], -1) == codes[order]))
            pairs = pairs[np.argsort(place[pairs], kind="stable")]  # a pair of every class, then the next pairs
            size = max(2, min(self.batch_size // 2, len(starts)))
            parts = [pairs[i : i + size] for i in range(0, len(pairs) - 1, size)]
            parts = [part[np.unique(codes[order[part]], return_index=True)[1]] for part in parts]
            chosen = [order[np.concatenate([part, part + 1])] for part in parts if len(part) > 1]
        else:
            chosen = [order[i : i + self.batch_size] for i in range(0, len(order) - 1, self.batch_size)]
        return [(part, torch.from_numpy(codes[part])) for part in chosen]

    def _tensor(self, items: Items, rows: np.ndarray) -> Tensor:
        array = np.asarray(items.take(rows))
        return to_batch(torch.from_numpy(array)) if items.kind == "image" else torch.from_numpy(array).float()
