"""ULTRA: the graph of relations and the messages by brute force, what must not leak, what holds for any names, and what comes in."""

import networkx as nx
import numpy as np
import pytest
import torch

from unlabeled import InputError
from unlabeled.data.graphs import Triples
from unlabeled.methods.knowledge.ultra import Ultra
from unlabeled.parts.nbf import (
    MEETINGS,
    EntityPredictor,
    FactGraph,
    RelationEncoder,
    messages,
    messages_by_edge,
    relation_graph,
    with_inverses,
)
from unlabeled.parts.ranking import Known, filtered_ranks, rank_scores

QUICK = {"dim": 8, "layers": 2, "steps": 4, "batch_size": 4, "negatives": 5}


def drawn(n=9, relations=3, m=25, seed=0):
    rng = np.random.default_rng(seed)
    return Triples.of(
        np.stack([rng.integers(0, n, m), rng.integers(0, relations, m), rng.integers(0, n, m)], axis=1), list("abcdefghi"), list("rst")
    )


def family(names, words=("parent", "child", "grandparent")):
    """A line of people each; child is parent turned, grandparent twice parent."""
    facts = []
    for name in names:
        line = [f"{name}{i}" for i in range(6)]
        facts += [(a, words[0], b) for a, b in zip(line, line[1:], strict=False)] + [
            (b, words[1], a) for a, b in zip(line, line[1:], strict=False)
        ]
        facts += [(a, words[2], c) for a, c in zip(line, line[2:], strict=False)]
    return np.array(facts)


@pytest.fixture(scope="module")
def trained():
    return Ultra(dim=16, layers=3, steps=150, batch_size=8, negatives=16, lr=5e-3).fit(family("abcd"))


def test_relations_meet_as_sets_of_their_heads_and_tails_say():
    triples = drawn()
    table = relation_graph(triples.facts, 9, 3).numpy()
    edges = with_inverses(triples.facts, 3)
    ends = {"h": [set(edges[edges[:, 1] == r, 0]) for r in range(6)], "t": [set(edges[edges[:, 1] == r, 2]) for r in range(6)]}
    for block, (a, b) in enumerate(MEETINGS):
        for row in range(6):
            for column in range(6):
                assert table[row, 6 * block + column] == bool(ends[a][row] & ends[b][column])
    assert table[:6, :6].diagonal().all()  # a relation meets itself
    only = relation_graph(triples.facts, 9, 3, ("ht",)).numpy()
    np.testing.assert_array_equal(only, table[:, 12:18])


def test_many_relations_are_a_sparse_table_that_says_the_same(monkeypatch):
    triples, encoder = drawn(), RelationEncoder(8, 2, 4)
    dense = encoder(relation_graph(triples.facts, 9, 3), torch.tensor([0, 4]))
    monkeypatch.setattr("unlabeled.parts.nbf.DENSE", 2)
    sparse = relation_graph(triples.facts, 9, 3)
    assert sparse.layout == torch.sparse_csr
    torch.testing.assert_close(encoder(sparse, torch.tensor([0, 4])), dense)


@pytest.mark.parametrize("dim", [5, 16])
def test_messages_and_their_gradients_are_those_of_a_table_of_edges(dim):
    triples = drawn()
    graph, rng = FactGraph.of(triples.facts, 9, 3), torch.Generator().manual_seed(0)
    x, rel = (torch.randn(3, k, dim, generator=rng, requires_grad=True) for k in (9, 6))
    weight, g = torch.rand(len(graph.sources), generator=rng), torch.randn(3, 9, dim, generator=rng)
    weight[3] = 0
    found = []
    for way in (messages, messages_by_edge):
        out = way(x, rel, graph, weight)
        found.append([out, *torch.autograd.grad((out * g).sum(), (x, rel))])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    by_hand = torch.zeros(3, 9, dim)
    edges = with_inverses(triples.facts, 3)
    for h, r, t in edges.tolist():
        by_hand[:, t] += x[:, h].detach() * rel[:, r].detach()
    torch.testing.assert_close(messages(x, rel, graph, torch.ones(len(edges))).detach(), by_hand, rtol=1e-4, atol=1e-5)


def test_layers_reach_just_as_far_as_paths_do():
    """Who asks makes no difference to an entity that is further away than there are layers, and does to all others."""
    facts = np.array([[i, 0, i + 1] for i in range(7)])
    graph, layers = FactGraph.of(facts, 9, 1), 3
    net = EntityPredictor(8, layers)
    relations = torch.randn(1, 2, 8).expand(2, -1, -1)
    scores = net(graph, torch.ones(14), relations, torch.tensor([0, 0]), torch.tensor([0, 8])).detach()  # 8 is joined with none
    far = nx.single_source_shortest_path_length(nx.Graph(facts[:, [0, 2]].tolist()), 0)
    same = torch.isclose(*scores, atol=1e-6).tolist()
    assert same[:8] == [far[v] > layers for v in range(8)] and not same[8]


