"""SeLa."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, plan
from unlabeled.parts.assign import sinkhorn
from unlabeled.parts.gather import same_on_every_rank
from unlabeled.parts.pseudo import draw, groups, outputs
from unlabeled.views import views_for


@dataclass(kw_only=True, eq=False)
class SeLa(Learner):
    """Learn to predict labels; then choose the labels anew that fit the predictions best among all that are equally frequent.

    Asano, Rupprecht and Vedaldi, 2019, "Self-labelling via simultaneous clustering and representation learning", arXiv:1911.05371.
    The paper's settings for ImageNet: clusters=3000, heads=10, 80 to 100 relabellings, optimizer="sgd", lr=0.05, 400 epochs;
    128 clusters for CIFAR. Its variant with a rotation loss is left out. `labels_`: int64 [heads, n].
    """

    clusters: int = 64  # at most; every one has five examples at least
    heads: int = 4  # classifiers with labels of their own; their losses are averaged
    lam: float = 25.0  # how hard the assignment is: the plan is P^lam scaled to equal sums
    relabels: int = 80  # denser at the start; no more than one an epoch. 0: the first labels, random and balanced, stay
    tol: float = 0.01  # how exactly (relative) clusters share the examples alike before each example takes its likeliest

    def build(self, encoder: nn.Module) -> Net:
        if self.heads < 1 or self.relabels < 0 or not self.lam > 0:
            raise InputError(f"wanted heads >= 1, relabels >= 0 and lam > 0, got {self.heads}, {self.relabels} and {self.lam}")
        k = groups(self.clusters, self.n_items_)
        net = Net(encode=encoder, classify=nn.Linear(encoder.width, self.heads * k))
        generator = torch.Generator().manual_seed(draw(self.seed, 0))
        labels = [torch.arange(self.n_items_)[torch.randperm(self.n_items_, generator=generator)] % k for _ in range(self.heads)]
        net.register_buffer("labels", torch.stack(labels))
        net.register_buffer("epoch", torch.zeros((), dtype=torch.long))
        return net

    def default_views(self, kind: str) -> Any:
        return views_for(kind, views=1)

    def before_epoch(self, net: Net, data: Source) -> None:
        # The k-th of M relabellings is due at epochs * (k / M)^2; the first is made by the untrained network, as in the authors' code.
        def due(epoch: int) -> int:
            epochs = plan(self, self.n_items_).epochs
            return 0 if epoch < 0 else min(self.relabels, 1 + math.floor(self.relabels * math.sqrt(epoch / epochs) + 1e-9))

        if due(int(net.epoch)) > due(int(net.epoch) - 1):
            logits = outputs(net, lambda x: net.classify(net.encode(x)), data)  # in eval mode, of the pictures as they are
            for head, of_head in enumerate(logits.chunk(self.heads, dim=1)):
                net.labels[head] = same_on_every_rank(self.relabel(of_head.log_softmax(dim=1)))
        net.epoch += 1

    def relabel(self, log_p: Tensor) -> Tensor:
        """Labels [n] from log-probabilities [n, k]: optimal transport to equally large clusters, then each row's likeliest."""
        # float64: P^25 underflows in single precision long before the sums are equal.
        return sinkhorn(log_p.double(), eps=1 / self.lam, iters=400, tol=self.tol, absorb=20).argmax(dim=1)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        targets = net.labels[:, batch.index]  # [heads, n]
        terms = [
            F.cross_entropy(logits.float(), target)
            for view in batch.views
            for logits, target in zip(net.classify(net.encode(view)).chunk(self.heads, dim=1), targets, strict=True)
        ]
        return torch.stack(terms).mean()

    @property
    def labels_(self) -> np.ndarray:
        return self.net_.labels.cpu().numpy()
