"""LFR."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.encoders.vectors import Identity
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, batches
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.losses import unit
from unlabeled.views.whole import whole

SAMPLE = 500  # items on which the candidates are compared


@dataclass(kw_only=True, eq=False)
class LFR(Learner):
    """Predict what random networks make of the data: no augmentations, so it learns from tables as from pictures.

    Sui et al., 2023, "Self-supervised Representation Learning From Random Data Projectors", arXiv:2310.07756.
    K frozen random networks g_k, chosen for being different from each other out of K * candidates; small predictors h_k on the
    encoder f; h_k(f(x)) has to tell the items of a batch apart as g_k(x) does. The predictors must be near their best for the
    loss to say something of f: some epochs train them alone, then one trains both.
    The paper's settings: K = 6 (HAR, Epilepsy, ... ), candidates 10, Adam, lr 1e-4 to 1e-3, batches of 128 to 256, four layers of 256.
    """

    targets: int = 6
    target_dim: int = 64
    candidates: int = 10  # for each target; 1 takes the first ones that come
    objective: str = "barlow_batch"  # or "cosine"
    off_diagonal: float = 0.01
    predictor_epochs: int = 1  # for each epoch of everything
    lr: float = 1e-3

    def default_views(self, kind: str) -> Any:
        return whole

    def build(self, encoder: nn.Module) -> Net:
        if self.inputs_.kind == "text":
            raise InputError("LFR reads vectors, tables and pictures: make vectors of the texts first (tfidf-svd, say)")
        if self.objective not in ("barlow_batch", "cosine"):
            raise InputError(f'objective must be "barlow_batch" or "cosine", got {self.objective!r}')
        if min(self.targets, self.target_dim, self.candidates) < 1 or self.predictor_epochs < 0:
            raise InputError("targets, target_dim and candidates are at least 1, predictor_epochs at least 0")
        g = nn.ModuleList(self._random_network() for _ in range(self.targets)).requires_grad_(False)
        h = nn.ModuleList(nn.Linear(encoder.width, self.target_dim) for _ in g)  # weak, so that f has to do the work
        return Net(encode=encoder, scale=Scale(self.inputs_.features), targets=g, predict=h)

    def before_epoch(self, net: Net, data: Source) -> None:
        if int(net.scale.epoch) < 0:
            net.scale.prepare((data.batch(part) for part in batches(data.order())), len(data))
            some = torch.linspace(0, len(data) - 1, min(len(data), SAMPLE)).long().numpy()
            self.choose(net, net.scale(data.batch(some)))
        net.scale.epoch += 1

    def choose(self, net: Net, x: Tensor) -> None:
        """Among K * candidates random networks, the K that see the items x most differently."""
        pool = list(net.targets) + [self._random_network().to(x.device) for _ in range(self.targets * (self.candidates - 1))]
        with torch.no_grad():
            views = torch.stack([unit((z := unit(g(x))) @ z.T).flatten() for g in pool])  # who resembles whom, [candidates, n^2]
        kept = [copy.deepcopy(pool[i]) for i in diverse(unit(views) @ unit(views).T, self.targets)]
        net.targets.load_state_dict(nn.ModuleList(kept).state_dict())

    def loss(self, net: Net, batch: Batch) -> Tensor:
        x = batch.views[0]
        alone = int(net.scale.epoch) % (self.predictor_epochs + 1) > 0  # this epoch is the predictors'; the first is everybody's
        net.encode.train(not alone)
        with torch.set_grad_enabled(not alone and torch.is_grad_enabled()):
            z = net.encode(x)
        with torch.no_grad():
            targets = [gather_rows(g(net.scale(x))) for g in net.targets]
        predictions = [gather_rows(h(z)) for h in net.predict]
        return torch.stack([self.distance(p, t) for p, t in zip(predictions, targets, strict=True)]).mean()

    def distance(self, p: Tensor, t: Tensor) -> Tensor:
        if self.objective == "cosine":
            return 1 - (unit(p) * unit(t)).sum(dim=1).mean()
        return barlow_batch(p, t, self.off_diagonal)

    def _random_network(self) -> nn.Module:
        """Shallower than the encoder, and never trained."""
        if self.inputs_.kind != "image":
            return nn.Sequential(nn.Linear(self.inputs_.features, 256), nn.ReLU(), nn.Linear(256, self.target_dim))
        convolutions = [nn.Conv2d(self.inputs_.channels, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU()]
        return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, self.target_dim))


class Scale(Identity):
    """Columns standardised with the data's statistics, or a target would be of the largest column alone; and the epoch we are in."""

    def __init__(self, features: int):
        super().__init__(features, standardise=features > 0)  # pictures have their scale
        self.register_buffer("epoch", torch.full((), -1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.standardise else x


def barlow_batch(p: Tensor, t: Tensor, off_diagonal: float) -> Tensor:
    """Row i of p [n, d] has to point where row i of t does, and across the rows of the others: the items' cosines against the identity."""
    c = unit(p) @ unit(t).T
    on = (1 - c.diagonal()).square().sum()
    return on + off_diagonal * (c.square().sum() - c.diagonal().square().sum())


def diverse(similarity: Tensor, k: int) -> list[int]:
    """k rows of a positive semidefinite matrix whose determinant is large, one after the other.

    The greedy MAP of a determinantal point process: each new row is the one with the most variance left once the rows
    before it are known (Chen et al., 2018, arXiv:1709.05135).
    """
    left = similarity.diagonal().double().clone()
    factors: list[Tensor] = []
    chosen: list[int] = []
    for _ in range(k):
        i = int(left.argmax())
        row = similarity[i].double() - sum(f[i] * f for f in factors)
        factors.append(row / left[i].clamp(min=1e-12).sqrt())
        left = left - factors[-1].square()
        chosen.append(i)
        left[chosen] = -torch.inf
    return chosen
