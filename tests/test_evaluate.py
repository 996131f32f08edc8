"""Measures without and with labels, each against a closed form, brute force or scikit-learn."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler, normalize

from unlabeled import evaluate as ev
from unlabeled.errors import InputError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def untrained_features():
    """What an untrained convolution with ReLU and global average pooling makes of digits: no number is negative."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(32, 96, 3, stride=2, padding=1), torch.nn.ReLU()
    )
    pictures = torch.from_numpy(load_digits().images).float()[:, None] / 16
    with torch.no_grad():
        return net(pictures).mean(dim=(2, 3)).numpy()


# --- without labels ---


def test_rankme_of_the_identity_is_its_size_and_of_one_direction_is_one():
    assert ev.rankme(np.eye(32)) == pytest.approx(32, rel=1e-4)
    assert ev.rankme(noise(200, 1) @ noise(1, 64)) == pytest.approx(1, abs=1e-3)
    assert ev.rankme(np.zeros((5, 3))) == 1


def test_rankme_of_two_equal_blocks_is_two():
    assert ev.rankme(np.repeat(np.eye(2), 50, axis=0)) == pytest.approx(2, rel=1e-5)


def test_rankme_does_not_change_under_scaling_and_rotation_but_under_a_shift():
    Z = noise(300, 20) * np.linspace(0.1, 2, 20)
    turned = Z @ np.linalg.qr(noise(20, 20, seed=1))[0]
    assert ev.rankme(7 * Z) == pytest.approx(ev.rankme(Z), rel=1e-5)
    assert ev.rankme(turned) == pytest.approx(ev.rankme(Z), rel=1e-4)
    assert ev.rankme(Z + 50) < 0.5 * ev.rankme(Z)  # not centred, as in the paper


@pytest.mark.parametrize("shape", [(100, 12), (12, 100)])
def test_rankme_is_the_formula_on_the_singular_values(shape):
    Z = noise(*shape).astype(np.float32)
    s = np.linalg.svd(Z.astype(np.float64), compute_uv=False)
    p = s / s.sum() + 1e-7
    assert ev.rankme(Z) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-6)


def test_uniformity_is_the_formula_over_pairs_of_different_rows():
    Z = noise(40, 5)
    squared = euclidean_distances(normalize(Z), squared=True)
    pairs = [math.exp(-2 * squared[i, j]) for i in range(40) for j in range(40) if i != j]
    assert ev.uniformity(Z) == pytest.approx(math.log(np.mean(pairs)), abs=1e-5)
    assert ev.uniformity(np.ones((10, 4))) == pytest.approx(0, abs=1e-6)
    assert -4 < ev.uniformity(noise(2000, 256)) < -3.9


def test_mean_cosine_and_tolerance_leave_out_each_row_with_itself():
    Z, y = noise(50, 6) + 0.5, np.random.default_rng(1).integers(0, 3, 50)
    cosine = cosine_similarity(Z)
    other = ~np.eye(50, dtype=bool)
    assert ev.mean_cosine(Z) == pytest.approx(cosine[other].mean(), abs=1e-6)
    assert ev.tolerance(Z, y) == pytest.approx(cosine[other & (y[:, None] == y)].mean(), abs=1e-6)
    half = [name if i < 25 else "" for i, name in enumerate(map(str, y))]
    assert ev.tolerance(Z, half) == pytest.approx(ev.tolerance(Z[:25], y[:25]), abs=1e-6)


def test_std_sqrt_d_is_one_when_even_and_zero_when_collapsed():
    assert ev.std_sqrt_d(noise(5000, 64)) == pytest.approx(1, abs=0.01)
    assert ev.std_sqrt_d(np.ones((10, 8))) == pytest.approx(0, abs=1e-6)


def test_alignment_is_the_squared_distance_of_partners_on_the_sphere():
    A, B = noise(30, 5), noise(30, 5, seed=1)
    assert ev.alignment(A, B) == pytest.approx(np.mean(np.square(normalize(A) - normalize(B)).sum(axis=1)), rel=1e-5)
    assert ev.alignment(A, 3 * A) == pytest.approx(0, abs=1e-6)
    assert ev.alignment(A, -A, alpha=1) == pytest.approx(2, rel=1e-5)


