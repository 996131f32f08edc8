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


def nt_xent(
    z1: Tensor, z2: Tensor, temperature: float, exclude: Tensor | None = None, hardest: float | None = None, gather: bool = True
) -> Tensor:
    """SimCLR's loss: each of the 2n views finds its partner among the other 2n - 1. Chen et al., 2020, arXiv:2002.05709.

    z1, z2: [n, d], normalised here. exclude: bool [n, n], pairs of examples that are no negatives of each other.
    hardest: keep only this share of each view's negatives, the most similar ones (arXiv:2012.09740). temperature = inf: that
    paper's simple loss, the mean cosine with the negatives minus the one with the partner, to which temperature * loss tends.
    """
    _same_shape(z1, z2)
    simple = temperature == math.inf
    _positive("temperature", 1.0 if simple else temperature)
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
            logits = z @ keys.T / (1.0 if simple else temperature)
            gone = torch.zeros_like(logits, dtype=torch.bool) if exclude is None else torch.cat([exclude, exclude], dim=1).clone()
            gone[rows, rows + own] = True
            gone[rows, rows + partner] = True  # the positive is not chosen among the negatives, it is always there
            if hardest is not None:
                gone = gone | easy(logits, hardest, gone)
            if simple:
                negatives = logits.masked_fill(gone, 0).sum(dim=1) / (~gone).sum(dim=1).clamp(min=1)
                losses.append((negatives - logits[rows, rows + partner]).mean())
                continue
            gone[rows, rows + partner] = False
            losses.append(F.cross_entropy(logits.masked_fill(gone, float("-inf")), rows + partner))
        return (losses[0] + losses[1]) / 2


@torch.no_grad()
def easy(similarity: Tensor, hardest: float, gone: Tensor | None = None) -> Tensor:
    """Which candidates of each row are not among the `hardest` share (the most similar ones): bool like similarity [n, m].

    gone: bool [n, m], candidates that don't count at all. At least one candidate a row stays. The choice has no gradient.
    """
    if not 0 < hardest <= 1:
        raise ValueError(f"hardest is a share of the negatives, wanted 0 < hardest <= 1, got {hardest!r}")
    s = similarity.detach() if gone is None else similarity.detach().masked_fill(gone, float("-inf"))
    there = torch.full((len(s),), s.shape[1], device=s.device) if gone is None else (~gone).sum(dim=1)
    keep = (there * hardest).ceil().long().clamp(min=1, max=s.shape[1])
    threshold = s.sort(dim=1, descending=True).values.gather(1, keep[:, None] - 1)
    return s < threshold


def supcon(z: Tensor, groups: Tensor, temperature: float, gather: bool = True) -> Tensor:
    """Each row finds the other rows of its group among all others; the mean over positives stands outside the log.

    z: [n, d], normalised here; groups: int [n]. Rows without a partner don't count. Khosla et al., 2020, arXiv:2004.11362.
    """
    _positive("temperature", temperature)
    if z.ndim != 2 or groups.shape != z.shape[:1]:
        raise ValueError(f"wanted z [n, d] and groups [n], got {tuple(z.shape)} and {tuple(groups.shape)}")
    with torch.autocast(z.device.type, enabled=False):
        z = unit(z)
        keys, theirs, first = z, groups, 0
        if gather and world() > 1:
            keys, theirs, first = gather_rows(z), gather_rows(groups), rank() * len(z)
        rows = torch.arange(len(z), device=z.device)
        itself = torch.zeros(len(z), len(keys), dtype=torch.bool, device=z.device)
        itself[rows, rows + first] = True
        log_p = (z @ keys.T / temperature).masked_fill(itself, float("-inf")).log_softmax(dim=1)
        partner = (groups[:, None] == theirs) & ~itself
        count = partner.sum(dim=1)
        each = -log_p.masked_fill(~partner, 0).sum(dim=1) / count.clamp(min=1)
        return mean_where(each, count > 0, gather)


def mean_where(values: Tensor, where: Tensor, gather: bool = True) -> Tensor:
    """Mean of values [n] where `where`; 0 when it is nowhere. Over all processes: their average is the mean of the whole batch."""
    count = where.sum()
    if gather and world() > 1:
        count = gather_rows(count[None]).float().mean()  # the processes' losses are averaged, so each divides by the mean count
    return (values * where).sum() / count.clamp(min=1)


