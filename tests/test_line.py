"""LINE: what its sampling converges to, its two orders, and what comes in."""

import numpy as np
import pytest

from unlabeled import InputError
from unlabeled.data.graphs import Graph
from unlabeled.methods.graphs.line import LINE, with_second_neighbours
from unlabeled.parts.edges import EdgeSampling

RNG = np.random.default_rng(0)
RING = np.array([[i, (i + d) % 30] for i in range(30) for d in (1, 2)])


def arcs_of(graph):
    return graph.sources, graph.targets, graph.weights, len(graph)


def complete(n=8):
    pairs = np.array([(i, j) for i in range(n) for j in range(i)])
    return Graph.of(pairs, weights=RNG.gamma(1, 3, len(pairs)) + 0.2)


@pytest.mark.parametrize(("by_weight", "lr", "samples"), [(True, 0.1, 3_000_000), (False, 0.01, 6_000_000)])
def test_second_order_scores_go_where_the_sum_over_all_edges_and_negatives_is_highest(by_weight, lr, samples):
    graph, K, power = complete(), 3, 0.75
    engine = EdgeSampling(dim=16, negatives=K, samples=samples, lr=lr, power=power, by_weight=by_weight)
    found = engine.fit(graph.sources, graph.targets, graph.weights, len(graph))
    P = graph.adjacency().toarray().astype(float)
    P /= P.sum()
    noise = P.sum(axis=1) ** power
    noise /= noise.sum()
    # log P(i,j) s(x) + K noise(j) (P(i) - P(i,j)) s(-x) is highest at the log of the ratio; a negative is none where it is the right node.
    wanted = np.log(np.maximum(P, 1e-9) / (K * noise * (P.sum(axis=1, keepdims=True) - P)))
    score, off = found.nodes @ found.context.T, ~np.eye(8, dtype=bool)
    assert np.corrcoef(score[off], wanted[off])[0, 1] > 0.99
    assert abs(score - wanted)[off].mean() < 0.1, abs(score - wanted)[off].mean()
    assert (np.diag(score) < wanted[off].min()).all()  # nobody is joined with himself


def test_the_loss_is_that_of_sigmoids_and_falls():
    graph = complete()
    fresh = EdgeSampling(dim=4, samples=2_000, lr=1e-9, negatives=5).fit(graph.sources, graph.targets, graph.weights, 8)
    assert 3 * np.log(2) < fresh.loss[0] <= 6 * np.log(2) + 1e-3  # context is zeros: log 2 for the edge and each negative that counts
    trained = EdgeSampling(dim=8, samples=200_000).fit(*arcs_of(Graph.of(RING)))
    assert trained.loss[-1] < trained.loss[0] - 1


def test_joined_nodes_are_near_of_first_order_and_those_with_like_neighbours_of_second():
    # Two sides, every node joined with the other side's of its group only: what is near in the one sense isn't in the other.
    pairs = np.array([(g * 10 + i, 20 + g * 10 + j) for g in range(2) for i in range(10) for j in range(10)])
    first, second = (LINE(dim=8, order=o, samples=500_000, lr=0.05).fit(pairs).vectors_ for o in ("first", "second"))
    own, other = slice(0, 10), slice(20, 30)
    assert (first[own] @ first[other].T).mean() > (first[own] @ first[10:20].T).mean() + 0.3
    assert (second[own] @ second[own].T).mean() > (second[own] @ second[other].T).mean() + 0.3
    assert (second[own] @ second[own].T).mean() > (second[own] @ second[10:20].T).mean() + 0.3


def test_both_is_the_two_orders_beside_each_other_each_of_unit_length():
    settings = {"dim": 12, "samples": 20_000, "seed": 2}
    both = LINE(**settings).fit(RING).vectors_
    halves = [LINE(**settings, order=order).fit(RING).vectors_ for order in ("first", "second")]
    assert (both == np.concatenate(halves, axis=1)).all() and both.shape == (30, 24)
    np.testing.assert_allclose(np.linalg.norm(halves[0], axis=1), 1, atol=1e-5)


