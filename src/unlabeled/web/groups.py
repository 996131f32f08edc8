"""Routes: clusters, topics, near-duplicates and outliers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query

from unlabeled import jobs, tasks
from unlabeled.errors import InputError
from unlabeled.run import Cluster
from unlabeled.web.asking import OpenRun
from unlabeled.web.opened import Opened
from unlabeled.web.shapes import Clusters, Duplicates, Group, Merge, Outliers, Rename

router = APIRouter(prefix="/v1/runs/{run}", tags=["groups"])
GROUPS, EACH = 100, 8  # groups of near-duplicates, and items of each, that are sent


@router.get("/clusters", response_model=Clusters, summary="The named groups, largest first")
def clusters(run: OpenRun) -> Any:
    kept = run.run._clusters_file()
    return _told(run, [Cluster(**row) for row in kept["clusters"]] if kept and "cluster" in run.run.columns else run.run.clusters())


@router.post("/clusters", response_model=Clusters, summary="Group anew; names that were given and merges are dropped")
def group(run: OpenRun, asked: Group) -> Any:
    if asked.k != "auto" and asked.k > len(run):
        raise InputError(f"k={asked.k} of {len(run)} items: wanted 1 to {len(run)}")
    (run.run.path / "clusters.json").unlink(missing_ok=True)
    return _told(run, run.run.clusters(asked.k))


@router.patch("/clusters/{cluster}", response_model=Clusters, summary="Give a group another name")
def rename(run: OpenRun, cluster: int, asked: Rename) -> Any:
    return _told(run, run.run.rename_cluster(cluster, asked.name))


@router.post("/clusters/merge", response_model=Clusters, summary="Make one group of several; the numbers change")
def merge(run: OpenRun, asked: Merge) -> Any:
    return _told(run, run.run.merge_clusters(asked.clusters, asked.name))


def _told(run: Opened, found: list[Cluster]) -> dict[str, Any]:
    kept = run.run._clusters_file() or {}
    listed = [
        {"cluster": c.cluster, "name": c.name, "size": c.size, "examples": [run.item(run.run.row_of(name)) for name in c.examples]}
        for c in found
    ]
    return {"clusters": listed, "how": kept.get("how", ""), "edited": bool(kept.get("edited", False))}


@router.get("/topics", summary="What the texts are about; beside them, how good topics drawn at random are")
def topics(run: OpenRun, k: Literal["auto"] | Annotated[int, Query(ge=2, le=1_000)] = "auto") -> dict[str, Any]:
    groups = run.run.path / "clusters.json"  # topics are made of these groups where their number is the same
    stamp = groups.stat().st_mtime_ns if groups.exists() else 0
    return run.once(("topics", k, stamp), lambda: jobs.topics(run.run, k))  # type: ignore[no-any-return]


@router.get("/duplicates", response_model=Duplicates, summary="Groups of near-duplicates, most similar first")
def duplicates(run: OpenRun, threshold: Annotated[float | None, Query(ge=-1, le=1, allow_inf_nan=False)] = None) -> Any:
    found = run.once(("duplicates", threshold), lambda: tasks.near_duplicates(np.asarray(run.run.vectors), threshold=threshold))
    listed = [{"similarity": s, "size": len(rows), "items": [run.item(row) for row in rows[:EACH]]} for rows, s in found[:GROUPS]]
    return {"items": len(run), "extra": sum(len(rows) - 1 for rows, _ in found), "found": len(found), "groups": listed}


@router.get("/outliers", response_model=Outliers, summary="The items that lie farthest from all others")
def outliers(run: OpenRun, m: Annotated[int, Query(ge=1, le=500)] = 50) -> Any:
    rows, scores = run.once("outliers", lambda: tasks.outliers(np.asarray(run.run.vectors), m=500))
    return {"items": [run.item(row) | {"score": round(score, 4)} for row, score in zip(rows[:m], scores[:m], strict=True)]}
