"""The HTTP API: what it answers, what it refuses, and what it keeps."""

import base64
import io
import json
import struct
import threading
import time
import zlib
from collections import Counter

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sklearn.datasets import load_digits

import unlabeled as ul
from unlabeled.data import Items
from unlabeled.errors import InputError
from unlabeled.web import _is_loopback, serve
from unlabeled.web.app import application
from unlabeled.web.batching import Batcher
from unlabeled.web.columns import Column, density
from unlabeled.web.guard import Limits
from unlabeled.web.opened import Runs
from unlabeled.web.shapes import Found

WORDS = {
    "pets": ["cat", "dog", "hamster", "purring"],
    "sea": ["ship", "wave", "harbour", "sailor"],
    "food": ["bread", "soup", "onion", "cook"],
}


def sentences() -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(0)
    about = [name for name in WORDS for _ in range(60)]
    return [" ".join(rng.choice(WORDS[name], 6)) + f" number {n}" for n, name in enumerate(about)], about


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    texts, about = sentences()
    lengths = [float(len(text)) if n else float("nan") for n, text in enumerate(texts)]
    items = Items("text", texts, [f"note/{n}.txt" for n in range(len(texts))], columns={"about": about, "length": lengths, "label": about})
    ul.learn(items, method="tfidf-svd", settings={"dim": 16}, out=folder / "notes")
    digits = load_digits()
    pictures = (digits.images[:300, :, :, None] * 15).astype(np.uint8)
    ul.learn(Items("image", pictures, [f"digit {n}" for n in range(300)]), method="none", encoder="conv4", out=folder / "digits")
    rng = np.random.default_rng(1)
    ul.import_vectors(rng.normal(size=(180, 5)), ids=[f"note/{n}.txt" for n in range(179)] + ["another"], path=folder / "mine")
    ul.learn(
        rng.normal(size=(200, 12)).astype(np.float32),
        method="matryoshka",
        settings={"dims": (4, 8)},
        epochs=1,
        out=folder / "nested",
    )
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    opened = Runs([folder / name for name in ("notes", "digits", "mine", "nested")])
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(runs):
    with TestClient(application(runs), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def post(client, path, **body):
    return client.post(f"/v1/runs/{path}", json=body)


def floats(answer, dtype="<f4"):
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, dtype)


# Runs, maps, columns, items


def test_the_open_runs_say_what_they_are_and_how_they_can_be_searched(client):
    found = {run["id"]: run for run in client.get("/v1/runs").json()["runs"]}
    assert list(found) == ["notes", "digits", "mine", "nested"]
    assert found["notes"]["search"] == {"words": True, "names": False, "file": True, "item": True}
    assert found["mine"]["model"] is False and found["mine"]["search"]["file"] is False
    assert found["nested"]["matryoshka"] == [4, 8] and found["digits"]["matryoshka"] is None
    assert found["digits"]["thumbnails"] and found["notes"]["verdict"]


def test_the_map_is_float32_in_minus_one_to_one_and_made_where_there_is_none(client, folder):
    for name, n in (("notes", 180), ("mine", 180)):
        at = floats(client.get(f"/v1/runs/{name}/map")).reshape(2, n)
        assert np.abs(at).max() == pytest.approx(1, abs=1e-5)
    assert {"x", "y"} <= set(ul.open(folder / "mine").columns)


def test_columns_come_as_numbers_with_what_they_stand_for(client):
    about = client.get("/v1/runs/notes/columns/about").json()
    assert about["kind"] == "category" and sorted(about["values"]) == ["food", "pets", "sea"] and not about["own"]
    codes = floats(client.get("/v1/runs/notes/columns/about/values"))
    assert [about["values"][int(code)] for code in codes] == sentences()[1]
    length = client.get("/v1/runs/notes/columns/length").json()
    values = floats(client.get("/v1/runs/notes/columns/length/values"))
    assert length["kind"] == "number" and np.isnan(values[0]) and length["max"] == np.nanmax(values)
    assert client.get("/v1/runs/notes/columns/nothing").status_code == 400


