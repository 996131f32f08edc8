"""The report as a dict: what was computed elsewhere, arranged, with the few hundred items that are shown. It is all that `render` needs."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

import unlabeled
from unlabeled.errors import InputError
from unlabeled.report.measures import LABELS, compare

if TYPE_CHECKING:
    from unlabeled.representation import Representation

FORMAT = 1
TEXT = 200  # characters shown of a text
POINTS = 5_000  # on the map
PREVIEWS = 1_500  # points of the map that show their item, as far as BYTES goes
BYTES = 2_600_000  # of pictures and texts for the map: with the page's own, the file stays under 5 MB
SMALL = 1_200  # bytes: a larger PNG is packed again
QUERIES, NEIGHBOURS = 6, 8
EXAMPLES, GROUPS, GROUP, ODD = 6, 24, 8, 24  # most that are shown: of a cluster, groups of near-duplicates, of each, oddest items
ROW_COLUMNS = ("cluster", "cluster_name", "x", "y", "map_x", "map_y")  # ours, not the user's

Arm = Mapping[str, Any]


def build(
    rep: Representation,
    *,
    facts: Mapping[str, Any],
    method: Mapping[str, Any],
    curve: Sequence[float],
    arms: Mapping[str, Arm],
    clusters: Mapping[str, Any] | None,
    positions: np.ndarray | None,
    duplicates: Iterable[tuple[Sequence[int], float]],
    outliers: tuple[Sequence[int], Sequence[float]] | None,
    seed: int = 0,
) -> dict[str, Any]:
    """Arrange a run and what was measured on it as the report, a dict that JSON can hold (NaN and infinity become None).

    facts: strings "verdict" (the one sentence at the top), "collapse", "judged_on" (on which data, how many seeds), "description" (of the
        items), "command" (that repeats the run); "search" {"query", "hits": [[row, score], ...]}. All may be missing; "source",
        "unreadable" and "notes" come from the run unless they are given.
    method: "name", "why", "encoder", "encoder_why", "settings" (a dict), "seconds", "epochs", "device", "seed".
    curve: the loss, one number an epoch or a step.
    arms: what is compared, by name; "learned" is this run's vectors. An arm's measures are numbers, {"mean", "std"} or lists of one number a
        seed; strings in it are "label" and "verdict".
    clusters: "labels" int [n] (-1: in none), "names" (by cluster), "examples" (rows of each, most central first), "chosen" (how k was).
    positions: float [n, 2], the map. duplicates: (rows, similarity) of each group. outliers: rows and their scores, oddest first.
    Raises InputError where labels or positions don't match the run.
    """
    count = len(rep)
    labels, groups = _clusters(clusters, count)
    known = rep.config.get("items", {})
    near = [{"rows": list(rows), "similarity": similarity} for rows, similarity in duplicates]
    odd = [{"row": row, "score": score} for row, score in zip(*(outliers or ((), ())), strict=True)][:ODD]
    report = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": unlabeled.__version__,
        "source": facts.get("source", known.get("source", "")),
        "kind": rep.kind,
        "items": {
            "count": count,
            "description": facts.get("description", ""),
            "unreadable": facts.get("unreadable", known.get("unreadable", [])),
            "notes": facts.get("notes", known.get("notes", [])),
        },
        "method": dict(method),
        "command": facts.get("command", ""),
        "curve": list(curve),
        "quality": _quality(facts, arms, rep.vectors.shape[1]),
        "map": _map(positions, labels, count, seed),
        "clusters": groups,
        "k_chosen": (clusters or {}).get("chosen", ""),
        "duplicates": [{**group, "rows": group["rows"][:GROUP], "size": len(group["rows"])} for group in near[:GROUPS]],
        "duplicates_found": len(near),
        "outliers": odd,
        "neighbours": _neighbours(rep, labels, seed),
        "index": dict(rep.index_info),
    }
    if facts.get("search"):
        report["search"] = facts["search"]
    report = plain(report)
    report["shown"] = plain(_shown(rep, report, seed))
    return report


def plain(value: Any) -> Any:
    """The same in what JSON holds: NumPy's numbers and arrays unpacked, NaN and infinity None, keys and strange objects as strings."""
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, str):  # a file name that isn't UTF-8 has surrogates, which can't be written
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else plain(str(value))


