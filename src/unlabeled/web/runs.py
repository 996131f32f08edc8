"""Routes: the runs, their maps, columns, items and pictures."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import Response

from unlabeled.errors import InputError
from unlabeled.web.asking import BINARY, OpenRun, numbers
from unlabeled.web.columns import plain
from unlabeled.web.opened import Opened
from unlabeled.web.shapes import AllRuns, ColumnInfo, FilterBy, ItemWithColumns, RunInfo

router = APIRouter(prefix="/v1/runs", tags=["runs"])
MOST_ROWS = 200


def describe(one: Opened) -> dict[str, Any]:
    run, config = one.run, one.run.config
    report = run.path / "report.json"
    verdict = one.once("verdict", lambda: json.loads(report.read_text(encoding="utf-8"))["quality"]["verdict"] if report.exists() else None)
    columns = one.columns()
    return {
        "id": one.name,
        "name": one.name,
        "path": str(run.path),
        "kind": run.kind,
        "count": len(run),
        "dim": int(run.vectors.shape[1]),
        "model": one.has_model,
        "method": str(config.get("class", "")).rpartition(".")[2].replace("import_vectors", "imported vectors"),
        "description": config.get("described") or f"{len(run):,} {run.kind}s",
        "verdict": verdict,
        "search": {
            "words": run.kind == "text",
            "names": run.kind != "text",
            "file": one.has_model and run.kind in ("image", "text", "vector"),
            "item": True,
        },
        "thumbnails": run.kind == "image",
        "texts": run.kind == "text",
        "has_report": report.exists(),
        "map": "kept",
        "columns": [column.about() for column in columns],
        "labels": label_state(one),
        "matryoshka": sizes(one),
    }


def label_state(one: Opened) -> dict[str, Any]:
    return {"count": len(one.labels), "classes": one.labels.classes(), "revision": one.labels.revision}


def sizes(one: Opened) -> list[int] | None:
    """The sizes at which the run's vectors work by themselves, if its method nests them."""
    name = str(one.run.config.get("class", "")).rpartition(".")[2]
    return [int(size) for size in one.run.config["parameters"]["dims"]] if name.startswith("Matryoshka") else None


@router.get("", response_model=AllRuns, summary="The open runs")
def all_runs(request: Request) -> Any:
    return {"runs": [describe(one) for one in request.app.state.runs.by_name.values()]}


@router.get("/{run}", response_model=RunInfo, summary="One run, with its columns")
def one_run(run: OpenRun) -> Any:
    return describe(run)


@router.get("/{run}/map", responses=BINARY, response_class=Response, summary="Positions: float32, n x values, then n y values, in [-1, 1]")
def positions(run: OpenRun) -> Response:
    return numbers(run.positions.T, "float32")


@router.get("/{run}/columns/{name}", response_model=ColumnInfo, summary="What kind a column is, its range or its values")
def column(run: OpenRun, name: str) -> Any:
    return run.column(name).about()


@router.get("/{run}/columns/{name}/values", responses=BINARY, response_class=Response, summary="One float32 an item, NaN where missing")
def values(run: OpenRun, name: str) -> Response:
    found = run.column(name)
    if found.codes is None:
        raise InputError(f"the column {name!r} holds texts: it can be searched and filtered, not drawn")
    return numbers(found.codes, "float32")


@router.post("/{run}/filter", responses=BINARY, response_class=Response, summary="One byte an item: 1 where all filters hold")
def filtered(run: OpenRun, asked: FilterBy) -> Response:
    keep = run.mask([one.wanted() for one in asked.filters])
    return numbers(keep, "uint8") if keep is not None else Response(b"\1" * len(run), media_type="application/octet-stream")


@router.get("/{run}/items", response_model=dict[str, list[ItemWithColumns]], summary="Items with their columns, by rows or by an id")
def items(
    run: OpenRun,
    rows: Annotated[str | None, Query(max_length=4_000, description="row numbers, commas between them")] = None,
    id: Annotated[str | None, Query(max_length=10_000)] = None,
) -> Any:
    if (rows is None) == (id is None):
        raise InputError("give rows=1,2,3 or id=...")
    if id is not None:
        chosen = [_row_of(run, id)]
    else:
        try:
            chosen = [run.row(int(part)) for part in (rows or "").split(",")]
        except ValueError as error:
            raise InputError(str(error) if isinstance(error, InputError) else f"rows wants whole numbers, got {rows!r}") from None
    if len(chosen) > MOST_ROWS:
        raise InputError(f"{len(chosen)} rows: at most {MOST_ROWS} at once")
    columns = run.columns()
    return {"items": [run.item(row) | {"columns": {c.name: plain(c.raw[row]) for c in columns}} for row in chosen]}


@router.get("/{run}/thumbnails/{row}.png", response_class=Response, summary="A picture, at most 64 pixels a side",
            responses={200: {"content": {"image/png": {}}, "description": "the picture"}})  # fmt: skip
def thumbnail(run: OpenRun, row: Annotated[int, Path(ge=0, lt=2**31)]) -> Response:
    if run.run.kind != "image":
        raise HTTPException(404, f"{run.name} has no pictures")
    if row >= len(run):
        raise HTTPException(404, f"there is no row {row}")
    return Response(run.run.thumbnails([row])[0], media_type="image/png", headers={"cache-control": "private, max-age=86400"})


@router.get("/{run}/report", summary="The report, as report.json says it")
def report(run: OpenRun) -> Response:
    return _file(run, "report.json", "application/json")


@router.get("/{run}/report.html", response_class=Response, summary="The report as a page of its own")
def report_page(run: OpenRun) -> Response:
    answer = _file(run, "report.html", "text/html; charset=utf-8")
    # The page carries its own, narrower policy: no script but the one whose hash it names. In a frame of no origin it can ask us nothing.
    answer.headers["content-security-policy"] = (
        "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"  # noqa: E501
    )
    return answer


def _file(run: Opened, name: str, kind: str) -> Response:
    path = run.run.path / name
    if not path.is_file():
        raise HTTPException(404, f"{run.name} has no report yet: make it with `unlabeled report {run.run.path}`")
    return Response(path.read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})


def _row_of(run: Opened, id: str) -> int:
    try:
        return run.run.row_of(id)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
