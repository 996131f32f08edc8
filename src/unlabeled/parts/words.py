"""A vocabulary of visual words that is renewed while the network that they come from learns."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unlabeled.parts.gather import gather_rows, own_rows, world
from unlabeled.parts.memory import Queue


class VisualWords(Queue):
    """The last `size` local vectors that were added, and bags of words by them. Gidaris et al., 2020, arXiv:2012.11552.

    A cell belongs to word k by softmax(-sharpness * squared distance / mu), where mu, the mean squared distance of a cell to its
    nearest word, follows the features' scale.
    """

    def __init__(self, size: int, width: int, sharpness: float, reduce: str = "max"):
        super().__init__(size, width, unit=False)
        self.sharpness, self.reduce = sharpness, reduce
        self.register_buffer("mu", torch.ones(()))

    @torch.no_grad()
    def bags(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Which words each picture has, [n, words], rows sum to 1; and mu as this batch has it. cells: [n, cells, width]."""
        squared = torch.cdist(cells.flatten(0, 1), self.vectors).square()
        soft = (-squared * self.sharpness / self.mu).softmax(dim=1).view(*cells.shape[:2], -1)  # over words, not cells
        bag = soft.amax(dim=1) if self.reduce == "max" else soft.mean(dim=1)
        return F.normalize(bag, p=1, dim=1), gather_rows(squared.amin(dim=1).mean()[None]).mean()

    @torch.no_grad()
    def start(self, cells: Tensor, fresh: Tensor) -> None:
        """The first words are those of the first batch: the vocabulary grows batch by batch until it is full."""
        self.add(fresh)
        self.mu.copy_(self.bags(cells)[1])


def cells(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Of maps [n, width, h, w] the vectors without the border, [n, cells, width], and one a picture, averaged over 3x3, [n, width]."""
    inner = maps.float()[:, :, 1:-1, 1:-1]
    local = F.avg_pool2d(inner, 3, stride=1).flatten(2)
    where = own_rows(torch.randint(local.shape[2], (world() * len(maps),), device=maps.device))
    return inner.flatten(2).transpose(1, 2), local[torch.arange(len(maps), device=maps.device), :, where]
