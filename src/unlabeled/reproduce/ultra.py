"""ULTRA: trained on three knowledge graphs, it predicts facts of a fourth, whose entities and relations it has never seen.

Learned from: the 10,000 facts among the busiest entities of FB15k-237, 3,000 of WN18RR, and Nations. Predicted, by their training facts
and nothing else: the test facts of UMLS and of Kinship. In Kinship nearly every person is a head and a tail of nearly every relation, so
that all relations meet in all ways, and the graph of relations tells none from another.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from unlabeled.data.graphs import Triples
from unlabeled.datasets.graphs import knowledge
from unlabeled.methods.knowledge.distmult import DistMult
from unlabeled.methods.knowledge.ultra import Ultra
from unlabeled.parts.facts import check_split
from unlabeled.parts.ranking import Known, filtered_ranks, rank_scores
from unlabeled.reproduce.distmult import facts_of, frequency
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

LEARNED = {"fb15k237": 10_000, "wn18rr": 3_000, "nations": 10_000}  # facts of each, at most
ARMS: dict[str, dict[str, Any]] = {
    "zero-shot": {},
    "all relations alike": {"relation_encoder": "ones"},
    "heads meet tails only": {"meetings": ("ht",)},
}


def busiest(triples: Triples, most: int) -> Triples:
    """About `most` facts, among the entities that are in most facts; relations without any left are gone."""
    order = np.argsort(-triples.involved(), kind="stable")
    rank = np.argsort(order)
    needed = np.sort(rank[triples.facts[:, [0, 2]]].max(axis=1))  # so many entities hold the fact
    part = triples.subgraph(order[: needed[min(most, len(needed)) - 1] + 1])
    used, facts = np.unique(part.facts[:, 1]), part.facts.copy()
    facts[:, 1] = np.searchsorted(used, facts[:, 1])
    return Triples.of(facts, part.entities, [part.relations[r] for r in used])


@cache
def trained(arm: str, seed: int, full: bool) -> Ultra:
    """The same model for all graphs that are asked about."""
    size: dict[str, Any] = (
        {"dim": 64, "layers": 6, "steps": 20_000, "batch_size": 16, "lr": 5e-4}
        if full
        else {"dim": 32, "layers": 4, "steps": 400, "batch_size": 4, "lr": 5e-3}
    )
    graphs = [busiest(knowledge(name).train, 10**9 if full else most) for name, most in LEARNED.items()]
    return Ultra(**size | ARMS[arm], seed=seed).fit(graphs)


def run(lab: Lab) -> Arms:
    graph = knowledge(lab.set)
    check_split(graph.train.facts, graph.test)
    n, known = len(graph.train), Known(graph.known, len(graph.train))
    table: Arms = {}

    def rank(name: str, score: Any) -> None:
        table[name] = rank_scores(filtered_ranks(score, graph.test, known))
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))

    for arm in ARMS:
        rank(arm, trained(arm, lab.seed, lab.full).ranker(graph.train))
    first = trained("zero-shot", lab.seed, lab.full)
    again = Ultra(**first.get_params() | {"steps": 0}).fit(None)
    rank("untrained", again.ranker(graph.train))
    again.net_.load_state_dict(first.net_.state_dict())
    rank("fine-tuned", again.finetune(graph.train, steps=200).ranker(graph.train))
    rank("frequency", frequency(graph.train.facts, n))
    pairs = graph.train.facts[:, [0, 2]]
    joined = sp.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (n, n))
    joined = joined + joined.T
    paths = (joined + joined @ joined).toarray().astype(np.float32)
    rank("paths of two steps", lambda facts, heads: paths[facts[:, 2 if heads else 0]])
    rank("DistMult, learned there", DistMult(loss="softmax", epochs=30, seed=lab.seed).fit(graph.train).scores)
    return table


REPRODUCTION = Reproduction(
    system="ultra",
    sets=("umls", "kinship"),
    run=run,
    load=facts_of,
    n=(None, None),  # type: ignore[arg-type]
    claims=tuple(
        Claim(text, ours=ours, than=than, metric="mrr", margin=margin, on=name, role=role)
        for name in ("umls", "kinship")
        for text, ours, than, margin, role in (
            ("without training there, better than with its first weights", "zero-shot", "untrained", 0.05, "trivial baseline"),
            ("than how frequent answers are there", "zero-shot", "frequency", 0.0, "trivial baseline"),
            ("than how many paths join two entities", "zero-shot", "paths of two steps", 0.0, "trivial baseline"),
            ("relations have to be told apart", "zero-shot", "all relations alike", 0.05, "key ingredient removed"),
            ("by all four ways of meeting", "zero-shot", "heads meet tails only", 0.05, "key ingredient removed"),
            ("200 steps there make it better", "fine-tuned", "zero-shot", 0.0, "by itself"),
        )
    ),
    full="FB15k-237, WN18RR and CoDEx-M: dim 64, 6 layers, 400,000 steps of 64 queries; 57 graphs",
)
