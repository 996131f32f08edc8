"""Functorial manifold learning: single linkage is stable where complete linkage isn't; the cells that the theory adds make good maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.random_projection import GaussianRandomProjection

from unlabeled.parts.neighbours import neighbours
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.reduce.functorial_manifold import FunctorialEmbedding

CELLS: dict[str, dict[str, Any]] = {
    "UMAP": {"weights": "fuzzy", "loss": "ce"},
    "LUMAP": {"weights": "fuzzy", "loss": "laplacian"},
    "Laplacian Eigenmaps": {"weights": "maximal", "loss": "laplacian", "top": 15},
    "MLCE": {"weights": "maximal", "loss": "ce", "top": 15},
    "single linkage scaling": {"weights": "single", "loss": "mds"},
    "metric MDS": {"weights": "maximal", "loss": "mds"},
    "Isomap": {"weights": "isomap", "loss": "mds"},
}
DIMS = (2, 5)  # numbers of a map
REPEATS, PICTURES, STEP = 5, 10, 6  # of the noise; of the chains: a picture turned by 6 degrees at a time


def run(lab: Lab) -> Arms:
    """knn: items whose five nearest others on the map vote for their class, mean over maps of two and of five numbers.

    Of the cells that end in MDS, which take long, maps of two numbers only. stretch: see the claims.
    """
    Z = np.concatenate(lab.raw())
    y = np.concatenate([lab.y, lab.y_test])
    table: Arms = {}
    for dim in DIMS:
        for name, model in models(lab.seed, dim).items():
            if dim == DIMS[0] or getattr(model, "loss", "") != "mds":
                table.setdefault(name, {})[f"knn {dim}"] = voted(model.fit_transform(Z), y)
                lab.say(f"{name}, {dim} numbers: {table[name][f'knn {dim}']:.3f}")
    for scores in table.values():
        scores |= {"knn": float(np.mean(list(scores.values())))} if len(scores) == len(DIMS) else {}
    chains, member = turned(lab.seed)
    for name in ("single linkage scaling", "metric MDS", "PCA"):
        table[name]["chains"] = voted(models(lab.seed, DIMS[0])[name].fit_transform(chains), member)
        lab.say(f"{name}: chains {table[name]['chains']:.3f}")
    fast = FunctorialEmbedding(weights="fuzzy", loss="laplacian", seed=lab.seed)
    reports = [line for i in range(REPEATS) for line in replace(fast, seed=lab.seed * REPEATS + i).stability_report(Z[:600])]
    for linkage in ("single", "average", "complete"):
        found = [line[linkage] for line in reports]
        table[f"{linkage} linkage"] = {"stretch": max(found), "broken": float(np.mean([one > 1 + 1e-9 for one in found]))}
        lab.say(f"{linkage} linkage: stretch {max(found):.3f}, broken {table[f'{linkage} linkage']['broken']:.2f}")
    kept = [np.mean([line["kept"] for line in reports[i :: len(reports) // REPEATS]]) for i in range(len(reports) // REPEATS)]
    lab.say(f"neighbours kept on LUMAP's map, noise rising: {np.round(kept, 3)}")
    table["refinement"] = {"violations": fast.refinement_report(Z[:600])["violations"]}
    return table


def models(seed: int, dim: int) -> dict[str, Any]:
    cells = {name: FunctorialEmbedding(**cell, dim=dim, starts=1, seed=seed) for name, cell in CELLS.items()}
    return cells | {"PCA": PCA(dim, random_state=seed), "random projection": GaussianRandomProjection(dim, random_state=seed)}


def voted(places: np.ndarray, y: np.ndarray) -> float:
    """Share of the items that their five nearest others vote right."""
    codes = np.unique(y, return_inverse=True)[1]
    near = neighbours(places, 5, metric="euclidean").rows
    return float((np.eye(codes.max() + 1)[codes[near]].sum(axis=1).argmax(axis=1) == codes).mean())


def turned(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten pictures of digits, each turned all round in small steps, float32 [600, 64], and which picture each is."""
    from scipy.ndimage import rotate
    from sklearn.datasets import load_digits

    images = load_digits().images
    chosen = np.random.default_rng(seed).choice(len(images), PICTURES, replace=False)
    frames = [rotate(images[one], angle, reshape=False, order=1) for one in chosen for angle in range(0, 360, STEP)]
    return np.stack(frames).reshape(len(frames), -1).astype(np.float32), np.repeat(np.arange(PICTURES), 360 // STEP)


REPRODUCTION = Reproduction(
    system="functorial-manifold",
    sets=("digits", "fashion_mnist", "newsgroups20"),
    run=run,
    n=(1000, 500),
    claims=(
        Claim(
            "no noise moves single linkage's metric by more than the distances",
            ours="single linkage",
            than=0.0,
            metric="broken",
            lower=True,
            role="by itself",
        ),
        Claim(
            "complete linkage's is moved by more, always",
            ours="complete linkage",
            than="single linkage",
            metric="broken",
            margin=0.9,
            role="key ingredient removed",
        ),
        Claim(
            "single linkage lies below the distances, these below the ways along the graph: no pair is out of order",
            ours="refinement",
            than=0.0,
            metric="violations",
            lower=True,
            role="by itself",
        ),
        Claim(
            "LUMAP's maps, of local metrics, are better than those of Laplacian Eigenmaps",
            ours="LUMAP",
            than="Laplacian Eigenmaps",
            margin=0.005,
            pooled=True,
            role="key ingredient removed",
        ),
        Claim("MLCE's are better than PCA's", ours="MLCE", than=("PCA", "random projection"), margin=0.05, pooled=True),
        Claim(
            "single linkage scaling tells chains apart that PCA and metric MDS mix",
            ours="single linkage scaling",
            than=("PCA", "metric MDS"),
            metric="chains",
            margin=0.05,
            on="digits",
        ),
    ),
    full="a DNA-recombination set, MNIST, Fashion-MNIST and word vectors at full size; nearest-neighbour accuracy on the maps",
)
