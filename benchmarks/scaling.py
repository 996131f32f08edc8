"""Processor seconds and peak memory of each step against the number of items, the exponents, and what 10^9 items would take.

    python -m benchmarks scaling [--most 1000000] [--steps learn texts,index,...] [--seconds 150] [--full] [--json]

Each point is a process of its own, which makes its data first (untimed) and does the step once. A step isn't tried at a size that, going
by its last two points, would take longer than --seconds; the page says where it stopped. --full: search on disk up to 10^7.
Seconds are of the processor, all threads: what another program does at the same time doesn't count. Those on the clock are kept too.
Exponent: slope of log(seconds) over log(items), least squares over the points from 10^4 on, where starting up no longer shows; of index
and search over those that have a graph (there is none for what is searched exactly).
Peak: the most resident memory during the step, above what the process held before it; pages of mapped files that are in memory count.
Data: texts of UNLABELED_DATA (beyond 150,000 halves of two joined), pictures and vectors made from a seed. Written: docs/scaling.json, .md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.peers import AVAILABLE, CORES, ROOT, Failed, answer, call, processor

RESULT = ROOT / "docs" / "scaling.json"
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
DIM, QUERIES, CLUSTERS = 64, 100, 20
STEEP = 1.15  # n log n from 10^4 to 10^6 has a slope of about 1.1; the rest is noise

STEPS = {
    "learn texts": "`TfidfSVD().fit` of short texts",
    "embed texts": "its `transform`",
    "learn pictures": "`SimCLR(epochs=1).fit` of pictures of 32 x 32, conv4",
    "embed pictures": "its `transform`",
    "index": f"`import_vectors` of n x {DIM}: vectors, table, and a graph where search isn't exact",
    "search": f"{QUERIES} queries one at a time, k = 10, of an opened run: seconds a query, opening and first query left out",
    "cluster": f"`tasks.cluster` into {CLUSTERS} groups",
    "curate": "`HierarchicalKMeans().fit` with its default levels, and `sample` of a tenth",
}
QUADRATIC = {"curate": "its finest level has 1,000 groups from 10,000 to 100,000 items and n / 100 beyond, where it is quadratic by nature"}

HELD = [
    "## What is quadratic by nature, and how it is held",
    "",
    "- `curate` beyond 100,000 items, where the finest level has n / 100 groups: time only, memory stays linear. The command says so",
    "  before it begins; `--levels 1000,100` keeps it linear.",
    "- Maps of all pairs (`functorial-manifold`) fit at most `most` = 3,000 rows and place the others between them.",
    "- Agglomerative grouping (JULE) begins with at most 20,000 clusters, and refuses more with one line before it makes",
    "  their table.",
    "- Measures of all pairs (uniformity, CKA, matching of two spaces) take at most 5,000 to 25,600 rows, drawn with the seed.",
    "- Graphs: the n x n tables of VGAE and of the search for hidden edges are gone through in blocks and never held; time is quadratic.",
]


def memory(field: str) -> int:
    """Bytes, of /proc/self/status; 0 where there is none."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def measure(engine: str, n: int, folder: str, data: str) -> dict[str, Any]:
    """One step (its name is the engine's) at one size, in this process."""
    import torch

    torch.set_num_threads(CORES)
    work, count = prepared(engine, n, Path(folder), Path(data))
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # the peak counts from here
    before, started, used = memory("VmRSS"), time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    disk = sum(path.stat().st_size for path in (Path(folder) / "run").rglob("*") if path.is_file())
    return {"seconds": seconds / count, "cpu": cpu / count, "peak": max(0, memory("VmHWM") - before), "disk": disk}


