"""FIE: a layer against loops over edges, kernels against their closed form, and what new graphs, lone nodes and empty features become."""

import numpy as np
import pytest
import scipy.sparse as sp

from unlabeled.data.graphs import Graph, Multiplex
from unlabeled.errors import InputError
from unlabeled.methods.graphs import fie
from unlabeled.methods.graphs.fie import FIE
from unlabeled.parts.nystrom import Anchors

RNG = np.random.default_rng(0)
SMALL = {"layers": 2, "dim": 6, "mixtures": 3, "eps": 0.3}


def blocks(n=60, d=12, seed=0):
    """Two parts, joined within, whose nodes say different things; node n - 1 has no edge, n - 2 says nothing."""
    rng = np.random.default_rng(seed)
    part = np.arange(n) % 2
    edges = np.array([(a, b) for a in range(n - 1) for b in range(a) if part[a] == part[b] and rng.random() < 0.15])
    x = rng.random((n, d)) * (rng.random((n, d)) < np.where(np.arange(d) % 2 == part[:, None], 0.5, 0.2))
    x[-2] = 0
    return Graph.of(edges, n, features=x), part


GRAPH, PART = blocks()


@pytest.fixture(scope="module")
def fitted():
    return FIE(**SMALL).fit(GRAPH)


def softmax(a):
    e = np.exp(a - a.max())
    return e / e.sum()


def by_hand(model, graph, x):
    """The paper's layers, node by node and neighbour by neighbour."""

    def kernel(layer, X):
        V = getattr(model, f"rows_{layer}_").astype(float)
        values, vectors = np.linalg.eigh(np.exp((V @ V.T - 1) / model.sigma**2))
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        length = np.linalg.norm(X, axis=1)
        return [s * np.exp((V @ (u / s) - 1) / model.sigma**2) @ root if s else np.zeros(len(V)) for u, s in zip(X, length, strict=True)]

    length = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.array(kernel(0, x / np.where(length > 0, length, 1)))
    said = [x]
    for layer in range(1, model.layers + 1):
        w, moved = getattr(model, f"means_{layer}_"), []
        for node in range(len(graph)):
            near = [*graph.neighbours(node).tolist(), node]
            first = np.array([softmax(w @ x[j] / max(np.linalg.norm(x[j]), 1e-12) / model.eps) for j in near])  # over the Gaussians,
            second = np.array([softmax(column) for column in first.T])  # then over the neighbours
            moved.append(np.concatenate([alpha @ x[near] - mean for alpha, mean in zip(second, w, strict=True)]))
        x = np.array(kernel(layer, np.array(moved)))
        said.append(x)
    return np.concatenate(said, axis=1)


def test_layers_are_the_papers_node_by_node(fitted):
    found = fitted.transform(GRAPH)
    assert found.shape == (60, 18) and found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(fitted, GRAPH, GRAPH.features.toarray()), atol=2e-4)
    assert abs(found[:, 6:12] - found[:, 6:12].mean(axis=0)).max() > 0.05  # a constant would pass, too


def test_blocks_of_rows_change_nothing(fitted, monkeypatch):
    whole = fitted.transform(GRAPH)
    monkeypatch.setattr(fie, "BYTES", 4 * 3 * 6 * 7)  # seven rows at a time
    np.testing.assert_allclose(fitted.transform(GRAPH), whole, atol=1e-6)


def test_products_are_the_kernels_among_anchors_and_near_it_elsewhere():
    X = RNG.normal(size=(40, 5)).astype(np.float32)
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    for some, tolerance in ((10, None), (40, 1e-3)):
        anchors = Anchors.of(rows[:some], 0.7)
        seen = anchors.see(X)
        length = np.linalg.norm(X, axis=1)
        exact = length[:, None] * length * np.exp((rows @ rows.T - 1) / 0.7**2)
        np.testing.assert_allclose((seen @ seen.T)[:some, :some], exact[:some, :some], rtol=1e-2, atol=1e-3)
        if tolerance is None:
            assert np.corrcoef((seen @ seen.T).ravel(), exact.ravel())[0, 1] > 0.6
    np.testing.assert_allclose(anchors.see(sp.csr_matrix(X)), seen, atol=1e-5)
    assert (anchors.see(np.zeros((2, 5), np.float32)) == 0).all()


def test_anchors_that_say_the_same_stay_finite():
    doubled = np.repeat(np.eye(3, 4, dtype=np.float32), 4, axis=0)
    seen = Anchors.of(doubled, 0.5).see(np.eye(4, dtype=np.float32))
    assert np.isfinite(seen).all() and abs(seen).max() < 10


def test_centres_have_length_one_and_rows_of_zeros_dont_make_any():
    model = FIE(dim=4)
    rows = np.concatenate([np.eye(4, 6), np.zeros((50, 6))]).astype(np.float32)
    centres = model._centres(rows, 4)
    assert sorted(centres.argmax(axis=1).tolist()) == [0, 1, 2, 3]
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-6)


