"""Named sets: the two that any Python has, those in $UNLABELED_DATA, and files fetched from their origin."""

import csv
import gzip
import hashlib
import io
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unlabeled import datasets
from unlabeled.data import read
from unlabeled.datasets import named
from unlabeled.errors import InputError

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def docstrings():
    return datasets.load("docstrings")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLABELED_DATA", str(tmp_path))
    return tmp_path


def complaint(function, *args, **options):
    with pytest.raises(InputError) as error:
        function(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def jpeg(value):
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, 0)).save(data, "JPEG")
    return data.getvalue()


def test_digits_are_1797_grey_pictures_with_labels():
    items = datasets.load("digits")
    assert items.describe() == "1,797 images, 8x8 grey; 0 unreadable"
    assert np.bincount(items.columns["label"]).min() > 170 and items.values.max() == 255


def test_docstrings_are_the_standard_library_s_by_the_names_people_know(docstrings):
    assert 4000 < len(docstrings) < 12_000 and docstrings.kind == "text"
    row = list(docstrings.ids).index("gzip.open")
    assert docstrings.values[row].startswith("Open a gzip-compressed file")
    assert docstrings.columns["module"][row] == "gzip" and docstrings.columns["kind"][row] == "function"
    assert docstrings.columns["kind"][list(docstrings.ids).index("gzip.GzipFile.read1")] == "method"
    assert len(set(docstrings.ids)) == len(docstrings)


def test_docstrings_leave_out_tests_installed_packages_and_single_words(docstrings):
    assert all(len(text.split()) > 1 for text in docstrings.values)
    steps = {step for name in docstrings.columns["module"] for step in name.split(".")}
    assert not steps & {"test", "tests", "idle_test", "site-packages"}


def test_a_sample_is_the_same_each_time_and_keeps_the_order():
    first, second = (datasets.load("digits", n=50) for _ in range(2))
    rows = [int(name) for name in first.ids]
    assert list(first.ids) == list(second.ids) and rows == sorted(rows) and len(set(first.columns["label"].tolist())) == 10
    assert "n is 0" in complaint(datasets.load, "digits", n=0)


def test_a_set_that_is_not_there_lists_what_is_and_says_how_to_set_the_folder(folder):
    said = complaint(datasets.load, "nothing_like_it")
    assert "digits" in said and "docstrings" in said and "UNLABELED_DATA" in said
    assert "it isn't split" in complaint(datasets.load, "digits", split="train")


def test_a_variable_that_names_no_folder_is_said(monkeypatch):
    monkeypatch.setenv("UNLABELED_DATA", "/nowhere/at/all")
    assert "no folder" in complaint(datasets.load, "cifar10")


def test_pictures_in_train_and_test_files_are_joined_with_their_labels_and_class_names(folder):
    (folder / "cifar10").mkdir()
    for part, rows in (("train", 30), ("test", 10)):
        labels = pa.array([row % 10 for row in range(rows)], pa.int8())
        pq.write_table(pa.table({"jpeg": [jpeg(6 * row) for row in range(rows)], "label": labels}), folder / "cifar10" / f"{part}.parquet")
    assert "cifar10" in datasets.names()
    items = datasets.load("cifar10")
    assert items.values.shape == (40, 8, 8, 3) and items.ids[30] == "test/0" and items.columns["split"].count("train") == 30
    assert items.columns["class"][9] == "truck" and items.columns["label"][9] == 9
    assert len(datasets.load("cifar10", split="test")) == 10
    assert "it has test, train" in complaint(datasets.load, "cifar10", split="dev")
    some, same = datasets.load("cifar10", n=12), items.subset(named._sample(40, 12))  # decoding 12 gives what decoding all does
    assert list(some.ids) == list(same.ids) and np.array_equal(some.values, same.values)
    assert some.columns["label"].tolist() == same.columns["label"].tolist() and some.columns["split"] == same.columns["split"]


def test_a_set_that_nobody_described_is_read_by_what_its_files_say(folder):
    (folder / "reviews").mkdir()
    (folder / "reviews" / "README.md").write_text("about it")
    table = {"text": ["a fine film", "a dull film", "a new one"], "label": ["good", "bad", "good"], "split": ["train", "train", "test"]}
    pq.write_table(pa.table(table), folder / "reviews" / "reviews.parquet")
    assert "reviews" in datasets.names()
    items = datasets.load("reviews", split="train")
    assert items.take([0, 1]) == ["a fine film", "a dull film"] and items.columns["label"] == ["good", "bad"]


def test_npz_sets_are_split_by_their_files_or_by_the_names_of_their_arrays(folder):
    for name in ("usps", "mnist"):
        (folder / name).mkdir()
    x, y = RNG.integers(0, 256, (9, 8, 8), dtype=np.uint8), np.arange(9, dtype=np.uint8)
    np.savez(folder / "usps" / "usps.npz", x_train=x[:6], y_train=y[:6], x_test=x[6:], y_test=y[6:])
    np.savez(folder / "mnist" / "train.npz", x=x[:6], y=y[:6])
    np.savez(folder / "mnist" / "test.npz", x=x[6:], y=y[6:])
    for name in ("usps", "mnist"):
        items = datasets.load(name)
        assert np.array_equal(items.values[..., 0], x) and items.columns["label"].tolist() == list(range(9))
        assert items.columns["split"] == ["train"] * 6 + ["test"] * 3
        assert datasets.load(name, split="test").columns["label"].tolist() == [6, 7, 8]