def test_second_order_reads_directions_and_first_order_does_not():
    settings = {"dim": 8, "samples": 50_000}
    arcs = Graph.of(np.sort(RING, axis=1), directed=True)
    assert (LINE(**settings, order="first").fit(arcs).vectors_ == LINE(**settings, order="first").fit(arcs.undirected()).vectors_).all()
    assert not np.allclose(LINE(**settings, order="second").fit(arcs).vectors_, LINE(**settings, order="second").fit(RING).vectors_)
    star = Graph.of([[0, i] for i in range(1, 6)], directed=True)
    leaf = EdgeSampling(dim=8, samples=1000).fit(star.sources, star.targets, None, 6)
    fresh = EdgeSampling(dim=8, samples=1).fit(star.sources, star.targets, None, 6)
    assert (leaf.nodes[1:] == fresh.nodes[1:]).all() and not (leaf.nodes[0] == fresh.nodes[0]).all()  # leaves point nowhere


def test_neighbours_neighbours_are_those_of_the_formula():
    rng = np.random.default_rng(3)
    pairs = np.unique(np.sort(rng.integers(0, 25, (45, 2)), axis=1), axis=0)
    graph = Graph.of(pairs, 25, rng.random(len(pairs)) + 0.1)
    A = graph.adjacency().toarray().astype(float)
    d = A.sum(axis=1)
    two = np.array([[sum(A[i, j] * A[j, k] / d[j] for j in range(25) if A[i, j]) for k in range(25)] for i in range(25)])
    two[(A > 0) | np.eye(25, dtype=bool)] = 0
    wanted = A.copy()
    for i in range(25):
        room = max(0, 5 - int((A[i] > 0).sum())) if A[i].any() else 0
        best = [k for k in np.argsort(-two[i], kind="stable")[:room] if two[i, k] > 0]
        wanted[i, best] = two[i, best]
    np.testing.assert_allclose(with_second_neighbours(graph, 5).adjacency().toarray(), wanted, rtol=1e-5)
    assert with_second_neighbours(graph, 0) is graph and with_second_neighbours(graph, 1) is graph
    assert not np.allclose(LINE(dim=4, samples=10_000, reconstruct=5).fit(graph).vectors_, LINE(dim=4, samples=10_000).fit(graph).vectors_)


def test_nodes_without_edges_have_zeros_and_are_said():
    with pytest.warns(UserWarning, match="3 of 33"):
        model = LINE(dim=4, samples=5_000).fit(Graph.of(RING, 33))
    assert (model.vectors_[30:] == 0).all() and np.isfinite(model.vectors_).all()


def test_a_seed_repeats_threads_work_and_what_was_learned_is_kept(tmp_path):
    settings = {"dim": 6, "samples": 30_000}
    model = LINE(**settings, seed=1).fit(RING)
    assert (LINE(**settings, seed=1).fit(RING).vectors_ == model.vectors_).all()
    assert not np.allclose(LINE(**settings, seed=2).fit(RING).vectors_, model.vectors_)
    again = LINE.load(model.save(tmp_path / "m"))
    assert (again.vectors_ == model.vectors_).all() and again.get_params() == model.get_params() and again.loss_curve_ == model.loss_curve_
    threads = LINE(**settings, workers=2).fit(RING).vectors_
    assert np.isfinite(threads).all() and threads.shape == (30, 12)
    messy = np.concatenate([RING, RING[:, ::-1], [[4, 4]]])
    assert (LINE(**settings, seed=1).fit(messy).vectors_ == model.vectors_).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"order": "third"}, "order='third'"),
        ({"samples": 0}, "samples=0"),
        ({"samples": "many"}, "samples='many'"),
        ({"dim": 0}, "dim=0"),
        ({"negatives": 40}, "negatives=40"),
        ({"negatives": 0}, "negatives=0"),
        ({"lr": 0}, "lr=0"),
        ({"reconstruct": -1}, "reconstruct=-1"),
        ({"workers": 0}, "workers=0"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, said):
    with pytest.raises(InputError, match=said) as error:
        LINE(**{"samples": 100} | settings).fit(RING)
    assert "\n" not in str(error.value)
