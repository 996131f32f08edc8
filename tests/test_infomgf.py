"""Graphs that are learned against the dense formula, InfoMGF's three bounds against the authors' way of writing them, and what comes in."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unlabeled import InputError
from unlabeled.data.graphs import Graph, Hypergraph, Multiplex
from unlabeled.encoders.edge_augmenter import EdgeAugmenter
from unlabeled.learner import Batch
from unlabeled.methods.graphs.infomgf import InfoMGF
from unlabeled.parts import graph_learning
from unlabeled.parts.graph_learning import Attentive, Joined, Pattern, cosines, most_alike
from unlabeled.parts.losses import unit
from unlabeled.parts.spectral_start import spectral_start
from unlabeled.saving import load_model
from unlabeled.views.graphs import GraphView
from unlabeled.views.relations import RelationViews, mean_relation, smoothed, thinned

QUICK = {"epochs": 3, "k": 4, "hidden": 16, "dim": 8}


def planted(n=60, kinds=3, words=12, noise=0.25, seed=0):
    """Nodes of a few kinds, words and two relations that know the kinds and err."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % kinds
    same = kind[:, None] == kind
    views = {}
    for name in ("likes", "cites"):
        joined = np.triu(rng.random((n, n)) < np.where(same, 0.25, 0.25 * noise), 1)
        views[name] = Graph.of(np.argwhere(joined), n)
    words_of = rng.poisson(np.where(np.arange(words) % kinds == kind[:, None], 1.5, 0.7)).astype(np.float32)
    return Multiplex(views, Graph.of(np.zeros((0, 2), int), n, features=words_of).features), kind


def dense_adjacency(x, k):
    """The authors' order: cosines, the k + 1 largest of each row, symmetrised, ReLU, normalised."""
    similarity = F.normalize(x, dim=1) @ F.normalize(x, dim=1).T
    kept = torch.zeros_like(similarity).scatter(1, similarity.topk(k + 1, dim=1).indices, 1.0)
    similarity = similarity * kept
    similarity = ((similarity + similarity.T) / 2).relu()
    root = similarity.sum(dim=1).rsqrt()
    return root[:, None] * similarity * root


def learned(x, k):
    pattern = Pattern.of(most_alike(x, k))
    return Joined.of_weights(x, pattern, cosines(x, pattern).relu() * pattern.share)


def test_a_learned_graph_is_the_dense_formula_with_gradients_through_the_weights():
    torch.manual_seed(0)
    x, h, probe = torch.randn(30, 7), torch.randn(30, 5), torch.randn(30, 5)
    found = []
    for adjacency in (lambda x, h: learned(x, 4).times(h), lambda x, h: dense_adjacency(x, 4) @ h):
        a, b = x.clone().requires_grad_(), h.clone().requires_grad_()
        out = adjacency(a, b)
        (out * probe).sum().backward()
        found.append((out.detach(), a.grad, b.grad))
    assert found[0][1].abs().max() > 1e-3
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_neighbours_are_the_nearest_others_in_whatever_blocks_and_a_copy_is_not_the_node_itself(monkeypatch):
    x = torch.randn(25, 6, generator=torch.Generator().manual_seed(0))
    x[7] = x[3]
    cosine = unit(x) @ unit(x).T
    cosine.fill_diagonal_(-2)
    monkeypatch.setattr(graph_learning, "BLOCK", 80)
    found = most_alike(x, 3)
    assert (found == cosine.topk(3, dim=1).indices).all()
    assert found[7, 0] == 3 and found[3, 0] == 7
    assert most_alike(x[:2], 5).shape == (2, 1)


def test_a_node_that_says_nothing_keeps_only_its_own_loop():
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    x[0] = 0
    out = learned(x, 3).times(torch.eye(10))
    assert out[0].tolist() == [1.0] + [0.0] * 9 and out[:, 0].sum() == 1


def test_one_product_does_for_the_layers_of_numbers_that_are_not_negative():
    learner = Attentive(6, layers=3)
    for factor in learner.factors:
        torch.nn.init.normal_(factor, 0.3)
    x = torch.rand(8, 6)
    torch.testing.assert_close(learner(x, positive=True), learner(x))
    assert not torch.allclose(learner(-x, positive=True), learner(-x))  # which is why it is asked
    by_hand = ((x * learner.factors[0]).relu() * learner.factors[1]).relu() * learner.factors[2]
    torch.testing.assert_close(learner(x), by_hand)


