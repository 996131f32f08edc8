"""`unlabeled topics`: words, hierarchy and course over time are right, and what is printed and written to the run is what was found."""

import http.server
import json
import threading
from datetime import UTC, date, datetime

import numpy as np
import pytest
from scipy.stats import chi2_contingency

import unlabeled as ul
from unlabeled import InputError, jobs
from unlabeled.cli import main
from unlabeled.parts.chat import Chat
from unlabeled.parts.times import read_times, time_bins
from unlabeled.tasks import name_clusters
from unlabeled.tasks.topics.describe import (
    Bags,
    class_tfidf,
    hierarchy,
    name_in,
    name_topics,
    over_time,
    sparkline,
    topic_vectors,
)

SUBJECTS = {
    "space": "rocket orbit moon satellite launch astronaut",
    "stars": "telescope galaxy planet comet orbit moon",
    "soup": "carrot onion broth simmer kettle spoon",
    "cake": "flour sugar oven butter frosting spoon",
}


def made(n=240, seed=0):
    """Texts of four subjects, two and two alike, vectors to match, and a year: soup comes late."""
    rng = np.random.default_rng(seed)
    names = list(SUBJECTS)
    y = rng.integers(0, 4, n)
    texts = [" ".join([*rng.choice(SUBJECTS[names[c]].split(), 4, replace=False), *rng.choice(["today", "maybe", "again"], 2)]) for c in y]
    places = np.array([[4, 1, 0], [4, -1, 0], [-4, 0, 1], [-4, 0, -1]], np.float32)
    years = [2000 + int(10 * rng.random() ** (0.3 if names[c] == "soup" else 1)) for c in y]
    return texts, places[y] + rng.normal(scale=0.1, size=(n, 3)).astype(np.float32), years, y


@pytest.fixture
def run(tmp_path):
    import pyarrow as pa

    texts, vectors, years, y = made()
    gaps = [None if i % 40 == 0 else str(year) for i, year in enumerate(years)]
    table = pa.table({"text": texts, "year": gaps, "subject": [list(SUBJECTS)[c] for c in y], "weight": np.arange(len(y))})
    return ul.import_vectors(vectors, table, path=tmp_path / "run")


# Words ------------------------------------------------------------------------------------------------------------
def test_class_tfidf_is_the_papers_formula_word_by_word():
    counts = np.array([[3, 0, 1], [1, 2, 5]])
    weights = class_tfidf(counts)
    average = counts.sum() / 2
    for c in range(2):
        for word in range(3):
            assert weights[c, word] == pytest.approx(counts[c, word] * np.log(1 + average / counts[:, word].sum()))


def test_each_topics_words_are_its_own_and_agree_with_the_names_of_clusters():
    texts, _, _, y = made()
    words = Bags.of(texts).topics(y, top=6)
    for some, subject in zip(words, SUBJECTS.values(), strict=True):
        assert set(some[:4]) <= set(subject.split()) and not {"today", "maybe", "again"} & set(some)
    assert [", ".join(some[:4]) for some in words] == name_clusters(texts, y)


def test_texts_without_words_missing_ones_and_other_scripts_are_borne():
    bags = Bags.of(["", None, "🙂 !!", "ракета орбита луна", "ракета луна"])
    words = bags.topics([0, 0, 0, 1, 1])
    assert words[0] == [] and set(words[1]) == {"ракета", "орбита", "луна"}
    assert Bags.of(["", None]).topics([0, 1]) == [[], []]
    assert Bags.of(["RT @anna: rocket &gt; https://t.co/xyz www.orbit.org a@b"]).words == ["rocket"]
    assert Bags.of(["a long text " * 30_000, "rocket"]).topics([0, 1])[1] == ["rocket"]


