"""Random views of a batch of vectors or table rows, float32 [n, d]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def add_noise(x: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Gaussian noise of `strength` times each feature's standard deviation in the batch."""
    scale = x.std(dim=0, unbiased=False) * strength
    return x + torch.randn(x.shape, generator=generator, device=x.device) * scale


def corrupt(x: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Replace a random `share` of each row's features by the same features of other rows, drawn one by one.

    Those are draws from the batch's marginals, as in SCARF. Bahri et al., 2021, arXiv:2106.15147.
    """
    donor = torch.randint(len(x), x.shape, generator=generator, device=x.device)
    hit = torch.rand(x.shape, generator=generator, device=x.device) < share
    return torch.where(hit, x.gather(0, donor), x)


def mix_neighbours(x: Tensor, strength: float, k: int = 5, generator: torch.Generator | None = None) -> Tensor:
    """Move each row by a uniform share up to `strength` towards one of its k nearest rows of the batch."""
    k = min(k, len(x) - 1)
    if k < 1:
        return x
    scaled = x / x.std(dim=0, unbiased=False).clamp(min=1e-6)
    near = torch.cdist(scaled, scaled).fill_diagonal_(float("inf")).topk(k, largest=False).indices
    pick = torch.randint(k, (len(x), 1), generator=generator, device=x.device)
    share = torch.rand(len(x), 1, generator=generator, device=x.device) * strength
    return x + share * (x[near.gather(1, pick)[:, 0]] - x)


@dataclass(frozen=True)
class VectorViews:
    """Noise, feature corruption and mixing with neighbours. Called with float32 [n, d]; returns a list of float32 [n, d]."""

    views: int = 2
    noise: float = 0.1
    corruption: float = 0.3
    mixup: float = 0.3
    neighbours: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.corruption <= 1 or not 0 <= self.mixup <= 1 or self.noise < 0:
            raise ValueError(f"corruption and mixup lie in [0, 1], noise is at least 0: got {self}")

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        return [self._one(x, generator) for _ in range(self.views)]

    def _one(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.mixup:
            x = mix_neighbours(x, self.mixup, self.neighbours, generator)
        if self.corruption:
            x = corrupt(x, self.corruption, generator)
        return add_noise(x, self.noise, generator) if self.noise else x
