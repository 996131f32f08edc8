"""Scores that tell strange items, and the concepts in which a detector's decision can be retold."""

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError
from unlabeled.parts.concepts import top_patches
from unlabeled.tasks.ood.detectors import KNNDistance, Mahalanobis, energy, max_softmax
from unlabeled.tasks.ood.ood_concepts import OODConcepts, scatter_ratio

QUICK = {"m": 8, "hidden": 32, "epochs": 30, "batch_size": 32, "separation": 3.0}


@pytest.fixture(scope="module")
def world():
    """Three classes along three axes, auxiliary items and others to judge along a fourth; maps of four places."""
    rng = np.random.default_rng(0)

    def draw(axis):
        places = np.eye(8)[axis][:, None] * rng.uniform(0.5, 2, (len(axis), 4, 1))
        return np.maximum(places + 0.1 * rng.normal(size=(len(axis), 4, 8)), 0).astype(np.float32)

    y, y_test = rng.integers(3, size=300), rng.integers(3, size=150)
    W = 4 * np.eye(8)[:, :3]
    return draw(y), y, draw(y_test), y_test, draw(np.full(150, 3)), draw(np.full(150, 3)), (W, np.zeros(3))


@pytest.fixture(scope="module")
def told(world):
    return OODConcepts(**QUICK).fit(world[0], world[1], Z_ood=world[4], head=world[6])


# Scores -----------------------------------------------------------------------------------------------------------


def test_scores_of_logits_are_their_closed_forms():
    logits = np.random.default_rng(0).normal(size=(20, 5)) * 3
    e = np.exp(logits)
    np.testing.assert_allclose(max_softmax(logits), (e / e.sum(axis=1, keepdims=True)).max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(energy(logits), np.log(e.sum(axis=1)), rtol=1e-5)
    np.testing.assert_allclose(energy(logits, 2), 2 * np.log(np.exp(logits / 2).sum(axis=1)), rtol=1e-5)
    assert np.isfinite(energy(logits * 1e6)).all()
    x = torch.tensor(logits, requires_grad=True)
    energy(x).sum().backward()
    np.testing.assert_allclose(x.grad, e / e.sum(axis=1, keepdims=True), atol=1e-6)  # the gradient of the energy is the softmax


def test_mahalanobis_is_the_distance_to_the_nearest_mean_under_the_shared_covariance():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    Z = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)) + 5 * np.eye(4)[y]
    means = np.stack([Z[y == c].mean(axis=0) for c in range(3)])
    shared = EmpiricalCovariance(assume_centered=True).fit(Z - means[y])
    true = -np.min([shared.mahalanobis(Z - mean) for mean in means], axis=0)
    names = np.array(["a", "b", "c"])[y].astype(object)
    names[:5], some = "", np.where(np.arange(200) < 5, -1, y)
    np.testing.assert_allclose(Mahalanobis().fit(Z, y).score_samples(Z), true, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(Mahalanobis().fit(Z, names).score_samples(Z), Mahalanobis().fit(Z, some).score_samples(Z))
    np.testing.assert_allclose(Mahalanobis().fit(Z).score_samples(Z), -EmpiricalCovariance().fit(Z).mahalanobis(Z), rtol=1e-3, atol=1e-4)


def test_a_stray_item_is_found_where_the_training_data_do_not_vary():
    Z = np.zeros((50, 3))
    Z[:, 0] = np.arange(50)
    found = Mahalanobis().fit(Z).score_samples([[60.0, 0, 0], [25.0, 1, 0]])
    assert found[1] < found[0]
    assert Mahalanobis().fit(np.ones((5, 3))).score_samples([[2.0, 1, 1]]) == pytest.approx(-1)


def test_knn_distance_is_that_to_the_kth_nearest_unit_vector():
    rng = np.random.default_rng(0)
    Z, Q = rng.normal(size=(80, 6)), rng.normal(size=(10, 6))
    unit, asked = (X / np.linalg.norm(X, axis=1, keepdims=True) for X in (Z, Q))
    true = -np.sort(np.linalg.norm(asked[:, None] - unit, axis=2), axis=1)[:, 4]
    np.testing.assert_allclose(KNNDistance(k=5).fit(Z).score_samples(Q), true, atol=1e-4)
    np.testing.assert_allclose(KNNDistance(k=5).fit(9 * Z).score_samples(Q / 7), true, atol=1e-4)  # lengths don't count
    assert KNNDistance(k=500).fit(Z).score_samples(Q[:1]) == pytest.approx(-np.linalg.norm(asked[0] - unit, axis=1).max(), abs=1e-4)


@pytest.mark.parametrize("detector", [Mahalanobis(), KNNDistance(k=3)])
def test_detectors_pass_scikit_learns_own_checks(detector):
    check_estimator(detector)


def test_a_saved_detector_says_the_same(tmp_path, world):
    Z = world[0].mean(axis=1)
    for detector in (Mahalanobis().fit(Z, world[1]), KNNDistance().fit(Z)):
        detector.save(tmp_path / type(detector).__name__)
        loaded = type(detector).load(tmp_path / type(detector).__name__)
        np.testing.assert_array_equal(loaded.score_samples(Z), detector.score_samples(Z))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: max_softmax(np.array([[1, np.nan]])),
        lambda: energy(np.ones((2, 2)), 0),
        lambda: energy(np.ones(3)),
        lambda: Mahalanobis().fit(np.ones((4, 2)), [0, 1]),
        lambda: Mahalanobis().fit(np.ones((4, 2)), [-1] * 4),
        lambda: Mahalanobis(ridge=0).fit(np.ones((4, 2))),
        lambda: KNNDistance(k=0).fit(np.ones((4, 2))),
    ],
)
def test_what_can_not_be_scored_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()


