"""How many nats code vectors that fall into clusters, soft or hard."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unlabeled.parts.losses import coding_rate


def coding_rates(z: Tensor, weights: Tensor, eps2: float = 0.1) -> Tensor:
    """`coding_rate(z, eps2, weights)` for many sets of rows at once, [sets]: z [n, d], weights [sets, n].

    The products of a row's numbers are made once, [n, d * d], instead of once a set: a sixth of the time with 512 sets of 512 rows of 32.
    """
    with torch.autocast(z.device.type, enabled=False):
        z, weights = z.float(), weights.float()
        d = z.shape[1]
        grams = (weights @ (z[:, :, None] * z[:, None]).flatten(1)).unflatten(1, (d, d))
        matrix = torch.eye(d, device=z.device) + grams * (d / (weights.sum(dim=1).clamp(min=1e-8) * eps2))[:, None, None]
        return torch.linalg.cholesky(matrix).diagonal(dim1=1, dim2=2).log().sum(dim=1)


def coding_length(z: Tensor, labels: np.ndarray, eps2: float = 0.1) -> float:
    """Nats that code the rows of z [n, d] cluster by cluster up to squared error eps2 each, and which cluster each row is in.

    labels: [n]. Sum over clusters of (m + d) / 2 logdet(I + d / (m eps2) z^T z) - m ln(m / n), m rows in the cluster. Ma et al., 2007.
    """
    n, d = z.shape
    parts = [z[torch.from_numpy(labels == c)] for c in np.unique(labels)]
    return float(sum((len(part) + d) * float(coding_rate(part, eps2)) - len(part) * np.log(len(part) / n) for part in parts))


__all__ = ["coding_length", "coding_rates"]
