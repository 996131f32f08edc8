"""Matryoshka representation learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.methods.inner import head, inner


@dataclass(kw_only=True, eq=False)
class Nested(Learner):
    """What both ways to nested vectors share: a linear map to the largest size, and vectors that nothing turns afterwards."""

    dims: tuple[int, ...] = (8, 16, 32, 64)  # the sizes that shall work by themselves, growing; the last is the whole vector
    whiten: float | None = 0.0  # principal axes would mix the dimensions again

    def __post_init__(self) -> None:
        self.dims = tuple(self.dims)  # config.json holds a list

    def nest(self, encoder: nn.Module) -> nn.Linear:
        if not self.dims or min(self.dims) < 1 or sorted(set(self.dims)) != list(self.dims):
            raise InputError(f"dims are sizes that grow, (8, 16, 32) say; got {self.dims!r}")
        if self.whiten:
            raise InputError(f"whiten={self.whiten} would turn the axes, and a prefix would be no vector any more: leave it at 0")
        return nn.Linear(encoder.width, self.dims[-1])

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return net.nest(net.encode(x))


@dataclass(kw_only=True, eq=False)
class Matryoshka(Nested):
    """One vector whose first 8, 16, 32, ... numbers are vectors that work: any objective, at all sizes at once.

    Kusupati et al., 2022, "Matryoshka Representation Learning", arXiv:2205.13147. The loss is the sum over the sizes m of
    the objective's on z[:m], with a predictor or classifier of its own for that size (the paper's W^(m)). The encoder runs once.
    objective: a system with views and one encoder, `SimCLR(temperature=0.2)` or its name; those that keep a teacher, a queue or
    clusters of whole vectors can't be nested. Training settings (encoder, epochs, lr) are this learner's, not the objective's.
    The paper: ResNet-50, dims (8, 16, ..., 2048), cross-entropy on ImageNet; all sizes weigh 1.
    """

    objective: Any = "simclr"
    projectors: bool = False  # between a prefix and its loss; without them the prefix itself is compared, as it will be used

    def build(self, encoder: nn.Module) -> Net:
        self.objective_ = inner(self.objective, self)
        nest = self.nest(encoder)
        return Net(encode=encoder, nest=nest, heads=nn.ModuleList(head(self.objective_, m, self.projectors) for m in self.dims))

    def default_views(self, kind: str) -> Any:
        return self.objective_.views if self.objective_.views is not None else self.objective_.default_views(kind)

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        same = all(view.shape == batch.views[0].shape for view in batch.views)
        z = self.embed(net, torch.cat(batch.views)).chunk(len(batch.views)) if same else [self.embed(net, view) for view in batch.views]
        more = {name: value for name, value in vars(batch).items() if name not in ("views", "index")}
        prefixes = {m: Batch([view[:, :m] for view in z], batch.index, **more) for m in self.dims}
        return {f"first {m}": self.objective_.loss(own, prefixes[m]) for m, own in zip(self.dims, net.heads, strict=True)}
