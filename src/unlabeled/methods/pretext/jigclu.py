"""JigClu."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.dense import feature_map
from unlabeled.parts.gather import gather_rows, own_rows
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import supcon
from unlabeled.views.images import ImagePolicy, augment, to_batch


@dataclass(frozen=True)
class PieceViews:
    """Each picture cut into grid x grid overlapping pieces, row by row, each cropped and coloured on its own.

    A piece is a cell enlarged by `overlap` of the picture's side towards the middle. Returns grid * grid tensors
    [n, C, side / grid, side / grid].
    """

    policy: ImagePolicy = ImagePolicy(scale=(0.36, 1.0))
    grid: int = 2
    overlap: float = 0.3

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        batch = to_batch(images) if images.dtype == torch.uint8 else images
        share, size, pieces = min(1.0, 1 / self.grid + self.overlap), min(batch.shape[2:]) // self.grid, []
        tall, wide = (round(side * share) for side in batch.shape[2:])
        for row in range(self.grid):
            for column in range(self.grid):
                top = round((batch.shape[2] - tall) * row / (self.grid - 1))
                left = round((batch.shape[3] - wide) * column / (self.grid - 1))
                piece = batch[:, :, top : top + tall, left : left + wide]
                pieces.append(augment(piece, self.policy, size, generator)[0])
        return pieces


@dataclass(kw_only=True, eq=False)
class JigClu(Learner):
    """Montages of pieces of different pictures: sort the pieces by picture, and say where in it each was. One pass a picture.

    Chen et al., 2021, "Jigsaw Clustering for Unsupervised Visual Representation Learning", arXiv:2104.00323.
    The paper: ResNet-50, SGD with lr 0.03, batches of 256, 200 epochs. Pictures only; views: the grid * grid pieces, row by
    row. The receptive field crosses the seams of a montage; the paper accepts that.
    """

    grid: int = 2
    overlap: float = 0.3
    dim: int = 128
    temperature: float = 0.3
    cluster: float = 1.0  # weight of sorting by picture
    location: float = 1.0  # weight of saying the place
    mixed: bool = True  # over the batch; otherwise pieces stay in their picture's montage

    def default_views(self, kind: str) -> Any:
        return PieceViews(grid=self.grid, overlap=self.overlap)

    def build(self, encoder: nn.Module) -> Net:
        if self.inputs_.kind != "image":
            raise InputError(f"JigClu cuts pictures into pieces, the data are {self.inputs_.kind}s: choose simclr")
        if self.grid < 2:
            raise InputError(f"grid must be at least 2, got {self.grid!r}")
        project = mlp(encoder.width, encoder.width, self.dim, norm=False)
        return Net(encode=encoder, project=project, locate=nn.Linear(encoder.width, self.grid**2))

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        m, places = self.grid, self.grid**2
        if len(batch.views) != places:
            raise InputError(f"JigClu with grid={m} wants {places} pieces of each picture, the views gave {len(batch.views)}")
        pieces = torch.cat([gather_rows(view) for view in batch.views])  # place by place, of all processes
        n = len(pieces) // places
        # One permutation over the whole batch: a montage's cells come from different pictures.
        order = torch.randperm(len(pieces)) if self.mixed else _within(n, places)
        order = own_rows(order.to(pieces.device))
        montage = pieces[order].unflatten(0, (-1, m, m)).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        cells = F.adaptive_avg_pool2d(feature_map(net.encode, montage), m)
        h = cells.permute(0, 2, 3, 1).flatten(0, 2)  # piece by piece, in the order of `order`
        return {
            "cluster": self.cluster * supcon(net.project(h), order % n, self.temperature),
            "location": self.location * F.cross_entropy(net.locate(h).float(), order // n),
        }


def _within(n: int, places: int) -> Tensor:
    """An order of pieces in which each montage keeps to one picture: int64 [n * places]."""
    return (torch.rand(n, places).argsort(dim=1) * n + torch.arange(n)[:, None]).flatten()
