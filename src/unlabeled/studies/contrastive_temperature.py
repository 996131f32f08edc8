"""What the temperature of a contrastive loss does: Wang and Liu, 2020, "Understanding the Behaviour of Contrastive Loss", arXiv:2012.09740.

Small: only the most similar negatives are pushed away, so vectors spread evenly over the sphere, and alike items apart with
them. Large: all are pushed alike, so alike items may stay together, and vectors spread badly. The best lies between, unless
only the hardest negatives are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.data import as_items
from unlabeled.errors import InputError
from unlabeled.evaluate.labelfree import draw, tolerance, uniformity
from unlabeled.evaluate.probes import knn_accuracy, linear_probe
from unlabeled.learner import Batch, Net, Source, batches
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import nt_xent, unit
from unlabeled.views import views_for

TAUS = (0.05, 0.1, 0.3, 0.7, 2.0)
LOSSES = ("contrastive", "hard", "simple", "hard simple")
NEIGHBOURS = 10
SAMPLE = 2_000  # items on which the dials are read


# The loss of one anchor, exactly ---------------------------------------------------------------------------------------
def contrastive(similarity: Tensor, tau: float) -> Tensor:
    """The loss of each anchor, [n]: -log softmax at the diagonal. similarity: [n, n] cosines, the positives on the diagonal."""
    return -(similarity / tau).log_softmax(dim=1).diagonal()


def gradients(similarity: Tensor, tau: float) -> Tensor:
    """d contrastive_i / d s_ij in closed form, [n, n]: P_ij / tau, and on the diagonal minus the sum of the others of its row."""
    pull = (similarity / tau).softmax(dim=1) / tau
    return pull - torch.diag(pull.sum(dim=1))


def penalties(similarity: Tensor, tau: float) -> Tensor:
    """r_i(s_ij) = exp(s_ij / tau) / sum over negatives: how an anchor's penalty is shared out, [n, n], 0 on the diagonal, rows sum to 1."""
    return (similarity / tau).masked_fill(torch.eye(len(similarity), dtype=torch.bool), float("-inf")).softmax(dim=1)


def entropy(penalty: Tensor) -> Tensor:
    """In nats, of each row of `penalties`: grows with tau, from 0 (one negative bears all) to log(n - 1) (all bear alike)."""
    return torch.special.entr(penalty).sum(dim=1)


# The sweep -----------------------------------------------------------------------------------------------------------
@dataclass(kw_only=True, eq=False)
class Contrast(SimCLR):
    """SimCLR with the four losses of arXiv:2012.09740. temperature: inf is the simple loss. hardest: share of the negatives kept."""

    hardest: float | None = None

    def build(self, encoder: nn.Module) -> Net:
        # The norm at the end, as in SimCLR's own code: without it short runs at a small tau, or with hard negatives alone, don't get
        # away from the start, where all vectors point one way.
        return Net(encode=encoder, project=mlp(encoder.width, self.hidden, self.dim, last="norm"))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        z1, z2 = (net.project(net.encode(view)) for view in batch.views[:2])
        return nt_xent(z1, z2, self.temperature, hardest=self.hardest)


