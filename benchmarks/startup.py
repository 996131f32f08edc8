"""How long a person waits: importing the package, the help, and a search in a run of 100,000 texts, each in a new process.

Those texts have TF-IDF vectors, so that words are looked up by themselves; a small run shows what a network adds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.corpora import many_texts
from benchmarks.peers import BUSY, CORES, call, median
from benchmarks.results import Plan, Row

TIMES = 5
SMALL = 500  # texts of a run whose encoder is a network: what it takes to import and load doesn't depend on them
WANTED = {"import unlabeled": 0.3, "unlabeled --help": 0.5}  # of a search 1.5


def rows(plan: Plan) -> Iterator[Row]:
    n = 100_000
    run = str(plan.scratch / "run")
    call(sys.executable, "fulltext", engine="make run", folder=str(plan.scratch), data=str(plan.data), n=n, run=run)
    texts, small = plan.scratch / "texts.txt", str(plan.scratch / "minilm")
    texts.write_text("".join(f"{' '.join(text.split())}\n" for text in many_texts(plan.data, SMALL)), encoding="utf-8")
    learn = ["-m", "unlabeled", "learn", str(texts), "--method", "none", "--encoder", "minilm", "--out", small]
    subprocess.run([sys.executable, *learn], check=True, capture_output=True)
    search, words = ["-m", "unlabeled", "search"], "how do I open a compressed file"
    commands = {
        "import unlabeled": ["-c", "import unlabeled"],
        "unlabeled --help": ["-m", "unlabeled", "--help"],
        "unlabeled search, by words": [*search, run, words],
        "unlabeled search, by id": [*search, run, "id:5"],
        f"unlabeled search, by words, MiniLM, {SMALL} texts": [*search, small, words],
    }
    for case, command in commands.items():
        spent = [seconds(command) for _ in range(TIMES)]
        wall, cpu = ([one[i] for one in spent] for i in (0, 1))
        took, most = median(cpu if BUSY else wall), WANTED.get(case, 1.5)
        note = f"median of {TIMES} new processes, files in the page cache; {min(wall):.2f} to {max(wall):.2f} s on the clock, "
        note += f"{min(cpu):.2f} to {max(cpu):.2f} s of the processor"
        slow = "" if took <= most else f"; slowest imports: {slowest(command)}"
        yield Row(case, "none", "s", ours=took, most=most, note=note + slow)


def seconds(command: list[str]) -> tuple[float, float]:
    """Seconds on the clock and of the processor of `python *command`."""
    started, before = time.perf_counter(), os.times()
    environment = os.environ | {"OMP_NUM_THREADS": str(CORES), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env=environment)
    after = os.times()
    return time.perf_counter() - started, after.children_user + after.children_system - before.children_user - before.children_system


def slowest(command: list[str], most: int = 6) -> str:
    """The packages that took longest to import, with the seconds of their own modules."""
    said = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    own: dict[str, float] = defaultdict(float)
    for line in said.stderr.splitlines():
        found = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", line)
        if found:
            own[found[2].split(".")[0]] += int(found[1]) / 1e6
    return ", ".join(f"{name} {own[name]:.2f} s" for name in sorted(own, key=lambda name: -own[name])[:most])


def size(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
