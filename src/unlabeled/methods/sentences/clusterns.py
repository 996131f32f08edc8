"""ClusterNS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Net
from unlabeled.methods.sentences.sentence_contrast import SentenceContrast
from unlabeled.parts.centroids import bidirectional_margin, false_negatives, farthest_chain, nearest
from unlabeled.parts.checks import number, whole
from unlabeled.parts.gather import gather_rows, rank
from unlabeled.parts.losses import unit


@dataclass(kw_only=True, eq=False)
class ClusterNS(SentenceContrast):
    """SimCSE whose hard negatives are cluster centres, and which doesn't push away what is in one cluster.

    Deng, Wan, Yang, Quan and Wang, 2023, "Clustering-Aware Negative Sampling for Unsupervised Sentence Representation",
    arXiv:2305.09892. Centres move with the batches. A sentence's second nearest centre is its hard negative; sentences of its
    own cluster are no negatives, but held a little further than its positive by the bidirectional margin loss. With both off it
    is SimCSE. fit takes texts, transform gives float32 [n, width]; InputError as for every sentence encoder.

    >>> vectors = ClusterNS().fit(sentences).transform(sentences)

    Departures: centres are made unit after each step, by the mean of their members; at most `most_masked` of a batch's pairs
    count as false negatives, the most similar ones, or a few large clusters would leave nothing to learn from.
    """

    k: int = 32  # clusters; at most as many as a batch has sentences
    start_cosine: float = 0.4  # clustering begins once the mean cosine of a batch is at most this: before, all is one cluster
    momentum: float = 1e-2  # share of a centre that a batch's members replace
    hard_negatives: bool = True
    hard_weight: float = 1.0  # added to the logit of a sentence's own hard negative; those of the others count as they are
    false_negatives: bool = True
    bml: tuple[float, float] = (0.05, 0.5)  # how much less like a sentence than its positive its cluster is held: between these
    bml_weight: float = 0.1
    most_masked: float = 0.2

    def check(self) -> None:
        super().check()
        whole("k", self.k, 2)
        number("start_cosine", self.start_cosine, -1, 1)
        number("momentum", self.momentum, 0, 1)
        number("hard_weight", self.hard_weight)
        number("bml_weight", self.bml_weight, 0)
        number("most_masked", self.most_masked, 0, 1)
        if len(self.bml) != 2 or not self.bml[0] <= self.bml[1]:
            raise InputError(f"bml={self.bml!r}: wanted two numbers, the smaller one first")

    def build(self, encoder: nn.Module) -> Net:
        net = super().build(encoder)
        net.register_buffer("centroids", torch.zeros(min(self.k, self.batch_size, self.n_items_), encoder.width))
        net.register_buffer("clustering", torch.tensor(False))
        return net

    def negatives(self, net: Net, batch: Batch, z: Tensor, positive: Tensor) -> dict[str, Any]:
        batch.z = gather_rows(unit(z.detach()))  # for after_step
        if not net.clustering or not (self.hard_negatives or self.false_negatives):
            return {}
        found: dict[str, Any] = {}
        batch.own, second = self.assigned(net, batch.z)
        mine = torch.arange(len(z), device=z.device) + rank() * len(z)
        if self.hard_negatives:
            found["extra"] = net.centroids[second[mine]].clone()
            shift = torch.zeros(len(z), len(second), device=z.device)
            shift[torch.arange(len(z)), mine] = self.hard_weight
            found["extra_weights"] = shift.exp()
        if self.false_negatives:
            with torch.autocast(z.device.type, enabled=False):
                cosine = unit(z) @ gather_rows(unit(positive)).T
            same = false_negatives(batch.own, cosine.detach(), mine, self.most_masked)
            found["weights"] = (~same).float()
            batch.penalty = self.bml_weight * bidirectional_margin(cosine, same, mine, *self.bml)
        return found

    def loss(self, net: Net, batch: Batch) -> Any:
        contrast = super().loss(net, batch)
        return contrast + batch.penalty if "penalty" in vars(batch) else contrast

    def after_step(self, net: Net, batch: Batch) -> None:
        n = len(batch.z)
        if not net.clustering:
            if (batch.z.sum(dim=0).square().sum() - n) / (n * (n - 1)) <= self.start_cosine and n >= len(net.centroids):
                net.centroids.copy_(farthest_chain(batch.z, len(net.centroids)))
                net.clustering.fill_(True)
            return
        own, _ = nearest(batch.z, net.centroids)
        members = F.one_hot(own, len(net.centroids)).float()
        mean = unit(members.T @ batch.z)  # of a centre without members: zeros, and it stays
        net.centroids.copy_(unit(torch.lerp(net.centroids, mean, self.momentum * (members.sum(dim=0) > 0).float()[:, None])))

    def assigned(self, net: Net, z: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest and the second nearest centre of each row, int64 [n] each."""
        return nearest(z, net.centroids)
