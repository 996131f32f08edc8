"""The report as a dict: what was computed elsewhere, arranged, with the few hundred items that are shown. It is all that `render` needs."""

from __future__ import annotations

import base64
import io
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

import unlabeled
from unlabeled.errors import InputError
from unlabeled.report.measures import LABELS

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
OWN_COLUMNS = ("cluster", "cluster_name", "x", "y")  # ours, not the user's


def build(
    rep: Representation,
    *,
    facts: Mapping[str, Any],
    method: Mapping[str, Any],
    curve: Sequence[float],
    arms: Sequence[Mapping[str, Any]],
    verdict: str,
    collapse: str = "",
    judged_on: str = "",
    clusters: Sequence[Any] = (),
    k_chosen: str = "",
    positions: np.ndarray | None = None,
    duplicates: Iterable[tuple[Sequence[int], float]] = (),
    outliers: tuple[Sequence[int], Sequence[float]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Arrange a run and what was measured on it as the report, a dict that JSON can hold (NaN and infinity become None).

    facts: "description" of the items, "command" that makes the run again, "search" {"query", "hits": [[row, score], ...]};
        "source", "unreadable" and "notes". What is missing comes from the run's config, or is left out.
    method: "name", "why", "encoder", "encoder_why", "settings" (a dict), "seconds", "epochs", "device", "seed"; any may be missing.
    curve: the loss, one number an epoch or a step.
    arms: what is compared, the run's own first: "name", "dim" and measures, numbers or {"mean", "std"}; "label" says what it is.
    verdict, collapse, judged_on: the sentence at the top; is the space in use; on which data and how many seeds.
    clusters: the groups as `Run.clusters` gives them, with cluster, name, size and examples (ids, most central first); which one
        an item is in says the run's column `cluster` (-1: none). k_chosen: how their number was.
    positions: float [n, 2], the map. duplicates: rows and similarity of each group. outliers: rows and scores, oddest first.
    Raises InputError where positions don't match the run.
    """
    count, known = len(rep), rep.config.get("items", {})
    labels = np.asarray(rep.column("cluster")).astype(np.int64) if clusters else np.full(count, -1)
    near: list[dict[str, Any]] = [{"rows": list(rows), "similarity": similarity, "size": len(rows)} for rows, similarity in duplicates]
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
        "command": facts.get("command") or _command(rep.config),
        "curve": list(curve),
        "quality": {
            "verdict": verdict,
            "collapse": collapse,
            "judged_on": judged_on,
            "arms": [{"label": LABELS.get(arm["name"].lower(), ""), **arm} for arm in arms],
        },
        "map": _map(positions, labels, count, seed),
        "clusters": [
            {"cluster": group.cluster, "name": group.name, "size": group.size, "examples": list(map(rep.row_of, group.examples[:EXAMPLES]))}
            for group in clusters
        ],
        "k_chosen": k_chosen,
        "duplicates": [{**group, "rows": group["rows"][:GROUP]} for group in near[:GROUPS]],
        "duplicates_found": len(near),
        "outliers": [{"row": row, "score": score} for row, score in zip(*(outliers or ((), ())), strict=True)][:ODD],
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


def _command(config: Mapping[str, Any]) -> str:
    """The command line that makes the run again, from the options that its config holds; "" for a run that wasn't learned from a path."""
    asked, source = config.get("asked"), config.get("items", {}).get("source")
    if not asked or not source:
        return ""
    options = {**asked.get("read", {}), **{name: asked.get(name) for name in ("method", "encoder", "epochs", "seed")}}
    words = ["unlabeled", "learn", source]
    words += [word for name, given in options.items() if given not in (None, "auto") for word in (f"--{name}", str(given))]
    words += [word for name, given in asked.get("settings", {}).items() for word in ("--set", f"{name}={given}")]
    return shlex.join(words)


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
    """QUERIES items and their neighbours: drawn at random, not chosen for their looks, from different clusters as far as there are."""
    if len(rep) < 2:
        return []
    order = np.random.default_rng(seed).permutation(len(rep))
    first = np.sort(np.unique(labels[order], return_index=True)[1])  # where in `order` each cluster comes up first
    rows = list(dict.fromkeys([*order[first].tolist(), *order[:QUERIES].tolist()]))[:QUERIES]
    scores, found = rep.neighbours(np.stack([rep.vectors[row] for row in rows]), NEIGHBOURS + 1)
    pairs = [list(zip(near, each, strict=True)) for near, each in zip(found.tolist(), scores.round(4).tolist(), strict=True)]
    others = [[pair for pair in near if pair[0] != row] for row, near in zip(rows, pairs, strict=True)]
    return [{"row": row, "neighbours": near[:NEIGHBOURS]} for row, near in zip(rows, others, strict=True)]


def _shown(rep: Representation, report: Mapping[str, Any], seed: int) -> dict[str, dict[str, str]]:
    """Row -> its id and its picture or text: all that the page lists, then points of the map while they fit. Other points have their id."""
    listed = [row for group in report["clusters"] + report["duplicates"] for row in group.get("examples", group.get("rows"))]
    listed += [odd["row"] for odd in report["outliers"]]
    listed += [row for query in report["neighbours"] for row in (query["row"], *(other for other, _ in query["neighbours"]))]
    listed += [row for row, _ in report.get("search", {}).get("hits", [])]
    listed, known = list(dict.fromkeys(listed)), set(listed)
    points = [row for row in report["map"]["rows"] if row not in known]
    tried = np.random.default_rng(seed).permutation(points)[:PREVIEWS].astype(int).tolist()
    ids = rep.ids
    shown = {str(row): {"id": _cut(ids[row])} for row in [*listed, *points]}
    for row, item in zip(listed, _previews(rep, listed), strict=True):
        shown[str(row)] |= item
    room = BYTES
    for start in range(0, len(tried), 100):
        some = tried[start : start + 100]
        for row, item in zip(some, _previews(rep, some), strict=True):
            room -= sum(map(len, item.values()))
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
    columns = {name: rep.column(name) for name in rep.columns if name not in OWN_COLUMNS}
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