def test_a_label_column_of_the_data_stands_beside_the_labels_given_here(client):
    names = [column["name"] for column in client.get("/v1/runs/notes").json()["columns"]]
    assert "label" in names and "label (data)" in names
    assert client.get("/v1/runs/notes/columns/label (data)").json()["distinct"] == 3


def test_items_come_with_their_columns_and_pictures(client):
    found = client.get("/v1/runs/notes/items", params={"rows": "0,5"}).json()["items"]
    assert [item["row"] for item in found] == [0, 5] and found[1]["columns"]["about"] == "pets" and found[0]["columns"]["length"] is None
    assert client.get("/v1/runs/notes/items", params={"id": "note/7.txt"}).json()["items"][0]["row"] == 7
    picture = client.get(client.get("/v1/runs/digits/items?rows=3").json()["items"][0]["thumbnail"])
    assert Image.open(io.BytesIO(picture.content)).size == (8, 8)


@pytest.mark.parametrize("query", ["", "?rows=1&id=a", "?rows=a", "?rows=-1", "?rows=180", "?rows=" + ",".join(["1"] * 201)])
def test_items_that_cannot_be_had_are_refused_in_words(client, query):
    answer = client.get(f"/v1/runs/notes/items{query}")
    assert answer.status_code == 400 and answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/nothing",
        "/v1/runs/notes/thumbnails/1.png",
        "/v1/runs/digits/thumbnails/300.png",
        "/v1/runs/mine/report",
        "/v1/runs/notes/items?id=nothing",
        "/v1/runs/notes/items/no/such/similar",
        "/v1/runs/../config.json",
        "/v1/runs/notes/..%2f..%2fconfig.json",
        "/assets/..%2f..%2fapp.py",
        "/nothing",
    ],
)
def test_what_is_not_there_is_a_404_with_a_message(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and answer.json()["error"]["message"]


# Search


def test_words_find_texts_by_meaning_and_by_themselves(client):
    found = post(client, "notes/search", words="sailor in the harbour", k=5).json()
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3, 4, 5] and found["milliseconds"] > 0
    assert all(60 <= hit["row"] < 120 for hit in found["hits"])
    assert Found.model_validate(found, strict=True).model_dump() == found  # it isn't checked by the server itself


def test_the_api_finds_what_the_library_finds(client, folder):
    run = ul.open(folder / "notes")
    for query, body in (
        ("warm soup", {"words": "warm soup"}),
        ("id:note/9.txt", {"id": "note/9.txt"}),
        (np.asarray(run.vectors[3]), {"vector": run.vectors[3].tolist()}),
    ):
        wanted, hits = run.search(query, 30), post(client, "notes/search", k=7, **body).json()["hits"]
        scores = {hit.id: hit.score for hit in wanted}  # notes may be equally near: their order isn't promised
        assert [hit["score"] for hit in hits] == [pytest.approx(hit.score, abs=1e-3) for hit in wanted[:7]]
        assert all(hit["score"] == pytest.approx(scores[hit["id"]], abs=1e-3) for hit in hits)


def test_an_item_does_not_find_itself_by_row_by_id_or_by_address(client):
    by_row = post(client, "notes/search", row=4, k=6).json()["hits"]
    by_id = client.get("/v1/runs/notes/items/note%2F4.txt/similar?k=6").json()["hits"]
    assert by_row == by_id and len(by_row) == 6 and 4 not in [hit["row"] for hit in by_row]


