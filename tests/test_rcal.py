"""RCAL: wrong labels and rare classes, and the pieces it is made of."""

import warnings

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError
from unlabeled.parts.label_noise import noisy_labels
from unlabeled.tasks.noisy_labels.rcal import RCAL, borrowed, class_gaussians, inliers

SIZES = [300, 200, 40, 12]


def sample(sizes, seed=0, d=12):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    return (rng.normal(size=(len(y), d)) + 2.5 * np.eye(len(sizes), d)[y]).astype(np.float32), y


@pytest.fixture(scope="module")
def data():
    Z, y = sample(SIZES)
    return Z, y, noisy_labels(y, 0.3, targets="mix", seed=0)[0], *sample([150] * 4, seed=1)


@pytest.mark.filterwarnings("ignore:y holds -1 and 1 only")
@pytest.mark.parametrize("frozen", [False, True])
def test_it_passes_scikit_learns_own_checks(frozen):
    check_estimator(RCAL(epochs=4, hidden=8, lr=0.02, frozen=frozen))


def test_outliers_are_those_with_the_largest_factor_as_counted_by_hand():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    X[7] = 9
    k = 4
    distance, near = NearestNeighbors(n_neighbors=k).fit(X).kneighbors()
    reach = np.maximum(distance, distance[near, -1])  # reachability of each neighbour
    density = 1 / reach.mean(axis=1)
    factor = density[near].mean(axis=1) / density
    kept = inliers(X, np.zeros(30, int), k, 0.2)
    assert set(np.flatnonzero(~kept)) == set(np.argsort(-factor)[:6]) and not kept[7]


def test_a_class_too_small_to_have_outliers_keeps_all():
    X = np.random.default_rng(0).normal(size=(24, 2))
    assert inliers(X, np.repeat([0, 1], [20, 4]), 20, 0.5)[20:].all()
    assert inliers(X, np.repeat([0, 1], [20, 4]), 20, 0.5)[:20].sum() == 10


def test_gaussians_are_numpys_and_a_single_row_has_no_spread():
    X = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    labels = np.repeat([0, 1], [20, 1])
    means, covariances, sizes = class_gaussians(X, labels, 2)
    np.testing.assert_allclose(covariances[0], np.cov(X[:20].T), rtol=1e-5)
    np.testing.assert_allclose(means[1], X[20])
    assert (covariances[1] == 0).all() and sizes.tolist() == [20, 1]


def test_a_rare_class_borrows_from_its_nearest_frequent_ones_in_proportion_to_their_rows_over_their_distance():
    means = np.array([[0, 0], [4, 0], [90, 0], [1, 0]], np.float32)
    covariances = np.stack([np.eye(2) * s for s in (1, 2, 50, 9)]).astype(np.float32)
    sizes = np.array([100, 300, 100, 2])
    found, spread = borrowed(means, covariances, sizes, tail=0.1, q=2, gamma=0.5)
    w = np.array([100 / 1, 300 / 3])
    w = w / w.sum()
    np.testing.assert_allclose(found[3], 0.5 * w @ means[:2] + 0.5 * means[3])
    np.testing.assert_allclose(spread[3], np.eye(2) * (w @ [1, 2]))
    np.testing.assert_array_equal(found[:3], means[:3])
    assert means[3, 0] == 1  # what was given is not written into
    np.testing.assert_allclose(borrowed(means, covariances, sizes * [1, 1, 1, 3], tail=0.1, q=2, gamma=0.5)[1][3], np.eye(2) * 5.25)


@pytest.mark.parametrize("more", [{"q": 0, "tail": 0.9}, {"q": 3, "tail": 0.0}])
def test_without_givers_or_takers_nothing_is_borrowed(more):
    means, covariances = np.eye(3, dtype=np.float32), np.ones((3, 3, 3), np.float32)
    assert borrowed(means, covariances, np.array([9, 5, 1]), gamma=0.5, **more)[0] is means