def temperature_study(
    data: Any,
    labels: Any = None,
    taus: Sequence[float] = TAUS,
    losses: Sequence[str] = ("contrastive",),
    seeds: int | Sequence[int] = 3,
    *,
    test: tuple[Any, Any] | None = None,
    hardest: float = 0.1,
    fit: Callable[[Contrast], Contrast] | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Train with every temperature, loss and seed, and read the dials: one row each, {"loss", "tau", "seed"} and `dials`.

    data: what `Learner.fit` takes. labels: [n], seen by the measures only. test: further (data, labels) to read the dials on;
    without them a third of the items is held out of the probes. losses: "contrastive"; "hard", with the hardest share
    `hardest` of the negatives; "simple" and "hard simple", which have no temperature (tau is inf). fit: how to train, if not
    with `.fit(data)`. settings: of the learner; its lr means the same at every tau only because its optimizer scales gradients.
    """
    if not set(losses) <= set(LOSSES):
        raise InputError(f"losses are {', '.join(LOSSES)}: got {', '.join(map(repr, losses))}")
    rows = []
    for seed in range(seeds) if isinstance(seeds, int) else seeds:
        for loss in losses:
            for tau in (math.inf,) if "simple" in loss else taus:
                share = hardest if "hard" in loss else None
                learner = Contrast(**settings | {"temperature": tau, "hardest": share, "seed": seed})
                fitted = fit(learner) if fit else learner.fit(data)
                rows.append({"loss": loss, "tau": tau, "seed": seed} | dials(fitted, data, labels, test))
    return rows


def dials(fitted: Any, data: Any, labels: Any = None, test: tuple[Any, Any] | None = None) -> dict[str, float]:
    """What a fitted contrastive learner traded for what; of views' projections, as the loss sees them, and of the "encoder"'s vectors.

    uniformity: as in the paper larger is more uniform, -log E exp(-2 |u - v|^2). similarity: mean cosine with the 10 items
    nearest as they come (pixels; for texts and others the encoder's vectors): tolerance without labels. gap: mean cosine with
    an item's own other view minus that with the 10 most similar other views. With labels also tolerance, knn and probe.
    """
    seen = data if test is None else test[0]
    items = as_items(seen)
    chosen = draw(len(items), SAMPLE)
    sample = items.subset(chosen)
    projected, other = (projections(fitted, view) for view in _two_views(fitted, sample))
    encoded = fitted.transform(sample)
    raw = sample.take(np.arange(len(sample))).reshape(len(sample), -1) if items.kind == "image" else encoded
    cosine = torch.from_numpy(projected @ other.T)
    nearest = cosine.masked_fill(torch.eye(len(cosine), dtype=torch.bool), -1).topk(min(NEIGHBOURS, len(cosine) - 1), dim=1).values
    found = {
        "uniformity": -uniformity(projected),
        "uniformity_encoder": -uniformity(encoded),
        "similarity": _neighbour_similarity(projected, raw),
        "gap": float(cosine.diagonal().mean() - nearest.mean()),
    }
    if labels is None and test is None:
        return found
    y = np.asarray(labels if test is None else test[1])
    found |= {"tolerance": tolerance(projected, y[chosen]), "tolerance_encoder": tolerance(encoded, y[chosen])}
    if test is None:
        order = np.random.default_rng(0).permutation(len(y))
        Z, train, held = fitted.transform(data), order[len(y) // 3 :], order[: len(y) // 3]
        parts = (Z[train], y[train], Z[held], y[held])
    elif labels is None:
        return found
    else:
        parts = (fitted.transform(data), np.asarray(labels), fitted.transform(seen), y)
    return found | {"knn": knn_accuracy(*parts), "probe": linear_probe(*parts)}


def projections(fitted: Any, X: Any) -> np.ndarray:
    """Unit vectors behind the projector, float32 [n, dim], of items or of a batch of views."""
    net = fitted.net_
    if isinstance(X, Tensor):
        parts = iter(X.split(512))
    else:
        source = Source(as_items(X), net.encode, fitted.inputs_)
        parts = (source.batch(index) for index in batches(np.arange(len(source))))
    with torch.inference_mode():
        return np.concatenate([unit(net.project(net.encode(part))).numpy() for part in parts])


def _two_views(fitted: Any, sample: Any) -> list[Tensor]:
    views = fitted.views if fitted.views is not None else views_for(sample.kind)
    rows = Source(sample, fitted.net_.encode, fitted.inputs_).take(np.arange(len(sample)))
    return views(rows, torch.Generator().manual_seed(0))[:2]


def _neighbour_similarity(Z: np.ndarray, reference: np.ndarray) -> float:
    """Mean cosine in unit Z of each row with the rows nearest to it in `reference`."""
    R = unit(torch.from_numpy(reference.astype(np.float32)))
    near = (R @ R.T).fill_diagonal_(-2).topk(min(NEIGHBOURS, len(R) - 1), dim=1).indices.numpy()
    return float(np.einsum("nd,nkd->nk", Z, Z[near]).mean())
