"""Matryoshka representation learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.methods import NAMED, method
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.gather import gather_rows, rank
from unlabeled.parts.losses import unit
from unlabeled.views.whole import whole


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
    the objective's on z[:m], each with the objective's own head for that size (the paper's W^(m)). The encoder runs once.
    objective: a system with views and one encoder, `SimCLR(temperature=0.2)` or its name; those that keep a teacher, a queue or
    clusters of whole vectors can't be nested. Training settings (encoder, epochs, lr) are this learner's, not the objective's.
    The paper: ResNet-50, dims (8, 16, ..., 2048), cross-entropy on ImageNet; all sizes weigh 1.
    """

    objective: Any = "simclr"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.objective, dict):  # as config.json holds it
            said = dict(self.objective)
            name = next((name for name, path in NAMED.items() if path.endswith(f".{said['class']}")), said["class"])
            self.objective = method(name)(**{key: value for key, value in said.items() if key != "class"} | {"views": None})

    def build(self, encoder: nn.Module) -> Net:
        objective = method(self.objective)() if isinstance(self.objective, str) else self.objective
        if not isinstance(objective, Learner) or isinstance(objective, Nested):
            raise InputError(f"objective is a system such as SimCLR() or its name, got {objective!r}")
        self.objective_ = clone(objective)
        self.objective_.inputs_, self.objective_.n_items_, self.objective_.steps_ = self.inputs_, self.n_items_, self.steps_
        nest = self.nest(encoder)
        try:
            heads = nn.ModuleList(self.objective_.build(Prefix(m)) for m in self.dims)
            with torch.no_grad():  # does it read vectors where it is used to see views?
                self.objective_.loss(heads[0], Batch([torch.randn(4, self.dims[0]) for _ in range(2)], torch.arange(4)))
            kept = any(getattr(type(objective), name) is not getattr(Learner, name) for name in ("after_step", "before_epoch"))
        except (AttributeError, TypeError, ValueError, IndexError, RuntimeError):
            kept = True
        if kept:
            raise InputError(f"{type(objective).__name__} needs more than vectors of views and can't be nested: take SimCLR or VICReg, say")
        return Net(encode=encoder, nest=nest, heads=heads)

    def default_views(self, kind: str) -> Any:
        return self.objective_.views if self.objective_.views is not None else self.objective_.default_views(kind)

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        same = all(view.shape == batch.views[0].shape for view in batch.views)
        z = self.embed(net, torch.cat(batch.views)).chunk(len(batch.views)) if same else [self.embed(net, view) for view in batch.views]
        more = {name: value for name, value in vars(batch).items() if name not in ("views", "index")}
        terms = {}
        for m, head in zip(self.dims, net.heads, strict=True):
            terms[f"first {m}"] = self.objective_.loss(head, Batch([view[:, :m] for view in z], batch.index, **more))
        return terms


class Prefix(nn.Identity):
    """Stands where an objective expects its encoder: what comes is embedded already."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width


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


def truncate(Z: Any, m: int) -> np.ndarray:
    """The first m numbers of each vector, at unit length again: float32 [n, m]."""
    Z = check_vectors(Z)
    if not 1 <= m <= Z.shape[1]:
        raise InputError(f"m is {m}: the vectors have 1 to {Z.shape[1]} numbers")
    return unit(torch.from_numpy(np.array(Z[:, :m], dtype=np.float32))).numpy()


def funnel_search(queries: Any, Z: Any, k: int = 10, dims: tuple[int, ...] = (16, 64), shortlist: int = 200) -> np.ndarray:
    """The k nearest rows of Z [n, d] by cosine for each query [m, d], searched coarse to fine: int64 [m, k], nearest first.

    All rows are compared on the first dims[0] numbers; `shortlist` of them again on dims[1], half as many on each size that
    follows (never fewer than k). Multiply-adds a query: n * dims[0] + shortlist * dims[1] + ..., instead of n * dims[-1].
    """
    queries, Z = check_vectors(queries, "queries"), check_vectors(Z)
    if not dims or list(dims) != sorted(set(dims)) or queries.shape[1] != Z.shape[1]:
        raise InputError(f"wanted dims that grow, and queries as long as the vectors ({Z.shape[1]}); got {dims!r}, {queries.shape[1]}")
    if not 1 <= k <= min(shortlist, len(Z)):
        raise InputError(f"k is {k}: wanted 1 to {min(shortlist, len(Z))}, the shortlist or all vectors")
    first, *finer = dims
    keep = min(shortlist, len(Z)) if finer else k
    found = torch.from_numpy(truncate(queries, first) @ truncate(Z, first).T).topk(keep, dim=1).indices
    for step, m in enumerate(finer):
        keep = k if step == len(finer) - 1 else max(k, keep // 2)
        rows = unit(torch.from_numpy(Z[found.numpy(), :m]))
        closeness = torch.einsum("qd,qnd->qn", torch.from_numpy(truncate(queries, m)), rows)
        found = found.gather(1, closeness.topk(keep, dim=1).indices)
    return found.numpy()
