"""How much each of k parts counts in a score: s(u) for u [n, ..., k], parts last; what lies between (places of a map) is added up.

A score takes u and gives [n]. Every function gives phi [n, k]; a part is taken away by setting it to 0, in all places at once.
Where s is affine in u, gradient x input, integrated gradients, occlusion and Shapley values are all u_i ds/du_i.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import InputError

Score = Callable[[Tensor], Tensor]


def gradient(score: Score, u: Tensor, seed: int = 0) -> Tensor:
    return over_places(_slope(score, u))


def gradient_x_input(score: Score, u: Tensor, seed: int = 0) -> Tensor:
    return over_places(u * _slope(score, u))


def integrated_gradients(score: Score, u: Tensor, seed: int = 0, steps: int = 30) -> Tensor:
    """From 0 to u, by the midpoint rule. Sundararajan, Taly and Yan, 2017, arXiv:1703.01365."""
    slopes = [_slope(score, u * ((step + 0.5) / steps)) for step in range(steps)]
    return over_places(u * torch.stack(slopes).mean(dim=0))


def smooth_gradient(score: Score, u: Tensor, seed: int = 0, draws: int = 30, noise: float = 0.1) -> Tensor:
    """Gradient x input with the gradient averaged over noise of 0.1 of u's range. Smilkov et al., 2017, arXiv:1706.03825."""
    draw, scale = torch.Generator().manual_seed(seed), noise * (u.max() - u.min())
    slopes = [_slope(score, u + scale * torch.randn(u.shape, generator=draw, dtype=u.dtype)) for _ in range(draws)]
    return over_places(u * torch.stack(slopes).mean(dim=0))


def occlusion(score: Score, u: Tensor, seed: int = 0) -> Tensor:
    whole, without = score(u), 1 - torch.eye(u.shape[-1], dtype=u.dtype)
    return torch.stack([whole - score(u * mask) for mask in without], dim=1).detach()


def rise(score: Score, u: Tensor, seed: int = 0, masks: int = 500) -> Tensor:
    """The mean score where a part is kept, over the mean score: kept with chance 1/2. Petsiuk, Das and Saenko, 2018, arXiv:1806.07421."""
    drawn = torch.from_numpy(np.random.default_rng(seed).random((masks, u.shape[-1])) < 0.5).to(u.dtype)
    scores = torch.stack([score(u * mask) for mask in drawn]).detach()  # [masks, n]
    return ((scores - scores.mean(dim=0)).T @ drawn) / drawn.sum(dim=0).clamp(min=1)


def sobol(score: Score, u: Tensor, seed: int = 0, masks: int = 32) -> Tensor:
    """Total Sobol index, the share of the score's variance under random masks that a part has a hand in (Jansen, 1999): no sign."""
    from scipy.stats.qmc import Sobol

    k = u.shape[-1]
    points = torch.from_numpy(Sobol(2 * k, seed=seed).random(masks)).to(u.dtype)
    A, B = points[:, :k], points[:, k:]
    base = torch.stack([score(u * mask) for mask in A]).detach()
    total = []
    for part in range(k):
        mixed = A.clone()
        mixed[:, part] = B[:, part]
        other = torch.stack([score(u * mask) for mask in mixed]).detach()
        total.append((base - other).square().mean(dim=0) / 2)
    return torch.stack(total, dim=1) / base.var(dim=0, unbiased=False).clamp(min=1e-12)[:, None]


