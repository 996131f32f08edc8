"""G-SimCLR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Net, Source, plan
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.methods.generative.autoencoder import codes
from unlabeled.parts.assign import kmeans
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.losses import nt_xent


@dataclass(kw_only=True, eq=False)
class GSimCLR(SimCLR):
    """SimCLR in which examples of one pseudo-label, a cluster of a denoising auto-encoder's codes, never repel each other.

    Chakraborty, Gosthipaty and Paul, 2020, "G-SimCLR: Self-Supervised Contrastive Learning with Guided Projection via
    Pseudo Labelling", arXiv:2009.12007. The paper: 10 clusters on CIFAR-10, so batches of at most 10, ResNet-20, temperature 0.1.
    Guided batches visit small clusters more often than their share. `pseudo_labels_`: int64 [n].
    """

    batches: str = "guided"  # at most one example of each cluster in a batch; "mask": any batch, pairs of one cluster are left out
    pseudo_labels: Any = None  # int [n], of your own for the fitted examples, instead of the auto-encoder's
    clusters: int | None = None  # by default as many as a batch has examples ("guided"), or 10 ("mask")
    latent: int = 64
    noise: float = 0.2
    coder_epochs: int = 20  # of the auto-encoder

    def build(self, encoder: nn.Module) -> Net:
        if self.batches not in ("guided", "mask"):
            raise InputError(f'batches must be "guided" or "mask", got {self.batches!r}')
        net, size = super().build(encoder), min(self.batch_size, max(self.n_items_, 1))
        if self.clusters is not None and (self.clusters < 1 or (self.batches == "guided" and self.clusters < size)):
            raise InputError(
                f"{self.clusters} clusters can't fill a batch of {size} with one example each: lower batch_size or use batches='mask'"
            )
        net.register_buffer("labels", torch.full((self.n_items_,), -1))  # saved: a resumed run must not cluster anew
        return net

    @property
    def pseudo_labels_(self) -> np.ndarray:
        return self.net_.labels.numpy()

    def before_epoch(self, net: Net, data: Source) -> None:
        if bool((net.labels < 0).any()):
            net.labels.copy_(torch.from_numpy(self.group(data)))

    def group(self, data: Source) -> np.ndarray:
        if self.pseudo_labels is not None:
            return check_labels(self.pseudo_labels, len(data))
        default = plan(self, len(data)).batch_size if self.batches == "guided" else min(10, len(data))
        settings = {"latent": self.latent, "epochs": self.coder_epochs, "encoder": self.encoder, "noise": self.noise, "device": self.device}
        return kinds(data.items, self.clusters or default, seed=self.seed, **settings)

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        if self.batches == "mask":
            return super().order(net, n, generator)
        return guided_order(net.labels.cpu(), plan(self, n).batch_size, generator)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        z1, z2 = net.project(net.encode(torch.cat(batch.views[:2]))).chunk(2)
        same = None
        if self.batches == "mask":
            labels = net.labels[batch.index]
            same = labels[:, None] == gather_rows(labels)
        return nt_xent(z1, z2, self.temperature, exclude=same)


def kinds(items: Any, clusters: int, *, seed: int, **settings: Any) -> np.ndarray:
    """Pseudo-labels, int64 [n]: k-means on the standardised codes of a denoising auto-encoder (settings: `autoencoder.codes`).

    Spherical: Euclidean k-means leaves clusters of a few outliers, which guided batches would draw again and again.
    """
    return kmeans(codes(items, seed=seed, **settings), clusters, metric="cosine", seed=seed, n_init=5).labels


def check_labels(labels: Any, n: int) -> np.ndarray:
    array = np.asarray(labels)
    if array.shape != (n,) or array.dtype.kind not in "iu" or (n and array.min() < 0):
        raise InputError(f"pseudo_labels is {array.dtype} {array.shape} for {n} examples: wanted one whole number from 0 for each")
    return array.astype(np.int64)


def guided_order(labels: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """n examples, int64 [n], in batches of `batch_size` that hold at most one example of each label.

    labels: int [n]. Each batch draws labels without replacement, large ones more likely (their size is their chance), and
    takes the next example of each; a label's examples come in shuffled rounds, so those of small labels come more often.
    InputError: fewer labels than a batch has examples.
    """
    n = len(labels)
    shuffled = torch.randperm(n, generator=generator)
    sizes = labels.unique(return_counts=True)[1]
    if len(sizes) < batch_size:
        raise InputError(f"{len(sizes)} clusters can't fill a batch of {batch_size} with one example each: lower batch_size")
    members = shuffled[labels[shuffled].argsort(stable=True)].split(sizes.tolist())
    steps = -(-n // batch_size)
    gumbel = -(-torch.rand(steps, len(sizes), generator=generator).clamp(1e-12, 1 - 1e-7).log()).log()
    chosen = (sizes.log() + gumbel).topk(batch_size, dim=1).indices  # of each batch: weighted draws without replacement
    order, taken = [], [0] * len(sizes)
    for group in chosen.flatten().tolist():
        order.append(members[group][taken[group] % len(members[group])])
        taken[group] += 1
    return torch.stack(order)[:n]
