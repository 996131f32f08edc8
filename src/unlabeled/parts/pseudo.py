"""Training on labels that the method gives its examples itself: what DeepCluster, ClusterFit, SeLa and their kin share."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.parts.assign import kmeans
from unlabeled.parts.gather import gather_rows, same_on_every_rank
from unlabeled.parts.losses import unit
from unlabeled.parts.memory import Bank
from unlabeled.parts.whiten import Whitening


class PseudoLabels(nn.Module):
    """A label for every example, int64 [n], and the linear classifier that learns to predict it. Saved in checkpoints.

    norm: features are standardised over the batch first, so that a classifier that starts anew learns within a few dozen steps.
    `rounds` counts how often the labels were set (0: never yet), `epochs` is for a method's own count of them.
    """

    labels: Tensor
    rounds: Tensor
    epochs: Tensor

    def __init__(self, n: int, classes: int, width: int, norm: bool = False):
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False) if norm else nn.Identity()
        self.classify = nn.Linear(width, classes)
        self.register_buffer("labels", torch.zeros(n, dtype=torch.long))
        self.register_buffer("rounds", torch.zeros((), dtype=torch.long))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.long))

    @property
    def classes(self) -> int:
        return self.classify.out_features

    def forward(self, features: Tensor, index: Tensor) -> Tensor:
        """Cross-entropy of features [m, width] with the labels of the examples `index` [m]."""
        return F.cross_entropy(self.classify(self.norm(features)).float(), self.labels[index])

    @torch.no_grad()
    def relabel(self, labels: Any, *, seed: int | None) -> None:
        """New labels [n] for all. seed: with one, the classifier starts anew, as it must when the numbers have lost their meaning."""
        new = torch.as_tensor(labels, dtype=torch.long, device=self.labels.device)
        self.labels.copy_(same_on_every_rank(new.clone()))
        self.rounds += 1
        if seed is not None:
            restart(self.classify, seed=draw(seed, int(self.rounds)))

    def order(self, n: int, generator: torch.Generator) -> Tensor:
        return uniform_over(self.labels, n, generator)


class ClusterMemory(nn.Module):
    """A feature and a label for every example, a centroid for every cluster; all features and centroids of unit length.

    momentum: weight of the NEW feature in a row, as in the authors' code. smallest: clusters of fewer examples are dissolved.
    """

    labels: Tensor
    centroids: Tensor

    def __init__(self, n: int, k: int, dim: int, momentum: float, smallest: int):
        super().__init__()
        self.bank, self.smallest = Bank(n, dim, momentum=1 - momentum), smallest
        self.register_buffer("labels", torch.zeros(n, dtype=torch.long))
        self.register_buffer("centroids", torch.zeros(k, dim))

    @property
    def sizes(self) -> Tensor:
        return self.labels.bincount(minlength=len(self.centroids))

    def start(self, features: Tensor, seed: int) -> None:
        """k-means on the features [n, dim] of all examples."""
        self.bank.rows.copy_(same_on_every_rank(unit(features)))
        found = kmeans(self.bank.rows, len(self.centroids), metric="cosine", seed=seed, iters=20)
        self.labels.copy_(same_on_every_rank(torch.from_numpy(found.labels).to(self.labels.device)))
        self.recentre()

    def update(self, index: Tensor, features: Tensor) -> None:
        """The batch's features move their rows, and each takes the label of the nearest centroid."""
        self.bank.update(index, features)
        everyone = gather_rows(index)
        self.labels[everyone] = (self.bank.rows[everyone] @ self.centroids.T).argmax(dim=1)

    def recentre(self, *clusters: int) -> None:
        """Centroids of these clusters (of all, if none is named): the mean of their members' features. Empty ones stay."""
        sums = torch.zeros_like(self.centroids).index_add_(0, self.labels, self.bank.rows)
        full = self.sizes > 0
        if clusters:
            full &= torch.zeros_like(full).index_fill_(0, torch.tensor(clusters, device=full.device), True)
        self.centroids[full] = unit(sums[full])

    def mend(self) -> None:
        """Members of small clusters join the nearest other one; each freed number takes half of the largest cluster."""
        small = self.sizes < self.smallest
        if not small.any() or small.all():
            return
        homeless = small[self.labels].nonzero().flatten()
        nearness = (self.bank.rows[homeless] @ self.centroids.T).masked_fill(small, -torch.inf)
        self.labels[homeless] = nearness.argmax(dim=1)
        for free in small.nonzero().flatten().tolist():
            largest = int(self.sizes.argmax())
            members = (self.labels == largest).nonzero().flatten()
            half = torch.from_numpy(kmeans(self.bank.rows[members], 2, metric="cosine", iters=20).labels).to(members.device) == 1
            if half.all() or not half.any():  # all alike
                half = torch.arange(len(members), device=members.device) % 2 == 1
            self.labels[members[half]] = free
            self.recentre(largest, free)


