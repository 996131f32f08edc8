"""A run as a table for other tools."""

import csv
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import unlabeled as ul
from unlabeled.cli import main
from unlabeled.data import Items
from unlabeled.errors import InputError
from unlabeled.exports import export
from unlabeled.labels import Labels


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    rng = np.random.default_rng(0)
    items = Items("text", [f'text, "{n}"\nline' for n in range(60)], [f"t{n}" for n in range(60)], columns={"size": np.arange(60) / 7})
    run = ul.import_vectors(rng.normal(size=(60, 5)), items, tmp_path_factory.mktemp("export") / "texts")
    Labels(run).set([3, 4], "odd")
    return run


def test_a_parquet_file_has_the_map_the_neighbours_and_the_labels(texts, tmp_path):
    made = export(texts, tmp_path / "atlas.parquet", neighbours=7, vectors=True)
    table = pq.read_table(made["file"])
    assert made["rows"] == table.num_rows == 60
    assert {"id", "text", "size", "x", "y", "given_label", "neighbors", "vector"} <= set(table.column_names)
    rows = table.to_pylist()
    assert rows[3]["given_label"] == "odd" and rows[0]["given_label"] is None and rows[5]["text"] == texts.texts[5]
    for row in (0, 31):
        scores, near = texts.neighbours(np.asarray(texts.vectors[row]), 8)
        assert rows[row]["neighbors"]["ids"] == near[0][1:].tolist()
        np.testing.assert_allclose(rows[row]["neighbors"]["distances"], 1 - scores[0][1:], atol=1e-5)
        np.testing.assert_allclose(rows[row]["vector"], texts.vectors[row])


def test_pictures_are_in_the_parquet_file(tmp_path):
    pictures = (load_digits().images[:12, :, :, None] * 15).astype(np.uint8)
    run = ul.import_vectors(np.random.default_rng(0).normal(size=(12, 4)), Items("image", pictures), tmp_path / "run")
    made = export(run, tmp_path / "a.parquet", neighbours=50)
    rows = pq.read_table(made["file"]).to_pylist()
    assert (np.asarray(Image.open(io.BytesIO(rows[5]["image"]["bytes"]))) == pictures[5, :, :, 0]).all()
    assert len(rows[0]["neighbors"]["ids"]) == 11


def test_a_csv_file_reads_back_the_same(texts, tmp_path):
    made = export(texts, tmp_path / "a.csv")
    with open(made["file"], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == texts.texts and rows[4]["given_label"] == "odd" and float(rows[7]["size"]) == 1


def test_what_cannot_be_written_is_refused_and_leaves_nothing(texts, tmp_path):
    for to, said in (("a.json", "parquet or .csv"), ("no/a.csv", "isn't there")):
        with pytest.raises(InputError, match=said):
            export(texts, tmp_path / to)
    with pytest.raises(InputError, match="neighbours=0"):
        export(texts, tmp_path / "a.parquet", neighbours=0)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_how_to_open_the_file(texts, tmp_path, capsys):
    assert main(["export", str(texts.path), "--to", str(tmp_path / "a.parquet")]) == 0
    assert "embedding-atlas" in capsys.readouterr().out
    assert main(["export", str(texts.path), "--to", str(tmp_path / "a.txt")]) == 2
