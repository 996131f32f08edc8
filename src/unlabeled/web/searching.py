"""Routes: search by words, by an item, by a vector, by a file."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import TypeAdapter, ValidationError

from unlabeled.errors import InputError
from unlabeled.web import uploads
from unlabeled.web.asking import OpenRun
from unlabeled.web.opened import Opened
from unlabeled.web.runs import _row_of
from unlabeled.web.shapes import Filters, Found, Hit, Search

router = APIRouter(prefix="/v1/runs/{run}", tags=["search"])
FILTERS: TypeAdapter[list[Any]] = TypeAdapter(Filters)


@router.post("/search", response_model=Found, summary="The items nearest to words, an item or a vector")
def search(run: OpenRun, asked: Search) -> Any:
    started = time.perf_counter()
    keep = run.mask([one.wanted() for one in asked.filters])
    if asked.words is not None:
        found = run.words(asked.words, asked.k, keep)
    elif asked.vector is not None:
        found = run.near(_vector(run, asked.vector), asked.k, keep)
    else:
        found = run.like(_row_of(run, asked.id) if asked.id is not None else asked.row or 0, asked.k, keep)
    return _answer(run, found, started)


@router.get("/items/{id:path}/similar", response_model=dict[str, list[Hit]], summary="The nearest of an item, without itself")
def similar(run: OpenRun, id: str, k: Annotated[int, Query(ge=1, le=1_000)] = 10) -> Any:
    return {"hits": run.hits(run.like(_row_of(run, id), k))}


@router.post(
    "/search/file",
    response_model=Found,
    summary="The items nearest to an uploaded picture, text or vector",
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def search_file(
    request: Request,
    run: OpenRun,
    k: Annotated[int, Query(ge=1, le=1_000)] = 20,
    filters: Annotated[str | None, Query(max_length=100_000, description="a JSON list, as in search")] = None,
) -> Any:
    data = await request.body()
    return await run_in_threadpool(_by_file, run, data, k, filters, request.app.state.limits.pixels)


def _by_file(run: Opened, data: bytes, k: int, filters: str | None, pixels: int) -> Response:
    started = time.perf_counter()
    if not run.has_model or run.run.kind == "table":
        raise InputError(f"{run.name} can't be searched by a file: search it by an item")
    try:
        wanted = FILTERS.validate_json(filters) if filters else []
    except ValidationError as error:
        raise InputError(f"filters: {error.errors()[0]['msg']}") from None
    vector = run.embed(uploads.decoded(run.run.kind, data, run.run.model, pixels))
    return _answer(run, run.near(vector, k, run.mask([one.wanted() for one in wanted])), started)


def _vector(run: Opened, numbers: list[float]) -> np.ndarray:
    vector = np.asarray(numbers, np.float32)
    if len(vector) != run.run.vectors.shape[1] or not np.isfinite(vector).all():
        raise InputError(f"a vector of {len(vector)} numbers: wanted {run.run.vectors.shape[1]} finite ones")
    return vector


def _answer(run: Opened, found: list[tuple[int, float]], started: float) -> Response:
    """Written here: to check each hit against the schema first would take longer than the search. The tests check it."""
    said = {"hits": run.hits(found), "milliseconds": round(1000 * (time.perf_counter() - started), 2)}
    return Response(json.dumps(said, ensure_ascii=False), media_type="application/json")
