"""CPP: clusters of pretrained vectors by rate reduction, how many there are, and a word for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Net
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.checks import number, whole
from unlabeled.parts.coding import coding_length, coding_rates
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import coding_rate, unit
from unlabeled.parts.spectral import membership, nearest_subspace, spectral, subspaces
from unlabeled.tasks.cluster import GRID
from unlabeled.vectors import VectorTransformer

WHOLE_SET = 3_000  # rows whose membership is cut at once; the others go to the nearest subspace
TRIED_ON = 1_200  # rows on which numbers of clusters are compared


@dataclass(kw_only=True, eq=False)
class CPP(VectorTransformer):
    """Clusters of vectors of a pretrained model; features z in which each is a subspace of its own; a number of clusters.

    Chu, Tong, Ding, Dai, Haeffele, Vidal and Ma, 2024, "Image Clustering via the Principle of Rate Reduction in the Age of
    Pretrained Models", arXiv:2306.05272. On a common trunk stand features z and cluster codes c, unit rows [n, z_dim]. First z
    alone learns to need many bits, -R(z); its head then starts the cluster head, and both minimise
    -R(z) + gamma R_c(z, P) + lam/2 |P|^2, where P, doubly stochastic, comes from |c c^T|. The membership of all rows is cut into
    k clusters; k=None takes the number of `ks` whose clusters code z in the fewest nats (`coding_length`).
    The paper: z_dim 128, hidden 4096, batches of 1000 to 2000 of CLIP's vectors, two hidden layers, 15 to 30 epochs. A cluster is told
    from noise only where a batch holds more than z_dim * k rows, so that both are smaller here.

    transform: z, float32 [n, z_dim]; predict: int64 [n]; `labels_`, `k_`, `lengths_` {number of clusters: nats},
    `subspaces_` float32 [k, z_dim, rank]. InputError: more clusters than rows, bad values.

        found = CPP().fit(Z)                                   # or CPP(k=10)
        found.k_, found.labels_, found.transform(Z)
        found.name_clusters(Z, words, model.transform)         # where a text model gave Z
    """

    k: int | None = None
    ks: tuple[int, ...] = GRID
    z_dim: int = 64
    hidden: int = 512
    eps2: float = 0.1  # squared error up to which a row is coded
    eta: float = 0.175  # temperature of the membership; 0.1 to 0.2
    gamma: float = 1.0
    lam: float = 0.05
    expansion: float = 1.0  # weight of R(z); with 0 the features collapse
    warm: float = 0.3  # share of the steps that goes to z alone; 0: the cluster head starts at random
    steps: int = 400
    batch_size: int = 512
    lr: float = 3e-3  # of trunk and features; the cluster head's is two thirds of it
    rank: int = 8  # of the subspaces that further rows are assigned by
    seed: int = 0

    def fit(self, Z: Any, y: Any = None) -> Self:
        X = self._vectors(Z, reset=True, least=2)
        self._check(len(X))
        self.mean_ = X.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.scale_ = float(np.sqrt(np.square(X - self.mean_, dtype=np.float64).mean())) or 1.0
        self.weights_ = {name: value.numpy() for name, value in self._train(self._scaled(X)).state_dict().items()}
        self._n_features_out = self.z_dim

        self.lengths_ = {} if self.k is not None else self._lengths(*self._outputs(X))
        self.k_ = self.k if self.k is not None else min(self.lengths_, key=lambda k: self.lengths_[k])
        self.labels_, self.subspaces_ = self._cut(X, self.k_)
        return self

    def cut(self, Z: Any, k: int) -> np.ndarray:
        """The rows of Z [n, d] in another number of clusters, by the same features and codes: int64 [n]."""
        X = self._vectors(Z, reset=False)
        if whole("k", k) > len(X):
            raise InputError(f"k={k} clusters of {len(X)} rows: wanted at most as many as rows")
        return self._cut(X, k)[0]

    def _cut(self, X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The membership of the rows cut into k, and the subspace on which the features of each lie."""
        some = np.sort(np.random.default_rng(self.seed).permutation(len(X))[:WHOLE_SET])
        z, c = (torch.from_numpy(part) for part in self._outputs(X))
        found = spectral(membership(c[some], self.eta).numpy(), k, self.seed)
        axes = subspaces(z[some], torch.from_numpy(found), k, min(self.rank, self.z_dim))
        labels = nearest_subspace(z, axes).numpy()
        labels[some] = found
        return labels, axes.numpy()

    def _train(self, X: Tensor) -> Net:
        """The network after all steps."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self._net(X.shape[1]).train()
        groups = [{"params": [*net.trunk.parameters(), *net.features.parameters()], "lr": self.lr, "weight_decay": 1e-4}]
        groups += [{"params": [*net.clusters.parameters()], "lr": self.lr * 2 / 3, "weight_decay": 5e-3}]
        optimizer, generator = torch.optim.SGD(groups, momentum=0.9), torch.Generator().manual_seed(self.seed)
        b, warm = min(self.batch_size, len(X)), round(self.warm * self.steps)
        order = torch.empty(0, dtype=torch.long)
        for step in range(self.steps):
            if step == warm and warm:
                net.clusters.load_state_dict(net.features.state_dict())
            if len(order) < b:
                order = torch.randperm(len(X), generator=generator)
            batch, order = X[order[:b]], order[b:]
            h = net.trunk(batch)
            z = unit(net.features(h))
            loss = -self.expansion * coding_rate(z, self.eps2)
            if step >= warm:
                loss = loss + self._apart(z, membership(unit(net.clusters(h)), self.eta))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 10.0)  # without expansion, say, the features would blow up the trunk
            optimizer.step()
        return net.eval()

    def _apart(self, z: Tensor, P: Tensor) -> Tensor:
        """gamma R_c(z, P) + lam/2 |P|^2: bits that the rows need when each is coded with those it belongs with."""
        return self.gamma * (coding_rates(z, P.T, self.eps2) * P.sum(dim=0)).mean() + self.lam / 2 * P.square().sum()

    def _lengths(self, z: np.ndarray, c: np.ndarray) -> dict[int, float]:
        """Coding length for each number of clusters, found on the same rows."""
        rows = np.random.default_rng(self.seed).permutation(len(z))[:TRIED_ON]
        some, affinity = torch.from_numpy(z[rows]), membership(torch.from_numpy(c[rows]), self.eta).numpy()
        tried = [k for k in self.ks if k <= max(1, len(rows) // 5)] or [1]
        return {k: coding_length(some, spectral(affinity, k, self.seed), self.eps2) for k in tried}

    def transform(self, Z: Any) -> np.ndarray:
        """z, float32 [n, z_dim], rows of unit length."""
        return self._outputs(self._vectors(Z, reset=False))[0]

    def predict(self, Z: Any) -> np.ndarray:
        """The cluster whose subspace holds most of each row's z, int64 [n]; of fitted rows `labels_` may differ here and there."""
        return nearest_subspace(torch.from_numpy(self.transform(Z)), torch.from_numpy(self.subspaces_)).numpy()

    def fit_predict(self, Z: Any, y: Any = None) -> np.ndarray:
        return self.fit(Z).labels_

    def name_clusters(self, Z: Any, words: Sequence[str], encode: Callable[[Sequence[str]], Any] | Any, top: int = 3) -> list[list[str]]:
        """For each cluster its `top` words: see `vote`. Z: the fitted rows; encode: words to vectors, as Z came about, or [words, d]."""
        vectors = encode(words) if callable(encode) else encode
        return vote(Z, self.labels_, words, vectors, top)

    def _outputs(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        net = self._net(X.shape[1])
        net.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in self.weights_.items()})
        net.eval()
        with torch.no_grad():
            h = [net.trunk(part) for part in self._scaled(X).split(4096)]
            z, c = (torch.cat([unit(head(part)) for part in h]).numpy() for head in (net.features, net.clusters))
        return z, c

    def _scaled(self, X: np.ndarray) -> Tensor:
        return torch.from_numpy((X - self.mean_) / np.float32(self.scale_))

    def _net(self, features: int) -> Net:
        trunk = nn.Sequential(mlp(features, self.hidden, self.hidden), nn.ReLU())
        return Net(trunk=trunk, features=nn.Linear(self.hidden, self.z_dim), clusters=nn.Linear(self.hidden, self.z_dim))

    def _check(self, n: int) -> None:
        if self.k is not None and whole("k", self.k) > n:
            raise InputError(f"k={self.k} clusters of {n} rows: wanted at most as many as rows")
        if self.k is None and not [whole("ks", k) for k in self.ks]:
            raise InputError("ks is empty: wanted numbers of clusters to choose from")
        for name in ("z_dim", "hidden", "steps", "rank"):
            whole(name, getattr(self, name))
        whole("batch_size", self.batch_size, 2)
        for name in ("eps2", "eta", "lr"):
            number(name, getattr(self, name), 0, above=True)
        for name, high in (("gamma", np.inf), ("lam", np.inf), ("expansion", np.inf), ("warm", 1.0)):
            number(name, getattr(self, name), 0, high)


