"""Reproductions: verdicts from paired seeds, data of any origin, arms cached by content, results that know their code."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from unlabeled.errors import InputError
from unlabeled.methods.frozen import Frozen
from unlabeled.methods.siamese.simsiam import SimSiam
from unlabeled.reproduce import runner
from unlabeled.reproduce.claims import Claim, interval, verdict
from unlabeled.reproduce.code import fingerprint, fingerprint_of
from unlabeled.reproduce.harness import Lab, Reproduction, describe
from unlabeled.reproduce.sources import Split, split
from unlabeled.systems import systems
from unlabeled.views import ImageViews

DOCS = Path(__file__).resolve().parents[1] / "docs" / "reproductions"


# Claims --------------------------------------------------------------------------------------------------------------


def test_the_interval_is_that_of_a_one_sided_t_test():
    d = [0.03, 0.05, 0.01, 0.04]
    low, high = interval(d)
    assert stats.ttest_1samp(d, low, alternative="greater").pvalue == pytest.approx(0.05)
    assert stats.ttest_1samp(d, high, alternative="less").pvalue == pytest.approx(0.05)


@pytest.mark.parametrize(
    "differences, margin, expected",
    [
        ([0.06, 0.07, 0.065], 0.05, "holds"),
        ([0.02, 0.16, 0.01], 0.05, "not shown at this scale"),  # the mean is there, the interval isn't clear of zero
        ([0.01, 0.012, 0.011], 0.05, "fails"),  # surely above zero, and surely below what was wanted
        ([-0.05, -0.06, -0.05], 0.0, "fails"),
        ([-0.002, -0.001, -0.003], -0.01, "holds"),  # not worse by more than a point
        ([-0.002, -0.03, 0.02], -0.01, "not shown at this scale"),
        ([0.3], 0.05, "not shown at this scale"),  # one seed shows nothing
        ([0.3, float("nan"), 0.3], 0.05, "fails"),
        ([0.0, 0.0, 0.0], 0.0, "holds"),  # exactly equal, where no worse was claimed
    ],
)
def test_a_verdict_needs_the_margin_and_an_interval_clear_of_zero(differences, margin, expected):
    assert verdict(differences, margin) == expected


def test_a_claim_takes_the_better_of_several_arms_seed_by_seed():
    arms = [{"a": {"knn": 0.9}, "b": {"knn": 0.5}, "c": {"knn": 0.7}}, {"a": {"knn": 0.9}, "b": {"knn": 0.8}, "c": {"knn": 0.6}}]
    judged = Claim("a wins", ours="a", than=("b", "c"), margin=0.05).judge(arms)
    assert judged["than_per_seed"] == [0.7, 0.8] and judged["difference"] == pytest.approx(0.15)


def test_where_less_is_better_the_difference_turns_round():
    arms = [{"a": {"loss": 0.1}, "b": {"loss": 0.3}}, {"a": {"loss": 0.1}, "b": {"loss": 0.31}}]
    judged = Claim("a is lower", ours="a", than="b", metric="loss", margin=0.1, lower=True).judge(arms)
    assert judged["difference"] == pytest.approx(0.205) and judged["verdict"] == "holds"
    assert Claim("below a half", ours="b", than=0.5, metric="loss", lower=True).judge(arms)["verdict"] == "holds"


def test_a_claim_about_an_arm_that_was_not_run_says_so():
    with pytest.raises(KeyError, match="needs knn of b"):
        Claim("x", ours="a", than="b").judge([{"a": {"knn": 1.0}}])
    with pytest.raises(TypeError, match="claim has the fields"):
        Claim("x", ours="a", then="b")


# Data ----------------------------------------------------------------------------------------------------------------


def test_seeds_draw_other_items_and_no_item_is_on_both_sides():
    first, again, other = (split("digits", seed, (500, 200)) for seed in (0, 0, 1))
    assert len(first.X) == 500 and len(first.X_test) == 200 and first.kind == "image"
    assert np.array_equal(first.X, again.X) and not np.array_equal(first.X, other.X)
    whole = split("digits", 0, (None, None))
    assert len(whole.X) + len(whole.X_test) == 1797
    assert abs(len(whole.X_test) / 1797 - 2 / 7) < 0.01


def test_a_folder_with_a_subfolder_a_class_is_labelled_data(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(tmp_path / "pets" / name / f"{i}.png")
    found = split(str(tmp_path / "pets"), 0, (100, 100))
    assert found.name == "pets" and set(found.y) == set(found.y_test) == {"cats", "dogs"}
    assert len(found.X) + len(found.X_test) == 40 and found.X.shape[1:] == (12, 12, 3)
    Image.new("RGB", (12, 12)).save(tmp_path / "pets" / "stray.png")
    with pytest.raises(InputError, match="one subfolder a class"):
        split(str(tmp_path / "pets"), 0, (100, 100))


def test_a_table_of_texts_or_of_picture_bytes_with_labels_is_labelled_data(tmp_path):
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    (tmp_path / "t.csv").write_text("words,kind\n" + "\n".join(f"some text number {i},{'ab'[i % 2]}" for i in range(40)))
    found = split(str(tmp_path / "t.csv"), 0, (100, 100), column="words", label="kind")
    assert found.kind == "text" and set(found.y) == {"a", "b"} and isinstance(found.X[0], str)
    with pytest.raises(InputError, match="--label"):
        split(str(tmp_path / "t.csv"), 0, (100, 100), column="words")
    blobs = []
    for i in range(40):
        buffer = io.BytesIO()
        Image.fromarray(np.full((9, 9, 3), i, np.uint8)).save(buffer, "PNG")
        blobs.append(buffer.getvalue())
    pq.write_table(pa.table({"picture": blobs, "label": [i % 4 for i in range(40)]}), tmp_path / "p.parquet")
    found = split(str(tmp_path / "p.parquet"), 0, (100, 100), column="picture")
    assert found.kind == "image" and len(np.unique(found.y)) == 4


def test_data_without_labels_or_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="no data set"):
        split("no-such-set", 0, (10, 10))
    with pytest.raises(InputError, match="no labels"):
        split("docstrings", 0, (10, 10), label="nothing-of-that-name")


# The laboratory ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny():
    data = split("digits", 0, (200, 100))
    return Split("digits", "image", data.X, data.y, data.X_test, data.y_test)


def test_an_arm_is_trained_once_and_found_again_by_its_content(tiny, tmp_path):
    said = []
    lab = Lab(tiny, 0, cache=tmp_path, say=said.append)
    learner = lab.learner(SimSiam, epochs=1, batch_size=64, views=ImageViews(size=16))
    first = lab.vectors(lab.fit(learner))[0]
    second = lab.vectors(Lab(tiny, 0, cache=tmp_path, say=said.append).fit(learner))[0]
    assert np.array_equal(first, second) and sum("SimSiam" in line for line in said) == 1
    lab.fit(lab.learner(SimSiam, epochs=1, batch_size=64, views=ImageViews(size=16), seed=1))
    lab.fit(learner, tiny.X[:100])
    assert sum("SimSiam" in line for line in said) == 3


def test_the_baselines_are_always_there_and_passes_are_counted(tiny, tmp_path):
    lab = Lab(tiny, 0, cache=tmp_path)
    table = lab.compare({"ours": lab.learner(SimSiam, epochs=2, batch_size=50, views=ImageViews(size=8))})
    assert set(table) == {"ours", "untrained", "raw"} and all(set(scores) == {"knn", "probe"} for scores in table.values())
    assert table["raw"]["knn"] > 0.8
    assert lab.costs["ours"]["passes"] == pytest.approx(2 * 2 * 200)  # epochs, views, items


def test_a_label_never_reaches_a_fit(tiny, tmp_path):
    lab = Lab(tiny, 0, cache=tmp_path)
    learner = lab.learner(SimSiam, epochs=1, batch_size=64, views=ImageViews(size=16))
    one = lab.vectors(lab.fit(learner))[0]
    shuffled = Split(tiny.name, tiny.kind, tiny.X, tiny.y[::-1].copy(), tiny.X_test, tiny.y_test)
    two = lab.vectors(Lab(shuffled, 0, cache=None).fit(learner))[0]
    assert np.allclose(one, two, atol=1e-5)


def test_what_was_remembered_depends_on_every_part(tmp_path, tiny):
    lab, calls = Lab(tiny, 0, cache=tmp_path), []
    for parts in ([1, "a"], [1, "a"], [1, "b"], [np.arange(3), "a"], [np.arange(4), "a"], [np.arange(3), "a"]):
        lab.remember("x", parts, lambda: calls.append(1) or len(calls))
    assert len(calls) == 4
    with pytest.raises(TypeError, match="can't be told"):
        lab.remember("x", [object()], lambda: 1)


def test_nested_estimators_and_arrays_are_told_apart_by_their_content():
    @dataclass
    class Holder:
        x: object

    assert describe(SimSiam(dim=8)) != describe(SimSiam(dim=9))
    assert describe(Holder(np.zeros(3))) != describe(Holder(np.ones(3)))
    assert describe(["a"] * 101) != describe(["a"] * 100 + ["b"])


# The runner ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def check(monkeypatch, tmp_path):
    def run(lab):
        table = lab.compare({"frozen": lab.learner(Frozen)}, metrics=("knn",))
        return table | {"half": {"knn": table["raw"]["knn"] / 2}}

    made = Reproduction(
        system="simsiam",
        sets=("digits",),
        n=(300, 150),
        run=run,
        full="bigger",
        claims=(
            Claim("pixels beat half of themselves", ours="raw", than="half", margin=0.1),
            Claim("half of them don't", ours="half", than="raw", on="digits", role="key ingredient removed"),
        ),
    )
    monkeypatch.setattr(runner, "reproduction", lambda name: made)
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path / "cache"))
    return made


def test_a_result_has_the_claims_arms_seeds_data_versions_and_code(check):
    result = runner.reproduce("simsiam", seeds=[0, 1, 2])
    assert [claim["verdict"] for claim in result["claims"]] == ["holds", "fails"]
    assert result["sets"] == {"digits": {"to_learn_from": 300, "to_test_on": 150, "classes": 10}}
    assert len(result["arms"]["digits"]["raw"]["knn"]) == 3 and len(set(result["arms"]["digits"]["raw"]["knn"])) > 1
    assert result["code"] == fingerprint("simsiam") and {"torch", "numpy", "unlabeled"} <= set(result["versions"])
    table = runner.format_result(result)
    assert "pixels beat half of themselves" in table and "fails" in table and "seeds 0, 1, 2" in table
    json.dumps(result)


def test_a_pooled_claim_is_asked_of_the_mean_over_the_sets_seed_by_seed():
    arms = {"one": [{"a": {"m": 0.5}, "b": {"m": 0.4}}, {"a": {"m": 0.5}, "b": {"m": 0.3}}]}
    arms["two"] = [{"a": {"m": 0.1}, "b": {"m": 0.1}, "c": {"m": 9.0}}, {"a": {"m": 0.3}, "b": {"m": 0.2}}]
    claim = Claim("on the whole", ours="a", than="b", metric="m", pooled=True)
    (judged,) = claim.judge_all(arms)
    assert judged["on"] == "mean of 2 sets"
    assert judged["ours_per_seed"] == pytest.approx([0.3, 0.4]) and judged["than_per_seed"] == pytest.approx([0.25, 0.25])
    assert [one["on"] for one in claim.judge_all({"one": arms["one"]})] == ["one"]
    assert [one["on"] for one in Claim("each", ours="a", than="b", metric="m").judge_all(arms)] == ["one", "two"]


def test_another_set_and_other_seeds_are_really_used(check, tmp_path):
    (tmp_path / "points.csv").write_text("a,b,label\n" + "\n".join(f"{i % 7},{i % 5},{i % 2}" for i in range(60)))
    result = runner.reproduce("simsiam", seeds=[7], data=str(tmp_path / "points.csv"))
    assert list(result["sets"]) == ["points.csv"] and [claim["on"] for claim in result["claims"]] == ["points.csv"] * 2
    assert result["claims"][0]["verdict"] == "not shown at this scale" and math.isinf(result["claims"][0]["interval"][0])


def test_bad_questions_get_clear_answers(check):
    with pytest.raises(InputError, match="seeds"):
        runner.reproduce("simsiam", seeds=[1, 1])
    with pytest.raises(InputError, match="budget"):
        runner.reproduce("simsiam", budget="huge")


def test_a_system_without_a_reproduction_is_refused_with_the_names():
    with pytest.raises(InputError, match='no reproduction is called "nonsense": choose one of .*simsiam'):
        runner.reproduction("nonsense")


def test_a_result_is_missing_then_fresh_then_stale(check, tmp_path):
    assert runner.state("simsiam", tmp_path) == "missing"
    result = runner.reproduce("simsiam", seeds=[0])
    runner.write(result, tmp_path / "simsiam.json")
    assert runner.state("simsiam", tmp_path) == "fresh"
    runner.write(result | {"code": {"unlabeled/x.py": "0"}}, tmp_path / "simsiam.json")
    assert runner.state("simsiam", tmp_path) == "stale"


def test_every_reproduction_names_a_system_its_sets_and_distinct_claims():
    known = {system.slug for system in [*systems(), *systems(foundations=True)]}
    for name in runner.names():
        check = runner.reproduction(name)
        assert check.system == name and name in known
        assert check.sets and check.claims and len(check.full) > 20
        assert len({(claim.text, claim.on) for claim in check.claims}) == len(check.claims), name


def test_the_table_of_results_is_what_the_committed_files_say(tmp_path):
    for file in DOCS.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    made = runner.write_overview(tmp_path, [*systems(), *systems(foundations=True)]).read_text()
    assert made.replace(" (stale)", "") == (DOCS / "README.md").read_text().replace(" (stale)", "")


def test_committed_verdicts_follow_from_the_committed_seeds():
    for file in DOCS.glob("*.json"):
        result = json.loads(file.read_text())
        assert len(result["seeds"]) >= 3, file.name
        for claim in result["claims"]:
            sign = -1 if claim["lower_is_better"] else 1
            differences = [sign * (a - b) for a, b in zip(claim["ours_per_seed"], claim["than_per_seed"], strict=True)]
            assert claim["verdict"] == verdict(differences, claim["margin"]), (file.name, claim["text"])
            pooled = list(result["arms"].values()) if claim["on"].startswith("mean of") else [result["arms"][claim["on"]]]
            ours = np.mean([arms[claim["ours"]][claim["metric"]] for arms in pooled], axis=0)
            assert claim["ours_per_seed"] == pytest.approx(ours), file.name


# The code a result was measured with ---------------------------------------------------------------------------------


def test_the_code_of_a_result_is_its_method_parts_encoder_and_measures():
    files = set(fingerprint("simsiam"))
    expected = {"methods/siamese/simsiam.py", "parts/losses.py", "parts/heads.py", "encoders/conv.py", "evaluate/probes.py", "learner.py"}
    assert {f"unlabeled/{file}" for file in expected} <= files
    assert not any("cli" in file or "report" in file or "datasets" in file for file in files)
    assert fingerprint("no-such-system") == {}


def test_only_definitions_that_are_used_count(tmp_path):
    package = tmp_path / "unlabeled"
    (package / "parts").mkdir(parents=True)
    (package / "reproduce").mkdir()
    losses = package / "parts" / "losses.py"
    used = 'def used(x):\n    """Says."""\n    return helper(x) * SCALE\n'
    losses.write_text(f"SCALE, LIMITS = 2, (4, 5)\n\n{used}\ndef helper(x):\n    return x\n\ndef other(x):\n    return 0\n")
    (package / "reproduce" / "a.py").write_text("from unlabeled.parts.losses import used\n\nREPRODUCTION = used\n")
    before = fingerprint("a", package)
    assert set(before) == {"unlabeled/parts/losses.py", "unlabeled/reproduce/a.py"}
    for old, new, changes in (
        ("return 0", "return 1", False),
        ("Says.", "Tells.", False),
        ("return x", "return -x", True),
        ("= 2,", "= 3,", True),
    ):
        text = losses.read_text()
        losses.write_text(text.replace(old, new))
        assert (fingerprint("a", package) != before) is changes, old
        losses.write_text(text)
    assert fingerprint_of("unlabeled.parts.losses", "other", package) != fingerprint_of("unlabeled.parts.losses", "helper", package)
    losses.with_suffix(".c").write_text("int loop(void) { return 1; }")
    assert fingerprint("a", package) != before, "a compiled loop counts, too"


def test_the_command_lists_what_can_be_reproduced_and_answers_mistakes():
    def told(*arguments):
        return subprocess.run([sys.executable, "-m", "unlabeled", "reproduce", *arguments], capture_output=True, text=True)

    assert "simsiam" in told().stdout
    wrong = told("nonsense")
    assert wrong.returncode == 2 and "choose one of" in wrong.stderr
    assert told("simsiam", "--seeds", "a").returncode == 2


def test_two_sets_of_the_same_items_are_two_cells(check, tmp_path, monkeypatch):
    # Of a graph the items may be node numbers: equal for two graphs of as many nodes.
    seen = []

    def run(lab):
        seen.append(lab.set)
        return {"ours": {"knn": float(len(seen))}, "other": {"knn": 0.0}}

    X, y = np.arange(40.0).reshape(20, 2), np.repeat([0, 1], 10)
    twice = replace(
        check, sets=("one", "two"), run=run, load=lambda *asked: (X, y, X, y), claims=(Claim("a claim", ours="ours", than="other"),)
    )
    monkeypatch.setattr(runner, "reproduction", lambda name: twice)
    result = runner.reproduce("simsiam", seeds=[0])
    assert seen == ["one", "two"] and result["arms"]["one"] != result["arms"]["two"]
