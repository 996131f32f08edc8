"""Invariance propagation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Net
from unlabeled.methods.contrastive.instance_discrimination import InstanceDiscrimination
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.losses import mean_where, unit


class Neighbours(nn.Module):
    """The k nearest examples of every example as last seen, int64 [n, k]; before that the example itself."""

    def __init__(self, n: int, k: int):
        super().__init__()
        self.register_buffer("table", torch.arange(n)[:, None].repeat(1, k))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def walk(self, index: Tensor, levels: int) -> Tensor:
        """All that is reached from `index` [n] in at most so many hops: [n, k + k^2 + ...], as often as paths lead there."""
        reached = [self.table[index]]
        for _ in range(levels - 1):
            reached.append(self.table[reached[-1]].flatten(1))
        return torch.cat(reached, dim=1)


@dataclass(kw_only=True, eq=False)
class InvariancePropagation(InstanceDiscrimination):
    """Instance discrimination against its hardest negatives, and positives found by walking from neighbour to neighbour.

    Wang, Liu, Guo and Fei, 2020, "Unsupervised Representation Learning by Invariance Propagation", arXiv:2010.11694.
    Of the examples that such a walk reaches, the least similar are pulled nearest. The paper's settings for ImageNet:
    optimizer="sgd", lr=0.03, warmup=0, encoder="resnet50", epochs=800, temperature=0.07, background=4096, positives=50 (20
    on CIFAR), start=30 / 800. With weight=0 and background=None it is instance discrimination, step by step.
    Departure: an example is never among its own positives.
    """

    k: int = 4  # neighbours kept of each example
    levels: int = 3  # hops of the walk; 1 is plain nearest neighbours
    positives: int = 20  # how many of those reached are pulled
    hard: bool = True  # the least similar of them; False: the most similar
    background: int | None = 512  # most similar examples that are told apart; None: all
    weight: float = 0.6  # of the propagated positives
    start: float = 0.3  # share of the training before they count: the table has to mean something by then

    def build(self, encoder: nn.Module) -> Net:
        n = self.n_items_
        if self.negatives is not None or self.proximal:
            raise InputError("invariance propagation compares with the whole bank: leave negatives at None and proximal at 0")
        if not 1 <= self.k < n or self.levels < 1 or self.positives < 1:
            raise InputError(f"wanted 1 <= k < {n} items, levels and positives >= 1, got {self.k}, {self.levels}, {self.positives}")
        if self.background is not None and self.background < 2:
            raise InputError(f"background must be at least 2 (the example and one other), or None for all, got {self.background!r}")
        net = super().build(encoder)
        net.neighbours = Neighbours(n, self.k)
        return net

    def loss(self, net: Net, batch: Batch) -> Tensor | dict[str, Tensor]:
        batch.z = unit(net.project(net.encode(batch.views[0])))  # [n, dim]
        logits, itself = net.bank(batch.z) / self.temperature, batch.index[:, None]
        own, others = logits.gather(1, itself), logits.scatter(1, itself, float("-inf"))
        batch.nearest = others.detach().topk(self.k, dim=1).indices
        if self.background is not None:
            others = others.topk(min(self.background, len(net.bank.rows)) - 1, dim=1).values
        background = others.logsumexp(dim=1, keepdim=True)
        instance = (torch.logaddexp(own, background) - own).mean()
        if not self.weight or int(net.neighbours.step) < self.start * self.steps_:
            return instance

        reached = net.neighbours.walk(batch.index, self.levels)  # [n, k + k^2 + k^3]
        gone = reached == itself
        rank = logits.detach().gather(1, reached).masked_fill(gone, float("inf") if self.hard else float("-inf"))
        chosen = rank.topk(min(self.positives, rank.shape[1]), dim=1, largest=not self.hard).indices
        pulled = logits.gather(1, reached).masked_fill(gone, -1e4).gather(1, chosen).logsumexp(dim=1)  # a sum inside the log
        found = (~gone).any(dim=1)
        return {"instance": instance, "propagated": self.weight * mean_where(background[:, 0] - pulled, found)}

    def after_step(self, net: Net, batch: Batch) -> None:
        super().after_step(net, batch)
        net.neighbours.table[gather_rows(batch.index)] = gather_rows(batch.nearest)
        net.neighbours.step += 1

    @property
    def neighbours_(self) -> Tensor:
        """The nearest examples of each as last seen in training, int64 [n, k]."""
        return self.net_.neighbours.table
