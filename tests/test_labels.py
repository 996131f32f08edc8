"""Labels given by a person: nothing that was acknowledged is lost, whatever stops the process."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import unlabeled as ul
from unlabeled.errors import InputError
from unlabeled.labels import Labels


@pytest.fixture
def run(tmp_path):
    ids = [f"item/{row}" for row in range(20)]
    return ul.import_vectors(np.random.default_rng(0).normal(size=(20, 4)), ids=ids, path=tmp_path / "run")


def again(run) -> Labels:
    return Labels(ul.open(run.path))


def test_labels_are_there_when_the_run_is_opened_again(run):
    labels = Labels(run)
    labels.set([1, 2, 2, 7], "cat")
    labels.set([3], "dog ")
    labels.set([2], None)
    assert again(run).listed() == labels.listed() == [(1, "cat"), (3, "dog"), (7, "cat")]
    assert labels.classes() == {"cat": 2, "dog": 1}
    assert labels.values()[:4] == ["", "cat", "", "dog"]
    assert again(run).revision == labels.revision == 3


def test_a_class_can_be_renamed_merged_and_removed(run):
    labels = Labels(run)
    labels.set([1, 2], "cat")
    labels.set([3], "dog")
    labels.rename("cat", "Cat")
    labels.rename("dog", "Cat")
    assert labels.classes() == {"Cat": 3}
    labels.rename("Cat", None)
    assert len(labels) == 0 and again(run).listed() == []
    with pytest.raises(InputError, match="no item is labelled 'bird'"):
        labels.rename("bird", "Bird")


def test_undo_takes_back_one_change_at_a_time_also_after_a_restart(run):
    labels = Labels(run)
    labels.set([1, 2], "cat")
    labels.set([2, 3], "dog")
    labels.close()
    later = again(run)
    assert later.undo() == [2, 3]
    assert later.listed() == [(1, "cat"), (2, "cat")]
    later.close()
    assert again(run).undo() == [1, 2]
    assert again(run).listed() == []
    with pytest.raises(InputError, match="nothing to undo"):
        again(run).undo()


def test_a_line_that_was_cut_off_is_dropped_and_the_next_change_is_whole(run):
    labels = Labels(run)
    labels.set([1], "cat")
    labels.close()
    with (run.path / "labels.jsonl").open("ab") as file:
        file.write(b'{"label": "dog", "ids": ["item/')
    later = again(run)
    assert later.listed() == [(1, "cat")]
    later.set([4], "bird")
    assert again(run).listed() == [(1, "cat"), (4, "bird")]


def test_a_damaged_line_in_the_middle_is_said_and_not_skipped(run):
    (run.path / "labels.jsonl").write_text('{"label": "a", "ids": ["item/1"]}\nnonsense\n{"label": "a", "ids": ["item/2"]}\n')
    with pytest.raises(InputError, match="line 2"):
        Labels(run)


@pytest.mark.parametrize(
    ("rows", "label", "said"),
    [
        ([], "a", "no rows"),
        ([20], "a", "rows 0 to 19"),
        ([-1], "a", "rows 0 to 19"),
        ([1], "  ", "needs a name"),
        ([1], "-1", "needs a name"),
        ([1], "x" * 201, "at most 200"),
    ],
)
def test_what_cannot_be_a_label_is_refused_and_not_written(run, rows, label, said):
    with pytest.raises(InputError, match=said):
        Labels(run).set(rows, label)
    assert not (run.path / "labels.jsonl").exists()


def test_labels_of_ids_that_went_are_kept_in_the_file_but_not_shown(run, tmp_path):
    labels = Labels(run)
    labels.set([0, 1], "cat")
    smaller = ul.import_vectors(np.random.default_rng(0).normal(size=(3, 4)), ids=["item/1", "x", "y"], path=tmp_path / "other")
    (smaller.path / "labels.jsonl").write_bytes((run.path / "labels.jsonl").read_bytes())
    assert Labels(smaller).listed() == [(0, "cat")]


@pytest.mark.skipif(sys.platform == "win32", reason="the lock is that of POSIX")
def test_a_second_process_may_read_but_not_write(run):
    Labels(run).set([0], "cat")  # holds the lock until it is closed or collected
    holder = Labels(run)
    holder.set([0], "cat")
    opened = f"import unlabeled as ul; from unlabeled.labels import Labels; l = Labels(ul.open({str(run.path)!r}))"
    code = f"{opened}; print(len(l)); l.set([1], 'x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "1" and "being labelled by another process" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_process_loses_nothing_that_it_acknowledged(run):
    code = (
        f"import unlabeled as ul; from unlabeled.labels import Labels; l = Labels(ul.open({str(run.path)!r}))\n"
        "n = 0\nwhile True:\n    l.set([n % 20], f'c{n}'); print(n, flush=True); n += 1"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for _ in range(50):
        said = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    said = int(([str(said), *process.stdout.read().split()])[-1])
    process.wait()
    written = [json.loads(line) for line in (run.path / "labels.jsonl").read_text().splitlines() if line.endswith("}")]
    assert len(written) >= said + 1
    assert again(run).of_row[said % 20] in {f"c{said}", f"c{said + 20}"}
