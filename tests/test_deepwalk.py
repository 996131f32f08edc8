"""DeepWalk: walks follow the edges, what is learned from them, what a grown graph changes, and what comes in."""

import warnings

import networkx as nx
import numpy as np
import pytest
from scipy.stats import chisquare

from unlabeled import InputError
from unlabeled.data.graphs import Graph
from unlabeled.methods.graphs.deepwalk import DeepWalk
from unlabeled.parts.alias import alias_tables
from unlabeled.parts.skipgram import SkipGram
from unlabeled.parts.walks import learn_walks, random_walks

SMALL = {"dim": 16, "walks": 5, "length": 20, "window": 4}


def texts(corpus):
    return np.split(np.asarray(corpus.tokens), corpus.starts[1:-1])


def cliques(n=8, groups=3, first=0):
    """Complete groups in a chain, joined by one edge each."""
    pairs = [(g * n + i, g * n + j) for g in range(groups) for i in range(n) for j in range(i)]
    return np.array(pairs + [(g * n, (g + 1) * n) for g in range(groups - 1)]) + first


@pytest.fixture(scope="module")
def graph():
    return Graph.of(cliques())


def test_tables_draw_in_proportion_to_the_weights_row_by_row():
    rng = np.random.default_rng(0)
    starts = np.array([0, 1, 1, 8, 300])
    weights = (rng.pareto(0.8, 300) + 1e-3).astype(np.float32)
    weights[3] = 0
    keep, other = alias_tables(weights, starts)
    for a, b in zip(starts[:-1], starts[1:], strict=True):
        chance = np.zeros(b - a)
        np.add.at(chance, np.arange(b - a), keep[a:b])
        np.add.at(chance, other[a:b], 1 - keep[a:b])
        if b > a:
            np.testing.assert_allclose(chance / (b - a), weights[a:b] / weights[a:b].sum(dtype=float), atol=1e-6)
    for bad in ([1.0, -1], [0.0, 0], [np.nan, 1]):
        with pytest.raises(InputError, match="weights"):
            alias_tables(np.array(bad))


def test_walks_follow_edges_start_everywhere_and_are_as_long_as_asked(graph):
    walks = texts(random_walks(graph, 3, 12, seed=1))
    assert len(walks) == 3 * len(graph) and {len(walk) for walk in walks} == {12}
    for at in range(3):  # each pass starts once at each node, in an order of its own
        assert sorted(walk[0] for walk in walks[at * 24 : at * 24 + 24]) == list(range(24))
    assert [w[0] for w in walks[:24]] != [w[0] for w in walks[24:48]] != list(range(24))
    steps = np.concatenate([np.stack([walk[:-1], walk[1:]], 1) for walk in walks])
    assert graph.has(steps).all()


def test_first_order_steps_are_drawn_by_weight():
    edges, weights = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [2, 3]]), np.array([1.0, 5, 0.5, 2, 3])
    graph = Graph.of(edges, weights=weights)
    walks = texts(random_walks(graph, 1000, 10, seed=2))
    steps = np.concatenate([np.stack([walk[:-1], walk[1:]], 1) for walk in walks])
    A = graph.adjacency().toarray().astype(float)
    for v in range(4):
        seen = np.bincount(steps[steps[:, 0] == v, 1], minlength=4)
        assert seen[A[v] == 0].sum() == 0
        assert chisquare(seen[A[v] > 0], seen.sum() * A[v][A[v] > 0] / A[v].sum()).pvalue > 1e-3


def test_a_dead_end_stops_a_walk_and_none_starts_at_one_or_at_a_node_without_edges():
    graph = Graph.of(np.array([[0, 1], [1, 2], [3, 1]]), 5, directed=True)
    walks = texts(random_walks(graph, 4, 10))
    assert {tuple(walk) for walk in walks} == {(0, 1, 2), (1, 2), (3, 1, 2)} and len(walks) == 12
    assert {tuple(w) for w in texts(random_walks(graph, 1, 10, p=0.25, q=4, nodes=np.array([3, 2])))} == {(3, 1, 2)}


@pytest.mark.parametrize("pq", [(1, 1), (0.5, 2)])
def test_walks_are_the_same_whoever_makes_them_and_wherever_they_lie(graph, pq):
    one = random_walks(graph, 3, 9, *pq, seed=5)
    for other in (random_walks(graph, 3, 9, *pq, seed=5, workers=3), random_walks(graph, 3, 9, *pq, seed=5, held=10)):
        assert (one.tokens == other.tokens).all() and (one.starts == other.starts).all()
    assert isinstance(other.tokens, np.memmap)
    assert not (one.tokens == random_walks(graph, 3, 9, *pq, seed=6).tokens).all()


