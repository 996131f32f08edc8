"""k-means, and the check of vectors that every function of arrays makes."""

import warnings

import faiss
import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.metrics import adjusted_rand_score

from unlabeled.errors import InputError
from unlabeled.parts.assign import blocks, check_vectors, kmeans


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 6, 1200)
    return (rng.normal(size=(6, 10)) * 6)[y].astype(np.float32) + rng.normal(size=(1200, 10)).astype(np.float32), y


def brute_force(X, centers):
    squared = ((X[:, None].astype(np.float64) - centers[None]) ** 2).sum(axis=2)
    return squared.argmin(axis=1), squared.min(axis=1).sum()


def test_kmeans_finds_separated_groups_and_reports_their_true_inertia(blobs):
    X, y = blobs
    found = kmeans(X, 6, n_init=3)
    labels, inertia = brute_force(X, found.centers)
    assert adjusted_rand_score(y, found.labels) == 1
    assert (labels == found.labels).all() and found.labels.dtype == np.int64
    assert found.inertia == pytest.approx(inertia, rel=1e-4)
    np.testing.assert_allclose(found.centers, np.stack([X[found.labels == c].mean(axis=0) for c in range(6)]), atol=1e-4)


def test_from_given_centres_kmeans_goes_where_scikit_learns_goes(blobs):
    X = np.random.default_rng(1).normal(size=(800, 5)).astype(np.float32)
    start = X[:7].copy()
    ours = kmeans(X, 7, init=start, iters=200)
    theirs = SklearnKMeans(7, init=start, n_init=1, max_iter=200, tol=0).fit(X)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-3)
    assert adjusted_rand_score(theirs.labels_, ours.labels) > 0.97


def test_one_start_is_as_good_as_faiss_on_average():
    X = np.random.default_rng(2).normal(size=(5000, 16)).astype(np.float32)
    theirs = faiss.Kmeans(16, 30, niter=25, seed=1, max_points_per_centroid=10_000)
    theirs.train(X)
    assert kmeans(X, 30, iters=25).inertia < 1.01 * theirs.obj[-1]


def test_the_same_seed_gives_the_same_clusters_and_another_seed_others():
    X = np.random.default_rng(3).normal(size=(500, 8)).astype(np.float32)
    first, second, other = (kmeans(X, 9, seed=seed) for seed in (4, 4, 5))
    assert (first.labels == second.labels).all() and (first.centers == second.centers).all()
    assert (first.labels != other.labels).any()


def test_more_starts_never_end_worse():
    X = np.random.default_rng(4).normal(size=(600, 2)).astype(np.float32)
    one = [kmeans(X, 15, seed=seed, init="random").inertia for seed in range(5)]
    ten = [kmeans(X, 15, seed=seed, init="random", n_init=20).inertia for seed in range(5)]
    assert max(ten) < np.mean(one)


def test_spherical_kmeans_ignores_lengths_and_has_unit_centres(blobs):
    X, y = blobs
    stretched = X * np.random.default_rng(5).uniform(0.1, 10, size=(len(X), 1)).astype(np.float32)
    found = kmeans(stretched, 6, metric="cosine", n_init=5)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(found.centers, axis=1), 1, atol=1e-5)
    assert (found.labels == kmeans(unit, 6, metric="cosine", n_init=5).labels).all()
    assert found.inertia == pytest.approx((1 - (unit * found.centers[found.labels]).sum(axis=1)).sum(), rel=1e-3)


def test_a_row_of_weight_three_counts_as_three_rows():
    rng = np.random.default_rng(6)
    X, weights = rng.normal(size=(60, 3)).astype(np.float32), rng.integers(0, 4, 60)
    start = X[[0, 1, 2]] + 0.1
    weighted, repeated = kmeans(X, 3, weights=weights, init=start), kmeans(np.repeat(X, weights, axis=0), 3, init=start)
    np.testing.assert_allclose(weighted.centers, repeated.centers, atol=1e-5)
    assert weighted.inertia == pytest.approx(repeated.inertia, rel=1e-5)


def test_an_empty_cluster_takes_a_part_of_the_largest_one():
    rng = np.random.default_rng(7)
    X = np.concatenate([rng.normal(size=(90, 2)), rng.normal(size=(10, 2)) + 30]).astype(np.float32)
    start = np.array([[0, 0], [30, 30], [1000, 1000], [2000, 2000]], np.float32)  # two centres that no row is nearest to
    assert (np.bincount(kmeans(X, 4, init=start, iters=1).labels, minlength=4) > 0).all()
    found = kmeans(X, 4, init=start)
    assert (np.bincount(found.labels, minlength=4) > 0).all()
    assert (found.labels[90:] == 1).all() and (found.labels[:90] != 1).all()  # the small one was left whole
    assert (np.bincount(kmeans(X, 4, init=start, empty="keep").labels, minlength=4)[2:] == 0).all()


