"""URL: does an encoder's "I am unsure" still mean something on classes it never saw?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.evaluate.probes import check_labels
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.neighbours import neighbours

SHARES = np.arange(1, 11) / 10  # of the items, the surest first
CROPS = (1.0, 0.8, 0.6, 0.4, 0.2)  # share of a picture's area that is left


@dataclass(frozen=True)
class URLScore:
    r1: float  # recall at 1: share of items whose nearest other item is of their class
    r_auroc: float  # chance that a wrong item is less sure than a right one: 0.5 useless, 1 perfect; NaN when all or none are right
    abstention: np.ndarray  # [10]: recall at 1 of the surest 10 %, 20 %, ..., 100 %
    items: int
    dropped: int  # without a label, or the only one of their class
    crop_rho: float = float("nan")  # rank correlation of how much of a picture was cropped away and how unsure the encoder is

    def table(self) -> str:
        """As text."""
        rows = [("R@1", self.r1), ("R-AUROC", self.r_auroc), ("surest half", self.abstention[4])]
        rows += [("crops", self.crop_rho)] if np.isfinite(self.crop_rho) else []
        return "\n".join(f"{name:12s} {value:.3f}" for name, value in rows)


def retrieval_uncertainty(Z: Any, u: Any, y: Any) -> URLScore:
    """R@1 of vectors Z [n, d] by cosine, and R-AUROC of their uncertainties u [n] (higher is less sure). y [n]: see `url_score`."""
    Z = check_vectors(Z)
    u = np.asarray(u.detach().cpu() if hasattr(u, "detach") else u, dtype=np.float64)
    if u.shape != (len(Z),) or not np.isfinite(u).all():
        raise InputError(f"u has shape {u.shape} for {len(Z)} rows, or NaN or infinity: wanted one finite number each")
    keep, codes = check_labels(y, len(Z))
    several = np.bincount(codes)[codes] > 1 if len(codes) else np.zeros(0, bool)
    rows, codes = np.flatnonzero(keep)[several], codes[several]
    if len(rows) < 2:
        raise InputError("no class of y has two items: nothing can be found again")
    right = codes[neighbours(np.asarray(Z[rows]), 1).rows[:, 0]] == codes
    u = u[rows]
    most = np.maximum(1, np.round(SHARES * len(rows)).astype(int))
    # Equally sure items count alike, in whatever order they came: each takes the mean of its ties.
    _, group = np.unique(u, return_inverse=True)
    mean_right = (np.bincount(group, right) / np.bincount(group))[group][np.argsort(u, kind="stable")]
    return URLScore(float(right.mean()), auroc(u, ~right), np.cumsum(mean_right)[most - 1] / most, len(rows), len(Z) - len(rows))


def url_score(model: Any, X: Any, y: Any, *, crops: bool = False) -> URLScore:
    """Judge an encoder on items X of classes that it wasn't trained on.

    Kirchhof, Mucsányi, Oh and Kasneci, 2023, arXiv:2307.03810. model: a function X -> (Z [n, d], u [n]), or an object with such
    a method `embed_with_uncertainty`; a higher u is less sure. For every item the nearest other one by cosine is right when it
    is of the same class; the AUROC of u for the wrong ones says whether the uncertainty holds. No probe is trained, and the
    model sees no label. y [n]: -1, "", None is none; such items and classes with one item are left out.
    crops: also of uint8 pictures that are cropped more and more, whether u rises (`crop_rho`). For vectors at hand there is
    `retrieval_uncertainty(Z, u, y)`. InputError: bad values, no class with two items.

        print(url_score(UncertainEncoder(head="loss").fit(X, y), X_new, y_new).table())
    """
    from dataclasses import replace

    embed = getattr(model, "embed_with_uncertainty", model)
    if not callable(embed):
        raise InputError(f"model is a {type(model).__name__}: wanted a function X -> (Z, u), or an object with embed_with_uncertainty")
    Z, u = embed(X)
    score = retrieval_uncertainty(Z, u, y)
    return replace(score, crop_rho=_crop_rho(embed, X)) if crops else score


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive item scores higher than another, ties by half; NaN when there are no two kinds."""
    from scipy.stats import rankdata

    p, n = int(positive.sum()), int((~positive).sum())
    return float((rankdata(score)[positive].sum() - p * (p + 1) / 2) / (p * n)) if p and n else float("nan")