def test_the_vectors_are_the_skip_gram_engines(graph):
    corpus = random_walks(graph, 2, 10)
    for negatives in (3, 0):
        engine = SkipGram(dim=8, window=3, negatives=negatives, epochs=1, sample=0, workers=1, seed=4)
        ours, theirs = learn_walks(engine, corpus, len(graph)), engine.fit(corpus, len(graph))
        assert (ours.words == theirs.words).all() and (ours.output == theirs.output).all() and (ours.counts == theirs.counts).all()


@pytest.mark.parametrize("loss", ["ns", "hs"])
def test_nodes_of_a_group_are_near_with_either_loss(graph, loss):
    model = DeepWalk(**SMALL | {"walks": 60}, loss=loss, lr=0.1).fit(graph)
    near = [int(name) // 8 == node // 8 for node in range(24) for name, _ in model.most_similar(node, 5)]
    assert np.mean(near) > 0.9, np.mean(near)


def test_nodes_without_edges_have_zeros_and_are_said():
    with pytest.warns(UserWarning, match="2 of 26 nodes"):
        model = DeepWalk(**SMALL).fit(Graph.of(cliques(), 26))
    assert (model.vectors_[24:] == 0).all() and (abs(model.vectors_[:24]).sum(axis=1) > 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DeepWalk(**SMALL).fit(Graph.of(cliques()))


def test_doubled_and_turned_edges_and_loops_change_nothing():
    pairs = cliques()
    clean = DeepWalk(**SMALL).fit(pairs).vectors_
    messy = np.concatenate([pairs[:, ::-1], pairs[:5], [[3, 3]]])
    assert (DeepWalk(**SMALL).fit(messy).vectors_ == clean).all()
    arcs = Graph.of(pairs, directed=True)
    assert (DeepWalk(**SMALL).fit(arcs).vectors_ == clean).all()  # read without its directions, unless it is asked for
    with pytest.warns(UserWarning):
        assert not (DeepWalk(**SMALL, directed=True).fit(Graph.of([[0, 1], [1, 0], [2, 0]], 4, directed=True)).vectors_[2] == 0).all()


def test_a_seed_repeats_and_what_was_learned_is_kept(graph, tmp_path):
    model = DeepWalk(**SMALL, seed=3).fit(nx.relabel_nodes(nx.Graph(cliques().tolist()), str))
    again = DeepWalk.load(model.save(tmp_path / "m"))
    assert (again.vectors_ == model.vectors_).all() and again.ids_ == model.ids_ and again.get_params() == model.get_params()
    assert again.most_similar("3", 2) == model.most_similar("3", 2)
    assert (DeepWalk(**SMALL, seed=3).fit(graph).vectors_ == DeepWalk(**SMALL, seed=3).fit(graph).vectors_).all()
    assert not np.allclose(DeepWalk(**SMALL, seed=4).fit(graph).vectors_, DeepWalk(**SMALL, seed=3).fit(graph).vectors_)
    larger = Graph.of(np.concatenate([cliques(), [[0, 20]]]))
    named = nx.relabel_nodes(nx.Graph(larger.edges().tolist()), str)
    assert (again.partial_fit(named).vectors_ == model.partial_fit(named).vectors_).all()


def test_a_grown_graph_is_walked_where_it_grew():
    apart = np.concatenate([cliques(groups=1), cliques(groups=1, first=8)])
    model = DeepWalk(**SMALL | {"walks": 40}, lr=0.1).fit(Graph.of(apart))
    before = model.vectors_.copy()
    grown = Graph.of(np.concatenate([apart, [[16, i] for i in range(8)]]))
    model.partial_fit(grown)
    assert (model.vectors_[8:16] == before[8:]).all()  # the other part has no new edge
    assert (abs(model.vectors_[:8] - before[:8]).max(axis=1) > 0).all()
    assert {int(name) for name, _ in model.most_similar(16, 6)} <= set(range(8))
    same = model.vectors_.copy()
    assert (model.partial_fit(grown).vectors_ == same).all()  # nothing new
    assert len(model.partial_fit(Graph.of(apart)).vectors_) == 16 and model.ids_[-1] == "15"
    fresh = DeepWalk(**SMALL)
    assert (fresh.partial_fit(grown).vectors_ == DeepWalk(**SMALL).fit(grown).vectors_).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": "softmax"}, "loss="),
        ({"walks": 0}, "walks=0"),
        ({"length": 1}, "length=1"),
        ({"negatives": 0}, "negatives=0"),
        ({"window": 0}, "window=0"),
        ({"lr": -1}, "lr=-1"),
        ({"dim": 0.5}, "dim=0.5"),
    ],
)
def test_mistakes_are_said_in_one_line(graph, settings, said):
    with pytest.raises(InputError, match=said) as error:
        DeepWalk(**settings).fit(graph)
    assert "\n" not in str(error.value)


def test_graphs_that_teach_nothing_are_refused(graph):
    with pytest.raises(InputError, match="has none"):
        DeepWalk().fit(Graph.of(np.zeros((0, 2), int), 3))
    with pytest.raises(InputError, match="tree"):
        DeepWalk(**SMALL, loss="hs").fit(graph).partial_fit(graph)
