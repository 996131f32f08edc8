"""Instance discrimination."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.gather import gather_rows, own_rows, same_on_every_rank, world
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import unit
from unlabeled.parts.memory import Bank
from unlabeled.views import views_for


@dataclass(kw_only=True, eq=False)
class InstanceDiscrimination(Learner):
    """Every example is a class of its own, and its weight is what was last seen of it: one view, a bank, no pairs.

    Wu, Xiong, Yu and Lin, 2018, "Unsupervised Feature Learning via Non-Parametric Instance-level Discrimination",
    arXiv:1805.01978. The paper's settings for ImageNet: optimizer="sgd", lr=0.03, warmup=0, encoder="resnet50", epochs=200,
    temperature=0.07, negatives=4096, proximal=30; on CIFAR-10 the exact softmax does best (its table 1).
    `bank_` [n, dim] holds a unit vector of every example in the order of the data: the index of a nearest-neighbour search.
    """

    dim: int = 128  # of the bank's vectors
    temperature: float = 0.1
    negatives: int | None = None  # None: exact softmax over all examples; a number: noise-contrastive, so many drawn for each
    proximal: float = 0.0  # weight of the squared distance from the bank's old row; drawn negatives need it (30), or they diverge
    bank_momentum: float = 0.5

    def default_views(self, kind: str) -> Any:
        return views_for(kind, views=1)

    def build(self, encoder: nn.Module) -> Net:
        if self.negatives is not None and self.negatives < 1:
            raise InputError(f"negatives must be at least 1, or None for all, got {self.negatives!r}")
        if not self.temperature > 0:
            raise InputError(f"temperature must be positive, got {self.temperature!r}")
        bank = Bank(self.n_items_, self.dim, self.bank_momentum)
        if self.negatives is not None:
            bank.register_buffer("log_z", torch.tensor(torch.nan))  # log(Z / n), not known yet
        # All vectors run from the direction that they share while the bank lags behind. The softmax cancels that, a constant Z
        # can't, so there a batch norm takes it out: a departure, without which 64 and 1,024 of 5,000 drawn rows diverged.
        project = mlp(encoder.width, self.dim, last="norm" if self.negatives is not None else None)
        return Net(encode=encoder, project=project, bank=bank)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        batch.z = unit(net.project(net.encode(batch.views[0])))  # [n, dim]
        if self.negatives is None:
            loss = F.cross_entropy(net.bank(batch.z) / self.temperature, batch.index)
        else:
            loss = self.noise_contrastive(net.bank, batch.z, batch.index, self.negatives)
        if self.proximal:
            loss = loss + self.proximal * (batch.z - net.bank.rows[batch.index]).square().sum(dim=1).mean()
        return loss

    def noise_contrastive(self, bank: Bank, z: Tensor, index: Tensor, m: int) -> Tensor:
        """-log h(own) - sum over m drawn rows of log(1 - h), with h = P / (P + m / n) and P = exp(cosine / temperature) / Z."""
        n, total = len(bank.rows), len(z) * world()
        # Drawn for the batch of all processes, so that each has the part that it would have in a single one.
        noise = own_rows(same_on_every_rank(torch.randint(n, (total, m), device=z.device)))
        logits = bank(z, torch.cat([index[:, None], noise], dim=1)) / self.temperature
        # Z is a constant of the model, known from the first batch: estimated anew in each it would bend the objective.
        first = gather_rows(logits[:, 1:].detach().logsumexp(dim=1)).logsumexp(dim=0) - math.log(total * m)
        bank.log_z.copy_(torch.where(bank.log_z.isnan(), first, bank.log_z))
        odds = logits - bank.log_z.clone() - math.log(m)  # log(P / (m / n)): h is its sigmoid
        return (F.softplus(-odds[:, 0]) + F.softplus(odds[:, 1:]).sum(dim=1)).mean()

    def after_step(self, net: Net, batch: Batch) -> None:
        net.bank.update(batch.index, batch.z)

    @property
    def bank_(self) -> Tensor:
        """Unit vectors [n, dim] of the examples, float32."""
        return self.net_.bank.rows
