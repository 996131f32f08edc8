"""PixPro."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.dense import Map, cosines, feature_map, propagate, same_place
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import mean_where, negative_cosine
from unlabeled.parts.pseudo import outputs
from unlabeled.parts.teacher import Teacher
from unlabeled.views import ImageViews


@dataclass(kw_only=True, eq=False)
class PixPro(Learner):
    """Two crops agree wherever they show the same place: each pixel, smoothed over its like, finds the teacher's pixel there.

    Xie et al., 2020, "Propagate Yourself: Exploring Pixel-Level Consistency for Unsupervised Visual Representation Learning",
    arXiv:2011.10043. The paper: ResNet-50, hidden=4096, dim=256, momentum=0.99, LARS with lr 1.0, batches of 1024, 100 to 400 epochs.
    Pictures only; the views have to say their boxes: ImageViews(boxes=True). `maps` gives the features per place.
    """

    dim: int = 64
    hidden: int = 256
    objective: str = "consistency"  # or "contrast", the paper's PixContrast
    propagation: bool = True  # the pixel propagation module; without it a pixel stands for itself
    gamma: float = 2.0  # how sharply it prefers similar pixels
    transform_layers: int = 1  # of what it passes on: 0, 1 or 2
    pos_ratio: float = 0.7  # distance of centres that still counts as the same place, in diagonals of the larger bin
    momentum: float = 0.97  # of the teacher, rising to 1
    instance_weight: float = 0.0  # of a loss on whole pictures besides; the paper has 1 where it combines them
    temperature: float = 0.3  # of the contrast

    def default_views(self, kind: str) -> Any:
        return ImageViews(boxes=True)

    def build(self, encoder: nn.Module) -> Net:
        if self.inputs_.kind != "image":
            raise InputError(f"PixPro compares places of pictures, the data are {self.inputs_.kind}s: choose simsiam or byol")
        if self.objective not in ("consistency", "contrast") or self.transform_layers not in (0, 1, 2):
            raise InputError(f"wanted consistency or contrast and 0 to 2 layers, got {self.objective!r} and {self.transform_layers!r}")
        d, wide = self.dim, self.hidden
        heads = {"pixels": mlp(encoder.width, wide, d, spatial=True)}
        if self.propagation and self.objective == "consistency":
            heads["transform"] = [nn.Identity(), nn.Conv2d(d, d, 1), mlp(d, d, d, spatial=True)][self.transform_layers]
        if self.instance_weight:
            heads |= {"instance": mlp(encoder.width, wide, d, spatial=True), "predict": mlp(d, wide, d, spatial=True)}
        followed = {"encode": Map(encoder)} | {name: head for name, head in heads.items() if name in ("pixels", "instance")}
        teachers = {name: Teacher(module, momentum=self.momentum, steps=self.steps_) for name, module in followed.items()}
        return Net(encode=encoder, teacher=nn.ModuleDict(teachers), **heads)

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        student = [feature_map(net.encode, view) for view in batch.views[:2]]
        teacher = [net.teacher["encode"](view) for view in batch.views[:2]]
        swapped, terms = ((0, 1), (1, 0)), {}
        terms["pixels"] = sum(self.pixels(net, student[a], teacher[b], batch.boxes[a], batch.boxes[b]) for a, b in swapped)
        if self.instance_weight:
            terms["instance"] = self.instance_weight * sum(self.instance(net, student[a], teacher[b]) for a, b in swapped)
        return terms

    def pixels(self, net: Net, student: Tensor, teacher: Tensor, box: Tensor, other: Tensor) -> Tensor:
        x, key = net.pixels(student), net.teacher["pixels"](teacher)
        positive = same_place(box, other, x.shape[2:], key.shape[2:], self.pos_ratio)
        if self.objective == "contrast":
            logits = cosines(x, key) / self.temperature
            hit = logits.masked_fill(~positive, -1e4).logsumexp(dim=2)
            return mean_where(logits.logsumexp(dim=2) - hit, positive.any(dim=2)) / 2
        y = propagate(x, net.transform(x), self.gamma) if self.propagation else x
        agreement = (cosines(y, key) * positive).sum(dim=(1, 2)) / (positive.sum(dim=(1, 2)) + 1e-6)
        return -2 * agreement.mean()  # crops that share no place count as 0

    def instance(self, net: Net, student: Tensor, teacher: Tensor) -> Tensor:
        said, target = net.predict(net.instance(student)), net.teacher["instance"](teacher)
        return 2 * negative_cosine(said.mean(dim=(2, 3)), target.mean(dim=(2, 3)))

    def after_step(self, net: Net, batch: Batch) -> None:
        for teacher in net.teacher.values():
            teacher.update()

    def maps(self, X: Any) -> np.ndarray:
        """Features per place of each picture, float32 [n, width, h, w]."""
        source = Source(self._items(X, reset=False), self.net_.encode, self.inputs_)
        return outputs(self.net_, lambda x: feature_map(self.net_.encode, x), source).numpy()
