"""The report: complete as JSON, safe and self-contained as a page, honest about baselines, and whole when parts are missing."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unlabeled import report
from unlabeled.data import Items
from unlabeled.errors import InputError
from unlabeled.report.build import BYTES, POINTS, PREVIEWS
from unlabeled.report.measures import MEASURES, best, compare
from unlabeled.representation import Representation

EVIL_TEXT = "<script>alert('text')</script></script><!-- & \x07 \u2028 https://example.org/a.png"
EVIL_ID = '"><img src=x onerror=alert(1)><script>alert("id")</script>'
METHOD = {"name": "SimCLR", "why": "it measured best", "encoder": "conv4", "encoder_why": "conv4: suits the data"}
METHOD |= {"settings": {"lr": 0.003}, "seconds": 75.2, "epochs": 6, "device": "cpu", "seed": 0}
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """The elements of a page, and the text of each script; fails on a tag that is closed but not open."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.scripts, self.open = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID and tag not in ("path", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("path", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)

    def map_data(self):
        return json.loads(self.scripts[0])


def arm(name, half, **more):
    return {"name": name, "dim": 8, "half_retrieval": {"mean": half, "std": 0.01}, "rankme": 5.5, **more}


def cluster(number, ids):
    return SimpleNamespace(cluster=number, name=f"name {number}", size=len(ids), examples=ids)


def built(rep, **more):
    groups = []
    if "cluster" in rep.columns:
        labels = rep.column("cluster")
        groups = [cluster(number, [rep.ids[row] for row in np.flatnonzero(labels == number)]) for number in np.unique(labels)]
    given = {
        "facts": {"description": "some items"},
        "method": METHOD,
        "curve": [5.0, 4.0, 3.5, 3.2, 3.1, 3.1],
        "arms": [arm("learned", 0.6), arm("raw", 0.4)],
        "verdict": "Training helped.",
        "collapse": "No collapse.",
        "judged_on": "24 of 24 items, 3 samples, seed 0",
        "clusters": groups,
        "k_chosen": "k = 3 was best",
        "positions": np.random.default_rng(0).standard_normal((len(rep), 2)),
        "duplicates": [([0, 1], np.float32(0.99)), ([2, 3, 4], 0.97)],
        "outliers": (np.array([5, 6]), np.array([1.5, 1.25], np.float32)),
    }
    return report.build(rep, **{**given, **more})


def created(path, kind, values, **more):
    items = Items(kind, values, source="my data", **more)
    vectors = np.random.default_rng(0).standard_normal((len(items), 8)).astype(np.float32)
    return Representation.create(path, items, vectors, config={"class": "SimCLR"})


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    words = [f"text {row} " + "word " * 80 for row in range(24)]
    words[0] = EVIL_TEXT
    ids = [EVIL_ID, *(f"doc {row}" for row in range(1, 24))]
    labels = {"cluster": np.arange(24) % 3}
    return created(tmp_path_factory.mktemp("texts") / "run", "text", words, ids=ids, columns=labels, unreadable=[("<b>.txt", "0 bytes")])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 8, 8, 1), np.uint8)
    return created(tmp_path_factory.mktemp("pictures") / "run", "image", pixels, columns={"cluster": np.arange(24) % 3})


class Photographs:
    """As much of a representation as a report needs, of 12,000 photographs, without a database."""

    kind, texts, columns, config, index_info = "image", None, [], {}, {"kind": "flat", "recall_at_10": 1.0, "measured_on": 0}

    def __init__(self, count=12_000):
        rng = np.random.default_rng(0)
        self.vectors = rng.standard_normal((count, 4)).astype(np.float32)
        self.ids = [f"a/rather/long/path/to/{n:07}.jpg" for n in range(count)]
        waves = np.cumsum(rng.integers(-9, 10, (8, 64, 64, 3)), axis=1) + 128
        self.png = []
        for photograph in np.clip(waves, 0, 255).astype(np.uint8):
            buffer = io.BytesIO()
            Image.fromarray(photograph).save(buffer, "PNG")
            self.png.append(buffer.getvalue())

    def __len__(self):
        return len(self.vectors)

    def neighbours(self, vectors, k):
        return np.ones((len(vectors), k), np.float32), np.tile(np.arange(k), (len(vectors), 1))

    def thumbnails(self, rows):
        return [self.png[row % 8] for row in rows]


def test_the_report_is_complete_and_json_can_hold_it(texts):
    said = built(texts, facts={"description": "24 texts", "search": {"query": "word", "hits": [[3, 1.0]]}})
    again = json.loads(json.dumps(said, allow_nan=False))
    assert again == said
    assert (said["format"], said["kind"], said["source"], said["items"]["count"]) == (1, "text", "my data", 24)
    assert said["items"]["unreadable"] == [["<b>.txt", "0 bytes"]]
    assert said["quality"]["verdict"] == "Training helped." and said["quality"]["arms"][1]["label"].startswith("the items as they are")
    assert said["duplicates"][1] == {"rows": [2, 3, 4], "similarity": 0.97, "size": 3}
    assert said["outliers"][0] == {"row": 5, "score": 1.5}
    assert [group["size"] for group in said["clusters"]] == [8, 8, 8] and said["clusters"][1]["examples"] == [1, 4, 7, 10, 13, 16]
    assert len(said["map"]["rows"]) == len(said["map"]["x"]) == 24 and min(said["map"]["x"] + said["map"]["y"]) >= 0
    assert said["map"]["cluster"] == [row % 3 for row in said["map"]["rows"]]
    listed = {row for query in said["neighbours"] for row, _ in query["neighbours"]} | {3, 5}
    assert all("text" in said["shown"][str(row)] for row in listed)
    assert max(len(item["text"]) for item in said["shown"].values()) <= 200