def test_neighbour_overlap_is_that_of_sorted_lists_and_ignores_shift_and_scale():
    A = noise(80, 6)
    B = A + noise(80, 6, seed=1)

    def lists(Z):
        cosine = cosine_similarity(Z - Z.mean(axis=0))
        np.fill_diagonal(cosine, -2)
        return [set(np.argsort(-row)[:5]) for row in cosine]

    expected = np.mean([len(a & b) / 5 for a, b in zip(lists(A), lists(B), strict=True)])
    assert ev.neighbour_overlap(A, B, k=5) == pytest.approx(expected)
    assert ev.neighbour_overlap(A, 3 * A + 100, k=5) == 1
    assert ev.neighbour_overlap(noise(1000, 20), noise(1000, 9, seed=2)) == pytest.approx(10 / 999, abs=0.01)


def test_half_retrieval_counts_halves_that_find_their_own_in_both_directions():
    A = noise(60, 8)
    B = A + 0.8 * noise(60, 8, seed=1)
    cosine = cosine_similarity(A - A.mean(axis=0), B - B.mean(axis=0))
    expected = (np.mean(cosine.argmax(axis=1) == np.arange(60)) + np.mean(cosine.argmax(axis=0) == np.arange(60))) / 2
    assert ev.half_retrieval(A, B) == pytest.approx(expected)
    assert ev.half_retrieval(A, A + 100) == 1  # each side's own mean is taken off
    assert ev.half_retrieval(A, noise(60, 8, seed=3)) < 0.1


def test_a_collapsed_representation_retrieves_no_half():
    assert ev.half_retrieval(np.ones((50, 4)), np.ones((50, 4))) == 0
    assert ev.half_retrieval(np.full((50, 4), 0.1), np.full((50, 4), 0.3)) == 0


def test_a_rotation_probe_tells_rotated_vectors_and_not_equal_ones():
    Z = noise(150, 4)
    assert ev.rotation_probe([Z + 3 * np.eye(4)[turn] for turn in range(4)]) > 0.8
    assert ev.rotation_probe([Z] * 4) == pytest.approx(0.25, abs=0.15)
    with pytest.raises(InputError, match="turned"):
        ev.rotation_probe([Z, Z[:10]])


# --- collapse ---


@pytest.mark.parametrize(
    ("name", "Z"),
    [
        ("constant", np.full((200, 16), 0.3)),
        ("zero", np.zeros((200, 16))),
        ("constant and positive noise", 1 + 1e-3 * noise(300, 64)),
        ("constant and noise of a hundredth", 1 + 1e-2 * noise(300, 64)),
        ("one signed vector and noise", noise(1, 64) + 1e-2 * noise(300, 64)),
        ("a line", noise(300, 1) * noise(1, 64) + noise(1, 64)),
        ("a line and noise", noise(300, 1) * noise(1, 64) + 1e-3 * noise(300, 64)),
        ("two points", noise(2, 64)[np.arange(300) % 2]),
        ("two points and noise", noise(2, 64)[np.arange(300) % 2] + 1e-3 * noise(300, 64)),
        ("five points and noise", noise(5, 64)[np.arange(300) % 5] + 1e-3 * noise(300, 64)),
        (
            "a line behind an output batch norm",
            (lambda Z: (Z - Z.mean(0)) / Z.std(0))(noise(300, 1) @ noise(1, 64) + 0.005 * noise(300, 64)),
        ),
    ],
)
def test_the_alarm_goes_off_for(name, Z):
    found = ev.collapse(Z)
    assert found.collapsed and found.verdict.startswith("Collapsed") and found.dim == Z.shape[1]


def test_a_large_common_part_is_no_collapse_where_no_number_is_negative_and_one_where_some_are():
    Z = 1 + 0.02 * noise(300, 3) @ noise(3, 64, seed=1)
    signs = np.sign(noise(64, seed=2))
    assert (Z > 0).all() and ev.std_sqrt_d(Z) < 0.05
    assert not ev.collapse(Z).collapsed and ev.collapse(Z * signs).collapsed


def test_nan_is_a_verdict_and_no_error():
    Z = noise(50, 8)
    Z[3, 2] = np.nan
    found = ev.collapse(Z)
    assert found.collapsed and "1 of 50" in found.verdict and "NaN" in found.verdict


