"""Objectives as pure functions of tensors. Logits are float32 whatever the precision around them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.parts.gather import gather_rows, rank, same_on_every_rank, world


def unit(z: Tensor) -> Tensor:
    """Rows of unit length, float32."""
    return F.normalize(z.float(), dim=-1)


def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """Mean of -cos(p_i, z_i) over rows, in [-1, 1]. p, z: [n, d]; detach the target yourself."""
    _same_shape(p, z)
    return -(unit(p) * unit(z)).sum(dim=-1).mean()


def info_nce(
    query: Tensor,
    key: Tensor,
    *,
    temperature: float,
    negatives: Tensor | None = None,
    exclude: Tensor | None = None,
    symmetric: bool = False,
    gather: bool = True,
) -> Tensor:
    """Cross-entropy of finding key_i for query_i among all keys. van den Oord et al., 2018, arXiv:1807.03748.

    query, key: [n, d], normalised here. negatives: further keys [m, d] (a queue); with them the other keys of the
    batch are not negatives, as in MoCo (arXiv:1911.05722). exclude: bool [n, n] (or [n, m] with negatives), pairs
    left out of the denominator; a positive is never left out. symmetric: the mean of both directions.
    gather: under distributed training the keys of all processes count, with their gradients.
    """
    _same_shape(query, key)
    _positive("temperature", temperature)
    if symmetric:
        if negatives is not None or exclude is not None:
            raise ValueError("symmetric info_nce takes neither negatives nor exclude: call it once for each direction")
        there = info_nce(query, key, temperature=temperature, gather=gather)
        return (there + info_nce(key, query, temperature=temperature, gather=gather)) / 2
    with torch.autocast(query.device.type, enabled=False):
        query, key = unit(query), unit(key)
        n = len(query)
        if negatives is not None:
            positive = (query * key).sum(dim=1, keepdim=True)
            logits = torch.cat([positive, _masked(query @ unit(negatives).T, exclude)], dim=1)
            target = torch.zeros(n, dtype=torch.long, device=query.device)
        else:
            target = torch.arange(n, device=query.device)
            if gather and world() > 1:
                key, target = gather_rows(key), target + rank() * n
            if exclude is not None:
                exclude = exclude.clone()
                exclude[torch.arange(n, device=query.device), target] = False
            logits = _masked(query @ key.T, exclude)
        return F.cross_entropy(logits / temperature, target)


def nt_xent(z1: Tensor, z2: Tensor, temperature: float, exclude: Tensor | None = None, gather: bool = True) -> Tensor:
    """SimCLR's loss: each of the 2n views finds its partner among the other 2n - 1. Chen et al., 2020, arXiv:2002.05709.

    z1, z2: [n, d], normalised here. exclude: bool [n, n], pairs of examples that are no negatives of each other.
    """
    _same_shape(z1, z2)
    _positive("temperature", temperature)
    with torch.autocast(z1.device.type, enabled=False):
        z1, z2 = unit(z1), unit(z2)
        n, device = len(z1), z1.device
        all1, all2, first = z1, z2, 0
        if gather and world() > 1:
            all1, all2, first = gather_rows(z1), gather_rows(z2), rank() * n
        total = len(all1)
        if exclude is not None and tuple(exclude.shape) != (n, total):
            raise ValueError(f"exclude must be [{n}, {total}], got {tuple(exclude.shape)}")
        keys = torch.cat([all1, all2])
        rows = torch.arange(n, device=device)
        losses = []
        for z, own, partner in ((z1, first, total + first), (z2, total + first, first)):
            logits = z @ keys.T / temperature
            gone = torch.zeros_like(logits, dtype=torch.bool) if exclude is None else torch.cat([exclude, exclude], dim=1).clone()
            gone[rows, rows + own] = True
            gone[rows, rows + partner] = False
            losses.append(F.cross_entropy(logits.masked_fill(gone, float("-inf")), rows + partner))
        return (losses[0] + losses[1]) / 2


def vicreg(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """VICReg's three terms apart: invariance, variance, covariance. Bardes et al., 2021, arXiv:2105.04906.

    z1, z2: [n, d], not normalised. invariance: mean squared distance of partners. variance: hinge that keeps each
    dimension's standard deviation above 1, mean over dimensions and both views. covariance: squared off-diagonal
    covariances, summed and divided by d, both views added.
    """
    _same_shape(z1, z2)
    if len(z1) < 2:
        raise ValueError("vicreg needs at least 2 rows to know a variance")
    with torch.autocast(z1.device.type, enabled=False):
        z1, z2 = gather_rows(z1.float()), gather_rows(z2.float())
        invariance = F.mse_loss(z1, z2)
        variance, covariance = z1.new_zeros(()), z1.new_zeros(())
        for z in (z1, z2):
            variance = variance + F.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean() / 2
            centred = z - z.mean(dim=0)
            cov = centred.T @ centred / (len(z) - 1)
            covariance = covariance + (cov.square().sum() - cov.diagonal().square().sum()) / z.shape[1]
        return invariance, variance, covariance


def sigreg(z: Tensor, directions: int = 256, knots: int = 17, t_max: float = 3.0, generator: torch.Generator | None = None) -> Tensor:
    """Distance of z's distribution from a standard normal, seen along random directions (Epps-Pulley statistic).

    z: [n, d], one view of a batch, not normalised. The empirical characteristic function of each one-dimensional
    projection is compared with exp(-t^2 / 2) at `knots` points of [0, t_max], weighted by exp(-t^2 / 2), integrated
    over [-t_max, t_max] by the trapezoid rule, multiplied by n and averaged over directions.
    Balestriero and LeCun, 2025, arXiv:2511.08544 (LeJEPA).
    """
    with torch.autocast(z.device.type, enabled=False):
        z = z.float()
        a = torch.randn(z.shape[1], directions, generator=generator, device=z.device)
        a = F.normalize(same_on_every_rank(a), dim=0)
        t = torch.linspace(0, t_max, knots, device=z.device)
        bell = torch.exp(-t.square() / 2)
        angle = (gather_rows(z) @ a)[:, :, None] * t
        error = (angle.cos().mean(dim=0) - bell).square() + angle.sin().mean(dim=0).square()
        statistic = 2 * torch.trapezoid(error * bell, t, dim=1) * len(angle)  # twice: the other half by symmetry
        return statistic.mean()


def _same_shape(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"wanted two [n, d] tensors of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")


def _positive(name: str, value: float) -> None:
    if not value > 0 or not math.isfinite(value):
        raise ValueError(f"{name} must be a positive number, got {value!r}")


def _masked(logits: Tensor, exclude: Tensor | None) -> Tensor:
    return logits if exclude is None else logits.masked_fill(exclude, float("-inf"))
