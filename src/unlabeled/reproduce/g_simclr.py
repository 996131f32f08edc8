"""G-SimCLR: batches without two pictures of one cluster of a denoising auto-encoder, so that pictures of a kind don't repel each other.

Batches of 10, as the paper's definition wants them with 10 clusters. The arm with the same labels shuffled over the pictures
sees every picture as often as the real one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unlabeled.evaluate.probes import clustering_scores
from unlabeled.methods.contrastive.g_simclr import GSimCLR, guided_order, kinds
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.reproduce.code import fingerprint_of
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

BATCH = 10  # and as many clusters


def run(lab: Lab) -> Arms:
    coder: dict[str, Any] = {"seed": lab.seed, "latent": 64, "epochs": lab.setting(6, 50), "encoder": lab.setting("conv5", "resnet18")}
    code = fingerprint_of("unlabeled.methods.contrastive.g_simclr", "kinds")
    pseudo = np.array(lab.remember("kinds", [lab.X, coder, code], lambda: kinds(lab.X, BATCH, **coder).tolist()))
    lab.say(f"pseudo-labels against the classes: NMI {clustering_scores(pseudo, lab.y)['nmi']:.3f}")
    common = {"batch_size": BATCH, "epochs": lab.setting(6, 200), "lr": 5e-4}
    shuffled = np.random.default_rng(lab.seed).permutation(pseudo)
    arms = lab.compare(
        {
            "G-SimCLR": lab.learner(GSimCLR, pseudo_labels=pseudo, **common),
            "SimCLR": lab.learner(SimCLR, **common),
            "G-SimCLR, shuffled labels": lab.learner(GSimCLR, pseudo_labels=shuffled, **common),
            "G-SimCLR, masked": lab.learner(GSimCLR, pseudo_labels=pseudo, batches="mask", **common),
        }
    )
    labels = torch.from_numpy(pseudo)
    generator = torch.Generator().manual_seed(lab.seed)
    arms["G-SimCLR"] |= collisions(guided_order(labels, BATCH, generator), lab.y, pseudo)
    arms["SimCLR"] |= collisions(torch.randperm(len(lab.y), generator=generator), lab.y, pseudo)
    return arms


def collisions(order: torch.Tensor, y: np.ndarray, pseudo: np.ndarray, batch: int = BATCH) -> dict[str, float]:
    """Share of the pairs within batches that have one class (the labels of the data are looked at here only), or one pseudo-label."""
    found = {}
    for name, values in (("collisions", y), ("same pseudo-label", pseudo)):
        rows = np.asarray(values)[order.numpy()[: len(order) // batch * batch]].reshape(-1, batch)
        found[name] = float(((rows[:, :, None] == rows[:, None, :]).sum() - rows.size) / (rows.size * (batch - 1)))
    return found


REPRODUCTION = Reproduction(
    system="g-simclr",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("no batch holds two pictures of one cluster", ours="G-SimCLR", than=0.0, metric="same pseudo-label", lower=True),
        Claim(
            "so fewer pictures of one class meet in a batch",
            ours="G-SimCLR",
            than="SimCLR",
            metric="collisions",
            lower=True,
            margin=0.002,
            role="key ingredient removed",
        ),
        Claim("it learns more than its untrained network has", ours="G-SimCLR", than="untrained", metric="probe", margin=0.02),
        Claim(
            "guided batches are better than random ones",
            ours="G-SimCLR",
            than="SimCLR",
            metric="probe",
            role="key ingredient removed",
        ),
        Claim(
            "the clusters matter: shuffled labels are worse",
            ours="G-SimCLR",
            than="G-SimCLR, shuffled labels",
            metric="probe",
            role="key ingredient removed",
        ),
    ),
    full="CIFAR-10: ResNet-20; a 5-class ImageNet subset: ResNet-50; SGD with a cosine, temperature 0.1, 10 clusters",
)
