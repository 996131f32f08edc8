"""MoCo v2, and its options for choosing negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import easy, info_nce, unit
from unlabeled.parts.memory import Queue
from unlabeled.parts.teacher import Teacher


@dataclass(kw_only=True, eq=False)
class MoCo(Learner):
    """A view finds the other one, as a slow copy of the network sees it, among a queue of earlier such keys.

    Chen, Fan, Girshick and He, 2020, "Improved Baselines with Momentum Contrastive Learning", arXiv:2003.04297 (v2: a hidden
    layer in the head, stronger views, a cosine schedule; v1: arXiv:1911.05722). The paper's settings for ImageNet:
    optimizer="sgd", lr=0.03, warmup=0, encoder="resnet50", epochs=200, hidden=2048, queue=65536, momentum=0.999.
    dual_view, hard_ratio and filter_quantile are off in MoCo v2: see `MoCoDualHard`.
    """

    dim: int = 128  # of queries and keys
    hidden: int | None = 256  # width of the head's hidden layer; None: a linear head, as in v1
    queue: int = 1024  # keys that are remembered; of small data not more than a few batches
    momentum: float = 0.99  # of the network that makes the keys
    temperature: float = 0.2
    splits: int = 8  # parts of the batch that keys are normalised in, at random: else batch norm tells which key is whose
    dual_view: bool | str = False  # True: each view asks for the other; "keygrad": the key also asks for its query
    hard_ratio: float | None = None  # share of the queue kept as negatives, the most similar ones
    filter_quantile: float | None = None  # negatives more similar than this quantile of the queue are dropped: likely of one kind
    choose_after: float = 1 / 6  # share of the training in which all negatives count

    def build(self, encoder: nn.Module) -> Net:
        if self.dual_view not in (False, True, "keygrad"):
            raise InputError(f'dual_view must be False, True or "keygrad", got {self.dual_view!r}')
        for name in ("hard_ratio", "filter_quantile"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} must lie in (0, 1] or be None, got {getattr(self, name)!r}")
        if self.splits < 1:
            raise InputError(f"splits must be at least 1, got {self.splits!r}")
        project = mlp(encoder.width, *([self.hidden] if self.hidden else []), self.dim, norm=False)
        teacher = Teacher(encoder, project, momentum=self.momentum)
        return Net(encode=encoder, project=project, teacher=teacher, queue=Queue(self.queue, self.dim))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        views = batch.views[:2]
        pairs = [(views[0], views[1]), (views[1], views[0])] if self.dual_view is True else [views]
        queue, losses, keys = net.queue.vectors, [], []
        choosing = self.hard_ratio is not None or self.filter_quantile is not None
        choosing = choosing and len(queue) > 0 and int(net.teacher.step) >= self.choose_after * self.steps_
        for asking, answering in pairs:
            query, key = net.project(net.encode(asking)), self.keys(net, answering)
            for a, b in [(query, key), (key, query)] if self.dual_view == "keygrad" else [(query, key)]:
                exclude = left_out(unit(a) @ queue.T, self.hard_ratio, self.filter_quantile) if choosing else None
                losses.append(info_nce(a, b, temperature=self.temperature, negatives=queue, exclude=exclude))
            keys.append(key)
        batch.keys = torch.stack(keys, dim=1).flatten(0, 1)
        return torch.stack(losses).mean()

    def keys(self, net: Net, view: Tensor) -> Tensor:
        """The slow network's vectors, no gradient; in random parts of the batch, so that batch norm mixes other examples."""
        parts = torch.randperm(len(view), device=view.device).tensor_split(min(self.splits, max(1, len(view) // 4)))
        keys = torch.cat([net.teacher(view[part]) for part in parts])
        return keys[torch.cat(parts).argsort()]

    def after_step(self, net: Net, batch: Batch) -> None:
        net.teacher.update()
        net.queue.add(batch.keys)


@torch.no_grad()
def left_out(similarity: Tensor, hard_ratio: float | None, filter_quantile: float | None) -> Tensor:
    """Negatives that don't count, bool like similarity [n, m]: all but the hardest share, and of those the suspiciously similar.

    At least one negative a row stays.
    """
    gone = easy(similarity, hard_ratio if hard_ratio is not None else 1.0)
    if filter_quantile is not None:
        too_near = similarity > similarity.kthvalue(int(filter_quantile * (similarity.shape[1] - 1)) + 1, dim=1, keepdim=True).values
        gone = gone | (too_near & ~(gone | too_near).all(dim=1, keepdim=True))
    return gone
