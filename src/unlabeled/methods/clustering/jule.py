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
from unlabeled.parts.dense import flat, flat_width
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.losses import triplet
from unlabeled.parts.partition import Partition
from unlabeled.parts.pseudo import draw, outputs
from unlabeled.views.whole import whole


@dataclass(kw_only=True, eq=False)
class JULE(Learner):
    """Learn what tells small clusters apart, merge them by it, learn again: clusters and features of a few thousand examples.

    Yang, Parikh and Batra, 2016, "Joint Unsupervised Learning of Deep Representations and Image Clusters", arXiv:1604.03628.
    As in the authors' code the first period trains on chains of neighbours in the raw data, negatives come from any other cluster
    (the text says near ones, but of many small clusters those are mostly of one kind), and nothing is trained on the last, wholly
    merged clusters, whose mistakes would be learned by heart. The epochs are shared equally by the periods. The paper: 20 epochs
    a period, batch_size=100, optimizer="sgd", lr=0.01, unroll=0.2 for many small clusters. `labels_`: int64 [n].
    """

    n_clusters: int = 10
    k: int = 20  # neighbours in the graph
    near: int = 5  # clusters that count as near: merges are chosen among them
    negatives: str = "any"  # other cluster, or "near" ones; `near` of them for each pair of a cluster
    unroll: float = 0.9  # share of the clusters that a period merges away
    margin: float = 0.2
    gamma: float = 1.0  # weight of the positives' distance
    dim: int = 160  # of the vectors, which have unit length
    recluster: bool = True  # in the end cluster the final vectors from the beginning (the paper's RC), else go on merging (SF)
    whiten: float | None = 0.0

    def build(self, encoder: nn.Module) -> Net:
        for name, value, right in (
            ("n_clusters", self.n_clusters, 2 <= self.n_clusters <= self.n_items_),
            ("unroll", self.unroll, 0 < self.unroll < 1),
            ("near", self.near, self.near >= 1),
            ("negatives", self.negatives, self.negatives in ("any", "near")),
        ):
            if not right:
                wanted = 'n_clusters is 2 to n, unroll in (0, 1), near at least 1, negatives "any" or "near"'
                raise InputError(f"{name}={value!r} for {self.n_items_} examples: {wanted}")
        width = flat_width(encoder, self.inputs_)  # with its places, as in the paper: pooled, strokes are nowhere
        return Net(encode=encoder, project=nn.Linear(width, self.dim), state=Partition(self.n_items_, self.near))

    def default_views(self, kind: str) -> Any:
        return whole

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return F.normalize(net.project(flat(net.encode, x)).float(), dim=1)

    def before_epoch(self, net: Net, data: Source) -> None:
        state, epoch = net.state, int(net.state.epochs)
        state.epochs += 1
        if not epoch:  # nothing is learned yet: the first clusters come from the examples as they are
            raw = self.inputs_.kind != "text"
            Z = outputs(net, lambda x: x.flatten(1), data).cpu().numpy() if raw else self.embed_all(net, data)
            graph, nearest = neighbours(Z, self.k)
            state.set(chains(nearest))
            state.length.fill_(max(1, plan(self, len(data)).epochs // max(1, len(self.counts(self.labels_of(net))))))
        elif epoch % int(state.length) == 0 and len(counts := self.counts(self.labels_of(net))) > 1:
            Z = self.embed_all(net, data)
            graph, _ = neighbours(Z, self.k)
            state.set(merge(Z, graph, self.labels_of(net), counts[0], near=self.near))
        elif self.negatives == "near":
            return
        if self.negatives == "near":
            state.oppose(nearest_clusters(Z, graph, self.labels_of(net), self.near))
        else:
            state.oppose_any(draw(self.seed, epoch))

    def labels_of(self, net: Net) -> np.ndarray:
        return net.state.labels.cpu().numpy()

    def counts(self, labels: np.ndarray) -> list[int]:
        return periods(int(labels.max()) + 1, self.n_clusters, self.unroll)

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        return net.state.order(n, generator)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        z = gather_rows(self.embed(net, batch.views[0]))
        anchors, positives, negatives = net.state.triplets(gather_rows(batch.index))
        if not len(anchors):  # a cluster of one has no positive
            return z.sum() * 0
        return triplet(z[anchors], z[positives], z[negatives], "margin", self.margin, self.gamma)

    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        super().fit(X, y, **options)
        Z, labels = self._embed(self._items(X, reset=False)), self.labels_
        if self.recluster or labels.min() < 0:
            labels = agglomerate(Z, self.n_clusters, k=self.k, near=self.near)
        else:
            labels = merge(Z, neighbours(Z, self.k)[0], labels, self.n_clusters, near=self.near)
        self.net_.state.labels.copy_(torch.from_numpy(labels))
        return self

    @property
    def labels_(self) -> np.ndarray:
        return self.labels_of(self.net_)
