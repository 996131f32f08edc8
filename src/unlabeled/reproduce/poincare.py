"""Poincaré embeddings: few dimensions bring a hierarchy back that a flat space needs many for; its metric and its burn-in are needed.

A node's ancestors are ranked among all nodes that aren't, by distance; with all pairs learned (reconstruction), and for pairs that were
hidden (links): a tenth of those whose lower end isn't a leaf and whose upper end isn't the root. The flat twin, plain steps in the ball and
steps without a burn-in have the best of several rates, seed by seed, on the very scores that are reported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import eigsh
from scipy.stats import spearmanr

from unlabeled.data.graphs import Graph
from unlabeled.datasets.graphs import wordnet
from unlabeled.errors import InputError
from unlabeled.evaluate.hierarchy import hierarchy_scores
from unlabeled.methods.graphs.poincare import Poincare
from unlabeled.parts.closure import closure
from unlabeled.parts.hyperbolic import distance
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

ROOTS = {"mammals": "mammal.n.1", "artifacts": "artifact.n.1"}
FLAT, PLAIN, COLD = (0.01, 0.03, 0.1), (0.01, 0.03, 0.1, 0.3), (0.1, 0.3)  # rates


def hierarchy(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """All pairs (node, ancestor) of the closure of at most n_train of WordNet's nouns below one; and those of them that links hide."""
    if source not in ROOTS:
        raise InputError(f"{source!r} is no part of WordNet that is known here: wanted one of {', '.join(ROOTS)}")
    graph, names = wordnet(ROOTS[source])
    whole, rng = closure(graph), np.random.default_rng(seed)
    rows = rng.permutation(len(whole))[:n_train]
    whole = whole.subgraph(np.union1d(rows, names.index(ROOTS[source])))
    pairs = whole.edges()
    inner = np.bincount(pairs[:, 1], minlength=len(whole)) > 0
    may = np.flatnonzero(inner[pairs[:, 0]] & (whole.degrees[pairs[:, 1]] > 0))
    hidden = pairs[rng.permutation(may)[: len(may) // 10][:n_test]]
    return pairs, np.zeros(len(pairs)), hidden, np.zeros(len(hidden))


def run(lab: Lab) -> Arms:
    whole = Graph.of(lab.X, directed=True)
    part, level = whole.without(lab.X_test), whole.degrees  # in a tree a node has as many ancestors as it is deep
    base: dict[str, Any] = {"closure": False, "epochs": lab.setting(200, 1000), "seed": lab.seed, "lr": 0.3}
    table: Arms = {}

    def learned(name: str, links: bool = False, **settings: Any) -> None:
        try:
            model = Poincare(**base | settings).fit(whole)
            found = hierarchy_scores(model.distances, whole)
            table[name] = {"map": found.map, "mean_rank": found.mean_rank, "depth": float(spearmanr(model.depth(), level)[0])}
            if links:
                model = Poincare(**base | settings).fit(part)
                table[name]["links"] = hierarchy_scores(model.distances, whole, lab.X_test).map
        except InputError:  # the rate was too high: the worst there is
            table[name] = {"map": 0.0, "mean_rank": float(len(whole)), "depth": 0.0, "links": 0.0}
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))

    for dim in (2, 5, 10):
        learned(f"Poincaré, {dim} dimensions", dim=dim, links=dim == 5)
    for rate in FLAT:
        learned(f"flat, 5 dimensions, rate {rate}", geometry="euclidean", lr=rate, links=True)
    learned("flat, 20 dimensions", dim=20, geometry="euclidean", lr=0.03)
    learned("flat, 50 dimensions", dim=50, geometry="euclidean", lr=0.03)
    for rate in COLD:
        learned(f"no burn-in, rate {rate}", burn_in=0, epochs=base["epochs"] + 10, lr=rate)
    for rate in PLAIN:
        learned(f"no metric, rate {rate}", riemannian=False, lr=rate)
    learned("1 negative", negatives=1)
    for name, Z in {"random": np.random.default_rng(lab.seed).normal(size=(len(whole), 5)), "spectral": spectral(whole, 5)}.items():
        found = hierarchy_scores(lambda rows, Z=Z: distance(Z[rows], Z, "euclidean"), whole)  # type: ignore[misc]
        table[name] = {"map": found.map, "mean_rank": found.mean_rank}
        lab.say(f"{name}: map {found.map:.3f}, mean rank {found.mean_rank:.1f}")
    return table


def spectral(graph: Graph, dim: int) -> np.ndarray:
    """The eigenvectors of the normalised adjacency of the pairs, without their directions, after the first."""
    A = graph.undirected().adjacency().astype(np.float64)
    root = 1 / np.sqrt(np.maximum(np.asarray(A.sum(axis=1)).ravel(), 1))
    vectors = eigsh(A.multiply(root[:, None]).multiply(root).tocsr(), dim + 1, which="LA", v0=np.ones(len(graph)))[1]
    return np.asarray(vectors[:, ::-1][:, 1:] * root[:, None])


FIVE, KEY = "Poincaré, 5 dimensions", "key ingredient removed"
FLATS = tuple(f"flat, 5 dimensions, rate {rate}" for rate in FLAT)

REPRODUCTION = Reproduction(
    system="poincare",
    sets=("mammals", "artifacts"),
    run=run,
    load=hierarchy,
    n=(3000, None),  # type: ignore[arg-type]
    claims=(
        Claim(
            "in 5 dimensions ancestors are found far better than in flat space", ours=FIVE, than=FLATS, metric="map", margin=0.1, role=KEY
        ),
        Claim("and their mean rank is lower", ours=FIVE, than=FLATS, metric="mean_rank", lower=True, role=KEY),
        Claim("and better than by a spectral embedding", ours=FIVE, than="spectral", metric="map", margin=0.1),
        Claim("and than by random vectors", ours=FIVE, than="random", metric="map", margin=0.1),
        Claim(
            "hidden pairs are found better than in flat space", ours=FIVE, than=FLATS, metric="links", margin=0.1, role=KEY, on="mammals"
        ),
        Claim("2 dimensions are better than 5 flat ones", ours="Poincaré, 2 dimensions", than=FLATS, metric="map", role=KEY),
        Claim(
            "the metric of the ball is needed", ours=FIVE, than=tuple(f"no metric, rate {rate}" for rate in PLAIN), metric="map", role=KEY
        ),
        Claim("the burn-in is needed", ours=FIVE, than=tuple(f"no burn-in, rate {rate}" for rate in COLD), metric="map", role=KEY),
        Claim("many negatives are needed", ours=FIVE, than="1 negative", metric="map", role=KEY),
    ),
    full="All nouns of WordNet, 82,115 nodes and 743,241 pairs, 5 to 200 dimensions",
)
