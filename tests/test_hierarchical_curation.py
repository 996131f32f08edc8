"""Curation by k-means of k-means, the balanced sample, and k-means for a large k."""

from itertools import product

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.utils.estimator_checks import check_estimator

from unlabeled import InputError
from unlabeled.parts.kmeans_large import kmeans_large, nearest_center
from unlabeled.tasks.curate.hierarchical_curation import HierarchicalKMeans, foremost, water_filling


@pytest.fixture(scope="module")
def skewed():
    """Five kinds in the plane, of 1,000 to 10 items: vectors and kinds."""
    rng = np.random.default_rng(0)
    sizes = (1000, 300, 100, 30, 10)
    places = np.array([[0, 0], [12, 0], [0, 12], [12, 12], [-12, 0]])
    kinds = np.repeat(np.arange(5), sizes)
    return (places[kinds] + rng.normal(size=(len(kinds), 2))).astype(np.float32), kinds


# Sharing out


def test_water_filling_is_the_most_equal_share_of_all_that_there_are():
    rng = np.random.default_rng(0)
    for _ in range(60):
        sizes = rng.integers(0, 5, rng.integers(1, 5))
        n = int(rng.integers(0, sizes.sum() + 1))
        share = water_filling(sizes, n, rng)
        assert share.sum() == n and (share <= sizes).all() and (share >= 0).all()
        possible = [one for one in product(*(range(size + 1) for size in sizes)) if sum(one) == n]
        assert (share**2).sum() == min(sum(v * v for v in one) for one in possible)


@pytest.mark.parametrize("n", [0, 1, 6, 106, 107])
def test_small_clusters_are_taken_whole_and_the_sum_is_exact(n):
    share = water_filling([1, 2, 3, 101], n, np.random.default_rng(0))
    assert share.sum() == n
    assert n < 106 or share.tolist()[:3] == [1, 2, 3]


def test_what_is_left_goes_to_random_clusters():
    shares = [tuple(water_filling([9, 9, 9], 4, np.random.default_rng(seed))) for seed in range(40)]
    assert set(shares) == {(2, 1, 1), (1, 2, 1), (1, 1, 2)}


def test_more_than_there_is_can_not_be_shared_out():
    with pytest.raises(InputError, match="5 items of clusters with 4"):
        water_filling([2, 2], 5, np.random.default_rng(0))


def test_the_foremost_rows_of_each_cluster_are_those_with_the_smallest_keys():
    rows = foremost(np.array([1, 0, 1, 1, 0]), np.array([5.0, 1, 3, 4, 0]), np.array([1, 2]))
    assert sorted(rows.tolist()) == [2, 3, 4]


# The tree


def test_the_sample_is_exact_repeatable_and_has_no_item_twice(skewed):
    fitted = HierarchicalKMeans(levels=(60, 12, 5), resample_steps=2, metric="euclidean").fit(skewed[0])
    for n in (1, 7, 500, len(skewed[0])):
        rows = fitted.sample(n)
        assert len(rows) == len(set(rows.tolist())) == n and (rows == fitted.sample(n)).all()
    assert (fitted.sample(100, seed=5) != fitted.sample(100)).any()


def test_every_level_shares_out_as_equally_as_its_items_allow(skewed):
    fitted = HierarchicalKMeans(levels=(60, 12, 5), resample_steps=2, metric="euclidean").fit(skewed[0])
    rows = fitted.sample(203)
    for level in (3, 2, 1):
        sizes = fitted.sizes(level)
        taken = np.bincount(fitted.labels(level)[rows], minlength=len(sizes))
        parents = fitted.labels(level + 1) if level < 3 else np.zeros(len(skewed[0]), int)
        for parent in np.unique(parents):
            here = np.unique(fitted.labels(level)[parents == parent])
            full = taken[here] == sizes[here]
            assert full.all() or np.ptp(taken[here][~full]) <= 1
            assert full.all() or not full.any() or taken[here][full].max() <= taken[here][~full].max()


def test_a_rare_kind_is_kept_where_a_random_sample_loses_it(skewed):
    fitted = HierarchicalKMeans(levels=(100, 20, 5), metric="euclidean").fit(skewed[0])
    counts = {rule: np.bincount(skewed[1][fitted.sample(50, rule=rule)], minlength=5) for rule in ("balanced", "random")}
    assert counts["balanced"].min() >= 8 > 2 >= counts["random"].min()


def test_levels_and_resampling_flatten_the_density_of_the_centres():
    rng = np.random.default_rng(1)
    Z = np.concatenate([rng.normal(size=(4500, 2)) * 0.3, rng.uniform(-3, 3, (500, 2))])

    def inner(**parameters):  # share of the 30 centres in the middle of the square, which is 1/9 of it
        centers = HierarchicalKMeans(metric="euclidean", **parameters).fit(Z).centers_[-1]
        return (np.abs(centers).max(axis=1) < 1).mean()

    flat = inner(levels=(30,), resample_steps=0)
    two = inner(levels=(400, 30), resample_steps=0)
    resampled = inner(levels=(400, 30), resample_steps=5)
    assert flat > two + 0.05 and two > resampled + 0.05 and resampled < 0.4


def test_the_closest_of_a_cluster_are_the_ones_nearest_to_its_centre(skewed):
    fitted = HierarchicalKMeans(levels=(20,), metric="euclidean").fit(skewed[0])
    rows = fitted.sample(100, leaf="closest")
    for cluster in range(len(fitted.centers_[0])):
        members = np.flatnonzero(fitted.tree_[0] == cluster)
        d = ((skewed[0][members] - fitted.centers_[0][cluster]) ** 2).sum(axis=1)
        taken = np.isin(members, rows)
        assert taken.all() or not taken.any() or d[taken].max() <= d[~taken].min() + 1e-3


