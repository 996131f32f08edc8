"""DeeperCluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Net, Source, plan
from unlabeled.methods.pretext.rotnet import RotNet, turn
from unlabeled.parts.pseudo import PseudoLabels, cluster, draw, groups, uniform_over
from unlabeled.parts.whiten import Whitening


@dataclass(kw_only=True, eq=False)
class DeeperCluster(RotNet):
    """RotNet and DeepCluster in one label of two levels: which super-cluster and turn, and which cluster within it.

    Caron, Bojanowski, Mairal and Joulin, 2019, "Unsupervised Pre-Training of Image Features on Non-Curated Data", arXiv:1905.01278.
    The paper: super_clusters=16, clusters=320000 on 96 million pictures, VGG-16 on Sobel-filtered input, started from a RotNet,
    optimizer="sgd", lr=0.1, weight_decay=1e-5. `labels_`: int64 [n, 2], the super-cluster and the cluster within it.
    """

    super_clusters: int = 4
    clusters: int = 100  # in all, at most; every one has five examples on average at least
    refresh: int = 3  # epochs between two clusterings
    pca: int | None = 256  # principal axes that are whitened before k-means
    even: bool = True  # an epoch shows every cluster equally often; False: every picture once
    start: float = 1 / 3  # share of the epochs that are RotNet's alone: plain turns, to begin from

    def build(self, encoder: nn.Module) -> Net:
        super().build(encoder)  # for its checks
        if not isinstance(self.super_clusters, int | np.integer) or self.super_clusters < 1:
            raise InputError(f"super_clusters must be a whole number of at least 1, got {self.super_clusters!r}")
        classes, n = self.super_clusters * len(self.angles), self.n_items_
        inside = max(1, groups(self.clusters, n) // self.super_clusters)
        # One matrix holds every super-class's own classifier W_s; `loss` reads the rows of the one that is meant.
        return Net(encode=encoder, supers=PseudoLabels(n, classes, encoder.width), subs=PseudoLabels(n, classes * inside, encoder.width))

    def before_epoch(self, net: Net, data: Source) -> None:
        since = int(net.supers.epochs) - round(self.start * plan(self, len(data)).epochs)
        net.supers.epochs += 1
        if since < 0 or since % self.refresh:
            return
        Z, seed = self.embed_all(net, data), draw(self.seed, int(net.subs.rounds))
        if self.pca is not None:
            Z = Whitening.fit(Z, 1.0, min(self.pca, *Z.shape)).transform(Z)
        if since == 0:  # once: were they made anew, V would have to start anew as well
            net.supers.relabel(cluster(Z, self.super_clusters, seed=seed, pca=None), seed=seed)
        supers, labels = net.supers.labels.cpu().numpy(), np.zeros(len(Z), np.int64)
        inside = net.subs.classes // net.supers.classes
        for number in range(self.super_clusters):
            members = np.flatnonzero(supers == number)
            if len(members):
                labels[members] = cluster(Z[members], min(inside, len(members)), seed=draw(seed, number), pca=None)
        net.subs.relabel(labels, seed=seed)  # every W_s starts anew with the clusters, V goes on

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        if not self.even:
            return super().order(net, n, generator)
        return uniform_over(net.supers.labels * net.subs.classes + net.subs.labels, n, generator)

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        turned, turns = turn(batch.views[0], self.angles)
        features, index = net.encode(turned), batch.index.repeat(len(self.angles))
        super_class = net.supers.labels[index] * len(self.angles) + turns  # before the first clustering: the turn alone
        terms = {"super-class": F.cross_entropy(net.supers.classify(features).float(), super_class)}
        if int(net.subs.rounds):
            logits = net.subs.classify(features).view(len(features), net.supers.classes, -1)  # of every W_s
            own = logits[torch.arange(len(features), device=logits.device), super_class]
            terms["cluster"] = F.cross_entropy(own.float(), net.subs.labels[index])
        return terms

    def turn_logits(self, net: Net, features: Tensor) -> Tensor:
        return net.supers.classify(features).unflatten(1, (self.super_clusters, len(self.angles))).logsumexp(dim=1)

    @property
    def labels_(self) -> Any:
        return torch.stack([self.net_.supers.labels, self.net_.subs.labels], dim=1).cpu().numpy()