def test_neighbours_are_of_six_items_from_different_clusters_and_never_the_item_itself(texts):
    queries = built(texts)["neighbours"]
    assert len({query["row"] for query in queries}) == 6 and {query["row"] % 3 for query in queries[:3]} == {0, 1, 2}
    for query in queries:
        rows = [row for row, _ in query["neighbours"]]
        assert len(rows) == 8 and query["row"] not in rows
    scores, found = texts.neighbours(texts.vectors[queries[0]["row"]], 2)
    assert queries[0]["neighbours"][0] == pytest.approx([found[0, 1], scores[0, 1]], abs=1e-4)


def test_markup_in_texts_ids_and_file_names_stays_text(texts):
    page = report.render(built(texts, verdict=EVIL_TEXT, outliers=([0], [1.0])))
    parsed = Page(page)
    assert [tag for tag, _ in parsed.elements].count("script") == 2  # the map's data and the page's own
    assert not any(name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert "&lt;script&gt;alert(&#x27;text&#x27;)" in page and "&lt;b&gt;.txt" in page and "\x07" not in page
    shown = parsed.map_data()["shown"]
    evil = [item for item in shown if item["text"].startswith("<script>")]
    assert len(evil) == 1 and evil[0]["id"] == " ".join(EVIL_ID.split())


def test_an_image_that_is_not_a_picture_is_not_shown(pictures):
    said = built(pictures)
    said["shown"] = {row: {"id": row, "image": "javascript:alert(1)"} for row in said["shown"]}
    assert not [attributes for tag, attributes in Page(report.render(said)).elements if tag == "img"]


def test_the_page_asks_the_network_for_nothing_and_runs_only_its_own_script(texts, pictures):
    for rep in (texts, pictures):
        page = report.render(built(rep))
        parsed = Page(page)
        links = [attributes[name] for _, attributes in parsed.elements for name in ("src", "href", "action", "data") if name in attributes]
        assert links and all(link.startswith(("#", "data:image/")) for link in links)
        style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
        assert "url(" not in style and "@import" not in style
        assert not re.search(r"fetch\(|XMLHttpRequest|import\(|https?:", parsed.scripts[-1])
        policy = next(attributes["content"] for _, attributes in parsed.elements if "http-equiv" in attributes)
        allowed = base64.b64encode(hashlib.sha256(parsed.scripts[-1].encode()).digest()).decode()
        assert policy.startswith("default-src 'none'") and f"'sha256-{allowed}'" in policy


def test_links_of_the_page_lead_to_its_sections(texts):
    parsed = Page(report.render(built(texts)))
    ids = {attributes["id"] for _, attributes in parsed.elements if "id" in attributes}
    links = [attributes["href"][1:] for tag, attributes in parsed.elements if tag == "a"]
    assert len(links) > 8 and set(links) <= ids


def test_small_pictures_are_shown_as_they_are_with_hard_pixels(pictures):
    said = built(pictures)
    row = str(said["clusters"][0]["examples"][0])
    assert base64.b64decode(said["shown"][row]["image"].removeprefix("data:image/png;base64,")) == pictures.thumbnails([int(row)])[0]
    page = report.render(said)
    assert said["shown"][row]["image"] in page and "image-rendering: pixelated" in page


def test_a_report_of_many_photographs_stays_under_five_megabytes():
    rep = Photographs()
    groups = [(range(8), 1.0)] * 200
    said = built(rep, duplicates=groups, outliers=(range(200), [1.0] * 200))
    page = report.render(said)
    assert BYTES < len(page) < 5e6
    assert len(said["map"]["rows"]) == POINTS and len(said["duplicates"]) == 24 and said["duplicates_found"] == 200
    with_picture = sum("image" in item for item in said["shown"].values())
    assert 300 < with_picture <= PREVIEWS + 100 and all("id" in item for item in said["shown"].values())
    assert "24 are shown" in page


def test_a_baseline_that_wins_is_named_and_marked(texts):
    arms = [arm("learned", 0.30), arm("raw", 0.55), arm("PCA", 0.54)]
    page = report.render(built(texts, arms=arms))
    assert "the baseline Raw (0.55) does better than this run (0.30)" in page
    assert re.findall(r'scope="row">(\w+)</th>(?:(?!</tr>).)*class="best">(\w+)<', page) == [("Raw", "best"), ("PCA", "level")]


def test_arms_that_the_spread_does_not_part_are_level():
    level = [arm("learned", 0.50), arm("raw", 0.51)]
    assert [one["name"] for one in best(level, "half_retrieval")] == ["raw", "learned"]
    assert compare(level) == ["Parts find each other: this run (0.50) and Raw (0.51) are level."]
    won = compare([arm("learned", 0.6), arm("raw", 0.5)])
    assert won == ["Parts find each other: this run (0.60) does better than the next best, Raw (0.50)."]
    assert compare([arm("learned", 0.6)]) == [] == compare([]) and best(level, "rankme") != []


def test_no_best_is_marked_where_more_is_not_simply_better(texts):
    arms = [{"name": name, "dim": 8, "rankme": size, "mean_cosine": size / 10} for name, size in (("learned", 2.0), ("raw", 7.0))]
    assert 'class="best"' not in report.render(built(texts, arms=arms))


def test_every_measure_has_a_sentence_that_says_what_it_means(texts):
    arms = [{"name": name, "dim": 8, **dict.fromkeys(MEASURES, 0.5), "something_new": 3.0} for name in ("learned", "raw")]
    cards = report.render(built(texts, arms=arms)).split('<div class="measure">')[1:]
    assert len(cards) == len(MEASURES) + 1
    assert all(re.search(r'<p class="note">[A-Z][^<]{20,}\.</p>', card) for card in cards)
    assert "something new" in cards[-1]


def test_measures_that_are_missing_or_not_numbers_leave_the_page_whole(texts):
    arms = [arm("learned", float("nan"), uniformity=float("inf"), mean_cosine=None)]
    arms += [{"name": "raw", "half_retrieval": np.float32(0.4)}, {"name": "odd"}]
    said = built(texts, arms=arms, curve=[float("nan"), 2.0, 1.0, float("inf")], outliers=([1], [float("nan")]))
    json.dumps(said, allow_nan=False)
    assert said["quality"]["arms"][0]["half_retrieval"]["mean"] is None and said["curve"] == [None, 2.0, 1.0, None]
    page = report.render(said)
    Page(page)
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL))


