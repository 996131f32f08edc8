"""HypeBoy: vectors that fill groups tell topics with few labels, and find who is missing from groups that were hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from unlabeled.data.graphs import Hypergraph
from unlabeled.datasets.graphs import hypergraph
from unlabeled.evaluate.labelfree import rankme
from unlabeled.evaluate.nodes import node_accuracy, split_by_class
from unlabeled.methods.graphs.grace import GRACE
from unlabeled.methods.graphs.hypeboy import HypeBoy
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

SPLITS = 10


def papers(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """The groups, which tell the cache sets of the same papers apart; which papers are tested on is drawn in `run`."""
    found = hypergraph(source)
    return found.graph.groups(), found.y, np.arange(len(found.y)), found.y


def averaged(graph: Hypergraph, times: int = 2) -> Any:
    """The words of a paper, averaged so many times over its groups, of each of which the mean is taken; papers of no group keep theirs."""
    H = graph.incidence()
    alone = sp.diags((graph.involved() == 0).astype(np.float32))
    groups = sp.diags(1 / graph.sizes) @ H
    back = sp.diags(1 / np.maximum(graph.involved(), 1)) @ H.T
    x = graph.features
    for _ in range(times):
        x = back @ (groups @ x) + alone @ x
    return sp.csr_matrix(x)


def shuffled(graph: Hypergraph, seed: int) -> Hypergraph:
    """Groups as large as they were, of nodes that are in as many as they were, but who is with whom is left to chance."""
    nodes = np.random.default_rng(seed).permutation(graph.nodes)
    return Hypergraph.of(np.split(nodes, graph.starts[1:-1]), len(graph), features=graph.features)


def reciprocal_rank(scores: np.ndarray, queries: list[tuple[np.ndarray, int]]) -> float:
    """Mean of 1 / rank of the one who is missing, among the nodes that aren't there already; ties count half. scores: [queries, n]."""
    found = []
    for row, (others, missing) in zip(scores, queries, strict=True):
        rest = np.delete(row, [*others, missing])
        found.append(1 / (1 + (rest > row[missing]).sum() + (rest == row[missing]).sum() / 2))
    return float(np.mean(found))


def run(lab: Lab) -> Arms:
    found = hypergraph(lab.set)
    graph, y = found.graph, found.y
    base: dict[str, Any] = {"seed": lab.seed, "epochs": lab.setting(30, 500), "batch_size": lab.setting(512, 4096)}
    base |= {"lr": lab.setting(4e-3, 1e-3), "reconstruct": lab.setting(0.5, 0.6), "drop_edges": DROPPED}
    unchanged = HypeBoy(**base)
    arms: dict[str, tuple[Any, Hypergraph]] = {"HypeBoy": (unchanged, graph)}
    without: dict[str, tuple[Any, Hypergraph]] = {
        "no reconstruction": (HypeBoy(**base | {"reconstruct": 0.0, "epochs": round(base["epochs"] * (1 - unchanged.reconstruct))}), graph),
        "no heads": (HypeBoy(**base, heads=False), graph),
        "no corruption": (HypeBoy(**base | {"drop_edges": 0.0, "mask_features": 0.0}), graph),
        "groups shuffled": (HypeBoy(**base), shuffled(graph, lab.seed)),
    }
    every = lab.full or lab.set != "coauthorship_cora"
    arms |= without if every else {}
    vectors: dict[str, Any] = {name: model.fit(seen).transform(seen) for name, (model, seen) in arms.items()}
    vectors["untrained"] = HypeBoy(**base).untrained(graph).transform(graph)
    cliques = graph.cliques()
    vectors["GRACE"] = (
        GRACE(seed=lab.seed, epochs=lab.setting(16, 200), batch_size=lab.setting(512, 2048), lr=2e-3).fit(cliques).transform(cliques)
    )
    vectors |= {"words": graph.features, "words of groups": averaged(graph)}
    few = [split_by_class(y, 1000 * lab.seed + number, 0.01) for number in range(SPLITS)]
    more = [split_by_class(y, 1000 * lab.seed + number, 20) for number in range(SPLITS // 2)]
    table: Arms = {}
    for name, Z in vectors.items():
        table[name] = {"1 %": node_accuracy(Z, y, few), "20 a class": node_accuracy(Z, y, more)}
        if isinstance(Z, np.ndarray):
            table[name]["rank"] = rankme(Z)
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))
    for name, value in missing(lab, graph, base).items() if every else ():
        table.setdefault(name, {})["mrr"] = value
        lab.say(f"{name}: mrr {value:.3f}")
    return table


