"""What every route needs: the run that is asked for, and answers of plain numbers."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import Depends, HTTPException, Path, Request
from fastapi.responses import Response

from unlabeled.web.opened import Opened

BINARY: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}, "description": "plain numbers"}
}


def named(request: Request, name: str) -> Opened:
    """The open run of this name; 404 where there is none."""
    runs = request.app.state.runs.by_name
    if name not in runs:
        raise HTTPException(404, f"there is no open run {name!r}: they are {', '.join(runs)}")
    return runs[name]  # type: ignore[no-any-return]


def _run(request: Request, run: Annotated[str, Path(description="the name of an open run, as /v1/runs says it")]) -> Opened:
    return named(request, run)


OpenRun = Annotated[Opened, Depends(_run)]


def numbers(array: np.ndarray, dtype: Any) -> Response:
    """Little-endian numbers, one after another."""
    body = np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<")).tobytes()
    return Response(body, media_type="application/octet-stream", headers={"cache-control": "no-store"})