def test_rare_classes_are_served_where_plain_training_forgets_them(data):
    Z, _, noisy, Z_test, y_test = data
    settings = {"epochs": 15, "hidden": 16, "lr": 1e-2}
    full, plain = RCAL(**settings).fit(Z, noisy), RCAL(**settings, sampling=False).fit(Z, noisy)
    rare = y_test >= 2
    assert (full.predict(Z_test) == y_test)[rare].mean() > (plain.predict(Z_test) == y_test)[rare].mean() + 0.2
    assert (full.predict(Z_test) == y_test).mean() > (plain.predict(Z_test) == y_test).mean() + 0.02


def test_the_anchor_holds_the_vectors_near_where_they_were(data):
    Z, _, noisy, *_ = data
    moved = []
    for beta in (0.0, 20.0):
        model = RCAL(epochs=5, hidden=16, lr=1e-2, beta=beta).fit(Z, noisy)
        plain = class_gaussians(model._placed(Z)[model.inlier_], noisy[model.inlier_], 4)[0]
        moved.append(np.abs(model.gaussians_["means"][0] - plain[0]).mean())
    assert moved[0] > 3 * moved[1]


def test_a_class_whose_labels_are_mostly_wrong_is_reported(data):
    Z, y, noisy, *_ = data
    crowded = y.copy()
    crowded[np.flatnonzero(y == 0)[:60]] = 3  # 60 wrong among 72
    settings = {"epochs": 1, "frozen": True, "contamination": 0.0}
    assert RCAL(**settings).fit(Z, crowded).doubtful_[3] > RCAL(**settings).fit(Z, y).doubtful_[3]
    assert RCAL(**settings).fit(Z, y).doubtful_.max() < 0.25


def test_rows_without_a_label_are_left_out_and_names_come_back(data):
    Z, y, *_ = data
    names = np.array(["a", "b", "c", "d"], dtype=object)[y]
    names[::5] = ""
    there = names != ""
    # Their vectors still say how the columns are scaled.
    model = RCAL(epochs=2).fit(Z, names)
    assert not model.inlier_[~there].any() and set(model.predict(Z)) <= {"a", "b", "c", "d"}


def test_seeds_repeat_and_leave_the_global_generators_alone(data):
    import torch

    Z, y, *_ = data
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (RCAL(epochs=2, seed=s).fit(Z, y).predict_proba(Z) for s in (1, 1, 2))
    assert (first == again).all() and (first != other).any() and (torch.random.get_rng_state() == before).all()


def test_saved_it_says_the_same(data, tmp_path):
    Z, y, *_ = data
    model = RCAL(epochs=2, hidden=8).fit(Z, np.array(["a", "b", "c", "d"])[y])
    model.save(tmp_path / "m")
    loaded = RCAL.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict_proba(Z), model.predict_proba(Z))
    assert loaded.doubtful_.tolist() == model.doubtful_.tolist()


def test_hard_input_is_taken_without_a_warning():
    rng = np.random.default_rng(0)
    Z = np.abs(rng.normal(size=(40, 6))).astype(np.float16)  # as after a ReLU
    Z[:, 2], Z[:9] = 3, 0  # a constant column, rows of zeros
    y = np.repeat([0, 1, 2], [30, 9, 1])  # a class with one example
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = RCAL(epochs=2, hidden=4).fit(Z[::-1], y)
    assert np.isfinite(model.predict_proba(Z)).all() and model.root_
    assert np.isfinite(model.predict_proba(-Z.astype(np.float64))).all()  # and below zero, which training never saw


@pytest.mark.parametrize(
    "wrong",
    [{"lof_k": 0}, {"contamination": 1.0}, {"q": -1}, {"gamma": 2}, {"beta": -1}, {"shrink": 0}, {"lr": 0}, {"epochs": 1.5}, {"tail": -1}],
)
def test_parameters_that_make_no_sense_are_named(wrong, data):
    with pytest.raises(InputError, match=next(iter(wrong))):
        RCAL(**wrong).fit(data[0], data[1])