def test_filters_leave_only_what_they_keep_and_the_nearest_of_it(client, folder):
    run = ul.open(folder / "notes")
    filters = [{"column": "about", "in": ["food", "sea"]}, {"column": "length", "min": 20}, {"column": "about", "contains": "OO"}]
    hits = post(client, "notes/search", row=0, k=5, filters=filters).json()["hits"]
    keep = [row for row, text in enumerate(run.texts) if run.column("about")[row] == "food" and len(text) >= 20]
    scores, rows = run.neighbours(np.asarray(run.vectors[0]), 180)
    assert [hit["row"] for hit in hits] == [row for row in rows[0] if row in keep][:5]
    assert np.flatnonzero(floats(post(client, "notes/filter", filters=filters), "u1")).tolist() == keep
    words = post(client, "notes/search", words="cat wave", k=50, filters=[{"column": "about", "in": ["sea"]}]).json()["hits"]
    assert words and all(60 <= hit["row"] < 120 for hit in words)
    assert post(client, "notes/search", row=0, filters=[{"column": "about", "in": []}]).json()["hits"] == []


def test_names_of_pictures_are_found_by_their_words(client):
    assert post(client, "digits/search", words="DIGIT 29", k=2).json()["hits"][0]["id"] == "digit 29"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "one of words"),
        ({"words": "a", "row": 1}, 422, "one of words"),
        ({"words": ""}, 422, "at least 1"),
        ({"words": "   "}, 400, "query is empty"),
        ({"row": 180}, 400, "0 to 179"),
        ({"row": -1}, 422, "greater"),
        ({"id": "nothing"}, 404, "closest are"),
        ({"vector": [1, 2]}, 400, "wanted 12"),
        ({"row": 1, "k": 0}, 422, "k"),
        ({"row": 1, "k": 1001}, 422, "k"),
        ({"row": 1, "more": 1}, 422, "more"),
        ({"row": 1, "filters": [{"column": "about"}]}, 422, "contains"),
        ({"row": 1, "filters": [{"column": "about", "min": 1}]}, 400, "holds no numbers"),
        ({"row": 1, "filters": [{"column": "none", "min": 1}]}, 400, "no column"),
    ],
)
def test_bad_searches_are_refused_and_say_why(client, body, status, said):
    answer = post(client, "notes/search", **body)
    assert answer.status_code == status and said in answer.json()["error"]["message"]


def test_a_run_without_a_model_says_which_searches_work(client):
    answer = client.post("/v1/runs/mine/search/file", content=b"x")
    assert answer.status_code == 400 and "search it by an item" in answer.json()["error"]["message"]


# Uploads


def png(array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_uploaded_picture_finds_itself_and_a_text_its_like(client):
    picture = (load_digits().images[17] * 15).astype(np.uint8)
    hits = client.post("/v1/runs/digits/search/file?k=3", content=png(picture)).json()["hits"]
    assert hits[0]["row"] == 17 and hits[0]["score"] > 0.999
    hits = client.post("/v1/runs/notes/search/file?k=3", content=b"soup with onion and bread").json()["hits"]
    assert all(hit["row"] >= 120 for hit in hits)
    only = json.dumps([{"column": "about", "in": ["pets"]}])
    hits = client.post("/v1/runs/notes/search/file", params={"k": 3, "filters": only}, content=b"soup").json()["hits"]
    assert all(hit["row"] < 60 for hit in hits)


def test_a_colour_picture_of_another_size_is_taken_as_the_model_takes_it(client):
    rng = np.random.default_rng(0)
    assert (
        len(client.post("/v1/runs/digits/search/file", content=png(rng.integers(0, 255, (50, 70, 3), dtype=np.uint8))).json()["hits"]) == 20
    )


def header_only(width, height) -> bytes:
    """A PNG that says it is large and holds next to nothing."""
    chunk = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", chunk), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (header_only(20_000, 20_000), 413),
        (header_only(60_000, 60_000), 413),
        (header_only(21_000, 1), 413),
        (header_only(500, 500), 400),
        (b"", 400),
        (b"nonsense", 400),
        (b"\x89PNG\r\n\x1a\n", 400),
        (b"GIF89a", 400),
        (b"<svg onload='alert(1)'/>", 400),
    ],
)
def test_bombs_and_nonsense_are_refused_before_they_are_unpacked(client, data, status):
    started = time.monotonic()
    answer = client.post("/v1/runs/digits/search/file", content=data)
    assert answer.status_code == status and answer.json()["error"]["message"]
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("data", [b"\xff\xfe\0a", b"   ", b"a\0b"])
def test_texts_that_are_none_are_refused(client, data):
    assert client.post("/v1/runs/notes/search/file", content=data).status_code == 400


