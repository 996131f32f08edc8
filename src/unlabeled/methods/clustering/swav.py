"""SwAV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, cat, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.assign import sinkhorn
from unlabeled.parts.by_size import encode_by_size
from unlabeled.parts.gather import gather_rows, rank
from unlabeled.parts.heads import Prototypes, mlp
from unlabeled.parts.losses import swapped_prediction, unit
from unlabeled.parts.memory import Queue
from unlabeled.parts.pseudo import outputs
from unlabeled.views import views_for


@dataclass(kw_only=True, eq=False)
class SwAV(Learner):
    """Predict from each view to which prototypes another view of the picture was assigned, all prototypes used alike.

    Caron, Misra, Mairal, Goyal, Bojanowski and Joulin, 2020, "Unsupervised Learning of Visual Features by Contrasting Cluster
    Assignments", arXiv:2006.09882. The paper's settings for ImageNet: prototypes=3000, dim=128, hidden=2048, 2 views of 224 and 6 of
    96 pixels, LARS with lr 0.6 for every 256 examples, weight_decay=1e-6, prototypes frozen for one epoch, 100 to 800 epochs;
    for batches of 256 a queue of 3840 from epoch 15 on.
    """

    prototypes: int = 100  # some times more than there are kinds of things
    dim: int = 64  # width of the projection
    hidden: int = 256
    eps: float = 0.03  # how soft the codes are; the paper: 0.05. Where the loss stays near log(prototypes), lower it
    sinkhorn_iters: int = 3  # 0: each code is a plain softmax, and nothing keeps all examples from one prototype
    temperature: float = 0.1
    coded: int = 2  # the first so many views give codes; the others, small crops, only predict them
    queue: int = 0  # so many earlier projections share in the balancing: for batches smaller than `prototypes`
    queue_start: float = 0.25  # share of the training after which the queue is used
    freeze: float = 0.05  # share of the training in which the prototypes stay as they began

    def build(self, encoder: nn.Module) -> Net:
        if self.coded < 1 or self.queue < 0 or self.sinkhorn_iters < 0:
            raise InputError(f"wanted coded >= 1, queue and sinkhorn_iters >= 0, got {self.coded}, {self.queue}, {self.sinkhorn_iters}")
        modules = {"project": mlp(encoder.width, self.hidden, self.dim), "prototypes": Prototypes(self.dim, self.prototypes)}
        if self.queue:
            modules["queues"] = nn.ModuleList(Queue(self.queue, self.dim) for _ in range(self.coded))
        net = Net(encode=encoder, **modules)
        net.register_buffer("step", torch.zeros((), dtype=torch.long))
        return net

    def default_views(self, kind: str) -> Any:
        # Small crops of small pictures are stamps: on CIFAR-10 two large crops for longer were 3 points better (docs/reproductions).
        return views_for(kind, views=2, local=0 if kind == "image" and self.inputs_.size <= 48 else 4)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        if len(batch.views) < 2:
            raise InputError(f"SwAV swaps predictions between views: wanted 2 views or more, got {len(batch.views)}")
        encoded = encode_by_size(net.encode, batch.views)
        z = unit(net.project(encoded)).chunk(len(batch.views))
        scores = [net.prototypes(view, frozen=int(net.step) < self.freeze * self.steps_) for view in z]
        batch.projected = [view.detach() for view in z[: self.coded]]
        terms = []
        for i in range(min(self.coded, len(z))):
            code = self.codes(net, i, scores[i])
            terms += [swapped_prediction(scores[v], code, self.temperature) for v in range(len(z)) if v != i]
        return torch.stack(terms).mean()

    @torch.no_grad()
    def codes(self, net: Net, i: int, scores: Tensor) -> Tensor:
        """Soft assignments [n, k] of view i by its scores, balanced over the whole batch and the queue. No gradient."""
        if not self.sinkhorn_iters:
            return (scores / self.eps).softmax(dim=1)
        n, everyone = len(scores), gather_rows(scores.detach())
        if self.queue and int(net.step) >= self.queue_start * self.steps_ and len(net.queues[i].vectors) == self.queue:
            everyone = cat([everyone, net.prototypes(net.queues[i].vectors)])  # scored anew: the prototypes have moved since
        return sinkhorn(everyone, self.eps, self.sinkhorn_iters)[rank() * n : (rank() + 1) * n]

    def after_step(self, net: Net, batch: Batch) -> None:
        net.step += 1
        net.prototypes.weight.copy_(unit(net.prototypes.weight))  # which also undoes weight decay
        for queue, z in zip(net.queues if self.queue else (), batch.projected, strict=False):
            queue.add(z)

    def assign(self, X: Any) -> np.ndarray:
        """The nearest prototype of each example, int64 [n]."""
        data = Source(self._items(X, reset=False), self.net_.encode, self.inputs_)
        return outputs(self.net_, lambda x: self.net_.prototypes(self.net_.project(self.net_.encode(x))), data).argmax(dim=1).numpy()

    @property
    def prototypes_(self) -> np.ndarray:
        """float32 [prototypes, dim], of unit length."""
        return self.net_.prototypes.weight.detach().numpy()
