"""RAND-WALK's two objectives where the answer is known, its diagnostics by hand, analogies by distance."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import unlabeled as ul
from unlabeled import InputError
from unlabeled.methods.words import randwalk
from unlabeled.methods.words.randwalk import RandWalk, diagnostics
from unlabeled.parts.cooccurrence_counts import Counts


def planted(n=60, dim=4, constant=-1.0, seed=0):
    """Counts whose logarithms are |v + v'|^2 + C of vectors that are given back."""
    V = np.random.default_rng(seed).normal(size=(n, dim)) * 0.8
    return V, np.exp(np.square(V[:, None] + V).sum(axis=2) + constant)


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(f"{'abcd'[k]}{i}" for i in np.minimum(rng.geometric(0.2, 12), 8)) for k in rng.integers(0, 4, 400)]


def test_the_squared_norm_finds_vectors_and_constant_that_made_the_counts():
    V, X = planted()
    model = RandWalk(dim=4, xmax=None, epochs=400, lr=0.1).fit(csr_array(X))
    expected, found = (np.square(v[:, None] + v).sum(axis=2) for v in (V, model.vectors_))
    assert float(model.constant_) == pytest.approx(-1, abs=0.15)
    assert np.abs(found + float(model.constant_) - np.log(X)).mean() < 0.05
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999
    fixed = RandWalk(dim=4, xmax=None, epochs=400, lr=0.1, learn_constant=False).fit(csr_array(X))
    assert float(fixed.constant_) == 0 and fixed.loss_curve_[-1] > 3 * model.loss_curve_[-1]


def test_the_dot_products_of_pmi_are_the_mutual_information():
    rng = np.random.default_rng(0)
    V = rng.normal(size=(50, 3)) * 0.7
    p = rng.gamma(2, 1, 50)
    X = np.exp(V @ V.T) * p[:, None] * p
    model = RandWalk(dim=6, objective="pmi", xmax=None, epochs=400, lr=0.1).fit(csr_array(X))
    pmi = np.log(X * X.sum() / X.sum(axis=1)[:, None] / X.sum(axis=0))
    off = ~np.eye(50, dtype=bool)
    assert np.corrcoef((model.vectors_ @ model.vectors_.T)[off], pmi[off])[0, 1] > 0.95


@pytest.mark.parametrize("objective", ["sn", "pmi"])
def test_the_objective_is_the_papers_target_and_weight_with_each_pair_once(objective, texts, monkeypatch):
    seen = {}

    def caught(counts, cell, **rest):
        seen.update(rest, counts=counts, found=cell(*(counts.cells[name] for name in ("row", "column", "value"))))
        return factorise(counts, cell, **rest)

    factorise = randwalk.factorise
    monkeypatch.setattr(randwalk, "factorise", caught)
    RandWalk(dim=4, objective=objective, xmax=7, epochs=1, min_count=1).fit(texts)
    X, cells = seen["counts"].matrix().toarray(), seen["counts"].cells
    x = X[cells["row"], cells["column"]]
    assert (x == x.round()).all()  # not weighed by distance
    pmi = np.log(x * X.sum() / X.sum(axis=1)[cells["row"]] / X.sum(axis=0)[cells["column"]])
    np.testing.assert_allclose(seen["found"][0], np.log(x) if objective == "sn" else pmi, atol=1e-5)
    np.testing.assert_allclose(seen["found"][1], np.minimum(x, 7))
    assert seen["tied"] and seen["norm"] == (seen["constant"] is not None) == (objective == "sn")


def test_diagnostics_are_their_definitions():
    rng = np.random.default_rng(0)
    V, X = planted(30, 3)
    X = rng.poisson(X * 5).astype(float)
    X = np.triu(X) + np.triu(X, 1).T
    model = RandWalk(dim=3, epochs=20, xmax=None).fit(csr_array(X))
    W = model.vectors_.astype(np.float64)
    found = diagnostics(model, csr_array(X), draws=4000, least=20)
    c = np.random.default_rng(9).normal(size=(4000, 3))
    c *= 4 / np.linalg.norm(W, axis=1).mean() / np.linalg.norm(c, axis=1, keepdims=True)
    Z = np.array([sum(np.exp(w @ one) for w in W) for one in c])
    assert found["Z_cv"] == pytest.approx(Z.std() / Z.mean(), rel=0.1)
    p, length = X.sum(axis=1), np.square(W).sum(axis=1)
    assert found["norm_freq_corr"] == pytest.approx(np.corrcoef(length[p > 0], np.log(p[p > 0]))[0, 1], abs=1e-6)
    pairs = [(i, j) for i in range(30) for j in range(i) if X[i, j] >= 20]
    pmi = [np.log(X[i, j] * X.sum() / p[i] / p[j]) for i, j in pairs]
    assert found["pmi_dot_corr"] == pytest.approx(np.corrcoef([W[i] @ W[j] for i, j in pairs], pmi)[0, 1], abs=1e-5)
    axes = np.linalg.svd(W)[2]
    ends = [np.exp(W @ (s * 4 / np.linalg.norm(W, axis=1).mean() * a)).sum() for a in axes for s in (1, -1)]
    assert found["isotropy"] == pytest.approx(min(ends) / max(ends), rel=1e-6)
    with pytest.raises(InputError, match="30 words"):
        diagnostics(model, csr_array(np.eye(5)))