def test_a_vector_comes_as_npy_and_never_as_a_pickle(client):
    good, pickled = io.BytesIO(), io.BytesIO()
    np.save(good, np.ones(12, np.float32))
    np.save(pickled, np.array([{}] * 12, dtype=object), allow_pickle=True)
    assert client.post("/v1/runs/nested/search/file", content=good.getvalue()).status_code == 200
    assert client.post("/v1/runs/nested/search/file", content=pickled.getvalue()).status_code == 400


# Groups


def test_clusters_are_renamed_and_merged_and_the_run_keeps_it(client, folder):
    before = post(client, "notes/clusters", k=5).json()["clusters"]
    assert [c["size"] for c in before] == sorted((c["size"] for c in before), reverse=True) and before[0]["examples"][0]["text"]
    renamed = client.patch("/v1/runs/notes/clusters/1", json={"name": "Harbour life"}).json()
    assert renamed["edited"] and renamed["clusters"][1]["name"] == "Harbour life"
    merged = post(client, "notes/clusters/merge", clusters=[1, 3], name="Both").json()["clusters"]
    assert len(merged) == 4 and next(c for c in merged if c["name"] == "Both")["size"] == before[1]["size"] + before[3]["size"]
    assert sum(c["size"] for c in merged) == 180
    again = ul.open(folder / "notes")
    assert [c.name for c in again.clusters(5)] == [c["name"] for c in merged]
    assert (np.bincount(again.column("cluster").astype(int)) == [c["size"] for c in merged]).all()
    assert "Both" in client.get("/v1/runs/notes/columns/cluster_name").json()["values"]
    for body, status in (({"clusters": [0]}, 422), ({"clusters": [0, 9]}, 400), ({"clusters": [2, 2]}, 400)):
        assert post(client, "notes/clusters/merge", **body).status_code == status
    assert client.patch("/v1/runs/notes/clusters/77", json={"name": "x"}).status_code == 400
    assert post(client, "notes/clusters", k=10_000).status_code == 400
    assert len(post(client, "notes/clusters", k=3).json()["clusters"]) == 3


def test_topics_duplicates_and_outliers(client):
    topics = client.get("/v1/runs/notes/topics?k=3").json()
    assert sorted(topic["size"] for topic in topics["topics"]) == [60, 60, 60]
    assert client.get("/v1/runs/digits/topics").status_code == 400
    duplicates = client.get("/v1/runs/digits/duplicates?threshold=0.9").json()
    assert duplicates["found"] >= len(duplicates["groups"]) and duplicates["extra"] > 0
    odd = client.get("/v1/runs/digits/outliers?m=7").json()["items"]
    assert len(odd) == 7 and odd[0]["score"] >= odd[-1]["score"] and odd[0]["thumbnail"]


# Labels


