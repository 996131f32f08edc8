"""DistMult and its kin: every score's step against autograd, ranks, rules, leaks, and what comes in."""

import numpy as np
import pytest
import torch

from unlabeled import InputError
from unlabeled.data.graphs import Graph, Triples
from unlabeled.data.in_memory_graphs import as_graph_items
from unlabeled.methods.knowledge.distmult import DistMult
from unlabeled.parts.facts import check_split, leaks
from unlabeled.parts.ranking import Known, filtered_ranks, rank_scores
from unlabeled.parts.softmax_facts import Softmax
from unlabeled.parts.triples import SCORERS, Negatives, against, query

QUICK = {"dim": 8, "epochs": 3}


def family(generations=5, names="abcdefgh"):
    """parent, grandparent and sibling of made-up families: in each, one child a generation, and another that has none."""
    facts = []
    for name in names:
        line = [f"{name}{i}" for i in range(generations)]
        other = [f"{name}{i}x" for i in range(1, generations)]
        facts += [(a, "parent", b) for a, b in zip(line, line[1:], strict=False)] + [
            (a, "parent", b) for a, b in zip(line, other, strict=False)
        ]
        facts += [(a, "grandparent", c) for a, c in zip(line, line[2:], strict=False)]
        facts += [(a, "grandparent", c) for a, c in zip(line, other[1:], strict=False)]
        facts += [pair for a, b in zip(line[1:], other, strict=True) for pair in ((a, "sibling", b), (b, "sibling", a))]
    return np.array(facts)