def test_a_thinned_relation_loses_edges_in_pairs_and_keeps_its_loops():
    graph, _ = planted()
    view = GraphView.of(graph).views["likes"]
    full, thin = view.adjacency.to_dense(), thinned(view, 0.5, torch.Generator().manual_seed(0)).adjacency.to_dense()
    torch.testing.assert_close(thin, thin.T)
    torch.testing.assert_close(thin.diagonal(), full.diagonal())
    off = full.clone().fill_diagonal_(0)
    left = thin.clone().fill_diagonal_(0)[off > 0] / off[off > 0]
    assert set(left.unique().tolist()) == {0.0, 2.0} and 0.35 < (left > 0).float().mean() < 0.65
    views = RelationViews(drop_edges=0.5)
    a, b, c = (views(GraphView.of(graph), torch.Generator().manual_seed(s))[1].adjacency.values() for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_features_are_smoothed_over_each_relation_and_relations_averaged_as_dense_matrices_are():
    graph, _ = planted()
    view = GraphView.of(graph)
    dense = [one.adjacency.to_dense() for one in view.views.values()]
    x = view.x.to_dense()
    torch.testing.assert_close(smoothed(view.views["cites"], 2), F.normalize(dense[1] @ dense[1] @ x, dim=1))
    torch.testing.assert_close(mean_relation(view).adjacency.to_dense(), (dense[0] + dense[1]) / 2)


def lower_bound(a, b, temperature):
    """The authors': exp of cosines, each row and each column divided by its sum, the mean log of the diagonal."""
    m = (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature).exp()
    rows, columns = (m / m.sum(1, keepdim=True)).diagonal(), (m / m.sum(0, keepdim=True)).diagonal()
    return -(rows.log().mean() + columns.log().mean()) / 2


def test_the_terms_are_the_papers_bounds_on_dense_graphs():
    graph, _ = planted()
    model = InfoMGF(**QUICK | {"epochs": 0}, dropout=0.0, refresh=1).fit(graph)
    net, view = model.net_.train(), GraphView.of(graph)
    anchors = torch.tensor([3, 5, 8, 20, 41])
    views = RelationViews(drop_edges=0.5)(view, torch.Generator().manual_seed(0))
    terms = model.loss(net, Batch(views, anchors))

    x = view.x.to_dense()
    each = [F.normalize(a @ a @ x, dim=1) for a in (one.adjacency.to_dense() for one in view.views.values())]
    says = [*each, torch.cat([*each, F.normalize(x, dim=1)], dim=1)]

    def encode(adjacency):
        first, (last,), (b0, b1) = net.encode.first.weight, net.encode.rest, net.encode.biases
        return F.normalize(adjacency @ ((adjacency @ x @ first + b0).relu() @ last.weight.T) + b1, dim=1)[anchors]

    refined = [encode(dense_adjacency(one, 4)) for one in says]
    thin = [encode(one.adjacency.to_dense()) for one in views[1:]]
    s = [net.of_refined[v](refined[v]) for v in (0, 1)]
    torch.testing.assert_close(terms["shared"], lower_bound(s[0], s[1], 0.2), atol=1e-4, rtol=1e-4)
    fused = sum(lower_bound(net.of_fused[v](refined[2]), s[v], 0.2) for v in (0, 1)) / 2
    unique = sum(lower_bound(s[v], net.of_thinned[v](thin[v]), 0.2) for v in (0, 1)) / 2
    torch.testing.assert_close(terms["fused"], fused, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(terms["unique"], unique, atol=1e-4, rtol=1e-4)
    sum(terms.values()).backward()
    assert all(factor.grad.abs().max() > 0 for learner in net.learners for factor in learner.factors)


def test_an_edge_is_weighed_as_by_a_layer_that_reads_both_nodes_in_both_orders():
    graph, _ = planted()
    view = GraphView.of(graph).views["likes"]
    augment = EdgeAugmenter(12, 8, 4)
    torch.manual_seed(3)
    joined = augment(view)
    torch.manual_seed(3)
    noise = torch.rand(len(joined.pattern.rows)).clamp(1e-4, 1 - 1e-4).logit()
    h = (view.x.to_dense() @ augment.first.weight + augment.first.bias).relu()
    i, j = joined.pattern.rows, joined.pattern.columns
    layer = torch.cat([augment.score.weight, augment.score.weight], dim=1)[0]
    logit = [torch.cat([h[a], h[b]], dim=1) @ layer + 2 * augment.score.bias for a, b in ((i, j), (j, i))]
    weights = torch.zeros(60, 60)
    weights[i, j] = weights[j, i] = (sum(logit) / 2 + noise).sigmoid()
    weights += torch.eye(60)
    root = weights.sum(1).rsqrt()
    torch.testing.assert_close(joined.times(torch.eye(60)), root[:, None] * weights * root, atol=1e-5, rtol=1e-4)
    assert len(i) == graph.views["likes"].n_edges


def test_the_two_players_have_turns_of_their_own():
    graph, _ = planted()
    model = InfoMGF(**QUICK | {"epochs": 0}, augment="learned", hide=1.0).fit(graph)
    net, view = model.net_.train(), GraphView.of(graph)
    batch = Batch(RelationViews(drop_edges=0.0)(view, torch.Generator()), torch.arange(60))
    turns = model.loss(net, batch)
    sum(turns["loss"]().values()).backward()
    assert all(p.grad is None for p in net.augment.parameters())
    turns["augment"]().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.augment.parameters())
    whose = {name: {id(p) for group in one.param_groups for p in group["params"]} for name, one in model.optimizers(net).items()}
    assert whose["augment"] == {id(p) for p in net.augment.parameters()} and not whose["loss"] & whose["augment"]
    assert whose["loss"] | whose["augment"] == {id(p) for p in net.parameters()}


def test_the_augmenter_learns_to_hide_and_the_whole_trains():
    graph, kind = planted()
    model = InfoMGF(**QUICK | {"epochs": 8}, augment="learned").fit(graph)
    before = InfoMGF(**QUICK | {"epochs": 0}, augment="learned").fit(graph)
    assert not torch.equal(model.net_.augment.score.weight, before.net_.augment.score.weight)
    assert np.isfinite(model.loss_curve_).all() and model.transform(graph).shape == (60, 8)


def test_neighbours_are_searched_anew_now_and_then_and_weighed_in_every_step():
    graph, _ = planted()
    model = InfoMGF(**QUICK | {"epochs": 0}, refresh=3, dropout=0.0).fit(graph)
    net, view = model.net_.train(), GraphView.of(graph)
    found = []
    for step in range(4):
        net.step.fill_(step)
        joined, neighbours, _ = model._learned(net, view, 0)
        found.append((neighbours.clone(), joined.weights.detach().clone()))
        torch.nn.init.uniform_(net.learners[0].factors[0], 0.1, 3.0, generator=torch.Generator().manual_seed(step))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[1][0], found[2][0])
    assert not torch.equal(found[2][0], found[3][0])
    assert found[0][1].shape == found[1][1].shape and not torch.allclose(found[0][1], found[1][1])


