"""Routes: two runs side by side."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.web.asking import BINARY, named, numbers
from unlabeled.web.opened import Opened
from unlabeled.web.shapes import Comparison

router = APIRouter(prefix="/v1/compare", tags=["compare"])
SAMPLE = 2_000  # items whose neighbours are compared
Name = Annotated[str, Query(max_length=500)]
K = Annotated[int, Query(ge=1, le=100)]


@router.get("", response_model=Comparison, summary="How alike two runs of the same items are")
def both(request: Request, a: Name, b: Name, k: K = 10) -> Any:
    from unlabeled.evaluate.embsim import linear_cka

    one, other = named(request, a), named(request, b)
    rows, shares = _overlap(request, one, other, k)
    here = np.flatnonzero(request.app.state.runs.rows(one, other) >= 0)
    there = request.app.state.runs.rows(one, other)[here]
    cka = one.once(("cka", b), lambda: float(linear_cka(one.run.vectors[here], other.run.vectors[there])))
    return {
        "shared": len(here),
        "only_a": len(one) - len(here),
        "only_b": len(other) - len(here),
        "neighbours_shared": round(float(shares.mean()), 4),
        "cka": round(cka, 4),
        "k": min(k, len(here) - 1),
        "by_chance": round(min(k, len(here) - 1) / (len(here) - 1), 6),
        "measured_on": len(rows),
    }


@router.get("/rows", responses=BINARY, response_class=Response, summary="int32 for each item of a: its row in b, -1 where it isn't there")
def rows(request: Request, a: Name, b: Name) -> Response:
    return numbers(request.app.state.runs.rows(named(request, a), named(request, b)), "int32")


@router.get("/overlap", responses=BINARY, response_class=Response, summary="float32 for each item of a: share of neighbours in common")
def overlap(request: Request, a: Name, b: Name, k: K = 10) -> Response:
    one = named(request, a)
    rows, shares = _overlap(request, one, named(request, b), k)
    found = np.full(len(one), np.nan, np.float32)
    found[rows] = shares
    return numbers(found, "float32")


def _overlap(request: Request, one: Opened, other: Opened, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a sample of a's items, and which share of their k neighbours among the items of both they have in both."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        shared = request.app.state.runs.rows(one, other)
        here = np.flatnonzero(shared >= 0)
        if len(here) < 3:
            raise InputError(f"{one.name} and {other.name} have {len(here)} items in common, by their ids: too few to compare")
        near, drawn = min(k, len(here) - 1), np.sort(np.random.default_rng(0).permutation(len(here))[:SAMPLE])
        pair = [_nearest(run, rows, drawn, near) for run, rows in ((one, here), (other, shared[here]))]
        return here[drawn], np.array([len(np.intersect1d(x, y)) / near for x, y in zip(*pair, strict=True)], np.float32)

    return one.once(("overlap", other.name, k), make)  # type: ignore[no-any-return]


def _nearest(run: Opened, rows: np.ndarray, drawn: np.ndarray, k: int) -> list[np.ndarray]:
    """The k nearest of each drawn item among `rows`, as places in `rows`, without itself."""
    import faiss

    from unlabeled.representation.index import unit

    vectors = unit(gather(run.run.vectors, rows), run.run.center)
    found = faiss.knn(np.ascontiguousarray(vectors[drawn]), vectors, k + 1, faiss.METRIC_INNER_PRODUCT)[1]
    return [line[line != place][:k] for line, place in zip(found, drawn, strict=True)]
