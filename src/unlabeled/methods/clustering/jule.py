"""JULE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, plan
from unlabeled.parts.agglomerate import agglomerate, chains, merge, nearest_clusters, neighbours, periods
from unlabeled.parts.gather import gather_rows, same_on_every_rank
from unlabeled.parts.losses import triplet
from unlabeled.parts.pseudo import outputs
from unlabeled.views.whole import whole


class Partition(nn.Module):
    """What is known of n examples: their cluster, the clusters nearest to that one (-1: none), how far the training is."""

    def __init__(self, n: int, near: int):
        super().__init__()
        self.register_buffer("labels", torch.full((n,), -1))
        self.register_buffer("near", torch.full((n, near), -1))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.long))
        self.register_buffer("length", torch.ones((), dtype=torch.long))  # of a period, in epochs


@dataclass(kw_only=True, eq=False)
class JULE(Learner):
    """Merge clusters, learn what tells them apart, merge again: clusters and features together, for a few thousand examples.

    Yang, Parikh and Batra, 2016, "Joint Unsupervised Learning of Deep Representations and Image Clusters", arXiv:1604.03628.
    A period merges a share of the clusters and then trains on triplets; the epochs are shared equally by the periods. The paper:
    20 epochs a period, batch_size=100, optimizer="sgd", lr=0.01, dim=160, unroll=0.2 for many small clusters.
    `labels_`: the clusters of the examples, int64 [n].
    """

    n_clusters: int = 10
    k: int = 20  # neighbours in the graph
    near: int = 5  # clusters that count as near: merges are chosen, and negatives drawn, among them
    unroll: float = 0.9  # share of the clusters that a period merges away
    margin: float = 0.2
    gamma: float = 2.0  # weight of the positives' distance
    dim: int = 160  # of the vectors, which have unit length
    recluster: bool = True  # in the end cluster the final vectors from the beginning (the paper's RC), else keep the clusters (SF)
    whiten: float | None = 0.0

    def build(self, encoder: nn.Module) -> Net:
        for name, value, right in (
            ("n_clusters", self.n_clusters, 2 <= self.n_clusters <= self.n_items_),
            ("unroll", self.unroll, 0 < self.unroll < 1),
            ("near", self.near, self.near >= 1),
        ):
            if not right:
                raise InputError(f"{name}={value!r} for {self.n_items_} examples: n_clusters is 2 to n, unroll in (0, 1), near at least 1")
        return Net(encode=encoder, project=nn.Linear(encoder.width, self.dim), state=Partition(self.n_items_, self.near))

    def default_views(self, kind: str) -> Any:
        return whole

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return F.normalize(net.project(net.encode(x)).float(), dim=1)

    def before_epoch(self, net: Net, data: Source) -> None:
        epoch, state = int(net.state.epochs), net.state
        state.epochs += 1
        if epoch % int(state.length):
            return
        if epoch == 0:  # nothing is learned yet: the first clusters come from the examples as they are
            raw = self.inputs_.kind != "text"
            Z = outputs(net, lambda x: x.flatten(1), data).cpu().numpy() if raw else self.embed_all(net, data)
            graph, nearest = neighbours(Z, self.k)
            labels = chains(nearest)
            state.length.fill_(max(1, plan(self, len(data)).epochs // max(1, len(self.counts(labels)))))
        else:
            Z = self.embed_all(net, data)
            graph, _ = neighbours(Z, self.k)
            labels = state.labels.cpu().numpy()
        labels = merge(Z, graph, labels, next(iter(self.counts(labels)), self.n_clusters), near=self.near)
        state.labels.copy_(same_on_every_rank(torch.from_numpy(labels)))
        state.near.copy_(same_on_every_rank(torch.from_numpy(nearest_clusters(Z, graph, labels, self.near)[labels])))

    def counts(self, labels: np.ndarray) -> list[int]:
        return periods(int(labels.max()) + 1, self.n_clusters, self.unroll)

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        """Groups of one anchor, another of its cluster, and one of every near cluster: at random they would seldom meet in a batch."""
        labels, near = net.state.labels.cpu(), net.state.near.cpu()
        members, sizes = labels.argsort(stable=True), labels.bincount()
        starts, place = sizes.cumsum(0) - sizes, torch.empty_like(labels)
        place[members] = torch.arange(n)
        anchors = torch.randperm(n, generator=generator)[: -(-n // (2 + self.near))]
        own, chance = labels[anchors], torch.rand(2, len(anchors), self.near, generator=generator)
        step = 1 + (chance[0, :, 0] * (sizes[own] - 1)).long()  # to another member; where there is none, back to itself
        partner = members[starts[own] + (place[anchors] - starts[own] + step) % sizes[own]]
        others = torch.where(near[anchors] >= 0, near[anchors], own[:, None])
        negatives = members[starts[others] + (chance[1] * sizes[others]).long()]
        return torch.cat([anchors[:, None], partner[:, None], negatives], dim=1).flatten()[:n]

    def loss(self, net: Net, batch: Batch) -> Tensor:
        z, index = gather_rows(self.embed(net, batch.views[0])), gather_rows(batch.index)
        labels = net.state.labels[index]
        same = (labels[:, None] == labels) & (index[:, None] != index)
        near = (net.state.near[index][:, :, None] == labels).any(dim=1)
        anchors = (same.any(dim=1) & near.any(dim=1)).nonzero()[:, 0]  # a cluster of one has no positive
        if not len(anchors):
            return z.sum() * 0
        positives, negatives = (torch.multinomial(mask[anchors].float(), self.near, replacement=True).flatten() for mask in (same, near))
        return triplet(z[anchors.repeat_interleave(self.near)], z[positives], z[negatives], "margin", self.margin, self.gamma)

    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        super().fit(X, y, **options)
        Z, labels = self._embed(self._items(X, reset=False)), self.net_.state.labels.numpy()
        if self.recluster or labels.min() < 0:
            labels = agglomerate(Z, self.n_clusters, k=self.k, near=self.near)
        elif labels.max() + 1 > self.n_clusters:  # fewer epochs than periods
            labels = merge(Z, neighbours(Z, self.k)[0], labels, self.n_clusters, near=self.near)
        self.net_.state.labels.copy_(torch.from_numpy(labels))
        return self

    @property
    def labels_(self) -> np.ndarray:
        return self.net_.state.labels.cpu().numpy()
