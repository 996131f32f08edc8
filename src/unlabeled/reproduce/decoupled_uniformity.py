"""Decoupled uniformity: what is known of each picture, a VAE's code or keywords, helps through a kernel where views alone say little.

The keywords of the emoji are Unicode's (CLDR), the groups to be told apart emojibase's: two sources, but keywords that name a
group ("flag", "food") would give the label away, so they are left out.
"""

from __future__ import annotations

from ast import literal_eval
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.datasets import load
from unlabeled.methods.contrastive.decoupled_uniformity import DecoupledUniformity
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.methods.generative.autoencoder import AutoEncoder
from unlabeled.parts.kernels import gram, median_distance
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.views import ImagePolicy, ImageViews


@dataclass(frozen=True)
class Weak:
    """Views that hardly change a picture: mirrored or not, with noise."""

    noise: float = 0.05

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        policy = ImagePolicy(scale=(1.0, 1.0), ratio=(1.0, 1.0), jitter=0.0, grey=0.0)
        views: Any = ImageViews(policy=policy)(images, generator)
        return [(v + self.noise * torch.randn(v.shape, generator=generator, device=v.device)).clamp(0, 1) for v in views]


def run(lab: Lab) -> Arms:
    if lab.set == "emoji":
        # Not longer: 900 pictures' keywords are soon learned by heart, and then tell nothing of other pictures.
        prior, kernel, epochs, bar = emoji_keywords(lab.X), "cosine", lab.setting(25, 400), {}
    else:
        # Of the pixels: a code of pooled features doesn't know what is where, and its neighbours were worse than the pixels' own.
        pixels, pixels_test = lab.raw()
        vae = AutoEncoder(variational=True, latent=32, noise=0.0, lr=1e-3, epochs=lab.setting(20, 200), seed=lab.seed)
        prior, prior_test = lab.vectors(lab.fit(vae, pixels), pixels, pixels_test)
        kernel, epochs, bar = "rbf", lab.setting(12, 400), {"the prior itself": (prior, prior_test)}
    lab.say(f"mean kernel value between pictures {overlap(prior, kernel):.3f} (0: the prior says nothing, 1: all pictures are one)")
    shuffled = prior[np.random.default_rng(lab.seed).permutation(len(prior))]
    weak: dict[str, Any] = {"views": Weak(), "epochs": epochs}
    arms = {
        "DU": lab.learner(DecoupledUniformity, epochs=epochs),
        "SimCLR": lab.learner(SimCLR, epochs=epochs),
        "DU, weak views": lab.learner(DecoupledUniformity, **weak),
        "DU + prior, weak views": lab.learner(DecoupledUniformity, prior=prior, kernel=kernel, **weak),
        "DU + shuffled prior, weak views": lab.learner(DecoupledUniformity, prior=shuffled, kernel=kernel, **weak),
    }
    return lab.compare(arms | bar)


def emoji_keywords(pictures: np.ndarray) -> np.ndarray:
    """Which of the English keywords that occur at least three times each emoji has: float32 [n, keywords]."""
    items = load("emoji")
    groups = {word.rstrip("s") for name in np.unique(items.columns["label"]) for word in str(name).split("-")}
    tags = [set(literal_eval(str(row))) for row in items.columns["tags_en"]]
    of = {picture.tobytes(): {t for t in row if t.rstrip("s") not in groups} for picture, row in zip(items.values, tags, strict=True)}
    rows = [of[picture.tobytes()] for picture in pictures]
    counts: dict[str, int] = {}
    for row in rows:
        for tag in row:
            counts[tag] = counts.get(tag, 0) + 1
    columns = sorted(tag for tag, count in counts.items() if count >= 3)
    return np.array([[tag in row for tag in columns] for row in rows], dtype=np.float32)


def overlap(prior: np.ndarray, kernel: str) -> float:
    """Mean kernel value of different pictures, as `DecoupledUniformity` computes it."""
    w = torch.from_numpy(prior[:1000])
    K = gram(w / (median_distance(w) if kernel == "rbf" else 1), kernel)
    return float((K.sum() - K.trace()) / (len(w) * (len(w) - 1)))


REPRODUCTION = Reproduction(
    system="decoupled-uniformity",
    sets=("cifar10", "emoji"),
    run=run,
    claims=(
        Claim(
            "without a prior it is at least level with SimCLR (half a point allowed)",
            ours="DU",
            than="SimCLR",
            metric="probe",
            margin=-0.005,
            on="cifar10",
        ),
        Claim(
            "with weak views a prior helps, here a VAE's codes of the same pictures",
            ours="DU + prior, weak views",
            than="DU, weak views",
            metric="probe",
            margin=0.02,
            role="key ingredient removed",
            on="cifar10",
        ),
        Claim(
            "with weak views the keywords of a picture help",
            ours="DU + prior, weak views",
            than="DU, weak views",
            metric="probe",
            role="key ingredient removed",
            on="emoji",
        ),
        Claim(
            "it is what the prior says that helps: other pictures' does not",
            ours="DU, weak views",
            than="DU + shuffled prior, weak views",
            metric="probe",
            role="key ingredient removed",
        ),
        Claim("it learns more than its untrained network has", ours="DU", than="untrained", metric="probe", margin=0.02),
    ),
    full="CIFAR-10, CIFAR-100, ImageNet-100, CUB, UTZappos, CheXpert; ResNet-18 (50), batches of 256, SGD lr 0.3, 400 epochs",
)
