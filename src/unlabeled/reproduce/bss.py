"""BSS: learned from pictures of several sources that nobody named, a representation holds on a source that it never saw."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unlabeled.data import read
from unlabeled.errors import InputError
from unlabeled.evaluate.labelfree import domain_purity
from unlabeled.learner import Batch, Net
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.losses import info_nce
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sources import split
from unlabeled.tasks.adapt.bss import BatchStyleStandardization
from unlabeled.views import ImageViews
from unlabeled.views.images import gaussian, to_batch

VENDORS = ("png_google", "png_twitter", "png_emojione")
STYLES = ("cast", "inverted", "textured", "blurred")


def load(name: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Pictures in the styles that are seen, one style after the other and equally many of each, and as test one not seen.

    Which style that is turns with the seed. emoji: the styles are three vendors', who drew the same things. Any other set of
    pictures: four made styles, each picture in one of them, the test pictures are others.
    """
    rng = np.random.default_rng(seed)
    if name == "emoji":
        held, *seen = (read(Path(os.environ["UNLABELED_DATA"]) / "emoji" / "emoji.parquet", column=c) for c in np.roll(VENDORS, -seed))
        rows = np.sort(rng.permutation(len(held))[: min(n_train or 10**6, n_test or 10**6, len(held) * 9 // 10)])
        y = np.asarray(held.columns["group"])[rows]
        return np.concatenate([items.take(rows) for items in seen]), np.tile(y, 2), held.take(rows), y
    data = split(name, seed, (n_train, n_test))
    if data.kind != "image":
        raise InputError(f"{name} holds {data.kind}s: batch style standardization reads pictures")
    unseen, *styles = np.roll(STYLES, -seed)
    order = rng.permutation(len(data.X))[: len(data.X) // 3 * 3]
    X = [restyled(data.X[rows], style, rng) for rows, style in zip(np.split(order, 3), styles, strict=True)]
    return np.concatenate(X), data.y[order], restyled(data.X_test, unseen, rng), data.y_test


def restyled(images: np.ndarray, style: str, rng: np.random.Generator) -> np.ndarray:
    """Pictures uint8 [n, H, W(, C)] as another source would have taken them: uint8 [n, H, W, 3]."""
    x = to_batch(torch.from_numpy(np.ascontiguousarray(images))).expand(-1, 3, -1, -1)
    n, _, height, width = x.shape
    if style == "cast":
        x = x * torch.tensor([1.0, 0.7, 0.4]).view(1, 3, 1, 1) + torch.tensor([0.0, 0.1, 0.3]).view(1, 3, 1, 1)
    elif style == "inverted":
        x = 1 - x
    elif style == "textured":  # stripes of one kind, of another direction and place in each picture
        turn, start = (torch.from_numpy(rng.uniform(0, 2 * np.pi, (n, 1, 1))).float() for _ in range(2))
        place = turn.cos() * torch.arange(width) + turn.sin() * torch.arange(height)[:, None]
        x = 0.6 * x + 0.4 * ((place * 1.5 + start).sin()[:, None] / 2 + 0.5) * torch.tensor([0.3, 0.8, 0.5]).view(1, 3, 1, 1)
    else:
        across, down = (gaussian(torch.full((1,), size / 20), size) for size in (width, height))
        x = down @ x @ across.mT
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@dataclass(kw_only=True, eq=False)
class AcrossViews(SimCLR):
    """SimCLR whose views find their partners among the other side's views only: all candidates then have the partner's style."""

    def loss(self, net: Net, batch: Batch) -> torch.Tensor:
        z1, z2 = net.project(net.encode(torch.cat(batch.views[:2]))).chunk(2)
        return info_nce(z1, z2, temperature=self.temperature, symmetric=True)


def run(lab: Lab) -> Arms:
    def arm(system: Any, views: Any) -> Any:
        return lab.learner(system, views=views, temperature=0.2, epochs=lab.setting(60_000 // len(lab.X), 400))

    learners = {
        "BSS": arm(AcrossViews, BatchStyleStandardization()),
        "SimCLR": arm(SimCLR, ImageViews()),
        "a style for each picture": arm(AcrossViews, BatchStyleStandardization(reference="image")),
        "no styles": arm(AcrossViews, BatchStyleStandardization(r=(0.0, 0.0))),
    }
    source = np.arange(len(lab.X)) * (2 if lab.set == "emoji" else 3) // len(lab.X)
    table = lab.compare(learners)
    for name, learner in learners.items():
        table[name]["purity"] = domain_purity(lab.vectors(lab.fit(learner), lab.X)[0], source)
    return table


REPRODUCTION = Reproduction(
    system="bss",
    sets=("emoji", "fashion_mnist"),
    run=run,
    load=load,
    claims=(
        Claim("it holds on an unseen source better than plain SimCLR", ours="BSS", than="SimCLR", metric="probe", margin=0.02),
        Claim("and better than the pixels and the untrained network", ours="BSS", than=("raw", "untrained"), metric="probe", margin=0.02),
        Claim("sources lie apart less", ours="BSS", than="SimCLR", metric="purity", margin=0.05, lower=True),
        Claim(
            "one style for a whole batch does more than one for each picture (Fourier augmentation)",
            ours="BSS",
            than="a style for each picture",
            metric="probe",
            role="key ingredient removed",
        ),
        Claim(
            "it is the styles, not the jitter they share",
            ours="BSS",
            than="no styles",
            metric="probe",
            margin=0.02,
            role="key ingredient removed",
        ),
    ),
    full="PACS, DomainNet, Camelyon17: ResNet-18 or -50, SimCLR, SwAV and MSN; one domain or more held out of the pre-training",
)
