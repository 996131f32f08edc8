"""node2vec: second-order steps against their closed form, edge features, and the search of p and q."""

import numpy as np
import pytest
from scipy.stats import chi2, chisquare

from unlabeled import InputError
from unlabeled.data.graphs import Graph
from unlabeled.methods.graphs.deepwalk import DeepWalk
from unlabeled.methods.graphs.node2vec import Node2Vec
from unlabeled.parts.walks import random_walks

EDGES = np.array([[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [3, 4], [4, 5], [2, 5], [1, 5]])
WEIGHTS = np.array([1.0, 4, 0.5, 2, 1, 3, 0.25, 1.5, 6])
SMALL = {"dim": 8, "walks": 4, "length": 12, "window": 3}


def closed_form(graph, p, q):
    """P[t, v, x], written down from the paper."""
    A = graph.adjacency().toarray().astype(float)
    n = len(A)
    P = np.zeros((n, n, n))
    for t in range(n):
        for v in range(n):
            if A[t, v]:
                alpha = np.where(np.arange(n) == t, 1 / p, np.where(A[t] > 0, 1.0, 1 / q))
                P[t, v] = alpha * A[v]
                P[t, v] /= max(P[t, v].sum(), 1e-300)
    return P


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(("p", "q"), [(0.25, 4), (4, 0.25), (0.1, 0.5)])
@pytest.mark.parametrize("directed", [False, True])
def test_steps_have_the_papers_probabilities(p, q, weights, directed):
    edges = np.concatenate([EDGES, EDGES[::2, ::-1]]) if directed else EDGES
    weights = weights if weights is None or not directed else np.concatenate([weights, 1 + weights[::2]])
    graph = Graph.of(edges, weights=weights, directed=directed)
    corpus = random_walks(graph, 400, 45, p, q, seed=11)
    walks = np.split(corpus.tokens, corpus.starts[1:-1])
    seen = np.zeros((6, 6, 6))
    for walk in walks:
        np.add.at(seen, (walk[:-2], walk[1:-1], walk[2:]), 1)
    assert seen.sum() > (10_000 if directed else 100_000)
    P = closed_form(graph, p, q)
    expected = P * seen.sum(axis=2, keepdims=True)
    assert seen[P == 0].sum() == 0
    pairs = [(t, v) for t in range(6) for v in range(6) if (P[t, v] > 0).sum() > 1 and expected[t, v][P[t, v] > 0].min() > 5]
    assert len(pairs) >= 5
    rows = [(seen[t, v][P[t, v] > 0], expected[t, v][P[t, v] > 0]) for t, v in pairs]
    statistic = sum(chisquare(a, b).statistic for a, b in rows)
    assert chi2.sf(statistic, sum(len(a) - 1 for a, _ in rows)) > 1e-3, (p, q)
    wrong = closed_form(graph, q, p) if p != q else closed_form(graph, 1, 1)
    missed = [(seen[t, v], seen[t, v].sum() * wrong[t, v], P[t, v] > 0) for t, v in pairs]
    wide = sum((((a - b) ** 2)[on] / b[on]).sum() for a, b, on in missed)
    assert wide > 10 * statistic  # so many steps would have told


def test_the_first_step_is_of_first_order():
    graph = Graph.of(EDGES, weights=WEIGHTS)
    corpus = random_walks(graph, 2000, 2, 0.01, 100, seed=3)
    steps = corpus.tokens.reshape(-1, 2)
    A = graph.adjacency().toarray().astype(float)
    for v in range(6):
        seen = np.bincount(steps[steps[:, 0] == v, 1], minlength=6)
        assert chisquare(seen[A[v] > 0], 2000 * A[v][A[v] > 0] / A[v].sum()).pvalue > 1e-3


def test_with_p_and_q_of_one_it_is_deepwalk():
    assert (Node2Vec(**SMALL).fit(EDGES).vectors_ == DeepWalk(**SMALL).fit(EDGES).vectors_).all()
    assert not (Node2Vec(**SMALL, p=0.25).fit(EDGES).vectors_ == DeepWalk(**SMALL).fit(EDGES).vectors_).all()


def test_edge_features_are_the_papers_operators():
    model = Node2Vec(**SMALL).fit(EDGES)
    pairs = [[0, 1], [5, 2]]
    a, b = model.vectors_[[0, 5]], model.vectors_[[1, 2]]
    for op, wanted in {"hadamard": a * b, "average": (a + b) / 2, "l1": np.abs(a - b), "l2": (a - b) ** 2}.items():
        np.testing.assert_array_equal(model.edge_features(pairs, op), wanted)
    for bad, said in (([[0, 6]], "0 to 5"), ([0, 1], r"\[m, 2\]"), ([[0.5, 1]], "float64")):
        with pytest.raises(InputError, match=said):
            model.edge_features(bad)
    with pytest.raises(InputError, match="op='cosine'"):
        model.edge_features(pairs, "cosine")


def test_the_search_keeps_the_best_by_the_score_that_was_given(tmp_path):
    grid = [(1.0, 1.0), (0.25, 4.0), (4.0, 0.5)]
    each = {pair: Node2Vec(**SMALL, p=pair[0], q=pair[1]).fit(EDGES).vectors_ for pair in grid}
    values = {pair: float(Z[0] @ Z[3]) for pair, Z in each.items()}
    model = Node2Vec(**SMALL).search_pq(EDGES, lambda Z: Z[0] @ Z[3], grid)
    best = max(values, key=values.__getitem__)
    assert model.searched_ == pytest.approx(values) and (model.p, model.q) == best
    assert (model.vectors_ == each[best]).all() and Node2Vec.load(model.save(tmp_path / "m")).q == best[1]


@pytest.mark.parametrize(("settings", "said"), [({"p": 0}, "p=0"), ({"q": -1}, "q=-1"), ({"p": float("nan")}, "p=nan")])
def test_mistakes_are_said(settings, said):
    with pytest.raises(InputError, match=said):
        Node2Vec(**settings).fit(EDGES)
