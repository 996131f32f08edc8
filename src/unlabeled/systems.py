"""The published systems, one row each, and how far each one is: computed from the code and the results, never written by hand.

The rows stand in `papers.toml`. A system's committed result is `docs/reproductions/<slug>.json`, in an installed package
`unlabeled/reproductions/<slug>.json`; two of its fields are read here:

    {"claims": [{"verdict": "holds" | "fails" | "not shown at this scale", ...}, ...],
     "code": {"unlabeled/methods/siamese/simsiam.py": "<sha256 of the definitions it used when it was measured>", ...}, ...}
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from unlabeled.reproduce.code import fingerprint

PACKAGE = Path(__file__).resolve().parent
STATES = ("works", "partly", "not yet")


@dataclass(frozen=True, kw_only=True)
class System:
    """One published system: its row of `papers.toml`, and its state."""

    slug: str  # its name on the command line
    title: str
    year: int
    kind: str  # "method" | "task" | "metric" | "dataset" | "study"
    room: str  # where it lives in the house, e.g. "methods/siamese"
    module: str  # where its code is, e.g. "unlabeled.methods.siamese.simsiam"
    name: str  # the class or function that the module defines
    number: int | None = None  # 1..189; None for a foundation
    authors: str | None = None
    arxiv: str | None = None
    card: str | None = None
    foundation: bool = False  # no row of the list, but rows stand on it
    state: str = "not yet"  # "works" | "partly" | "not yet"
    why: str = ""  # what the state was computed from, in a few words


def systems(*, foundations: bool = False, package: Path = PACKAGE, results: Path | None = None) -> list[System]:
    """The 189 systems in the order of their numbers, or with `foundations=True` the methods that they stand on.

    "works": the code is there, and its committed result has claims that all hold and is not older than the code; "partly": the
    code is there, but there is no result, or an older one, or one with a claim that does not hold; "not yet": no code.
    Nothing is imported: the code is looked for as text.

    `package` is the folder of the code and `results` that of the committed results (for tests); neither needs to be given.
    """
    rows = tomllib.loads((PACKAGE / "papers.toml").read_text(encoding="utf-8"))["system"]
    results = results or results_folder(package)
    chosen = []
    for row in rows:
        if row.get("foundation", False) == foundations:
            state, why = _state(row, package, results)
            chosen.append(System(**row, state=state, why=why))
    return chosen


def results_folder(package: Path = PACKAGE) -> Path:
    """Where the committed results lie: in the clone's docs/ when the package runs from a clone, else inside the package."""
    clone = package.parents[1] / "docs" / "reproductions"
    return clone if package.parent.name == "src" and clone.is_dir() else package / "reproductions"


def format_table(rows: Iterable[System], *, width: int = 140) -> str:
    """The rows as text, titles cut to `width` characters a line, and the counts of the states at the end."""
    rows = list(rows)
    cells = [["n", "system", "state", "kind", "room", "year", "paper"]]
    for row in rows:
        paper = f"[{row.why}] {row.title}" if row.why else row.title
        cells.append([str(row.number or ""), row.slug, row.state, row.kind, row.room, str(row.year), paper])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines = [line if len(line) <= width else line[: width - 3] + "..." for line in lines]
    counts = Counter(row.state for row in rows)
    what = "foundations" if rows and all(row.foundation for row in rows) else "systems"
    return "\n".join([*lines, "", f"{len(rows)} {what}: " + ", ".join(f"{counts[state]} {state}" for state in STATES)])


def as_json(rows: Iterable[System]) -> str:
    """The rows as a JSON array of objects, one a system."""
    return json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)


def _state(row: dict, package: Path, results: Path) -> tuple[str, str]:
    if not _defines(row["module"], row["name"], package):
        return "not yet", ""
    path = results / f"{row['slug']}.json"
    if not path.is_file():
        return "partly", "no committed reproduction"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        verdicts, code = [claim["verdict"] for claim in result["claims"]], dict(result["code"])
    except (ValueError, KeyError, TypeError):
        return "partly", f"{path.name} is not a result file"
    holds = f"{verdicts.count('holds')} of {len(verdicts)} claims hold"
    if not code or code != fingerprint(row["slug"], package):
        return "partly", f"{holds}, measured on older code"
    return ("works" if verdicts and set(verdicts) == {"holds"} else "partly"), holds


def _defines(module: str, name: str, package: Path) -> bool:
    """Whether the module's file is there and defines the class or function."""
    path = package.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.is_file() and re.search(rf"^(class|def) {name}\b", file.read_text(encoding="utf-8"), re.MULTILINE) is not None
