"""The server: the API under /v1, the page at /, health and metrics. Made by `application`, run by `serve` in `unlabeled.web`."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.staticfiles import StaticFiles

import unlabeled
from unlabeled.errors import InputError
from unlabeled.web import compare, embeddings, groups, labelling, runs, searching
from unlabeled.web.guard import Guard, Limits, error_body
from unlabeled.web.metrics import Metrics
from unlabeled.web.opened import Runs
from unlabeled.web.shapes import ErrorAnswer
from unlabeled.web.uploads import TooLarge

PAGE = Path(str(files("unlabeled.web").joinpath("static")))
KINDS = {400: "invalid_request_error", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 422: "invalid_request_error"}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def application(opened: Runs, *, limits: Limits | None = None, token: str | None = None, hosts: frozenset[str] | None = LOOPBACK) -> Any:
    """The ASGI application that serves these runs. hosts: names it answers to, None for any (then with a token)."""
    limits = limits or Limits()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        def warm() -> None:
            for one in opened.by_name.values():
                try:
                    one.warm()
                except InputError:
                    pass  # said to whoever asks for it
            app.state.ready = True

        threading.Thread(target=warm, daemon=True, name="warming").start()
        yield

    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": said}
        for status, said in {
            400: "what was asked can't be done; `message` says what to do",
            401: "a token is needed",
            404: "there is no such run or item",
            413: "the request is too large",
            422: "the request isn't as the schema says",
            429: "too much at once: try again after Retry-After seconds",
        }.items()
    }
    app = FastAPI(
        title="unlabeled",
        version=unlabeled.__version__,
        description="Runs of unlabeled: search, groups, labels, predictions, embeddings. Errors: {error: {message, type, param, code}}.",
        lifespan=life,
        responses=errors,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.runs, app.state.limits, app.state.ready, app.state.metrics = opened, limits, False, Metrics(opened)
    for module in (runs, searching, groups, labelling, compare, embeddings):
        app.include_router(module.router)

    @app.exception_handler(TooLarge)
    async def too_large(_: Request, error: TooLarge) -> Response:
        return JSONResponse(error_body(413, "too_large", str(error)), 413)

    @app.exception_handler(InputError)
    async def bad_input(_: Request, error: InputError) -> Response:
        return JSONResponse(error_body(400, "invalid_request_error", " ".join(str(error).split())), 400)

    @app.exception_handler(RequestValidationError)
    async def bad_shape(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse(error_body(422, "invalid_request_error", f"{where or 'the body'}: {first['msg']}", where or None), 422)

    @app.exception_handler(StarletteHTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        code = "model_not_found" if error.detail == embeddings.NO_MODEL else None
        body = error_body(error.status_code, KINDS.get(error.status_code, "error"), str(error.detail), None, code)
        return JSONResponse(body, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def bug(_: Request, error: Exception) -> Response:
        return JSONResponse(
            error_body(500, "server_error", f"a mistake of ours ({type(error).__name__}): the terminal has the details"), 500
        )

    @app.get("/health", tags=["server"], summary="The server is up")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", tags=["server"], summary="Models and indexes are loaded", responses={503: {"description": "not yet"}})
    def ready() -> JSONResponse:
        return JSONResponse({"ready": app.state.ready}, 200 if app.state.ready else 503)

    @app.get("/metrics", tags=["server"], summary="Prometheus metrics", response_class=Response)
    def metrics() -> Response:
        return app.state.metrics.answer()  # type: ignore[no-any-return]

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        if not (PAGE / "index.html").is_file():
            raise HTTPException(404, "the page is missing from this installation: only the API is served")
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    if (PAGE / "assets").is_dir():
        app.mount("/assets", StaticFiles(directory=PAGE / "assets"), name="assets")
    return Guard(app.state.metrics.around(app), limits, token, hosts)
