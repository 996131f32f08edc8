"""`unlabeled reproduce`: run the checks of some systems, one or many at once, and write what came out."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

from unlabeled import __version__
from unlabeled.errors import InputError
from unlabeled.reproduce.claims import FAILS, HOLDS, NOT_SHOWN
from unlabeled.reproduce.code import fingerprint
from unlabeled.saving import write_json, write_text

SEEDS = (0, 1, 2)
HERE = Path(__file__).resolve().parent
Say = Callable[[str], None]


def names() -> list[str]:
    """The systems that can be reproduced here."""
    apart = {"__init__", "claims", "code", "harness", "runner", "settings", "sources"}
    return sorted(path.stem.replace("_", "-") for path in HERE.glob("*.py") if path.stem not in apart)


def reproduction(name: str) -> Any:
    """The check of that system. InputError when there is none."""
    if name not in names():
        raise InputError(f'no reproduction is called "{name}": choose one of {", ".join(names())}')
    return import_module(f"unlabeled.reproduce.{name.replace('-', '_')}").REPRODUCTION


def reproduce(
    name: str,
    *,
    seeds: Sequence[int] = SEEDS,
    data: str | None = None,
    column: str | None = None,
    label: str | None = None,
    budget: str = "small",
    fresh: bool = False,
    say: Say | None = None,
) -> dict[str, Any]:
    """Run the check of one system and judge its claims: what `docs/reproductions/NAME.json` holds.

    data: a named set or a path instead of the card's sets. fresh: train everything again instead of using the cache.
    """
    import tempfile

    from unlabeled.reproduce.harness import Lab, cache_folder, load_split

    check = reproduction(name)
    if budget not in ("small", "full"):
        raise InputError(f'budget must be "small" or "full", got {budget!r}')
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"seeds must be different whole numbers, got {', '.join(map(str, seeds)) or 'none'}")
    cells: dict[str, list[dict]] = {}
    sizes: dict[str, dict[str, Any]] = {}
    code = fingerprint(name)
    with tempfile.TemporaryDirectory() as throwaway:
        cache = Path(throwaway) if fresh else cache_folder()
        for source in (data,) if data else check.sets:
            for seed in seeds:
                split = load_split(check, source, seed, budget == "full", column, label)
                lab = Lab(split, seed, budget, cache, say)

                def cell(lab: Lab = lab) -> dict[str, Any]:
                    started = time.monotonic()
                    arms = check.run(lab)
                    return {"arms": arms, "costs": lab.costs, "seconds": time.monotonic() - started + lab.saved}

                parts = [name, code, budget, seed, split.name, split.X, split.y, split.X_test, split.y_test]
                cells.setdefault(split.name, []).append(lab.remember("cell", parts, cell))
                said = {"to_learn_from": len(split.X), "to_test_on": len(split.X_test), "classes": len(set(map(str, split.y)))}
                sizes[split.name] = said
    arms = {where: [one["arms"] for one in found] for where, found in cells.items()}
    return {
        "system": name,
        "claims": [judged for claim in check.claims for judged in claim.judge_all(arms)],
        "sets": sizes,
        "seeds": list(seeds),
        "budget": budget,
        "full": check.full,
        "minutes": round(sum(one["seconds"] for found in cells.values() for one in found) / 60, 1),
        "arms": {where: _per_seed(found) for where, found in cells.items()},
        "costs": {where: _mean_costs(found) for where, found in cells.items()},
        "date": date.today().isoformat(),
        "versions": versions(),
        "code": code,
    }


def reproduce_all(
    systems: Sequence[str],
    folder: Path,
    *,
    jobs: int = 1,
    seeds: Sequence[int] = SEEDS,
    again: bool = False,
    say: Say = print,
) -> list[str]:
    """Run what is missing in `folder` or older than its code, `jobs` processes at once; returns the systems that failed to run."""
    todo = [name for name in systems if again or state(name, folder) in ("missing", "stale")]
    say(f"{len(systems) - len(todo)} of {len(systems)} results are there and as new as their code; {len(todo)} to run: {', '.join(todo)}")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    # One process a system and seed: they share trained arms through the cache, and the last one finds everything there.
    queue: list[tuple[str, int | None]] = [(name, seed) for seed in seeds for name in todo]
    running: dict[subprocess.Popen, tuple[str, int | None]] = {}
    left = {name: len(seeds) for name in todo}
    failed: list[str] = []
    done: list[tuple[str, int | None]] = []
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        while queue or running:
            while queue and len(running) < jobs:
                name, seed = queue.pop(0)
                asked = ["--seeds", ",".join(map(str, seeds))] if seed is None else ["--seeds", str(seed)]
                target: list[str] = ["--json", str(folder / f"{name}.json")] if seed is None else []
                command = [sys.executable, "-m", "unlabeled", "reproduce", name, *asked, *target, "--quiet"]
                process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                running[process] = (name, seed)
            time.sleep(0.2)
            for process in [p for p in running if p.poll() is not None]:
                name, seed = running.pop(process)
                assert process.stderr is not None
                complaint = process.stderr.read().strip().splitlines()
                process.stderr.close()
                if process.returncode and name not in failed:
                    failed.append(name)
                    say(f"{name}: could not be run: {complaint[-1] if complaint else process.returncode}")
                    queue[:] = [one for one in queue if one[0] != name]
                    continue
                done.append((name, seed))
                if seed is None:
                    result = read(name, folder) or {}
                    minutes = (time.monotonic() - started) / 60
                    say(f"{name}: {summary(result)}  ({len(done)} of {len(todo) * (len(seeds) + 1)} parts, {minutes:.0f} min)")
                else:
                    left[name] -= 1
                    if not left[name] and name not in failed:
                        queue.insert(0, (name, None))
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return failed


def read(name: str, folder: Path) -> dict[str, Any] | None:
    """The committed result, None where there is none."""
    try:
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def state(name: str, folder: Path) -> str:
    """ "missing", "stale" (the code has changed since), or "fresh"."""
    result = read(name, folder)
    if result is None:
        return "missing"
    return "fresh" if result.get("code") == fingerprint(name) else "stale"


def summary(result: dict[str, Any]) -> str:
    verdicts = [claim["verdict"] for claim in result.get("claims", [])]
    counts = [f"{verdicts.count(kind)} {kind}" for kind in (HOLDS, FAILS, NOT_SHOWN) if kind in verdicts]
    return ", ".join(counts) or "no claims"


def format_result(result: dict[str, Any]) -> str:
    """The result as a table for people."""
    lines = []
    for where, size in result["sets"].items():
        items = f"{size['to_learn_from']:,} items to learn from, {size['to_test_on']:,} to test on, {size['classes']} classes"
        lines += [f"{result['system']} on {where}: {items}; seeds {', '.join(map(str, result['seeds']))}; {result['budget']} budget", ""]
        arms, costs = result["arms"][where], result["costs"][where]
        metrics = sorted({metric for scores in arms.values() for metric in scores})
        rows = [["arm", *metrics, "seconds", "passes"]]
        for arm, scores in arms.items():
            cost = costs.get(arm, {})
            passes = f"{cost['passes']:,.0f}" if cost.get("passes") else ""
            cells = [_spread(scores[metric]) if metric in scores else "" for metric in metrics]
            rows.append([arm, *cells, f"{cost['seconds']:.0f}" if cost else "", passes])
        lines += [*_columns(rows), ""]
    rows = [["claim", "ours", "than", "difference", "wanted", "verdict"]]
    for claim in result["claims"]:
        name = f"{claim['text']} ({claim['metric']}, {claim['on']})" if len(result["sets"]) > 1 else f"{claim['text']} ({claim['metric']})"
        low, high = claim["interval"]
        seeds = [" ".join(f"{value:.3f}" for value in claim[key]) for key in ("ours_per_seed", "than_per_seed")]
        sign = "at most" if claim["lower_is_better"] else "at least"
        than = " or ".join(claim["than"]) if isinstance(claim["than"], list) else claim["than"]
        rows.append(
            [name, seeds[0], seeds[1], f"{claim['difference']:+.3f} [{low:+.3f}, {high:+.3f}]", f"{claim['margin']:+.3f}", claim["verdict"]]
        )
        rows.append(
            [f"    {claim['ours']} against {than}; {claim['role']}" + (", lower is better" if sign == "at most" else ""), *[""] * 5]
        )
    lines += _columns(rows)
    lines += ["", f"{result['minutes']} minutes of work. Differences are paired by seed; brackets: one-sided 95% bounds (Student's t)."]
    return "\n".join(lines)


def overview(systems: Sequence[Any], folder: Path) -> str:
    """docs/reproductions/README.md: one row a system that has a result."""
    lines = [
        "# Reproductions",
        "",
        "Each row is a paper's central claims, run small on real data by `unlabeled reproduce NAME`; the page is generated from the",
        "files beside it, and the verdicts are computed from the seeds: *holds* means that the wanted margin was reached and a paired",
        "one-sided 95 % interval is clear of zero, *fails* that the interval lies below the margin, else *not shown at this scale*.",
        "*stale* results were measured with older code than is here.",
        "",
        "| n | system | paper | data | seeds | claims that hold | fail | not shown | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    details = []
    for system in systems:
        result = read(system.slug, folder)
        if result is None:
            continue
        verdicts = [claim["verdict"] for claim in result["claims"]]
        counts = [str(verdicts.count(kind)) for kind in (HOLDS, FAILS, NOT_SHOWN)]
        stale = " (stale)" if state(system.slug, folder) == "stale" else ""
        paper = f"[{system.title}](https://arxiv.org/abs/{system.arxiv})" if system.arxiv else system.title
        cells = [
            str(system.number or ""),
            f"[{system.slug}]({system.slug}.json){stale}",
            f"{paper}, {system.year}",
            ", ".join(result["sets"]),
        ]
        lines.append(
            "| "
            + " | ".join([*cells, str(len(result["seeds"])), f"{counts[0]} of {len(verdicts)}", *counts[1:], str(result["minutes"])])
            + " |"
        )
        details += ["", f"## {system.slug}", ""]
        details += ["| claim | data | ours | than | difference (95 % from, to) | wanted | verdict |", "|---|---|---|---|---|---|---|"]
        for claim in result["claims"]:
            than = " or ".join(claim["than"]) if isinstance(claim["than"], list) else claim["than"]
            low, high = claim["interval"]
            ours, other = (sum(claim[key]) / len(claim[key]) for key in ("ours_per_seed", "than_per_seed"))
            against = f"{than} {other:.3f}" if isinstance(than, str) else f"{than:g}"
            row = [f"{claim['text']} ({claim['metric']})", claim["on"], f"{claim['ours']} {ours:.3f}", against]
            row += [f"{claim['difference']:+.3f} ({low:+.3f}, {high:+.3f})", f"{claim['margin']:+.3f}", claim["verdict"]]
            details.append("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |")
        details += ["", f"At the paper's scale (not run here): {result['full']}"]
    return "\n".join([*lines, *details]) + "\n"


def write_overview(folder: Path, systems: Sequence[Any]) -> Path:
    """Generate README.md from the results in the folder, in the order of the systems (rows of papers.toml)."""
    write_text(folder / "README.md", overview(systems, folder))
    return folder / "README.md"


def write(result: dict[str, Any], path: Path) -> None:
    write_json(path, result)


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("torch", "numpy", "scikit-learn")}
    return {"unlabeled": __version__, "python": platform.python_version()} | packages


def _per_seed(cells: list[dict]) -> dict[str, dict[str, list[float]]]:
    arms = {arm: list(scores) for cell in cells for arm, scores in cell["arms"].items()}
    return {arm: {m: [cell["arms"][arm][m] for cell in cells] for m in metrics} for arm, metrics in arms.items()}


def _mean_costs(cells: list[dict]) -> dict[str, dict[str, float]]:
    names = {name: cost for cell in cells for name, cost in cell["costs"].items() if cost}
    return {name: {key: round(sum(cell["costs"][name][key] for cell in cells) / len(cells), 1) for key in names[name]} for name in names}


def _spread(values: list[float]) -> str:
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)) ** 0.5
    return f"{mean:.3f} ± {deviation:.3f}" if len(values) > 1 else f"{mean:.3f}"


def _columns(rows: list[list[str]]) -> list[str]:
    # A row whose other cells are empty may run on to the right.
    widths = [max((len(row[i]) for row in rows if any(row[1:])), default=0) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
