"""Why an item was flagged as unlike the training data: concepts in which a detector's decision can be retold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor

from unlabeled.errors import InputError
from unlabeled.parts.assign import kmeans
from unlabeled.parts.attribution import shapley
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.concepts import ConceptBasis, completeness, masked_shares
from unlabeled.parts.heads import mlp
from unlabeled.parts.labels import known
from unlabeled.parts.pooled_head import Headed
from unlabeled.tasks.ood.detectors import Mahalanobis, energy, max_softmax, squared_mahalanobis
from unlabeled.vectors import VectorClassifier

DETECTORS = ("energy", "msp", "mahalanobis")


@dataclass(frozen=True)
class Told:
    """How much of a detector and of a classifier the concepts tell: 1 is everything, 0 as much as chance."""

    detection: float  # (AUROC with concepts - 1/2) / (AUROC - 1/2)
    classification: float | None  # (accuracy with concepts - 1/K) / (accuracy - 1/K); None without labels
    auroc: float
    auroc_concepts: float

    def table(self) -> str:
        """A line a number."""
        return "\n".join(f"{name:15} {'-' if value is None else f'{value:.3f}'}" for name, value in vars(self).items())


@dataclass(frozen=True)
class Profile:
    """One row an item: its concepts beside those that are usual for the class it was taken for."""

    scores: np.ndarray  # float32 [n, m]: the concept's cosine over the item's places that is furthest from 0
    usual: np.ndarray  # float32 [n, m]: the mean of that over the training items taken for the same class
    detected: np.ndarray  # bool [n]: flagged as unlike the training data
    predicted: np.ndarray  # [n]: the class

    def table(self, row: int = 0, m: int = 5) -> str:
        """The m concepts in which an item differs most from what is usual."""
        gap = self.scores[row] - self.usual[row]
        lines = [f"taken for {self.predicted[row]}, {'flagged' if self.detected[row] else 'not flagged'}", "concept   item  usual"]
        return "\n".join(lines + [f"{i:7}  {self.scores[row, i]:5.2f}  {self.usual[row, i]:5.2f}" for i in np.argsort(-np.abs(gap))[:m]])


@dataclass(kw_only=True, eq=False)
class OODConcepts(Headed, VectorClassifier):
    """Learn m concepts from which features can be rebuilt so that a frozen classifier and an OOD detector say what they said.

    Choi, Raghuram, Feng, Chen, Jha and Prakash, 2023, Concept-based Explanations for Out-Of-Distribution Detectors,
    arXiv:2203.02586 (m = 70 on AwA, Adam 1e-2, 20 epochs). v: features of a place; its concepts: v.c where the cosine is above
    `threshold`, as shares; v^ = g(shares), two layers. detection=0 and separation=0 leave the concepts of Yeh et al., 2020.

    Z [n, d], or maps [n, ..., d]; y [n] classes (-1: none). Z_ood: other, auxiliary items of the same shape, never those that
    are judged later; without them the detector is retold on Z only and nothing is separated. head: the classifier above the features,
    see `parts.pooled_head`; its outputs are the sorted classes of y; None: logistic regression. concepts: "learned", or for
    comparison kept as they start, "random" or "kmeans" (centres of the places). Departures: the detector's scores are
    measured in their standard deviation, so that detection=1 means the same for each, and their term grows from nothing over the
    first half of the epochs: at once, a softmax's score made g give the same features for everything; the rate falls to 0 (a cosine);
    J's ridge is 0.001 of the mean variance; g has no ReLU at its end.
    InputError: bad values, lengths or classes, a detector that is no better than chance (`completeness`).

        told = OODConcepts(m=40).fit(maps, y, Z_ood=other_maps, head=(W, b))
        print(told.completeness(maps_new, maps_ood, y_new).table())
        print(told.explain(maps_ood[:1]).table())               # what is odd about this item
        worth = told.shapley(maps_new, maps_ood, "shoe")        # [m]: each concept's part in detecting what was taken for a shoe
    """

    m: int = 40
    detector: str = "energy"
    hidden: int = 500
    threshold: float = 0.2
    coherence: float = 10.0
    reconstruction: float = 0.1
    detection: float = 1.0
    separation: float = 10.0
    concepts: str = "learned"
    epochs: int = 20
    batch_size: int = 256
    lr: float = 1e-2
    seed: int = 0

    def fit(self, Z: Any, y: Any, Z_ood: Any = None, head: Any = None) -> Self:
        self._check()
        rows, codes = self._labelled(_flat(Z), y, least=2)
        self.grid_ = list(Z.shape[1:-1]) if isinstance(Z, np.ndarray | Tensor) else []
        self.width_ = rows.shape[1] // max(math.prod(self.grid_), 1)
        v, other = self._shaped(rows), None if Z_ood is None else self._maps(Z_ood, reset=False)
        pooled = v.mean(dim=1).numpy()
        self.__dict__.pop("head_", None)
        self._head = None
        (self.learn_head(pooled, codes) if head is None else self.with_head(head))
        if self.detector == "mahalanobis":
            fitted = Mahalanobis().fit(pooled[codes >= 0], codes[codes >= 0])
            self.means_, self.precision_ = fitted.means_, fitted.precision_
        with torch.no_grad():
            logits, scores = self._logits(v), self._scores(v)
            if logits.shape[1] != len(self.classes_):
                raise InputError(f"head has {logits.shape[1]} outputs, y {len(self.classes_)} classes: wanted as many")
            more = self._scores(other) if other is not None else scores[:0]
        self.cut_ = float(scores.quantile(0.05))  # 95 % of the training items lie above: the detector's usual operating point
        self._train(v, torch.from_numpy(codes), other, scores, more)
        u, predicted = self._strongest(v), logits.argmax(dim=1)
        self.profiles_ = np.stack([u[predicted == c].mean(dim=0).nan_to_num().numpy() for c in range(logits.shape[1])])
        return self

    def _train(self, v: Tensor, codes: Tensor, other: Tensor | None, scores: Tensor, more: Tensor) -> None:
        draw = torch.Generator().manual_seed(self.seed)
        C = torch.randn(self.width_, self.m, generator=draw)
        if self.concepts == "kmeans":
            places = F.normalize(v.flatten(0, 1), dim=1)
            places = places[torch.randperm(len(places), generator=draw)[:20_000]]
            C[:, : min(self.m, len(places))] = torch.from_numpy(kmeans(places.numpy(), min(self.m, len(places)), seed=self.seed).centers.T)
        C = F.normalize(C, dim=0).requires_grad_(self.concepts == "learned")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            g = mlp(self.m, self.hidden, self.width_, norm=False)
        learned = [*g.parameters(), *([C] if C.requires_grad else [])]
        optimizer = torch.optim.Adam(learned, lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs * -(-len(v) // self.batch_size))
        spread = float(torch.cat([scores, more]).std().clamp(min=1e-6))
        for epoch in range(self.epochs):
            extra = torch.randperm(len(more), generator=draw)
            for step, batch in enumerate(torch.randperm(len(v), generator=draw).split(self.batch_size)):
                x, s = v[batch], scores[batch]
                if other is not None:  # as many of the others, in turn
                    drawn = extra[(step * self.batch_size + torch.arange(len(batch))) % len(extra)]
                    x, s = torch.cat([x, other[drawn]]), torch.cat([s, more[drawn]])
                shares, cosine = masked_shares(x, C, self.threshold)
                rebuilt = g(shares)  # a ReLU at the end, as features have, would start with half of the numbers dead
                own, n = codes[batch], len(batch)
                known = own >= 0
                loss = F.cross_entropy(self._logits(rebuilt[:n])[known], own[known]) if bool(known.any()) else C.new_zeros(())
                near = cosine[:n].flatten(0, 1)
                coherent = near.topk(min(10, len(near)), dim=0).values.mean()
                alike = (C.T @ C - torch.eye(self.m)).sum() / max(self.m * (self.m - 1), 1)
                off = (x[:n] - rebuilt[:n]).norm(dim=-1).mean() + (1 - F.cosine_similarity(x[:n], rebuilt[:n], dim=-1)).mean()
                loss = loss + self.coherence * (alike - coherent) + self.reconstruction * off
                if self.detection:
                    grown = min(1.0, 2 * epoch / self.epochs)
                    loss = loss + grown * self.detection * ((self._scores(rebuilt) - s) / spread).square().mean()
                if self.separation and C.requires_grad and other is not None:
                    loss = loss - self.separation * scatter_ratio(strongest(cosine), s >= self.cut_)
                for part, slope in zip(learned, torch.autograd.grad(loss, learned), strict=True):
                    part.grad = slope  # a head that is a network gets none
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    C.copy_(F.normalize(C, dim=0))
        self.concepts_ = C.detach().numpy()
        self.weights_ = {name.replace(".", "_"): value.detach().numpy() for name, value in g.state_dict().items()}

    @property
    def basis(self) -> ConceptBasis:
        """The concepts, for `parts.concepts`: encode gives shares."""
        return ConceptBasis(self.concepts_, np.zeros(self.width_, np.float32), "masked", self.threshold, self._decode)

    def encode(self, Z: Any) -> np.ndarray:
        """The shares of the concepts in each place, float32 [n, places, m], for `parts.concepts.top_patches`."""
        return self.basis.encode(self._maps(Z, reset=False).numpy())

    def predict_proba(self, Z: Any) -> np.ndarray:
        """What the classifier says of the rebuilt features, [n, classes]."""
        with torch.no_grad():
            return self._logits(self._rebuilt(self._maps(Z, reset=False))).softmax(dim=1).numpy()

    def score_samples(self, Z: Any, rebuilt: bool = True) -> np.ndarray:
        """The detector's score [n], high for what is like the training data, of the rebuilt features or (rebuilt=False) the true ones."""
        v = self._maps(Z, reset=False)
        with torch.no_grad():
            return self._scores(self._rebuilt(v) if rebuilt else v).numpy()

    def completeness(self, Z: Any, Z_ood: Any, y: Any = None) -> Told:
        """How much of detecting Z_ood among Z, and with y of classifying Z, survives. Items that weren't in `fit`."""
        truth = np.repeat([1, 0], [len(Z), len(Z_ood)])
        before, after = (
            float(roc_auc_score(truth, np.concatenate([self.score_samples(one, again) for one in (Z, Z_ood)]))) for again in (False, True)
        )
        told = None
        if y is not None:
            there = known(y)
            with torch.no_grad():
                original = self.classes_[self._logits(self._maps(Z, reset=False)).argmax(dim=1).numpy()]
            right = [float((said == np.asarray(y))[there].mean()) for said in (self.predict(Z), original)]
            told = completeness(right[0], right[1], 1 / len(self.classes_))
        return Told(completeness(after, before, 0.5), told, before, after)

    def separability(self, Z: Any, Z_ood: Any) -> dict[str, float]:
        """tr(S_w^-1 S_b) of what the detector flags against what it doesn't: of concepts, of features (mean over places), and the ratio."""
        v = torch.cat([self._maps(one, reset=False) for one in (Z, Z_ood)])
        with torch.no_grad():
            like = self._scores(v) >= self.cut_
            if not 2 <= int(like.sum()) <= len(like) - 2:
                raise InputError(f"{int((~like).sum())} of {len(like)} items are flagged: wanted at least 2 that are and 2 that aren't")
            concepts, features = (float(scatter_ratio(one, like)) for one in (self._strongest(v), v.mean(dim=1)))
        return {"concepts": concepts, "features": features, "relative": concepts / max(features, 1e-12)}

    def explain(self, Z: Any) -> Profile:
        """Each item's concepts beside what is usual for the class it is taken for."""
        v = self._maps(Z, reset=False)
        with torch.no_grad():
            place = self._logits(v).argmax(dim=1).numpy()
            flagged = self._scores(v) < self.cut_
        return Profile(self._strongest(v).numpy(), self.profiles_[place], flagged.numpy(), self.classes_[place])

    def shapley(self, Z: Any, Z_ood: Any, of: Any = None, orders: int = 10) -> np.ndarray:
        """Each concept's part [m] in the detection completeness, on items taken for class `of` (None: all); they add up to it."""
        parts = [self._maps(one, reset=False) for one in (Z, Z_ood)]
        if of is not None:
            with torch.no_grad():
                parts = [v[torch.from_numpy(self.classes_[self._logits(v).argmax(dim=1).numpy()] == of)] for v in parts]
        if min(len(v) for v in parts) < 2:
            raise InputError(f"{len(parts[0])} items and {len(parts[1])} others are taken for {of}: wanted at least 2 of each")
        truth, v = np.repeat([1, 0], [len(one) for one in parts]), torch.cat(parts)
        with torch.no_grad():
            original = float(roc_auc_score(truth, self._scores(v).numpy()))

            def told(present: np.ndarray) -> float:
                return completeness(float(roc_auc_score(truth, self._scores(self._rebuilt(v, present)).numpy())), original, 0.5)

            return shapley(told, self.m, orders, self.seed)

    def _rebuilt(self, v: Tensor, present: np.ndarray | None = None) -> Tensor:
        """v^ of v; concepts that aren't present count as masked."""
        C = torch.from_numpy(self.concepts_ if present is None else self.concepts_ * present)
        return torch.from_numpy(self._decode(masked_shares(v, C, self.threshold)[0].numpy()))

    def _decode(self, shares: np.ndarray) -> np.ndarray:
        w = self.weights_
        hidden = np.maximum(shares @ w["0_weight"].T + w["0_bias"], 0)
        return hidden @ w["2_weight"].T + w["2_bias"]

    def _strongest(self, v: Tensor) -> Tensor:
        return strongest(masked_shares(v, torch.from_numpy(self.concepts_), self.threshold)[1])

    def _logits(self, v: Tensor) -> Tensor:
        return self.logits(v.reshape(len(v), *self.grid_, -1)) if self._head is not None else self.logits(v)

    def _scores(self, v: Tensor) -> Tensor:
        if self.detector == "mahalanobis":
            means, precision = (torch.from_numpy(one).to(v.dtype) for one in (self.means_, self.precision_))
            return -squared_mahalanobis(v.mean(dim=1), means, precision).amin(dim=1)
        return (energy if self.detector == "energy" else max_softmax)(self._logits(v))

    def _maps(self, Z: Any, reset: bool) -> Tensor:
        return self._shaped(self._vectors(_flat(Z), reset=reset))

    def _shaped(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(rows)).view(len(rows), -1, self.width_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # it retells a classifier by the directions of features: of three blobs in a plane it can't
        return tags

    def _check(self) -> None:
        one_of("detector", self.detector, DETECTORS), one_of("concepts", self.concepts, ("learned", "random", "kmeans"))
        for name in ("m", "hidden", "epochs", "batch_size"):
            whole(name, getattr(self, name))


def strongest(cosine: Tensor) -> Tensor:
    """Of cosines [n, places, m] that which is furthest from 0 in each item, [n, m]."""
    return cosine.take_along_dim(cosine.abs().argmax(dim=1, keepdim=True), dim=1)[:, 0]


def scatter_ratio(u: Tensor, like: Tensor, ridge: float = 1e-3) -> Tensor:
    """tr(S_w^-1 S_b) of the rows u [n, m] in two groups, like [n] or not; 0 where one has fewer than two. Fisher, 1936.

    S_w has `ridge` times its mean variance added, which keeps it from being singular.
    """
    one, other = u[like], u[~like]
    if min(len(one), len(other)) < 2:
        return u.new_zeros(())
    gap = one.mean(dim=0) - other.mean(dim=0)
    within = torch.cat([one - one.mean(dim=0), other - other.mean(dim=0)])
    S = within.T @ within / len(u)
    S = S + (ridge * S.diagonal().mean()).clamp(min=1e-12) * torch.eye(len(S), dtype=S.dtype)
    return len(one) * len(other) / len(u) ** 2 * (gap @ torch.linalg.solve(S, gap))


def _flat(Z: Any) -> Any:
    """Maps as one row an item; what isn't an array of maps as it is."""
    return Z.reshape(len(Z), -1) if isinstance(Z, np.ndarray | Tensor) and Z.ndim > 2 else Z
