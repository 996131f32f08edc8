"""DeepCluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.pseudo import PseudoLabels, cluster, draw, groups
from unlabeled.views import views_for


@dataclass(kw_only=True, eq=False)
class DeepCluster(Learner):
    """Cluster the features, learn to predict the clusters, cluster again.

    Caron, Bojanowski, Joulin and Douze, 2018, "Deep Clustering for Unsupervised Learning of Visual Features", arXiv:1807.05520.
    The paper's settings for ImageNet: clusters=10000, a new clustering every epoch, Sobel-filtered pictures, optimizer="sgd",
    lr=0.05, weight_decay=1e-5, 500 epochs with AlexNet or VGG-16. `labels_`: the last clusters, int64 [n].
    """

    clusters: int = 100  # at most; every one has five examples on average at least
    refresh: int = 3  # epochs between two clusterings; the paper: 1, but of 5000 steps, in which a new classifier learns much
    pca: int | None = 256  # principal axes that are whitened before k-means

    def build(self, encoder: nn.Module) -> Net:
        return Net(encode=encoder, pseudo=PseudoLabels(self.n_items_, groups(self.clusters, self.n_items_), encoder.width, norm=True))

    def default_views(self, kind: str) -> Any:
        return views_for(kind, views=1)

    def before_epoch(self, net: Net, data: Source) -> None:
        # The labels hold for `refresh` epochs; cluster numbers mean nothing from one clustering to the next, so the classifier restarts.
        if int(net.pseudo.epochs) % self.refresh == 0:
            labels = cluster(self.embed_all(net, data), net.pseudo.classes, seed=draw(self.seed, int(net.pseudo.rounds)), pca=self.pca)
            net.pseudo.relabel(labels, seed=self.seed)
        net.pseudo.epochs += 1

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        return net.pseudo.order(n, generator)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        return sum(net.pseudo(net.encode(view), batch.index) for view in batch.views) / len(batch.views)

    @property
    def labels_(self) -> np.ndarray:
        return self.net_.pseudo.labels.cpu().numpy()
