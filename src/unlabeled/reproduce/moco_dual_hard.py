"""MoCo with two-way views, hard negatives and a filter: better than MoCo v2 for the same number of pictures through the networks.

Two-way views put four pictures through the networks for each example, so these arms have half of MoCo's epochs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.methods.contrastive.moco import MoCo, left_out
from unlabeled.methods.contrastive.moco_dual_hard import MoCoDualHard
from unlabeled.parts.losses import unit
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.views.images import to_batch


def run(lab: Lab) -> Arms:
    paper = lab.setting({}, {"queue": 4096, "hidden": 2048})
    half = paper | {"epochs": lab.setting(6, 200)}
    full = lab.learner(MoCoDualHard, **half)
    arms = lab.compare(
        {
            "two-way, hard, filtered": full,
            "MoCo v2": lab.learner(MoCo, **paper),
            "two-way, hard, no filter": lab.learner(MoCoDualHard, **half | {"filter_quantile": None}),
            "two-way, as many at random": lab.learner(MoCo, **half | {"dual_view": True, "queue": int(full.queue * full.hard_ratio)}),
        }
    )
    before, after = same_kind(lab, lab.fit(full))
    return arms | {"hard negatives": {"same kind": before}, "hard negatives, filtered": {"same kind": after}}


@torch.no_grad()
def same_kind(lab: Lab, fitted: MoCo) -> tuple[float, float]:
    """Share of the negatives of test pictures that are of their own kind, before and after the filter."""
    net, wanted, queue = fitted.net_, torch.from_numpy(np.asarray(lab.y_test)), fitted.queue

    def vectors(network: nn.Module, X: np.ndarray) -> Tensor:
        return torch.cat([unit(network(to_batch(torch.from_numpy(X[i : i + 500])))) for i in range(0, len(X), 500)])

    rows = np.random.default_rng(lab.seed).permutation(len(lab.X))[:queue]
    keys = vectors(net.teacher, lab.X[rows])
    similarity = vectors(nn.Sequential(net.encode, net.project), lab.X_test) @ keys.T
    same = wanted[:, None] == torch.from_numpy(np.asarray(lab.y)[rows])
    shares = []
    for quantile in (None, fitted.filter_quantile):
        gone = left_out(similarity, fitted.hard_ratio, quantile)
        shares.append(float(same[~gone].float().mean()))
    return shares[0], shares[1]


REPRODUCTION = Reproduction(
    system="moco-dual-hard",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("it teaches the network more than it has at random", ours="two-way, hard, filtered", than="untrained", margin=0.05),
        Claim(
            "it beats MoCo v2", ours="two-way, hard, filtered", than="MoCo v2", metric="probe", margin=0.01, role="key ingredient removed"
        ),
        Claim(
            "hard negatives beat as many random ones",
            ours="two-way, hard, filtered",
            than="two-way, as many at random",
            metric="probe",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim(
            "the filter is no loss",
            ours="two-way, hard, filtered",
            than="two-way, hard, no filter",
            metric="probe",
            margin=-0.01,
            role="key ingredient removed",
        ),
        Claim(
            "the filter takes out negatives of one's own kind",
            ours="hard negatives, filtered",
            than="hard negatives",
            metric="same kind",
            lower=True,
            margin=0.002,
            role="by itself",
        ),
    ),
    full="the paper's setting could not be read (its abstract names CIFAR-10 and CIFAR-100); ResNet-18, 200 epochs, a queue of 4,096 keys",
)