def vote(Z: Any, labels: np.ndarray, words: Sequence[str], vectors: Any, top: int = 3) -> list[list[str]]:
    """Names for the clusters 0 to max(labels) of the rows of Z [n, d]: each row votes for its nearest word by cosine.

    words: m; vectors: theirs, [m, d], in the space of Z. The `top` words with the most votes, ties by the mean cosine with the cluster;
    fewer where a cluster's rows name fewer.
    """
    X, V = (
        unit(torch.from_numpy(np.asarray(check_vectors(part, name), dtype=np.float32))) for part, name in ((Z, "Z"), (vectors, "vectors"))
    )
    if len(V) != len(words) or V.shape[1] != X.shape[1] or len(labels) != len(X):
        wanted = "one vector a word, as wide as Z's, and one label a row"
        raise InputError(f"{len(words)} words, vectors {list(V.shape)}, Z {list(X.shape)}, {len(labels)} labels: wanted {wanted}")
    choice = torch.cat([(part @ V.T).argmax(dim=1) for part in X.split(1024)]).numpy()
    names = []
    for cluster in range(int(labels.max()) + 1):
        votes = np.bincount(choice[labels == cluster], minlength=len(words))
        near = (V @ X[torch.from_numpy(labels == cluster)].sum(dim=0)).numpy()
        names.append([words[i] for i in np.lexsort((-near, -votes))[:top] if votes[i]])
    return names


__all__ = ["CPP", "vote"]