def test_parts_are_found_that_features_alone_blur(fitted):
    from sklearn.linear_model import LogisticRegression

    graph, part = blocks(300, seed=3)
    Z, x = FIE(dim=32, layers=2).fit_transform(graph), graph.features.toarray()
    ours, raw = (LogisticRegression(C=10, max_iter=500).fit(F[:40], part[:40]).score(F[40:-2], part[40:-2]) for F in (Z, x))
    assert ours > raw + 0.03 and ours > 0.9


def test_lone_nodes_nodes_that_say_nothing_and_empty_graphs_are_taken(fitted):
    found = fitted.transform(GRAPH)
    assert np.isfinite(found).all()
    assert (found[-2, :6] == 0).all() and (found[-2, 6:] != 0).any()  # it says nothing itself, its neighbours do
    lone = fitted.transform(Graph.of([], 1, features=GRAPH.features[-1]))
    np.testing.assert_allclose(lone[0], found[-1], atol=1e-5)
    nothing = FIE(dim=3, layers=1).fit(Graph.of([], 4, features=np.zeros((4, 3))))
    assert np.isfinite(nothing.transform(Graph.of([[0, 1]], 4, features=np.zeros((4, 3))))).all()


def test_new_graphs_are_read_as_the_same_graph_would_be(fitted):
    order = RNG.permutation(60)
    np.testing.assert_allclose(fitted.transform(GRAPH.subgraph(order)), fitted.transform(GRAPH)[order], atol=1e-5)
    other, _ = blocks(seed=9)
    both = GRAPH.edges()[:, ::-1]
    doubled = Graph.of(np.concatenate([GRAPH.edges(), both, [[3, 3]]]), 60, features=GRAPH.features)
    np.testing.assert_allclose(fitted.transform(doubled), fitted.transform(GRAPH), atol=1e-6)
    directed = Graph.of(GRAPH.edges(), 60, directed=True, features=GRAPH.features)
    np.testing.assert_allclose(fitted.transform(directed), fitted.transform(GRAPH), atol=1e-6)
    assert np.isfinite(fitted.transform(other)).all() and not np.allclose(fitted.transform(other), fitted.transform(GRAPH))


def test_an_edge_of_weight_two_is_two_neighbours():
    x = np.eye(3, 4)
    model = FIE(layers=1, dim=3).fit(Graph.of([[0, 1], [0, 2]], features=x))
    weighed = model.transform(Graph.of([[0, 1], [0, 2]], weights=[2, 1], features=x))
    seen = model._kernel(0).see(x.astype(np.float32))
    moved = (2 * seen[1] + seen[2] + seen[0]) / 4 - model.means_1_[0]
    np.testing.assert_allclose(weighed[0, 3:], model._kernel(1).see(moved[None])[0], atol=1e-5)


def test_without_features_nodes_of_one_shape_are_alike_and_others_arent():
    star, ring = [[0, i] for i in range(1, 6)], [[6 + i, 6 + (i + 1) % 5] for i in range(5)]
    graph = Graph.of(star + ring, 12)  # 11 is alone
    Z = FIE(layers=2, dim=3).fit(graph).transform(graph)
    for same in (range(1, 6), range(6, 11)):
        np.testing.assert_allclose(Z[list(same)], np.repeat(Z[[same[0]]], 5, axis=0), atol=1e-5)
    assert min(np.linalg.norm(Z[a] - Z[b]) for a, b in ((0, 1), (1, 6), (0, 6), (11, 6))) > 0.05


def test_a_seed_repeats_is_kept_and_the_last_layer_may_stand_alone(tmp_path, fitted):
    again = FIE.load(fitted.save(tmp_path / "m"))
    assert (again.transform(GRAPH) == fitted.transform(GRAPH)).all() and again.get_params() == fitted.get_params()
    assert (FIE(**SMALL).fit(GRAPH).transform(GRAPH) == fitted.transform(GRAPH)).all()
    assert not np.allclose(FIE(**SMALL, seed=1).fit(GRAPH).transform(GRAPH), fitted.transform(GRAPH))
    last = FIE(**SMALL, concat=False).fit(GRAPH)
    assert (last.transform(GRAPH) == fitted.transform(GRAPH)[:, 12:]).all() and len(last.get_feature_names_out()) == 6
    out = np.empty((60, 18), np.float32)
    assert fitted.transform(GRAPH, out=out) is out and len(fitted.get_feature_names_out()) == 18


@pytest.mark.parametrize(
    ("settings", "X", "said"),
    [
        ({"layers": 0}, GRAPH, "layers=0"),
        ({"dim": 1.5}, GRAPH, "dim=1.5"),
        ({"mixtures": 0}, GRAPH, "mixtures=0"),
        ({"sigma": 0}, GRAPH, "sigma=0"),
        ({"eps": float("nan")}, GRAPH, "eps=nan"),
        ({}, Multiplex({"a": GRAPH}), "FIE reads graphs"),
        ({}, Graph.of([], 0), "without nodes"),
        ({}, "graph", "wanted a Graph"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, X, said):
    with pytest.raises(InputError, match=said) as error:
        FIE(**settings).fit(X)
    assert "\n" not in str(error.value)


def test_other_features_than_learned_are_refused(fitted):
    with pytest.raises(InputError, match="5 numbers each, those that were learned from said 12"):
        fitted.transform(Graph.of([[0, 1]], 2, features=np.ones((2, 5))))
