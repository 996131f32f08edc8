"""Clusters by rate reduction (CPP), classes from domains (DDFA), topics from keywords (Lbl2Vec), and the parts they stand on."""

import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError
from unlabeled.evaluate.probes import clustering_scores
from unlabeled.methods.words.tfidf_svd import TfidfSVD
from unlabeled.parts.coding import coding_length, coding_rates
from unlabeled.parts.factorise import extreme_rows, factorise, mixtures
from unlabeled.parts.losses import coding_rate
from unlabeled.tasks.cluster.cpp import CPP, vote
from unlabeled.tasks.cluster.ddfa import DDFA
from unlabeled.tasks.topics.lbl2vec import Lbl2Vec

SMALL_CPP = {"z_dim": 8, "hidden": 16, "steps": 60, "batch_size": 64, "lr": 0.02}


# CPP ------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def subspaces_of_four():
    """Four planes in 20 dimensions, [240, 20], and which a row lies on."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 4
    axes = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    Z = np.zeros((240, 20))
    for c in range(4):
        angle = rng.normal(0, 0.4, (y == c).sum())
        Z[y == c] = np.cos(angle)[:, None] * axes[2 * c] + np.sin(angle)[:, None] * axes[2 * c + 1]
    return (Z + rng.normal(0, 0.03, Z.shape)).astype(np.float32), y


def test_rates_of_many_sets_at_once_are_those_of_one_set_after_the_other():
    generator = torch.Generator().manual_seed(0)
    z, weights = torch.randn(30, 5, generator=generator), torch.rand(7, 30, generator=generator)
    z = torch.nn.functional.normalize(z, dim=1)
    torch.testing.assert_close(coding_rates(z, weights, 0.1), coding_rate(z, 0.1, weights))
    row = weights[3].double().numpy()
    gram = (z.double().numpy() * row[:, None]).T @ z.double().numpy()
    assert float(coding_rates(z, weights, 0.1)[3]) == pytest.approx(
        0.5 * np.linalg.slogdet(np.eye(5) + 5 / (row.sum() * 0.1) * gram)[1], abs=1e-4
    )


def test_the_coding_length_is_its_formula_and_shortest_for_the_true_clusters(subspaces_of_four):
    Z, y = subspaces_of_four
    z = torch.nn.functional.normalize(torch.from_numpy(Z), dim=1)
    expected = 0.0
    for c in range(4):
        part = z[y == c].double().numpy()
        n, d = part.shape
        expected += (n + d) / 2 * np.linalg.slogdet(np.eye(d) + d / (0.1 * n) * part.T @ part)[1] - n * np.log(n / len(z))
    assert coding_length(z, y) == pytest.approx(expected, rel=1e-4)
    assert coding_length(z, y) < coding_length(z, y // 2)
    assert coding_length(z, y) < coding_length(z, np.random.default_rng(0).permutation(y))


def test_cpp_finds_the_subspaces_and_the_number_with_the_shortest_code(subspaces_of_four):
    Z, y = subspaces_of_four
    found = CPP(ks=(2, 3, 4), rank=2, **SMALL_CPP).fit(Z)
    assert found.k_ == 4 and found.lengths_.keys() == {2, 3, 4} and found.lengths_[4] < found.lengths_[3] < found.lengths_[2]
    assert clustering_scores(found.labels_, y)["accuracy"] > 0.95
    assert clustering_scores(found.predict(Z), y)["accuracy"] > 0.9
    assert len(np.unique(found.cut(Z, 2))) == 2
    z = found.transform(Z[:9])
    assert z.dtype == np.float32 and z.shape == (9, 8)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)


def test_without_the_rate_of_all_rows_the_features_of_cpp_collapse(subspaces_of_four):
    Z, _ = subspaces_of_four
    spread = [np.linalg.svd(CPP(k=4, **SMALL_CPP | {"expansion": e}).fit(Z).transform(Z), compute_uv=False) for e in (1.0, 0.0)]
    held = [(s**2 / (s**2).sum())[:2].sum() for s in spread]
    assert held[1] > 0.9 > held[0]


def test_a_word_names_the_cluster_whose_members_it_is_nearest_to_most_often():
    Z = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0) + 0.01
    labels = np.repeat([0, 1, 1], 4)
    names = vote(Z, labels, ["one", "two", "three"], 5 * np.eye(3))
    assert names[0] == ["one"] and set(names[1]) == {"two", "three"}
    with pytest.raises(InputError, match="2 words"):
        vote(Z, labels, ["one", "two"], np.eye(3))


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 300}, {"ks": ()}, {"eps2": 0.0}, {"eta": -1}, {"steps": 0}, {"warm": 2}, {"z_dim": 0}])
def test_cpp_refuses_what_makes_no_sense(wrong, subspaces_of_four):
    with pytest.raises(InputError):
        CPP(**SMALL_CPP | wrong).fit(subspaces_of_four[0])


def test_cpp_survives_constant_and_zero_rows_and_is_repeatable(subspaces_of_four):
    Z = subspaces_of_four[0].astype(np.float64)[:60]
    Z[:20] = 0
    Z[:, 3] = 7
    setting = SMALL_CPP | {"steps": 10, "k": 3}
    first, again = (CPP(**setting).fit(np.asfortranarray(Z)) for _ in range(2))
    assert (first.labels_ == again.labels_).all() and np.isfinite(first.transform(Z)).all()
    assert np.isfinite(CPP(**setting).fit(np.ones((12, 2))).transform(np.ones((2, 2)))).all()


def test_cpp_says_the_same_when_it_was_saved(subspaces_of_four, tmp_path):
    Z = subspaces_of_four[0]
    found = CPP(ks=(2, 4), **SMALL_CPP | {"steps": 5}).fit(Z)
    found.save(tmp_path / "cpp")
    again = CPP.load(tmp_path / "cpp")
    np.testing.assert_allclose(again.transform(Z), found.transform(Z))
    assert (again.predict(Z) == found.predict(Z)).all()


# DDFA -----------------------------------------------------------------------------------------------------------------
def matched(found, true):
    difference = np.abs(found[:, None] - true).mean(axis=2)
    return difference[linear_sum_assignment(difference)].mean()


def shares_and_table(k=4, r=8, cells=24, n=2000, seed=0):
    """Shares of classes [k, r] and a noisy table of cells [cells, r] in which each class has cells of its own."""
    rng = np.random.default_rng(seed)
    A = rng.dirichlet(np.full(cells, 0.3), k).T
    A[:k] = np.eye(k) * 0.4
    A /= A.sum(axis=0)
    B = rng.dirichlet(np.full(k, 0.5), r).T
    return B, np.stack([rng.multinomial(n, column) / n for column in (A @ B).T], axis=1)


def test_the_extreme_rows_are_the_corners():
    corners = np.random.default_rng(0).dirichlet(np.ones(6), 4)
    inside = np.random.default_rng(1).dirichlet(np.ones(4), 50) @ corners
    assert set(extreme_rows(np.vstack([inside, corners]), 4)) == {50, 51, 52, 53}
    with pytest.raises(InputError, match="wanted 5"):
        extreme_rows(np.vstack([inside, corners]), 5)


def test_mixtures_are_the_weights_that_made_the_rows():
    rng = np.random.default_rng(0)
    weights, corners = rng.dirichlet(np.ones(3), 20), rng.dirichlet(np.ones(5), 3)
    np.testing.assert_allclose(mixtures(weights @ corners, corners), weights, atol=1e-6)
    outside = mixtures(np.eye(5), corners)
    assert (outside >= 0).all() and np.allclose(outside.sum(axis=1), 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_table_is_factored_into_the_shares_that_it_was_made_of(seed):
    B, Q = shares_and_table(seed=seed)
    A, found = factorise(Q, 4)
    np.testing.assert_allclose([A.sum(axis=0), found.sum(axis=0)[:4]], 1, rtol=1e-6)
    assert matched(found, B) < 0.03 < 0.1 < matched(np.full_like(B, 1 / 4), B)


@pytest.fixture(scope="module")
def shops():
    """Vectors of three classes, two of which look like two things each, in six shops of different shares."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(6, 5)) * 4
    B = np.array([[0.8, 0.1, 0.1, 0.5, 0.1, 0.3], [0.1, 0.8, 0.1, 0.4, 0.5, 0.1], [0.1, 0.1, 0.8, 0.1, 0.4, 0.6]])
    d = rng.integers(0, 6, 1500)
    y = np.array([rng.choice(3, p=B[:, one]) for one in d])
    Z = kinds[2 * y + rng.integers(0, 2, len(y))] + rng.normal(size=(len(y), 5))
    return Z.astype(np.float32), d, y, B


