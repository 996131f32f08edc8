"""DINO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, cat, nn

from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.by_size import encode_by_size
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.heads import Prototypes, mlp
from unlabeled.parts.teacher import Teacher
from unlabeled.views import views_for


@dataclass(kw_only=True, eq=False)
class DINO(Learner):
    """From any crop, say how a slow copy of the network sorts the large crops into classes that both make up.

    Caron et al., 2021, "Emerging Properties in Self-Supervised Vision Transformers", arXiv:2104.14294. Centring keeps one
    class from taking everything, sharpening (the teacher's lower temperature) keeps all from becoming alike.
    The paper: ViT-S/16, prototypes=65536, hidden=2048, momentum=0.996, 2 + 10 crops, AdamW, batches of 1024, 100 to 800
    epochs; it warms the teacher's temperature up, freezes the last layer for an epoch and has GELU in the head: left out here.
    """

    prototypes: int = 1024
    hidden: int = 512
    dim: int = 128  # bottleneck before the prototypes
    momentum: float = 0.97  # of the teacher, rising to 1
    temperature: float = 0.1
    teacher_temperature: float = 0.04
    centring: bool = True
    centre_momentum: float = 0.9
    global_views: int = 2  # the first views, which the teacher sees; the student sees all

    def default_views(self, kind: str) -> Any:
        return views_for(kind, views=2, local=4)

    def build(self, encoder: nn.Module) -> Net:
        project = mlp(encoder.width, self.hidden, self.hidden, self.dim, norm=False)  # a batch norm would centre by itself
        classify = Prototypes(self.dim, self.prototypes)
        teacher = Teacher(encoder, project, classify, momentum=self.momentum, steps=self.steps_)
        net = Net(encode=encoder, project=project, classify=classify, teacher=teacher)
        net.register_buffer("centre", torch.zeros(self.prototypes))
        return net

    def loss(self, net: Net, batch: Batch) -> Tensor:
        crops, n = batch.views, len(batch.views[0])
        encoded = encode_by_size(net.encode, crops)
        student = (net.classify(net.project(encoded)) / self.temperature).log_softmax(dim=1).split(n)
        seen = [net.teacher(crop) for crop in crops[: self.global_views]]
        batch.seen = cat(seen)
        targets = [((t - net.centre) / self.teacher_temperature).softmax(dim=1) for t in seen]
        terms = [-(t * s).sum(dim=1).mean() for i, t in enumerate(targets) for j, s in enumerate(student) if i != j]
        return torch.stack(terms).mean()

    def after_step(self, net: Net, batch: Batch) -> None:
        net.teacher.update()
        if self.centring:
            net.centre.lerp_(gather_rows(batch.seen).float().mean(dim=0), 1 - self.centre_momentum)
