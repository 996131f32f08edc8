"""The benchmarks' own arithmetic, and that a peer that can't be measured is said to be so. Nothing is timed here."""

import importlib
import json
import math
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from benchmarks import environments, on_paper, pages, plots, scaling, search, training
from benchmarks.peers import Failed, call, median
from benchmarks.registry import BENCHMARKS
from benchmarks.results import Benchmark, Plan, Row

main = importlib.import_module("benchmarks.__main__")
DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_a_ratio_is_how_many_times_as_fast_whether_speeds_or_seconds_were_measured():
    assert Row("a", "peer", "texts/s", ours=30, theirs=10).ratio == 3
    assert Row("a", "peer", "s", ours=10, theirs=30).ratio == 3
    assert Row("a", "peer", "s").ratio is None


def test_a_row_is_met_only_when_it_is_as_fast_as_wanted_with_equal_quality():
    fast = {"unit": "texts/s", "ours": 20, "theirs": 10}
    assert Row("a", "peer", **fast, wanted=2).met is True
    assert Row("a", "peer", **fast, wanted=2.1).met is False
    assert Row("a", "peer", **fast, wanted=2, equal=False).met is False
    assert Row("a", "peer", **fast).met is None
    assert Row("a", "peer", wanted=2, note="not measured: no").met is None


def test_what_has_no_peer_is_met_by_its_own_seconds():
    assert Row("a", "none", "s", ours=0.2, most=0.3).met is True
    assert Row("a", "none", "s", ours=0.4, most=0.3).met is False


def test_a_peer_whose_environment_cannot_be_made_is_said_to_be_not_measured(monkeypatch):
    def refuse(requirements, minutes=15):
        raise environments.NotMade("no such package")

    monkeypatch.setattr(environments, "interpreter", refuse)
    one = Benchmark("x", "nothing", lambda plan: pytest.fail("there is nobody to compare with"), {"peer": ("something",)})
    result = main.measured(one, full=False, rounds=1, quiet=True)
    assert [(row["peer"], row["note"], row["met"]) for row in result["rows"]] == [("peer", "not measured: no such package", None)]


def test_what_was_measured_before_an_engine_failed_is_kept_and_the_failure_said():
    def run(plan):
        yield Row("first", "none", "s", ours=1.0, most=2.0)
        raise Failed("the engine stopped")

    rows = main.measured(Benchmark("x", "nothing", run), full=False, rounds=1, quiet=True)["rows"]
    assert [(row["case"], row["ours"], row["note"]) for row in rows] == [
        ("first", 1.0, ""),
        ("the rest", None, "not measured: the engine stopped"),
    ]


def test_data_that_are_not_there_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("UNLABELED_DATA", str(tmp_path))
    one = Benchmark("x", "nothing", lambda plan: iter(()), data=("pictures",))
    assert "pictures isn't in UNLABELED_DATA" in main.measured(one, full=False, rounds=1, quiet=True)["rows"][0]["note"]


def test_a_process_that_fails_says_its_last_line():
    with pytest.raises(Failed, match="ModuleNotFoundError|No module named"):
        call(sys.executable, "no_such_module", engine="x")