def test_edges_of_a_batch_are_out_of_the_graph_both_ways_and_no_others():
    triples = drawn()
    graph = FactGraph.of(triples.facts, 9, 3)
    gone = triples.facts[[2, 7]]
    weight = graph.without(gone).numpy()
    edges = list(zip(graph.sources.tolist(), graph.kinds.tolist(), graph.targets.tolist(), strict=True))
    assert sorted(edges) == sorted(map(tuple, with_inverses(triples.facts, 3).tolist()))
    out = {edge for edge, w in zip(edges, weight, strict=True) if w == 0}
    assert out == set(map(tuple, with_inverses(gone, 3).tolist())) and set(weight) == {0, 1}
    assert graph.without(np.array([[0, 0, 99 % 9]])).sum() >= len(edges) - 2  # a fact that isn't there takes nothing else out


def test_the_loss_does_not_see_the_edges_that_it_asks_for():
    triples = drawn()
    model = Ultra(**QUICK | {"steps": 0}).fit(triples)
    known, seen = model.prepared(triples), []
    forward = model._forward
    model._forward = lambda known, queries, weight, answers: seen.append((queries, weight)) or forward(known, queries, weight, answers)
    model._loss(known, triples.facts[:3].astype(np.int64), np.random.default_rng(0))
    queries, weight = seen[0]
    rest = known._replace(graph=FactGraph.of(triples.facts[3:], 9, 3))
    without = forward(rest, queries, torch.ones(len(rest.graph.sources)))
    torch.testing.assert_close(forward(known, queries, weight), without)
    assert not torch.allclose(forward(known, queries, torch.ones(len(weight))), without)


def test_negatives_are_never_facts_and_both_sides_are_asked():
    triples = drawn(m=60)
    model = Ultra(**QUICK | {"steps": 0, "negatives": 100}).fit(triples)
    known, seen = model.prepared(triples), []
    forward = model._forward
    model._forward = lambda known, queries, weight, answers: seen.append((queries, answers)) or forward(known, queries, weight, answers)
    loss = model._loss(known, triples.facts[:8].astype(np.int64), np.random.default_rng(0))
    queries, answers = seen[0]
    facts = {tuple(edge) for edge in with_inverses(triples.facts, 3).tolist()}
    assert set((queries[:, 1] >= 3).tolist()) == {True, False} and all(tuple(query) in facts for query in queries.tolist())
    # All entities are drawn here, the facts among them last and without weight: the loss is that of the others alone.
    scores = forward(known, queries, known.graph.without(triples.facts[:8]))
    total = 0
    for (h, r, t), row in zip(queries.tolist(), scores, strict=True):
        wrong = row[[v for v in range(9) if (h, r, v) not in facts]]
        p = torch.softmax(wrong.detach(), 0)
        total = total + torch.nn.functional.softplus(-row[t]) + (p * torch.nn.functional.softplus(wrong)).sum()
    assert float(loss.detach()) == pytest.approx(float(total.detach()) / 16, rel=1e-4)


def test_names_and_their_order_change_nothing(trained):
    facts = family("xyz", ("p", "c", "g"))
    triples = Triples.of(facts)
    shuffled = np.random.default_rng(0).permutation(len(facts))
    other = Triples.of(
        np.array([[f"{9 - ord(h[0]) % 9}{h}", {"p": "z", "c": "a", "g": "m"}[r], f"{9 - ord(t[0]) % 9}{t}"] for h, r, t in facts])[shuffled]
    )
    a = dict(trained.predict(triples, "x2", "p", 100))
    b = {name[1:]: score for name, score in trained.predict(other, f"{9 - ord('x') % 9}x2", "z", 100)}
    assert a.keys() == b.keys() and all(a[name] == pytest.approx(b[name], abs=1e-4) for name in a)


def test_what_was_learned_of_one_graph_holds_for_another_with_other_names(trained):
    facts = Triples.of(family("pqrstu", ("above", "below", "far above")))
    hidden = np.arange(facts.n_edges)[::6]
    train = facts.take(np.setdiff1d(np.arange(facts.n_edges), hidden))
    known = Known(facts.facts, len(facts))
    mrr = {name: rank_scores(filtered_ranks(model.ranker(train), facts.facts[hidden], known))["mrr"]
           for name, model in {"trained": trained, "untrained": Ultra(dim=16, layers=3, steps=0).fit(train)}.items()}  # fmt: skip
    assert mrr["trained"] > 0.5 > mrr["untrained"] + 0.1, mrr


