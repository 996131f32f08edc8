"""Online deep clustering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.gather import gather_rows, world
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import unit
from unlabeled.parts.pseudo import ClusterMemory, draw, groups, outputs
from unlabeled.views import views_for


@dataclass(kw_only=True, eq=False)
class OnlineDeepClustering(Learner):
    """Clusters that move with the features, a batch at a time, instead of a new clustering every epoch.

    Zhan, Xie, Liu, Ong and Loy, 2020, "Online Deep Clustering for Unsupervised Representation Learning", arXiv:2006.10645.
    The paper's settings for ImageNet: clusters=10000, hidden=512, dim=256, min_cluster=20, optimizer="sgd", lr=0.06 for batches of
    512, weight_decay=1e-5, 440 epochs, started from a DeepCluster model; here k-means on the untrained network starts the memory.
    `labels_`: the clusters, int64 [n].
    """

    clusters: int = 100  # at most; every one has five examples on average at least
    dim: int = 64  # width of the features that are remembered
    hidden: int = 128
    momentum: float = 0.5  # weight of the new feature in an example's memory
    min_cluster: int = 10  # smaller ones are dissolved (at most half the average size); 0: none
    centroid_interval: int = 10  # steps between two computations of the centroids
    reweight: float = 0.5  # a class of n examples weighs n^-reweight in the loss; 0: all weigh alike

    def build(self, encoder: nn.Module) -> Net:
        if not 0 <= self.momentum <= 1 or self.centroid_interval < 1 or self.min_cluster < 0 or self.reweight < 0:
            raise InputError(
                "wanted momentum in [0, 1], centroid_interval >= 1, min_cluster >= 0 and reweight >= 0, "
                f"got {self.momentum}, {self.centroid_interval}, {self.min_cluster} and {self.reweight}"
            )
        k = groups(self.clusters, self.n_items_)
        memory = ClusterMemory(self.n_items_, k, self.dim, self.momentum, min(self.min_cluster, self.n_items_ // (2 * k)))
        # The paper's neck ends in a ReLU. A norm instead takes out what all examples share, which else drowns what tells them apart.
        neck = mlp(encoder.width, self.hidden, self.dim, last="norm")
        net = Net(encode=encoder, neck=neck, classify=nn.Linear(self.dim, k), memory=memory)
        net.register_buffer("step", torch.zeros((), dtype=torch.long))
        return net

    def default_views(self, kind: str) -> Any:
        return views_for(kind, views=1)

    def before_epoch(self, net: Net, data: Source) -> None:
        if int(net.step) == 0:
            features = outputs(net, lambda x: net.neck(net.encode(x)), data)
            # The statistics of the neck's norm are not yet those of the data: here are the data's own.
            features = (features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-6)
            net.memory.start(features, draw(self.seed, 0))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        batch.features = net.neck(net.encode(batch.views[0]))
        labels = net.memory.labels[batch.index]  # those from before this step
        weights = net.memory.sizes.clamp(min=1).float().pow(-self.reweight)[labels]
        losses = F.cross_entropy(net.classify(batch.features).float(), labels, reduction="none")
        # The weighted mean over the whole batch, of which each process has a part.
        return (weights * losses).sum() * world() / gather_rows(weights).sum()

    def after_step(self, net: Net, batch: Batch) -> None:
        net.step += 1
        net.memory.update(batch.index, batch.features)
        if int(net.step) % self.centroid_interval == 0:
            net.memory.recentre()
        net.memory.mend()

    def assign(self, X: Any) -> np.ndarray:
        """The nearest centroid of each example, int64 [n]."""
        data = Source(self._items(X, reset=False), self.net_.encode, self.inputs_)
        features = unit(outputs(self.net_, lambda x: self.net_.neck(self.net_.encode(x)), data))
        return (features @ self.net_.memory.centroids.T).argmax(dim=1).numpy()

    @property
    def labels_(self) -> np.ndarray:
        return self.net_.memory.labels.cpu().numpy()