def _crop_rho(embed: Callable[[Any], Any], X: Any) -> float:
    """Spearman's correlation, picture by picture, of the area cropped away and u, averaged; always around the centre."""
    import torch
    from scipy.stats import rankdata

    from unlabeled.views.images import resampling, to_batch

    pictures = np.asarray(X)
    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4):
        raise InputError(f"crops: X holds {pictures.dtype} of shape {pictures.shape}: wanted uint8 pictures [n, H, W] or [n, H, W, C]")
    batch, found = to_batch(torch.from_numpy(pictures)), []
    for share in CROPS:
        axes = []
        for side in batch.shape[2:]:
            edge = torch.tensor([side * (1 - share**0.5) / 2])
            axes.append(resampling(edge, side - edge, side, side)[0])
        cropped = (axes[0] @ batch @ axes[1].T).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        found.append(np.asarray(embed(cropped[..., 0] if pictures.ndim == 3 else cropped)[1], dtype=np.float64))
    ranks = rankdata(np.stack(found), axis=0)
    ranks, rising = ranks - ranks.mean(axis=0), (np.arange(len(CROPS)) - (len(CROPS) - 1) / 2)[:, None]
    length = np.sqrt(np.square(ranks).sum(axis=0) * np.square(rising).sum())
    return float(np.where(length > 0, (ranks * rising).sum(axis=0) / np.where(length > 0, length, 1), 0).mean())


@dataclass(frozen=True)
class URLTable:
    scores: dict[str, dict[str, list[URLScore]]]  # {method: {downstream set: one score a seed}}

    def mean(self, method: str, measure: str = "r_auroc") -> float:
        """Over the sets and seeds."""
        return float(np.mean([getattr(one, measure) for seeds in self.scores[method].values() for one in seeds]))

    def table(self) -> str:
        """A line for each method and set: R@1 and R-AUROC, means and standard deviations over the seeds."""
        lines = [f"{'method':20s} {'set':16s} {'R@1':>13s} {'R-AUROC':>13s}"]
        for method, sets in self.scores.items():
            for name, seeds in sets.items():
                cells = [(np.mean(v), np.std(v)) for v in ([one.r1 for one in seeds], [one.r_auroc for one in seeds])]
                lines.append(f"{method:20s} {name:16s} " + " ".join(f"{mean:.3f} +- {std:.3f}" for mean, std in cells))
        return "\n".join(lines)


def url_benchmark(
    methods: Mapping[str, Callable[[Any, Any, int], Any]],
    upstream: tuple[Any, Any],
    downstreams: Mapping[str, tuple[Any, Any]],
    seeds: Sequence[int] = (0, 1, 2),
) -> URLTable:
    """Train every method on the upstream set with every seed, and judge it on every downstream set by `url_score`.

    methods: {name: function (X, y, seed) -> model}; upstream and downstreams: (X, y). No class of a downstream set may be
    one of the upstream set: InputError. Kirchhof et al., 2023, arXiv:2307.03810, which has 11 methods on ImageNet.

        url_benchmark({"loss": lambda X, y, seed: UncertainEncoder(head="loss", seed=seed).fit(X, y)}, (X, y), {"new": (X2, y2)})
    """
    if not methods or not downstreams or not len(seeds):
        raise InputError("wanted at least one method, one downstream set and one seed")
    seen = set(np.asarray(upstream[1]).tolist()) - {-1, "", None}
    for name, (_, y) in downstreams.items():
        shared = seen & set(np.asarray(y).tolist())
        if shared:
            raise InputError(f"{name} has classes of the upstream set ({sorted(map(str, shared))[:5]}): wanted unseen ones")
    scores: dict[str, dict[str, list[URLScore]]] = {method: {name: [] for name in downstreams} for method in methods}
    for method, train in methods.items():
        for seed in seeds:
            model = train(*upstream, seed)
            for name, (X, y) in downstreams.items():
                scores[method][name].append(url_score(model, X, y))
    return URLTable(scores)
