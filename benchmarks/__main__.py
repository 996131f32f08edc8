"""Speed beside what a user would pick instead: one run, ratios, equal quality.

    python -m benchmarks [NAME ...] [--full] [--rounds 3] [--json]    all, or some; `--list` says which there are
    python -m benchmarks scaling [--most 1000000] [--full]            time and memory against 10^3 to 10^6 items

Each engine runs in a process of its own, in turn, and each peer in an environment of its own, which is made when it is first needed
(UNLABELED_PEERS, ~/.cache/unlabeled/peers). Results are merged into docs/benchmarks.json, from which docs/benchmarks.md is written.
--full takes the sizes of the goals, for hours. Data: UNLABELED_DATA. With BENCHMARK_BUSY=1, for a machine that does other
work, every engine gets one thread and seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import environments, pages
from benchmarks.peers import AVAILABLE, BUSY, CORES, ROOT, Failed, processor
from benchmarks.results import Benchmark, Plan, Row

RESULT = ROOT / "docs" / "benchmarks.json"


def main() -> None:
    if sys.argv[1:2] == ["scaling"]:
        from benchmarks import scaling

        scaling.main(sys.argv[2:])
        return
    from benchmarks.registry import BENCHMARKS, BY_NAME

    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--full", action="store_true", help="the sizes of the goals: hours")
    parser.add_argument("--rounds", type=int, default=3, help="how often engines are asked in turn (default: 3)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, not as a table")
    parser.add_argument("--list", action="store_true", help="say which benchmarks there are")
    parser.add_argument("--environments", action="store_true", help="only make the peers' environments")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BY_NAME]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}: wanted one of {', '.join(BY_NAME)} or scaling")
    chosen = [BY_NAME[name] for name in options.names] or BENCHMARKS
    if options.list:
        for one in chosen:
            print(f"{one.name:10} {one.what}; beside {', '.join(one.peers) or 'nothing'}; about {one.minutes:g} minutes")
        return
    if options.environments:
        for one in chosen:
            engines, missing = engines_of(one)
            print(f"{one.name}: " + ", ".join([*engines, *(f"{peer} can't be made: {why}" for peer, why in missing.items())]), flush=True)
        return
    found = {}
    for one in chosen:
        say(f"{one.name}: {one.what}", quiet=options.json)
        found[one.name] = measured(one, full=options.full, rounds=options.rounds, quiet=options.json, keep=keep)
    print(json.dumps(list(found.values()), indent=1) if options.json else pages.table([*found.values()]))


def say(line: str, *, quiet: bool) -> None:
    if not quiet:
        print(line, flush=True)


def engines_of(one: Benchmark) -> tuple[dict[str, str], dict[str, str]]:
    """The interpreters of ours and of the peers whose environment could be made; why the others' couldn't."""
    engines, missing = {"unlabeled": sys.executable}, {}
    for peer, requirements in one.peers.items():
        try:
            engines[peer] = environments.interpreter(requirements)
        except environments.NotMade as error:
            missing[peer] = str(error)
    return engines, missing


def measured(
    one: Benchmark, *, full: bool, rounds: int, quiet: bool, keep: Callable[[dict[str, Any]], None] = lambda result: None
) -> dict[str, Any]:
    """All that is kept of one benchmark: its rows, versions, cores, when and how long. Never raises for what a peer does.

    keep: called after every row, so that what was measured isn't lost when the rest is stopped ("whole" is false until the end).
    """
    data = Path(os.environ.get("UNLABELED_DATA", "UNLABELED_DATA-is-not-set"))
    started = time.monotonic()
    rows: list[Row] = []
    absent = [name for name in one.data if not (data / name).exists()]
    engines, missing = ({}, {}) if absent else engines_of(one)
    about = {"name": one.name, "what": one.what, "full": full, "rounds": rounds, "date": date.today().isoformat()}
    about |= {"cores": AVAILABLE, "threads": CORES, "clock": "processor" if BUSY else "wall", "processor": processor()}
    about |= {"versions": {name: versions(python) for name, python in engines.items()}}

    def add(row: Row) -> None:
        rows.append(row)
        say("  " + (pages.line(row.as_json()) if row.ours is not None else f"{row.case}, {row.peer}: {row.note}"), quiet=quiet)
        keep(result(False))

    def result(whole: bool) -> dict[str, Any]:
        spent = {"minutes": round((time.monotonic() - started) / 60, 1), "load": round(os.getloadavg()[0], 1)}
        return about | spent | {"whole": whole, "rows": [row.as_json() for row in rows]}

    for peer, why in missing.items():
        add(Row("all", peer, note=f"not measured: {why}"))
    if absent:
        add(Row("all", ", ".join(one.peers) or "none", note=f"not measured: {', '.join(absent)} isn't in UNLABELED_DATA"))
    elif len(engines) > 1 or not one.peers:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
            try:
                for row in one.run(Plan(engines, data, Path(scratch), full, rounds)):
                    add(row)
            except Failed as error:
                add(Row("the rest", ", ".join(one.peers) or "none", note=f"not measured: {error}"))
    keep(result(True))
    return result(True)


NAMED = ("unlabeled", "torch", "numpy", "faiss-cpu", "hnswlib", "bm25s", "sentence-transformers", "transformers", "lightly", "torchvision",
         "pillow", "gensim", "pecanpy", "pykeen", "fasttext", "lancedb")  # fmt: skip


def versions(python: str) -> dict[str, str]:
    """Of those packages that results depend on, as the interpreter's environment has them."""
    code = "import importlib.metadata as m, json, sys; have = {d.name.lower(): d.version for d in m.distributions() if d.name}; "
    code += "print(json.dumps({'python': sys.version.split()[0]} | {n: have[n] for n in sys.argv[1:] if n in have}))"
    return json.loads(subprocess.run([python, "-c", code, *NAMED], capture_output=True, text=True, check=True).stdout)  # type: ignore[no-any-return]


def keep(result: dict[str, Any]) -> None:
    """Merge one benchmark's result into the file, and write the page anew."""
    from benchmarks.registry import BENCHMARKS

    kept = {one["name"]: one for one in json.loads(RESULT.read_text(encoding="utf-8"))} if RESULT.exists() else {}
    kept[result["name"]] = result
    ordered = [kept[one.name] for one in BENCHMARKS if one.name in kept]
    RESULT.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    pages.write(ordered, RESULT.parent)


if __name__ == "__main__":
    main()
