"""VGAE's likelihood against the paper's table, what it learns on graphs with planted groups, and what comes in."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import unlabeled as ul
from unlabeled import InputError
from unlabeled.data.graphs import Graph, Hypergraph
from unlabeled.learner import Batch
from unlabeled.methods.graphs.vgae import VGAE
from unlabeled.parts import best_pairs as pairs_part
from unlabeled.parts import inner_product
from unlabeled.parts.inner_product import link_loss, softplus_of_all
from unlabeled.parts.links import link_scores, link_split
from unlabeled.views.graphs import GraphView

BRIEF = {"epochs": 3, "hidden": 8, "dim": 4}


def planted(n=200, kinds=5, seed=0):
    """Neighbours are mostly of the same kind; words weakly tell it."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, n)
    edges = np.argwhere(np.triu(rng.random((n, n)) < np.where(kind[:, None] == kind, 0.15, 0.005), 1))
    words = rng.random((n, 60)) < np.where(np.arange(60) % kinds == kind[:, None], 0.25, 0.05)
    return Graph.of(edges, n, features=sp.csr_matrix(words.astype(float)))


def table_loss(z, adjacency):
    """The paper's and its code's: weighted cross-entropy over the n x n table with self-loops, times norm."""
    A = adjacency + torch.eye(len(z))
    n2, s = len(z) ** 2, adjacency.sum() + len(z)
    pos_weight, norm = (n2 - s) / s, n2 / (2 * (n2 - s))
    return norm * torch.nn.functional.binary_cross_entropy_with_logits(z @ z.T, A, pos_weight=pos_weight)


@pytest.mark.parametrize("block", [1 << 20, 60, 1])
def test_the_likelihood_in_blocks_is_the_papers_weighted_table_and_so_is_its_gradient(block, monkeypatch):
    monkeypatch.setattr(inner_product, "BLOCK", block)
    view = GraphView.of(planted(30))
    adjacency = torch.zeros(30, 30)
    adjacency[view.pairs[0], view.pairs[1]] = 1
    own = torch.arange(30).expand(2, -1)
    z = torch.randn(30, 5, requires_grad=True)
    ours, papers = link_loss(z, torch.cat([view.pairs, own], dim=1)), table_loss(z, adjacency)
    torch.testing.assert_close(ours, papers)
    torch.testing.assert_close(torch.autograd.grad(ours, z)[0], torch.autograd.grad(papers, z)[0], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(softplus_of_all(z), torch.nn.functional.softplus(z @ z.T).sum())


def test_drawn_pairs_estimate_what_the_table_says():
    z, joined = torch.randn(300, 4), torch.arange(300).expand(2, -1)
    drawn = torch.randint(300, (2, 200_000), generator=torch.Generator().manual_seed(0))
    drawn = drawn[:, drawn[0] != drawn[1]]
    torch.testing.assert_close(link_loss(z, joined, drawn), link_loss(z, joined), rtol=0.01, atol=0)


def test_the_terms_are_those_of_dense_matrices():
    graph = planted(40)
    model = VGAE(hidden=6, dim=3).untrained(graph)
    view, net = GraphView.of(graph), model.net_
    A = torch.from_numpy(graph.adjacency().toarray())
    S = A + torch.eye(40)
    S = S / (S.sum(0)[:, None] * S.sum(0)).sqrt()
    x = torch.from_numpy(graph.features.toarray())
    h = torch.relu(S @ x @ net.encode.first.weight)
    mean, log_deviation = S @ h @ net.mean.weight.T, S @ h @ net.log_deviation.weight.T
    torch.manual_seed(3)
    terms = model.loss(net, Batch([view], torch.arange(40)))
    torch.manual_seed(3)
    z = mean + log_deviation.exp() * torch.randn_like(mean)
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(mean, log_deviation.exp()), normal(0, 1)).sum(1).mean()
    torch.testing.assert_close(terms["links"], table_loss(z, A), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["divergence"], kl / 40, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.transform(graph), mean.detach().numpy(), atol=1e-6)
    assert VGAE(hidden=6, dim=3, variational=False).untrained(graph).loss(net, Batch([view], torch.arange(40))).keys() == {"links"}


