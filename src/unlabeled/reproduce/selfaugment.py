"""SelfAugment: how well a network tells quarter turns ranks models as labels do, and so finds a good policy of views without any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from unlabeled.evaluate.labelfree import alignment, uniformity
from unlabeled.evaluate.selfaugment import BASE, SelfAugment, random_policy, rotation_score, sub_policy
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.studies.contrastive_temperature import projections
from unlabeled.views import ImagePolicy, ImageViews
from unlabeled.views.images import WHOLE, MixedViews

COLOUR = {name: getattr(ImagePolicy(), name) for name in ("jitter", "brightness", "contrast", "saturation", "hue", "grey")}
TRIED = {
    "flip only": replace(WHOLE, flip=0.5),
    "weak crop": replace(BASE, scale=(0.6, 1.0)),
    "crop": BASE,
    "tiny crop": replace(BASE, scale=(0.02, 0.1)),
    "colour": replace(WHOLE, flip=0.5, **COLOUR),
    "crop and colour": replace(BASE, **COLOUR),
}
RANDOM = 3  # policies drawn from what the search draws from


def run(lab: Lab) -> Arms:
    learner = lab.learner(SimCLR, epochs=lab.setting(6, 200))
    search = SelfAugment(
        learner=learner, folds=lab.setting(2, 5), trials=lab.setting(40, 200), best=lab.setting(4, 10), held=500, seed=lab.seed
    )
    views: dict[str, Any] = {name: ImageViews(policy) for name, policy in TRIED.items()}
    for number in range(RANDOM):
        operations = random_policy(np.random.default_rng([lab.seed, 7, number]))
        views[f"random {number + 1}"] = MixedViews(tuple(sub_policy(BASE, one) for one in operations))
    views["SelfAugment"] = search.search(lab.X, fit=lab.fit)
    arms: Arms = {}
    for name, chosen in views.items():
        fitted = lab.fit(learner.__class__(**learner.get_params(deep=False) | {"views": chosen}))
        Z, Z_test = lab.vectors(fitted)
        arms[name] = lab.score(Z, Z_test) | unlabelled(fitted, lab.X_test, chosen)
        lab.say(f"{name}: " + ", ".join(f"{measure} {value:.3f}" for measure, value in arms[name].items()))
    scores = {measure: [arms[name][measure] for name in views] for measure in arms["crop"]}
    for measure in scores.keys() - {"knn", "probe"}:
        arms[f"by {measure}"] = {"rank correlation": float(spearmanr(scores[measure], scores["probe"]).statistic)}
    arms["median random"] = {"probe": float(np.median([arms[f"random {number + 1}"]["probe"] for number in range(RANDOM)]))}
    Z, Z_test = lab.vectors(lab.untrained(learner))
    return arms | {"untrained": lab.score(Z, Z_test)}


def unlabelled(fitted: Any, images: np.ndarray, views: Any) -> dict[str, float]:
    """Measures that need no label, all the better the larger: those that could be used to choose."""
    first, second = (projections(fitted, view) for view in views(torch.from_numpy(images), torch.Generator().manual_seed(0)))
    return {
        "rotation": rotation_score(fitted, images),
        "training loss": -fitted.loss_curve_[-1],
        "alignment": -alignment(first, second),
        "uniformity": -uniformity(projections(fitted, images)),
    }


REPRODUCTION = Reproduction(
    system="selfaugment",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim(
            "quarter turns told rank the models nearly as labels do",
            ours="by rotation",
            than=0.6,
            metric="rank correlation",
            role="by itself",
        ),
        Claim(
            "better than the loss, alignment or uniformity rank them",
            ours="by rotation",
            than=("by training loss", "by alignment", "by uniformity"),
            metric="rank correlation",
        ),
        Claim(
            "the policy found is better than the crop it started from",
            ours="SelfAugment",
            than="crop",
            metric="probe",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim("and than policies drawn at random", ours="SelfAugment", than="median random", metric="probe", role="key ingredient removed"),
        Claim(
            "it keeps up with the best policy that labels would have chosen",
            ours="SelfAugment",
            than=(*TRIED, *(f"random {number + 1}" for number in range(RANDOM))),
            metric="probe",
            margin=-0.02,
        ),
    ),
    full="CIFAR-10, SVHN, ImageNet: MoCo v2 with ResNet-18 or -50, 5 folds, 200 trials of TPE, hundreds of policies in the correlation",
)
