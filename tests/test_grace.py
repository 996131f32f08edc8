"""GRACE: what it learns on a graph with planted groups, what its views and options do, and what comes in."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import unlabeled as ul
from unlabeled import InputError
from unlabeled.data.graphs import Graph, Hypergraph
from unlabeled.encoders.graphs import GCN
from unlabeled.evaluate.probes import knn_accuracy
from unlabeled.methods.graphs.grace import GRACE

SMALL = {"dim": 16, "epochs": 60, "batch_size": 128, "lr": 1e-2}
BRIEF = SMALL | {"epochs": 2}


def planted(n=240, kinds=4, seed=0):
    """Nodes of four kinds: neighbours are mostly of the same kind, words weakly tell it."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, n)
    close = kind[:, None] == kind
    edges = np.argwhere(np.triu(rng.random((n, n)) < np.where(close, 0.06, 0.008), 1))
    words = rng.random((n, 80)) < np.where(np.arange(80) % kinds == kind[:, None], 0.1, 0.05)
    return Graph.of(edges, n, features=sp.csr_matrix(words.astype(float))), kind


def near(Z, kind):
    """Share of the second half of the nodes whose neighbours in the first tell their kind."""
    half = len(kind) // 2
    return knn_accuracy(Z[:half], kind[:half], Z[half:], kind[half:], k=10)


def test_it_tells_planted_groups_better_than_the_words_and_the_untrained_network():
    graph, kind = planted()
    model = GRACE(**SMALL).fit(graph)
    found = near(model.transform(graph), kind)
    assert found > near(graph.features.toarray(), kind) + 0.2
    assert found > near(GRACE(**SMALL).untrained(graph).transform(graph), kind) + 0.05
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_vectors_are_the_encoders_of_the_whole_graph_without_the_head():
    graph, _ = planted(60)
    model = GRACE(**BRIEF).fit(graph)
    A = graph.adjacency().toarray() + np.eye(60)
    A = A / np.sqrt(np.outer(A.sum(0), A.sum(0)))
    state = {name: value.numpy() for name, value in model.net_.encode.state_dict().items()}
    h = np.maximum(A @ graph.features.toarray() @ state["first.weight"] + state["biases.0"], 0)
    h = np.maximum(A @ h @ state["rest.0.weight"].T + state["biases.1"], 0)
    np.testing.assert_allclose(model.transform(graph), h, atol=1e-5)


def test_a_graph_of_other_nodes_with_the_same_words_is_read_and_one_of_other_words_is_refused():
    graph, kind = planted()
    rows = np.arange(0, 240, 2)
    model = GRACE(**SMALL).fit(graph.subgraph(rows))
    assert near(model.transform(graph), kind) > near(graph.features.toarray(), kind) + 0.1
    with pytest.raises(InputError, match="80"):
        model.transform(planted(40)[0].with_features(np.ones((40, 3))))


def test_the_same_seed_gives_the_same_vectors_and_they_are_kept(tmp_path):
    graph, _ = planted(80)
    model = GRACE(**BRIEF, act="prelu").fit(graph)
    Z = model.transform(graph)
    assert (GRACE(**BRIEF, act="prelu").fit(graph).transform(graph) == Z).all()
    assert not np.allclose(GRACE(**BRIEF, act="prelu", seed=1).fit(graph).transform(graph), Z)
    assert (ul.load_model(model.save(tmp_path / "m")).transform(graph) == Z).all()


def test_each_step_tells_apart_only_its_batch_of_nodes(monkeypatch):
    from unlabeled.methods.graphs import grace

    seen = []
    whole = grace.node_contrast
    monkeypatch.setattr(grace, "node_contrast", lambda u, v, **more: seen.append((len(u), more)) or whole(u, v, **more))
    graph, _ = planted(100)
    GRACE(**BRIEF | {"batch_size": 40}, intra=False).fit(graph)
    assert seen == [(40, {"temperature": 0.4, "intra": False})] * 4  # two steps an epoch, the rest of 20 waits for the next


def test_nodes_without_edges_features_or_anything_have_finite_vectors():
    lonely = Graph.of([[0, 1], [1, 0], [2, 2], [1, 2]], 6, features=np.diag([1.0, 1, 1, 1, 0, 0]))
    assert np.isfinite(GRACE(**BRIEF).fit(lonely).transform(lonely)).all()
    for graph in (nx.karate_club_graph(), Graph.of([[0, 1], [1, 2]], 4), Graph.of(np.zeros((0, 2), int), 5)):
        model = GRACE(**BRIEF).fit(graph)
        assert model.transform(graph).shape == (len(graph), 16) and np.isfinite(model.transform(graph)).all()


def test_hypergraphs_go_through_a_network_of_groups_and_any_module_will_do():
    rng = np.random.default_rng(0)
    groups = Hypergraph.of([rng.integers(0, 30, 4) for _ in range(40)], 30, features=rng.normal(size=(30, 6)))
    assert GRACE(**BRIEF, encoder="unigcnii").fit(groups).transform(groups).shape == (30, 128)
    with pytest.raises(InputError, match="cliques"):
        GRACE(**SMALL).fit(groups)
    graph, _ = planted(50)
    assert GRACE(**BRIEF, projection=None, encoder=GCN(80, (), 7)).fit(graph).transform(graph).shape == (50, 7)


def test_no_augmentation_leaves_the_views_alike_and_a_head_is_a_head():
    graph, _ = planted(60)
    model = GRACE(**BRIEF, drop_edges=(0, 0), mask_features=(0, 0), projection=None).fit(graph)
    assert isinstance(model.net_.project, torch.nn.Identity)
    a, b = model.default_views("graph")(view_of(graph), torch.Generator())
    assert a is b


def view_of(graph):
    from unlabeled.views.graphs import GraphView

    return GraphView.of(graph)


@pytest.mark.parametrize(
    ("settings", "X", "said"),
    [
        ({"temperature": 0}, None, "temperature=0"),
        ({"dim": 0}, None, "dim=0"),
        ({"projection": 1.5}, None, "projection=1.5"),
        ({"drop_edges": (0.2, 1.0)}, None, "drop_edges"),
        ({"mask_features": (0.2,)}, None, "mask_features"),
        ({"act": "swish"}, None, "act='swish'"),
        ({"encoder": "gat"}, None, "gat"),
        ({}, Graph.of(np.zeros((0, 2), int), 1), "at least 2"),
        ({}, ul.data.graphs.Triples.of([["a", "likes", "b"]]), "facts"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, X, said):
    with pytest.raises(InputError, match=said) as error:
        GRACE(**SMALL | settings).fit(planted(30)[0] if X is None else X)
    assert "\n" not in str(error.value)
