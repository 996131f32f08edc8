"""Poincaré embeddings: distances and steps against closed forms and autograd, ranks against brute force, and what a hierarchy becomes."""

import networkx as nx
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from unlabeled.data.graphs import Graph
from unlabeled.errors import InputError
from unlabeled.evaluate.hierarchy import hierarchy_scores
from unlabeled.methods.graphs.poincare import Poincare
from unlabeled.parts.closure import closure
from unlabeled.parts.hyperbolic import EDGE, Hyperbolic, descend, distance, pair_distance, project

RNG = np.random.default_rng(0)


def ball(n, d, most=0.95):
    x = RNG.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * RNG.uniform(0.01, most, (n, 1))


def tree(depth=4, width=3):
    """u -> parent, direct edges only; node 0 is the root."""
    n = (width ** (depth + 1) - 1) // (width - 1)
    return np.array([(node, (node - 1) // width) for node in range(1, n)])


@pytest.fixture(scope="module")
def fitted():
    return Poincare(dim=3, epochs=150).fit(tree())


# The ball --------------------------------------------------------------------------------------------------------
def test_distances_are_the_papers_formula_and_the_closed_form_from_the_middle():
    a, b = ball(7, 3), ball(5, 3)
    gap = ((a[:, None] - b[None]) ** 2).sum(-1)
    formula = np.arccosh(1 + 2 * gap / ((1 - (a**2).sum(1))[:, None] * (1 - (b**2).sum(1))))
    np.testing.assert_allclose(distance(a, b), formula, rtol=1e-9)
    np.testing.assert_allclose(pair_distance(a[:5], b), np.diag(formula[:5]), rtol=1e-9)
    np.testing.assert_allclose(distance(a, np.zeros((1, 3)))[:, 0], 2 * np.arctanh(np.linalg.norm(a, axis=1)), rtol=1e-9)


def test_near_points_keep_their_digits_and_the_edge_is_far_but_finite():
    a = np.array([[0.3, 0.4]])
    near = 1e-9 * np.array([[0.6, -0.8]])
    np.testing.assert_allclose(distance(a, a + near)[0, 0], 2e-9 / 0.75, rtol=1e-5)  # arcosh(1 + 1e-17) would be 0
    out = project(np.array([[5.0, 0], [0, 1.0], [0.1, 0.2], [0, 0]]))
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), [1 - EDGE, 1 - EDGE, np.hypot(0.1, 0.2), 0])
    assert 20 < distance(out[:1], -out[:1])[0, 0] < 30


@pytest.mark.parametrize("loss", ["softmax", "links"])
@pytest.mark.parametrize(("geometry", "riemannian"), [("poincare", True), ("poincare", False), ("euclidean", True)])
def test_a_step_is_that_of_autograd_and_the_metric(loss, geometry, riemannian):
    points, u, v, negatives = ball(8, 5), 2, 6, [0, 1, 5, 7]
    points[4] = points[2] * 0.999999
    engine = Hyperbolic(dim=5, lr=0.01, geometry=geometry, riemannian=riemannian, loss=loss, radius=1.3, temperature=0.7)
    found, said = engine.step(Graph.of([[0, 1]], 8, directed=True), points, u, v, negatives)
    x = torch.tensor(points, requires_grad=True)
    gap = ((x[u] - x[[v, *negatives]]) ** 2).sum(1)
    inside = (1 - (x[u] ** 2).sum()) * (1 - (x[[v, *negatives]] ** 2).sum(1))
    far = gap if geometry == "euclidean" else torch.arccosh(1 + 2 * gap / inside)
    if loss == "softmax":
        value = torch.nn.functional.cross_entropy(-far[None], torch.tensor([0]))
    else:
        truth = torch.tensor([1.0, 0, 0, 0, 0], dtype=torch.float64)
        value = torch.nn.functional.binary_cross_entropy_with_logits((1.3 - far) / 0.7, truth, reduction="sum")
    value.backward()
    gradient = x.grad.numpy()
    wanted = points - 0.01 * gradient if geometry == "euclidean" else project(points - 0.01 * gradient)
    wanted = descend(points, gradient, 0.01) if geometry == "poincare" and riemannian else wanted
    assert abs(wanted - points).max() > 1e-4
    np.testing.assert_allclose(found, wanted, atol=1e-10)
    np.testing.assert_allclose(said, value.item(), rtol=1e-9)


def test_steps_between_equal_points_and_over_the_edge_stay_finite_and_within_the_ball():
    points = np.zeros((4, 2))
    points[2:] = [[1 - 2 * EDGE, 0], [-1 + 2 * EDGE, 0]]
    engine, graph = Hyperbolic(dim=2, lr=50.0), Graph.of([[0, 1]], 4, directed=True)
    same, _ = engine.step(graph, points, 0, 1, [1])
    assert (same[:2] == 0).all()
    for u, v, negatives in ((2, 3, [0]), (0, 1, [2, 3]), (3, 0, [2])):
        found, loss = engine.step(graph, points, u, v, negatives)
        assert np.isfinite(found).all() and np.isfinite(loss) and np.linalg.norm(found, axis=1).max() <= 1 - EDGE + 1e-12


# Negatives -------------------------------------------------------------------------------------------------------
def test_what_a_node_is_related_to_is_never_a_negative():
    n = 40  # rows long enough for the search by halves
    everything = np.array([(a, b) for a in range(n) for b in range(n) if a != b])
    whole = Hyperbolic(epochs=1, burn_in=0).fit(Graph.of(everything, directed=True))
    assert abs(whole.loss[0]) < 1e-12  # no negatives: nothing to be told apart
    for missing in (0, 31, 39):
        graph = Graph.of([pair for pair in everything.tolist() if pair != [30, missing]], directed=True)
        assert max(Hyperbolic(epochs=1, burn_in=0).fit(graph).loss) > 1e-4


def test_negatives_of_the_burn_in_are_nodes_with_pairs_and_later_ones_any():
    graph = Graph.of(tree(3, 3), 45, directed=True)  # nodes 40 to 44 are in no pair
    start = np.random.default_rng(0).uniform(-1e-3, 1e-3, (45, 5))
    burned = Hyperbolic(epochs=0, burn_in=5).fit(graph).vectors
    assert (burned[40:] == start[40:]).all() and (burned[:40] != start[:40]).all()
    learned = Hyperbolic(epochs=50, burn_in=5).fit(graph).vectors
    assert (np.linalg.norm(learned[40:], axis=1) > 0.3).all()  # of nothing general: they go to the edge


# Closure ---------------------------------------------------------------------------------------------------------
def test_the_closure_is_networkxs_with_circles_doubles_and_parts():
    pairs = [*tree(3, 2).tolist(), [20, 21], [21, 22], [22, 20], [22, 23], [23, 23], [1, 0]]
    for edges in (pairs, RNG.integers(0, 40, (50, 2)).tolist()):
        found = closure(Graph.of(edges, 45, directed=True))
        wanted = nx.transitive_closure(nx.DiGraph(edges), reflexive=False)
        assert {tuple(pair) for pair in found.edges().tolist()} == {(a, b) for a, b in wanted.edges if a != b}
        assert all((np.diff(found.neighbours(node)) > 0).all() for node in range(45))


def test_a_closure_that_would_not_fit_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr("unlabeled.parts.closure.MOST", 100_000)
    ring = np.stack([np.arange(2000), np.roll(np.arange(2000), 1)], 1)
    assert closure(Graph.of(tree(), directed=True)).n_edges > len(tree())
    with pytest.raises(InputError, match="closure of this graph is too large"):
        closure(Graph.of(ring, directed=True))


# Ranks -----------------------------------------------------------------------------------------------------------
def test_map_and_mean_rank_are_those_of_brute_force():
    graph = closure(Graph.of(tree(3, 3), directed=True))
    far = RNG.random((len(graph), len(graph)))
    precisions, ranks = [], []
    for u in range(1, len(graph)):
        others = [w for w in range(len(graph)) if w != u]
        truth = [w in graph.neighbours(u) for w in others]
        precisions.append(average_precision_score(truth, -far[u, others]))
        for v in graph.neighbours(u):
            ranks.append(1 + sum(far[u, w] < far[u, v] for w, true in zip(others, truth, strict=True) if not true))
    found = hierarchy_scores(lambda rows: far[rows], graph, block=7)
    np.testing.assert_allclose(found.map, np.mean(precisions))
    np.testing.assert_allclose(found.mean_rank, np.mean(ranks))
    assert found.ranks.tolist() == ranks


def test_other_truths_dont_count_against_a_held_out_pair_and_ties_count_half():
    graph = Graph.of([[0, 1], [0, 2], [3, 2]], 5, directed=True)
    far = np.full((5, 5), 9.0)
    far[0] = [0, 1, 2, 3, 4]
    assert hierarchy_scores(lambda rows: far[rows], graph, [[0, 2]])[:2] == (1.0, 1.0)  # 1 is nearer, but true, and 0 is itself
    assert hierarchy_scores(lambda rows: far[rows], graph, nodes=[3])[:2] == (1 / 2.5, 2.5)  # three others are as far
    worst = hierarchy_scores(lambda rows: -far[rows], graph, [[0, 2]])
    assert worst[:2] == (1 / 3, 3.0)
    both = hierarchy_scores(lambda rows: far[rows], Graph.of([[0, 1]], 5))
    assert both.ranks.tolist() == [1.0, 2.5]  # an undirected edge is asked from both its ends


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_distance_that_isnt_finite_is_an_error_and_no_perfect_rank(bad):
    graph = closure(Graph.of(tree(), directed=True))
    with pytest.raises(InputError, match="isn't finite"):
        hierarchy_scores(lambda rows: np.full((len(rows), len(graph)), bad), graph)


def test_a_training_that_runs_away_is_an_error():
    with pytest.raises(InputError, match="ran away in epoch"):
        Poincare(geometry="euclidean", lr=50.0, epochs=300).fit(tree())


# The system ------------------------------------------------------------------------------------------------------
def test_a_tree_comes_back_with_its_root_in_the_middle(fitted):
    graph = closure(Graph.of(tree(), directed=True))
    scores = hierarchy_scores(fitted.distances, graph)
    flat = Poincare(dim=3, epochs=150, geometry="euclidean", lr=0.03).fit(tree())
    assert scores.map > 0.9 and scores.map > hierarchy_scores(flat.distances, graph).map + 0.1
    depth, level = fitted.depth(), np.array([len(graph.neighbours(node)) for node in range(len(graph))])
    assert depth.argmin() == 0 and np.corrcoef(depth, level)[0, 1] > 0.8
    assert np.linalg.norm(fitted.vectors_, axis=1).max() < 1 and fitted.vectors_.dtype == np.float64
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0] / 5 and len(fitted.loss_curve_) == 160


