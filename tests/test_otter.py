"""Graph convolutions with relations against a loop, the scores by hand, new entities, and what molecules and affinities are read as."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from unlabeled import InputError
from unlabeled.data.graphs import Triples
from unlabeled.encoders.rgcn import RGCNLayer, relation_matrix
from unlabeled.methods.knowledge.otter import SCORES, MultimodalKG, Otter
from unlabeled.parts.affinity import AffinityRegressor, affinity_scores, concordance
from unlabeled.parts.corrupted_facts import Corruption
from unlabeled.parts.molecules import composition, gram_bits, gram_counts, tanimoto
from unlabeled.saving import load_model

IMATINIB = "CC1=C(C=C(C=C1)NC(=O)C2=CC=C(C=C2)CN3CCN(CC3)C)NC4=NC=CC(=N4)C5=CN=CC=C5"
AROMATIC = "Cc1ccc(cc1Nc2nccc(n2)c3cccnc3)NC(=O)c4ccc(cc4)CN5CCN(CC5)C"  # the same molecule, written by other rules
FACTS = np.array([[0, 0, 1], [2, 0, 1], [0, 1, 3], [1, 1, 3], [3, 1, 3], [0, 0, 1]])  # a self-loop and a double among them
SMALL = {"dim": 8, "hidden": 16, "steps": 60, "sampled": 256, "lr": 0.02}


def world(seed=0, drugs=30, proteins=12):
    """Drugs of three kinds and proteins of three; a drug binds those of its kind strongly and those of the next weakly."""
    rng = np.random.default_rng(seed)
    kind, own = rng.integers(3, size=drugs), np.arange(proteins) % 3
    facts = [
        (f"d{i}", ("strong", "weak")[int(own[j] != kind[i])], f"p{j}")
        for i in range(drugs)
        for j in range(proteins)
        if own[j] != (kind[i] + 2) % 3
    ]
    x = {f"d{i}": np.eye(3)[kind[i]] + 0.1 * rng.normal(size=3) for i in range(drugs)}
    y = {f"p{j}": np.eye(4)[own[j]] + 0.1 * rng.normal(size=4) for j in range(proteins)}
    return MultimodalKG(Triples.of(np.array(facts)), {"smiles": x, "sequence": y})


@pytest.fixture(scope="module", params=SCORES)
def fitted(request):
    return Otter(score=request.param, **SMALL).fit(world())


@pytest.mark.parametrize("bases", [0, 2])
def test_a_layer_is_the_sum_over_relations_of_the_neighbours_mean(bases):
    torch.manual_seed(0)
    layer, h = RGCNLayer(3, 5, relations=4, bases=bases), torch.randn(6, 3, dtype=torch.float32)
    h[5] = 0
    out = layer(h, relation_matrix(FACTS, 6, 4))
    W = layer.bases if not bases else sum(layer.mixture[:, b, None, None] * layer.bases[b] for b in range(bases))
    for i in range(6):
        expected = h[i] @ layer.own
        for r in range(4):
            heard = sorted({int(head) for head, relation, tail in FACTS if (relation, tail) == (r, i)})
            if heard:
                expected = expected + h[heard].mean(dim=0) @ W[r]
        torch.testing.assert_close(out[i], expected, atol=1e-5, rtol=1e-4)
    assert (out[5] == 0).all()  # it has nothing and hears nothing


def test_the_gradient_of_a_layer_is_that_of_finite_differences():
    torch.manual_seed(0)
    layer, h, matrix = RGCNLayer(2, 2, relations=2, bases=1), torch.randn(4, 2), relation_matrix(FACTS, 4, 2)
    h.requires_grad_()
    (layer(h, matrix).square()).sum().backward()
    for place in ((0, 0), (2, 1), (3, 0)):
        with torch.no_grad():
            up, down = h.clone(), h.clone()
            up[place] += 1e-2
            down[place] -= 1e-2
            slope = (layer(up, matrix).square().sum() - layer(down, matrix).square().sum()) / 2e-2
        assert float(h.grad[place]) == pytest.approx(float(slope), rel=2e-2, abs=1e-3)


def test_a_graph_without_facts_is_all_zeros():
    assert relation_matrix(np.zeros((0, 3), np.int64), 4, 2).values().numel() == 0
    assert relation_matrix(np.zeros((0, 3), np.int64), 4, 2).shape == (4, 8)


def test_many_relations_cost_a_mixture_each_not_a_matrix():
    few, many = (sum(p.numel() for p in RGCNLayer(16, 16, relations=r, bases=4).parameters()) for r in (10, 100))
    assert many - few == 90 * 4


def test_scores_are_those_of_their_formulas(fitted):
    z, facts = torch.from_numpy(fitted.vectors_), np.array([[0, 0, 35], [4, 1, 31]])
    said = fitted.score_facts(facts)
    for (h, r, t), one in zip(facts, said, strict=True):
        if fitted.score == "classifier":
            expected = fitted.net_.head(torch.cat([z[h], z[t]]))[r]
        else:
            w = fitted.net_.relations.weight[r]
            expected = (z[h] * w * z[t]).sum() if fitted.score == "distmult" else fitted.margin - (z[h] + w - z[t]).abs().sum()
        assert one == pytest.approx(float(expected.detach()), abs=1e-4)


def test_what_is_strong_is_told_from_what_is_no_fact_of_new_drugs_too(fitted):
    assert fitted.loss_curve_[-1] < 0.8 * fitted.loss_curve_[0]
    proteins = fitted.encode({"sequence": np.eye(4)[np.arange(3)]})
    drugs = fitted.encode({"smiles": np.eye(3)})
    z = np.concatenate([drugs, proteins])
    strong = fitted.relations_.index("strong")
    score = np.array([[fitted.score_facts(np.array([[d, strong, 3 + p]]), z)[0] for p in range(3)] for d in range(3)])
    if fitted.score == "classifier" or fitted.score == "distmult":
        assert (score.argmax(axis=1) == np.arange(3)).all(), score
    assert np.diag(score).mean() > score[~np.eye(3, dtype=bool)].mean() + 0.5


def test_a_new_entity_gets_what_a_known_one_without_facts_gets_and_without_data_zeros(fitted):
    kg = world()
    alone = MultimodalKG(Triples.of([[0, 0, 1]], ["a", "b", "c"], fitted.relations_), {"smiles": {"c": kg.modalities["smiles"]["d3"]}})
    new = fitted.encode({"smiles": np.stack([kg.modalities["smiles"]["d3"], np.full(3, np.nan)])})
    np.testing.assert_allclose(new[0], fitted.transform(alone)[2], atol=1e-5)
    assert (new[1] == 0).all() and np.abs(new[0]).sum() > 0


def test_relations_are_known_by_name_in_whatever_order_a_graph_has_them(fitted):
    kg = world()
    turned = Triples(kg.triples.facts * [1, -1, 1] + [0, 1, 0], kg.triples.entities, kg.triples.relations[::-1])
    np.testing.assert_allclose(fitted.transform(MultimodalKG(turned, kg.modalities)), fitted.vectors_, atol=1e-5)


def test_a_seed_repeats_and_what_was_learned_is_kept(fitted, tmp_path):
    again = load_model(fitted.save(tmp_path / "m"))
    assert again.get_params() == fitted.get_params() and again.entities_ == fitted.entities_
    x = {"smiles": np.random.default_rng(0).normal(size=(5, 3))}
    assert (again.encode(x) == fitted.encode(x)).all() and (again.vectors_ == fitted.vectors_).all()
    one, other = (clone(fitted).set_params(steps=3, seed=s).fit(world()).vectors_ for s in (5, 6))
    assert (clone(fitted).set_params(steps=3, seed=5).fit(world()).vectors_ == one).all() and not np.allclose(one, other)


def test_corrupted_facts_keep_their_relation_and_one_end_are_no_facts_and_are_of_the_right_kind():
    rng = np.random.default_rng(0)
    facts = world().triples.facts.astype(np.int64)
    n, relations = 42, 2
    corrupt, known = Corruption(facts, n, relations), set(map(tuple, facts.tolist()))
    for fact in facts[:40]:
        wrong = corrupt(np.repeat(fact[None], 30, axis=0), rng)
        assert len(wrong) > 20 and (wrong[:, 1] == fact[1]).all() and ((wrong == fact).sum(axis=1) == 2).all()
        assert {0, 2} == set(np.nonzero(wrong != fact)[1].tolist())  # heads and tails
    wrong = corrupt(np.repeat(facts, 3, axis=0), rng)
    assert not any(tuple(one) in known for one in wrong.tolist())
    assert set(wrong[:, 0]) <= set(facts[:, 0]) and set(wrong[:, 2]) <= set(facts[:, 2])
    alone = np.array([[0, 0, 1]])
    assert Corruption(alone, 2, 1)(alone, rng).shape == (0, 3)  # nothing else has the relation


def test_a_molecule_has_one_composition_however_it_is_written():
    for other in (AROMATIC, IMATINIB + ".CS(=O)(=O)O", "[Na+]." + AROMATIC, AROMATIC.replace("N5CCN(CC5)C", "[NH+]%10CCN(CC%10)C")):
        assert composition(other) == composition(IMATINIB) == (("C", 29), ("N", 7), ("O", 1), ("rings", 5))
    assert composition("C[C@@H](N)C(=O)[O-]") == (("C", 3), ("N", 1), ("O", 2))
    assert dict(composition("Clc1ccc(Br)cc1[Si](C)(C)C"))["Cl"] == 1


def test_runs_of_letters_are_counted_and_what_shares_them_is_alike():
    bits = gram_bits(["CCCO", "CCCO", "NNNN", ""], 3, 4, 512)
    assert bits.sum(axis=1).tolist() == [3, 3, 2, 0] and tanimoto(bits)[0, 1:].tolist() == [1, 0, 0]
    counts = gram_counts(["AAAAA", "AAAB", ""], 3, 4096)
    assert np.sort(counts[0])[-2:].tolist() == [0, 1] and (counts[2] == 0).all()
    assert counts[0] @ counts[1] == pytest.approx(0.5**0.5)


def test_concordance_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    y, said = rng.integers(5, size=60), rng.integers(6, size=60) / 3
    pairs = [(a, b) for a in range(60) for b in range(60) if y[a] > y[b]]
    share = np.mean([(said[a] > said[b]) + (said[a] == said[b]) / 2 for a, b in pairs])
    assert concordance(y, said) == pytest.approx(share)
    assert concordance(y, y) == 1 and np.isnan(concordance(np.ones(3), np.arange(3)))
    assert affinity_scores(y, np.ones(60)) == {"pearson": 0.0, "ci": 0.5, "mse": pytest.approx(np.mean((y - 1) ** 2))}


def test_affinities_of_pairs_are_learned_and_foretold_for_a_new_partner():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(60, 3)), rng.normal(size=(20, 3))
    y = left @ right.T
    pairs = np.argwhere(np.ones_like(y))
    new = pairs[:, 0] >= 50
    model = AffinityRegressor(epochs=60, dropout=0.0, batch_size=128, lr=3e-3).fit(
        left, right, pairs[~new], y[pairs[~new, 0], pairs[~new, 1]]
    )
    said = model.predict(left, right, pairs[new])
    assert affinity_scores(y[50:].ravel(), said)["pearson"] > 0.9
    one = AffinityRegressor(epochs=1).fit(left, right, pairs, y.ravel()).predict(left, right, pairs)
    assert (AffinityRegressor(epochs=1).fit(left, right, pairs, y.ravel()).predict(left, right, pairs) == one).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"score": "rotate"}, "score='rotate'"),
        ({"dim": 0}, "dim=0"),
        ({"bases": -1}, "bases=-1"),
        ({"alone": 1.5}, "alone=1.5"),
        ({"lr": 0}, "lr=0"),
        ({"negatives": 0}, "negatives=0"),
    ],
)
def test_bad_values_are_said_in_one_line(settings, said):
    with pytest.raises(InputError, match=said):
        Otter(**settings).fit(world())


def test_mistakes_in_data_are_said_in_one_line(fitted):
    triples = world().triples
    for modalities, said in (
        ({"smiles": {"d0": [1.0], "d1": [1.0, 2.0]}}, "one length"),
        ({"smiles": {"d0": [np.nan]}}, "finite"),
        ({"smiles": {"nobody": [1.0]}}, "'nobody'"),
        ({"smiles": {}}, "one length"),
    ):
        with pytest.raises(InputError, match=said):
            MultimodalKG(triples, modalities)
    with pytest.raises(InputError, match="carry something"):
        Otter().fit(MultimodalKG(triples, {}))
    with pytest.raises(InputError, match="MultimodalKG"):
        Otter().fit(triples)
    for new, said in (
        ({"smiles": np.ones((2, 5))}, "5 numbers"),
        ({"odour": np.ones((2, 3))}, "'odour'"),
        ({"smiles": np.ones(3)}, "same n"),
    ):
        with pytest.raises(InputError, match=said):
            fitted.encode(new)
    with pytest.raises(InputError, match="'eats'"):
        fitted.transform(MultimodalKG(Triples.of(np.array([["a", "eats", "b"]])), {}))
    for left, pairs, y in (
        (np.ones((2, 3)), [[0, 5]], [1.0]),
        (np.full((2, 3), np.nan), [[0, 0]], [1.0]),
        (np.ones((2, 3)), [[0, 0]], [1.0, 2.0]),
    ):
        with pytest.raises(InputError):
            AffinityRegressor().fit(left, np.ones((2, 3)), pairs, y)
    with pytest.raises(InputError, match="text 1"):
        gram_bits(["CC", None], 3, 4)