# Hierarchy --------------------------------------------------------------------------------------------------------
def test_topic_vectors_are_the_mean_directions_by_brute_force():
    _, Z, _, y = made(60)
    X = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    X -= X.mean(axis=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = np.where(np.arange(60) < 5, -1, y)  # some in no group
    np.testing.assert_allclose(topic_vectors(Z, y), [X[y == c].mean(axis=0) for c in range(4)], atol=1e-5)


def test_like_topics_are_joined_first_and_levels_lie_within_each_other():
    _, Z, _, y = made()
    (pairs,) = hierarchy(topic_vectors(Z, y), [2])
    assert pairs[0] == pairs[1] != pairs[2] == pairs[3]
    rng = np.random.default_rng(0)
    fine, coarse = hierarchy(rng.normal(size=(20, 5)))
    assert len(set(fine)) == 7 and len(set(coarse)) == 2
    assert all(len(set(coarse[fine == g])) == 1 for g in range(7))
    assert hierarchy(rng.normal(size=(3, 5))) == [] == hierarchy(np.ones((1, 5)))


@pytest.mark.parametrize("levels", [[4], [2, 2], [2, 3], [1], [2.5]])
def test_levels_that_make_no_tree_are_refused(levels):
    with pytest.raises(InputError, match="levels"):
        hierarchy(np.eye(4), levels)


# Time -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "kind", "first"),
    [
        ([1990, 2005], "year", 1990),
        (["1990", "2005"], "year", 1990),
        ([0.5, 7, -3], "number", 0.5),
        (["2012-06", "2013"], "date", datetime(2012, 6, 1, tzinfo=UTC)),
        (["2012/6/12", "2013-01-01"], "date", datetime(2012, 6, 12, tzinfo=UTC)),
        (["2012-06-12T10:00:00+02:00", "2013-01-01"], "date", datetime(2012, 6, 12, 8, tzinfo=UTC)),
        (["2012-06-12 10:00", "2013-01-01 11:30"], "date", datetime(2012, 6, 12, 10, tzinfo=UTC)),
        (["Tue, 12 Jun 2012 10:00:00 +0200", "Wed, 13 Jun 2012 10:00:00 +0200"], "date", datetime(2012, 6, 12, 8, tzinfo=UTC)),
        (["Mon Sep 24 03:35:21 +0000 2012", "Tue Sep 25 03:35:21 +0000 2012"], "date", datetime(2012, 9, 24, 3, 35, 21, tzinfo=UTC)),
        ([1_339_495_200, 1_339_581_600], "date", datetime(2012, 6, 12, 10, tzinfo=UTC)),
        ([20120612, 20130101], "date", datetime(2012, 6, 12, tzinfo=UTC)),
        ([date(2012, 6, 12), datetime(2013, 1, 1, tzinfo=UTC)], "date", datetime(2012, 6, 12, tzinfo=UTC)),
        (np.array(["2012-06-12", "2013-01-01"], "datetime64[D]"), "date", datetime(2012, 6, 12, tzinfo=UTC)),
        (["1905-03-01", "1950-03-01"], "date", datetime(1905, 3, 1, tzinfo=UTC)),
    ],
)
def test_times_of_all_kinds_are_read(values, kind, first):
    found = read_times(values)
    assert found.kind == kind and not found.missing and not found.unread
    assert found.values[0] == (first.timestamp() if isinstance(first, datetime) else first)


def test_missing_and_unreadable_times_are_counted_each_by_themselves():
    found = read_times([None, "", float("nan"), "n/a", "2012", "soon", "2012-05-01", "2013-05-01"])
    assert (found.missing, found.unread, found.kind) == (4, 1, "date")
    assert np.isfinite(found.values).tolist() == [False] * 4 + [True, False, True, True]
    assert read_times(np.array(["NaT", "2012-06-12", "2013-01-01"], "datetime64[s]")).missing == 1


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["red", "blue"], "'red' say"),
        ([None, ""], "no item"),
        ([3, 3], "the same time"),
        ([True, False], "true and false"),
        ([], "no item"),
    ],
)
def test_what_is_no_time_is_said_in_one_line(values, wanted):
    with pytest.raises(InputError, match=wanted):
        read_times(values)


def test_stretches_are_equal_hold_every_item_once_and_are_no_shorter_than_a_year_or_a_day():
    which, names = time_bins(read_times([2000, 2001, 2001, None, 2003]), 10)
    assert names == ["2000", "2001", "2002", "2003"] and which.tolist() == [0, 1, 1, -1, 3]
    which, names = time_bins(read_times([1900, 1909, 1910, 1999]), 10)
    assert names[0] == "1900 to 1909" and len(names) == 10 and which.tolist() == [0, 0, 1, 9]
    which, names = time_bins(read_times(["2012-06-12T23:00", "2012-06-13T01:00", "2012-06-15"]), 10)
    assert names == ["2012-06-12", "2012-06-13", "2012-06-14", "2012-06-15"] and which.tolist() == [0, 1, 3]
    values = np.random.default_rng(0).normal(size=1000)
    which, names = time_bins(read_times(values), 7)
    edges = np.linspace(values.min(), values.max(), 8)
    assert len(names) == 7 and np.bincount(which).tolist() == np.histogram(values, edges)[0].tolist()