# Concepts ---------------------------------------------------------------------------------------------------------


def test_the_scatter_ratio_is_fishers():
    rng = np.random.default_rng(0)
    u, like = rng.normal(size=(60, 3)), np.arange(60) < 40
    u[like] += [1, 0, 2]
    means, overall = [u[like].mean(axis=0), u[~like].mean(axis=0)], u.mean(axis=0)
    within = sum((u[group] - mean).T @ (u[group] - mean) for group, mean in zip((like, ~like), means, strict=True)) / 60
    between = sum(group.sum() * np.outer(mean - overall, mean - overall) for group, mean in zip((like, ~like), means, strict=True)) / 60
    found = scatter_ratio(torch.from_numpy(u), torch.from_numpy(like), ridge=0)
    assert float(found) == pytest.approx(np.trace(np.linalg.solve(within, between)))
    assert scatter_ratio(torch.from_numpy(u), torch.ones(60, dtype=torch.bool)) == 0
    assert torch.isfinite(scatter_ratio(torch.ones(60, 3), torch.from_numpy(like)))  # S_w is singular


def test_concepts_retell_a_detector_and_a_classifier(told, world):
    found = told.completeness(world[2], world[5], world[3])
    assert found.auroc > 0.95 and found.detection > 0.8 and found.classification > 0.95
    truth = np.repeat([1, 0], 150)
    again = roc_auc_score(truth, np.concatenate([told.score_samples(Z) for Z in (world[2], world[5])]))
    assert found.detection == pytest.approx((again - 0.5) / (found.auroc - 0.5))
    original = np.log(np.exp(world[2].mean(axis=1) @ world[6][0]).sum(axis=1))
    np.testing.assert_allclose(told.score_samples(world[2], rebuilt=False), original, rtol=1e-4)
    assert (told.score_samples(world[0], rebuilt=False) >= told.cut_).mean() == pytest.approx(0.95, abs=0.01)
    np.testing.assert_allclose(np.linalg.norm(told.concepts_, axis=0), 1, atol=1e-5)
    assert "detection" in found.table()


def test_the_term_for_separation_separates(told, world):
    without = OODConcepts(**QUICK | {"separation": 0.0}).fit(world[0], world[1], Z_ood=world[4], head=world[6])
    assert told.separability(world[2], world[5])["concepts"] > without.separability(world[2], world[5])["concepts"]


