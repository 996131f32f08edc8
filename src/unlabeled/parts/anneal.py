"""Training until held-out examples get no better: the rate falls where they don't, and the best epoch stays."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn


def anneal(
    net: nn.Module,
    epoch: Callable[[float], float],
    score: Callable[[], float],
    *,
    lr: float,
    decay: float,
    shrink: float,
    min_lr: float,
    epochs: int,
) -> tuple[list[float], list[float]]:
    """Losses and scores of the epochs. epoch: trains for one with a rate, gives its loss; score: of the net as it is, higher is better.

    After each epoch the rate is multiplied by `decay`, and divided by `shrink` where the score was no higher than ever before. It ends
    when the rate is below `min_lr`, or after `epochs`; the net is then as it was when its score was highest.
    """
    losses: list[float] = []
    scores: list[float] = []
    best = net.state_dict()
    while len(losses) < epochs and lr >= min_lr:
        losses.append(epoch(lr))
        scores.append(score())
        lr *= decay
        if scores[-1] > max(scores[:-1], default=float("-inf")):
            best = copy.deepcopy(net.state_dict())
        else:
            lr /= shrink
    net.load_state_dict(best)
    return losses, scores
