"""`unlabeled learn --devices`: several processes make one run; when one is lost there is one message, and the run goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from unlabeled.cli import main

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc")
EPOCHS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("launch")
    np.save(where / "vectors.npy", np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32))
    return where


def begin(folder, out, *more):
    """`unlabeled learn` in two processes, as a user starts it."""
    command = [sys.executable, "-m", "unlabeled", "learn", "vectors.npy", "--method", "simclr", "--encoder", "mlp", "--epochs", str(EPOCHS)]
    command += ["--set", "batch_size=16", "--set", "precision=32-true", "--set", "device=cpu", "--out", out, "--devices", "2", *more]
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment |= {"UNLABELED_CHECKPOINT_SECONDS": "0.05", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def member(launcher, rank):
    """The process that the launcher started as that rank."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(") ")[2].split()[1]) == launcher.pid:
                if f"RANK={rank}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    return int(entry.name)
        except OSError:  # it ended meanwhile
            continue
    raise AssertionError(f"no process of rank {rank}")


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def curve(run):
    return json.loads((run / "config.json").read_text())["loss_curve"]


@pytest.fixture(scope="module")
def whole(folder):
    process = begin(folder, "whole")
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder / "whole", said, errors


def test_two_processes_make_one_run_and_speak_with_one_voice(whole):
    run, said, errors = whole
    assert said.count("64 vectors of 8 numbers") == 1 and "Warning" not in errors + said
    assert said.endswith("report: whole/report.html\n") and (run / "report.html").exists()
    assert json.loads((run / "config.json").read_text())["state"] == "done" and len(curve(run)) == EPOCHS


def test_a_run_goes_on_after_ctrl_c_and_a_killed_process_even_on_two_machines_and_becomes_the_same(whole, folder):
    checkpoint = folder / "broken" / "checkpoint.safetensors"
    process = begin(folder, "broken")
    until(checkpoint.exists, process)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and "unlabeled: stopped; what was learned is kept" in errors and "Traceback" not in errors

    written, process = checkpoint.stat().st_mtime_ns, begin(folder, "broken", "--resume")
    until(lambda: checkpoint.stat().st_mtime_ns > written, process)
    os.kill(member(process, 1), signal.SIGKILL)
    said, errors = process.communicate(timeout=120)
    message = "process 1 of 2 was killed (SIGKILL), so the training stopped; the last checkpoint is kept: "
    assert process.returncode == 2 and errors.count("unlabeled: ") == 1 and "Traceback" not in errors
    assert errors.strip().endswith(message + "the same command with --out broken --resume goes on")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    shared = ("--devices", "1", "--nodes", "2", "--main-address", address)
    machines = [begin(folder, "broken", "--resume", *shared, "--node-rank", rank) for rank in ("0", "1")]
    said = [machine.communicate(timeout=300) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert said[0][0].endswith("report: broken/report.html\n") and said[1] == ("", "")
    np.testing.assert_allclose(curve(folder / "broken"), curve(whole[0]), atol=1e-5)


def test_processes_end_when_the_one_that_started_them_is_gone(folder):
    process = begin(folder, "left")
    until((folder / "left" / "checkpoint.safetensors").exists, process)
    members = [member(process, rank) for rank in (0, 1)]
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + 30
    while any(lives(pid) for pid in members):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "tfidf-svd"), "tfidf-svd has a training loop of its own"),
        (("--method", "distmult"), "distmult has a training loop of its own"),
        (("--method", "none"), "none trains nothing"),
        (("--method", "tournament"), "a tournament runs in one process"),
        (("--method", "simclr", "--devices", "0"), "--devices must be 1 or more, got 0"),
        (("--method", "simclr", "--nodes", "2"), "several machines need --main-address"),
        (("--method", "simclr", "--node-rank", "1"), "--node-rank 1 of 1 machines: wanted 0 to 0"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_sentence(folder, capsys, options, message, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["learn", "vectors.npy", "--out", "refused", "--devices", "2", *options]) == 2
    assert message in capsys.readouterr().err and not (folder / "refused").exists()


def test_a_method_that_is_chosen_by_the_data_is_refused_too(folder, capfd, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["learn", "vectors.npy", "--out", "auto", "--devices", "2"]) == 2  # auto keeps vectors as they are
    assert "none trains nothing" in capfd.readouterr().err