def test_ddfa_finds_classes_whose_members_look_unlike_and_the_shares(shops):
    Z, d, y, B = shops
    found = DDFA(k=3, options={"epochs": 15}).fit(Z[:1200], d[:1200])
    assert clustering_scores(found.predict(Z[1200:], d[1200:]), y[1200:])["accuracy"] > 0.85
    assert clustering_scores(found.predict(Z[1200:]), y[1200:])["accuracy"] > 0.8
    assert matched(found.mixes_, B) < 0.06 and found.mixes_.shape == (3, 6)
    np.testing.assert_allclose(found.mixes_.sum(axis=0), 1)
    np.testing.assert_allclose(found.predict_proba(Z[:5], d[:5]).sum(axis=1), 1)


def test_without_true_domains_ddfa_finds_nothing(shops):
    Z, d, y, _ = shops
    shuffled = np.random.default_rng(0).permutation(d)
    found = DDFA(k=3, options={"epochs": 5}).fit(Z, shuffled)
    assert clustering_scores(found.predict(Z, shuffled), y)["accuracy"] < 0.55


def test_ddfa_takes_any_classifier_and_takes_its_prior_out(shops):
    Z, d, _, _ = shops
    many = np.concatenate([np.arange(len(Z)), *[np.flatnonzero(d == 0)] * 2])  # the first shop three times as large
    found = DDFA(k=3, discriminator=LogisticRegression()).fit(Z[many], np.array(list("abcdef"))[d[many]])
    assert found.domain_proba(Z).mean(axis=0) == pytest.approx(np.full(6, 1 / 6), abs=0.03)
    assert found.predict(Z[:3], ["a", "b", "f"]).shape == (3,)
    with pytest.raises(InputError, match="LogisticRegression"):
        found.save("/tmp/never-written")