def barlow(z1: Tensor, z2: Tensor, off_diagonal: float = 0.0051) -> Tensor:
    """Distance of the views' cross-correlation [d, d] from the identity. Zbontar et al., 2021, arXiv:2103.03230.

    z1, z2: [n, d]; each dimension is standardised over the batch here. Sum over the diagonal of (1 - c)^2 plus
    `off_diagonal` times the sum of the other c^2.
    """
    _same_shape(z1, z2)
    with torch.autocast(z1.device.type, enabled=False):
        z1, z2 = gather_rows(z1.float()), gather_rows(z2.float())
        a, b = ((z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt() for z in (z1, z2))
        c = a.T @ b / len(a)
        on = (c.diagonal() - 1).square().sum()
        return on + off_diagonal * (c.square().sum() - c.diagonal().square().sum())


def swapped_prediction(scores: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of one view's prototype scores [n, k] against another view's codes [n, k] (rows sum to 1, no gradient).

    Caron et al., 2020, arXiv:2006.09882.
    """
    _same_shape(scores, codes)
    _positive("temperature", temperature)
    return -(codes.detach().float() * (scores.float() / temperature).log_softmax(dim=1)).sum(dim=1).mean()


def decoupled_uniformity(centroids: Tensor, t: float = 2.0) -> Tensor:
    """log of the mean over pairs of exp(-t |mu_i - mu_j|^2). centroids: [n, d], the mean of each example's unit views, as it is.

    Dufumier et al., 2022, arXiv:2206.01646.
    """
    if centroids.ndim != 2 or len(centroids) < 2:
        raise ValueError(f"centroids must be [n, d] with n >= 2, got {tuple(centroids.shape)}")
    with torch.autocast(centroids.device.type, enabled=False):
        return torch.pdist(gather_rows(centroids.float())).square().mul(-t).exp().mean().log()


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, kind: str = "ratio", margin: float = 0.2, gamma: float = 1.0) -> Tensor:
    """Mean loss of triplets [n, d] each; rows are taken as they are, normalise them yourself where the paper does.

    "ratio": 2 * sigmoid(d+ - d-)^2 of Euclidean distances (Hoffer and Ailon, 2014, arXiv:1412.6622).
    "margin": max(0, gamma |a - p|^2 - |a - n|^2 + margin) of squared distances (JULE, arXiv:1604.03628; gamma = 1: FaceNet).
    """
    _same_shape(anchor, positive)
    _same_shape(anchor, negative)
    near, far = ((anchor - other).float().square().sum(dim=1) for other in (positive, negative))
    if kind == "margin":
        return F.relu(gamma * near - far + margin).mean()
    if kind != "ratio":
        raise ValueError(f'kind must be "ratio" or "margin", got {kind!r}')
    difference = (near + 1e-12).sqrt() - (far + 1e-12).sqrt()  # the root of 0 has no gradient
    return 2 * difference.sigmoid().square().mean()


def coding_rate(z: Tensor, eps2: float = 0.1, weights: Tensor | None = None) -> Tensor:
    """1/2 logdet(I + d / (m eps^2) Z^T diag(w) Z): how many nats code the rows of z [n, d] up to squared error eps2 each.

    weights: [n], not negative, or [..., n] for several sets of rows at once; m is their sum (n without weights).
    Returns a scalar or [...]. Ma et al., 2007; Yu et al., 2020, arXiv:2006.08558.
    """
    _positive("eps2", eps2)
    with torch.autocast(z.device.type, enabled=False):
        z = z.float()
        n, d = z.shape
        if weights is None:
            gram, mass = z.T @ z, z.new_tensor(float(n))
        else:
            gram = torch.einsum("...n,ni,nj->...ij", weights.float(), z, z)
            mass = weights.float().sum(dim=-1).clamp(min=1e-8)
        matrix = torch.eye(d, device=z.device) + gram * (d / (mass * eps2))[..., None, None]
        return torch.linalg.cholesky(matrix).diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)


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
