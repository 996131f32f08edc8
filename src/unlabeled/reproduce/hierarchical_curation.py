"""Hierarchical k-means: centres of centres, and resampling, spread more evenly; a sample along the tree is more balanced than the pool."""

from __future__ import annotations

import numpy as np
from scipy.stats import gaussian_kde

from unlabeled.evaluate.probes import linear_probe
from unlabeled.reproduce.code import fingerprint_of
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.curate.hierarchical_curation import HierarchicalKMeans, water_filling

TOY, CENTRES = 10_000, 200  # points in the square, and centres of the last level, the same for every hierarchy
LEVELS: dict[int, tuple[int, ...]] = {1: (CENTRES,), 2: (1000, CENTRES), 3: (2500, 800, CENTRES), 4: (4000, 1600, 600, CENTRES)}
SKEW, SHARE, POOLS = 50, 0.2, 5  # largest class to smallest, share that is selected, and pools drawn in one seed


def run(lab: Lab) -> Arms:
    code = fingerprint_of(HierarchicalKMeans.__module__, HierarchicalKMeans.__name__)
    table: Arms = lab.remember("hierarchical-toy", [lab.seed, *map(list, LEVELS.values()), code], lambda: toy(lab.seed))
    Z, Z_test = lab.embedded()
    draws = [selected(Z, lab.y, Z_test, lab.y_test, 100 * lab.seed + draw) for draw in range(POOLS)]
    for name in draws[0]:
        table[name] = {metric: float(np.mean([draw[name][metric] for draw in draws])) for metric in draws[0][name]}
    for name, scores in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in scores.items()))
    return table


def toy(seed: int) -> Arms:
    """Nine Gaussians and some uniform points in a square: how far the density of the centres is from a uniform one."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid([-2, 0, 2], [-2, 0, 2]), -1).reshape(9, 2)
    normal = places[rng.integers(0, 9, TOY * 9 // 10)] + 0.25 * rng.normal(size=(TOY * 9 // 10, 2))
    Z = np.concatenate([normal, rng.uniform(-3, 3, (TOY - len(normal), 2))]).astype(np.float32)
    table = {"toy, a random part": {"KL": divergence(Z[rng.choice(TOY, CENTRES, replace=False)])}}
    table["toy, uniform points"] = {"KL": divergence(rng.uniform(-3, 3, (CENTRES, 2)))}
    for depth, levels in LEVELS.items():
        for steps in (0, 10):
            fitted = HierarchicalKMeans(levels=levels, resample_steps=steps, metric="euclidean", seed=seed).fit(Z)
            name = f"toy, {depth} level{'s' * (depth > 1)}{', resampled' * (steps > 0)}"
            table[name] = {"KL": divergence(fitted.centers_[-1])}
    return table


def divergence(centres: np.ndarray) -> float:
    """KL of the density of points in the square (a kernel estimate, cut at its border) from the uniform one, in nats."""
    side = np.linspace(-3, 3, 61)[:-1] + 0.05
    density = gaussian_kde(centres.T, bw_method=0.15)(np.stack(np.meshgrid(side, side)).reshape(2, -1)) + 1e-12
    share = density / density.sum()
    return float((share * np.log(share * len(share))).sum())


def selected(Z: np.ndarray, y: np.ndarray, Z_test: np.ndarray, y_test: np.ndarray, seed: int) -> Arms:
    """A long-tailed pool, a fifth of it chosen by each rule, and what a linear classifier learns from the labels of those."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.unique(y))
    most = min((y == value).sum() for value in classes)
    sizes = np.maximum(most * SKEW ** -np.linspace(0, 1, len(classes)), 5).astype(int)
    pool = np.concatenate([rng.permutation(np.flatnonzero(y == value))[:size] for value, size in zip(classes, sizes, strict=True)])
    n, X, labels = int(SHARE * len(pool)), Z[pool], y[pool]
    # As many clusters at the end of the hierarchy as the flat one has, or as many at its start: the better one is compared with.
    fine, middle, coarse = len(pool) // 5, len(pool) // 15, 3 * len(classes)
    levels = {"hierarchical": (fine, middle, coarse), "flat, coarse": (coarse,), "flat, fine": (fine,)}
    rows = {
        name: HierarchicalKMeans(levels=ks, resample_steps=10 * (name == "hierarchical"), seed=seed).fit(X).sample(n)
        for name, ks in levels.items()
    }
    plain = HierarchicalKMeans(levels=levels["hierarchical"], resample_steps=0, seed=seed).fit(X)
    rows |= {"hierarchical, not resampled": plain.sample(n), "random": plain.sample(n, rule="random")}
    values, codes = np.unique(labels, return_inverse=True)
    share = water_filling(np.bincount(codes), n, rng)
    rows["oracle"] = np.concatenate([rng.permutation(np.flatnonzero(codes == c))[: share[c]] for c in range(len(values))])
    return {name: scores(X[chosen], codes[chosen], Z_test, np.searchsorted(values, y_test), len(values)) for name, chosen in rows.items()}


def scores(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray, classes: int) -> dict[str, float]:
    """How far the classes are from equal shares (in nats), the smallest one's share of an equal one, and a probe on balanced test items."""
    share = np.bincount(y, minlength=classes) / len(y)
    some = share[share > 0]
    return {
        "KL of classes": float((some * np.log(some * classes)).sum()),
        "smallest class": float(share.min() * classes),
        "probe": linear_probe(X, y, X_test, y_test),
    }


FLAT = ("flat, coarse", "flat, fine")
KEY = "key ingredient removed"
REPRODUCTION = Reproduction(
    system="hierarchical-curation",
    sets=("stackoverflow_titles", "fashion_mnist"),
    run=run,
    n=(5000, 2000),
    claims=(
        Claim(
            "the centres of four levels with resampling spread more evenly than those of flat k-means",
            ours="toy, 4 levels, resampled",
            than="toy, 1 level",
            metric="KL",
            lower=True,
            margin=0.05,
        ),
        Claim(
            "resampling is a part of it",
            ours="toy, 4 levels, resampled",
            than="toy, 4 levels",
            metric="KL",
            lower=True,
            margin=0.01,
            role=KEY,
        ),
        Claim(
            "a hierarchical sample has more equal classes than a flat one",
            ours="hierarchical",
            than=FLAT,
            metric="KL of classes",
            lower=True,
            margin=0.01,
            role=KEY,
        ),
        Claim("and than a random one", ours="hierarchical", than="random", metric="KL of classes", lower=True, margin=0.05),
        Claim("a classifier learns more from it than from a random one", ours="hierarchical", than="random", metric="probe", margin=0.01),
    ),
    full="743 million web pictures, DINOv2-L; levels 10M, 500k, 50k, 10k, 10 resamplings; DINOv2 trained on 100 million selected ones",
)