def test_the_fused_graph_is_cleaner_than_the_relations_and_its_nodes_are_told_apart():
    graph, kind = planted(n=150)
    model = InfoMGF(epochs=30, k=8, hidden=32, dim=16).fit(graph)

    def right(one):
        a, b = one.edges().T
        w = one.adjacency()[a, b]
        return float((np.asarray(w).ravel() * (kind[a] == kind[b])).sum() / w.sum())

    assert right(model.graph_) > max(right(one) for one in graph.views.values()) + 0.1
    Z = model.transform(graph)
    near = (Z @ Z.T - 2 * np.eye(150)).argmax(axis=1)
    assert (kind[near] == kind).mean() > 0.8
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1, atol=1e-5)


def test_the_graph_that_is_handed_over_is_the_one_whose_vectors_are_given():
    graph, _ = planted()
    model = InfoMGF(**QUICK).fit(graph)
    view = GraphView.of(model.graph_.with_features(graph.features * model.scale_))
    with torch.no_grad():
        Z = unit(model.net_.encode(view)).numpy()
    np.testing.assert_allclose(Z, model.transform(graph), atol=1e-5)
    weights = model.view_weights()
    assert list(weights) == ["likes", "cites", "features"] and abs(sum(weights.values()) - 1) < 1e-5


def test_same_seed_same_vectors_and_what_is_saved_is_opened_again(tmp_path):
    graph, _ = planted()
    model, again, other = (InfoMGF(**QUICK, seed=seed).fit(graph) for seed in (1, 1, 2))
    Z = model.transform(graph)
    assert np.array_equal(Z, again.transform(graph)) and not np.allclose(Z, other.transform(graph))
    model.save(tmp_path / "m")
    opened = load_model(tmp_path / "m")
    turned = Multiplex(dict(reversed(graph.views.items())), graph.features)  # relations go by name
    assert np.array_equal(opened.transform(turned), Z) and opened.view_weights() == model.view_weights()
    assert (opened.graph_.adjacency() != model.graph_.adjacency()).nnz == 0
    assert opened.get_feature_names_out().shape == (8,)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    graph, _ = planted()
    settings = QUICK | {"epochs": 8, "refresh": 5}

    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InfoMGF(**settings).fit(graph, checkpoint=tmp_path, watch=stop)
    resumed = InfoMGF(**settings).fit(graph, checkpoint=tmp_path, resume=True)
    np.testing.assert_allclose(resumed.transform(graph), InfoMGF(**settings).fit(graph).transform(graph), atol=1e-6)