def test_items_lie_with_their_nearest_centre_and_no_cluster_is_empty(skewed):
    fitted = HierarchicalKMeans(levels=(50, 9), metric="euclidean").fit(skewed[0])
    d = ((skewed[0][:, None] - fitted.centers_[0]) ** 2).sum(axis=2)
    np.testing.assert_allclose(d[np.arange(len(d)), fitted.tree_[0]], d.min(axis=1), atol=1e-3)
    np.testing.assert_allclose(fitted.distance_, d.min(axis=1), atol=1e-3)
    assert all((fitted.sizes(level) > 0).all() and fitted.sizes(level).sum() == len(d) for level in (1, 2))
    assert (fitted.predict(skewed[0]) == fitted.tree_[0]).mean() > 0.999


def test_copies_leave_fewer_clusters_but_an_exact_sample():
    Z = np.repeat(np.random.default_rng(2).normal(size=(6, 3)), 50, axis=0)
    fitted = HierarchicalKMeans(levels=(20, 10, 3), resample_steps=2).fit(Z)
    assert len(fitted.centers_[0]) == 6 and len(fitted.sample(91)) == 91


def test_a_memory_map_of_any_dtype_gives_what_an_array_gives(skewed, tmp_path):
    Z = np.concatenate([skewed[0], np.ones((len(skewed[0]), 1))], axis=1).astype(np.float16)
    np.save(tmp_path / "z.npy", Z)
    one, other = (HierarchicalKMeans(levels=(30, 6), resample_steps=1).fit(X) for X in (Z, np.load(tmp_path / "z.npy", mmap_mode="r")))
    assert (one.sample(50) == other.sample(50)).all() and other.n_features_in_ == 3


def test_the_default_levels_fall_with_the_pool(skewed):
    sizes = [len(centers) for centers in HierarchicalKMeans(resample_steps=0, metric="euclidean").fit(skewed[0]).centers_]
    assert 120 <= sizes[0] <= 144 and sizes[1:] == [14, 2]


def test_it_is_the_same_when_it_is_loaded(skewed, tmp_path):
    fitted = HierarchicalKMeans(levels=(30, 6), resample_steps=1).fit(skewed[0])
    fitted.save(tmp_path / "tree")
    loaded = HierarchicalKMeans.load(tmp_path / "tree")
    assert (loaded.sample(99) == fitted.sample(99)).all() and (loaded.predict(skewed[0]) == fitted.predict(skewed[0])).all()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"levels": (10, 10)}, "falling"),
        ({"levels": (5000,)}, "5000"),
        ({"levels": ()}, "levels"),
        ({"levels": (9, 3), "nearest": (1,)}, "2 levels"),
        ({"levels": (9, 3), "nearest": 0}, "nearest=0"),
        ({"metric": "manhattan"}, "metric"),
        ({"resample_steps": -1}, "resample_steps"),
        ({"iters": 0}, "iters"),
    ],
)
def test_settings_that_make_no_sense_are_refused(skewed, parameters, said):
    with pytest.raises(InputError, match=said):
        HierarchicalKMeans(**parameters).fit(skewed[0])


def test_a_sample_that_can_not_be_is_refused(skewed):
    fitted = HierarchicalKMeans(levels=(9,), resample_steps=0).fit(skewed[0])
    for wrong in ({"n": 0}, {"n": 10**6}, {"n": 5, "rule": "odd"}, {"n": 5, "leaf": "odd"}):
        with pytest.raises(InputError):
            fitted.sample(**wrong)
    with pytest.raises(InputError, match="level=2"):
        fitted.sizes(2)


def test_it_passes_scikit_learns_own_checks():
    check_estimator(HierarchicalKMeans(levels=(4, 2), resample_steps=1, iters=3))


# k-means for a large k


def test_it_is_as_good_as_scikit_learns():
    Z = np.random.default_rng(3).normal(size=(3000, 8)).astype(np.float32) + 100
    ours, theirs = kmeans_large(Z, 100, iters=50), KMeans(100, n_init=1, random_state=0).fit(Z)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=0.02)
    assert ours.inertia == pytest.approx(((Z - ours.centers[ours.labels]) ** 2).sum(), rel=1e-3)


def test_its_first_centres_find_far_clusters_and_no_cluster_stays_empty():
    rng = np.random.default_rng(4)
    Z = np.concatenate(
        [rng.normal(size=(2000, 2)), rng.normal(size=(20, 5, 2)).reshape(-1, 2) * 0.01 + np.repeat(rng.normal(size=(20, 2)), 5, 0) * 80]
    )
    found = kmeans_large(Z, 60)
    assert len(np.unique(found.labels)) == 60 and found.inertia / len(Z) < 1


def test_directions_are_clustered_without_their_lengths():
    rng = np.random.default_rng(5)
    Z = rng.normal(size=(500, 6))
    one, other = kmeans_large(Z, 7, metric="cosine"), kmeans_large(Z * rng.uniform(0.1, 9, (500, 1)), 7, metric="cosine")
    assert (one.labels == other.labels).all()
    np.testing.assert_allclose(np.linalg.norm(one.centers, axis=1), 1, atol=1e-5)
    assert (nearest_center(Z.astype(np.float32), one.centers, "cosine")[0] == one.labels).all()


def test_more_clusters_than_different_rows_stay_finite():
    found = kmeans_large(np.repeat(np.eye(3), 4, axis=0), 8)
    assert np.isfinite(found.centers).all() and found.inertia == pytest.approx(0, abs=1e-5) and len(np.unique(found.labels)) == 3