def test_one_item_makes_a_report(tmp_path):
    rep = created(tmp_path / "run", "text", ["alone"])
    said = report.build(rep, facts={}, method={}, curve=[], arms=[], verdict="Too few items.", positions=np.zeros((1, 2)))
    page = report.render(json.loads(json.dumps(said)))
    Page(page)
    assert said["neighbours"] == [] and "Too few items." in page and "1</b> item<" in page and "<canvas" not in page


def test_vectors_without_clusters_or_map_are_shown_by_id_and_numbers(tmp_path):
    rep = created(tmp_path / "run", "vector", np.zeros((12, 8), np.float32))
    said = built(rep, clusters=[], positions=None, duplicates=[], outliers=None)
    page = report.render(said)
    Page(page)
    assert said["clusters"] == [] and said["map"]["rows"] == [] and "None were found" in page
    assert re.fullmatch(r"vector (-?[\d.e-]+, ){6}\.\.\.", said["shown"][str(said["neighbours"][0]["row"])]["text"])


def test_rows_of_a_table_are_shown_by_their_named_columns(tmp_path):
    columns = {"city": [f"city {n}" for n in range(12)], "size": np.arange(12) / 7}
    rep = created(tmp_path / "run", "table", np.zeros((12, 2), np.float32), columns=columns)
    assert built(rep)["shown"]["5"] == {"id": "5", "text": "city: city 5, size: 0.714"}


def test_a_map_of_one_place_is_drawn_and_points_that_are_nowhere_are_left_out(texts):
    positions = np.ones((24, 2))
    positions[4] = np.nan
    said = built(texts, positions=positions)
    assert 4 not in said["map"]["rows"] and set(said["map"]["x"]) == {0.5}
    with pytest.raises(InputError, match=r"positions has the shape \[3, 2\] for 24 items"):
        built(texts, positions=np.zeros((3, 2)))


def test_a_file_name_that_is_not_utf8_can_be_written(texts):
    said = built(texts, facts={"unreadable": [("caf\udce9.png", "truncated")]})
    assert "caf\\udce9.png" in report.render(said).encode("utf-8").decode()


def test_a_loss_that_still_falls_is_said_to(texts):
    falling, flat = (report.render(built(texts, curve=curve)) for curve in (list(range(30, 10, -1)), [5, 2, 1, 1, 1, 1, 1, 1]))
    assert "It was still falling" in falling and "It was still falling" not in flat
    assert "No network was trained" in report.render(built(texts, curve=[]))


def test_the_command_that_repeats_the_run_can_be_pasted_into_a_shell(texts, monkeypatch):
    asked = {"method": "simclr", "encoder": "auto", "epochs": 3, "seed": 0, "settings": {"lr": 0.01}}
    asked["read"] = {"kind": None, "column": "a b"}
    monkeypatch.setitem(texts.config, "asked", asked)
    assert built(texts)["command"] == "unlabeled learn 'my data' --column 'a b' --method simclr --epochs 3 --seed 0 --set lr=0.01"
