"""PixPro: agreement place by place gives features that tell what lies where, better than agreement of whole pictures does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from unlabeled.evaluate.probes import linear_probe
from unlabeled.learner import Learner
from unlabeled.methods.siamese.byol import BYOL
from unlabeled.methods.siamese.pixpro import PixPro
from unlabeled.parts.dense import feature_map
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.views import ImagePolicy, ImageViews
from unlabeled.views.images import to_batch

SIDE, CELL = 64, 4  # of a scene and of a cell that is judged, in pixels
# Crops that show what they show at about the scale at which it is judged.
POLICY = ImagePolicy(scale=(0.15, 0.6))
MANY = 256  # scenes embedded at once


def run(lab: Lab) -> Arms:
    names = np.unique(np.concatenate([lab.y, lab.y_test]))
    rng = np.random.default_rng(lab.seed)
    X = scenes(lab.X, np.searchsorted(names, lab.y), lab.setting(2000, 20000), rng)[0]
    known, gold = scenes(lab.X, np.searchsorted(names, lab.y), 200, rng)
    new, gold_new = scenes(lab.X_test, np.searchsorted(names, lab.y_test), 500, rng)
    learn, test = even(gold, np.unique(gold), rng), even(gold_new, np.unique(gold_new[gold_new >= 0]), rng)
    options = {
        "encoder": lab.setting("conv5-dense", "resnet18"),
        "epochs": lab.setting(6, 200),
        "batch_size": lab.setting(64, 256),
    }
    boxes = ImageViews(POLICY, size=SIDE // 2, boxes=True)
    arms: dict[str, Learner] = {
        "PixPro": lab.learner(PixPro, views=boxes, **options),
        "whole pictures": lab.learner(BYOL, views=replace(boxes, boxes=False), **options),
        "no propagation": lab.learner(PixPro, views=boxes, propagation=False, **options),
    }
    table: Arms = {}

    def judge(name: str, Z: np.ndarray, Z_new: np.ndarray) -> None:
        table[name] = {"cells": linear_probe(Z[learn], gold[learn], Z_new[test], gold_new[test], seed=lab.seed)}
        lab.say(f"{name}: cells {table[name]['cells']:.3f}")

    for name, arm in arms.items():
        fitted = lab.fit(arm, X)
        lab.costs[name] = fitted.cost_
        judge(name, cells(fitted, known), cells(fitted, new))
    untrained = lab.untrained(arms["PixPro"], X)
    judge("untrained", cells(untrained, known), cells(untrained, new))
    judge("raw", around(known), around(new))
    return table


def scenes(X: np.ndarray, y: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n scenes of 3 or 4 of the pictures at random places and scales, uint8 [n, SIDE, SIDE, C], and what lies under each cell's centre.

    The class, or -1 for background: int [n * cells]. Of grey pictures the dark part is no part of the item.
    """
    X = X if X.ndim == 4 else X[..., None]
    canvas = np.zeros((n, SIDE, SIDE, X.shape[3]), np.uint8)
    classes = np.full((n, SIDE, SIDE), -1)
    for scene in range(n):
        for item in rng.integers(len(X), size=rng.integers(3, 5)):
            side = int(rng.integers(SIDE // 4, SIDE // 2))
            top, left = rng.integers(0, SIDE - side + 1, size=2)
            small = F.interpolate(to_batch(torch.from_numpy(X[item][None])), size=(side, side), mode="bilinear", antialias=True)
            pasted = (small[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            mask = pasted[..., 0] > 25 if X.shape[3] == 1 else np.ones((side, side), bool)
            canvas[scene, top : top + side, left : left + side][mask] = pasted[mask]
            classes[scene, top : top + side, left : left + side][mask] = y[item]
    return canvas, classes[:, CELL // 2 :: CELL, CELL // 2 :: CELL].reshape(-1)


def even(labels: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many cells of each of the classes as the rarest has: most cells are background, and accuracy is the mean over classes.

    The background is one more class to learn, and is not scored.
    """
    members = [np.flatnonzero(labels == one) for one in classes]
    fewest = min(len(rows) for rows in members)
    return np.concatenate([rng.choice(rows, fewest, replace=False) for rows in members])


def cells(learner: Learner, X: np.ndarray) -> np.ndarray:
    """The features under each cell, float32 [n * cells, width]."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(X), MANY):
            maps = feature_map(learner.net_.encode, to_batch(torch.from_numpy(X[start : start + MANY])))
            found.append(F.interpolate(maps, size=(SIDE // CELL, SIDE // CELL), mode="bilinear").permute(0, 2, 3, 1).flatten(0, 2).numpy())
    return np.concatenate(found)


def around(X: np.ndarray) -> np.ndarray:
    """The 5x5 pixels around each cell's centre, float32 [n * cells, 25 C]; the last row and column are repeated beyond the edge."""
    X = np.pad(X, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    reach = np.arange(5)
    centre = np.arange(CELL // 2, SIDE, CELL)
    rows, columns = (centre[:, None] + reach)[:, None, :, None], (centre[:, None] + reach)[None, :, None, :]
    return (X[:, rows, columns].astype(np.float32) / 255).reshape(len(X) * len(centre) ** 2, -1)


REPRODUCTION = Reproduction(
    system="pixpro",
    sets=("fashion_mnist",),
    run=run,
    claims=(
        Claim("places tell more than they do to an untrained network", ours="PixPro", than="untrained", metric="cells", margin=0.05),
        Claim(
            "agreement of places beats agreement of whole pictures",
            ours="PixPro",
            than="whole pictures",
            metric="cells",
            margin=0.02,
        ),
        Claim(
            "propagation helps",
            ours="PixPro",
            than="no propagation",
            metric="cells",
            margin=0.0,
            role="key ingredient removed",
        ),
    ),
    full="ImageNet: ResNet-50, hidden=4096, dim=256, LARS lr 1.0, batches of 1024, 400 epochs; then detection on VOC and COCO",
)