def _clusters(clusters: Mapping[str, Any] | None, count: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Labels [n], -1 where there are none, and the clusters, largest first."""
    labels = np.full(count, -1) if clusters is None else np.asarray(clusters["labels"])
    if labels.shape != (count,):
        raise InputError(f"clusters['labels'] has the shape {list(labels.shape)} for {count:,} items: give one label an item, -1 for none")
    found, sizes = np.unique(labels[labels >= 0], return_counts=True)
    names, examples = (clusters or {}).get("names", []), (clusters or {}).get("examples", [])
    groups = [
        {
            "cluster": number,
            "name": names[number] if number < len(names) else f"cluster {number}",
            "size": size,
            "examples": list(examples[number][:EXAMPLES]) if number < len(examples) else np.flatnonzero(labels == number)[:EXAMPLES],
        }
        for number, size in zip(found.tolist(), sizes.tolist(), strict=True)
    ]
    return labels, sorted(groups, key=lambda group: -group["size"])


def _quality(facts: Mapping[str, Any], arms: Mapping[str, Arm], width: int) -> dict[str, Any]:
    rows = []
    for name, arm in arms.items():
        row = {"name": name, "label": LABELS.get(name, ""), **({"dim": width} if name == "learned" else {}), **arm}
        for key, value in row.items():
            if isinstance(value, (list, tuple, np.ndarray)):  # one number a seed
                row[key] = {"mean": np.mean(value), "std": np.std(value, ddof=1) if len(value) > 1 else 0.0}
        rows.append(row)
    rows = plain(rows)
    return {
        "verdict": facts.get("verdict") or " ".join(compare(rows)) or "Nothing was measured.",
        "collapse": facts.get("collapse") or arms.get("learned", {}).get("verdict", ""),
        "judged_on": facts.get("judged_on", ""),
        "arms": rows,
    }


def _map(positions: np.ndarray | None, labels: np.ndarray, count: int, seed: int) -> dict[str, list[Any]]:
    """At most POINTS rows at random with their places, scaled into [0, 1] with one scale for both axes."""
    if positions is None:
        return {"rows": [], "x": [], "y": [], "cluster": []}
    positions = np.asarray(positions, np.float64)
    if positions.shape != (count, 2):
        raise InputError(f"positions has the shape {list(positions.shape)} for {count:,} items: wanted [{count}, 2]")
    rows = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if len(rows) > POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, POINTS, replace=False))
    places = positions[rows]
    if len(rows):
        low, high = places.min(axis=0), places.max(axis=0)
        places = (places - (low + high) / 2) / (max((high - low).max(), 1e-12)) + 0.5
    places = places.round(4)
    return {"rows": rows.tolist(), "x": places[:, 0].tolist(), "y": places[:, 1].tolist(), "cluster": labels[rows].tolist()}


def _neighbours(rep: Representation, labels: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """QUERIES items drawn at random, from different clusters as far as there are, and their neighbours: drawn, not chosen for their looks."""
    if len(rep) < 2:
        return []
    order = np.random.default_rng(seed).permutation(len(rep))
    first = np.sort(np.unique(labels[order], return_index=True)[1])  # where in `order` each cluster comes up first
    rows = list(dict.fromkeys([*order[first].tolist(), *order[:QUERIES].tolist()]))[:QUERIES]
    scores, found = rep.neighbours(np.stack([rep.vectors[row] for row in rows]), NEIGHBOURS + 1)
    return [
        {"row": row, "neighbours": [[other, round(float(score), 4)] for other, score in zip(near, each, strict=True) if other != row][:NEIGHBOURS]}
        for row, near, each in zip(rows, found.tolist(), scores, strict=True)
    ]


def _shown(rep: Representation, report: Mapping[str, Any], seed: int) -> dict[str, dict[str, str]]:
    """Row -> its id and its picture or text: all that the page lists, then points of the map while they fit. Other points have their id."""
    listed = [row for group in report["clusters"] + report["duplicates"] for row in group.get("examples", group.get("rows"))]
    listed += [odd["row"] for odd in report["outliers"]]
    listed += [row for query in report["neighbours"] for row in (query["row"], *(other for other, _ in query["neighbours"]))]
    listed += [row for row, _ in report.get("search", {}).get("hits", [])]
    listed = list(dict.fromkeys(listed))
    points = [row for row in report["map"]["rows"] if row not in set(listed)]
    tried = np.random.default_rng(seed).permutation(points)[:PREVIEWS].astype(int).tolist()
    ids = rep.ids
    shown = {str(row): {"id": _cut(ids[row])} for row in [*listed, *points]}
    room = BYTES
    for rows, is_needed in ((listed, True), (tried, False)):
        for row, item in zip(rows, _previews(rep, rows), strict=True):
            room -= 0 if is_needed else sum(map(len, item.values()))
            if room < 0:
                return shown
            shown[str(row)] |= item
    return shown


def _previews(rep: Representation, rows: Sequence[int]) -> list[dict[str, str]]:
    if not rows:
        return []
    if rep.kind == "image":
        return [{"image": _data_uri(png)} for png in rep.thumbnails(rows)]
    if rep.texts is not None:
        return [{"text": _cut(rep.texts[row])} for row in rows]
    columns = {name: rep.column(name) for name in rep.columns if name not in ROW_COLUMNS}
    named = list(columns.items())[:5]
    if named:
        return [{"text": _cut(", ".join(f"{name}: {_short(values[row])}" for name, values in named))} for row in rows]
    more = ", ..." if rep.vectors.shape[1] > 6 else ""
    return [{"text": "vector " + ", ".join(map(_short, rep.vectors[row][:6])) + more} for row in rows]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (float, np.floating)) else str(value)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TEXT else text[: TEXT - 1].rstrip() + "…"


def _data_uri(png: bytes) -> str:
    """Small pictures as they are, so that pixel art keeps its pixels; photographs as WebP, a fifth of their PNG."""
    packed, kind = png, "png"
    if len(png) > SMALL:
        from PIL import Image, features

        if features.check("webp"):
            buffer = io.BytesIO()
            Image.open(io.BytesIO(png)).save(buffer, "WEBP", quality=85)
            packed, kind = min((buffer.getvalue(), "webp"), (png, "png"), key=lambda pair: len(pair[0]))
    return f"data:image/{kind};base64,{base64.b64encode(packed).decode()}"
