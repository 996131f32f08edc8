"""OBoW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.by_size import by_size
from unlabeled.parts.dense import Map
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import unit
from unlabeled.parts.pseudo import outputs
from unlabeled.parts.teacher import Teacher
from unlabeled.parts.words import VisualWords, cells
from unlabeled.views.bags import BagViews


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
    renew: bool = True  # the vocabulary; otherwise it stays as it is once it is full

    def default_views(self, kind: str) -> Any:
        return BagViews()

    def build(self, encoder: nn.Module) -> Net:
        if self.inputs_.kind != "image":
            raise InputError(f"OBoW describes pictures by their parts, the data are {self.inputs_.kind}s: choose dino or byol")
        if self.reduce not in ("max", "mean"):
            raise InputError(f'reduce must be "max" or "mean", got {self.reduce!r}')
        teacher = Teacher(Map(encoder), momentum=self.momentum, steps=self.steps_)
        words = VisualWords(self.words, encoder.width, self.inv_delta, self.reduce)
        return Net(encode=encoder, generate=mlp(encoder.width, 2 * encoder.width, encoder.width), teacher=teacher, words=words)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        local, batch.fresh = cells(self.teacher_map(net, batch.views[0]))
        if not int(net.words.added):
            net.words.start(local, batch.fresh)
        target, batch.mu = net.words.bags(local)
        weights = unit(net.generate(unit(net.words.vectors)))
        terms = []
        for views in by_size(batch.views[1:]):  # the mean over views of a size, the sum over sizes
            said = (self.kappa * net.encode(views).float() @ weights.T).log_softmax(dim=1)
            terms.append(F.kl_div(said, target.repeat(len(said) // len(target), 1), reduction="batchmean"))
        return torch.stack(terms).sum()

    def after_step(self, net: Net, batch: Batch) -> None:
        net.teacher.update()
        net.words.mu.lerp_(batch.mu, 0.05)  # the paper: 0.01, in a thousand times as many steps
        if self.renew or int(net.words.added) < self.words:
            net.words.add(batch.fresh)

    def teacher_map(self, net: Net, x: Tensor) -> Tensor:
        found = net.teacher(x)
        if min(found.shape[2:]) < 5:
            raise InputError(f"a map of {found.shape[2]}x{found.shape[3]} cells is too small, OBoW wants 5x5: choose encoder conv5-dense")
        return found

    def bag_of_words(self, X: Any) -> np.ndarray:
        """The teacher's bag of words of each picture, float32 [n, words], rows sum to 1."""
        net, source = self.net_, Source(self._items(X, reset=False), self.net_.encode, self.inputs_)
        return outputs(net, lambda x: net.words.bags(cells(self.teacher_map(net, x))[0])[0], source).numpy()

    @property
    def words_(self) -> np.ndarray:
        """The vocabulary, float32 [words, width]."""
        return self.net_.words.vectors.numpy()