def by_hand(scorer, h, r, t):
    """The formulas of the papers, of one fact."""
    if scorer == "distmult":
        return (h * r * t).sum()
    if scorer == "transe":
        return -((h + r - t) ** 2).sum()
    if scorer == "bilinear":
        return h @ r.reshape(len(h), len(h)) @ t
    a, b, c = (torch.complex(x[: len(x) // 2], x[len(x) // 2 :]) for x in (h, r, t))
    return (a * b * c.conj()).sum().real


@pytest.mark.parametrize("scorer", SCORERS)
def test_scores_are_those_of_the_formula_from_both_sides(scorer):
    rng = np.random.default_rng(0)
    E, r = rng.normal(size=(5, 6)), rng.normal(size=(1, 36 if scorer == "bilinear" else 6))
    tails, heads = against(scorer, query(scorer, E[:1], r), E), against(scorer, query(scorer, E[1:2], r, True), E)
    at = [torch.tensor(x) for x in (*E, r[0])]
    np.testing.assert_allclose(tails[0], [float(by_hand(scorer, at[0], at[5], at[i])) for i in range(5)], rtol=1e-9)
    np.testing.assert_allclose(heads[0], [float(by_hand(scorer, at[i], at[5], at[1])) for i in range(5)], rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adagrad-row"])
@pytest.mark.parametrize("criterion", ["logistic", "margin"])
@pytest.mark.parametrize("scorer", SCORERS)
def test_a_compiled_step_is_that_of_autograd(scorer, criterion, optimizer):
    """One fact, (0, 0, 1): the two other rows that change are its negatives, one in the tail's place, the other in the head's."""
    n, facts, l2, lr = 40, np.array([[0, 0, 1]]), 0.01, 0.05
    start = np.random.default_rng(1).normal(size=(n, 6)).astype(np.float32)
    settings = {"scorer": scorer, "criterion": criterion, "optimizer": optimizer, "dim": 6, "l2": l2, "margin": 50.0, "epochs": 1}
    relation = torch.tensor(Negatives(**settings, lr=1e-12).fit(facts, n, 1, start=start).relations[0])
    found = Negatives(**settings, lr=lr).fit(facts, n, 1, start=start)
    changed = np.flatnonzero((found.entities != start).any(axis=1)).tolist()
    assert len(changed) == 4 and changed[:2] == [0, 1]
    gaps = []
    for tail, head in (changed[2:], changed[:1:-1]):
        rows = [0, 1, tail, head]
        h, t, wrong_tail, wrong_head, r = own = [torch.tensor(start[row]).requires_grad_() for row in rows] + [
            relation.clone().requires_grad_()
        ]
        right, wrong = by_hand(scorer, h, r, t), [by_hand(scorer, h, r, wrong_tail), by_hand(scorer, wrong_head, r, t)]
        if criterion == "margin":
            loss = sum(torch.relu(50.0 + score - right) for score in wrong)
        else:
            loss = torch.nn.functional.softplus(-right) + sum(torch.nn.functional.softplus(score) for score in wrong)
        loss.backward()
        step = [x.grad + l2 * x.detach() for x in own]
        if optimizer == "adagrad":
            step = [g.sign() for g in step]
        elif optimizer == "adagrad-row":
            step = [g / g.pow(2).mean().sqrt() for g in step]
        after = [(x.detach() - lr * g).numpy() for x, g in zip(own, step, strict=True)]
        gaps.append(max(np.abs(a - b).max() for a, b in zip(after, [*found.entities[rows], found.relations[0]], strict=True)))
    assert min(gaps) < 1e-5, gaps


def test_softmax_learns_by_the_cross_entropy_of_tails_and_by_inverses_of_heads():
    facts = Triples.of(family()).facts
    n, R = int(facts[:, [0, 2]].max()) + 1, 3
    for scorer in SCORERS:
        engine = Softmax(scorer=scorer, dim=8, epochs=1, batch_size=10_000, n3=0, dropout=0, lr=1e-9)
        found = engine.fit(facts, n, R)
        losses = []
        for r, ask, answer in ((found.relations, 0, 2), (found.inverses, 2, 0)):
            scores = against(scorer, query(scorer, found.entities[facts[:, ask]], r[facts[:, 1]]), found.entities)
            losses.append(torch.nn.functional.cross_entropy(torch.tensor(scores), torch.tensor(facts[:, answer]).long()))
        assert found.loss[0] == pytest.approx(float(sum(losses)) / 2, rel=1e-4)


@pytest.mark.parametrize(("loss", "scorer"), [("softmax", one) for one in SCORERS] + [("logistic", "distmult"), ("margin", "transe")])
def test_hidden_facts_of_families_rank_far_above_chance(loss, scorer):
    triples = Triples.of(family(names="abcdefghijkl"))
    hidden = np.flatnonzero(triples.facts[:, 1] == triples.relations.index("sibling"))[::4]
    train = triples.take(np.setdiff1d(np.arange(triples.n_edges), hidden))
    model = DistMult(loss=loss, scorer=scorer, dim=32, epochs=60).fit(train)
    known = Known(triples.facts, len(triples))
    ranked = rank_scores(filtered_ranks(model.scores, triples.facts[hidden], known))
    assert ranked["mrr"] > 0.15, ranked  # by chance: 0.05


def test_negatives_are_no_facts_and_come_from_both_sides():
    """Where all but one pair is a fact, strict negatives are that pair alone, and its score falls; without strict it's one of many."""
    n = 4
    facts = np.array([(h, 0, t) for h in range(n) for t in range(n) if (h, t) != (2, 3)])
    scores = {}
    for strict in (True, False):
        found = Negatives(dim=16, epochs=60, strict=strict, scorer="bilinear", lr=0.1).fit(facts, n, 1)
        table = against("bilinear", query("bilinear", found.entities, np.repeat(found.relations, n, axis=0)), found.entities)
        scores[strict] = table[facts[:, 0], facts[:, 2]].min(), table[2, 3]
    assert scores[True][0] > 0 > scores[True][1]
    assert scores[False][0] < scores[True][0]


def test_one_worker_repeats_itself_and_vectors_of_entities_have_length_one():
    facts = family()
    a, b, c = (DistMult(loss="margin", seed=seed, **QUICK).fit(facts) for seed in (0, 0, 1))
    assert (a.vectors_ == b.vectors_).all() and (a.relation_vectors_ == b.relation_vectors_).all()
    assert not np.allclose(a.vectors_, c.vectors_)
    np.testing.assert_allclose(np.linalg.norm(a.vectors_, axis=1), 1, rtol=1e-5)
    a, b = (DistMult(loss="softmax", **QUICK).fit(facts) for _ in range(2))
    assert (a.vectors_ == b.vectors_).all()
    assert np.isfinite(DistMult(loss="logistic", workers=2, **QUICK).fit(facts).vectors_).all()


def test_few_facts_are_learned_from_by_softmax_and_many_by_negatives(monkeypatch):
    facts = family()
    assert len(DistMult(**QUICK).fit(facts).inverse_vectors_) == 3
    monkeypatch.setattr("unlabeled.methods.knowledge.distmult.SOFTMAX", 10)
    assert len(DistMult(**QUICK).fit(facts).inverse_vectors_) == 0


def test_a_relation_with_one_fact_an_entity_seen_once_loops_and_doubles_are_taken():
    facts = [*family().tolist(), ["once", "only", "a1"], ["a1", "likes", "a1"], ["a0", "parent", "a1"], ["a0", "parent", "a1"]]
    once = [*family().tolist(), ["once", "only", "a1"], ["a1", "likes", "a1"]]
    for loss in ("softmax", "margin", "logistic"):
        model, same = (DistMult(loss=loss, **QUICK).fit(np.array(X)) for X in (facts, once))
        assert (model.vectors_ == same.vectors_).all() and np.isfinite(model.vectors_).all()
        assert model.predict("once", "only", 200)[0][0] != "a1" or len(model.predict("once", "only", 200)) == len(model.entities_) - 1
        assert "a1" not in dict(model.predict("once", "only", 200))
        assert all(np.isfinite(rule.similarity) for rule in model.rules("only"))
    assert DistMult(**QUICK).fit([["a", "r", "b"]]).vectors_.shape == (2, 8)
    assert DistMult(loss="margin", **QUICK).fit([["a", "r", "a"]]).vectors_.shape == (1, 8)


def test_predictions_leave_known_facts_out_and_are_sorted():
    model = DistMult(dim=16, epochs=30).fit(family())
    for asked, side in (({"head": "a0"}, 2), ({"tail": "a1"}, 0)):
        answers = model.predict(**asked, relation="parent", k=1000)
        known = {fact[side] for fact in family() if fact[1] == "parent" and fact[2 - side] == next(iter(asked.values()))}
        assert known and not known & {name for name, _ in answers} and len(answers) == len(model.entities_) - len(known)
        scores = [score for _, score in answers]
        assert scores == sorted(scores, reverse=True)
    name, score = model.predict("a0", "parent", 1)[0]
    assert model.score([["a0", "parent", name]])[0] == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize("any_entity", [False, True])
def test_links_are_the_best_of_all_unknown_facts(any_entity, monkeypatch):
    model = DistMult(dim=8, epochs=10).fit(family(names="abc"))
    monkeypatch.setattr("unlabeled.methods.knowledge.entity_model.CELLS", 40)  # in many pieces
    found = model.predict_links(12, ["parent", "sibling"], any_entity=any_entity)
    every, known = [], {tuple(fact) for fact in model.facts_.tolist()}
    for r in (model.relations_.index(name) for name in ("parent", "sibling")):
        here = model.facts_[model.facts_[:, 1] == r]
        heads, tails = (range(len(model.entities_)),) * 2 if any_entity else (set(here[:, 0].tolist()), set(here[:, 2].tolist()))
        every += [(h, r, t) for h in heads for t in tails if (h, r, t) not in known]
    best = np.sort(model.score(np.array(every)))[::-1][:12]
    np.testing.assert_allclose([fact.score for fact in found], best, rtol=1e-4)
    assert not {(fact.head, fact.relation, fact.tail) for fact in found} & {tuple(fact) for fact in family(names="abc").tolist()}
    assert (
        len(model.predict_links(10**6, ["parent"])) == len(every) - len([e for e in every if e[1] != model.relations_.index("parent")])
        or any_entity
    )


def test_the_rule_of_grandparents_is_found_with_its_confidence():
    model = DistMult(loss="softmax", scorer="transe", dim=32, epochs=80).fit(family())
    rule = {rule.body: rule for rule in model.rules("grandparent", top=4)}["parent", "parent"]
    assert rule.confidence == 1.0 and rule.support == sum(fact[1] == "grandparent" for fact in family())
    assert str(rule).startswith("parent(a, b) and parent(b, c) => grandparent(a, c)")
    assert all(rule.body != (rule.relation,) for rule in model.rules(top=50, overlap=0))
    assert {len(rule.body) for rule in model.rules(top=50, lengths=(1,), overlap=0)} == {1}


def test_confidence_and_fitting_bodies_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    model = DistMult(**QUICK).fit(Triples.of(np.stack([rng.integers(0, 12, 60), rng.integers(0, 4, 60), rng.integers(0, 12, 60)], axis=1)))
    facts = {tuple(fact) for fact in model.facts_.tolist()}
    ends = {r: ({h for h, k, _ in facts if k == r}, {t for _, k, t in facts if k == r}) for r in range(4)}

    def fit(a, b):
        return bool(a & b) and len(a & b) >= 0.6 * min(len(a), len(b))

    rules = model.rules(top=10_000, overlap=0.6)
    wanted = {(r, (b,)) for r in range(4) for b in range(4) if b != r and fit(ends[r][0], ends[b][0]) and fit(ends[b][1], ends[r][1])}
    wanted |= {
        (r, (a, b))
        for r in range(4) for a in range(4) for b in range(4)
        if (a == r) == (b == r) and fit(ends[r][0], ends[a][0]) and fit(ends[a][1], ends[b][0]) and fit(ends[b][1], ends[r][1])
    }  # fmt: skip
    assert {(int(rule.relation), tuple(map(int, rule.body))) for rule in rules} == wanted
    for rule in rules:
        body = [{(h, t) for h, k, t in facts if k == int(b)} for b in rule.body]
        pairs = body[0] if len(body) == 1 else {(a, c) for a, b in body[0] for d, c in body[1] if b == d}
        right = sum((a, int(rule.relation), c) in facts for a, c in pairs)
        assert (rule.support, rule.confidence) == (right, pytest.approx(right / max(len(pairs), 1)))


def test_a_relation_goes_on_by_product_sum_or_matrix():
    v = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    model = {scorer: DistMult(scorer=scorer, dim=4 if scorer == "bilinear" else 16, epochs=1).fit(family(names="a")) for scorer in SCORERS}
    np.testing.assert_allclose(model["distmult"]._composed(v[:1], v[1:]), v[:1] * v[1:])
    np.testing.assert_allclose(model["transe"]._composed(v[:1], v[1:]), v[:1] + v[1:])
    np.testing.assert_allclose(model["bilinear"]._composed(v[:1], v[1:]).reshape(4, 4), v[0].reshape(4, 4) @ v[1].reshape(4, 4), rtol=1e-5)
    a, b = (x[:8] + 1j * x[8:] for x in v)
    np.testing.assert_allclose(model["complex"]._composed(v[:1], v[1:])[0], np.concatenate([(a * b).real, (a * b).imag]), rtol=1e-5)


def test_vectors_come_by_name_and_a_new_entity_has_what_its_facts_ask_for():
    for scorer in ("distmult", "transe"):
        model = DistMult(scorer=scorer, loss="margin", **QUICK).fit(family())
        new = np.array([["stranger", "parent", "a1"], ["a0", "parent", "stranger"], ["x", "nothing", "y"], ["x", "parent", "y"]])
        triples = Triples.of(new)
        found = dict(zip(triples.entities, model.transform(new), strict=True))
        place = {name: row for row, name in enumerate(model.entities_)}
        np.testing.assert_array_equal(found["a1"], model.vectors_[place["a1"]])
        r = model.relation_vectors_[model.relations_.index("parent")]
        a0, a1 = model.vectors_[place["a0"]], model.vectors_[place["a1"]]
        said = r * a1 + a0 * r if scorer == "distmult" else (a1 - r) + (a0 + r)
        np.testing.assert_allclose(found["stranger"], said / np.linalg.norm(said), rtol=1e-4)
        assert not found["x"].any() and not found["y"].any()


def test_what_was_learned_is_kept(tmp_path):
    for given in ({"loss": "softmax", "scorer": "complex"}, {"loss": "margin"}):
        model = DistMult(**given, **QUICK).fit(as_graph_items(family()))
        again = DistMult.load(model.save(tmp_path / given["loss"]))
        for name in ("vectors_", "relation_vectors_", "inverse_vectors_", "facts_"):
            assert (getattr(again, name) == getattr(model, name)).all()
        assert again.predict("a0", "parent", 3) == model.predict("a0", "parent", 3) and again.rules() == model.rules()


def test_entities_may_begin_with_vectors_of_their_own():
    triples, rng = Triples.of(family()), np.random.default_rng(0)
    x = rng.normal(size=(len(triples), 12))
    model = DistMult(loss="softmax", **QUICK).fit(triples, entity_vectors=x)
    A = np.arctanh(np.clip(model.vectors_.astype(np.float64), -1 + 1e-6, 1 - 1e-6))
    far = np.abs(model.vectors_).max(axis=1) < 0.99
    W = np.linalg.lstsq(x[far], A[far], rcond=None)[0]
    assert far.sum() > 20 and np.abs(np.tanh(x[far] @ W) - model.vectors_[far]).max() < 1e-3  # tanh(W x), nothing else
    assert DistMult(loss="margin", dim=12, epochs=1).fit(triples, entity_vectors=x).vectors_.shape == (len(triples), 12)


def test_ranks_are_those_of_brute_force_with_ties_at_their_mean():
    rng = np.random.default_rng(0)
    facts = np.unique(np.stack([rng.integers(0, 9, 50), rng.integers(0, 2, 50), rng.integers(0, 9, 50)], axis=1), axis=0)
    table = rng.integers(0, 4, (9, 2, 9)).astype(np.float32)  # many ties
    test = facts[::3]
    for known in (facts, facts[1::3]):  # what is asked may be known or not
        ranks = filtered_ranks(
            lambda part, heads: table[:, part[:, 1], part[:, 2]].T if heads else table[part[:, 0], part[:, 1]], test, Known(known, 9)
        )
        said = {tuple(fact) for fact in known.tolist()}
        for (h, r, t), row in zip(test.tolist(), ranks, strict=True):
            for heads, rank in zip((False, True), row, strict=True):
                rest = [e for e in range(9) if e != (h if heads else t) and ((e, r, t) if heads else (h, r, e)) not in said]
                scores = [table[e, r, t] if heads else table[h, r, e] for e in rest]
                own = table[h, r, t]
                assert rank == 1 + sum(s > own for s in scores) + sum(s == own for s in scores) / 2
    with pytest.raises(InputError, match="isn't finite"):
        filtered_ranks(lambda part, heads: np.full((len(part), 9), np.nan), test, Known(facts, 9))


def test_facts_that_leak_into_training_are_told():
    rng = np.random.default_rng(0)
    pairs = np.array([(a, b) for a in range(20) for b in range(20) if a != b])
    pairs = pairs[rng.permutation(len(pairs))]
    train = np.concatenate(
        [np.insert(pairs[:40], 1, 0, axis=1), np.insert(pairs[:40, ::-1], 1, 1, axis=1), np.insert(pairs[40:80], 1, 2, axis=1)]
    )
    test = np.array([[*pairs[5, :1], 0, pairs[5, 1]], [pairs[100, 0], 0, pairs[100, 1]], [pairs[45, 1], 2, pairs[45, 0]]])
    found = leaks(train[[row for row in range(len(train)) if row != 5]], test)
    assert (0, 1, True) in found.pairs and not found.same.any() and found.inverse.tolist() == [True, False, False]
    assert leaks(train, test).same.tolist() == [True, False, False]
    with pytest.raises(InputError, match="1 of 3 facts to test on are learned from"):
        check_split(train, test)
    assert not leaks(train, np.zeros((0, 3), int)).pairs


@pytest.mark.parametrize(
    ("settings", "X", "said"),
    [
        ({"dim": 0}, family(), "dim=0"),
        ({"dim": 5, "scorer": "complex"}, family(), "dim=5"),
        ({"scorer": "rotate"}, family(), "scorer='rotate'"),
        ({"loss": "hinge"}, family(), "loss='hinge'"),
        ({"epochs": 1.5}, family(), "epochs=1.5"),
        ({"lr": 0}, family(), "lr=0"),
        ({"dropout": 1}, family(), "dropout=1"),
        ({"n3": float("nan")}, family(), "n3=nan"),
        ({"loss": "margin", "negatives": 0}, family(), "negatives=0"),
        ({"loss": "margin", "lr": 1e30, "dim": 4, "scorer": "transe", "l2": 1e20}, family(), "ran away"),
        ({}, Graph.of([[0, 1]]), "wanted facts"),
        ({}, np.array([["a", "b"]]), "wanted facts, names \\[m, 3\\]"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, X, said):
    with pytest.raises(InputError, match=said) as error:
        DistMult(**settings).fit(X)
    assert "\n" not in str(error.value)


def test_questions_that_have_no_answer_are_refused():
    model = DistMult(**QUICK).fit(family())
    for ask, said in (
        (lambda: model.predict("nobody", "parent"), "no entity is called 'nobody'"),
        (lambda: model.predict("a0", "uncle"), "no relation is called 'uncle'"),
        (lambda: model.predict("a0", "parent", tail="a1"), "either a head or a tail"),
        (lambda: model.predict("a0"), "wanted a relation"),
        (lambda: model.predict("a0", "parent", 0), "k=0"),
        (lambda: model.score([["a0", "parent"]]), "wanted \\[m, 3\\]"),
        (lambda: model.score([["a0", "parent", "nobody"]]), "nobody"),
        (lambda: model.rules("parent", lengths=(3,)), "lengths="),
        (lambda: DistMult(**QUICK).fit(family(), entity_vectors=np.zeros((3, 3))), "entity_vectors"),
    ):
        with pytest.raises(InputError, match=said):
            ask()