def idx(array):
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes())


def test_idx_files_are_read_with_their_labels(folder):
    (folder / "fashion_mnist").mkdir()
    x, y = RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8), np.arange(6, dtype=np.uint8)
    for part, rows in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
        (folder / "fashion_mnist" / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(x[rows]))
        (folder / "fashion_mnist" / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(y[rows]))
    items = datasets.load("fashion_mnist")
    assert np.array_equal(items.values[..., 0], x) and items.columns["class"][:2] == ["T-shirt", "Trouser"]
    assert datasets.load("fashion_mnist", split="test").columns["label"].tolist() == [4, 5]


def test_a_fetched_file_is_kept_only_when_it_is_the_right_one(tmp_path):
    origin = tmp_path / "origin.bin"
    origin.write_bytes(b"the right bytes")
    right = hashlib.sha256(b"the right bytes").hexdigest()
    to = tmp_path / "cache" / "file.bin"
    assert "not the file it should be" in complaint(datasets.fetch, origin.as_uri(), "0" * 64, to)
    assert list(to.parent.iterdir()) == []
    assert datasets.fetch(origin.as_uri(), right, to).read_bytes() == b"the right bytes"
    origin.unlink()
    assert datasets.fetch(origin.as_uri(), right, to) == to  # it is there: nothing is fetched
    assert "can't be fetched" in complaint(datasets.fetch, origin.as_uri(), right, tmp_path / "other.bin")
    assert sorted(path.name for path in to.parent.iterdir()) == ["file.bin"]


def test_digits_are_written_as_png_files_with_the_labels_beside_the_folder(tmp_path):
    where = datasets.export("digits", tmp_path / "digits", n=20)
    assert where == tmp_path / "digits" and {path.suffix for path in where.iterdir()} == {".png"}
    items, original = read(where), datasets.load("digits", n=20)
    assert np.array_equal(items.values, original.values) and list(items.ids)[:2] == ["0000.png", "0001.png"]
    with open(tmp_path / "digits-labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == list(items.ids) and [int(row["label"]) for row in rows] == original.columns["label"].tolist()


def test_docstrings_are_written_with_their_ids_and_read_back(tmp_path, docstrings, monkeypatch):
    monkeypatch.setattr(named, "docstrings", lambda: docstrings)
    items = read(datasets.export("docstrings", tmp_path / "out"))
    assert items.kind == "text" and list(items.ids) == list(docstrings.ids) and list(items.values) == docstrings.values


def test_vectors_are_written_as_columns_without_their_labels(folder, tmp_path):
    (folder / "tabular_features").mkdir()
    np.savez(folder / "tabular_features" / "isolet.npz", x=RNG.random((5, 3)).astype(np.float16), y=np.arange(5))
    items = read(datasets.export("tabular_features/isolet", tmp_path / "out"))
    assert items.fields == ["x0", "x1", "x2"] and items.columns == {} and (tmp_path / "out-labels.csv").is_file()


REAL = {
    "cifar10": "image",
    "fashion_mnist": "image",
    "mnist": "image",
    "usps": "image",
    "omniglot": "image",
    "medical_mnist": "image",
    "tiny_imagenet20": "image",
    "coil20": "image",
    "emoji": "image",
    "stackoverflow_titles": "text",
    "ag_news_test": "text",
    "newsgroups20": "text",
    "ohsumed_abstracts": "text",
    "sentences/mr": "text",
    "public_books": "text",
    "english_text": "text",
    "tabular_features/isolet": "vector",
    "movielens_100k": "text",
    "crisis_tweets": "text",
}


@pytest.mark.parametrize("name", REAL)
def test_the_sets_at_hand_are_read(name):
    if name not in datasets.names() or (name == "fashion_mnist" and name not in named._folders()):
        pytest.skip(f"{name} is not in $UNLABELED_DATA")
    items = datasets.load(name, n=60)
    assert items.kind == REAL[name] and len(items) == 60 and not items.unreadable
    assert name == "movielens_100k" or len(set(map(str, items.columns["label"]))) > 1


def test_this_pythons_own_library_is_a_graph_and_a_set_of_facts_and_comes_back_from_files(tmp_path):
    from unlabeled.data import read
    from unlabeled.datasets import export, load

    imports = load("python_imports")
    names = list(imports.ids)
    assert imports.values.has([[names.index("gzip"), names.index("zlib")]])[0] if "zlib" in names else "gzip" in names
    assert imports.values.has([[names.index("json"), names.index("json.decoder")]])[0]
    path = export("python_imports", tmp_path / "g")
    assert read(path, kind="graph").values.n_edges == imports.values.n_edges
    facts = load("python_facts")
    said = {(facts.values.entities[h], facts.values.relations[r], facts.values.entities[t]) for h, r, t in facts.values.facts.tolist()}
    assert {
        ("gzip.GzipFile", "is defined in", "gzip"),
        ("json.decoder", "is part of", "json"),
        ("gzip.GzipFile", "has method", "read()"),
    } <= said
    assert read(export("python_facts", tmp_path / "f"), kind="triples").values.n_edges == facts.values.n_edges