def prepared(step: str, n: int, folder: Path, data: Path) -> tuple[Callable[[], Any], int]:
    """What is to be timed, and by how many its seconds are divided."""
    import numpy as np

    import unlabeled as ul
    from benchmarks.corpora import many_texts, write_vectors

    if step.endswith("texts"):
        texts = many_texts(data, n)
        model = ul.TfidfSVD()
        if step.startswith("learn"):
            ul.TfidfSVD().fit(texts[:500])  # what is imported or compiled when first used
            return lambda: model.fit(texts), 1
        model.fit(texts[:10_000]).transform(texts[:500])
        return lambda: model.transform(texts), 1
    if step.endswith("pictures"):
        pictures = np.random.default_rng(0).integers(0, 255, (n, 32, 32, 3), dtype=np.uint8)
        simclr = ul.SimCLR(epochs=1)
        if step.startswith("learn"):
            ul.SimCLR(epochs=1).fit(pictures[:512])
            return lambda: simclr.fit(pictures), 1
        simclr.fit(pictures[:1_000]).transform(pictures[:512])
        return lambda: simclr.transform(pictures), 1
    write_vectors(folder / "vectors.npy", n, DIM, queries=QUERIES)
    X = np.load(folder / "vectors.npy", mmap_mode="r")
    if step == "index":
        ul.import_vectors(np.array(X[:500]), None, folder / "warm")
        return lambda: ul.import_vectors(X[:n], None, folder / "run"), 1
    if step == "search":
        ul.import_vectors(X[:n], None, folder / "run")
        run = ul.open(folder / "run")
        queries = np.array(X[n:])
        for query in queries[:3]:
            run.neighbours(query, 10)
        return lambda: [run.neighbours(query, 10) for query in queries], QUERIES
    if step == "cluster":
        from unlabeled import tasks

        tasks.cluster(np.array(X[:500]), k=CLUSTERS)
        return lambda: tasks.cluster(X[:n], k=CLUSTERS), 1
    from unlabeled.tasks.curate.hierarchical_curation import HierarchicalKMeans

    HierarchicalKMeans().fit(np.array(X[:500]))
    return lambda: HierarchicalKMeans().fit(X[:n]).sample(n // 10), 1


def curve(step: str, most: int, seconds: float, data: str, tell: Callable[[str], None]) -> tuple[list[dict[str, Any]], str]:
    """The points of one step, and why it stopped before `most` ("" if it didn't)."""
    points: list[dict[str, Any]] = []
    for n in SIZES:
        if n > most:
            break
        if len(points) > 1 and (expected := foretold(points, n, begins(step))) > seconds:
            return points, f"{n:,} items would take about {expected:,.0f} s"
        folder = tempfile.mkdtemp(prefix="scaling-")
        try:
            points.append({"n": n} | call(sys.executable, "scaling", minutes=10, engine=step, n=n, folder=folder, data=data))
        except Failed as error:
            return points, str(error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        tell(f"{step:15} {n:>10,}  {points[-1]['cpu']:.4g} s of the processor  peak {points[-1]['peak'] / 1e6:,.0f} MB")
    return points, ""


def foretold(points: list[dict[str, Any]], n: int, start: int = 0) -> float:
    """Seconds of the next point, going by the last two; by the last alone, as n log n, where only that is on the curve from `start` on."""
    a, b = points[-2:]
    slope = 1.1 if a["n"] < start <= b["n"] else max(1.0, math.log(b["cpu"] / max(a["cpu"], 1e-4)) / math.log(b["n"] / a["n"]))
    return float(b["cpu"] * (n / b["n"]) ** slope)


def begins(step: str) -> int:
    """Items from which on the curve is one: 10,000, or where neighbours are searched in a graph and no longer exactly."""
    from unlabeled.representation.index import FLAT_LIMIT

    return FLAT_LIMIT + 1 if step in ("index", "search") else 10_000


def exponent(points: list[dict[str, Any]], key: str = "cpu", start: int = 10_000) -> float | None:
    """Slope of log(value) over log(n), least squares, of the points from `start` on; None of fewer than two."""
    known = [(math.log(p["n"]), math.log(p[key])) for p in points if p["n"] >= start and p[key] > 0]
    if len(known) < 2:
        return None
    x, y = (sum(part) / len(known) for part in zip(*known, strict=True))
    return sum((a - x) * (b - y) for a, b in known) / sum((a - x) ** 2 for a, _ in known)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--seconds", type=float, default=150, help="the longest that a point may be expected to take (default: 150)")
    parser.add_argument("--full", action="store_true", help="search on disk up to 10^7 items")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    kept = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"steps": {}}
    for step in options.steps.split(","):
        if step not in STEPS:
            parser.error(f"there is no step {step!r}: wanted {', '.join(STEPS)}")
        most = 10_000_000 if options.full and step in ("index", "search") else options.most
        seconds = 7200 if options.full else options.seconds
        tell = (lambda line: None) if options.json else (lambda line: print(line, flush=True))
        points, stopped = curve(step, most, seconds, os.environ.get("UNLABELED_DATA", ""), tell)
        machine = {"cores": AVAILABLE, "threads": CORES, "processor": processor(), "load": round(os.getloadavg()[0], 1)}
        start = begins(step)
        fitted = {"from": start, "exponent": exponent(points, start=start), "memory_exponent": exponent(points, "peak", start)}
        fitted["date"] = date.today().isoformat()
        kept["steps"][step] = {"what": STEPS[step], "points": points, "stopped": stopped} | fitted | machine
        kept["steps"] = {name: kept["steps"][name] for name in STEPS if name in kept["steps"]}
        RESULT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        write(kept["steps"], RESULT.parent)
    if options.json:
        print(json.dumps(kept, indent=1))


def write(steps: dict[str, Any], folder: Path) -> None:
    """scaling.md and its two plots."""
    from benchmarks.on_paper import section

    machines = sorted({f"{step['cores']} cores, {step['threads']} threads, {step['processor']}" for step in steps.values()})
    parts = [
        "# How time and memory grow with the number of items",
        "",
        "Written by `python -m benchmarks scaling`; raw figures in [scaling.json](scaling.json). Seconds are of the processor, all",
        "threads, because other work went on at the same time; one run a point, so points are noisy.",
        f"{'; '.join(machines)}. The load is that of the machine at the end. Exponents: of the points from 10,000 items on; of",
        "index and search of those that have a graph, blank where there is but one.",
        "",
        "![Seconds](scaling-seconds.svg)",
        "",
        "![Peak memory](scaling-memory.svg)",
        "",
        "| step | largest | processor seconds there | peak memory there | exponent of time | of memory | no worse than n log n | load |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for name, step in steps.items():
        if not step["points"]:
            notes.append(f"- {name}: not measured: {step['stopped']}")
            continue
        last, slope = step["points"][-1], step["exponent"]
        verdict = "" if slope is None else "yes" if slope <= STEEP else "no" if name not in QUADRATIC else "no, by nature"
        figures = [f"{one:.2f}" if one is not None else "" for one in (slope, step["memory_exponent"])]
        largest = f"{last['n']:,} | {last['cpu']:.3g} | {last['peak'] / 1e6:,.0f} MB"
        parts.append(f"| {name} | {largest} | {figures[0]} | {figures[1]} | {verdict} | {step['load']} |")
        notes.append(f"- {name}: {step['what']}." + (f" Stopped: {step['stopped']}." if step["stopped"] else ""))
        if name in QUADRATIC:
            notes.append(f"  The verdict holds for the sizes measured: {QUADRATIC[name]}.")
    parts += ["", *notes, "", *HELD, "", *section(steps)]
    (folder / "scaling.md").write_text("\n".join(parts) + "\n", encoding="utf-8")
    for key, title in (("cpu", "processor seconds (search: a query)"), ("peak", "peak memory, bytes")):
        lines = {name: [(p["n"], p[key]) for p in step["points"]] for name, step in steps.items() if step["points"]}
        if lines:
            file = "scaling-seconds.svg" if key == "cpu" else "scaling-memory.svg"
            (folder / file).write_text(plots.curves(lines, title, "items"), encoding="utf-8")


if __name__ == "__main__":
    answer(measure)
