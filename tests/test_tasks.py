"""Jobs on vectors: groups and their names, near-duplicates, odd ones out."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors

from unlabeled import tasks
from unlabeled.errors import InputError
from unlabeled.tasks.cluster import CLEAR, directions


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def blobs(groups, n=900, d=12, spread=5.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, groups, n)
    return (rng.normal(size=(groups, d)) * spread)[y] + rng.normal(size=(n, d)), y


# --- cluster ---


def test_clusters_of_digits_follow_the_digits(digits):
    X, y = digits
    for seed in range(3):
        found = tasks.cluster(X, 10, seed=seed)
        assert normalized_mutual_info_score(y, found.labels) > 0.7
    assert found.k == 10 and found.labels.dtype == np.int64 and found.scores == {}
    np.testing.assert_allclose(found.centers[3], X[found.labels == 3].mean(axis=0), atol=1e-3)


def test_twenty_topics_of_titles_reach_what_kmeans_on_tfidf_is_known_to_reach(data_folder):
    import pyarrow.parquet as pq
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    table = pq.read_table(data_folder / "stackoverflow_titles" / "titles.parquet")
    texts, y = table["text"].to_pylist(), table["label"].to_numpy()
    counts = TfidfVectorizer(stop_words="english", min_df=2, sublinear_tf=True).fit_transform(texts)
    Z = TruncatedSVD(100, random_state=0).fit_transform(counts)
    found = tasks.cluster(Z, 20, seed=0)
    assert normalized_mutual_info_score(y, found.labels) >= 0.72
    names = tasks.name_clusters(texts, found.labels)
    for tag in ("matlab", "haskell", "wordpress", "drupal", "oracle", "hibernate"):
        assert sum(tag in name.split(", ") for name in names) == 1
    assert not set(", ".join(names).split(", ")) & ENGLISH_STOP_WORDS


def test_lengths_and_a_common_part_of_the_vectors_do_not_decide_the_clusters():
    X, y = blobs(5)
    lengths = np.random.default_rng(1).uniform(0.2, 5, size=(len(X), 1))
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert adjusted_rand_score(y, tasks.cluster(unit * lengths, 5).labels) > 0.98
    assert adjusted_rand_score(y, tasks.cluster(unit + 3, 5).labels) > 0.98


@pytest.mark.parametrize("groups", [3, 7])
def test_the_number_of_well_separated_groups_is_found(groups):
    X, y = blobs(groups, seed=groups)
    found = tasks.cluster(X)
    assert found.k == groups and adjusted_rand_score(y, found.labels) > 0.98
    assert str(groups) in found.how and "agree" in found.how


def test_where_no_number_of_groups_stands_out_it_is_said():
    found = tasks.cluster(np.random.default_rng(0).normal(size=(800, 15)))
    assert max(found.scores.values()) < CLEAR and "convention" in found.how and found.k == 8


def test_one_long_axis_is_not_taken_for_two_groups():
    X = np.random.default_rng(0).normal(size=(800, 15)) * np.array([6] + [1] * 14)
    assert "convention" in tasks.cluster(X).how  # although the halves agree well on cutting it in two


def test_the_same_seed_gives_the_same_number_and_the_same_groups(digits):
    first, second = tasks.cluster(digits[0][:400], seed=1), tasks.cluster(digits[0][:400], seed=1)
    assert first.k == second.k and (first.labels == second.labels).all() and first.scores == second.scores


def test_wide_vectors_are_clustered_on_their_principal_axes():
    X, y = blobs(4, n=300, d=400)
    assert adjusted_rand_score(y, tasks.cluster(X, 4).labels) == 1


@pytest.mark.parametrize("k", ["auto", 1, 5])
@pytest.mark.parametrize("rows", [1, 2, 3, 9])
def test_few_items_have_few_clusters_and_no_error(rows, k):
    found = tasks.cluster(np.random.default_rng(0).normal(size=(rows, 4)), k)
    assert 1 <= found.k <= rows and len(found.labels) == rows and len(found.centers) == found.k
    assert set(found.labels) == set(range(found.k))


@pytest.mark.parametrize("k", ["auto", 3])
def test_identical_items_are_one_cluster(k):
    found = tasks.cluster(np.ones((60, 4)), k)
    assert found.k == 1 and (found.labels == 0).all() and np.isfinite(found.centers).all()


def test_fewer_different_items_than_clusters_are_that_many_clusters():
    X = np.repeat(np.random.default_rng(0).normal(size=(4, 6)), 25, axis=0)
    found = tasks.cluster(X, 9)
    assert found.k == 4 and "4 different" in found.how


@pytest.mark.parametrize("k", [0, -1, 2.5, "many", True])
def test_a_number_of_clusters_that_is_none_is_refused(k):
    with pytest.raises(InputError, match="k="):
        tasks.cluster(np.eye(5), k)


def test_central_members_are_those_nearest_to_the_mean_of_their_cluster(digits):
    X, y = digits
    found = tasks.central(X, y, m=3)
    unit = directions(X.astype(np.float32))
    for digit, rows in enumerate(found):
        own = np.flatnonzero(y == digit)
        expected = own[np.argsort(-(unit[own] @ unit[own].mean(axis=0)))[:3]]
        assert list(rows) == list(expected)


def test_central_leaves_out_items_of_no_cluster_and_small_clusters_are_shorter():
    found = tasks.central(np.eye(5), [0, -1, 2, 2, -1], m=4)
    assert [sorted(rows) for rows in found] == [[0], [], [2, 3]]


# --- names ---


def test_names_are_telling_words_without_stop_words_numbers_or_letters():
    texts = ["How to plot the matrix in matlab 2008", "a plot of matlab matrices", "matlab x y plots"] * 3
    texts += ["What is the best svn repository", "svn repositories and 3 commits", "how to commit to svn"] * 3
    names = tasks.name_clusters(texts, [0] * 9 + [1] * 9)
    assert names[0].split(", ")[:2] == ["matlab", "plot"] and "svn" in names[1]
    words = {word for name in names for word in name.split(", ")}
    assert not words & (ENGLISH_STOP_WORDS | {"2008", "3", "x", "y"})


def test_two_forms_of_a_word_do_not_share_a_name():
    texts = ["plot plots plotting query queries repository repositories map maps post postgres"] * 3 + ["something else here"] * 3
    words = tasks.name_clusters(texts, [0, 0, 0, 1, 1, 1], top=20)[0].split(", ")
    assert len(words) == 6 and {"post", "postgres"} <= set(words)
    assert len({word[:4] for word in words} - {"post"}) == 4


def test_a_word_that_every_cluster_has_names_none_even_in_another_language():
    texts = ["nicht der hund hund", "nicht die katze", "nicht das haus"] * 4
    names = tasks.name_clusters(texts, [0, 1, 2] * 4)
    assert "hund" in names[0] and "katze" in names[1] and not any("nicht" in name for name in names)


def test_one_long_text_cannot_name_its_cluster():
    texts = ["noise " * 500 + "apple"] + ["apple pie"] * 9 + ["car wheel"] * 10
    assert tasks.name_clusters(texts, [0] * 10 + [1] * 10)[0].startswith("apple")


def test_symbols_that_belong_to_a_word_stay():
    assert tasks.name_clusters(["c++ and c# code", "c++ templates", "qt4"], [0, 0, 0], top=5)[0].startswith("c++")


@pytest.mark.parametrize("texts", [["", "", ""], ["the", "of", "and"], ["1 2", "?", "a"], [None, "", " "]])
def test_texts_without_telling_words_get_a_plain_name(texts):
    assert tasks.name_clusters(texts, [0, 1, 1]) == ["cluster 0", "cluster 1"]


def test_clusters_without_items_and_items_without_cluster_are_defined():
    assert tasks.name_clusters(["apple tree", "stone wall", "left out"], [2, 0, -1]) == ["stone, wall", "cluster 1", "apple, tree"]
    assert tasks.name_clusters([], []) == []


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, -2], [0.5, 1, 2], ["a", "b", "c"]])
def test_labels_that_are_no_cluster_numbers_are_refused(labels):
    with pytest.raises(InputError, match="labels"):
        tasks.name_clusters(["x", "y", "z"], labels)


# --- near-duplicates ---


def test_planted_near_duplicates_are_found_and_little_else(digits):
    X = digits[0].astype(np.float32)
    rng = np.random.default_rng(0)
    copies = X[:40] + rng.normal(scale=0.3, size=(40, 64)).astype(np.float32)
    found = tasks.near_duplicates(np.concatenate([X, copies]))
    pairs = {tuple(rows) for rows, _ in found}
    assert sum((i, len(X) + i) in pairs for i in range(40)) >= 39
    assert len(pairs) <= 43 and len(tasks.near_duplicates(X)) <= 2


def test_noise_has_no_near_duplicates():
    assert tasks.near_duplicates(np.random.default_rng(0).normal(size=(2000, 32))) == []


def test_pairs_that_are_merely_close_are_no_near_duplicates():
    X = np.random.default_rng(0).normal(size=(500, 32))
    assert tasks.near_duplicates(np.concatenate([X, X[:20] + 0.5 * np.random.default_rng(1).normal(size=(20, 32))])) == []


def test_neighbours_of_many_equal_rows_are_others_of_them():
    from unlabeled.parts.neighbours import neighbours

    found = neighbours(np.tile(np.float32([0.6, 0.8]), (40, 1)), 5)
    assert found.distances.shape == found.rows.shape == (40, 5) and 1 - found.distances == pytest.approx(1)


def test_when_every_item_has_a_twin_all_twins_are_found():
    X = np.random.default_rng(0).normal(size=(300, 32))
    found = tasks.near_duplicates(np.concatenate([X, X + 0.02 * np.random.default_rng(1).normal(size=X.shape)]))
    assert {tuple(rows) for rows, _ in found} == {(i, 300 + i) for i in range(300)}


def test_equal_rows_are_found_at_any_threshold_and_come_first():
    X = np.random.default_rng(0).normal(size=(50, 8))
    X[[7, 30, 31]], X[40] = X[3], X[5]
    for threshold in (None, 1.0):
        found = tasks.near_duplicates(X, threshold=threshold)
        assert found == [([3, 7, 30, 31], 1.0), ([5, 40], 1.0)]


def test_more_equal_rows_than_neighbours_are_still_one_group():
    X = np.concatenate([np.ones((200, 3)), np.random.default_rng(0).normal(size=(100, 3))])
    assert tasks.near_duplicates(X, k=5)[0] == (list(range(200)), 1.0)


def test_a_given_threshold_makes_the_groups_that_brute_force_makes():
    X = np.random.default_rng(2).normal(size=(120, 4))
    centred = X - X.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    close = unit @ unit.T >= 0.97
    expected, left = set(), set(range(120))
    while left:
        group, new = set(), {left.pop()}
        while new:
            group |= new
            new = {int(j) for i in new for j in np.flatnonzero(close[i])} - group
        left -= group
        if len(group) > 1:
            expected.add(tuple(sorted(group)))
    found = tasks.near_duplicates(X, threshold=0.97, k=119)
    assert {tuple(rows) for rows, _ in found} == expected
    for rows, similarity in found:
        assert 0.97 <= similarity <= 1 and similarity in [pytest.approx(unit[i] @ unit[j], abs=1e-5) for i in rows for j in rows]


def test_many_rows_are_searched_by_cells_and_their_twins_still_found(monkeypatch):
    from unlabeled.tasks import duplicates

    monkeypatch.setattr(duplicates, "EXACT", 500)
    X = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    found = tasks.near_duplicates(np.concatenate([X, X[:100] + 0.01]))
    assert len({tuple(rows) for rows, _ in found} & {(i, 3000 + i) for i in range(100)}) >= 98


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_smallest_sets_have_no_near_duplicates_unless_equal(rows):
    assert tasks.near_duplicates(np.eye(4)[:rows]) == []
    same = tasks.near_duplicates(np.ones((rows, 4)))
    assert same == ([] if rows == 1 else [(list(range(rows)), 1.0)])


def test_impossible_thresholds_and_neighbours_are_refused():
    with pytest.raises(InputError, match="threshold"):
        tasks.near_duplicates(np.eye(4), threshold=1.5)
    with pytest.raises(InputError, match="k=0"):
        tasks.near_duplicates(np.eye(4), k=0)


# --- outliers ---


def test_outliers_are_those_with_the_farthest_neighbours_by_brute_force(digits):
    X = digits[0][:500]
    rows, scores = tasks.outliers(X, m=7, k=4)
    centred = X - X.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    distance = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(unit).kneighbors(unit)[0][:, 1:].mean(axis=1)
    assert rows == list(np.argsort(-distance)[:7])
    np.testing.assert_allclose(scores, np.sort(distance)[::-1][:7], atol=1e-4)


def test_a_picture_of_noise_among_digits_is_odd(digits):
    noise = np.random.default_rng(0).uniform(0, 16, size=(5, 64))
    rows, _ = tasks.outliers(np.concatenate([digits[0], noise]), m=8)
    assert set(range(1797, 1802)) <= set(rows)


def test_against_a_sample_the_same_items_are_odd(monkeypatch):
    import importlib

    monkeypatch.setattr(importlib.import_module("unlabeled.tasks.outliers"), "REFERENCE", 400)
    X = np.random.default_rng(0).normal(size=(2000, 8)) + 4
    X[100:104] += 40 * np.eye(8)[:4]
    rows, _ = tasks.outliers(X, m=4)
    assert sorted(rows) == [100, 101, 102, 103]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_or_identical_items_have_finite_scores(rows):
    for X in (np.ones((rows, 3)), np.random.default_rng(0).normal(size=(rows, 3))):
        odd, scores = tasks.outliers(X, m=20)
        assert sorted(odd) == list(range(rows)) and np.isfinite(scores).all()
    assert tasks.outliers(np.ones((rows, 3)))[1][0] == 0


def test_a_row_that_is_far_away_is_odd_although_its_direction_is_common():
    X = np.random.default_rng(0).normal(size=(500, 2))
    X[17] *= 1000
    rows, scores = tasks.outliers(X, m=2)
    assert rows[0] == 17 and scores[0] > 10 * scores[1]


# --- all of them ---

JOBS = [tasks.cluster, tasks.near_duplicates, tasks.outliers, lambda Z: tasks.central(Z, [0] * len(Z))]


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((0, 4)), np.full((5, 2), np.nan), [["a", "b"]], np.zeros((2, 2, 2))])
def test_bad_vectors_are_an_error_of_one_line(job, bad):
    with pytest.raises(InputError) as error:
        job(bad)
    assert "\n" not in str(error.value)


def test_every_form_of_the_same_rows_gives_the_same_answers(tmp_path, digits):
    X = digits[0][:200].astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for form in (X.astype(np.float64), np.asfortranarray(X), X.astype(np.float16), mapped, X.tolist()):
        assert (tasks.cluster(form, 5).labels == tasks.cluster(X, 5).labels).all()
        assert tasks.near_duplicates(form) == tasks.near_duplicates(X)
        assert tasks.outliers(form) == tasks.outliers(X)


def test_the_room_is_functions_however_it_is_imported_and_brings_nothing_heavy():
    code = """if True:
        import sys
        from unlabeled.tasks.cluster import central
        from unlabeled import tasks
        assert callable(tasks.cluster) and callable(tasks.outliers), tasks.cluster
        heavy = {"torch", "sklearn", "faiss", "scipy"} & set(sys.modules)
        assert not heavy, heavy"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
