"""Finding the right row among very many: the cross-entropy of nodes against nodes, in blocks of rows, with its gradient at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlabeled.parts.losses import unit

BLOCK = 1 << 20  # similarities that are held at a time: four megabytes, which stay in a processor's cache
BLOCK_CUDA = 1 << 26


def find_among(query: Tensor, keys: Tensor, target: Tensor, *, temperature: float = 1.0, skip: Tensor | None = None) -> Tensor:
    """Mean over rows of log sum_k exp(q.k / temperature) - q.k_target / temperature; the m x n table is never held whole.

    query: [m, d], keys: [n, d], taken as they are. target: int64 [m], the right key of each query. skip: int64 [m], a key of each query
    that is left out of its sum (itself, say).
    """
    return _Find.apply(query, keys, target, skip, float(temperature))  # type: ignore[no-any-return]


def node_contrast(u: Tensor, v: Tensor, *, temperature: float, intra: bool = True) -> Tensor:
    """Two views' vectors of the same nodes, [n, d] each, normalised here: each node finds itself in the other view. Nats.

    intra: among the other nodes of both views, not only of the other. Zhu et al., 2020, arXiv:2006.04131, equation 1; with intra it is
    what SimCLR's loss is of two views (parts.losses.nt_xent), for as many nodes as fit one by one.
    """
    u, v = unit(u), unit(v)
    own = torch.arange(len(u), device=u.device)
    both = [
        find_among(a, torch.cat([b, a]) if intra else b, own, temperature=temperature, skip=own + len(u) if intra else None)
        for a, b in ((u, v), (v, u))
    ]
    return (both[0] + both[1]) / 2


class _Find(torch.autograd.Function):
    """The gradient is worked out beside the loss: softmax minus one-hot is there when the sum is, and nothing has to be kept."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, target: Tensor, skip: Tensor | None, temperature: float) -> Tensor:
        device = query.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        with torch.autocast(device, enabled=False):
            q_all, k_all = (query.detach().float() / temperature).to(kind), keys.detach().to(kind)
            m, n = len(query), len(keys)
            rows = max(1, min(m, (BLOCK_CUDA if query.is_cuda else BLOCK) // max(n, 1)))
            to_query, to_keys = torch.empty_like(q_all, dtype=torch.float32), torch.zeros_like(k_all, dtype=torch.float32)
            total = to_keys.new_zeros((), dtype=torch.float64)
            for start in range(0, m, rows):
                q, right = q_all[start : start + rows], target[start : start + rows, None]
                s = (q @ k_all.T).float()
                if skip is not None:
                    s.scatter_(1, skip[start : start + rows, None], float("-inf"))
                top = s.amax(dim=1, keepdim=True)
                found = s.gather(1, right) - top
                weight = s.sub_(top).exp_()
                mass = weight.sum(dim=1, keepdim=True)
                total += (mass.log() - found).sum()
                weight.div_(mass).scatter_add_(1, right, torch.full_like(mass, -1.0))
                slope = weight.to(kind)
                to_query[start : start + rows] = slope @ k_all
                to_keys += slope.T @ q
            ctx.save_for_backward(to_query.div_(temperature * m), to_keys.div_(m))
            ctx.kinds = query.dtype, keys.dtype
        return (total / m).float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        to_query, to_keys = ctx.saved_tensors
        return (gradient * to_query).to(ctx.kinds[0]), (gradient * to_keys).to(ctx.kinds[1]), None, None, None


__all__ = ["find_among", "node_contrast"]