def test_no_alarm_for_digits_untrained_relu_features_text_vectors_or_noise(digits, untrained_features):
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [
        f"{a} {b} {c}" for a in "red green blue black".split() for b in "cat dog cow".split() for c in "runs sleeps eats hides".split()
    ] * 4
    tfidf = TruncatedSVD(8, random_state=0).fit_transform(TfidfVectorizer().fit_transform(texts))
    assert ev.mean_cosine(untrained_features) > 0.95  # high by nature, and no collapse
    for Z in (digits[0], untrained_features, tfidf, noise(300, 64), np.maximum(noise(300, 64) + 1, 0), noise(256, 2048)):
        found = ev.collapse(Z)
        assert not found.collapsed, found.verdict


@pytest.mark.parametrize("shape", [(1, 8), (2, 8), (3, 8), (100, 1), (100, 2), (100, 3)])
def test_the_smallest_sets_and_narrowest_vectors_raise_no_alarm(shape):
    assert not ev.collapse(noise(*shape)).collapsed


# --- with labels ---


def test_knn_accuracy_is_scikit_learns_on_centred_unit_vectors(digits):
    X, y = digits[0] + 5, digits[1]
    mean = X[:1000].mean(axis=0)
    train, test = normalize(X[:1000] - mean), normalize(X[1000:] - mean)
    assert ev.knn_accuracy(X[:1000], y[:1000], X[1000:], y[1000:], k=1) == pytest.approx(
        KNeighborsClassifier(1).fit(train, y[:1000]).score(test, y[1000:]), abs=0.002
    )
    assert ev.knn_accuracy(X[:1000], y[:1000], X[1000:], y[1000:]) == pytest.approx(
        KNeighborsClassifier(20).fit(train, y[:1000]).score(test, y[1000:]), abs=0.01
    )


def test_a_tied_vote_goes_to_the_nearer_neighbours():
    train = np.array([[1, 0.0], [1, 0.4], [0, 1], [0.2, 1], [-9, -9]])
    test = np.array([[1.0, 0.3], [0.3, 1.0]])
    assert ev.knn_accuracy(train, ["a", "a", "b", "b", "c"], test, ["a", "b"], k=4) == 1
    assert ev.knn_accuracy(train, ["a", "a", "b", "b", "c"], test, ["a", "b"], k=100) == 1  # cut to the five there are


def test_the_linear_probe_comes_near_the_best_penalty_of_scikit_learn(digits):
    X, y = digits
    scale = StandardScaler().fit(X[:900])
    train, test = scale.transform(X[:900]), scale.transform(X[900:])
    best = max(LogisticRegression(C=c, max_iter=500).fit(train, y[:900]).score(test, y[900:]) for c in (0.001, 0.01, 0.1, 1))
    assert ev.linear_probe(X[:900], y[:900], X[900:], y[900:]) == pytest.approx(best, abs=0.015)


def test_the_linear_probe_ignores_scale_shift_and_constant_columns(digits):
    X, y = digits[0][:400], digits[1][:400]
    plain = ev.linear_probe(X[:300], y[:300], X[300:], y[300:])
    odd = np.hstack([X * np.linspace(0.01, 100, 64) + 7, np.full((400, 3), 0.1)])
    assert ev.linear_probe(odd[:300], y[:300], odd[300:], y[300:]) == pytest.approx(plain, abs=0.03)


def test_the_linear_probe_learns_two_classes_and_classes_of_one_member():
    X = noise(60, 3)
    y = np.where(X[:, 0] > 0, "yes", "no")
    assert ev.linear_probe(X[:40], y[:40], X[40:], y[40:]) > 0.8
    rare = np.array([*y[:39], "rare"])
    assert 0.5 < ev.linear_probe(X[:40], rare, X[40:], y[40:]) <= 1
    with pytest.raises(InputError, match="two classes"):
        ev.linear_probe(X, ["one"] * 60, X, ["one"] * 60)