def test_heads_are_asked_for_by_the_inverse_and_known_facts_left_out(trained):
    triples = Triples.of(family("xy"))
    scores = trained.ranker(triples)
    place = {name: row for row, name in enumerate(triples.entities)}
    r = triples.relations.index("grandparent")
    turned = triples.relations.index("grandparent") + len(triples.relations)
    known = trained.prepared(triples)
    direct = trained._forward(known, torch.tensor([[place["x3"], turned, 0]]), torch.ones(len(known.graph.sources)))[0].detach().numpy()
    np.testing.assert_allclose(scores(np.array([[0, r, place["x3"]]]), True)[0], direct, rtol=1e-5)
    answers = trained.predict(triples, relation="grandparent", tail="x3", k=100)
    assert len(answers) == len(triples) - 1 and "x1" not in dict(answers)
    assert [score for _, score in answers] == sorted((score for _, score in answers), reverse=True)
    assert trained.predict(known, "x0", "parent", 3) == trained.predict(triples, "x0", "parent", 3)


def test_relations_count_by_what_they_meet_unless_they_are_taken_to_be_alike():
    triples = drawn(m=40)
    for encoder, differ in (("graph", True), ("random", True), ("ones", False)):
        scores = Ultra(relation_encoder=encoder, **QUICK).fit(triples).ranker(triples)
        a, b = scores(np.array([[0, 0, 0], [0, 1, 0]]))
        assert np.allclose(a, b, atol=1e-6) != differ
    one = Ultra(meetings=("ht",), **QUICK).fit(triples)
    assert one.net_["relations"].kinds[0].shape == (1, 8)


def test_fine_tuning_goes_on_from_what_was_learned(trained, tmp_path):
    facts = Triples.of(family("mn", ("p", "c", "g")))
    model = Ultra.load(trained.save(tmp_path / "m"))
    before = {name: value.clone() for name, value in model.net_.state_dict().items()}
    model.finetune(facts, steps=3, lr=1e-3)
    gaps = [float((model.net_.state_dict()[name] - value).abs().max()) for name, value in before.items()]
    assert 0 < max(gaps) < 0.02 and len(model.loss_curve_) == len(trained.loss_curve_) + 3


def test_a_checkpoint_is_kept_and_a_seed_repeats(trained, tmp_path):
    facts = family("xy")
    again = Ultra.load(trained.save(tmp_path / "m"))
    assert again.predict(facts, "x0", "parent", 4) == trained.predict(facts, "x0", "parent", 4)
    assert again.get_params() == trained.get_params()
    a, b, c = (Ultra(**QUICK | {"seed": seed}).fit([facts, drawn()]) for seed in (0, 0, 1))
    assert a.predict(facts, "x0", "parent", 4) == b.predict(facts, "x0", "parent", 4) != c.predict(facts, "x0", "parent", 4)


def test_a_relation_with_one_fact_loops_and_entities_without_any_are_taken():
    facts = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 2], [0, 0, 1]])
    triples = Triples.of(facts, [f"e{i}" for i in range(6)], ["many", "once", "never"])
    model = Ultra(**QUICK).fit(triples)
    assert np.isfinite(model.loss_curve_).all() and triples.n_edges == 3
    assert len(model.predict(triples, "e5", "never", 10)) == 6 and len(model.predict(triples, "e1", "once", 10)) == 5
    full = Triples.of([["a", "r", "a"]])
    assert np.isfinite(Ultra(**QUICK).fit(full).loss_curve_).all() and Ultra(**QUICK).fit(full).predict(full, "a", "r") == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dim": 0}, "dim=0"),
        ({"layers": 1.5}, "layers=1.5"),
        ({"steps": -1}, "steps=-1"),
        ({"negatives": 0}, "negatives=0"),
        ({"lr": 0}, "lr=0"),
        ({"temperature": -1}, "temperature=-1"),
        ({"relation_encoder": "zeros"}, "relation_encoder='zeros'"),
        ({"meetings": ()}, "meetings="),
        ({"meetings": ("hx",)}, "meetings="),
    ],
)
def test_bad_values_are_said_in_one_line(settings, said):
    with pytest.raises(InputError, match=said) as error:
        Ultra(**QUICK | settings).fit(family("a"))
    assert "\n" not in str(error.value)


def test_questions_that_have_no_answer_are_refused(trained):
    facts = family("a")
    for ask, said in (
        (lambda: trained.predict(facts, "nobody", "parent"), "no entity is called 'nobody'"),
        (lambda: trained.predict(facts, "a0", "uncle"), "no relation is called 'uncle'"),
        (lambda: trained.predict(facts, "a0", "parent", tail="a1"), "either a head or a tail"),
        (lambda: trained.predict(facts, "a0", "parent", 0), "k=0"),
        (lambda: trained.finetune(facts, steps=0), "steps=0"),
        (lambda: Ultra(**QUICK).fit([]), "wanted facts|triples have the shape"),
        (lambda: Ultra(**QUICK).fit(np.zeros((3, 2), int)), "wanted facts"),
    ):
        with pytest.raises(InputError, match=said):
            ask()