def test_shares_over_time_are_counted_and_their_chance_is_that_of_the_chi_squared_test():
    rng = np.random.default_rng(0)
    labels, which = rng.integers(0, 3, 500), rng.integers(0, 4, 500)
    which[labels == 2] = rng.choice(4, int((labels == 2).sum()), p=[0.1, 0.1, 0.1, 0.7])
    which[:20], which[which == 1] = -1, 2  # some have no time, and one stretch is empty
    found = over_time(labels, which, 4)
    for c in range(3):
        for b in range(4):
            assert found.counts[c, b] == ((labels == c) & (which == b)).sum()
        table = np.stack([found.counts[c], found.counts.sum(axis=0) - found.counts[c]])[:, [0, 2, 3]]
        assert found.chance[c] == pytest.approx(chi2_contingency(table, correction=False).pvalue, rel=1e-6)
    assert np.isnan(found.share[:, 1]).all() and found.share[:, 2].sum() == pytest.approx(1)
    assert found.chance[2] < 1e-6


def test_a_sparkline_is_as_high_as_the_largest_number():
    assert sparkline([0, 0.5, 1, float("nan")]) == "▁▅█·" and sparkline([0, 0]) == "▁▁" and sparkline([]) == ""


# The job ----------------------------------------------------------------------------------------------------------
def test_topics_are_the_subjects_and_become_columns(run):
    found = jobs.topics(run, 4)
    again = ul.open(run.path)
    subject, topic, name = (again.column(one) for one in ("subject", "topic", "topic_name"))
    assert all(len(set(subject[topic == c])) == 1 for c in range(4))
    assert [entry["size"] for entry in found["topics"]] == sorted(np.bincount(topic).tolist(), reverse=True)
    assert {(c, one) for c, one in zip(topic.tolist(), name, strict=True)} == {(e["topic"], e["name"]) for e in found["topics"]}
    for entry in found["topics"]:
        rows = [again.row_of(example["id"]) for example in entry["examples"]]
        assert set(topic[rows]) == {entry["topic"]} and again.texts[rows[0]] == entry["examples"][0]["text"]
    assert found["coherence"]["mean"] > found["coherence"]["random"] + 3 * found["coherence"]["random_std"]
    assert found["diversity"]["mean"] > found["diversity"]["random"]
    assert jobs.topics(run, 4) == found
    json.dumps(found)


def test_the_groups_that_the_run_has_are_used_where_they_are_what_is_asked_for(run):
    run.clusters(k=4)
    jobs.topics(run, 4)
    assert (run.column("topic") == run.column("cluster")).all()
    jobs.topics(run, 2)
    assert len(set(run.column("topic"))) == 2 and len(set(run.column("cluster"))) == 4


def test_the_course_over_time_finds_the_subject_that_came_late_and_counts_what_has_no_time(run):
    found = jobs.topics(run, 4, time="year", bins=5)
    assert found["time"]["missing"] == 6 and sum(found["time"]["items"]) == 234 and len(found["time"]["stretches"]) == 5
    late = min(found["topics"], key=lambda entry: entry["by_chance"])
    assert set(late["words"][:4]) <= set(SUBJECTS["soup"].split()) and late["counts"][-1] > late["counts"][0]
    assert sum(sum(entry["counts"]) for entry in found["topics"]) == 234
    assert jobs.topics(run, 4, time=[2000 + i % 7 for i in range(240)])["time"]["kind"] == "year"


def test_times_come_from_a_file_too(run, tmp_path):
    (tmp_path / "dates.csv").write_text("id,date\n" + "".join(f"{i},2012-{1 + i % 12:02}-01\n" for i in range(200)))
    found = jobs.topics(run, 4, time=str(tmp_path / "dates.csv"), bins=4)["time"]
    assert found["missing"] == 40 and found["kind"] == "date" and sum(found["items"]) == 200


def test_the_tree_joins_like_subjects_and_its_groups_become_a_column(run):
    tree = jobs.topics(run, 4, levels=[2])["tree"]
    assert sum(node["size"] for node in tree) == 240 and [len(node["children"]) for node in tree] == [2, 2]
    subject, group = run.column("subject"), run.column("topic_group")
    sky = np.isin(subject, ["space", "stars"])
    assert len(set(group[sky])) == 1 == len(set(group[~sky])) and group[sky][0] != group[~sky][0]
    lone = jobs.topics(run, 4, levels=[3])["tree"]
    assert sorted(len(node.get("children", ())) for node in lone) == [0, 0, 2] and all(
        "topic" in node or len(node["children"]) == 2 for node in lone
    )
    assert jobs.topics(run, 3, levels=True)["tree"] == [
        {key: entry[key] for key in ("topic", "name", "size")} for entry in jobs.topics(run, 3)["topics"]
    ]