def test_label_predict_suspect_export_and_reload(client, folder):
    run = ul.open(folder / "notes")
    assert post(client, "notes/predict").status_code == 400
    for rows, name in (([0, 1, 2, 3, 4], "pets"), ([60, 61, 62, 63, 64], "sea"), ([120, 121, 122, 123, 124], "food")):
        said = post(client, "notes/labels", rows=rows, label=name).json()
    assert said["count"] == 15 and said["classes"] == {"food": 5, "pets": 5, "sea": 5}
    found = post(client, "notes/predict").json()
    assert sum(found["classes"].values()) == 180 and found["accuracy"]["mean"] > 0.6 and found["revision"] == said["revision"]
    assert found["unsure"] and not {item["row"] for item in found["unsure"]} & {0, 60, 120}
    predicted = client.get("/v1/runs/notes/columns/predicted").json()
    codes = floats(client.get("/v1/runs/notes/columns/predicted/values"))
    assert np.mean([predicted["values"][int(code)] == name for code, name in zip(codes, sentences()[1], strict=True)]) > 0.75
    assert floats(client.get("/v1/runs/notes/columns/confidence/values")).max() <= 1
    assert "predicted" not in run.columns
    post(client, "notes/predict", keep=True)
    assert dict(Counter(ul.open(folder / "notes").column("predicted"))) == found["classes"]
    assert client.get("/v1/runs/notes/predictions.csv").text.splitlines()[1].startswith("note/0.txt,pets,pets,")
    assert client.get("/v1/runs/notes/labels.csv").text.splitlines()[:2] == ["id,label", "note/0.txt,pets"]
    post(client, "notes/labels", rows=[5], label="sea")
    suspects = client.get("/v1/runs/notes/suspects").json()
    assert suspects["items"][0]["row"] == 5 and suspects["items"][0]["likely"] == "pets"
    undone = client.post("/v1/runs/notes/labels/undo").json()
    assert undone["rows"] == [5] and undone["count"] == 15
    client.patch("/v1/runs/notes/labels/classes", json={"from": "pets", "to": "animals"})
    with TestClient(application(Runs([folder / "notes"])), base_url="http://localhost") as other:  # a server started anew
        again = other.get("/v1/runs/notes/labels").json()
    assert again["classes"] == {"animals": 5, "food": 5, "sea": 5} and {"row": 0, "id": "note/0.txt", "label": "animals"} in again["labels"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"rows": [], "label": "a"}, 422),
        ({"rows": [180], "label": "a"}, 400),
        ({"rows": [-1], "label": "a"}, 422),
        ({"rows": [1]}, 422),
        ({"rows": [1], "label": " "}, 400),
        ({"rows": [1], "label": "x" * 201}, 422),
    ],
)
def test_labels_that_are_none_are_refused(client, body, status):
    assert post(client, "notes/labels", **body).status_code == status


# Two runs


def test_two_runs_are_matched_by_their_ids(client):
    said = client.get("/v1/compare?a=notes&b=mine").json()
    assert (said["shared"], said["only_a"], said["only_b"]) == (179, 1, 1) and said["k"] == 10
    assert abs(said["neighbours_shared"] - said["by_chance"]) < 0.05  # random vectors share neighbours by chance
    rows = floats(client.get("/v1/compare/rows?a=notes&b=mine"), "<i4")
    assert rows.tolist() == [*range(179), -1]
    same = client.get("/v1/compare?a=notes&b=notes").json()
    assert same["neighbours_shared"] == 1 and same["cka"] == pytest.approx(1, abs=1e-3)
    overlap = floats(client.get("/v1/compare/overlap?a=notes&b=mine"))
    assert np.isnan(overlap[179]) and np.nanmean(overlap) == pytest.approx(said["neighbours_shared"], abs=1e-4)
    assert client.get("/v1/compare?a=notes&b=digits").status_code == 400 and client.get("/v1/compare?a=notes&b=no").status_code == 404


# OpenAI's format


def test_the_openai_client_works_against_it_unchanged(client, folder):
    openai = pytest.importorskip("openai")
    run = ul.open(folder / "notes")
    one = openai.OpenAI(api_key="unused", base_url="http://localhost/v1", http_client=client, max_retries=0)
    wanted = run.embed(["a cat", "a ship on the wave"])
    for form in ("float", "base64", None):
        answer = one.embeddings.create(model="notes", input=["a cat", "a ship on the wave"], **({"encoding_format": form} if form else {}))
        found = [np.frombuffer(base64.b64decode(e.embedding), "<f4") if form == "base64" else e.embedding for e in answer.data]
        np.testing.assert_allclose(np.array(found), wanted, atol=1e-6)
    assert [e.index for e in answer.data] == [0, 1] and answer.model == "notes" and answer.usage.prompt_tokens == 7
    assert len(one.embeddings.create(model="notes", input="one text").data) == 1
    assert [model.id for model in one.models.list()] == ["notes", "digits", "nested"] and one.models.retrieve("notes").id == "notes"
    with pytest.raises(openai.NotFoundError, match="no open run"):
        one.embeddings.create(model="text-embedding-3-small", input="x")
    with pytest.raises(openai.BadRequestError, match="no part of them works by itself"):
        one.embeddings.create(model="notes", input="x", dimensions=4)
    with pytest.raises(openai.BadRequestError, match="send the texts themselves"):
        one.embeddings.create(model="notes", input=[1, 2, 3])