def test_the_unit_in_which_features_are_counted_does_not_matter(tmp_path):
    graph, _ = planted()
    small = Multiplex(graph.views, graph.features * 0.01)
    a, b = InfoMGF(**QUICK).fit(graph), InfoMGF(**QUICK).fit(small)
    np.testing.assert_allclose(a.transform(graph), b.transform(small), atol=1e-3)
    b.save(tmp_path / "m")
    np.testing.assert_allclose(load_model(tmp_path / "m").transform(small), b.transform(small), atol=1e-6)
    assert not np.allclose(b.transform(small), b.transform(graph), atol=1e-3)  # the unit is that of fit


def test_one_relation_no_features_nodes_without_edges_and_other_nodes_are_taken():
    graph, _ = planted()
    lonely = Graph.of([[0, 1], [1, 0], [2, 2], [1, 3]], 8)
    model = InfoMGF(**QUICK).fit(lonely)
    assert np.isfinite(model.transform(lonely)).all() and list(model.view_weights()) == ["edges", "features"]
    fitted = InfoMGF(**QUICK).fit(graph)
    assert fitted.transform(graph.subgraph(np.arange(20))).shape == (20, 8)
    assert fitted.untrained(graph).transform(graph).shape == (60, 8)


def test_a_relation_without_edges_says_what_the_features_say():
    graph, _ = planted()
    empty = Multiplex({"likes": graph.views["likes"], "none": Graph.of(np.zeros((0, 2), int), 60)}, graph.features)
    assert np.isfinite(InfoMGF(**QUICK).fit(empty).transform(empty)).all()


def test_relations_that_are_not_thinned_are_read_as_they_are():
    graph, _ = planted()
    model = InfoMGF(**QUICK, drop_edges=0.0).fit(graph)
    assert np.isfinite(model.loss_curve_).all()
    batch = Batch(RelationViews(drop_edges=0.0)(GraphView.of(graph), torch.Generator()), torch.arange(60))
    assert len(batch.views) == 1 and set(model.loss(model.net_, batch)) == {"fused", "shared", "unique"}


def test_without_refinement_the_mean_of_the_relations_is_read():
    graph, _ = planted()
    model = InfoMGF(**QUICK, refine=False).fit(graph)
    with torch.no_grad():
        Z = unit(model.net_.encode(mean_relation(GraphView.of(model._items(graph, reset=False).values))))
    np.testing.assert_allclose(model.transform(graph), Z.numpy(), atol=1e-6)
    with pytest.raises(InputError, match="refine"):
        _ = model.graph_


def test_nodes_without_features_start_where_they_are_in_the_relations():
    graph, _ = planted()
    graphs = list(graph.views.values())
    found = spectral_start(graphs, 5)
    dense = sum(GraphView.of(one).adjacency.to_dense() for one in graphs).numpy() / 2
    values, vectors = np.linalg.eigh(dense.astype(np.float64))
    best = vectors[:, -5:] * values[-5:]
    scale = np.linalg.norm(best, axis=1).mean()
    np.testing.assert_allclose(found @ found.T, best @ best.T / scale**2, atol=1e-4)
    assert (found[np.abs(found).argmax(axis=0), np.arange(5)] > 0).all()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"k": 0}, "k=0"),
        ({"hops": -1}, "hops"),
        ({"augment": "no"}, "augment"),
        ({"dropout": 1.5}, "dropout"),
        ({"unique": -1.0}, "unique"),
        ({"act": "sin"}, "act"),
        ({"refresh": 0}, "refresh"),
        ({"layers": 0}, "layers"),
        ({"relations": ("hates",)}, "hates"),
        ({"encoder": "unigcnii"}, "encoder"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_bad_values_are_refused_by_name(wrong, named):
    with pytest.raises(InputError, match=named):
        InfoMGF(**QUICK | wrong).fit(planted()[0])


def test_what_is_no_such_graph_is_refused():
    graph, _ = planted()
    model = InfoMGF(**QUICK).fit(graph)
    for X, said in (
        (Hypergraph.of([[0, 1], [1, 2]]), "Hypergraph"),
        (np.random.default_rng(0).random((20, 4)), "graph"),
    ):
        with pytest.raises(InputError, match=said):
            InfoMGF(**QUICK).fit(X)
    with pytest.raises(InputError, match="cites"):
        model.transform(Multiplex({"likes": graph.views["likes"]}, graph.features))
    with pytest.raises(InputError, match="12"):
        model.transform(Multiplex(graph.views, graph.features[:, :5]))
