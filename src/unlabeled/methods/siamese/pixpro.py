"""PixPro."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, batches
from unlabeled.parts.dense import Map, feature_map
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import mean_where, negative_cosine
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

        def teacher(student: nn.Module) -> Teacher:
            return Teacher(student, momentum=self.momentum, steps=self.steps_)

        pixels = mlp(encoder.width, self.hidden, self.dim, spatial=True)
        layers = [nn.Identity(), nn.Conv2d(self.dim, self.dim, 1), mlp(self.dim, self.dim, self.dim, spatial=True)]
        used = self.transform_layers if self.objective == "consistency" and self.propagation else 0
        net = Net(encode=encoder, pixels=pixels, transform=layers[used])
        net.teacher, net.teacher_pixels = teacher(Map(encoder)), teacher(pixels)
        if self.instance_weight:
            net.instance = mlp(encoder.width, self.hidden, self.dim, spatial=True)
            net.predict = mlp(self.dim, self.hidden, self.dim, spatial=True)
            net.teacher_instance = teacher(net.instance)
        return net

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        boxes = batch.boxes
        student = [feature_map(net.encode, view) for view in batch.views[:2]]
        teacher = [net.teacher(view) for view in batch.views[:2]]
        terms = {"pixels": student[0].new_zeros(())}
        for a, b in ((0, 1), (1, 0)):
            y, key = net.pixels(student[a]), net.teacher_pixels(teacher[b])
            if self.objective == "consistency" and self.propagation:
                y = propagate(y, net.transform(y), self.gamma)
            positive = same_place(boxes[a], boxes[b], y.shape[2:], key.shape[2:], self.pos_ratio)
            with torch.autocast(y.device.type, enabled=False):
                cosine = F.normalize(y.float().flatten(2), dim=1).transpose(1, 2) @ F.normalize(key.float().flatten(2), dim=1)
            if self.objective == "consistency":  # crops that share no place count as 0
                agreement = (cosine * positive).sum(dim=(1, 2)) / (positive.sum(dim=(1, 2)) + 1e-6)
                terms["pixels"] = terms["pixels"] - 2 * agreement.mean()
            else:
                logits, found = cosine / self.temperature, positive.any(dim=2)
                hit = logits.masked_fill(~positive, -1e4).logsumexp(dim=2)
                terms["pixels"] = terms["pixels"] + mean_where(logits.logsumexp(dim=2) - hit, found) / 2
            if self.instance_weight:
                whole = net.predict(net.instance(student[a])).mean(dim=(2, 3))
                target = net.teacher_instance(teacher[b]).mean(dim=(2, 3))
                terms["instance"] = terms.get("instance", 0.0) + self.instance_weight * 2 * negative_cosine(whole, target)
        return terms

    def after_step(self, net: Net, batch: Batch) -> None:
        for module in net.children():
            if isinstance(module, Teacher):
                module.update()

    def maps(self, X: Any) -> np.ndarray:
        """Features per place of each picture, float32 [n, width, h, w]."""
        source = Source(self._items(X, reset=False), self.net_.encode, self.inputs_)
        with torch.inference_mode():
            return np.concatenate([feature_map(self.net_.encode, source.batch(rows)).numpy() for rows in batches(source.order())])


def propagate(x: Tensor, g: Tensor, gamma: float) -> Tensor:
    """Each pixel becomes the sum of all pixels' unit g, weighted by max(cosine of their x, 0)^gamma. x, g: [n, d, h, w]."""
    with torch.autocast(x.device.type, enabled=False):
        unit, passed = F.normalize(x.float().flatten(2), dim=1), F.normalize(g.float().flatten(2), dim=1)
        weight = (unit.transpose(1, 2) @ unit).clamp(min=0) ** gamma  # [n, i, j], symmetric
        return (passed @ weight).view_as(x)


def same_place(a: Tensor, b: Tensor, grid_a: Any, grid_b: Any, ratio: float) -> Tensor:
    """Which bins of two crops show the same place of the picture: bool [n, bins of a, bins of b].

    a, b: boxes [n, 4] (left, top, right, bottom in the picture's frame). A flipped crop's bins have a negative width, so
    that no special case is needed. The distance of two centres is measured in diagonals of the larger bin.
    """
    (centre_a, diagonal_a), (centre_b, diagonal_b) = (_bins(box, *grid) for box, grid in ((a, grid_a), (b, grid_b)))
    return torch.cdist(centre_a, centre_b) < ratio * torch.maximum(diagonal_a, diagonal_b)[:, None, None]


def _bins(box: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Centres of a crop's bins, [n, h * w, 2], row by row, and a bin's diagonal, [n]."""
    across, down = (box[:, 2] - box[:, 0]) / w, (box[:, 3] - box[:, 1]) / h
    x = box[:, :1] + (torch.arange(w, device=box.device) + 0.5) * across[:, None]
    y = box[:, 1:2] + (torch.arange(h, device=box.device) + 0.5) * down[:, None]
    centres = torch.stack([x[:, None, :].expand(-1, h, w), y[:, :, None].expand(-1, h, w)], dim=-1)
    return centres.flatten(1, 2), torch.hypot(across, down)