def test_as_many_clusters_as_different_rows_are_all_used_however_often_rows_repeat():
    X = np.repeat(np.random.default_rng(8).normal(size=(12, 3)), 40, axis=0).astype(np.float32)
    found = kmeans(X, 12, init=np.zeros((12, 3), np.float32) + X[0])
    assert len(np.unique(found.labels)) == 12 and found.inertia < 1e-3


def test_identical_rows_make_one_cluster_in_use():
    found = kmeans(np.ones((20, 3)), 4)
    assert (found.labels == found.labels[0]).all() and found.inertia == 0 and np.isfinite(found.centers).all()


def test_k_equal_to_n_and_k_of_one_are_defined():
    X = np.arange(10, dtype=np.float64).reshape(5, 2)
    assert sorted(kmeans(X, 5).labels) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(kmeans(X, 1).centers[0], X.mean(axis=0), atol=1e-6)


def test_far_from_the_origin_float32_still_tells_groups_apart(blobs):
    X, y = blobs
    assert adjusted_rand_score(y, kmeans(X + 10_000, 6, n_init=3).labels) == 1


def test_every_form_of_the_same_rows_gives_the_same_clusters(tmp_path, blobs):
    X = blobs[0]
    np.save(tmp_path / "x.npy", X)
    wanted = kmeans(X, 6).labels
    wide = np.zeros((len(X), 20), np.float32)
    wide[:, ::2] = X
    forms = [X.astype(np.float64), wide[:, ::2], np.asfortranarray(X), torch.from_numpy(X), np.load(tmp_path / "x.npy", mmap_mode="r")]
    for form in forms:
        assert (kmeans(form, 6).labels == wanted).all()
    assert adjusted_rand_score(kmeans(X.astype(np.float16), 6).labels, wanted) > 0.99


def test_a_memory_map_is_read_in_blocks_and_never_copied_whole(tmp_path):
    X = np.random.default_rng(9).normal(size=(3000, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    mapped = check_vectors(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert isinstance(mapped, np.memmap)
    parts = list(blocks(mapped, width=1000))
    assert max(len(part) for part in parts) <= 1024
    np.testing.assert_array_equal(torch.cat(parts).numpy(), X)


def test_a_read_only_array_is_taken_without_a_warning():
    X = np.random.default_rng(10).normal(size=(50, 3)).astype(np.float32)
    X.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kmeans(X, 3)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        (np.zeros((3, 0)), r"shape \(3, 0\)"),
        (np.array([[1.0], [np.nan]]), "row 1"),
        (np.array([[1.0, 2.0], [3.0, np.inf], [np.inf, 1.0]]), "row 1"),
        (np.array([[1e300]]), "float32"),
        (np.array([["a"]]), "<U1"),
        (np.array([[1j]]), "complex"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
        (None, "object"),
    ],
)
def test_what_is_no_array_of_vectors_is_named_in_one_line(bad, said):
    with pytest.raises(InputError, match=said) as error:
        check_vectors(bad, "Z")
    assert "\n" not in str(error.value) and str(error.value).startswith("Z ")


def test_nan_deep_in_a_memory_map_is_found(tmp_path):
    X = np.ones((400_000, 1), np.float32)
    X[333_333] = np.nan
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(InputError, match="row 333333"):
        check_vectors(np.load(tmp_path / "x.npy", mmap_mode="r"))


def test_a_sparse_matrix_is_refused_with_advice():
    from scipy.sparse import csr_array

    with pytest.raises(InputError, match="TruncatedSVD"):
        check_vectors(csr_array(np.eye(3)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"k": 11},
        {"k": 2.5},
        {"k": 2, "metric": "manhattan"},
        {"k": 2, "init": "best"},
        {"k": 2, "init": np.zeros((3, 3))},
        {"k": 2, "weights": -np.ones(10)},
        {"k": 2, "weights": np.ones(9)},
        {"k": 2, "n_init": 0},
        {"k": 2, "empty": "drop"},
    ],
)
def test_impossible_settings_of_kmeans_are_refused(wrong):
    with pytest.raises(InputError):
        kmeans(np.random.default_rng(0).normal(size=(10, 3)), **wrong)
