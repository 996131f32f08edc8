"""Concepts that retell an OOD detector: with a term for its score they tell its decisions, with one for separation they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from unlabeled.datasets import load
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.holistic_concepts import Classifier, classifier, pictures
from unlabeled.tasks.ood.detectors import energy, max_softmax
from unlabeled.tasks.ood.ood_concepts import OODConcepts

TOLD, JUDGED, OTHERS = 2000, 1500, 750  # training items that concepts are learned from; test items of the known classes; of others
DETECTORS: dict[str, Any] = {"msp": max_softmax, "energy": energy}
ARMS: dict[str, dict[str, Any]] = {
    "full": {},
    "without the detector's score": {"detection": 0.0},
    "without separation": {"separation": 0.0},
    "without both (Yeh et al.)": {"detection": 0.0, "separation": 0.0, "reconstruction": 0.0},
    "random concepts": {"concepts": "random"},
    "k-means concepts": {"concepts": "kmeans"},
}


def run(lab: Lab) -> Arms:
    rng = np.random.default_rng(lab.seed)
    classes = rng.permutation(np.unique(lab.y))
    known = classes[: -(-7 * len(classes) // 10)]
    model = classifier(lab.X[np.isin(lab.y, known)], lab.y[np.isin(lab.y, known)], lab.seed)
    rows = rng.permutation(np.flatnonzero(np.isin(lab.y, known)))[:TOLD]
    test = rng.permutation(np.flatnonzero(np.isin(lab.y_test, known)))[:JUDGED]
    unknown = rng.permutation(np.flatnonzero(~np.isin(lab.y_test, known)))[:OTHERS]
    maps, maps_test, strange = (model.maps(X) for X in (lab.X[rows], lab.X_test[test], lab.X_test[unknown]))
    strange = np.concatenate([strange, others("fashion_mnist" if lab.set == "mnist" else "mnist", lab, model, rng, OTHERS)])
    auxiliary = others("emoji", lab, model, rng, 2000)
    detectors = [name for name, score in DETECTORS.items() if telling(score, model, maps_test, strange, lab, name)]
    table: Arms = {}
    for name, settings in ARMS.items():
        each: list[list[float]] = []
        for detector in detectors or list(DETECTORS)[:1]:  # of none completeness says what is wrong
            told = OODConcepts(detector=detector, hidden=128, epochs=10, batch_size=128, seed=lab.seed, **settings)
            told.fit(maps, lab.y[rows], Z_ood=auxiliary, head=model.head)
            found = told.completeness(maps_test, strange, lab.y_test[test])
            separability = told.separability(maps_test, strange)
            each.append(
                [found.detection, float(found.classification or 0), separability["concepts"], separability["features"], found.auroc]
            )
            lab.say(f"{name}, {detector}: " + ", ".join(f"{value:.3f}" for value in each[-1]))
        mean = np.mean(each, axis=0)
        table[name] = dict(zip(("detection", "classification", "J", "J of features", "AUROC"), map(float, mean), strict=True))
    return table


def telling(score: Any, model: Classifier, Z: np.ndarray, strange: np.ndarray, lab: Lab, name: str) -> bool:
    """Is the detector itself better than chance? If not, there is nothing to retell, and the ratio to it runs away."""
    values = [score(model.out(torch.from_numpy(part).mean(dim=(1, 2)))).numpy() for part in (Z, strange)]
    auroc = float(roc_auc_score(np.repeat([1, 0], [len(Z), len(strange)]), np.concatenate(values)))
    if auroc < 0.55:
        lab.say(f"{name} tells others by chance here (AUROC {auroc:.3f}): left out")
    return auroc >= 0.55


def others(name: str, lab: Lab, model: Classifier, rng: np.random.Generator, n: int) -> np.ndarray:
    """Maps of n pictures of another set, in the shape of this one's."""
    items = load(name)
    x = pictures(items.take(np.sort(rng.permutation(len(items))[:n])))
    shape = np.shape(lab.X)
    x = F.interpolate(x, size=shape[1:3], mode="bilinear", align_corners=False)
    x = x.expand(-1, 3, -1, -1) if len(shape) == 4 and shape[3] == 3 and x.shape[1] == 1 else x
    if len(shape) == 3 or shape[3] == 1:
        x = x.mean(dim=1, keepdim=True)
        x = 1 - x if (x.mean() > 0.5) != (np.mean(lab.X) > 127) else x  # light on dark where this set's are
    return model.maps((x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


REPRODUCTION = Reproduction(
    system="ood-concepts",
    # On cifar10 and fashion_mnist the detectors of so small a classifier are often no better than chance: digits look sure to it.
    sets=("mnist",),
    run=run,
    claims=(
        Claim(
            "concepts learned with the detector's score tell more of its decisions than those of Yeh et al.",
            ours="full",
            than="without both (Yeh et al.)",
            metric="detection",
            margin=0.05,
            role="key ingredient removed",
            pooled=True,
        ),
        Claim("and more than random concepts", ours="full", than="random concepts", metric="detection", margin=0.05, pooled=True),
        Claim(
            "the term for separation separates what is flagged",
            ours="full",
            than="without separation",
            metric="J",
            margin=0.1,
            role="key ingredient removed",
            pooled=True,
        ),
        Claim(
            "they tell the classes as well as those of Yeh et al.",
            ours="full",
            than="without both (Yeh et al.)",
            metric="classification",
            margin=-0.05,
            role="key ingredient removed",
            pooled=True,
        ),
    ),
    full="AwA2 (50 classes), InceptionV3, 70 concepts, Adam 1e-2, 20 epochs; OOD: Places, SUN, Textures; auxiliary: MSCOCO",
)
