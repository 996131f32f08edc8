"""Concepts of vectors and of maps, what they are worth to a head, and the parts they share with the concepts of a detector."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError
from unlabeled.parts.attribution import ATTRIBUTIONS, area, attribute, deletion, insertion, mu_fidelity, shapley
from unlabeled.parts.concepts import ConceptBasis, basis_scores, completeness, learn_basis, left_out, masked_shares, stability, top_patches
from unlabeled.tasks.concepts.directions import concepts
from unlabeled.tasks.concepts.holistic_concepts import ConceptExplainer


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400].astype(np.float32) / 16, y[:400]


@pytest.fixture(scope="module")
def maps():
    rng = np.random.default_rng(0)
    return np.maximum(rng.normal(size=(40, 3, 3, 12)), 0).astype(np.float32), (rng.normal(size=(12, 4)), rng.normal(size=4))


# The basis --------------------------------------------------------------------------------------------------------


def test_nmf_encodes_each_row_by_non_negative_least_squares(digits):
    basis = learn_basis(digits[0], 8, "nmf")
    U = basis.encode(digits[0])
    for a, u in zip(digits[0][:20], U, strict=False):
        np.testing.assert_allclose(u, nnls(np.float64(basis.V), np.float64(a))[0], atol=1e-5)
    assert (basis.V >= 0).all() and (U >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(basis.V, axis=0), 1, atol=1e-5)


def test_pca_is_the_best_basis_of_its_size_and_adds_the_mean_back(digits):
    Z = digits[0] + 3
    basis = learn_basis(Z, 8, "pca")
    _, s, _ = np.linalg.svd(np.float64(Z) - Z.mean(axis=0), full_matrices=False)
    lost = np.square(Z - basis.decode(basis.encode(Z))).sum()
    assert lost == pytest.approx(np.square(s[8:]).sum(), rel=1e-3)


def test_kmeans_gives_each_row_its_nearest_centre(digits):
    basis = learn_basis(digits[0], 8, "kmeans")
    U = basis.encode(digits[0])
    nearest = np.square(digits[0][:, None] - basis.V.T).sum(axis=2).argmin(axis=1)
    assert (U.sum(axis=1) == 1).all() and (U.argmax(axis=1) == nearest).all()


def test_what_is_lost_and_how_sparse_it_is_is_ordered_as_the_paper_says(digits):
    pca, nmf, clusters = (basis_scores(digits[0], learn_basis(digits[0], 8, method)) for method in ("pca", "nmf", "kmeans"))
    assert pca.relative_l2 < nmf.relative_l2 < clusters.relative_l2
    assert pca.sparsity < nmf.sparsity < clusters.sparsity == pytest.approx(7 / 8)
    assert "relative_l2" in nmf.table()


def test_a_basis_that_loses_nothing_is_told_so():
    A = np.random.default_rng(0).random((50, 4)).astype(np.float32)
    found = basis_scores(A, learn_basis(A, 4, "pca"))
    assert found.relative_l2 < 1e-5 and found.wasserstein < 1e-5 and found.off < 1e-3


def test_what_a_concept_adds_is_what_the_error_grows_by_without_it(digits):
    A = digits[0][:30]
    for method in ("nmf", "pca", "kmeans"):
        basis = learn_basis(A, 5, method)
        U = basis.encode(A)
        whole = np.square(A - basis.decode(U)).sum(axis=1)
        for i in range(5):
            without = np.square(A - basis.decode(U * (np.arange(5) != i))).sum(axis=1)
            np.testing.assert_allclose(left_out(A, U, basis)[:, i], without - whole, atol=1e-3)


def test_concepts_that_are_there_are_found_again_in_each_part_and_noise_is_not():
    rng = np.random.default_rng(0)
    real = np.eye(12)[rng.integers(4, size=400)] * rng.uniform(1, 2, (400, 1)) + 0.01 * rng.random((400, 12))
    assert stability(real, 4, "nmf") > 0.99 > stability(rng.random((400, 12)), 4, "nmf")
    assert stability(real, 4, "kmeans") > 0.99
    # Equal variances have no axes, but the space they span is the same.
    assert stability(real, 3, "pca") > stability(rng.normal(size=(400, 12)), 3, "pca")


def test_masked_shares_leave_out_what_points_elsewhere():
    v = torch.tensor([[3.0, 4.0, 0.0]])
    shares, cosine = masked_shares(v, torch.eye(3), 0.7)
    np.testing.assert_allclose(cosine, [[0.6, 0.8, 0]], atol=1e-6)
    np.testing.assert_allclose(shares, [[0, 4 / 4.001, 0]], atol=1e-6)
    basis = ConceptBasis(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "masked", 0.7)
    np.testing.assert_allclose(basis.encode(v.numpy()), shares)


def test_completeness_is_a_share_of_what_is_above_chance():
    assert completeness(0.7, 0.9, 0.5) == pytest.approx(0.5)
    assert completeness(0.9, 0.9, 0.5) == 1 and completeness(0.4, 0.9, 0.5) < 0
    with pytest.raises(InputError, match="0.510"):
        completeness(0.5, 0.51, 0.5)


def test_top_patches_name_each_item_once_with_its_strongest_place():
    U = np.zeros((4, 2, 2, 3))
    U[2, 1, 0, 1], U[2, 1, 1, 1], U[0, 0, 1, 1] = 5, 4, 3
    rows, places, scores = top_patches(U, 1, 2)
    assert rows.tolist() == [2, 0] and places.tolist() == [2, 1] and scores.tolist() == [5, 3]


@pytest.mark.parametrize(
    ("A", "k", "method", "said"),
    [
        (np.full((5, 2), np.nan), 2, "pca", "NaN"),
        (-np.ones((5, 2)), 2, "nmf", "negative"),
        (np.ones((5, 2)), 0, "pca", "k=0"),
        (np.ones((5, 2)), 2, "ica", "method"),
        (np.ones((1, 2)), 1, "pca", "rows"),
    ],
)
def test_what_has_no_concepts_is_refused(A, k, method, said):
    with pytest.raises(InputError, match=said):
        learn_basis(A, k, method)


# Attribution ------------------------------------------------------------------------------------------------------


def test_on_an_affine_score_attributions_are_the_part_itself(maps):
    A, head = maps
    explainer = ConceptExplainer(k=5).fit(A, head=head)
    U = explainer.transform(A)
    exact = U * (np.float64(explainer.concepts_).T @ head[0])[:, 2]
    for name in ("gxi", "ig", "smoothgrad", "occlusion", "shap"):
        np.testing.assert_allclose(explainer.importance(A, 2, name), exact, atol=1e-5)
    for name in ("rise", "sobol"):  # the same order, of the size without a sign
        found, true = explainer.importance(A, 2, name), np.abs(exact) if name == "sobol" else exact
        assert np.corrcoef(found.argsort(axis=1).argsort(axis=1).ravel(), true.argsort(axis=1).argsort(axis=1).ravel())[0, 1] > 0.85
    assert not np.allclose(explainer.importance(A, 2, "random"), exact, atol=0.1)


def test_behind_a_curved_head_they_differ_and_integrated_gradients_still_add_up(maps):
    A, head = maps
    W, b = (torch.tensor(one, dtype=torch.float32) for one in head)
    explainer = ConceptExplainer(k=5).fit(A, head=lambda x: torch.tanh(x.mean(dim=(1, 2)) @ W + b) ** 2)
    u, score = explainer.score_of(A, 1)
    ig, gxi = explainer.importance(A, 1, "ig"), explainer.importance(A, 1, "gxi")
    np.testing.assert_allclose(ig.sum(axis=1), (score(u) - score(u * 0)).detach(), atol=1e-3)
    assert np.abs(ig - gxi).max() > 0.01


def test_the_sobol_index_of_a_product_is_known():
    # s = u1 u2 with masks m1, m2 uniform: V = 1/9 - 1/16, total index of each = E[m2^2] Var(m1) / V = 4/7.
    found = attribute("sobol", lambda u: u[:, 0] * u[:, 1], torch.ones(1, 3, dtype=torch.float64), 0)
    many = ATTRIBUTIONS["sobol"](lambda u: u[:, 0] * u[:, 1], torch.ones(1, 3, dtype=torch.float64), masks=1024)
    np.testing.assert_allclose(many, [[4 / 7, 4 / 7, 0]], atol=0.02)
    assert found[0, 2] == 0


def test_shapley_values_are_those_of_all_orders():
    def game(present):
        return float(3 * present[0] + 2 * present[1] * present[2] + present[0] * present[3])

    exact = np.zeros(4)
    for order in itertools.permutations(range(4)):
        present = np.zeros(4, bool)
        for player in order:
            before = game(present)
            present[player] = True
            exact[player] += (game(present) - before) / math.factorial(4)
    np.testing.assert_allclose(shapley(game, 4, orders=4), exact, atol=1e-9)  # pairs only: an order and its reverse are exact
    assert shapley(game, 4, orders=3, seed=5).sum() == pytest.approx(game(np.ones(4, bool)))


def test_curves_and_fidelity_know_the_true_order(maps):
    A, head = maps
    explainer = ConceptExplainer(k=5).fit(A, head=head)
    u, score = explainer.score_of(A, 0)
    true, noise = (torch.from_numpy(explainer.importance(A, 0, name)).double() for name in ("gxi", "random"))
    down, up = deletion(score, u, true), insertion(score, u, true)
    assert down[0] == pytest.approx(float(score(u).mean())) and down[-1] == pytest.approx(float(score(u * 0).mean()))
    assert (down <= deletion(score, u, noise) + 1e-9).all() and (up >= insertion(score, u, noise) - 1e-9).all()
    assert mu_fidelity(score, u, true) == pytest.approx(1) and abs(mu_fidelity(score, u, noise)) < 0.5
    assert area(torch.tensor([4.0, 3, 2, 1])) == pytest.approx(2.5) and area(torch.tensor([4.0, 1, 1, 1])) == pytest.approx(1.5)


# ConceptExplainer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "kmeans"])
def test_the_explainer_passes_scikit_learns_own_checks(method):
    check_estimator(ConceptExplainer(k=2, method=method))


def test_maps_keep_their_grid_and_a_vector_is_a_map_of_one_place(maps):
    A, head = maps
    explainer = ConceptExplainer(k=5).fit(A, head=head)
    assert explainer.heatmaps(A).shape == (40, 3, 3, 5) and explainer.transform(A).shape == (40, 5)
    np.testing.assert_allclose(explainer.importance(A[:, 0, :1], 1), explainer.importance(A[:, 0, 0], 1), atol=1e-6)
    np.testing.assert_allclose(
        explainer.importance(torch.from_numpy(A), 1), explainer.importance(np.asfortranarray(np.float64(A)), 1), atol=1e-5
    )


def test_without_labels_or_a_head_importance_is_a_share_in_the_reconstruction(digits):
    explainer = ConceptExplainer(k=6, method="pca").fit(digits[0])
    np.testing.assert_allclose(explainer.importance(digits[0]), explainer.transform(digits[0]) ** 2, atol=1e-3)
    with pytest.raises(InputError, match="head"):
        explainer.score_of(digits[0])


def test_a_linear_head_is_learned_from_the_labels_there_are(digits):
    Z, y = digits
    some = np.where(np.arange(400) % 2, y, -1)
    explainer = ConceptExplainer(k=20).fit(Z, some, head="linear")
    said = explainer.logits(torch.from_numpy(Z)).argmax(dim=1).numpy()
    assert (explainer.classes_[said] == y)[::2].mean() > 0.85
    with pytest.raises(InputError, match="labels"):
        ConceptExplainer(k=3).fit(Z, y[:7], head="linear")


def test_strategies_find_two_ways_to_the_same_decision():
    rng = np.random.default_rng(0)
    way = rng.integers(2, size=120)
    Z = np.eye(6)[way * 3] * rng.uniform(1, 2, (120, 1)) + 0.05 * rng.random((120, 6))
    W = np.stack([-np.ones(6), np.ones(6)], axis=1)  # class 1 by either
    found = ConceptExplainer(k=2).fit(Z, head=(W, np.zeros(2))).strategies(Z, np.where(way, 1, 0), n=2, target=1)
    assert len(set(zip(way, found.labels, strict=True))) == 2
    assert sorted(found.prevalence) == pytest.approx(sorted([way.mean(), 1 - way.mean()]))
    assert sorted(found.reliability) == [0, 1] and found.importance.shape == (120, 2) and "counts most" in found.table()


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("cubic", "str"),
        ((np.ones((5, 2)), np.zeros(2)), "5 numbers"),
        ((np.ones((12, 2)), np.zeros(3)), "offsets"),
        (lambda x: x, "pooled"),
        (torch.nn.Linear(12, 2), "eval"),
    ],
)
def test_a_head_that_can_not_be_used_is_refused(head, said, maps):
    with pytest.raises(InputError, match=said):
        ConceptExplainer(k=2).fit(maps[0], head=head)


def test_an_unknown_class_or_attribution_is_refused(maps):
    explainer = ConceptExplainer(k=2).fit(*maps[:1], head=maps[1])
    with pytest.raises(InputError, match="target=4"):
        explainer.importance(maps[0], 4)
    with pytest.raises(InputError, match="guess"):
        explainer.importance(maps[0], 1, "guess")


def test_a_saved_explainer_says_the_same_but_a_function_must_be_given_again(maps, tmp_path):
    A, head = maps
    fitted = ConceptExplainer(k=3).fit(A, head=head)
    fitted.save(tmp_path / "one")
    np.testing.assert_array_equal(ConceptExplainer.load(tmp_path / "one").importance(A, 1), fitted.importance(A, 1))
    function = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 4)).eval()
    fitted = ConceptExplainer(k=3).fit(A, head=function)
    fitted.save(tmp_path / "two")
    loaded = ConceptExplainer.load(tmp_path / "two").with_head(function)
    np.testing.assert_array_equal(loaded.importance(A, 1), fitted.importance(A, 1))


# Without labels ---------------------------------------------------------------------------------------------------


def test_planted_directions_are_found_with_their_items():
    rng = np.random.default_rng(0)
    kind = rng.choice(3, size=300, p=[0.6, 0.3, 0.1])
    for sign in (1, -1):  # NMF and, below zero, k-means
        found = concepts(sign * (np.eye(8)[kind] + 0.02 * rng.random((300, 8))), 3)
        assert found.basis.method == ("nmf" if sign == 1 else "kmeans")
        for i in range(3):  # the most frequent is the most important
            assert (kind[found.typical(i, 10)] == i).all()
        assert (np.diff(found.importance) <= 0).all() and found.unexplained < 0.05
        assert len(found.table().splitlines()) == 5


@pytest.mark.parametrize("method", ["pca", "kmeans"])
def test_importances_and_the_rest_are_everything(method, digits):
    found = concepts(digits[0], 7, method)
    assert found.importance.sum() + found.unexplained == pytest.approx(1, abs=1e-3)


def test_rows_that_are_all_alike_or_zero_have_no_concept_that_is_not_a_number():
    for Z in (np.zeros((6, 4)), np.ones((6, 4)), -np.ones((6, 4), np.float16)):
        for method in ("auto", "pca", "kmeans"):
            found = concepts(Z, 2, method)
            assert np.isfinite(found.scores).all() and np.isfinite(found.importance).all()


def test_a_memory_map_gives_what_the_array_gives(digits, tmp_path):
    np.save(tmp_path / "Z.npy", digits[0])
    np.testing.assert_array_equal(concepts(np.load(tmp_path / "Z.npy", mmap_mode="r"), 4).scores, concepts(digits[0], 4).scores)