def test_vectors_that_point_everywhere_have_an_even_partition_function_and_a_cone_has_not():
    rng = np.random.default_rng(0)
    model, counts = RandWalk(dim=50), Counts.of(csr_array(np.ones((400, 400))))
    model.vectors_ = rng.normal(size=(400, 50))
    even = diagnostics(model, counts, draws=300)
    model.vectors_ = model.vectors_ + 1.0
    cone = diagnostics(model, counts, draws=300)
    assert even["Z_cv"] < 0.1 < 0.3 < cone["Z_cv"] and even["isotropy"] > 0.7 > 0.3 > cone["isotropy"]


def test_analogies_go_by_distance_without_the_three_and_relations_are_lines():
    model = RandWalk(dim=2)
    model.vocabulary_ = ["man", "king", "woman", "queen", "far", "near"]
    model.vectors_ = np.array([[0, 0], [0, 2], [1, 0], [1.2, 2.1], [10, 20], [1, 1.0]], np.float32)
    found = model.analogy("man", "king", "woman", 2)
    assert [word for word, _ in found] == ["queen", "near"] and found[0][1] == pytest.approx(-0.05, abs=1e-6)
    direction, singular = model.relation([("man", "king"), ("woman", "queen")])
    assert direction[1] > 0.99 and singular[0] > 10 * singular[1]
    with pytest.raises(InputError, match="'duke'"):
        model.analogy("man", "king", "duke")


def test_what_was_learned_is_kept_and_a_seed_repeats(texts, tmp_path):
    settings = {"dim": 6, "epochs": 5}
    model = ul.RandWalk(**settings).fit(texts)
    again = RandWalk.load(model.save(tmp_path / "m"))
    assert (again.vectors_ == model.vectors_).all() and float(again.constant_) == float(model.constant_) != 0
    assert diagnostics(again, again.count(texts)) == diagnostics(model, model.count(texts))
    assert (RandWalk(**settings).fit(texts).vectors_ == model.vectors_).all()
    assert not np.allclose(RandWalk(**settings, seed=1).fit(texts).vectors_, model.vectors_)
    assert (model.transform(["", "zzz"]) == 0).all() and model.transform(["a1 a1"]).shape == (1, 6)


def test_other_scripts_pictures_and_long_texts_are_taken():
    long = " ".join(f"w{i}" for i in np.random.default_rng(0).integers(0, 30, 100_000))
    model = RandWalk(dim=4, epochs=2, min_count=1).fit(["Привет мир 👩‍👩‍👧‍👦 👍🏽", "東京に行く", "", "alone", long, *["a b"] * 50])
    assert np.isfinite(model.vectors_).all() and "👍🏽" in model and "京" in model


@pytest.mark.parametrize(
    ("settings", "X", "said"),
    [
        ({"objective": "norm"}, ["a b"] * 20, "objective='norm'"),
        ({"dim": 0}, ["a b"] * 20, "dim=0"),
        ({"xmax": 0}, ["a b"] * 20, "xmax=0"),
        ({"epochs": 0}, ["a b"] * 20, "epochs=0"),
        ({"lr": -1}, ["a b"] * 20, "lr=-1"),
        ({"lr": 1e30}, ["a b c"] * 20, "lower lr"),
        ({}, ["a b"] * 5, "min_count=20"),
        ({}, csr_array(np.array([[1.0, 2], [3, 4]])), "symmetric"),
        ({}, csr_array(np.ones((2, 3))), "symmetric"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, X, said):
    with pytest.raises(InputError, match=said) as error:
        RandWalk(**settings).fit(X)
    assert "\n" not in str(error.value)
