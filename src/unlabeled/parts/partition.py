"""Clusters of n examples as a training sees them: batches in which a cluster meets its rivals, and triplets from them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.parts.gather import same_on_every_rank


class Partition(nn.Module):
    """The cluster of each of n examples and the clusters that its negatives come from (-1: none), all saved in checkpoints.

    For the training's own count: `epochs` so far, and `length` of a period in epochs.
    """

    labels: Tensor  # int64 [n]
    rivals: Tensor  # int64 [n, rivals]

    def __init__(self, n: int, rivals: int):
        super().__init__()
        self.register_buffer("labels", torch.full((n,), -1))
        self.register_buffer("rivals", torch.full((n, rivals), -1))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.long))
        self.register_buffer("length", torch.ones((), dtype=torch.long))

    def set(self, labels: np.ndarray) -> None:
        """labels: int64 [n], 0 .. c - 1."""
        self.labels.copy_(same_on_every_rank(torch.from_numpy(labels)))

    def oppose(self, near: np.ndarray) -> None:
        """Rivals are the clusters named, int64 [c, rivals], for each cluster."""
        self.rivals.copy_(same_on_every_rank(torch.from_numpy(near[self.labels.cpu().numpy()])))

    def oppose_any(self, seed: int) -> None:
        """Rivals are any other clusters, drawn for each example."""
        c = int(self.labels.max()) + 1
        step = torch.randint(1, max(c, 2), self.rivals.shape, generator=torch.Generator().manual_seed(seed))
        self.rivals.copy_((self.labels.cpu()[:, None] + step) % c)

    def order(self, n: int, generator: torch.Generator) -> Tensor:
        """n examples in groups of one anchor, another of its cluster, and one of every rival; at random they would seldom meet."""
        labels, rivals = self.labels.cpu(), self.rivals.cpu()
        members, sizes = labels.argsort(stable=True), labels.bincount()
        starts, place = sizes.cumsum(0) - sizes, torch.empty_like(labels)
        place[members] = torch.arange(len(labels))
        anchors = torch.randperm(len(labels), generator=generator)[: -(-n // (2 + rivals.shape[1]))]
        own, chance = labels[anchors], torch.rand(2, *rivals[anchors].shape, generator=generator)
        step = 1 + (chance[0, :, 0] * (sizes[own] - 1)).long()  # to another member; where there is none, back to itself
        partner = members[starts[own] + (place[anchors] - starts[own] + step) % sizes[own]]
        others = torch.where(rivals[anchors] >= 0, rivals[anchors], own[:, None])
        negatives = members[starts[others] + (chance[1] * sizes[others]).long()]
        return torch.cat([anchors[:, None], partner[:, None], negatives], dim=1).flatten()[:n]

    def triplets(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places in the batch `index` of anchors, positives and negatives, [m] each; m = 0 where no cluster has two of the batch.

        For every anchor that has both, as many pairs as it has rivals: a positive of its own cluster and a negative of a rival.
        """
        labels, rivals = self.labels[index], self.rivals[index]
        same = (labels[:, None] == labels) & (index[:, None] != index)
        other = (rivals[:, :, None] == labels).any(dim=1) & (labels[:, None] != labels)
        anchors = (same.any(dim=1) & other.any(dim=1)).nonzero()[:, 0]
        if not len(anchors):
            return anchors, anchors, anchors
        times = rivals.shape[1]
        positives, negatives = (torch.multinomial(mask[anchors].float(), times, replacement=True).flatten() for mask in (same, other))
        return anchors.repeat_interleave(times), positives, negatives
