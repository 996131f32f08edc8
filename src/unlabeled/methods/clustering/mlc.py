"""MLC: manifold linearizing and clustering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import coding_rate, negative_cosine, unit
from unlabeled.parts.pseudo import outputs
from unlabeled.parts.spectral import membership, nearest_subspace, spectral, subspaces

WHOLE_SET = 5_000  # examples whose membership is clustered at once; the others go to the nearest subspace


@dataclass(kw_only=True, eq=False)
class MLC(Learner):
    """Clusters, and a representation in which each is a linear subspace nearly orthogonal to the others.

    Ding, Tong, Chan, Dai, Ma and Haeffele, 2023, "Unsupervised Manifold Linearizing and Clustering", arXiv:2301.01805.
    Two heads stand on the encoder, features z and cluster codes c, unit rows [n, dim]. All z together shall need many bits,
    those that a soft doubly stochastic membership G [n, n], from |c c^T|, holds together few: minimise -R(z) + R_c(z, G) +
    gamma/2 |G|^2. First, for `warm` of the steps, z alone learns to need many bits and not to change with the view; its head
    then starts the cluster head. The paper: batches of 1000 to 2000, dim 128, SGD with rates of their own for the heads.

    transform gives z; `labels_`: int64 [n]; `subspaces_`: float32 [n_clusters, dim, rank], orthonormal columns.
    """

    n_clusters: int = 10
    dim: int = 64  # a cluster is told from noise only where a batch holds more than dim * n_clusters rows
    hidden: int = 256
    eps2: float = 0.1  # squared error up to which a row is coded
    eta: float = 0.175  # temperature of the membership
    gamma: float = 0.05
    warm: float = 0.5  # share of the steps that goes to the features alone; 0: the cluster head starts at random
    invariance: float = 50.0  # weight of the views' agreement in those steps
    expansion: float = 1.0  # weight of R(z); with 0 the features collapse
    rank: int = 8  # of the subspaces that new examples are assigned by
    clip: float | None = 1.0
    whiten: float | None = 0.0

    def build(self, encoder: Any) -> Net:
        if not 2 <= self.n_clusters <= max(self.n_items_, 2) or not 0 <= self.warm <= 1 or not 1 <= self.rank <= self.dim:
            wanted = f"n_clusters from 2 to the {self.n_items_} examples, warm from 0 to 1, rank from 1 to dim"
            raise InputError(f"wanted {wanted}, got {self.n_clusters!r}, {self.warm!r}, {self.rank!r}")
        if not self.eps2 > 0 or not self.eta > 0:
            raise InputError(f"eps2 and eta must be positive, got {self.eps2!r} and {self.eta!r}")
        features, clusters = (mlp(encoder.width, self.hidden, self.dim) for _ in range(2))
        net = Net(encode=encoder, features=features, clusters=clusters)
        net.register_buffer("step", torch.zeros((), dtype=torch.long))
        net.register_buffer("labels", torch.full((self.n_items_,), -1))
        net.register_buffer("subspaces", torch.zeros(self.n_clusters, self.dim, self.rank))
        return net

    def optimizers(self, net: Net) -> dict[str, torch.optim.Optimizer]:
        return {"loss": self.optimizer_over(constant=(net,))}  # a rate that fell over both stages would leave the second hardly any

    def loss(self, net: Net, batch: Batch) -> Tensor:
        h = [net.encode(view) for view in batch.views]
        z = [unit(net.features(rows)) for rows in h]
        if int(net.step) < self.warm * self.steps_:
            mean = gather_rows(torch.stack(z).mean(dim=0))
            return self.invariance * (1 + negative_cosine(z[0], z[-1])) - self.expansion * coding_rate(mean, self.eps2)
        everyone, c = gather_rows(torch.cat(z)), gather_rows(torch.cat([unit(net.clusters(rows)) for rows in h]))
        g = membership(c, self.eta)
        apart = (coding_rate(everyone, self.eps2, g.T) * g.sum(dim=0)).mean()  # every example has a cluster of its own: its column
        return apart - self.expansion * coding_rate(everyone, self.eps2) + self.gamma / 2 * g.square().sum()

    def after_step(self, net: Net, batch: Batch) -> None:
        before = int(net.step)
        net.step += 1
        if before < self.warm * self.steps_ <= before + 1:
            net.clusters.load_state_dict(net.features.state_dict())

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return unit(net.features(net.encode(x)))

    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        """As `Learner.fit`; then the membership of all examples (of 5,000, if there are more) is cut into clusters."""
        super().fit(X, y, **options)
        items = self._items(X, reset=False)
        some = np.sort(np.random.default_rng(self.seed).permutation(len(items))[:WHOLE_SET])
        part, z = items if len(some) == len(items) else items.subset(some), torch.from_numpy(self.transform(items))
        labels = torch.from_numpy(spectral(self.membership(part), self.n_clusters, self.seed))
        self.net_.subspaces.copy_(subspaces(z[some], labels, self.n_clusters, self.rank))
        self.net_.labels.copy_(nearest_subspace(z, self.net_.subspaces))
        self.net_.labels[torch.from_numpy(some)] = labels
        return self

    def membership(self, X: Any) -> np.ndarray:
        """How strongly the examples of X belong together: float32 [n, n], rows and columns add up to 1."""
        source = Source(self._items(X, reset=False), self.net_.encode, self.inputs_)
        return membership(outputs(self.net_, lambda x: unit(self.net_.clusters(self.net_.encode(x))), source), self.eta).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The cluster whose subspace holds most of each example's features: int64 [n]."""
        return nearest_subspace(torch.from_numpy(self.transform(X)), self.net_.subspaces).numpy()

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        return self.fit(X).labels_

    @property
    def labels_(self) -> np.ndarray:
        return self.net_.labels.numpy()

    @property
    def subspaces_(self) -> np.ndarray:
        return self.net_.subspaces.numpy()
