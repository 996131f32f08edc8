"""Routes: embeddings in OpenAI's format, so that its clients work unchanged."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse

from unlabeled.errors import InputError
from unlabeled.web import uploads
from unlabeled.web.opened import Opened
from unlabeled.web.runs import sizes
from unlabeled.web.shapes import EmbeddingRequest

router = APIRouter(prefix="/v1", tags=["embeddings"])
NO_MODEL = "there is no open run of that name that takes new items"
TEXT = 200_000  # characters of one input


@router.get("/models", summary="The runs that can embed, as OpenAI lists models")
def models(request: Request) -> dict[str, Any]:
    return {"object": "list", "data": [_model(name) for name, one in request.app.state.runs.by_name.items() if one.has_model]}


@router.get("/models/{name}", summary="One of them")
def model(request: Request, name: str) -> dict[str, Any]:
    _embedding_run(request, name)
    return _model(name)


@router.post("/embeddings", summary="Vectors of texts, or of pictures as data URLs: model is the run's name")
def embeddings(request: Request, asked: EmbeddingRequest) -> JSONResponse:
    run, limits = _embedding_run(request, asked.model), request.app.state.limits
    inputs = [asked.input] if isinstance(asked.input, str) else list(asked.input)
    if not inputs:
        raise InputError("input is empty: give at least one")
    if len(inputs) > limits.inputs:
        raise uploads.TooLarge(f"{len(inputs):,} inputs: at most {limits.inputs:,} in one request")
    if not all(isinstance(one, str) for one in inputs):
        raise InputError("input holds numbers (tokens): send the texts themselves")
    things = [_read(run, str(one), limits.pixels) for one in inputs]
    vectors = _shortened(run, run.embed_all(things), asked.dimensions)
    request.app.state.metrics.embedded.labels(run.name).inc(len(inputs))
    words = sum(len(str(one).split()) for one in inputs) if run.run.kind == "text" else 0
    return JSONResponse(
        {
            "object": "list",
            "model": run.name,
            "data": [
                {"object": "embedding", "index": place, "embedding": _written(vector, asked.encoding_format)}
                for place, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": words, "total_tokens": words},  # words: what a token is differs from model to model
        }
    )


def _embedding_run(request: Request, name: str) -> Opened:
    run: Opened | None = request.app.state.runs.by_name.get(name)
    if run is None or not run.has_model:
        raise HTTPException(404, NO_MODEL)
    return run


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "unlabeled"}


def _read(run: Opened, one: str, pixels: int) -> Any:
    if run.run.kind == "text":
        if not one.strip():
            raise InputError("an input is empty: give some text")
        if len(one) > TEXT:
            raise uploads.TooLarge(f"a text of {len(one):,} characters: at most {TEXT:,} are read")
        return one
    if run.run.kind == "image":
        return uploads.picture(uploads.data_url(one), run.run.model.inputs_.size, pixels)
    raise InputError(f"{run.name} embeds {run.run.kind}s, which this format can't hold")


def _shortened(run: Opened, vectors: np.ndarray, dimensions: int | None) -> np.ndarray:
    """The first `dimensions` numbers, scaled to length 1, where the representation was made so that they work by themselves."""
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    known = sizes(run)
    if known is None:
        raise InputError(
            f"dimensions={dimensions}: {run.name} has vectors of {vectors.shape[1]} numbers, and no part of them works by itself"
        )
    if dimensions not in known:
        raise InputError(f"dimensions={dimensions}: {run.name} was learned for {', '.join(map(str, known))}")
    part = vectors[:, :dimensions]
    return part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


def _written(vector: np.ndarray, form: str) -> list[float] | str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if form == "base64" else vector.astype(np.float64).tolist()