def test_is_a_knows_the_direction_and_edges_score_by_distance(fitted):
    graph = closure(Graph.of(tree(), directed=True))
    up = graph.edges()
    assert np.mean([fitted.is_a(u, v) > fitted.is_a(v, u) for u, v in up]) > 0.95
    far = distance(fitted.vectors_, fitted.vectors_)
    np.testing.assert_allclose(fitted.score_edges(up), -far[up[:, 0], up[:, 1]])
    norm = np.linalg.norm(fitted.vectors_, axis=1)
    np.testing.assert_allclose(fitted.is_a("39", "4", alpha=10), -(1 + 10 * (norm[4] - norm[39])) * far[39, 4])


def test_near_is_by_distance_in_the_ball():
    model = Poincare(dim=2, epochs=1).fit(np.array([[0, 1], [2, 3]]))
    model.vectors_ = np.array([[0.9, 0], [0.99, 0], [0.6, 0], [0, 0.1]])
    assert [name for name, _ in model.most_similar(0, 2)] == ["2", "1"]  # 1 is nearer on paper
    np.testing.assert_allclose(model.most_similar("0", 1)[0][1], np.log(19) - np.log(4))


def test_names_numbers_networkx_and_an_adjacency_are_read_alike():
    pairs = tree(2, 2)
    numbers = Poincare(epochs=5).fit(pairs)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(7))
    graph.add_edges_from(pairs.tolist())
    for X in (pairs.tolist(), [(str(a), str(b)) for a, b in pairs], graph, Graph.of(pairs, directed=True), nx.to_numpy_array(graph)):
        assert (Poincare(epochs=5).fit(X).vectors_ == numbers.vectors_).all()
    doubled = np.concatenate([pairs, pairs[:3], [[2, 2]]])  # an edge given twice is one, none leads to itself
    assert (Poincare(epochs=5).fit(doubled).vectors_ == numbers.vectors_).all()
    named = Poincare(epochs=5).fit([("dog", "canine"), ("canine", "mammal")])
    assert named.ids_ == ["canine", "dog", "mammal"] and {name for name, _ in named.most_similar("dog")} == {"canine", "mammal"}


