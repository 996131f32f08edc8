"""The Matryoshka adaptor: nested vectors from vectors that exist already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.learner import Batch, Net
from unlabeled.methods.contrastive.matryoshka import Nested
from unlabeled.parts.gather import gather_rows, rank
from unlabeled.parts.losses import unit
from unlabeled.views.whole import whole


@dataclass(kw_only=True, eq=False)
class MatryoshkaAdaptor(Nested):
    """A linear map for vectors that exist already, after which their first numbers work by themselves; no labels, no encoder.

    Kusupati et al., 2022, arXiv:2205.13147, for the sizes; each size learns who is near whom in the frozen vectors:
    KL(softmax(S / temperature) || softmax(S_m / temperature)) of the cosines S of a batch. It starts as the identity, and
    dims[-1] may be shorter than the vectors.
    """

    encoder: str | nn.Module = "identity"
    temperature: float = 0.05
    weight_decay: float = 0.0

    def default_views(self, kind: str) -> Any:
        return whole

    def build(self, encoder: nn.Module) -> Net:
        nest = self.nest(encoder)
        nn.init.eye_(nest.weight)
        nn.init.zeros_(nest.bias)
        return Net(encode=encoder.requires_grad_(False), nest=nest)

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        frozen = net.encode(batch.views[0])
        z = net.nest(frozen)
        wanted = self.log_neighbours(frozen).exp()
        return {f"first {m}": F.kl_div(self.log_neighbours(z[:, :m]), wanted, reduction="batchmean") for m in self.dims}

    def log_neighbours(self, z: Tensor) -> Tensor:
        """log of the softmax of each row's cosines with the others of the batch, float32 [n, all]; itself at -30."""
        keys = gather_rows(z)
        itself = torch.arange(len(z), device=z.device)[:, None] + rank() * len(z) == torch.arange(len(keys), device=z.device)
        return (unit(z) @ unit(keys).T / self.temperature).masked_fill(itself, -30 / self.temperature).log_softmax(dim=1)