def missing(lab: Lab, graph: Hypergraph, base: dict[str, Any]) -> dict[str, float]:
    """Reciprocal ranks of each member of a fifth of the groups, which nothing is learned from, given its other members."""
    order = np.random.default_rng(lab.seed).permutation(np.flatnonzero(graph.sizes > 1))
    hidden = order[: len(order) // 5]
    kept = graph.take(np.setdiff1d(np.arange(graph.n_edges), hidden))
    queries = [(group[group != v], int(v)) for group in graph.take(hidden).groups() for v in group]
    best, cosines = HypeBoy(**base).fit(kept).fill(kept, [others for others, _ in queries], len(graph))
    scores = np.empty_like(cosines)
    np.put_along_axis(scores, best, cosines, axis=1)
    assert kept.features is not None
    length = np.sqrt(np.asarray(kept.features.multiply(kept.features).sum(axis=1)).ravel())
    words = sp.csr_matrix(sp.diags(1 / np.maximum(length, 1e-12)) @ kept.features)
    there = Hypergraph.of([others for others, _ in queries], len(graph)).incidence()
    return {
        "HypeBoy": reciprocal_rank(scores, queries),
        "popularity": reciprocal_rank(np.broadcast_to(kept.involved(), scores.shape), queries),
        "mean of the words": reciprocal_rank(((there @ words) @ words.T).toarray(), queries),
    }


DROPPED = 0.9  # groups that the network doesn't see while it fills them
KEY, FIRST = "key ingredient removed", "cocitation_cora"  # what is taken away is taken away on one set, for time

REPRODUCTION = Reproduction(
    system="hypeboy",
    sets=(FIRST, "coauthorship_cora"),
    run=run,
    load=papers,
    n=(None, None),  # type: ignore[arg-type]
    claims=(
        Claim("far better than the words with 1 % of the labels", ours="HypeBoy", than="words", metric="1 %", margin=0.05),
        Claim("better than the untrained network with 1 % of the labels", ours="HypeBoy", than="untrained", metric="1 %", margin=0.01),
        Claim("and with 20 a class", ours="HypeBoy", than="untrained", metric="20 a class", margin=0.01),
        Claim("not a point worse than words averaged over groups", ours="HypeBoy", than="words of groups", metric="1 %", margin=-0.01),
        Claim("better than GRACE on cliques", ours="HypeBoy", than="GRACE", metric="1 %"),
        Claim("reconstruction first helps", ours="HypeBoy", than="no reconstruction", metric="1 %", role=KEY, on=FIRST),
        Claim("heads help", ours="HypeBoy", than="no heads", metric="1 %", role=KEY, on=FIRST),
        Claim("heads keep more dimensions in use", ours="HypeBoy", than="no heads", metric="rank", role=KEY, on=FIRST),
        Claim("corruption is needed", ours="HypeBoy", than="no corruption", metric="1 %", margin=0.01, role=KEY, on=FIRST),
        Claim("who is with whom matters", ours="HypeBoy", than="groups shuffled", metric="1 %", margin=0.05, role=KEY, on=FIRST),
        Claim(
            "who is missing from hidden groups is ranked higher than by popularity",
            ours="HypeBoy",
            than="popularity",
            metric="mrr",
            margin=0.02,
            on=FIRST,
        ),
        Claim("and than by the mean of the words", ours="HypeBoy", than="mean of the words", metric="mrr", on=FIRST),
    ),
    full="eleven hypergraphs, 1 % of the nodes labelled, fine-tuned and by linear probes: 300 epochs of reconstruction, 200 of filling",
)
