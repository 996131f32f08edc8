"""An LSTM that reads a sequence from both ends, and its states as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlabeled.encoders.text import pool_tokens

POOLS = ("max", "mean", "last")


class BiLSTM(nn.Module):
    """forward: x [n, length, width_in], sizes int64 [n] (what stands behind is padding, which no state sees) -> [n, 2 hidden].

    pool: "max" or "mean" of the states over time, or "last", the last state of either direction. Of size 0: zeros.
    """

    def __init__(self, width_in: int, hidden: int, pool: str = "max"):
        super().__init__()
        # Two of one direction: torch's two-way LSTM sees the padding first from behind unless it gets packed sequences, and those take
        # twice as long on a CPU, four times in bfloat16.
        self.ahead, self.back = (nn.LSTM(width_in, hidden, batch_first=True) for _ in range(2))
        self.pool, self.width = pool, 2 * hidden

    def states(self, x: Tensor, sizes: Tensor) -> Tensor:
        """The states of both directions at every place, [n, length, 2 hidden]; at padding anything."""
        place, size = torch.arange(x.shape[1], device=x.device), sizes[:, None]
        turned = torch.where(place < size, size - 1 - place, place)  # its own inverse
        row = torch.arange(len(x), device=x.device)[:, None]
        return torch.cat([self.ahead(x)[0], self.back(x[row, turned])[0][row, turned]], dim=2)

    def forward(self, x: Tensor, sizes: Tensor) -> Tensor:
        states = self.states(x, sizes)
        if self.pool == "last":
            n, half = len(x), states.shape[2] // 2
            pooled = torch.cat([states[torch.arange(n, device=x.device), (sizes - 1).clamp(min=0), :half], states[:, 0, half:]], dim=1)
        else:
            # A text without any word keeps a place: the largest of none would be minus infinity, and its gradient no number.
            mask = torch.arange(states.shape[1], device=x.device) < sizes.clamp(min=1)[:, None]
            pooled = pool_tokens(states, mask, self.pool)
        return torch.where((sizes > 0)[:, None], pooled, 0.0)