def test_an_item_is_explained_beside_what_is_usual_for_its_class(told, world):
    profile = told.explain(world[5][:3])
    assert profile.detected.all() and profile.scores.shape == profile.usual.shape == (3, 8)
    cosine = (world[5][:3] / np.linalg.norm(world[5][:3], axis=2, keepdims=True)) @ told.concepts_
    furthest = np.where(cosine.max(axis=1) >= -cosine.min(axis=1), cosine.max(axis=1), cosine.min(axis=1))
    np.testing.assert_allclose(profile.scores, furthest, atol=1e-5)
    assert "flagged" in profile.table()
    usual = told.explain(world[2])
    assert np.abs(usual.scores - usual.usual).mean() < np.abs(profile.scores - profile.usual).mean()


def test_shapley_values_add_up_to_the_completeness_of_all_minus_that_of_none(told, world):
    worth = told.shapley(world[2], world[5], orders=2)
    none = told._scores(told._rebuilt(torch.from_numpy(world[2][:2]), np.zeros(8, bool)))
    assert none[0] == none[1]  # nothing is left to tell items by: chance, completeness 0
    assert worth.sum() == pytest.approx(told.completeness(world[2], world[5]).detection, abs=1e-5)


def test_the_strongest_places_of_a_concept_are_of_one_kind(told, world):
    shares = told.encode(world[0])
    concept = int(shares.mean(axis=(0, 1)).argmax())
    rows, _, _ = top_patches(shares, concept, 10)
    assert len(set(world[1][rows])) == 1


def test_the_head_may_be_a_network_of_maps_and_is_left_as_it_is(world):
    A = world[0].reshape(300, 2, 2, 8)
    head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 3)).eval()
    before = head[1].weight.clone()
    fitted = OODConcepts(m=4, hidden=8, epochs=1).fit(A, world[1], Z_ood=world[4].reshape(150, 2, 2, 8), head=head)
    assert (head[1].weight == before).all() and head[1].weight.grad is None
    with torch.no_grad():
        np.testing.assert_allclose(fitted.score_samples(A, rebuilt=False), energy(head(torch.from_numpy(A))).numpy(), rtol=1e-4)


@pytest.mark.parametrize("more", [{}, {"detector": "mahalanobis", "concepts": "kmeans"}])
def test_the_estimator_passes_scikit_learns_own_checks(more):
    check_estimator(OODConcepts(m=4, hidden=8, epochs=2, **more))


@pytest.mark.parametrize("detector", ["energy", "mahalanobis"])
def test_saved_concepts_say_the_same_and_a_seed_repeats_them(detector, world, tmp_path):
    settings = {"m": 4, "hidden": 8, "epochs": 2, "detector": detector}
    names = np.array(["a", "b", "c"])[world[1]]
    one, two = (OODConcepts(**settings).fit(world[0], names, Z_ood=world[4], head=world[6]) for _ in range(2))
    one.save(tmp_path)
    for other in (two, OODConcepts.load(tmp_path)):
        np.testing.assert_array_equal(other.score_samples(world[5]), one.score_samples(world[5]))
        assert (other.explain(world[5][:2]).predicted == one.explain(world[5][:2]).predicted).all()
        assert (other.predict(world[2]) == one.predict(world[2])).all()


def test_what_can_not_be_retold_is_refused(told, world):
    with pytest.raises(InputError, match="chance"):
        told.completeness(world[2][:75], world[2][75:])
    with pytest.raises(InputError, match="outputs"):
        OODConcepts(**QUICK).fit(world[0], world[1], head=(np.ones((8, 2)), np.zeros(2)))
    for wrong in ({"detector": "odin"}, {"concepts": "none"}, {"m": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            OODConcepts(**wrong).fit(world[0], world[1])
    with pytest.raises(ValueError):
        told.explain(world[2][:, :3])
    with pytest.raises(InputError, match="at least 2"):
        told.shapley(world[2], world[5], of="none")
