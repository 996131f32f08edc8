"""What the benchmarks beside a peer share: each engine in a process of its own, in turn, and means over the seeds."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AVAILABLE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# BENCHMARK_BUSY=1, for a machine that does other work: every engine gets one thread, and seconds are those of the processor, workers' too.
# Threads that wait for one that has no core lose far more than its share, and a clock on the wall counts what others did.
BUSY = os.environ.get("BENCHMARK_BUSY", "") not in ("", "0")
CORES = 1 if BUSY else AVAILABLE


class Failed(Exception):
    """An engine's process ended with an error or took too long; says which and why in one line."""


def call(python: str, module: str, minutes: float = 20, **given: Any) -> dict[str, Any]:
    """What `measure(**given)` of benchmarks.MODULE answers, run by the interpreter `python`. Raises Failed.

    Every engine gets the same number of threads, and none of them finds our package unless it is installed in its environment.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"OMP_NUM_THREADS": str(CORES), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    command = [python, "-m", f"benchmarks.{module}", "--one", json.dumps(given)]
    try:
        said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        raise Failed(f"{module} {given.get('engine', '')} took longer than {minutes:g} minutes") from None
    if said.returncode:
        last = (said.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"{module} {given.get('engine', '')} failed (status {said.returncode}): {last[:300]}")
    return json.loads(said.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def answer(measure: Any) -> None:
    """The end of a module that `call` runs: measure(**what came) printed as one line of JSON."""
    if len(sys.argv) != 3 or sys.argv[1] != "--one":
        sys.exit("this module is run by `python -m benchmarks NAME`")
    print(json.dumps(measure(**json.loads(sys.argv[2]))))


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def processor_seconds() -> float:
    """Of this process, all its threads, and those of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def now() -> float:
    """The clock of all benchmarks, in seconds: that on the wall, or of the processor where other work goes on (BENCHMARK_BUSY)."""
    if not BUSY:
        return time.perf_counter()
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def median(values: list[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def in_turn(command: list[str], engines: dict[str, str], workers: str, seeds: str, quiet: bool) -> Iterator[dict]:
    """What each engine says of itself, for all numbers of workers and all seeds ("1,2"): in turn, so that a busy machine is busy for all.

    engines: {name: interpreter}. Called is INTERPRETER *command --one NAME|WORKERS|SEED, whose last line is the row as JSON.
    """
    for one in workers.split(","):
        for seed in seeds.split(","):
            for engine, python in engines.items():
                said = subprocess.run([python, *command, "--one", f"{engine}|{one}|{seed}"], capture_output=True, text=True, check=False)
                if said.returncode:
                    sys.exit(f"{engine} failed: {said.stderr.strip()[-400:]}")
                row = json.loads(said.stdout.splitlines()[-1])
                if not quiet:
                    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                yield row


def mean(rows: list[dict], engine: str, workers: int, key: str) -> float:
    """Over the seeds."""
    found = [row[key] for row in rows if (row["engine"], row["workers"]) == (engine, workers)]
    return sum(found) / len(found)
