"""A classifier of new classes in one pass: a network that writes the weights of another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, plan
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.episodes import Episodes
from unlabeled.parts.gather import gather_rows, same_on_every_rank
from unlabeled.parts.heads import mlp
from unlabeled.parts.labels import classes_of
from unlabeled.parts.losses import unit
from unlabeled.views.whole import whole


@dataclass(kw_only=True, eq=False)
class HyperShot(Learner):
    """Tell n_way new classes apart from k_shot examples of each, after learning on the episodes of other, labelled classes.

    Sendera, Przewiezlikowski, Karanowski, Zieba, Tabor and Spurek, 2023, "HyperShot: Few-Shot Learning by Kernel HyperNetworks",
    arXiv:2203.11378. The support's embeddings give the kernel matrix K [S, S] of all pairs; from K a hypernetwork writes the
    weights of a small network that maps an item's kernel values with the support, [S], to the classes. All are learned
    together, by cross-entropy on support and queries. The paper: four convolutions, hidden=512 to 4096, Adam with lr 1e-3,
    episodes of 16 queries a class, 2000 to 4000 epochs of 100 of them. An episode is a batch here: batch_size / n_way examples of
    a class, k_shot of them its support; `examples` (or `epochs`) says how many episodes there are. The last layer of the
    hypernetwork starts small, with a bias that is a usual start of the target network: weights that all episodes share.

    X as in every `Learner` (pictures, texts, vectors), y [n] the base classes (-1, "", None: no label). transform gives the
    embeddings [n, width]. n_way and, with aggregate="all", k_shot are built into the network's sizes.

        model = HyperShot(n_way=5, k_shot=1).fit(X, y)
        classify = model.episode(X_support, ["cat", "gnu", "emu", "eel", "yak"])
        names = classify(X_query)

    InputError: no labels, fewer than n_way classes of batch_size / n_way examples, a batch_size that isn't a multiple of n_way.
    """

    n_way: int = 5
    k_shot: int = 1
    kernel: str | None = "cosine"  # or "dot", scaled, of learned projections; None: embeddings in place of their kernel values
    aggregate: str = "mean"  # embeddings of a class's support; "all": keep each
    hidden: int = 256  # of the hypernetwork
    target: int = 128  # of the network that it writes
    adapt: int = 0  # steps in which `episode` tunes the written weights on the support
    adapt_lr: float = 1e-2
    batch_size: int = 80
    lr: float = 1e-3
    whiten: float | None = 0.0

    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        """As `Learner.fit`, but with labels: y [n]."""
        if y is None:
            raise InputError("requires y to be passed, but the target y is None: HyperShot learns from the labels of base classes")
        items = self._items(X, reset=True)
        self._codes = torch.from_numpy(_labels(y, len(items))[1])
        self._episodes(self._codes)  # says so when there are too few of anything
        try:
            return super().fit(items, **options)
        finally:
            del self._codes

    def build(self, encoder: nn.Module) -> Net:
        if self.kernel not in ("cosine", "dot", None) or self.aggregate not in ("mean", "all"):
            raise InputError(f'wanted kernel "cosine", "dot" or None, aggregate "mean" or "all", got {self.kernel!r}, {self.aggregate!r}')
        shots = 1 if self.aggregate == "mean" else self.k_shot
        net = Net(encode=encoder, hyper=KernelHyperNetwork(encoder.width, self.n_way, shots, self.kernel, self.hidden, self.target))
        net.register_buffer("labels", getattr(self, "_codes", torch.full((self.n_items_,), -1)))
        return net

    def default_views(self, kind: str) -> Any:
        return whole

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        episodes, order = self._episodes(net.labels.cpu()), np.arange(n)
        for start in range(0, n - self.batch_size + 1, self.batch_size):
            one = episodes.draw(rng)
            order[start : start + self.batch_size] = np.concatenate([one.support, one.query])
        return torch.from_numpy(order)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        z = gather_rows(net.encode(batch.views[0]).float())  # of the whole episode, in every process
        y, mixed = gather_rows(net.labels[batch.index]), same_on_every_rank(torch.randperm(len(z), device=z.device))
        # Which class is the first is drawn anew, or the hypernetwork would learn the base classes by heart.
        rows = torch.stack([mixed[y[mixed] == one] for one in y[mixed][_first_of_each(y[mixed])]])
        support = z[rows[:, : self.k_shot]]  # [n_way, k_shot, width]
        scores = self.scores(net, self.solve(net, support), support, z[rows.flatten()])
        return F.cross_entropy(scores, torch.arange(self.n_way, device=z.device).repeat_interleave(rows.shape[1]))

    def solve(self, net: Net, support: Tensor) -> list[Tensor]:
        """The weights of the classifier that belongs to the support [n_way, k, width]."""
        return net.hyper(self._kept(support))

    def scores(self, net: Net, weights: list[Tensor], support: Tensor, z: Tensor) -> Tensor:
        """Logits [m, n_way] of embeddings z [m, width]."""
        w1, b1, w2, b2 = weights
        return F.linear(F.relu(F.linear(net.hyper.relate(z, self._kept(support)), w1, b1)), w2, b2)

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return net.encode(x)

    def episode(self, X: Any, y: Any, *, embedded: bool = False) -> Classifier:
        """A classifier of the n_way classes in y, from items X [n]; k_shot of each class, with aggregate="mean" any number.

        embedded: X, and what is classified later, are vectors that `transform` gave. InputError: other numbers of classes or items.
        """
        Z = torch.from_numpy(np.array(check_vectors(X) if embedded else self.transform(X)))
        classes, codes = _labels(y, len(Z))
        sizes = np.bincount(codes[codes >= 0])
        if len(classes) != self.n_way or (self.aggregate == "all" and (sizes != self.k_shot).any()):
            wanted = f"{self.n_way} classes" + (f" of {self.k_shot} examples each" if self.aggregate == "all" else "")
            raise InputError(f"the support has {len(classes)} classes of {', '.join(map(str, sizes))} examples: wanted {wanted}")
        groups = [Z[codes == code] for code in range(self.n_way)]
        support = torch.stack([z.mean(dim=0, keepdim=True) for z in groups] if self.aggregate == "mean" else groups)
        with torch.no_grad():
            weights = self.solve(self.net_, support)
        if self.adapt:
            weights = [weight.clone().requires_grad_() for weight in weights]
            optimizer = torch.optim.Adam(weights, lr=self.adapt_lr)
            targets = torch.arange(self.n_way).repeat_interleave(torch.tensor(sizes))
            for _ in range(self.adapt):
                optimizer.zero_grad()
                F.cross_entropy(self.scores(self.net_, weights, support, torch.cat(groups)), targets).backward(inputs=weights)
                optimizer.step()
        return Classifier(self, classes, [weight.detach() for weight in weights], support, embedded)

    def _kept(self, support: Tensor) -> Tensor:
        """[S, width]: a row for each class, or for each example, class by class."""
        return support.mean(dim=1) if self.aggregate == "mean" else support.flatten(0, 1)

    def _episodes(self, labels: Tensor) -> Episodes:
        each, rest = divmod(self.batch_size, self.n_way)
        if rest or each <= self.k_shot:
            wanted = f"a multiple of n_way={self.n_way}, at least {self.n_way * (self.k_shot + 1)} for k_shot={self.k_shot} and a query"
            raise InputError(f"batch_size={self.batch_size} is the size of an episode: wanted {wanted}")
        if plan(self, len(labels)).batch_size < self.batch_size:
            raise InputError(f"{len(labels)} items are fewer than an episode of batch_size={self.batch_size} takes: lower batch_size")
        return Episodes(labels.numpy(), self.n_way, self.k_shot, each - self.k_shot)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class KernelHyperNetwork(nn.Module):
    """From a support [S, width], S = ways * shots, by its kernel matrix, weights and biases of a network [m, S] -> [m, ways]."""

    def __init__(self, width: int, ways: int, shots: int, kernel: str | None, hidden: int, target: int):
        super().__init__()
        self.kernel, size = kernel, ways * shots
        self.project = nn.Linear(width, width) if kernel == "dot" else nn.Identity()
        relations = width if kernel is None else size
        self.shapes = [(target, relations), (target,), (ways, target), (ways,)]
        self.neck = nn.Sequential(mlp(size * relations, hidden, hidden, norm=False), nn.ReLU())
        self.heads = nn.ModuleList(nn.Linear(hidden, math.prod(shape)) for shape in self.shapes)
        starts = [p for layer in (nn.Linear(relations, target), nn.Linear(target, ways)) for p in (layer.weight, layer.bias)]
        for head, start in zip(self.heads, starts, strict=True):
            nn.init.normal_(head.weight, std=0.01)
            head.bias.data.copy_(start.data.flatten())

    def relate(self, z: Tensor, support: Tensor) -> Tensor:
        """Kernel values of z [m, width] with each of the support: [m, S]. Of a vector of zeros the cosines are 0."""
        if self.kernel == "cosine":
            return unit(z) @ unit(support).T
        return z if self.kernel is None else self.project(z) @ self.project(support).T / z.shape[1] ** 0.5

    def forward(self, support: Tensor) -> list[Tensor]:
        root = self.neck(self.relate(support, support).flatten())
        return [head(root).view(shape) for head, shape in zip(self.heads, self.shapes, strict=True)]


@dataclass(frozen=True, eq=False)
class Classifier:
    """The network that was written for one support; called with items it gives their classes, [m]."""

    model: HyperShot
    classes: np.ndarray  # [n_way], sorted
    weights: list[Tensor]
    support: Tensor
    embedded: bool

    @torch.no_grad()
    def predict_proba(self, X: Any) -> np.ndarray:
        """float32 [m, n_way], in the order of `classes`."""
        Z = torch.from_numpy(np.array(check_vectors(X) if self.embedded else self.model.transform(X)))
        return self.model.scores(self.model.net_, self.weights, self.support, Z).softmax(dim=1).numpy()

    def __call__(self, X: Any) -> np.ndarray:
        return self.classes[self.predict_proba(X).argmax(axis=1)]


def _labels(y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    y = np.asarray(y)
    if y.shape != (n,):
        raise InputError(f"y has shape {y.shape} for {n} items: wanted one label each")
    return classes_of(y)


def _first_of_each(y: Tensor) -> Tensor:
    """The places [ways] at which a value of y comes for the first time, in the order of y."""
    seen = (y[:, None] == y).to(torch.uint8).argmax(dim=1)  # argmax gives the first of equals
    return (seen == torch.arange(len(y), device=y.device)).nonzero().flatten()