def test_clustering_scores_match_by_the_best_assignment():
    y = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    assert ev.clustering_scores((y + 1) % 3, [f"class {c}" for c in y]) == {"accuracy": 1, "nmi": 1, "ari": 1}
    split = np.array([0, 0, 1, 2, 2, 2, 3, 3, 0])  # more clusters than classes: 2 + 3 + 2 items are matched
    found = ev.clustering_scores(split, y)
    assert found["accuracy"] == pytest.approx(7 / 9)
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(y, split)) and found["ari"] == pytest.approx(
        adjusted_rand_score(y, split)
    )
    with pytest.raises(InputError):
        ev.clustering_scores([0, 1], [0, 1, 2])


def test_probes_tell_a_good_arm_from_noise_with_mean_and_spread(digits):
    X, y = digits[0][:300], digits[1][:300]
    rows = ev.probes({"digits": X, "noise": noise(300, 16)}, y, folds=3)
    assert [row["name"] for row in rows] == ["digits", "noise"] and [row["dim"] for row in rows] == [64, 16]
    for measure in ("knn", "linear", "accuracy", "nmi", "ari"):
        assert rows[0][measure]["mean"] > rows[1][measure]["mean"] + 0.3 and 0 <= rows[0][measure]["std"] < 0.1
    assert rows[1]["knn"]["mean"] == pytest.approx(0.1, abs=0.06)
    assert rows == ev.probes({"digits": X, "noise": noise(300, 16)}, y, folds=3)


@pytest.mark.parametrize("missing", [-1, "", None, float("nan"), "-1", -1.0])
def test_items_without_a_label_are_left_out(digits, missing):
    X, y = digits[0][:90], digits[1][:90]
    some = [missing if i % 3 == 0 else (str(label) if isinstance(missing, str) else int(label)) for i, label in enumerate(y)]
    kept = np.arange(90) % 3 != 0
    assert ev.probes({"x": X}, some, folds=2) == ev.probes({"x": X[kept]}, y[kept], folds=2)


def test_small_classes_are_spread_over_folds_and_single_members_left_out():
    X = noise(23, 4) + 8 * np.eye(4)[np.arange(23) % 2]
    y = ["a", "b"] * 10 + ["pair", "pair", "single"]
    row = ev.probes({"x": X}, y, folds=5)[0]
    assert 0.7 < row["knn"]["mean"] <= 1 and np.isfinite([row[m]["mean"] for m in ("linear", "nmi", "ari", "accuracy")]).all()
    assert ev.probes({"x": X[:4]}, ["a", "a", "b", "b"], folds=5)  # fewer items than folds


def test_folds_are_of_one_size_and_have_their_share_of_every_class():
    from unlabeled.evaluate.probes import _folds

    many, few = np.repeat(np.arange(3), 50), np.repeat(np.arange(10), 2)
    for fold in range(5):
        assert (np.bincount(many[_folds(many, 5, 0) == fold]) == 10).all()
        assert (_folds(few, 5, 0) == fold).sum() == 4


@pytest.mark.parametrize(
    ("y", "folds", "said"),
    [
        (["a"] * 6, 3, "1 class"),
        (["a", "b", "c", "d", "e", "f"], 3, "0 classes"),
        ([-1] * 6, 3, "0 classes"),
        (["a", "b"] * 3, 1, "folds is 1"),
        (["a", "b"], 3, "6 vectors for 2 labels|2 labels|two members"),
    ],
)
def test_labels_that_cannot_be_probed_are_refused(y, folds, said):
    with pytest.raises(InputError, match=said):
        ev.probes({"x": noise(6, 3)}, y, folds=folds)


# --- the map ---


def test_the_map_keeps_neighbours_that_two_principal_components_lose(digits):
    X, y = digits[0][:700], digits[1][:700]
    places = ev.map2d(X)
    centred = normalize(X - X.mean(axis=0))
    flat = centred @ np.linalg.svd(centred - centred.mean(axis=0), full_matrices=False)[2][:2].T
    assert places.shape == (700, 2) and places.dtype == np.float32
    assert ev.neighbours_kept(X, places) > 2 * ev.neighbours_kept(X, flat)
    assert KNeighborsClassifier(10).fit(places[:500], y[:500]).score(places[500:], y[500:]) > 0.8
    assert (places == ev.map2d(X)).all()


