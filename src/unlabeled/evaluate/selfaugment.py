"""SelfAugment: which views to learn from, found without a label."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from unlabeled.data import as_items
from unlabeled.errors import InputError
from unlabeled.evaluate.labelfree import draw, rotation_probe
from unlabeled.learner import Learner, Source
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.losses import nt_xent
from unlabeled.views import ImagePolicy, ImageViews
from unlabeled.views.images import MixedViews, rotate4

Operation = tuple[str, float, float]  # name, probability, magnitude in [0, 1]
BASE = ImagePolicy(jitter=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grey=0.0)  # crop and flip
CHANCE = 0.3  # accuracy of the rotation head on clean pictures below which it knows nothing worth asking

# What an operation of some probability and magnitude changes in a policy. Right-angled turns are not among them: the rotation
# probe could not judge an encoder that was taught to overlook them.
OPERATIONS: dict[str, Callable[[float, float], dict[str, Any]]] = {
    "shear": lambda p, m: {"shear": p, "shear_size": 0.6 * m},
    "translate": lambda p, m: {"translate": p, "translate_size": 0.45 * m},
    "rotate": lambda p, m: {"rotate": p, "rotate_size": 45 * m},
    "brightness": lambda p, m: {"jitter": p, "brightness": 0.9 * m},
    "contrast": lambda p, m: {"jitter": p, "contrast": 0.9 * m},
    "colour": lambda p, m: {"jitter": p, "saturation": 0.9 * m},
    "hue": lambda p, m: {"jitter": p, "hue": 0.5 * m},
    "grey": lambda p, m: {"grey": p},
    "sharpness": lambda p, m: {"sharpen": p, "sharpness": 0.9 * m},
    "blur": lambda p, m: {"blur": p, "sigma": (0.1, 0.1 + 1.9 * m)},
    "autocontrast": lambda p, m: {"autocontrast": p},
    "equalize": lambda p, m: {"equalize": p},
    "posterize": lambda p, m: {"posterize": p, "bits": 7 - round(5 * m)},
    "solarize": lambda p, m: {"solarize": p},
    "invert": lambda p, m: {"invert": p},
    "cutout": lambda p, m: {"cutout": p, "cutout_size": 0.6 * m},
}


def sub_policy(base: ImagePolicy, operations: list[Operation]) -> ImagePolicy:
    """The base with some operations switched on. Brightness, contrast, colour and hue share one probability, the largest."""
    changes: dict[str, Any] = {}
    for name, probability, magnitude in operations:
        if name not in OPERATIONS:
            raise InputError(f"no operation is called {name!r}: choose from {', '.join(OPERATIONS)}")
        for field, value in OPERATIONS[name](probability, magnitude).items():
            changes[field] = max(value, changes.get(field, value))
    return replace(base, **changes)


def random_policy(rng: np.random.Generator, sub_policies: int = 5, ops: int = 2) -> list[list[Operation]]:
    """Sub-policies of `ops` different operations each; probabilities from 0.2, as an operation that never happens is a trial wasted."""
    names = list(OPERATIONS)
    drawn = [rng.choice(len(names), ops, replace=False) for _ in range(sub_policies)]
    return [[(names[i], float(rng.uniform(0.2, 1)), float(rng.uniform())) for i in chosen] for chosen in drawn]


def rotation_score(fitted: Any, images: Any, seed: int = 0) -> float:
    """`rotation_probe` of a fitted estimator on square pictures [n, H, H(, C)] as they are: ranks models without labels."""
    return rotation_probe([fitted.transform(turned) for turned in _turned(np.asarray(images))], seed)


@dataclass(kw_only=True)
class SelfAugment:
    """Search a policy of random views with held-out rotation and contrast losses in place of a validation set's labels.

    Reed, Metzger, Srinivas, Darrell and Keutzer, 2020, "SelfAugment: Automatic Augmentation Policies for Self-Supervised
    Learning", arXiv:2009.07724. On each fold a contrastive learner is trained with the `base` policy alone, and a linear
    head on its frozen encoder to tell quarter turns. Policies are then tried on the pictures held out, without training:
    one is good when turned pictures are still told apart under it (nothing of use was destroyed) and partners are hard to
    find (something was changed). The best of all folds together are the result, a callable for any learner's `views`.

    objective: "minmax", rotation loss / its mean - contrast loss / its mean, the paper's best; "rotation", the first alone;
    "icl", the second alone. Departures: policies are drawn at random instead of by a tree of Parzen estimators (200 trials
    of a 20-dimensional space are little for either), the learner is SimCLR instead of MoCo v2, and the base is given
    instead of chosen by a first search. `trials_` lists what was tried: {"fold", "policy", "rotation", "icl", "score"}.
    """

    objective: str = "minmax"
    base: ImagePolicy = BASE
    learner: Learner | None = None  # default: SimCLR(); one with a `project` and two views
    folds: int = 5
    trials: int = 200  # policies tried on each fold
    best: int = 10  # of them kept
    sub_policies: int = 5
    ops: int = 2
    copies: int = 1  # random views over which a trial's losses are averaged
    held: int = 1000  # pictures on which policies are tried, at most
    seed: int = 0

    def search(self, images: Any, fit: Callable[[Learner, Any], Any] | None = None) -> MixedViews:
        """images: uint8 [n, H, H(, C)], square. fit: how to train, if not with `learner.fit(images)`. Returns the views."""
        if self.objective not in ("minmax", "rotation", "icl"):
            raise InputError(f'objective must be "minmax", "rotation" or "icl", got {self.objective!r}')
        if not 2 <= self.folds <= len(images) // 4 or self.trials < 1 or self.best < 1:
            raise InputError(f"{len(images)} pictures, {self.folds} folds, {self.trials} trials, best {self.best}: wanted 2 folds or more")
        images, order = np.asarray(images), np.random.default_rng(self.seed).permutation(len(images))
        self.trials_: list[dict[str, Any]] = []
        pooled: list[ImagePolicy] = []
        upright = []
        for fold in range(self.folds):
            held = np.zeros(len(images), bool)
            held[order[fold :: self.folds]] = True
            learner: Any = (SimCLR() if self.learner is None else clone(self.learner)).set_params(views=ImageViews(self.base))
            fitted = fit(learner, images[~held]) if fit else learner.fit(images[~held])
            judge = _Judge(fitted, images[~held], images[held][draw(int(held.sum()), self.held, self.seed)])
            upright.append(judge.accuracy)
            rng = np.random.default_rng([self.seed, fold])
            tried: list[dict[str, Any]] = [
                {"fold": fold, "policy": random_policy(rng, self.sub_policies, self.ops)} for _ in range(self.trials)
            ]
            for number, trial in enumerate(tried):
                trial |= judge(MixedViews(self._policies(trial)), self.copies, seed=number)
            self._scored(tried)
            for trial in sorted(tried, key=lambda trial: trial["score"])[: self.best]:
                pooled += self._policies(trial)
            self.trials_ += tried
        if max(upright) < CHANCE:
            warnings.warn(f"quarter turns can't be told (at best {max(upright):.0%} of 25%): these pictures may have no upright side, "
                          "and then this search means nothing", stacklevel=2)  # fmt: skip
        return MixedViews(tuple(pooled))

    def _policies(self, trial: dict[str, Any]) -> tuple[ImagePolicy, ...]:
        return tuple(sub_policy(self.base, operations) for operations in trial["policy"])

    def _scored(self, tried: list[dict[str, Any]]) -> None:
        """Set each trial's score, lower is better; losses count relative to their mean over the fold's trials."""
        rotation, icl = (np.array([trial[loss] for trial in tried]) for loss in ("rotation", "icl"))
        rotation, icl = rotation / rotation.mean(), icl / icl.mean()
        score = {"minmax": rotation - icl, "rotation": rotation, "icl": -icl}[self.objective]
        for trial, value in zip(tried, score.tolist(), strict=True):
            trial["score"] = value


class _Judge:
    """A frozen network and its rotation head: how policies do on pictures held out."""

    def __init__(self, fitted: Any, images: np.ndarray, held: np.ndarray):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.fitted, self.net = fitted, fitted.net_
        self.held = Source(as_items(held), self.net.encode, fitted.inputs_).take(np.arange(len(held)))
        few = images[draw(len(images), 2000)]
        self.head = make_pipeline(StandardScaler(), LogisticRegression(C=100 / (4 * len(few)), max_iter=200, tol=1e-3))
        self.head.fit(np.concatenate([fitted.transform(turned) for turned in _turned(few)]), np.repeat(np.arange(4), len(few)))
        clean = np.concatenate([fitted.transform(turned) for turned in _turned(held)])
        self.accuracy = float(self.head.score(clean, np.repeat(np.arange(4), len(held))))

    def __call__(self, views: MixedViews, copies: int, seed: int) -> dict[str, float]:
        """Mean cross-entropy of the rotation head, and InfoNCE, on held-out pictures under these views."""
        generator, found = torch.Generator().manual_seed(seed), []
        whole = replace(views, views=1, size=min(self.held.shape[1:3]))
        with torch.inference_mode():
            for _ in range(copies):
                turned, quarter = rotate4(whole(self.held, generator)[0])
                chances = self.head.predict_log_proba(self._vectors(turned))
                a, b = (self._projected(view) for view in views(self.held, generator))
                temperature = getattr(self.fitted, "temperature", 0.2)
                icl = np.mean([float(nt_xent(x, y, temperature)) for x, y in zip(a.split(250), b.split(250), strict=True)])
                found.append((-chances[np.arange(len(quarter)), quarter.numpy()].mean(), icl))
        rotation, icl = np.mean(found, axis=0).tolist()
        return {"rotation": rotation, "icl": icl}

    def _vectors(self, pictures: Tensor) -> np.ndarray:
        Z = np.concatenate([self.fitted.embed(self.net, part).float().numpy() for part in pictures.split(512)])
        return Z if self.fitted.whitening_ is None else self.fitted.whitening_.transform(Z)

    def _projected(self, pictures: Tensor) -> Tensor:
        z = torch.cat([self.net.encode(part) for part in pictures.split(512)])
        return self.net.project(z) if hasattr(self.net, "project") else z


def _turned(images: np.ndarray) -> list[np.ndarray]:
    if images.ndim not in (3, 4) or images.shape[1] != images.shape[2]:
        raise InputError(f"images have shape {images.shape}: quarter turns need square pictures [n, H, H] or [n, H, H, C]")
    return [np.ascontiguousarray(np.rot90(images, turn, axes=(1, 2))) for turn in range(4)]