def test_ddfa_reads_pictures_and_texts(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    d = np.where(rng.random(80) < 0.8, y, 1 - y)
    pictures = (rng.random((80, 8, 8, 1)) * 60 + y[:, None, None, None] * 150).astype(np.uint8)
    found = DDFA(k=2, options={"epochs": 6, "lr": 5e-3, "batch_size": 32}).fit(pictures, d)
    assert clustering_scores(found.predict(pictures), y)["accuracy"] > 0.9
    found.save(tmp_path / "ddfa")
    again = DDFA.load(tmp_path / "ddfa")
    np.testing.assert_allclose(again.predict_proba(pictures, d), found.predict_proba(pictures, d), atol=1e-5)
    texts = [("orbit moon" if one else "goal puck") + f" {i % 7}" for i, one in enumerate(y)]
    assert DDFA(k=2, options={"epochs": 2}).fit(texts, d).predict(texts).shape == (80,)


@pytest.mark.parametrize("domains", [np.zeros(1500), np.arange(1500) % 2, np.arange(10), np.full(1500, np.nan), [None] * 1500])
def test_ddfa_refuses_domains_that_tell_nothing(domains, shops):
    with pytest.raises(InputError):
        DDFA(k=3).fit(shops[0], domains)


def test_a_domain_that_was_never_seen_is_refused(shops):
    Z, d, _, _ = shops
    found = DDFA(k=3, discriminator=LogisticRegression()).fit(Z, d)
    with pytest.raises(InputError, match="wanted one of"):
        found.predict(Z[:2], [0, 9])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator", [CPP(k=2, z_dim=4, hidden=4, steps=2), DDFA(k=2, options={"epochs": 1}, cells=6)], ids=["CPP", "DDFA"]
)
def test_scikit_learns_own_checks_pass(estimator):
    check_estimator(estimator)


# Lbl2Vec --------------------------------------------------------------------------------------------------------------
THEMES = {
    "space": "nasa orbit moon rocket shuttle planet star launch mars probe comet satellite".split(),
    "cars": "engine wheel dealer road brake motor tyre sedan fuel gear clutch bumper".split(),
    "ice": "hockey puck goalie rink skate stick playoffs referee penalty slapshot arena zamboni".split(),
}


@pytest.fixture(scope="module")
def documents():
    """Texts of 30 words, most of one theme, the rest of no theme; their themes."""
    rng = np.random.default_rng(0)
    other = [f"word{chr(97 + i)}" for i in range(20)]
    y = np.array(list(THEMES))[rng.integers(0, 3, 300)]
    return [" ".join(rng.choice(THEMES[one] + other[: int(rng.integers(4, 20))], 30)) for one in y], y


@pytest.fixture(scope="module")
def topics(documents):
    return Lbl2Vec(keywords={name: words[:2] for name, words in THEMES.items()}, vector_size=20, min_docs=20).fit(documents[0])