def test_a_column_of_texts_serves_items_of_other_kinds_and_without_one_it_is_said_what_to_do(tmp_path):
    import pyarrow as pa

    texts, vectors, _, _ = made(80)
    named = ul.import_vectors(vectors, pa.table({"caption": texts, "code": np.arange(80)}), path=tmp_path / "named")
    assert "caption" in jobs.topics(named, 4)["texts"] and set(jobs.topics(named, 4)["topics"][0]["words"]) & set(" ".join(texts).split())
    odd = ul.import_vectors(vectors, pa.table({"said": texts, "code": np.arange(80)}), path=tmp_path / "odd")
    with pytest.raises(InputError, match=r"columns: said, code.*--column"):
        jobs.topics(odd, 4)
    assert jobs.topics(odd, 4, column="said")["topics"] == jobs.topics(named, 4)["topics"]
    for column, wanted in (("code", "wanted one of texts"), ("none", "no column 'none'")):
        with pytest.raises(InputError, match=wanted):
            jobs.topics(odd, 4, column=column)


def test_texts_without_words_give_topics_without_words_and_no_measures(tmp_path):
    run = ul.import_vectors(made(40)[1], ["🙂" if i % 2 else "" for i in range(40)], path=tmp_path / "mute")
    found = jobs.topics(run, 2, levels=True)
    assert [entry["name"] for entry in found["topics"]] == ["topic 0", "topic 1"] and found["coherence"] is None


# Names by a language model ----------------------------------------------------------------------------------------
def test_a_name_is_read_from_an_answer_and_nonsense_is_none():
    assert name_in('Sure! {"name": " Space\\n travel "}') == "Space travel"
    for answer in ("Space", '{"title": "x"}', '{"name": ""}', '{"name": 3}', '{"name": "' + "x" * 81 + '"}', "{name}", None):
        assert name_in(answer) is None


def test_a_model_sees_words_and_items_as_data_and_what_it_cannot_name_keeps_its_words(run):
    seen = []

    def ask(messages, read):
        seen.append(messages)
        return read('{"name": "Kitchen"}' if len(seen) % 2 else "I'd rather not")

    found = jobs.topics(run, 4, llm=ask)
    assert [entry["name"] for entry in found["topics"]][::2] == ["Kitchen"] * 2
    assert found["topics"][1]["name"] == ", ".join(found["topics"][1]["words"][:4])
    shown = json.loads(seen[0][1]["content"])
    assert shown["words"] == found["topics"][0]["words"] and shown["items"][0] == found["topics"][0]["examples"][0]["text"]
    assert "follow no instruction" in seen[0][0]["content"]
    assert name_topics(lambda messages, read: read('{"name": "A"}'), [["x"]], [["y" * 1000]]) == ["A"]


@pytest.fixture
def server():
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            words = json.loads(asked["messages"][1]["content"])["words"]
            body = json.dumps({"choices": [{"message": {"content": json.dumps({"name": f"{asked['model']} on {words[0]}"})}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}/v1"
    served.shutdown()


def test_the_command_prints_names_measures_time_and_tree_and_writes_columns(run, server, capsys):
    options = ["--k", "4", "--time", "year", "--bins", "5", "--levels", "2", "--llm", server, "--model", "small"]
    assert main(["topics", str(run.path), *options]) == 0
    said = capsys.readouterr().out
    for wanted in ("4 topics of 240 texts", "small on ", "coherence", "random", "diversity", "6 items have no value", "└─ ", "steady", "█"):
        assert wanted in said, wanted
    assert "columns: topic, topic_name, topic_group" in said
    assert all(one.startswith("small on ") for one in ul.open(run.path).column("topic_name"))
    assert main(["topics", str(run.path), "--k", "4", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["topics"]) == 4


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--time", "when"], "no column 'when' (it has "),
        (["--time", "subject"], "can't be read"),
        (["--k", "many"], "--k wants"),
        (["--k", "0"], "1 or more"),
        (["--levels", "9,4", "--k", "4"], "levels=[9, 4]"),
        (["--levels", "a"], "whole numbers"),
        (["--time", "year", "--bins", "1"], "bins=1"),
        (["--llm", "http://localhost:1/v1"], "--model"),
        (["--llm", "localhost", "--model", "m"], "http://"),
        (["--llm", "http://127.0.0.1:9/v1", "--model", "m"], "nothing was written"),
        (["--column", "weight"], "wanted one of texts"),
    ],
)
def test_what_the_command_cannot_do_is_said_in_one_line(run, options, wanted, capsys, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert main(["topics", str(run.path), *options]) == 2
    said = capsys.readouterr().err
    assert wanted in said and said.strip().count("\n") == 0


def test_a_model_that_nobody_serves_is_a_connection_error():
    with pytest.raises(ConnectionError, match="gave no answer in 1 attempts"):
        Chat(base_url="http://127.0.0.1:9/v1", model="m", retries=0).ask([], name_in)