def shapley(value: Callable[[np.ndarray], Any], k: int, orders: int = 20, seed: int = 0) -> np.ndarray:
    """Shapley values [k, ...] of a game of k players: what a player adds, on average over random orders and their reverses.

    value(present: bool [k]) -> a number, or an array of them. They add up to value(all) - value(none) exactly.
    (Castro, Gomez and Tejada, 2009; reversed orders: Mitchell et al., 2022, arXiv:2104.12199.)
    """
    rng = np.random.default_rng(seed)
    none = np.asarray(value(np.zeros(k, dtype=bool)), dtype=np.float64)
    everyone = np.asarray(value(np.ones(k, dtype=bool)), dtype=np.float64)
    total = np.zeros((k, *none.shape))
    drawn = [rng.permutation(k) for _ in range((orders + 1) // 2)]
    for order in [one for forward in drawn for one in (forward, forward[::-1])]:
        present, before = np.zeros(k, dtype=bool), none
        for place, player in enumerate(order):
            present[player] = True
            after = everyone if place == k - 1 else np.asarray(value(present.copy()), dtype=np.float64)
            total[player] += after - before
            before = after
    return total / (2 * len(drawn))


def shapley_input(score: Score, u: Tensor, seed: int = 0) -> Tensor:
    def kept(present: np.ndarray) -> np.ndarray:
        return score(u * torch.from_numpy(present).to(u.dtype)).detach().numpy()

    return torch.from_numpy(shapley(kept, u.shape[-1], orders=10, seed=seed).T).to(u.dtype)


def at_random(score: Score, u: Tensor, seed: int = 0) -> Tensor:
    """No attribution: what the others must beat."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(len(u), u.shape[-1]))).to(u.dtype)


ATTRIBUTIONS: dict[str, Callable[..., Tensor]] = {
    "gradient": gradient,
    "gxi": gradient_x_input,
    "ig": integrated_gradients,
    "smoothgrad": smooth_gradient,
    "occlusion": occlusion,
    "rise": rise,
    "sobol": sobol,
    "shap": shapley_input,
    "random": at_random,
}


def attribute(name: str, score: Score, u: Tensor, seed: int = 0) -> Tensor:
    """phi [n, k] by the attribution of this name."""
    if name not in ATTRIBUTIONS:
        raise InputError(f"attribution={name!r}: wanted one of {', '.join(ATTRIBUTIONS)}")
    return ATTRIBUTIONS[name](score, u, seed=seed)


def deletion(score: Score, u: Tensor, phi: Tensor) -> Tensor:
    """The mean score [k + 1] after none, one, ..., all parts are set to 0, the most important of each item first."""
    return _curve(score, u, phi, keep=False)


def insertion(score: Score, u: Tensor, phi: Tensor) -> Tensor:
    """The mean score [k + 1] with none, one, ..., all parts, the most important of each item first."""
    return _curve(score, u, phi, keep=True)


def area(curve: Tensor) -> float:
    """The mean height of a curve [k + 1], by the trapezium rule."""
    return float(torch.trapezoid(curve) / (len(curve) - 1))


def mu_fidelity(score: Score, u: Tensor, phi: Tensor, subsets: int = 100, seed: int = 0) -> float:
    """Mean over items: correlation of a subset's summed phi with what the score loses without it. Bhatt et al., 2020, arXiv:2005.00631."""
    gone = torch.from_numpy(np.random.default_rng(seed).random((subsets, u.shape[-1])) < 0.5).to(u.dtype)
    lost = torch.stack([score(u) - score(u * (1 - mask)) for mask in gone]).detach()  # [subsets, n]
    said = gone @ phi.to(u.dtype).T
    lost, said = lost - lost.mean(dim=0), said - said.mean(dim=0)
    size = lost.norm(dim=0) * said.norm(dim=0)
    return float(((lost * said).sum(dim=0) / size.clamp(min=1e-12))[size > 1e-12].mean()) if bool((size > 1e-12).any()) else 0.0


def over_places(x: Tensor) -> Tensor:
    """[n, ..., k] added up to [n, k]."""
    return x.flatten(1, -2).sum(dim=1) if x.ndim > 2 else x


def _slope(score: Score, u: Tensor) -> Tensor:
    u = u.detach().requires_grad_(True)
    return torch.autograd.grad(score(u).sum(), u)[0]


def _curve(score: Score, u: Tensor, phi: Tensor, keep: bool) -> Tensor:
    rank = phi.argsort(dim=1, descending=True, stable=True).argsort(dim=1)  # 0: the most important
    shape = (len(u), *[1] * (u.ndim - 2), u.shape[-1])
    means = []
    for count in range(u.shape[-1] + 1):
        mask = (rank < count) if keep else (rank >= count)
        means.append(score(u * mask.view(shape).to(u.dtype)).detach().mean())
    return torch.stack(means)
