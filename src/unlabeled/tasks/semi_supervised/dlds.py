"""Few labels and many rows without: boundaries go through empty regions (LDS), in a space that a network learns from what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import softmax
from torch import nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.parts.calibrate import temperature
from unlabeled.parts.checks import number, whole
from unlabeled.parts.labels import NO_LABEL
from unlabeled.parts.neighbours import neighbours
from unlabeled.parts.paths import density_coordinates
from unlabeled.parts.scale import column_scale
from unlabeled.vectors import VectorClassifier

STAGES = 10  # in which the weight of the unlabelled rows doubles up to what it is


def grad_tsvm(
    X: np.ndarray, y: np.ndarray, b: float, C: float, C_unlabelled: float, w: np.ndarray | None = None
) -> tuple[np.ndarray, list[float]]:
    """w [d] of a linear boundary w x + b that keeps away from all rows of X [n, d]; y [n]: 1, -1, or 0 where there is no label.

    The minimum of |w|^2 / 2 + C sum max(0, 1 - y f)^2 over rows with a label + C_unlabelled sum exp(-3 f^2) over the others, by
    L-BFGS; the weight of the others doubles up to that in ten stages, each from where the last one ended, as the sum is not convex.
    Also the objective at the end of each stage. Chapelle and Zien, 2005.
    """
    labelled = y != 0
    A, target, U = X[labelled], y[labelled], X[~labelled]

    def objective(w: np.ndarray, weight: float) -> tuple[float, np.ndarray]:
        short = np.maximum(0, 1 - target * (A @ w + b))
        f = U @ w + b
        bump = np.exp(-3 * f**2)
        value = w @ w / 2 + C * (short**2).sum() + weight * bump.sum()
        return value, w - 2 * C * (target * short) @ A - 6 * weight * (f * bump) @ U

    w = np.zeros(X.shape[1]) if w is None else w
    values: list[float] = []
    for stage in range(STAGES + 1) if len(U) and C_unlabelled else [0]:
        found = minimize(objective, w, args=(C_unlabelled * 2.0 ** (stage - STAGES) if C_unlabelled else 0.0,), jac=True, method="L-BFGS-B")
        w, values = found.x, [*values, float(found.fun)]
    return w, values


@dataclass(kw_only=True, eq=False)
class GradTSVM(VectorClassifier):
    """A transductive linear classifier, one class against the rest: its boundaries avoid the rows without a label, too.

    Chapelle and Zien, 2005, "Semi-Supervised Classification by Low Density Separation". The balance constraint fixes each offset:
    on average over the rows without a label the score is that of the labels' shares, or of `prior` (one share a class, in the
    order of `classes_`), where it is known. Rows are centred and scaled to a mean square length of 1. C: weight of a row with a label
    beside |w|^2 / 2; unlabelled: weight of all rows without one, as a share of that of all with one. The paper gives every row
    the same; where 30 labels meet thousands of rows the labels then hardly count (digits, 3 a class: from .92 right to .80).
    Probabilities: softmax of the scores, their temperature
    found on the labels with Platt's cautious targets. Learned: `transduction_` [n], the class of each row of `fit`, labels kept, and
    `transduction_scores_` [n, classes], whose softmax is its probabilities.

        model = GradTSVM().fit(Z, y)              # y = -1 for most rows
    """

    C: float = 1.0
    unlabelled: float = 0.3
    prior: tuple[float, ...] | None = None

    def fit(self, Z: Any, y: Any) -> Self:
        number("C", self.C, 0, above=True)
        number("unlabelled", self.unlabelled, 0)
        Z, codes = self._labelled(Z, y)
        known, classes = codes != NO_LABEL, len(self.classes_)
        weight = self.C * self.unlabelled * known.sum() / max(1, (~known).sum())
        share = np.bincount(codes[known], minlength=classes) / known.sum()
        if self.prior is not None:
            share = np.array([number("prior", one, 0) for one in self.prior])
            if len(share) != classes or abs(share.sum() - 1) > 1e-6:
                raise InputError(f"prior={self.prior!r}: wanted {classes} shares that add up to 1, one a class")
        # Centred on the rows that the balance is about, the mean score there is the offset, whatever w is.
        self.mean_ = (Z[~known] if (~known).any() else Z).mean(axis=0, dtype=np.float64)
        self.scale_ = float(np.sqrt(np.square(Z - self.mean_).sum(axis=1).mean())) or 1.0
        X = (Z - self.mean_) / self.scale_
        self.intercept_ = 2 * share - 1
        self.coef_ = np.stack(
            [
                grad_tsvm(X, np.where(known, np.where(codes == c, 1.0, -1.0), 0.0), self.intercept_[c], self.C, weight)[0]
                for c in range(classes)
            ]
        )
        scores = X @ self.coef_.T + self.intercept_
        self.temperature_ = temperature(scores[known], codes[known], smooth=True)
        self.transduction_scores_ = scores / self.temperature_
        self.transduction_ = self.classes_[np.where(known, codes, scores.argmax(axis=1))]
        return self

    def predict_proba(self, Z: Any) -> np.ndarray:
        Z = self._vectors(Z, reset=False)
        return softmax(((Z - self.mean_) / self.scale_ @ self.coef_.T + self.intercept_) / self.temperature_, axis=1)


@dataclass(kw_only=True, eq=False)
class LDS(VectorClassifier):
    """Low-density separation: `GradTSVM` in coordinates where rows are far apart if only paths through empty regions join them.

    Chapelle and Zien, 2005. Distances along a k-nearest-neighbour graph (parts.paths), rho: how much a long edge costs (0: plain
    length), classical scaling, the axes above `delta` of the largest. Up to 4,000 rows the distances are exact, beyond from 1,000
    landmarks (labelled rows first), or from as many as `landmarks` says: memory is landmarks x rows.
    New rows get the coordinates of their nearest fitted rows, so predictions for those are `transduction_`, up to copies.

        model = LDS().fit(Z, y)                   # y = -1 for most rows
        model.transduction_, model.predict(Z_new)
    """

    rho: float = 1.0
    k: int = 15
    delta: float = 0.1
    C: float = 1.0
    unlabelled: float = 0.3
    prior: tuple[float, ...] | None = None
    landmarks: int | None = None
    seed: int = 0

    def fit(self, Z: Any, y: Any) -> Self:
        number("rho", self.rho, 0), whole("k", self.k), number("delta", self.delta, 0, 1)
        if self.landmarks is not None:
            whole("landmarks", self.landmarks, 2)
        Z, codes = self._labelled(Z, y, least=2)
        self.vectors_ = Z
        self.coordinates_ = density_coordinates(
            Z, k=self.k, rho=self.rho, delta=self.delta, landmarks=self.landmarks, first=np.flatnonzero(codes != NO_LABEL), seed=self.seed
        )
        tsvm = GradTSVM(C=self.C, unlabelled=self.unlabelled, prior=self.prior).fit(self.coordinates_, y)
        self.transduction_, self.transduction_scores_ = tsvm.transduction_, tsvm.transduction_scores_
        return self

    def predict_proba(self, Z: Any) -> np.ndarray:
        Z = self._vectors(Z, reset=False)
        found = neighbours(self.vectors_, self.k, queries=Z, metric="euclidean", seed=self.seed)
        squared = np.square(found.distances.astype(np.float64))
        weight = 1 / (squared + 1e-6 * squared[:, -1:] + np.finfo(np.float32).tiny)
        weight = np.where(found.rows >= 0, weight, 0) / weight.sum(axis=1, keepdims=True)
        # The scores of a mean of coordinates are the mean of the scores: the classifier is linear.
        return softmax((weight[:, :, None] * self.transduction_scores_[found.rows]).sum(axis=1), axis=1)


@dataclass(kw_only=True, eq=False)
class DeepLDS(VectorClassifier):
    """10 to 500 labels and thousands of rows without: a network and low-density separation teach each other.

    Burkhart and Shan, 2020, "Deep Low-Density Separation for Semi-Supervised Classification", arXiv:2205.11995. A network learns the
    labels, `LDS` labels all rows in the space of its last hidden layer, the surest of these labels (a share of each class that grows
    from `first_share` to all, weighed by how sure they are) and the true ones teach a new network, and so on for `rounds`.
    The rounds, which labels feed back, and the auto-encoder that the network starts from are our reading of it, not checked against
    the text. The last round counts: labels that the network has learned can't judge it, and holding some out would cost several fits.
    Where classes are clean manifolds (digits), `LDS` alone does better. rounds=0: the network on the labels alone.
    embed: widths of the network, the last one that of the space. Learned: `transduction_` [n], the class of each row of `fit`,
    labels kept; `embedding_` [n, embed[-1]]; `weights_`. New rows are asked of the network.
    InputError: fewer than two classes, bad values.

        model = DeepLDS().fit(Z, y)               # y = -1 for most rows
        model.transduction_, model.predict(Z_new)
    """

    embed: tuple[int, ...] = (128, 32)
    rounds: int = 3
    rho: float = 1.0
    k: int = 15
    C: float = 1.0
    unlabelled: float = 0.3
    prior: tuple[float, ...] | None = None
    landmarks: int | None = None
    first_share: float = 0.2
    dropout: float = 0.2
    pretrain: int = 400  # steps of AdamW in which the network first learns to give all rows back; 0: none
    steps: int = 200  # in which it learns labels, in each round
    batch_size: int = 256
    lr: float = 2e-3
    weight_decay: float = 1e-3
    seed: int = 0

    def fit(self, Z: Any, y: Any) -> Self:
        for name, low in (("steps", 1), ("batch_size", 1), ("rounds", 0), ("pretrain", 0)):
            whole(name, getattr(self, name), low)
        number("first_share", self.first_share, 0, 1), number("dropout", self.dropout, 0, 0.95)
        number("lr", self.lr, 0, above=True), number("weight_decay", self.weight_decay, 0)
        for width in self.embed if self.embed else (0,):
            whole("embed", width)
        Z, codes = self._labelled(Z, y, least=2)
        self.mean_, self.spread_ = column_scale(Z)
        X, known = self._standard(Z), codes != NO_LABEL
        said, weight = codes.copy(), known.astype(np.float32)
        start = self._pretrained(X)
        net = self._taught(X, said, weight, start, 0)
        self.transduction_ = self.classes_[np.where(known, codes, net(X).argmax(dim=1).numpy())]
        for turn in range(self.rounds if not known.all() else 0):
            scores = self._label(net[:-1](X).numpy(), y)
            said, sure = np.where(known, codes, scores.argmax(axis=1)), softmax(scores, axis=1).max(axis=1)
            share = 1.0 if self.rounds == 1 else self.first_share + (1 - self.first_share) * turn / (self.rounds - 1)
            weight = known.astype(np.float32)
            for c in range(len(self.classes_)):
                mine = np.flatnonzero((said == c) & ~known)
                top = mine[np.argsort(-sure[mine], kind="stable")][: int(np.ceil(share * len(mine)))]
                weight[top] = sure[top]
            self.transduction_ = self.classes_[said]
            net = self._taught(X, said, weight, start, turn + 1)
        self.embedding_ = net[:-1](X).numpy()
        self.weights_ = {name: value.numpy() for name, value in net.state_dict().items()}
        return self

    def _label(self, z: np.ndarray, y: Any) -> np.ndarray:
        """Scores [n, classes] of all rows, from their places z [n, embed[-1]] and the labels."""
        shared: dict[str, Any] = {name: getattr(self, name) for name in ("rho", "k", "C", "unlabelled", "prior", "landmarks", "seed")}
        return LDS(**shared).fit(z, y).transduction_scores_

    def _standard(self, Z: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((Z - self.mean_) / self.spread_).astype(np.float32))

    def _network(self) -> nn.Sequential:
        widths = [len(self.mean_), *self.embed]
        layers: list[nn.Module] = []
        for before, after in zip(widths[:-2], widths[1:-1], strict=True):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(self.dropout)]
        return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]), nn.Linear(widths[-1], len(self.classes_)))

    def _pretrained(self, X: torch.Tensor) -> dict[str, torch.Tensor]:
        """The weights that every round starts from: of an auto-encoder of all rows. Few labels alone would not fix the space."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed * 1009)
            net = self._network()
            back = nn.Sequential(nn.Linear(self.embed[-1], self.embed[0]), nn.ReLU(), nn.Linear(self.embed[0], X.shape[1]))
            both = nn.ModuleList([net, back])
            self._descend(both, self.pretrain, len(X), lambda rows: F.mse_loss(back(net[:-1](X[rows])), X[rows]))
        return net.state_dict()

    def _taught(self, X: torch.Tensor, y: np.ndarray, weight: np.ndarray, start: dict[str, torch.Tensor], turn: int) -> nn.Sequential:
        """A network that has learned the rows with a weight, from `start` on, in eval mode and without gradients."""
        chosen = np.flatnonzero(weight)
        x, target, mass = X[chosen], torch.from_numpy(y[chosen]), torch.from_numpy(weight[chosen])

        def loss(rows: torch.Tensor) -> torch.Tensor:
            return (mass[rows] * F.cross_entropy(net(x[rows]), target[rows], reduction="none")).sum() / mass[rows].sum()

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed * 1009 + turn + 1)
            net = self._network()
            net.load_state_dict(start)
            self._descend(net, self.steps, len(x), loss)
        return net.eval().requires_grad_(False)

    def _descend(self, net: nn.Module, steps: int, n: int, loss: Any) -> None:
        """`steps` of AdamW, each on the loss of some of n rows."""
        adam = torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        for _ in range(steps):
            adam.zero_grad()
            loss(torch.randperm(n)[: self.batch_size]).backward()
            adam.step()

    def predict_proba(self, Z: Any) -> np.ndarray:
        X = self._standard(self._vectors(Z, reset=False))
        net = self._network().eval().requires_grad_(False)
        net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in self.weights_.items()})
        return net(X).double().softmax(dim=1).numpy()