@pytest.mark.parametrize("settings", [{}, {"variational": False}, {"dense": 50, "batch_size": 100, "epochs": 80}])
def test_hidden_edges_are_found_whole_or_drawn_and_better_than_untrained(settings):
    graph = planted()
    split = link_split(graph, seed=1)
    model = VGAE(**{"epochs": 120} | settings).fit(split.graph)

    def auc(fitted):
        return link_scores(*(fitted.score_edges(split.graph, pairs) for pairs in (split.test, split.test_none)))["auc"]

    assert auc(model) > 0.85 and auc(model) > auc(VGAE().untrained(split.graph)) + 0.05


def test_features_that_are_missing_are_the_nodes_themselves():
    graph = planted().with_features(None)
    split = link_split(graph, seed=0)
    model = VGAE(epochs=150).fit(split.graph)
    scores = [model.score_edges(split.graph, pairs) for pairs in (split.test, split.test_none)]
    assert link_scores(*scores)["auc"] > 0.75


def test_missing_links_are_the_best_pairs_of_the_whole_table_in_any_blocks(monkeypatch):
    graph = planted(60)
    model = VGAE(**BRIEF).fit(graph)
    Z = model.transform(graph)
    table = Z @ Z.T
    table[np.tril_indices(60)] = -np.inf
    table[graph.adjacency().toarray() > 0] = -np.inf
    wanted = np.sort(table.ravel())[::-1][:25]
    for block in (1 << 20, 130, 1):
        monkeypatch.setattr(pairs_part, "BLOCK", block)
        pairs, scores = model.missing_links(graph, 25)
        np.testing.assert_allclose(scores, wanted, rtol=1e-5)
        assert len(np.unique(pairs, axis=0)) == 25 and not graph.has(pairs).any() and (pairs[:, 0] < pairs[:, 1]).all()
        np.testing.assert_allclose(model.score_edges(graph, pairs), scores, rtol=1e-5)
    assert len(model.missing_links(graph, 10**6)[0]) == 60 * 59 // 2 - graph.n_edges


def test_a_seed_repeats_and_what_was_learned_is_kept(tmp_path):
    graph = planted(50)
    model = VGAE(**BRIEF).fit(graph)
    Z = model.transform(graph)
    assert (VGAE(**BRIEF).fit(graph).transform(graph) == Z).all()
    again = ul.load_model(model.save(tmp_path / "m"))
    assert (again.transform(graph) == Z).all() and (again.missing_links(graph, 3)[0] == model.missing_links(graph, 3)[0]).all()


def test_directed_doubled_lonely_and_networkx_graphs_are_read():
    arcs = [[0, 1], [1, 0], [1, 2], [1, 2], [3, 3]]
    one, other = (VGAE(**BRIEF).fit(Graph.of(arcs, 5, directed=directed)) for directed in (True, False))
    both = Graph.of(arcs, 5)
    assert np.allclose(one.transform(both), other.transform(both)) and np.isfinite(one.transform(both)).all()
    club = nx.karate_club_graph()
    assert VGAE(**BRIEF).fit(club).transform(club).shape == (34, 4)
    empty = Graph.of(np.zeros((0, 2), int), 4)
    assert np.isfinite(VGAE(**BRIEF).fit(empty).transform(empty)).all()


@pytest.mark.parametrize(
    ("settings", "X", "said"),
    [
        ({"dim": 0}, planted(20), "dim=0"),
        ({"hidden": -3}, planted(20), "hidden=-3"),
        ({"negatives": 0}, planted(20), "negatives=0"),
        ({"lr": float("nan")}, planted(20), "lr"),
        ({}, Hypergraph.of([[0, 1], [1, 2]]), "cliques"),
        ({}, Graph.of([[0, 1]], features=np.ones((2, 3))).with_features(None).subgraph([0]), "at least 2"),
    ],
)
def test_mistakes_of_a_fit_are_said_in_one_line(settings, X, said):
    with pytest.raises(InputError, match=said) as error:
        VGAE(**BRIEF | settings).fit(X)
    assert "\n" not in str(error.value)


def test_mistakes_of_a_question_are_said_in_one_line():
    graph = planted(20)
    model = VGAE(**BRIEF).fit(graph)
    for pairs, said in (([[0, 20]], "0 to 19"), ([[0.5, 1]], "whole numbers"), ([0, 1], r"\[m, 2\]")):
        with pytest.raises(InputError, match=said):
            model.score_edges(graph, pairs)
    with pytest.raises(InputError, match="k=0"):
        model.missing_links(graph, 0)
    assert model.score_edges(graph, []).shape == (0,)