def test_an_environment_that_pip_could_not_fill_is_refused_and_one_left_half_made_is_made_again(monkeypatch, tmp_path):
    monkeypatch.setenv("UNLABELED_PEERS", str(tmp_path))
    ran = []

    def run(command, **more):
        ran.append(command[-1])
        failed = "pip" in command and len(ran) == 2
        return types.SimpleNamespace(returncode=int(failed), stderr="ERROR: no matching distribution" if failed else "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(environments.NotMade, match="no matching distribution"):
        environments.interpreter(("thing==1",))
    folder = environments.place(("thing==1",))
    folder.mkdir(exist_ok=True)  # what the real venv would have left
    monkeypatch.setattr(environments.shutil, "rmtree", lambda path, ignore_errors: ran.append(("removed", path)))
    assert environments.interpreter(("thing==1",)) == str(folder / "bin" / "python")
    assert ("removed", folder) in ran
    before = len(ran)
    environments.interpreter(("thing==1",))
    assert len(ran) == before  # it is there: nothing is run


def test_other_requirements_are_another_environment_and_their_order_is_none():
    assert environments.place(("a==1", "b==2")).name.split("-")[-1] == environments.place(("b==2", "a==1")).name.split("-")[-1]
    assert environments.place(("a==1",)) != environments.place(("a==2",))


def test_every_peer_is_pinned_and_every_benchmark_has_a_name_of_its_own():
    assert len({one.name for one in BENCHMARKS}) == len(BENCHMARKS)
    for one in BENCHMARKS:
        for requirements in one.peers.values():
            assert not requirements or re.search(r"==[\d.]+$", requirements[0]), requirements


def test_speed_at_a_recall_is_read_off_between_two_points_of_the_curve():
    curve = [{"recall": 0.8, "many": 400.0}, {"recall": 0.9, "many": 100.0}, {"recall": 1.0, "many": 50.0}]
    assert search.at_recall(curve, 0.85, "many") == (pytest.approx(200.0), 0.85)
    assert search.at_recall(curve, 0.5, "many") == (400.0, 0.8)  # it is never slower than at its least effort
    assert search.at_recall(curve[:2], 0.99, "many") == (100.0, 0.9)  # never reached: the best it has, with its own recall


def test_recall_counts_equals_as_right_and_missing_rows_as_wrong():
    units = np.eye(3, dtype=np.float32)
    queries = units[:2]
    assert search.recall(np.array([[0], [-1]]), units, queries, np.array([1.0, 1.0])) == 0.5


def test_the_exponent_of_a_power_law_is_found_and_small_sizes_do_not_count():
    points = [{"n": n, "cpu": 5.0 if n < 10_000 else 1e-6 * n**1.5} for n in (1_000, 10_000, 100_000, 1_000_000)]
    assert scaling.exponent(points) == pytest.approx(1.5)
    assert scaling.exponent(points[:2]) is None
    assert scaling.foretold(points, 10_000_000) == pytest.approx(1e-6 * 1e7**1.5)


def test_seconds_on_paper_are_measured_ones_where_there_are_and_continued_beyond():
    step = {"points": [{"n": 100, "cpu": 1.0}, {"n": 1000, "cpu": 20.0}], "exponent": 1.3}
    assert on_paper.at(step, 1000)[0] == 20.0
    assert on_paper.at(step, 500)[0] == 20.0  # not less than what the next larger took
    assert on_paper.at(step, 10_000)[0] == pytest.approx(20.0 * 10**1.3)
    assert on_paper.at(step | {"exponent": 0.4}, 10_000)[0] == pytest.approx(200.0)  # nothing grows slower than the items


def test_a_step_that_was_not_measured_is_said_so_on_paper():
    said = "\n".join(on_paper.section({}))
    assert "Embedding: not measured." in said and "nan" not in said


def test_the_learning_rate_rises_and_falls_as_ours_does():
    from unlabeled.parts.schedules import warmup_cosine

    factor = training.schedule(100)
    assert [factor(step) for step in range(100)] == pytest.approx([warmup_cosine(step, 100, 10) for step in range(100)])


def test_the_nearest_neighbours_vote_finds_classes_that_lie_apart():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    Z = rng.normal(size=(80, 4)) * 0.1 + np.where(y, 5, -5)[:, None]
    assert training.knn(Z, y, Z, y, k=5) == 1.0
    assert training.knn(Z, y, Z, 1 - y, k=5) == 0.0


def test_the_table_says_why_a_row_is_not_met():
    row = Row("a case", "peer", "s", ours=2.0, theirs=1.0, wanted=1.0, note="because").as_json()
    result = {"name": "x", "rows": [row]}
    assert "because" in pages.table([result]) and "a case" in pages.table([result])
    assert "because" not in pages.table([{"name": "x", "rows": [row | {"met": True}]}])


def test_plots_are_whole_and_their_labels_escaped():
    drawn = plots.bars([("a < b", 2.0, 1.0), ("c", 0.1, None)]) + plots.curves({"a < b": [(10, 1.0), (100, 3.0)]}, "seconds", "items")
    assert drawn.count("<svg") == drawn.count("</svg>") == 2 and "a &lt; b" in drawn and not re.search("nan|inf", drawn)


def test_the_committed_pages_say_what_the_committed_figures_say(tmp_path):
    pages.write(json.loads((DOCS / "benchmarks.json").read_text()), tmp_path)
    scaling.write(json.loads((DOCS / "scaling.json").read_text())["steps"], tmp_path)
    for name in ("benchmarks.md", "benchmarks-ratios.svg", "scaling.md", "scaling-seconds.svg", "scaling-memory.svg"):
        assert (DOCS / name).read_text() == (tmp_path / name).read_text(), name


def test_median_of_an_even_number_is_the_mean_of_the_middle_two():
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5 and median([3.0]) == 3.0
    assert not math.isnan(median([1.0]))


def test_a_plan_tells_ours_from_the_peers():
    assert Plan({"unlabeled": "a", "peer": "b"}, Path(), Path()).peers == {"peer": "b"}
