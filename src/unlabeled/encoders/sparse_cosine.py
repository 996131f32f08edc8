"""How near decoded features are to sparse ones, without ever decoding what is 0."""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled.encoders.graphs import product


def decoded_cosine(x: Tensor, h: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of the rows of x and of h weight^T, [n], and which rows of x say anything, bool [n]; the others' cosine is 0.

    x: sparse CSR [n, features]; h: [n, d]; weight: [features, d]. The dense table [n, features] is never made: x . (W h) is (x W) . h, and
    the length of W h is that of h under W^T W.
    """
    squares = torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), x.values().square(), x.shape)
    size = (squares @ torch.ones(x.shape[1], 1, device=h.device))[:, 0].sqrt()
    decoded = ((h @ (weight.T @ weight)) * h).sum(dim=1).clamp(min=1e-12).sqrt()
    return (product(x, weight) * h).sum(dim=1) / (size.clamp(min=1e-12) * decoded), size > 0


__all__ = ["decoded_cosine"]
