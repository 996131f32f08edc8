"""RotNet."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, batches
from unlabeled.views import ImagePolicy, ImageViews


@dataclass(kw_only=True, eq=False)
class RotNet(Learner):
    """Tell by how much a picture was turned. Only for pictures that have an upright; a flip or a crop does no harm to it.

    Gidaris, Singh and Komodakis, 2018, "Unsupervised Representation Learning by Predicting Image Rotations", arXiv:1803.07728.
    All turns of a picture are in one batch, which is len(angles) times batch_size pictures. The paper, CIFAR-10: NIN, 100 epochs,
    batch_size=128, optimizer="sgd", lr=0.1, weight_decay=5e-4; its features are those of a middle block, the last one serves the turns.
    """

    angles: tuple[int, ...] = (0, 90, 180, 270)  # degrees; quarter turns only move pixels, others interpolate inside a disc
    layer: int | None = None  # which block of the encoder gives the vectors, from 1; default: its output
    batch_size: int = 64  # pictures: with their turns 256 pass through the network
    examples: int = 75_000  # as many passes as two views of twice as many

    def default_views(self, kind: str) -> ImageViews:
        # No colour jitter: it hides nothing that gives the turn away. The crop is mild, so that most of the object stays.
        return ImageViews(views=1, policy=ImagePolicy(scale=(0.4, 1.0), jitter=0, grey=0))

    def build(self, encoder: nn.Module) -> Net:
        if self.inputs_.kind != "image":
            raise InputError(f"{type(self).__name__} turns pictures, it can't learn from {self.inputs_.kind}s")
        if len(set(a % 360 for a in self.angles)) < max(2, len(self.angles)):
            raise InputError(f"angles must be two or more different turns in degrees, got {self.angles!r}")
        check_layer(encoder, self.layer)
        return Net(encode=encoder, classify=nn.Linear(encoder.width, len(self.angles)))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        turned, labels = turn(batch.views[0], self.angles)
        return F.cross_entropy(self.turn_logits(net, net.encode(turned)).float(), labels)

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return super().embed(net, x) if self.layer is None else net.encode.layers(x)[self.layer - 1]

    def turn_logits(self, net: Net, features: Tensor) -> Tensor:
        """[n, width] -> [n, len(angles)]."""
        return net.classify(features)

    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        super().fit(X, y, **options)
        items, chance = self._items(X, reset=False), 1 / len(self.angles)
        sample = items.subset(np.unique(np.linspace(0, len(items) - 1, 500).astype(np.int64)))
        noise = math.sqrt(chance * (1 - chance) / (len(sample) * len(self.angles)))
        if self.loss_curve_ and self.rotation_accuracy(sample) < chance + 2 * noise:
            warnings.warn("turns are told no better than by chance: have the pictures an upright, was it trained enough?", stacklevel=2)
        return self

    def rotation_accuracy(self, X: Any) -> float:
        """Share of all turns of the pictures that are told right (a label-free test; by chance 1 / len(angles))."""
        check_is_fitted(self, "net_")
        source, right = Source(self._items(X, reset=False), self.net_.encode, self.inputs_), []
        with torch.inference_mode():
            for index in batches(np.arange(len(source)), 128):
                turned, labels = turn(source.batch(index), self.angles)
                right.append((self.turn_logits(self.net_, self.net_.encode(turned)).argmax(dim=1) == labels).float().view(-1, len(index)))
        return float(torch.cat(right, dim=1).mean())


def turn(images: Tensor, angles: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Each picture's central square turned by each angle, counter-clockwise: [len(angles) * n, C, s, s] and the number of the angle.

    If one angle is no quarter turn all turns are cut to the inner disc: black corners would give the others away.
    """
    side = min(images.shape[2:])
    top, left = ((length - side) // 2 for length in images.shape[2:])
    images = images[:, :, top : top + side, left : left + side]
    quarters = not any(angle % 90 for angle in angles)
    turned = [torch.rot90(images, angle // 90, dims=(2, 3)) if angle % 90 == 0 else _rotate(images, angle) for angle in angles]
    labels = torch.arange(len(angles), device=images.device).repeat_interleave(len(images))
    if quarters:
        return torch.cat(turned), labels
    place = (torch.arange(side, device=images.device) + 0.5) * 2 / side - 1
    disc = place.square()[:, None] + place.square() <= 1
    return torch.cat(turned) * disc, labels


def _rotate(images: Tensor, degrees: float) -> Tensor:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = images.new_tensor([[c, -s, 0], [s, c, 0]]).expand(len(images), 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def check_layer(encoder: nn.Module, layer: int | None) -> None:
    """InputError where the encoder has no block of that number."""
    if layer is None:
        return
    blocks = len(encoder.blocks) if hasattr(encoder, "layers") and hasattr(encoder, "blocks") else 0
    if layer not in range(1, blocks + 1):
        raise InputError(f"layer={layer!r}: this encoder has {blocks} blocks to take vectors from (conv5 has 5), None takes its output")
