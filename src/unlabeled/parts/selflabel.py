"""A classifier's own sure answers as its labels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.parts.gather import gather_rows, world


def self_label_loss(logits: Tensor, p: Tensor, sure: Tensor) -> Tensor:
    """Cross-entropy of logits [n, C] with the most probable class of p [n, C], where its probability exceeds sure [C].

    Every class that occurs among those counts the same; 0 where none is sure.
    """
    top, label = p.max(dim=1)
    chosen = top > sure[label]
    count = torch.bincount(gather_rows(label)[gather_rows(chosen)], minlength=p.shape[1])
    each = F.cross_entropy(logits.float(), label, reduction="none")
    total = (each / count[label].clamp(min=1) * chosen).sum() / (count > 0).sum().clamp(min=1)
    return total * world()  # the processes' losses are averaged, this is each one's part of the sum


def sure_from(p: Tensor, threshold: float, least: float = 0.1) -> Tensor:
    """From which probability an item of each class is sure, [C]: the threshold.

    Where fewer than the share `least` of all rows of p [n, C] pass it (a small network seldom reaches 0.99), what that share of
    the class reaches.
    """
    top, label = p.max(dim=1)
    cut = torch.full_like(p[0], threshold)
    if (top > threshold).float().mean() < least:
        for c in label.unique():
            cut[c] = min(threshold, float(top[label == c].quantile(1 - least)))
    return cut


def representatives(Z: np.ndarray, p: np.ndarray, top: int = 10) -> np.ndarray:
    """For each class of p [n, C] the row of Z [n, d] that is nearest to the mean of its `top` most probable ones; -1 without any."""
    found, label = np.full(p.shape[1], -1), p.argmax(axis=1)
    for c in np.unique(label):
        rows = np.flatnonzero(label == c)
        best = rows[np.argsort(-p[rows, c], kind="stable")[:top]]
        found[c] = rows[np.square(Z[rows] - Z[best].mean(axis=0)).sum(axis=1).argmin()]
    return found