def test_items_beyond_the_fitted_ones_are_placed_among_their_neighbours(monkeypatch, digits):
    from unlabeled.evaluate import maps

    monkeypatch.setattr(maps, "FITTED", 400)
    X, y = digits[0][:800], digits[1][:800]
    places = ev.map2d(X)
    assert len(places) == 800 and KNeighborsClassifier(10).fit(places[:500], y[:500]).score(places[500:], y[500:]) > 0.75


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9, 10, 11])
@pytest.mark.parametrize("columns", [1, 2, 60])
def test_a_map_of_few_items_is_finite_and_parts_different_ones(rows, columns):
    places = ev.map2d(noise(rows, columns))
    assert places.shape == (rows, 2) and np.isfinite(places).all()
    if columns == 60:
        assert len(np.unique(places, axis=0)) == rows


def test_identical_items_lie_on_one_spot_and_many_copies_do_no_harm(digits):
    assert (ev.map2d(np.ones((50, 4))) == 0).all()
    assert np.isfinite(ev.map2d(np.repeat(digits[0][:30], 20, axis=0))).all()


def test_neighbours_kept_is_one_for_a_plane_and_chance_for_noise():
    X = noise(300, 2)
    unit = normalize(X - X.mean(axis=0))
    assert ev.neighbours_kept(X, unit) > 0.97
    assert ev.neighbours_kept(noise(600, 30), noise(600, 2, seed=1)) == pytest.approx(10 / 599, abs=0.02)


# --- all of them ---

MEASURES = [
    ev.rankme,
    ev.uniformity,
    ev.mean_cosine,
    ev.std_sqrt_d,
    lambda Z: ev.tolerance(Z, np.arange(len(Z)) % 3),
    lambda Z: ev.alignment(Z, Z),
    lambda Z: ev.half_retrieval(Z, Z),
    lambda Z: ev.neighbour_overlap(Z, Z, k=2),
    lambda Z: ev.knn_accuracy(Z, np.arange(len(Z)) % 3, Z, np.arange(len(Z)) % 3),
    lambda Z: ev.linear_probe(Z, np.arange(len(Z)) % 3, Z, np.arange(len(Z)) % 3),
    lambda Z: ev.probes({"x": Z}, np.arange(len(Z)) % 3, folds=2)[0]["knn"]["mean"],
    lambda Z: ev.map2d(Z).sum(),
]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((0, 4)), np.full((6, 2), np.nan), np.full((6, 2), np.inf), np.zeros((6, 2, 2))])
def test_bad_vectors_are_an_error_of_one_line(measure, bad):
    with pytest.raises(InputError) as error:
        measure(bad)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((0, 4)), np.array([["a"]]), np.zeros((3, 0))])
def test_collapse_refuses_what_is_no_matrix_of_numbers(bad):
    with pytest.raises(InputError):
        ev.collapse(bad)


@pytest.mark.parametrize("measure", [*MEASURES, lambda Z: ev.collapse(Z).mean_cosine])
def test_every_form_of_the_same_rows_gives_the_same_number(tmp_path, digits, measure):
    X = digits[0][:60].astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    wanted = measure(X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for form in (X.astype(np.float64), X.astype(np.float16), np.asfortranarray(X), mapped, torch.from_numpy(X)):
        assert measure(form) == pytest.approx(wanted, abs=1e-5)


def test_arrays_of_different_length_are_refused():
    for measure in (ev.alignment, ev.half_retrieval, ev.neighbour_overlap, lambda a, b: ev.tolerance(a, np.zeros(len(b)))):
        with pytest.raises(InputError):
            measure(noise(20, 4), noise(19, 4))
    with pytest.raises(InputError, match="k is 20"):
        ev.neighbour_overlap(noise(20, 4), noise(20, 4), k=20)
    with pytest.raises(InputError, match="embed both alike"):
        ev.knn_accuracy(noise(5, 4), np.arange(5), noise(5, 3), np.arange(5))


def test_the_names_are_functions_however_the_room_is_imported():
    code = """if True:
        from unlabeled.evaluate.collapse import Collapse
        from unlabeled import evaluate
        assert callable(evaluate.collapse), evaluate.collapse
        import sys
        assert not {"openTSNE", "sklearn", "faiss"} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
