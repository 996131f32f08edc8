"""The run folder: what is kept, how it is found again, and what happens when writing it goes wrong."""

import errno
import json
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pytest

from unlabeled.data import Items
from unlabeled.errors import InputError
from unlabeled.representation import Representation, import_vectors, index, store

TEXTS = [
    "Open a gzip-compressed file in binary or text mode.",
    "Return the sine of x, measured in radians.",
    "Send an email message.",
    "Opens compressed files and reads them.",
]


def vectors_of(n=60, d=8, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32) + 3


def texts_of(n):
    return Items(kind="text", values=[f"text {row}" for row in range(n)])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Sixty texts with an id and a column each, made once and only read."""
    texts, ids = [f"{TEXTS[row % 4]} Number{row}." for row in range(60)], [f"doc-{row:02}" for row in range(60)]
    config = {"class": "SimSiam", "seed": np.int64(3)}
    path = tmp_path_factory.mktemp("runs") / "run"
    return Representation.create(path, Items("text", texts, ids, {"size": np.arange(60)}), vectors_of(), config=config)


def in_new_process(code, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, **options)


def test_a_run_opened_again_holds_what_was_put_in(run):
    again = Representation.open(run.path)
    assert np.array_equal(again.vectors, vectors_of()) and again.vectors.dtype == np.float32
    assert again.ids[:2] == ["doc-00", "doc-01"] and again.texts[3] == "Opens compressed files and reads them. Number3."
    assert again.columns == ["size"] and again.column("size").tolist() == list(range(60))
    assert [again.config[key] for key in ("class", "seed", "state", "format")] == ["SimSiam", 3, "done", 1]
    assert (len(again), again.kind) == (60, "text")
    assert np.allclose(again.center, vectors_of().mean(axis=0), atol=1e-6)


def test_writing_into_the_vectors_changes_nothing_on_the_disk(run):
    Representation.open(run.path).vectors[:] = 0
    assert np.array_equal(Representation.open(run.path).vectors, vectors_of())


def test_the_table_is_complete_for_those_who_open_it_with_lancedb(run):
    import lancedb

    table = lancedb.connect(run.path / run.config["database"]).open_table("items").to_arrow()
    assert table.column_names == ["row", "id", "text", "vector"]
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), vectors_of())


def test_opening_and_neighbours_do_not_wait_for_lancedb(run):
    code = """
        import sys, numpy as np
        from unlabeled.representation import Representation
        run = Representation.open(sys.argv[1])
        print(run.neighbours(run.vectors[5], 1)[1][0, 0], "lancedb" in sys.modules)"""
    assert in_new_process(code, run.path).stdout.split() == ["5", "False"]


def test_neighbours_are_cosines_after_subtracting_the_mean(run):
    scores, rows = run.neighbours(vectors_of(5, seed=1), 7)
    centred, queries = vectors_of() - vectors_of().mean(axis=0), vectors_of(5, seed=1) - vectors_of().mean(axis=0)
    wanted = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (centred / np.linalg.norm(centred, axis=1, keepdims=True)).T
    assert np.array_equal(rows, np.argsort(-wanted, axis=1)[:, :7])
    assert np.allclose(scores, -np.sort(-wanted, axis=1)[:, :7], atol=1e-5)


def test_more_neighbours_than_items_gives_all_items(run):
    scores, rows = run.neighbours(run.vectors[0], 1_000)
    assert scores.shape == (1, 60) and sorted(rows[0]) == list(range(60))


def test_queries_that_cannot_be_answered_are_refused(run):
    with pytest.raises(InputError, match=r"shape \(2, 5\), wanted \[m, 8\]"):
        run.neighbours(np.zeros((2, 5)), 3)
    with pytest.raises(InputError, match="query 1 holds NaN"):
        run.neighbours(np.array([[0.0] * 8, [np.nan] * 8]), 3)
    with pytest.raises(InputError, match="k is 0"):
        run.neighbours(run.vectors[:2], 0)
    assert run.neighbours(np.empty((0, 8)), 3)[0].shape == (0, 3)


def test_full_text_search_knows_word_stems_and_survives_any_query(run):
    rows, scores = run.search_text("open a compressed file", 40)
    assert set(rows % 4) == {0, 3} and len(rows) == 30 and (np.diff(scores) <= 0).all()
    assert run.search_text("Number7", 5)[0].tolist() == [7]
    for query in ('"open', '"compressed file"', "text:open AND (", "", "the", "+-*", "ünknown\x00"):
        rows, scores = run.search_text(query, 5)
        assert len(rows) == len(scores) <= 5


def test_an_unknown_id_is_answered_with_the_closest(run):
    assert run.row_of("doc-07") == 7
    with pytest.raises(InputError, match="no item has the id 'dok-07'; the closest are: doc-07, doc-.., doc-..$"):
        run.row_of("dok-07")


def test_columns_are_added_and_replaced_and_outlive_the_process(tmp_path):
    made = Representation.create(tmp_path / "run", texts_of(4), vectors_of(4), config={})
    made.set_columns(cluster=np.array([0, 1, 1, -1]), name=["a", "b", None, "ü"], x=[0.5, 1, np.nan, 2], good=[True, False, True, True])
    made.set_columns(
        cluster=np.array(["p", "q", "r", "s"]),
        **{"petal.length": [1, 2, 3, 4], "row": [9] * 4, "_rowid": [1] * 4, "": [5] * 4},
    )
    again = Representation.open(tmp_path / "run")
    assert again.columns == ["cluster", "name", "x", "good", "petal.length", "row", "_rowid", ""]
    assert again.column("cluster").tolist() == ["p", "q", "r", "s"] and again.column("name").tolist() == ["a", "b", None, "ü"]
    assert again.column("good").tolist() == [True, False, True, True] and again.column("petal.length").tolist() == [1, 2, 3, 4]
    assert np.isnan(again.column("x")[2]) and again.column("row").tolist() == [9] * 4 and again.column("").tolist() == [5] * 4
    assert again.texts == [f"text {row}" for row in range(4)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "has 2 values for 60 items"),
        ([[1]] * 60, "holds list<"),
        ([1] * 59 + ["x"], "can't be stored"),
        (np.zeros((60, 2)), "can't be stored"),
    ],
)
def test_a_column_that_does_not_fit_is_refused_and_none_is_written(run, values, message):
    with pytest.raises(InputError, match=message):
        run.set_columns(fine=np.zeros(60), wrong=values)
    assert Representation.open(run.path).columns == ["size"]


def test_an_unknown_column_is_answered_with_the_known(run):
    with pytest.raises(InputError, match="no column 'sizes'; it has: size"):
        run.column("sizes")


@pytest.mark.parametrize(("shape", "size"), [((100, 40, 3), (26, 64)), ((8, 8, 1), (8, 8))])
def test_pictures_come_back_as_thumbnails_in_the_order_asked_for(shape, size):
    import io

    from PIL import Image

    pictures = np.zeros((5, *shape), np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None] * 50
    made = import_vectors(vectors_of(5), Items("image", pictures))
    opened = [Image.open(io.BytesIO(png)) for png in made.thumbnails([4, 0, 4])]
    assert [picture.size for picture in opened] == [size] * 3
    assert [np.asarray(picture).max() for picture in opened] == [200, 0, 200]
    assert made.texts is None
    with pytest.raises(InputError, match="row 5 is asked for"):
        made.thumbnails([1, 5])
    with pytest.raises(InputError, match="no texts"):
        made.search_text("cat", 3)


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4", np.int8])
def test_vectors_of_any_real_type_and_layout_are_taken(kind, tmp_path):
    array = (vectors_of(30, 12) * 8).astype(kind)
    np.save(tmp_path / "vectors.npy", array)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")[::-2, ::3]
    assert np.array_equal(import_vectors(mapped).vectors, array[::-2, ::3].astype(np.float32))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), "shape .5. .*wanted real numbers"),
        (np.zeros((0, 4)), "n and d at least 1"),
        (np.zeros((4, 0)), "n and d at least 1"),
        (np.array([["a", "b"]]), "wanted real numbers"),
        (np.array([[1.0, 2], [np.nan, 1], [0, 0], [np.inf, 1]]), "2 of 4 vectors hold NaN or infinity, the first in row 1"),
        (np.array([[1.0, 2], [1e300, 1]]), "1 of 2 vectors hold NaN or infinity, the first in row 1"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused_in_one_line(array, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        import_vectors(array, path=tmp_path / "run")
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_items_that_do_not_match_the_vectors_are_refused():
    with pytest.raises(InputError, match="3 items with 3 ids came with 4 vectors"):
        import_vectors(vectors_of(4), ["a", "b", "c"])
    with pytest.raises(InputError, match="id 'x' names both row 0 and row 2"):
        import_vectors(vectors_of(3), ids=["x", "y", "x"])
    with pytest.raises(InputError, match="items is a str"):
        import_vectors(vectors_of(3), "photos")


def test_a_table_brings_its_ids_texts_and_columns():
    table = pa.table({"id": [10, 20], "text": ["red fox", "grey wolf"], "legs": [4, 4], "den.size": [1.5, 2.5]})
    made = import_vectors(vectors_of(2), table)
    assert made.kind == "text" and made.ids == ["10", "20"] and made.columns == ["legs", "den.size"]
    assert made.search_text("foxes", 5)[0].tolist() == [0]


def test_a_temporary_representation_goes_with_its_object():
    made = import_vectors(vectors_of(3))
    folder = made.path
    assert folder.is_dir() and made.kind == "vector"
    del made
    assert not folder.exists()


def test_one_item_and_identical_items_score_zero_not_nan():
    assert import_vectors(np.ones((1, 4)), ["one"]).neighbours(np.ones(4), 5)[0].tolist() == [[0.0]]
    scores, rows = import_vectors(np.full((50, 384), 0.1)).neighbours(np.full(384, 0.1), 5)
    assert scores.tolist() == [[0.0] * 5] and len(set(rows[0])) == 5


def test_beyond_the_limit_an_approximate_index_says_its_measured_recall(monkeypatch, tmp_path):
    monkeypatch.setattr(index, "FLAT_LIMIT", 2_000)
    monkeypatch.setattr(index, "SAMPLE", 200)
    latent, spread = np.random.default_rng(0).standard_normal((4_000, 6)), np.random.default_rng(1).standard_normal((6, 24))
    vectors = (latent @ spread).astype(np.float32)
    vectors[100:130] = vectors[100]  # equal vectors are equally right neighbours
    run = import_vectors(vectors, path=tmp_path / "run")
    assert run.index_info["kind"] == "hnsw" and run.index_info["recall_at_10"] >= 0.95
    assert re.fullmatch(r"recall@10 (0\.9\d|1\.00) on 200 queries", index.describe(run.index_info))
    exact = index.Index(vectors, run.center, {"kind": "flat"}, run.path)
    for k in (1, 10, 1_500):  # the last is beyond what a graph is walked for
        scores, rows = Representation.open(run.path).neighbours(vectors[200:260], k)
        assert (scores >= exact.search(vectors[200:260], k)[0] - 1e-5).mean() > 0.9
        assert (rows >= 0).all() and all(len(set(row)) == k for row in rows) and rows[:, 0].tolist() == list(range(200, 260))
    (next(run.path.glob("database-*")) / index.FILE).unlink()
    with pytest.raises(InputError, match="damaged .*neighbours.faiss is missing"):
        Representation.open(run.path)


def test_exact_neighbours_say_so(run):
    assert index.describe(run.index_info) == "exact" and run.index_info["recall_at_10"] == 1.0


def test_what_is_in_the_way_is_never_overwritten_unasked(tmp_path):
    path = tmp_path / "run"
    Representation.create(path, texts_of(3), vectors_of(3), config={})
    (path / "model.safetensors").write_text("the old model")
    with pytest.raises(InputError, match="already holds a run"):
        Representation.create(path, texts_of(4), vectors_of(4), config={})
    assert len(Representation.open(path)) == 3
    assert len(Representation.create(path, texts_of(4), vectors_of(4), config={}, overwrite=True)) == 4
    assert not (path / "model.safetensors").exists() and len(list(path.glob("database-*"))) == 1
    photos, file = tmp_path / "photos", tmp_path / "file"
    photos.mkdir()
    (photos / "a.png").touch()
    file.touch()
    for wrong, message in ((photos, "isn't empty and isn't a run"), (file, "is a file")):
        with pytest.raises(InputError, match=message):
            Representation.create(wrong, texts_of(3), vectors_of(3), config={}, overwrite=True)
    assert (photos / "a.png").exists()


def test_an_interrupted_training_is_finished_without_losing_its_files(tmp_path):
    (tmp_path / "model.safetensors").write_text("the model")
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "state": "training"}))
    with pytest.raises(InputError, match="half-written .*--resume"):
        Representation.open(tmp_path)
    with pytest.raises(InputError, match="finish it with --resume"):
        Representation.create(tmp_path, texts_of(3), vectors_of(3), config={})
    run = Representation.create(tmp_path, texts_of(3), vectors_of(3), config={"class": "SimSiam"}, finish=True)
    assert len(run) == 3 and (tmp_path / "model.safetensors").read_text() == "the model"


def test_a_folder_that_is_not_a_whole_run_is_refused_with_its_reason(tmp_path):
    def refused(message):
        with pytest.raises(InputError, match=message) as caught:
            Representation.open(tmp_path / "run")
        assert "\n" not in str(caught.value)

    refused("isn't there")
    (tmp_path / "run").mkdir()
    refused("isn't a run .it has no config.json")
    config = tmp_path / "run" / "config.json"
    for content, message in (
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"state": "done"}', "damaged"),
        ('{"model_type": "bert"}', "half-written"),
        ('{"state": "writing", "format": 1}', "half-written"),
        ('{"state": "done", "format": 2, "rooms": []}', r"newer unlabeled \(format 2; this one reads 1\): upgrade"),
    ):
        config.write_text(content)
        refused(message)
    config.unlink()
    run = Representation.create(tmp_path / "run", texts_of(3), vectors_of(3), config={})
    whole = (run.path / run.config["database"] / "vectors.npy").read_bytes()
    (run.path / run.config["database"] / "vectors.npy").write_bytes(whole[:-4])
    refused("damaged .vectors.npy")
    (run.path / run.config["database"]).rename(tmp_path / "elsewhere")
    refused("damaged .*items.lance is missing")


@pytest.mark.parametrize("where", ["vectors", "table", "config"])
def test_a_full_disk_leaves_what_was_there(where, monkeypatch, tmp_path):
    def full(*_, **__):
        raise RuntimeError("LanceError(IO): os error 28") if where == "table" else OSError(errno.ENOSPC, "No space left on device")

    Representation.create(tmp_path / "old", texts_of(3), vectors_of(3), config={})
    room, name = {"vectors": (np, "save"), "table": (store, "write"), "config": (os, "replace")}[where]
    monkeypatch.setattr(room, name, full)
    for path, overwrite in ((tmp_path / "new", False), (tmp_path / "old", True)):
        with pytest.raises(InputError, match="^disk full while writing .*make room") as caught:
            Representation.create(path, texts_of(4), vectors_of(4), config={}, overwrite=overwrite)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists() and len(list((tmp_path / "old").glob("database-*"))) == 1
    assert Representation.open(tmp_path / "old").texts == ["text 0", "text 1", "text 2"]


KILLS = """
    import os, random, resource, signal, sys, time, warnings
    from pathlib import Path
    import lancedb, numpy as np, pyarrow
    from lancedb.index import FTS
    from unlabeled.data import Items
    from unlabeled.errors import InputError
    from unlabeled.representation import Representation
    warnings.simplefilter("ignore")

    def create(path, seed, **options):
        vectors = np.full((3_000, 32), seed, np.float32) + np.eye(3_000, 32, dtype=np.float32)
        return Representation.create(path, Items("text", [f"text {seed}"] * 3_000), vectors, config={"seed": seed}, **options)

    def forked(work, kill_after=None):
        child = os.fork()
        if child == 0:
            try:
                work()
            except InputError as error:
                print(error, flush=True)
            os._exit(0)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    folder, random = Path(sys.argv[1]), random.Random(0)

    def starved(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        create(folder / f"run{limit}", 1)

    for limit in (1_000, 200_000, 390_000):  # config and header fit; then not the vectors (384 kB); then not the table
        forked(lambda: starved(limit))
    print("left over:", os.listdir(folder), flush=True)

    begin = time.perf_counter()
    forked(lambda: create(folder / "old", 1))
    whole = time.perf_counter() - begin
    for trial in range(8):
        path = folder / ("old" if trial % 2 else f"new{trial}")
        forked(lambda: create(path, trial + 2, overwrite=True), kill_after=whole * (trial + random.random()) / 8)
        try:
            run = Representation.open(path)
            seed = run.config["seed"]
            whole_run = run.texts == [f"text {seed}"] * 3_000 and np.allclose(run.vectors[2_999], seed)
            print(path.name, "whole" if whole_run else "broken")
        except InputError as error:
            print(path.name, "refused:", error)
            create(path, 0)  # nothing is in the way of another try
            assert Representation.open(path).config["seed"] == 0 and len(list(path.glob("database-*"))) == 1
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Lines printed by one process (importing lancedb takes 3 s) that starves three writers of disk and kills eight."""
    result = in_new_process(KILLS, tmp_path_factory.mktemp("killed"))
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_disk_that_really_fills_up_is_said_in_one_line(killed):
    assert len(killed) == 12 and all(line.startswith("disk full while writing") for line in killed[:3])
    assert killed[3] == "left over: []"


def test_a_run_killed_at_any_moment_is_the_old_one_or_the_new_one_or_refused(killed):
    old, new = ([line for line in killed[4:] if line.startswith(name)] for name in ("old", "new"))
    assert old == ["old whole"] * 4
    assert len(new) == 4 and all(re.search("whole|half-written|isn't there|no config.json", line) for line in new)
    assert any("half-written" in line for line in new)


@pytest.mark.parametrize("half", [True, False])
def test_the_one_pass_search_is_exact_and_keeps_to_the_masks(tmp_path, monkeypatch, half):
    import torch

    from unlabeled.representation.index import Flat, _exact, unit

    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: half)
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(5, 24))
    vectors = (centers[rng.integers(0, 5, 3000)] + 0.02 * rng.normal(size=(3000, 24))).astype(
        np.float32
    )  # near-ties, which bfloat16 can't tell
    center = vectors.mean(axis=0)
    flat, queries = Flat(vectors, center), unit(vectors[:20], center)
    keep = [None if n % 2 else rng.random(3000) < 0.01 for n in range(20)]
    found = [*flat.search(queries, 15, keep), *flat.search(queries[:1], 15, keep[:1])]  # together, and alone
    queries, keep = np.vstack([queries, queries[:1]]), [*keep, keep[0]]
    for (scores, rows), query, kept in zip(found, queries, keep, strict=True):
        there = np.arange(3000) if kept is None else np.flatnonzero(kept)
        wanted = _exact(query[None], vectors[there], center, 15)[0][0]
        np.testing.assert_allclose(scores, wanted, atol=1e-6)
        assert set(rows) <= set(there) and len(rows) == min(15, len(there))


def test_runs_whose_graph_has_8_bit_codes_are_still_searched_with_more_candidates(tmp_path, monkeypatch):
    import faiss

    vectors = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    center = vectors.mean(axis=0)
    old = faiss.IndexHNSWSQ(8, faiss.ScalarQuantizer.QT_8bit, 16, faiss.METRIC_INNER_PRODUCT)
    old.train(index.unit(vectors, center))
    old.add(index.unit(vectors, center))
    asked = []
    monkeypatch.setattr(old, "search", lambda queries, k, **more: asked.append(k) or type(old).search(old, queries, k, **more))
    scores, rows = index.Index(vectors, center, {"kind": "hnsw", "ef_search": 64}, tmp_path, old).search(vectors[:9], 5)
    assert asked == [20] and rows[:, 0].tolist() == list(range(9))
    np.testing.assert_allclose(scores, index._exact(index.unit(vectors[:9], center), vectors, center, 5)[0], atol=1e-6)


@pytest.mark.parametrize("n", [3000, 3001, 64 * 15])
def test_a_pass_finds_the_nearest_that_lie_in_one_piece_as_well(n):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, 16)).astype(np.float32)
    vectors[100:160] = vectors[100] + 0.1 * rng.normal(size=(60, 16))  # neighbours of each other, side by side in the table
    vectors[-5:] = vectors[100] + 0.1 * rng.normal(size=(5, 16))
    center = vectors.mean(axis=0)
    queries = index.unit(vectors[98:140], center)
    for (scores, _), query in zip(index.Flat(vectors, center).search(queries, 15, [None] * len(queries)), queries, strict=True):
        np.testing.assert_allclose(scores, index._exact(query[None], vectors, center, 15)[0][0], atol=1e-6)


def test_neighbours_kept_searches_only_what_a_mask_keeps(tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    exact = import_vectors(vectors, path=tmp_path / "exact")
    monkeypatch.setattr(index, "FLAT_LIMIT", 100)
    monkeypatch.setattr(index, "SAMPLE", 100)
    graph = import_vectors(vectors, path=tmp_path / "graph")
    assert graph.index_info["kind"] == "hnsw"
    mask = np.arange(500) % 50 == 7
    for run in (exact, graph):
        (scores, rows), (_, free), (_, none) = run.neighbours_kept(vectors[[7, 3, 3]], 5, [mask, None, np.zeros(500, bool)])
        assert rows[0] == 7 and mask[rows].all() and len(rows) == 5 and (np.diff(scores) <= 0).all()
        assert free[0] == 3 and len(none) == 0
    with pytest.raises(InputError, match="masks"):
        exact.neighbours_kept(vectors[:1], 5, [mask[:10]])
