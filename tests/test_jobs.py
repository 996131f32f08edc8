"""Tasks on a run: what they find is right, and stands in the run's columns afterwards."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

import unlabeled as ul
from unlabeled import InputError, cli_jobs, jobs
from unlabeled.cli import main

N = 400


@pytest.fixture(scope="module")
def digits():
    return load_digits()


@pytest.fixture
def run(digits, tmp_path):
    return ul.import_vectors(digits.data[:N].astype(np.float32), path=tmp_path / "digits", ids=[f"d{i}" for i in range(N)])


@pytest.fixture
def some(digits):
    """A quarter of the labels."""
    kept = np.random.default_rng(0).random(N) < 0.25  # not every fourth: the digits come in order
    return [int(y) if keep else -1 for keep, y in zip(kept, digits.target[:N], strict=True)]


def again(run):
    return ul.open(run.path)


def test_duplicates_are_grouped_and_marked_but_for_the_first(digits, tmp_path):
    Z = digits.data[:60].astype(np.float32)
    run = ul.import_vectors(np.vstack([Z, Z[:3]]), path=tmp_path / "twice")
    found = jobs.duplicates(run)
    assert found["extra"] == 3 and sorted(tuple(group["ids"]) for group in found["groups"]) == [("0", "60"), ("1", "61"), ("2", "62")]
    assert again(run).column("duplicate").nonzero()[0].tolist() == [60, 61, 62]
    assert (again(run).column("duplicate_group")[:3] == again(run).column("duplicate_group")[60:]).all()


def test_outliers_score_every_item_and_the_planted_one_is_first(digits, tmp_path):
    Z = digits.data[:100].astype(np.float32)
    Z[7] = -30 * (Z[7] < 1)
    run = ul.import_vectors(Z, path=tmp_path / "odd")
    assert jobs.outliers(run, m=3)["items"][0]["id"] == "7"
    assert again(run).column("outlier_score").argmax() == 7


@pytest.mark.parametrize("method", list(jobs.CLASSIFIERS))
def test_a_few_labels_class_all_items_and_the_accuracy_told_is_about_the_true_one(run, digits, some, method):
    settings = {"sea": {"epochs": 30}, "dlds": {"rounds": 1, "pretrain": 0, "steps": 100}}.get(method)
    found = jobs.classify(run, some, method=method, folds=2 if method == "dlds" else 3, settings=settings)
    right = again(run).column("predicted") == digits.target[:N].astype(str)
    unseen = np.array(some) == -1
    assert right[unseen].mean() > 0.8
    assert abs(found["accuracy"]["mean"] - right[unseen].mean()) < 0.12
    confidence = again(run).column("confidence")
    assert (confidence > 0).all() and (confidence <= 1 + 1e-6).all() and confidence[right].mean() > confidence[~right].mean()


def test_suspects_are_the_labels_that_were_exchanged(run, digits):
    y = digits.target[:N].copy()
    wrong = np.random.default_rng(0).choice(N, 16, replace=False)
    y[wrong] = (y[wrong] + 1) % 10
    jobs.suspects(run, y.tolist())
    flagged = again(run).column("suspect")
    assert flagged[wrong].mean() > 0.7 and np.delete(flagged, wrong).mean() < 0.05


def test_a_curated_subset_has_the_size_that_was_asked_for_and_is_more_even_than_chance(run):
    found = jobs.curate(run, 50)
    assert again(run).column("curated").sum() == 50 == len(set(found["ids"]))
    assert found["evenness"] >= found["evenness_at_random"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_the_graph_in_a_file_joins_each_item_with_its_nearest_by_brute_force(run, tmp_path, ending):
    import pyarrow.csv
    import pyarrow.parquet

    found = jobs.graph(run, tmp_path / f"graph.{ending}", k=3)
    options = pyarrow.csv.ParseOptions(delimiter="\t" if ending == "tsv" else ",")
    parquet = ending == "parquet"
    table = pyarrow.parquet.read_table(found["file"]) if parquet else pyarrow.csv.read_csv(found["file"], parse_options=options)
    ends = [frozenset(pair) for pair in zip(table["source"].to_pylist(), table["target"].to_pylist(), strict=True)]
    weight = dict(zip(ends, table["weight"].to_pylist(), strict=True))
    Z = np.asarray(run.vectors) - run.center
    cosine = Z @ Z.T / np.outer(np.linalg.norm(Z, axis=1), np.linalg.norm(Z, axis=1))
    np.fill_diagonal(cosine, -2)
    assert set(ends) == {frozenset((f"d{i}", f"d{j}")) for i, near in enumerate(np.argsort(-cosine)[:, :3]) for j in near}
    assert len(table) == found["edges"] == len(weight)
    assert weight[frozenset(("d0", f"d{cosine[0].argmax()}"))] == pytest.approx(cosine[0].max(), abs=1e-5)


def test_the_graph_as_a_matrix_is_symmetric_and_a_mutual_one_has_no_item_with_more_than_k_edges(run, tmp_path):
    from scipy.sparse import load_npz

    found = jobs.graph(run, tmp_path / "graph.npz", k=4, mutual=True, weight="one")
    matrix = load_npz(found["file"])
    assert (matrix != matrix.T).nnz == 0 and np.diff(matrix.tocsr().indptr).max() == found["most_edges"] <= 4
    with pytest.raises(InputError, match=r"wanted a name that ends in"):
        jobs.graph(run, tmp_path / "graph.xyz")


def test_concepts_are_listed_with_their_items(run):
    found = jobs.concepts(run, k=8)["concepts"]
    assert len(found) == 8 and sum(entry["items"] for entry in found) == N
    assert set(np.unique(again(run).column("concept"))) <= set(range(8))


def test_a_reduction_to_two_numbers_becomes_columns(run):
    said = jobs.reduce(run, "pca", dim=2)
    assert said["columns"] == ["pca_1", "pca_2"] and again(run).column("pca_1").std() > 0


def test_a_tour_gives_every_item_one_place(run):
    jobs.reduce(run, "tour")
    assert sorted(again(run).column("tour")) == list(range(N))


def test_a_reduction_to_more_becomes_a_run_that_embeds_new_items_the_same_way(tmp_path):
    texts = [
        f"how to {verb} a {noun}"
        for verb in ("open", "close", "read", "write", "copy")
        for noun in ("file", "socket", "thread", "table", "picture")
    ]
    made = ul.learn(texts * 2, method="tfidf-svd", out=tmp_path / "texts", settings={"dim": 9})
    said = jobs.reduce(made, "pca", dim=5)
    small = ul.open(said["run"])
    assert small.vectors.shape == (50, 5) and small.texts == texts * 2
    np.testing.assert_allclose(small.embed(texts[:3]), small.vectors[:3], atol=1e-5)
    assert small.search("open a socket", k=1)[0].text == "how to open a socket"
    with pytest.raises(InputError, match="already"):
        jobs.reduce(made, "pca", dim=5)


def test_compare_tells_the_same_from_another_and_matches_runs_by_id(run, digits, tmp_path):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0].astype(np.float32)
    order = np.random.default_rng(1).permutation(N)
    turned = ul.import_vectors((digits.data[:N] @ turn)[order], path=tmp_path / "turned", ids=[f"d{i}" for i in order])
    noise = ul.import_vectors(np.random.default_rng(2).normal(size=(N, 8)), path=tmp_path / "noise", ids=[f"d{i}" for i in range(N)])
    found = jobs.compare([run, turned, noise], digits.target[:N].tolist())
    pairs = {(pair["b"], pair["a"]): pair for pair in found["pairs"]}
    assert pairs["digits", "turned"]["cka"] > 0.999 and pairs["digits", "turned"]["neighbours_shared"] > 0.99
    assert pairs["digits", "noise"]["neighbours_shared"] < 0.1
    knn = [entry["knn"]["mean"] for entry in found["each"]]
    assert knn[0] == pytest.approx(knn[1], abs=0.01) and knn[2] < 0.3


def test_compare_takes_arrays_and_refuses_what_does_not_belong_together(run, digits, tmp_path, capsys):
    np.save(tmp_path / "a.npy", digits.data[:N])
    np.save(tmp_path / "b.npy", digits.data[: N - 1])
    assert main(["compare", str(run.path), str(tmp_path / "a.npy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["cka"] == pytest.approx(1)
    for sources, wanted in (
        ([run.path, tmp_path / "b.npy"], "rows"),
        ([run.path], "two or more"),
        ([run.path, tmp_path / "c.npy"], "no file"),
    ):
        assert main(["compare", *map(str, sources)]) == 2
        assert wanted in capsys.readouterr().err


def test_the_commands_write_columns_and_say_so(run, digits, tmp_path, capsys):
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"d{i},{y}\n" for i, y in enumerate(digits.target[:N]) if i % 3 == 0))
    path, labels = str(run.path), str(tmp_path / "labels.csv")
    for command in (["duplicates", path], ["outliers", path, "-m", "2"], ["classify", path, "--labels", labels, "--method", "mean"]):
        assert main(command) == 0
        assert "columns" in capsys.readouterr().out
    assert main(["classify", path, "--labels", "predicted", "--method", "mean"]) == 0  # a column of the run
    assert {"duplicate", "outlier_score", "predicted", "confidence"} <= set(again(run).columns)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (["classify", "--labels", "nowhere.csv"], "nowhere.csv"),
        (["curate", "-n", "0"], "wanted 1 to"),
        (["curate", "-n", "5", "--levels", "a,b"], "whole numbers"),
        (["reduce", "--method", "magic"], "tldr"),
        (["reduce", "--dim", "1000"], "wanted 1 to 64"),
    ],
)
def test_what_can_not_be_done_is_said_in_one_line(run, command, wanted, capsys):
    assert main([command[0], str(run.path), *command[1:]]) == 2
    assert wanted in capsys.readouterr().err


def test_an_unknown_classifier_or_setting_is_refused_with_those_that_there_are(run, some):
    with pytest.raises(InputError, match="probe"):
        jobs.classify(run, some, method="magic")
    with pytest.raises(InputError, match="seed"):
        jobs.classify(run, some, settings={"magic": 1})


def test_progress_counts_every_classifier_that_is_fitted(run, some):
    seen = []
    found = jobs.classify(run, some, method="mean", folds=3, progress=lambda done, total: seen.append((done, total)))
    assert found["accuracy"]["folds"] == 3 and seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_curation_says_beforehand_where_its_time_grows_with_the_square(run, capsys, monkeypatch):
    monkeypatch.setattr(cli_jobs, "SQUARE", 100)
    assert main(["curate", str(run.path), "-n", "5"]) == 0
    assert "400 items in 4 groups: time grows with their square" in capsys.readouterr().err
    assert main(["curate", str(run.path), "-n", "5", "--levels", "20,4"]) == 0
    assert capsys.readouterr().err == ""
