"""OBoW."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, batches
from unlabeled.parts.dense import Map
from unlabeled.parts.gather import gather_rows, own_rows, same_on_every_rank, world
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import unit
from unlabeled.parts.memory import Queue
from unlabeled.parts.teacher import Teacher
from unlabeled.views.images import WHOLE, ImagePolicy, multi_crop, to_batch


@dataclass(frozen=True)
class BagViews:
    """The nearly whole picture for the teacher, `crops` crops and `patches` patches of it, strongly coloured, for the student."""

    policy: ImagePolicy = ImagePolicy()
    crops: int = 2
    crop_scale: tuple[float, float] = (0.2, 0.6)  # the paper: 160 pixels of 224, scale (0.08, 0.6)
    patches: int = 3
    patch_scale: tuple[float, float] = (0.08, 0.25)  # the paper: five of 96 pixels out of nine overlapping ones of 256

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        batch = to_batch(images) if images.dtype == torch.uint8 else images
        side = min(batch.shape[2:])
        mild = replace(WHOLE, scale=(0.6, 1.0), ratio=(3 / 4, 4 / 3), flip=0.5)
        crop, patch = replace(self.policy, scale=self.crop_scale), replace(self.policy, scale=self.patch_scale)
        return multi_crop(batch, [(mild, side, 1), (crop, side * 3 // 4, self.crops), (patch, side // 2, self.patches)], generator)[0]


@dataclass(kw_only=True, eq=False)
class OBoW(Learner):
    """From a crop, say which visual words the whole picture has, in a vocabulary that is renewed while the teacher learns.

    Gidaris et al., 2020, "OBoW: Online Bag-of-Visual-Words Generation for Self-Supervised Learning", arXiv:2012.11552.
    The paper: ResNet-50, 8192 words, momentum=0.99, SGD with lr 0.03, batches of 256, 200 epochs, words of the last two levels;
    here of the last one alone. Pictures only; views: the teacher's, then any number for the student (BagViews).
    """

    encoder: str | nn.Module = "conv5-dense"  # of a 4x4 map only 2x2 cells would be left without the border
    words: int = 1024
    inv_delta: float = 15.0  # sharpness of the assignment of a cell to words
    kappa: float = 8.0  # of the prediction
    momentum: float = 0.97  # of the teacher, rising to 1; 1 leaves it random
    reduce: str = "max"  # over the cells of a picture; or "mean"
    renew: bool = True  # the vocabulary; otherwise it stays that of the first batch

    def default_views(self, kind: str) -> Any:
        return BagViews()

    def build(self, encoder: nn.Module) -> Net:
        if self.inputs_.kind != "image":
            raise InputError(f"OBoW describes pictures by their parts, the data are {self.inputs_.kind}s: choose dino or byol")
        if self.reduce not in ("max", "mean"):
            raise InputError(f'reduce must be "max" or "mean", got {self.reduce!r}')
        width, teacher = encoder.width, Teacher(Map(encoder), momentum=self.momentum, steps=self.steps_)
        net = Net(encode=encoder, generate=mlp(width, 2 * width, width), teacher=teacher, words=Queue(self.words, width, unit=False))
        net.register_buffer("mu", torch.tensor(0.5))  # mean squared distance of a cell to its nearest word
        return net

    def loss(self, net: Net, batch: Batch) -> Tensor:
        cells, fresh = self.cells(net, batch.views[0])
        if not int(net.words.added):  # features are positive: words drawn from them fit, random ones would not
            every = gather_rows(cells.flatten(0, 1))
            picked = same_on_every_rank(torch.randint(len(every), (self.words,), device=every.device))
            net.words.add(own_rows(every[picked]) if self.words % world() == 0 else every[picked])
            net.mu.copy_(distances(every, net.words.vectors).amin(dim=1).mean())
        words = net.words.vectors
        target, nearest = self.bags(net, cells, words)
        batch.__dict__.update(fresh=fresh, nearest=nearest)  # for after_step: targets and predictions are of the same vocabulary
        weights = unit(net.generate(unit(words)))
        total = target.new_zeros(())
        for _, same in groupby(batch.views[1:], key=lambda view: view.shape):  # the mean over views of a size, the sum over sizes
            said = (self.kappa * net.encode(torch.cat(views := list(same))).float() @ weights.T).log_softmax(dim=1)
            total = total + F.kl_div(said, target.repeat(len(views), 1), reduction="batchmean")
        return total

    def after_step(self, net: Net, batch: Batch) -> None:
        net.teacher.update()
        net.mu.lerp_(gather_rows(batch.nearest[None]).mean(), 0.01)
        if self.renew:
            net.words.add(batch.fresh)

    @torch.no_grad()
    def cells(self, net: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's local vectors without the border, [n, cells, width], and one a picture, averaged over 3x3, [n, width]."""
        full = net.teacher(x).float()
        if min(full.shape[2:]) < 5:
            raise InputError(f"a map of {full.shape[2]}x{full.shape[3]} cells is too small, OBoW wants 5x5: choose encoder conv5-dense")
        inner = full[:, :, 1:-1, 1:-1]
        local = F.avg_pool2d(inner, 3, stride=1).flatten(2)
        where = own_rows(torch.randint(local.shape[2], (world() * len(x),), device=x.device))
        return inner.flatten(2).transpose(1, 2), local[torch.arange(len(x), device=x.device), :, where]

    @torch.no_grad()
    def bags(self, net: Net, cells: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Which words each picture has, [n, words], rows sum to 1; and the mean squared distance of a cell to its nearest word."""
        squared = distances(cells.flatten(0, 1), words)
        soft = (-squared * self.inv_delta / net.mu).softmax(dim=1).view(*cells.shape[:2], -1)  # over words, not cells
        bag = soft.amax(dim=1) if self.reduce == "max" else soft.mean(dim=1)
        return F.normalize(bag, p=1, dim=1), squared.amin(dim=1).mean()

    @property
    def words_(self) -> np.ndarray:
        """The vocabulary, float32 [words, width]."""
        return self.net_.words.vectors.numpy()

    def bag_of_words(self, X: Any) -> np.ndarray:
        """The teacher's bag of words of each picture, float32 [n, words], rows sum to 1."""
        net, source = self.net_, Source(self._items(X, reset=False), self.net_.encode, self.inputs_)
        words = net.words.vectors
        bags = [self.bags(net, self.cells(net, source.batch(rows))[0], words)[0].numpy() for rows in batches(source.order())]
        return np.concatenate(bags)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of rows, [n, m]."""
    with torch.autocast(a.device.type, enabled=False):
        return (a.square().sum(dim=1, keepdim=True) + b.square().sum(dim=1) - 2 * a @ b.T).clamp(min=0)