def test_two_keywords_sort_the_documents(topics, documents):
    texts, y = documents
    assert (topics.predict() == y).mean() > 0.9
    assert (y[topics.rank("cars", 20)] == "cars").mean() > 0.9
    scores = topics.decision_function()
    assert scores.shape == (300, 3) and np.abs(scores).max() <= 1 + 1e-5


def test_words_and_documents_share_one_space(topics):
    def unit(X):
        return X / np.linalg.norm(X, axis=1, keepdims=True)

    place = {word: i for i, word in enumerate(topics.vocabulary_)}
    words = unit(topics.word_vectors_)
    cosine = words[[place[word] for name in THEMES for word in THEMES[name]]] @ unit(topics.label_vectors_).T
    assert (cosine.argmax(axis=1) == np.repeat(np.arange(3), 12)).mean() > 0.9


def test_documents_that_were_not_fitted_are_sorted_too(topics, documents):
    new = [" ".join(np.random.default_rng(i).choice(THEMES[one], 15)) for i, one in enumerate(["ice", "space", "cars"] * 5)]
    assert (topics.predict(new) == np.array(["ice", "space", "cars"] * 5)).mean() > 0.9
    before = topics.word_vectors_.copy()
    assert topics.transform(["none of these is known"]).shape == (1, 20) and (topics.word_vectors_ == before).all()


def test_candidates_are_few_enough_many_enough_and_without_outliers(topics):
    few = Lbl2Vec(**topics.get_params() | {"keywords": topics.keywords})
    few.__dict__ |= {name: value for name, value in vars(topics).items() if name.endswith("_")}
    assert few.describe(similarity_threshold=1.0, clean_outliers=False).members_ == [20] * 3
    assert few.describe(similarity_threshold=-1.0, max_docs=30).members_ == [30] * 3
    near = np.linspace(1, 0, 40)
    D = np.tile([[1.0, 0.0]], (40, 1)) + np.random.default_rng(0).normal(0, 0.01, (40, 2))
    D[3] = [-1, 0]
    rows = few.set_params(clean_outliers=True, min_docs=10, max_docs=None, similarity_threshold=0.0)._candidates(D, near)
    assert 3 not in rows and len(rows) > 30


def test_the_encoder_of_a_user_serves_documents_and_keywords(documents, tmp_path):
    texts, y = documents
    keywords = {name: words[:2] for name, words in THEMES.items()}
    found = Lbl2Vec(keywords=keywords, encoder=TfidfSVD(dim=5), min_docs=20).fit(texts)
    assert (found.predict(texts) == y).mean() > 0.9 and (found.predict() == y).mean() > 0.9
    found.save(tmp_path / "lbl")
    assert (Lbl2Vec.load(tmp_path / "lbl").predict(texts) == found.predict(texts)).all()
    vectors = TfidfSVD(dim=5).fit(texts).transform
    assert (Lbl2Vec(keywords=keywords, encoder=vectors, min_docs=20).fit(texts).predict() == found.predict()).all()


def test_lbl2vec_says_the_same_when_it_was_saved(topics, documents, tmp_path):
    topics.save(tmp_path / "lbl")
    again = Lbl2Vec.load(tmp_path / "lbl")
    np.testing.assert_allclose(again.decision_function(documents[0][:5]), topics.decision_function(documents[0][:5]), atol=1e-5)


def test_a_keyword_that_nobody_uses_is_said_and_a_topic_without_any_is_refused(documents):
    setting = {"vector_size": 4, "epochs": 1}
    with pytest.warns(UserWarning, match="zeppelin"):
        Lbl2Vec(keywords={"a": ["nasa", "zeppelin"]}, **setting).fit(documents[0])
    with pytest.raises(InputError, match="zeppelin"):
        Lbl2Vec(keywords={"a": ["zeppelin"]}, **setting).fit(documents[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Lbl2Vec(keywords={"a": ["Nasa orbit"]}, **setting).fit(documents[0]).members_[0] > 0


@pytest.mark.parametrize(
    ("texts", "more"),
    [
        (["nasa"] * 9, {"keywords": {}}),
        (["nasa"] * 9, {"keywords": {"a": "nasa"}}),
        (["nasa"] * 9, {"similarity_threshold": 2.0}),
        (["nasa"] * 9, {"min_docs": 5, "max_docs": 3}),
        ("nasa orbit", {}),
        ([1.0, 2.0], {}),
        (["rare words only"], {}),
    ],
)
def test_lbl2vec_refuses_what_makes_no_sense(texts, more):
    with pytest.raises(InputError):
        Lbl2Vec(**{"keywords": {"a": ["nasa"]}, "vector_size": 4, "epochs": 1} | more).fit(texts)
