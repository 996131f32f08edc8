"""The results as a table for the terminal and as docs/benchmarks.md with its plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import plots

HEAD = "case|peer|ours|peer's|times as fast|wanted|met|quality, ours and peer's"


def number(value: float | None) -> str:
    """Three figures, with thousands marked."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(row: dict[str, Any]) -> list[str]:
    unit = f" {row['unit']}" if row["unit"] else ""
    wanted = f"{row['wanted']:.2g}" if row["wanted"] is not None else f"at most {row['most']:g}{unit}" if row["most"] is not None else ""
    quality = f"{row['measured_by']} {number(row['quality'])}, {number(row['theirs_quality'])}" if row["measured_by"] else ""
    quality += " (not equal)" if row["equal"] is False else ""
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    ratio += f" ({min(row['each']):.2f} to {max(row['each']):.2f})" if len(row.get("each", [])) > 1 else ""
    ours, theirs = (number(row[key]) + (unit if row[key] is not None else "") for key in ("ours", "theirs"))
    return [row["case"], row["peer"], ours, theirs, ratio, wanted, {True: "yes", False: "no", None: ""}[row["met"]], quality]


def line(row: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value}" for name, value in zip(HEAD.split("|")[2:], cells(row)[2:], strict=True) if value).join(
        (f"{row['case']}, {row['peer']}: ", "")
    )


def table(results: list[dict[str, Any]]) -> str:
    """One table of all rows, with the reason under each that isn't met or isn't measured."""
    rows = [(cells(row), row) for result in results for row in result["rows"]]
    head = HEAD.split("|")
    width = [max([len(head[i]), *(len(row[i]) for row, _ in rows)]) for i in range(len(head))]
    said = ["  ".join(name.ljust(w) for name, w in zip(head, width, strict=True)).rstrip()]
    for row, kept in rows:
        said.append("  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip())
        if kept["note"] and kept["met"] is not True:
            said.append(f"    {kept['note']}")
    return "\n".join(said)


def write(results: list[dict[str, Any]], folder: Path) -> None:
    """benchmarks.md and benchmarks-ratios.svg."""
    all_rows = [row for result in results for row in result["rows"]]
    met, missed = (sum(row["met"] is verdict for row in all_rows) for verdict in (True, False))
    unmeasured = sum(row["ours"] is None for row in all_rows)
    from benchmarks.registry import BENCHMARKS

    absent = [one.name for one in BENCHMARKS if one.name not in {result["name"] for result in results}]
    without = f" Not run on this machine yet: {', '.join(absent)}." if absent else ""
    parts = [
        "# Speed beside what a user would pick instead",
        "",
        "Written by `make bench` (`python -m benchmarks`); raw figures in [benchmarks.json](benchmarks.json). Each engine runs in a",
        "process of its own, in turn, each peer in an environment of its own, as its documentation tells a user to run it. Times as fast:",
        "ours over the peer's. A row is met when that is at least what was wanted and the quality is equal. Data and settings stand in",
        "the first lines of `benchmarks/NAME.py`.",
        "",
        f"**{met} rows met, {missed} not, {unmeasured} not measured.**{without}",
        "",
        "![How many times as fast, by benchmark](benchmarks-ratios.svg)",
    ]  # fmt: skip
    for result in results:
        sizes = "full sizes" if result["full"] else "sizes cut to fit an hour in all"
        parts += ["", f"## {result['name']}: {result['what']}", ""]
        machine = f"{result['cores']} cores ({result['processor']}), {result['threads']} threads an engine"
        machine += ", processor seconds, because the machine did other work" if result["clock"] == "processor" else ""
        spent = f"{result['minutes']:g} minutes, load {result['load']} at the end"
        sizes += "; stopped before its end" if not result["whole"] else ""
        parts.append(f"{result['date']}, {machine}, {spent}; {sizes}, median of {result['rounds']} rounds.")
        parts += ["", "| " + " | ".join(HEAD.split("|")) + " |", "|---" * len(HEAD.split("|")) + "|"]
        notes = []
        for row in result["rows"]:
            parts.append("| " + " | ".join(cell.replace("|", "/") for cell in cells(row)) + " |")
            if row["note"] and f"- {row['note']}" not in [note.split(": ", 1)[-1] for note in notes]:
                notes.append(f"- {row['case']}, {row['peer']}: {row['note']}")
        parts += ["", *notes, ""]
        versions = [f"{engine}: " + ", ".join(f"{k} {v}" for k, v in known.items()) for engine, known in result["versions"].items()]
        parts.append("Versions: " + "; ".join(versions) + ".")
    (folder / "benchmarks.md").write_text("\n".join(parts) + "\n", encoding="utf-8")
    bars = [
        (f"{result['name']}: {row['case']} / {row['peer']}", row["ratio"], row["wanted"]) for result in results for row in result["rows"]
    ]
    (folder / "benchmarks-ratios.svg").write_text(plots.bars([bar for bar in bars if bar[1] is not None]), encoding="utf-8")
