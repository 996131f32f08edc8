"""LINE: two orders tell more than one; and edges are to be drawn by their weight, not to push by it.

BlogCatalog: vectors learned without labels, those of a tenth (and of half) of the nodes teach a logistic regression the labels of the
others. 20 Newsgroups: words joined by how often they stand near each other, which spans four orders of magnitude; the vectors are to say
which words people call alike. Where weights multiply the gradients they are divided by their mean, so that rates can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from unlabeled.data.graphs import Graph
from unlabeled.datasets.pairs import word_pairs
from unlabeled.errors import InputError
from unlabeled.evaluate.similarity import word_similarity
from unlabeled.methods.graphs.line import LINE
from unlabeled.parts.cooccurrence_counts import count_pairs
from unlabeled.parts.edges import EdgeSampling
from unlabeled.parts.vocabulary import Vocabulary, words_of
from unlabeled.reproduce.deepwalk import labelled, most_frequent, scored, svd
from unlabeled.reproduce.deepwalk import load as nodes_of
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.swivel import texts_of

RATES = {True: (0.1, 0.025, 0.005), False: (0.1, 0.025, 0.005, 0.001, 0.0002)}  # edges drawn by weight; weights in the gradient
SAMPLES, DRAWN = 25_000_000, 8_000_000  # edges of each order on BlogCatalog; of words
WORDS = 3000  # the most frequent


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    return (nodes_of if source == "blogcatalog" else texts_of)(source, seed, n_train, n_test)


def run(lab: Lab) -> Arms:
    return of_nodes(lab) if lab.set == "blogcatalog" else of_words(lab)


def of_nodes(lab: Lab) -> Arms:
    graph, Y = labelled(lab.set)
    Z = LINE(seed=lab.seed, samples=lab.setting(SAMPLES, 1_000_000_000)).fit(graph).vectors_
    fresh = np.random.default_rng(lab.seed).normal(size=(len(graph), 128))
    arms = {"both orders": Z, "first order": Z[:, :128], "second order": Z[:, 128:], "SVD": svd(graph, 128), "untrained": fresh}
    table: Arms = {"most frequent labels": most_frequent(Y, lab.seed)}
    for name, vectors in arms.items():
        table[name] = scored(vectors, Y, lab.seed)
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))
    return table


def of_words(lab: Lab) -> Arms:
    words = [words_of(text) for text in lab.X]
    known = Vocabulary.of(words, min_count=5, most=lab.setting(WORDS, 50_000))
    upper = sp.triu(count_pairs(known.encode(words), len(known.words), window=5, weighting="flat").matrix(), 1).tocoo()
    row, column = upper.coords
    graph = Graph.of(np.stack([row, column], 1), len(known.words), upper.data)
    assert graph.weights is not None
    lab.say(f"{graph.n_edges:,} edges, weights from {graph.weights.min():g} to {graph.weights.max():g}")
    weights, table = graph.weights / graph.weights.mean(), {}
    for by_weight in (True, False):
        for lr in RATES[by_weight]:
            name = f"{'drawn by weight' if by_weight else 'weight in the gradient'}, rate {lr:g}"
            engine = EdgeSampling(dim=100, samples=lab.setting(DRAWN, 500_000_000), lr=lr, by_weight=by_weight, seed=lab.seed)
            try:
                vectors = engine.fit(graph.sources, graph.targets, weights, len(graph)).nodes
            except InputError:  # it ran away
                vectors = np.random.default_rng(lab.seed).normal(size=(len(graph), 100))
            table[name] = {"similarity": word_similarity(known.words, vectors, word_pairs()).mean}
            lab.say(f"{name}: {table[name]['similarity']:.3f}")
    return table


REPRODUCTION = Reproduction(
    system="line",
    sets=("blogcatalog", "newsgroups20"),
    run=run,
    load=load,
    n=(None, 1000),  # type: ignore[arg-type]
    claims=(
        Claim(
            "with a tenth of the labels it tells more than how frequent they are",
            ours="both orders",
            than="most frequent labels",
            metric="micro@10",
            margin=0.05,
            on="blogcatalog",
        ),
        Claim("and more than the adjacency's singular vectors", ours="both orders", than="SVD", metric="micro@10", on="blogcatalog"),
        Claim(
            "both orders tell more than the first",
            ours="both orders",
            than="first order",
            metric="micro@50",
            role="key ingredient removed",
            on="blogcatalog",
        ),
        Claim(
            "and more than the second",
            ours="both orders",
            than="second order",
            metric="micro@50",
            role="key ingredient removed",
            on="blogcatalog",
        ),
        Claim(
            "drawn by weight, edges teach more of words than with the weight in the gradient at its best rate",
            ours="drawn by weight, rate 0.1",
            than=tuple(f"weight in the gradient, rate {lr:g}" for lr in RATES[False]),
            metric="similarity",
            margin=0.05,
            role="key ingredient removed",
            on="newsgroups20",
        ),
    ),
    full="Wikipedia's words, Flickr, YouTube, DBLP: 128 numbers of each order, 10 billion samples",
)