def groups(wanted: int, n: int, name: str = "clusters") -> int:
    """How many clusters of n examples: as many as wanted, but no more than leaves each five examples on average."""
    if not isinstance(wanted, int | np.integer) or wanted < 2:
        raise InputError(f"{name} must be a whole number of at least 2, got {wanted!r}")
    return int(min(wanted, max(2, n // 5)))


def draw(seed: int, turn: int) -> int:
    """A seed for the turn-th random decision of a run: the same in a resumed run as in a whole one."""
    return zlib.crc32(f"{seed}/{turn}".encode())


@torch.no_grad()
def restart(linear: nn.Linear, *, seed: int, std: float = 0.01) -> None:
    """New small random weights and no bias, the same in every process. The optimizer's moments for them fade by themselves."""
    fresh = torch.randn(linear.weight.shape, generator=torch.Generator().manual_seed(seed)) * std
    linear.weight.copy_(fresh)
    if linear.bias is not None:
        linear.bias.zero_()


def cluster(Z: np.ndarray, k: int, *, seed: int, pca: int | None = 256, iters: int = 20) -> np.ndarray:
    """k-means labels, int64 [n], of features [n, d]: whitened on their first `pca` principal axes, made unit length, clustered.

    pca=None: as they are but for the length. Caron et al., 2018, arXiv:1807.05520, section 4.
    """
    if pca is not None:
        Z = Whitening.fit(Z, 1.0, min(pca, *Z.shape)).transform(Z)
    return kmeans(F.normalize(torch.from_numpy(Z), dim=1).numpy(), k, seed=seed, iters=iters).labels


def uniform_over(labels: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n examples, int64, every label that occurs equally often (to within one), each label's examples in turn; shuffled.

    Large clusters are cut and small ones repeated, so a few large ones can't take over the classifier.
    """
    labels = labels.cpu()
    shuffled = torch.randperm(len(labels), generator=generator)
    members = shuffled[labels[shuffled].argsort(stable=True)]  # by label, at random within each
    _, sizes = labels.unique(return_counts=True)
    starts = sizes.cumsum(0) - sizes
    which = torch.randperm(len(sizes), generator=generator)[torch.arange(n) % len(sizes)]  # which label gets one more is chance
    turn = torch.arange(n) // len(sizes)
    chosen = members[starts[which] + turn % sizes[which]]
    return chosen[torch.randperm(n, generator=generator)]


def outputs(net: nn.Module, function: Callable[[Tensor], Tensor], data: Any) -> Tensor:
    """function(x) for all examples as they are, without views: float32 [n, ...]. In eval mode, without gradients.

    For methods that label by more than what `Learner.embed_all` gives: a projection, a classifier's logits.
    """
    order, training, parts = data.order(), net.training, []
    net.eval()
    with torch.no_grad():
        for start in range(0, len(order), data.rows):
            parts.append(function(data.batch(order[start : start + data.rows])).float())
    net.train(training)
    rows = torch.cat(parts)
    result = torch.empty_like(rows)
    result[torch.from_numpy(order).to(rows.device)] = rows
    return result