def test_dimensions_are_cut_only_where_the_representation_is_nested(runs):
    from unlabeled.web.embeddings import _shortened

    vectors = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    short = _shortened(runs.by_name["nested"], vectors, 4)
    np.testing.assert_allclose(short, vectors[:, :4] / np.linalg.norm(vectors[:, :4], axis=1, keepdims=True), rtol=1e-6)
    assert _shortened(runs.by_name["nested"], vectors, 8) is vectors
    with pytest.raises(InputError, match="learned for 4, 8"):
        _shortened(runs.by_name["nested"], vectors, 5)


def test_pictures_are_embedded_from_data_urls(client, folder):
    picture = (load_digits().images[4] * 15).astype(np.uint8)
    url = "data:image/png;base64," + base64.b64encode(png(picture)).decode()
    found = client.post("/v1/embeddings", json={"model": "digits", "input": [url]}).json()["data"][0]["embedding"]
    np.testing.assert_allclose(found, ul.open(folder / "digits").vectors[4], atol=1e-4)
    for bad in ("http://example.org/a.png", "data:image/png;base64,!!!", "data:text/html;base64,AAAA"):
        assert client.post("/v1/embeddings", json={"model": "digits", "input": bad}).status_code == 400


# What it refuses


def test_too_much_is_refused_and_the_server_goes_on(runs):
    limits = Limits(body=10_000, inputs=3)
    with TestClient(application(runs, limits=limits), base_url="http://localhost", raise_server_exceptions=False) as client:
        assert client.post("/v1/embeddings", json={"model": "notes", "input": ["a"] * 4}).status_code == 413
        assert client.post("/v1/runs/digits/search/file", content=b"x" * 10_001).status_code == 413

        def stream():
            for _ in range(20):
                yield b"x" * 1_000

        assert client.post("/v1/runs/digits/search/file", content=stream()).status_code == 413
        assert client.get("/health").json() == {"status": "ok"}


def test_more_at_once_than_the_limit_gets_429_and_labels_and_health_still_pass(runs):
    with TestClient(application(runs, limits=Limits(at_once=2)), base_url="http://localhost", raise_server_exceptions=False) as client:
        one = runs.by_name["notes"]
        gate, plain = threading.Event(), one.index.work
        one.index.work = lambda asked: (gate.wait(10), plain(asked))[1]
        try:
            answers: list[int] = []
            threads = [threading.Thread(target=lambda: answers.append(post(client, "notes/search", row=1).status_code)) for _ in range(2)]
            for thread in threads:
                thread.start()
            while "unlabeled_requests_now 3.0" not in client.get("/metrics").text:  # the two, and this one
                time.sleep(0.01)
            refused = post(client, "notes/search", row=1)
            assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
            assert client.get("/health").status_code == 200 and client.get("/v1/runs/notes/labels").status_code == 200
            gate.set()
            for thread in threads:
                thread.join()
            assert answers == [200, 200] and post(client, "notes/search", row=1).status_code == 200
        finally:
            gate.set()
            one.index.work = plain


