"""Random views of a batch of token ids, int64 [n, length], 0 = padding. Tokens are whatever the encoder counts in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def pack(ids: Tensor, keep: Tensor | None = None) -> Tensor:
    """Drop the tokens where `keep` is False, close the gaps and cut the padding that all rows share.

    ids: int64 [n, length]; keep: bool [n, length]. Returns int64 [n, shorter length], at least one column.
    """
    if keep is not None:
        ids = ids * keep
    real = ids != 0
    order = (~real).to(torch.uint8).argsort(dim=1, stable=True)
    longest = max(1, int(real.sum(dim=1).max())) if len(ids) else 1
    return ids.gather(1, order[:, :longest])


def drop_tokens(ids: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Each token vanishes with probability `share`; a text keeps at least one."""
    real = ids != 0
    draw = torch.rand(ids.shape, generator=generator, device=ids.device)
    # The token with the luckiest draw stays, so that no text becomes empty.
    best = torch.where(real, draw, -1.0).argmax(dim=1, keepdim=True)
    keep = ((draw >= share) | torch.zeros_like(real).scatter(1, best, True)) & real
    return pack(ids, keep)


def crop_span(ids: Tensor, scale: tuple[float, float], generator: torch.Generator | None = None) -> Tensor:
    """One contiguous span of each text; its share of the tokens is uniform in `scale`. At least one token."""
    length = (ids != 0).sum(dim=1)
    share = torch.rand(len(ids), generator=generator, device=ids.device) * (scale[1] - scale[0]) + scale[0]
    span = (length * share).round().long().clamp(min=1)
    start = (torch.rand(len(ids), generator=generator, device=ids.device) * (length - span + 1).clamp(min=1)).long()
    place = torch.arange(ids.shape[1], device=ids.device)
    keep = (place >= start[:, None]) & (place < (start + span)[:, None])
    return pack(ids, keep)


@dataclass(frozen=True)
class TextViews:
    """Token dropout and span crop. Called with int64 [n, length] and a generator; returns a list of int64 [n, shorter]."""

    views: int = 2
    dropout: float = 0.3  # share of the tokens that vanish
    crop: tuple[float, float] = (0.5, 1.0)  # share of the text that a span keeps

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share of the tokens: wanted 0 <= dropout < 1, got {self.dropout!r}")
        if not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"crop is a range of shares: wanted 0 < low <= high <= 1, got {self.crop!r}")

    def __call__(self, ids: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        return [drop_tokens(crop_span(ids, self.crop, generator), self.dropout, generator) for _ in range(self.views)]
