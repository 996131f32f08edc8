"""Routes: labels given by a person, and what follows from them."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response

from unlabeled.errors import InputError
from unlabeled.exports import csv_text
from unlabeled.web.asking import OpenRun
from unlabeled.web.opened import Opened
from unlabeled.web.runs import label_state
from unlabeled.web.shapes import AllLabels, Label, LabelState, Predict, Prediction, RenameClass, Suspects, Undone

router = APIRouter(prefix="/v1/runs/{run}", tags=["labels"])
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}, "description": "a table"}}


@router.get("/labels", response_model=AllLabels, summary="The labels given so far")
def labels(run: OpenRun) -> Any:
    listed = [{"row": row, "id": run.run.ids[row], "label": label} for row, label in run.labels.listed()]
    return label_state(run) | {"labels": listed}


@router.post("/labels", response_model=LabelState, summary="Label items, or take their labels away; on the disk before it answers")
def label(run: OpenRun, asked: Label) -> Any:
    run.labels.set(asked.rows, asked.label)
    return label_state(run)


@router.post("/labels/undo", response_model=Undone, summary="Take the last change back")
def undo(run: OpenRun) -> Any:
    rows = run.labels.undo()
    return label_state(run) | {"rows": rows}


@router.patch("/labels/classes", response_model=LabelState, summary="Rename, merge or remove a class")
def rename(run: OpenRun, asked: RenameClass) -> Any:
    run.labels.rename(asked.from_, asked.to)
    return label_state(run)


@router.get("/labels.csv", response_class=Response, responses=CSV, summary="id and label of all that have one")
def labels_csv(run: OpenRun) -> Response:
    return _csv(run, "labels", ["id", "label"], ((run.run.ids[row], label) for row, label in run.labels.listed()))


@router.post("/predict", response_model=Prediction, summary="Classes for all items, learned from the labels given so far")
def predict(run: OpenRun, asked: Predict) -> Any:
    return run.predict(asked.method, asked.keep)


@router.get("/predictions.csv", response_class=Response, responses=CSV, summary="id, label, predicted and confidence of all items")
def predictions_csv(run: OpenRun) -> Response:
    found = run.prediction
    if found is None:
        raise InputError("there are no predictions yet: label items of two classes and predict first")
    columns = zip(run.run.ids, run.labels.values(), found.predicted.tolist(), np.round(found.confidence, 4).tolist(), strict=True)
    return _csv(run, "predictions", ["id", "label", "predicted", "confidence"], columns)


@router.get("/suspects", response_model=Suspects, summary="Items whose label is probably wrong")
def suspects(run: OpenRun, column: Annotated[str | None, Query(max_length=500, description="a column; none: own labels")] = None) -> Any:
    from unlabeled.evaluate.probes import check_labels
    from unlabeled.tasks.noisy_labels.suspects import label_suspects

    raw = run.labels.values() if column is None else ["" if value is None else str(value) for value in run.column(column).raw.tolist()]
    y = np.array(raw, dtype=str)
    keep, _ = check_labels(y, len(run))
    found = label_suspects(np.asarray(run.run.vectors), np.where(keep, y, ""))
    listed = [
        run.item(int(row)) | {"label": str(given), "likely": str(name), "score": round(float(found.score[row]), 4)}
        for row, given, name in zip(found.rows[:50], found.given, found.likely, strict=False)
    ]
    return {"labels": int(keep.sum()), "suspects": len(found.rows), "share_wrong": round(float(found.wrong), 4), "items": listed}


def _csv(run: Opened, what: str, header: list[str], rows: Any) -> Response:
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in run.name)
    disposition = f'attachment; filename="{safe}-{what}.csv"'
    return Response(csv_text(header, rows), media_type="text/csv; charset=utf-8", headers={"content-disposition": disposition})