def test_a_token_is_asked_of_everything_but_health(runs):
    with TestClient(application(runs, token="secret-token", hosts=None), base_url="http://any.example", follow_redirects=False) as client:
        assert client.get("/health").status_code == 200
        for path in ("/", "/v1/runs", "/metrics", "/openapi.json", "/assets/x"):
            assert client.get(path).status_code == 401
        assert client.get("/v1/runs", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/v1/runs", headers={"authorization": "Bearer secret-token"}).status_code == 200
        assert client.get("/?token=wrong").status_code == 401
        welcome = client.get("/?token=secret-token")
        assert (
            welcome.status_code == 303
            and "HttpOnly" in welcome.headers["set-cookie"]
            and "SameSite=Strict" in welcome.headers["set-cookie"]
        )
        assert client.get("/v1/runs").status_code == 200  # the cookie


def test_an_address_that_others_reach_needs_a_token(folder):
    with pytest.raises(InputError, match="a token is needed"):
        serve([folder / "mine"], host="0.0.0.0", browser=False)
    with pytest.raises(InputError, match="at least 8"):
        serve([folder / "mine"], host="0.0.0.0", token="short", browser=False)
    assert _is_loopback("127.0.0.1") and _is_loopback("::1") and _is_loopback("localhost") and not _is_loopback("0.0.0.0")


def test_a_page_elsewhere_gets_nothing(client):
    assert client.get("/v1/runs", headers={"host": "evil.example"}).status_code == 421  # a name of theirs that points here
    answer = client.get("/v1/runs", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert client.options("/v1/runs/notes/labels", headers=asked).status_code == 405
    simple = client.post("/v1/runs/notes/labels", content='{"rows": [1], "label": "x"}', headers={"content-type": "text/plain"})
    assert simple.status_code == 422  # what a form or a simple request elsewhere can send is never read as JSON
    assert answer.headers["x-content-type-options"] == "nosniff" and "default-src 'self'" in answer.headers["content-security-policy"]


def test_metrics_count_by_route_and_not_by_address(client):
    client.get("/v1/runs/notes/items?rows=1")
    said = client.get("/metrics").text
    assert 'unlabeled_requests_total{method="GET",route="/v1/runs/{run}/items",status="200"}' in said and "note/" not in said
    assert 'unlabeled_items{run="notes"} 180.0' in said


# Parts


def test_a_batcher_gathers_what_waits_and_one_bad_thing_spoils_no_other():
    sizes, gate = [], threading.Event()

    def work(things):
        gate.wait(5)
        sizes.append(len(things))
        if "bad" in things:
            raise InputError("bad")
        return [thing.upper() for thing in things]

    batcher = Batcher(work, most=4)
    answers = [batcher.submit(thing) for thing in ("a", "b", "bad", "c", "d", "e")]
    time.sleep(0.1)
    gate.set()
    assert [answer.result(5) for answer in answers if answer is not answers[2]] == ["A", "B", "C", "D", "E"]
    with pytest.raises(InputError):
        answers[2].result(5)
    assert len(sizes) < 9 and max(sizes) > 1
    batcher.close()


def test_columns_are_told_apart_by_what_they_hold():
    kind = {
        name: Column.of(name, values).kind
        for name, values in {
            "flag": np.array([True, False]),
            "year": np.arange(50),
            "few": np.arange(50) % 3,
            "cluster": np.arange(50),
            "score": np.arange(3) / 7,
            "word": np.array(["a", None, "b"] * 9, object),
            "prose": np.array([f"text {n}" for n in range(50)], object),
        }.items()
    }
    assert kind == {
        "flag": "boolean",
        "year": "number",
        "few": "category",
        "cluster": "category",
        "score": "number",
        "word": "category",
        "prose": "text",
    }


def test_rare_values_of_a_category_are_drawn_as_other_and_missing_ones_as_none():
    raw = np.array([f"v{n}" for n in range(60) for _ in range(60 - n)] + [None, ""], object)
    found = Column.of("name", raw)
    assert found.values == [f"v{n}" for n in range(40)] and found.distinct == 60
    assert found.codes[0] == 0 and found.codes[-3] == 40 and np.isnan(found.codes[-2:]).all()


def test_density_is_highest_where_most_items_lie():
    rng = np.random.default_rng(0)
    at = np.concatenate([rng.normal(0, 0.02, (500, 2)), rng.uniform(-1, 1, (100, 2))]).astype(np.float32)
    found = density(at)
    assert found.max() == 1 and found[:500].mean() > 5 * found[500:].mean()
