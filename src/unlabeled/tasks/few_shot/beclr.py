"""Pretraining without labels for tasks with a handful of them, and the classifier that makes the most of the handful."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.assign import kmeans, sinkhorn
from unlabeled.parts.gather import gather_rows, rank, same_on_every_rank
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import negative_cosine, unit
from unlabeled.parts.pseudo import groups
from unlabeled.parts.teacher import Teacher
from unlabeled.vectors import VectorClassifier


@dataclass(kw_only=True, eq=False)
class BECLR(Learner):
    """Predict a slow copy's view of the other crop, for each example and for its neighbours in a clustered memory.

    Poulakakis-Daktylidis and Jamali-Rad, 2024, "BECLR: Batch Enhanced Contrastive Few-Shot Learning", arXiv:2402.02444. Student
    and teacher have a memory each (DyCE): k-means when it is first full, then each batch is dealt out evenly over the clusters
    (Sinkhorn), and its vectors go in as the oldest go out. Every embedding is joined by its topk nearest members of its own
    cluster; a weak uniformity term keeps embeddings apart. The paper, mini-ImageNet: ResNet-18, dim=512, memory 8192, 200
    clusters, momentum 0.996 rising to 1, SGD, batches of 256, 400 epochs, views in which patches are masked, too.
    Departures: the memory is asked before the batch goes in, so that nothing finds itself; what was seen in the last epoch may
    be found, and so in a small set the memory is at most as large as the set. For the second half, see `FewShotClassifier`.
    """

    memory: int = 2048  # vectors that are remembered, two for each example
    clusters: int = 50
    topk: int = 3  # neighbours that join each embedding; 0 leaves the memory out
    start: float = 0.2  # share of the training after which they do
    dim: int = 128
    momentum: float = 0.97  # of the teacher, rising to 1
    uniformity: float = 0.1  # weight of the term that keeps embeddings apart
    temperature: float = 2.0  # of that term
    sides: str = "ST"  # whose embeddings of the two views it is made of: student and teacher, or "SS"
    eps: float = 0.05  # of the assignment to clusters

    def build(self, encoder: nn.Module) -> Net:
        if not isinstance(self.topk, int | np.integer) or self.topk < 0 or not 0 <= self.start <= 1 or self.sides not in ("ST", "SS"):
            raise InputError(f'wanted topk >= 0, start in [0, 1] and sides "ST" or "SS", got {self.topk}, {self.start}, {self.sides!r}')
        project = mlp(encoder.width, self.dim, self.dim, self.dim, last="bn")
        teacher = Teacher(encoder, project, momentum=self.momentum, steps=self.steps_)
        net = Net(encode=encoder, project=project, predict=mlp(self.dim, max(1, self.dim // 4), self.dim), teacher=teacher)
        if self.topk:
            size = max(2, min(self.memory, self.n_items_))
            for name in ("remember", "teacher_remember"):
                net.add_module(name, ClusteredMemory(size, self.dim, groups(self.clusters, size), self.eps, self.seed))
        return net

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        v1, v2 = batch.views[:2]
        z = [net.project(net.encode(view)).float() for view in (v1, v2)]
        target = [net.teacher(view).float() for view in (v1, v2)]
        batch.seen = (z, target)
        if self.topk and int(net.teacher.step) >= self.start * self.steps_:
            z, target = net.remember.enhanced(z, self.topk), net.teacher_remember.enhanced(target, self.topk)
        p1, p2 = (net.predict(one) for one in z)
        positive = (negative_cosine(p1, target[1]) + negative_cosine(p2, target[0])) / 2
        apart = uniformity(z[0], target[1] if self.sides == "ST" else z[1], self.temperature)
        return {"positive": positive, "apart": self.uniformity * apart}

    def after_step(self, net: Net, batch: Batch) -> None:
        net.teacher.update()
        if self.topk:
            net.remember.add(batch.seen[0])
            net.teacher_remember.add(batch.seen[1])


class ClusteredMemory(nn.Module):
    """DyCE: the last `size` embeddings as they came, and the cluster of each. Buffers: saved, never a gradient."""

    rows: Tensor
    labels: Tensor
    centers: Tensor
    added: Tensor

    def __init__(self, size: int, dim: int, clusters: int, eps: float = 0.05, seed: int = 0):
        super().__init__()
        self.eps, self.seed = eps, seed
        self.register_buffer("rows", torch.zeros(size, dim))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.long))
        self.register_buffer("centers", torch.zeros(clusters, dim))
        self.register_buffer("added", torch.zeros((), dtype=torch.long))

    @property
    def full(self) -> bool:
        return int(self.added) >= len(self.rows)

    def assign(self, z: Tensor) -> Tensor:
        """The cluster of each of z [m, dim], dealt out evenly: int64 [m]."""
        return sinkhorn(unit(z) @ unit(self.centers).T, self.eps, 3).argmax(dim=1)

    @torch.no_grad()
    def neighbours(self, z: Tensor, labels: Tensor, k: int) -> Tensor:
        """The k most similar rows that are in the same cluster; in the whole memory where it has fewer than k. int64 [m, k]."""
        outside = labels[:, None] != self.labels
        outside &= (len(self.rows) - outside.sum(dim=1, keepdim=True)) >= k
        return (unit(z) @ unit(self.rows).T).masked_fill(outside, -torch.inf).topk(k, dim=1).indices

    def enhanced(self, views: list[Tensor], k: int) -> list[Tensor]:
        """Each view's embeddings [n, dim], then the first neighbour of each, then the second, ...: [n * (1 + k), dim].

        As they are while the memory isn't full. The order is the same in all views, so row i is of one example in all of them.
        """
        if not self.full:
            return views
        n, k = len(views[0]), min(k, len(self.rows))
        with torch.no_grad():  # all views of all processes are dealt out at once
            labels = self.assign(torch.cat([gather_rows(z.detach()) for z in views])).chunk(len(views))
            found = [self.neighbours(z, one[rank() * n :][:n], k) for z, one in zip(views, labels, strict=True)]
            rows = self.rows.clone()  # the memory moves on before the gradient is taken where there are several turns
        return [torch.cat([z, rows[index.T.flatten()]]) for z, index in zip(views, found, strict=True)]

    @torch.no_grad()
    def add(self, views: list[Tensor]) -> None:
        """The embeddings of a batch, in place of the oldest; clusters are made when the memory is first full, then follow."""
        z = torch.cat([gather_rows(one.detach()) for one in views])
        labels = self.assign(z) if self.full else torch.zeros(len(z), dtype=torch.long, device=z.device)
        z, labels, before = z[-len(self.rows) :], labels[-len(self.rows) :], self.full
        slots = (int(self.added) + torch.arange(len(z), device=z.device)) % len(self.rows)
        self.rows[slots], self.labels[slots] = z, labels
        self.added += len(z)
        if self.full and not before:
            found = kmeans(self.rows, len(self.centers), metric="cosine", seed=self.seed, iters=20)
            self.labels.copy_(same_on_every_rank(torch.from_numpy(found.labels).to(z.device)))
        if self.full:
            sums = torch.zeros_like(self.centers).index_add_(0, self.labels, unit(self.rows))
            there = self.labels.bincount(minlength=len(self.centers)) > 0
            self.centers[there] = unit(sums[there])


def uniformity(z1: Tensor, z2: Tensor, temperature: float = 2.0) -> Tensor:
    """log of the mean of exp(cos / temperature) over all pairs of the 2n rows but those of a row with itself and its partner.

    z1, z2: [n, d], n >= 2, row i of both of one example.
    """
    if z1.shape != z2.shape or len(z1) < 2:
        raise ValueError(f"wanted two views [n, d] of at least 2 examples, got {tuple(z1.shape)} and {tuple(z2.shape)}")
    with torch.autocast(z1.device.type, enabled=False):
        z = unit(torch.cat([gather_rows(z1), gather_rows(z2)]))
        n = len(z) // 2
        own = torch.eye(n, dtype=torch.bool, device=z.device).repeat(2, 2)
        logits = (z @ z.T / temperature).masked_fill(own, -torch.inf)
        return logits.flatten().logsumexp(dim=0) - torch.tensor(float(2 * n * (2 * n - 2)), device=z.device).log()


@dataclass(kw_only=True, eq=False)
class FewShotClassifier(VectorClassifier):
    """A classifier from a handful of labelled vectors, moved to where the vectors to be classified lie (OpTA).

    From BECLR (arXiv:2402.02444): class means are replaced by the mean of the queries that an entropic transport plan between
    the two, with equal shares for all, sends to them; `passes` times; then a logistic regression on them and the labelled rows
    (the authors' on them alone, which loses some points at five examples a class). Only directions count.
    For vectors of any origin: fit(Z [n, d], y) takes the labelled examples (rows labelled -1 or "" are left out), predict takes
    the queries TOGETHER, as what it says of one depends on the others.

        model = FewShotClassifier().fit(Z[labelled], names)
        names = model.predict(Z[others])

    The plan takes it for granted that every class has about as many queries: where it hasn't, or where queries come one by one,
    take align=None, the plain logistic regression on the labelled rows. With fewer queries than classes nothing is moved.
    """

    align: str | None = "opta"
    passes: int = 1  # the paper: 1 to 3
    eps: float = 0.05  # of the transport, the largest cost being 1; the authors' code

    def fit(self, Z: Any, y: Any) -> Self:
        if self.align not in ("opta", None) or not self.eps > 0 or not isinstance(self.passes, int | np.integer) or self.passes < 1:
            wanted = 'align "opta" or None, eps > 0 and passes >= 1'
            raise InputError(f"wanted {wanted}, got {self.align!r}, {self.eps!r} and {self.passes!r}")
        Z, codes = self._labelled(Z, y)
        self.support_, self.codes_ = directions(Z[codes >= 0]), codes[codes >= 0]
        return self

    def predict_proba(self, Z: Any) -> np.ndarray:
        from sklearn.linear_model import LogisticRegression

        queries, ways = directions(self._vectors(Z, reset=False)), len(self.classes_)
        rows, codes = self.support_, self.codes_
        if self.align is not None and len(queries) >= ways:
            means = np.stack([rows[codes == code].mean(axis=0) for code in range(ways)])
            moved = transported(means, queries, self.passes, self.eps)
            rows, codes = np.concatenate([moved, rows]), np.concatenate([np.arange(ways), codes])
        return LogisticRegression(max_iter=1000).fit(rows, codes).predict_proba(queries)


def directions(Z: np.ndarray) -> np.ndarray:
    """Rows of length sqrt(d), at which a logistic regression's usual penalty suits; a row of zeros stays. float64."""
    Z = np.asarray(Z, dtype=np.float64)
    return F.normalize(torch.from_numpy(Z), dim=1).numpy() * Z.shape[1] ** 0.5


def transported(prototypes: np.ndarray, queries: np.ndarray, passes: int = 1, eps: float = 0.05) -> np.ndarray:
    """Where prototypes [k, d] end when each goes to the mean of its share of the queries [m, d]: float64 [k, d].

    The shares: entropic optimal transport with equal masses, cost the squared distance over the largest one.
    """
    P, Q = (torch.from_numpy(np.asarray(one, dtype=np.float64)) for one in (prototypes, queries))
    for _ in range(passes):
        cost = torch.cdist(Q, P, compute_mode="donot_use_mm_for_euclid_dist").square()
        plan = sinkhorn(-cost / cost.max().clamp(min=1e-12), eps, 1000, tol=1e-4, absorb=20)
        P = (plan / plan.sum(dim=0)).T @ Q
    return P.numpy()
