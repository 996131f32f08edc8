"""Who is like whom, as a matrix, and averages over those who are alike."""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled.parts.losses import unit


def median_distance(w: Tensor, most: int = 1000) -> float:
    """Median Euclidean distance between rows of w [n, d], from at most so many rows; never 0."""
    rows = torch.linspace(0, len(w) - 1, min(len(w), most)).long().to(w.device)
    return max(float(torch.pdist(w[rows].float()).median()), 1e-12)


def gram(w: Tensor, kernel: str = "rbf") -> Tensor:
    """Kernel values between the rows of w [n, d], float64 [n, n]: "rbf", exp(-|w - w'|^2 / 2), or "cosine".

    Everything is like itself: the diagonal is 1 even for a row of zeros (an example without any tag), whose cosines are all 0.
    """
    if kernel == "cosine":
        return (unit(w).double() @ unit(w).double().T).fill_diagonal_(1)
    return (-torch.cdist(w.double(), w.double()).square() / 2).exp().fill_diagonal_(1)


def ridge(some: Tensor, gram: Tensor, lam: float) -> Tensor:
    """Weights of kernel ridge regression: k(some, all) (K + lam I)^-1, float32 [n, m]. some: [n, m], gram: K [m, m]."""
    return torch.linalg.solve(gram + lam * torch.eye(len(gram), dtype=gram.dtype, device=gram.device), some.T).T.float()