def test_the_closure_is_learned_unless_it_isnt_wanted_and_networks_go_both_ways():
    direct = Poincare(epochs=200, closure=False, negatives=5).fit(tree(3, 2))
    whole = Poincare(epochs=200, negatives=5).fit(tree(3, 2))
    far = closure(Graph.of(tree(3, 2), directed=True)).without(tree(3, 2))
    assert hierarchy_scores(whole.distances, far).mean_rank < hierarchy_scores(direct.distances, far).mean_rank
    ring = Graph.of(np.stack([np.arange(12), np.roll(np.arange(12), 1)], 1))
    both = np.concatenate([ring.edges(), ring.edges()[:, ::-1]])
    for loss in ("softmax", "links"):
        model = Poincare(dim=2, epochs=300, lr=0.03, loss=loss, temperature=0.3).fit(ring)
        near = model.score_edges(both).min()
        other = np.array([(a, b) for a in range(12) for b in range(12) if (a - b) % 12 not in (0, 1, 11)])
        assert (model.score_edges(other) < near).mean() > 0.9


def test_new_nodes_have_the_mean_of_what_they_point_to(fitted):
    graph = nx.DiGraph([("a", "3"), ("a", "7"), ("b", "c")])
    found = fitted.transform(graph)
    row = {name: vector for name, vector in zip(graph.nodes, found, strict=True)}
    np.testing.assert_allclose(row["a"], fitted.vectors_[[3, 7]].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(row["3"], fitted.vectors_[3], rtol=1e-6)
    assert (row["b"] == 0).all() and found.dtype == np.float32 and np.linalg.norm(found, axis=1).max() < 1


def test_a_seed_repeats_is_kept_and_more_threads_learn_as_well(tmp_path, fitted):
    again = Poincare(dim=3, epochs=150).fit(tree())
    assert (again.vectors_ == fitted.vectors_).all()
    assert not np.allclose(Poincare(dim=3, epochs=150, seed=1).fit(tree()).vectors_, fitted.vectors_)
    kept = Poincare.load(fitted.save(tmp_path / "m"))
    assert (kept.vectors_ == fitted.vectors_).all() and kept.vectors_.dtype == np.float64 and kept.ids_ == fitted.ids_
    assert kept.most_similar(5, 3) == fitted.most_similar(5, 3) and kept.get_params() == fitted.get_params()
    many = Poincare(dim=3, epochs=150, workers=3).fit(tree())
    assert hierarchy_scores(many.distances, closure(Graph.of(tree(), directed=True))).map > 0.9


@pytest.mark.parametrize(
    ("settings", "X", "said"),
    [
        ({"dim": 0}, [(0, 1)], "dim=0"),
        ({"dim": 2000}, [(0, 1)], "dim=2000"),
        ({"negatives": 0}, [(0, 1)], "negatives=0"),
        ({"epochs": 0, "burn_in": 0}, [(0, 1)], "nothing would be learned"),
        ({"lr": 0}, [(0, 1)], "lr=0"),
        ({"lr": float("nan")}, [(0, 1)], "lr=nan"),
        ({"geometry": "lorentz"}, [(0, 1)], "geometry='lorentz'"),
        ({"loss": "hinge"}, [(0, 1)], "loss='hinge'"),
        ({"temperature": 0}, [(0, 1)], "temperature=0"),
        ({"workers": 0}, [(0, 1)], "workers=0"),
        ({}, [], "wanted pairs"),
        ({}, [("a", "b"), ("c",)], "wanted pairs"),
        ({}, [(0, 0)], "has none"),
        ({}, np.array([[0.5, 1], [1, 2]]), "whole numbers or names"),
        ({}, [(0, -1)], "wanted 0 to"),
        ({}, "graph.txt", "wanted a Graph"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, X, said):
    with pytest.raises(InputError, match=said) as error:
        Poincare(**settings).fit(X)
    assert "\n" not in str(error.value)


def test_nodes_that_arent_there_are_named(fitted):
    for ask in (lambda: fitted.is_a("dog", 0), lambda: fitted.score_edges([(0, 121)]), lambda: fitted.most_similar(-1)):
        with pytest.raises(InputError):
            ask()
