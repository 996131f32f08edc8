"""How a number changes over a training run."""

from __future__ import annotations

import math


def cosine(step: int, steps: int, start: float = 1.0, end: float = 0.0) -> float:
    """From `start` at step 0 to `end` at the last step along half a cosine. Loshchilov and Hutter, arXiv:1608.03983."""
    progress = min(1.0, step / max(1, steps))
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def warmup_cosine(step: int, steps: int, warmup: int = 0) -> float:
    """Factor of the learning rate: rises linearly for `warmup` steps, then falls to 0 along half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return cosine(step - warmup, max(1, steps - warmup))
