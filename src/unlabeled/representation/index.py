"""Nearest neighbours by cosine on mean-subtracted vectors: exact up to 50,000 vectors, faiss's HNSW of measured recall beyond."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data.storage import BLOCK, blocks, gather

FLAT_LIMIT = (
    50_000  # vectors. Exact search needs no build, and costs about 5 ms a query up to here; a server of many people wants less beyond
)
RECALL = 0.95  # wanted of the approximate index, and measured
HELD = 2**29  # numbers of unit vectors that are held in memory at most, for searches that a graph can't do
FEW = 64  # queries that are searched in one pass
SAMPLE = 1_000  # queries that recall is measured on
FILE = "neighbours.faiss"


def build(vectors: np.ndarray, center: np.ndarray, folder: Path) -> dict[str, Any]:
    """Build the index of `vectors` [n, d] and say how good it is: {"kind", "recall_at_10", "measured_on"} and, for HNSW, "ef_search".

    An exact index isn't written: making it at the first search takes 0.3 s for 100,000 x 384, about what reading it would.
    HNSW (Malkov and Yashunin, 2016, arXiv:1603.09320) is built on 8-bit codes, so that 1,000,000 x 128 takes 0.4 GB (and 377 s on 2 busy
    cores); candidates are scored again on the vectors themselves. On 250,000 x 128 it took 76 s, with recall .968 at 5,600 queries/s;
    faiss's IVF took 28 s, .958 at 3,200; efConstruction 80 took 141 s, .986 at 2,800.
    """
    if len(vectors) <= FLAT_LIMIT:
        return {"kind": "flat", "recall_at_10": 1.0, "measured_on": 0}
    import faiss

    rng = np.random.default_rng(0)
    hnsw: Any = faiss.IndexHNSWSQ(vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, 16, faiss.METRIC_INNER_PRODUCT)  # type: ignore[arg-type]
    hnsw.hnsw.efConstruction = 40
    hnsw.train(unit(gather(vectors, np.sort(rng.choice(len(vectors), min(len(vectors), 50_000), replace=False))), center))
    for _, block in _blocks(vectors, center):
        hnsw.add(block)
    info: dict[str, Any] = {"kind": "hnsw", "recall_at_10": 0.0, "measured_on": SAMPLE, "ef_search": 16}
    queries = gather(vectors, np.sort(rng.choice(len(vectors), SAMPLE, replace=False)))
    tenth = _exact(unit(queries, center), vectors, center, 11)[0][:, -1:]  # the first is the query itself
    while info["recall_at_10"] < RECALL and info["ef_search"] < 1024:
        info["ef_search"] *= 2
        found = Index(vectors, center, info, folder, hnsw).search(queries, 11)[0]
        # by score, not by row: among equal neighbours, any is right
        info["recall_at_10"] = round(float(((found >= tenth - 1e-6).sum(axis=1) - 1).mean() / 10), 4)
    faiss.write_index(hnsw, str(folder / FILE))
    return info


def describe(info: dict[str, Any]) -> str:
    """One phrase for people: 'exact', or 'recall@10 0.97 on 1,000 queries'."""
    return "exact" if info["kind"] == "flat" else f"recall@10 {info['recall_at_10']:.2f} on {info['measured_on']:,} queries"


def unit(vectors: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Subtract the mean and scale to length 1, float32 [m, d]. What lies on the mean, up to rounding, becomes 0, and so its cosines."""
    centred = np.asarray(vectors, np.float32) - center
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    noise = max(1e-6 * float(np.linalg.norm(center)), np.finfo(np.float32).tiny)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > noise)


class Flat:
    """Exact search of a few queries at a time, all of them in one pass over the unit vectors.

    Where the processor multiplies bfloat16 itself, they are kept so, in half the memory. The pass then orders the items up to
    rounding, and whatever may be among the k nearest within that error is scored again in float32: the answer is the exact one. A
    cosine of vectors rounded to 8 bits errs by at most 2^-8 (Cauchy-Schwarz), its own rounding by 2^-9.
    """

    def __init__(self, vectors: np.ndarray, center: np.ndarray):
        import torch

        self.vectors, self.center = vectors, center
        half = has_bf16()
        self.margin = 2 * (2.0**-8 + 2.0**-9) + 2.0**-9 if half else 1e-5  # two scores may err in opposite directions, and the limit
        self.units = torch.empty(vectors.shape, dtype=torch.bfloat16 if half else torch.float32)
        for start, block in _blocks(vectors, center):
            self.units[start : start + len(block)] = torch.from_numpy(block)

    def search(self, queries: np.ndarray, k: int, keep: Sequence[np.ndarray | None]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Scores and rows of each of the unit `queries` [m, d], best first: at most k, of those rows that its `keep` [n] keeps."""
        import torch

        with torch.inference_mode():
            scores = torch.from_numpy(queries).to(self.units.dtype) @ self.units.T
            for row, kept in zip(scores, keep, strict=True):
                if kept is not None:
                    row.masked_fill_(torch.from_numpy(~kept), -torch.inf)
            tenth = scores.topk(k).values[:, -1:].float() - self.margin
            which, near = torch.nonzero(scores >= tenth.clamp_min(-2.0).to(scores.dtype), as_tuple=True)
        rows, found = near.numpy(), []
        ends = np.cumsum(np.bincount(which.numpy(), minlength=len(queries)))
        for query, start, end in zip(queries, [0, *ends], ends, strict=False):
            part = rows[start:end]
            exact = unit(gather(self.vectors, part), self.center) @ query
            best = np.argsort(-exact, kind="stable")[:k]
            found.append((exact[best], part[best]))
        return found


class Index:
    """Searches `vectors` [n, d]. What it needs is made or read at the first search, not when a run is opened."""

    def __init__(self, vectors: np.ndarray, center: np.ndarray, info: dict[str, Any], folder: Path, faiss_index: Any = None):
        self.vectors, self.center, self.info, self.folder = vectors, center, info, folder
        self._calls = 0
        if faiss_index is not None:
            self.faiss_index = faiss_index

    @cached_property
    def faiss_index(self) -> Any:
        import faiss

        return faiss.read_index(str(self.folder / FILE))

    @cached_property
    def flat(self) -> Flat:
        return Flat(self.vectors, self.center)

    def search_kept(self, queries: np.ndarray, k: int, keep: Sequence[np.ndarray | None]) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `search`, but of each query only the rows that its `keep`, bool [n] or None, keeps: (scores, rows) a query, at most k."""
        k = min(k, len(self.vectors))
        if self.info["kind"] == "flat":
            return self.flat.search(unit(queries, self.center), k, keep)
        found: list[Any] = [None] * len(queries)
        free = [place for place, kept in enumerate(keep) if kept is None]
        if free:
            for place, scores, rows in zip(free, *self.search(queries[free], k), strict=True):
                found[place] = scores, rows
        for place, kept in enumerate(keep):  # a graph that was built for all finds few of a small part: exact
            if kept is not None and self.vectors.size <= HELD:
                found[place] = self.flat.search(unit(queries[place][None], self.center), k, [kept])[0]
            elif kept is not None:
                rows = np.flatnonzero(kept)
                scores, near = _exact(unit(queries[place][None], self.center), gather(self.vectors, rows), self.center, k)
                found[place] = np.clip(scores[0], -1, 1), rows[near[0]]
        return found

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k (at most n) nearest of each of `queries` [m, d]: scores float32 [m, k], cosines, highest first, and rows int64 [m, k]."""
        k, queries = min(k, len(self.vectors)), unit(queries, self.center)
        if self.info["kind"] == "flat":
            self._calls += 1
            if 0 < len(queries) <= FEW and (self._calls > 1 or "torch" in sys.modules):  # which takes seconds to import: not for one query
                scores, rows = (np.stack(part) for part in zip(*self.flat.search(queries, k, [None] * len(queries)), strict=True))
            else:
                scores, rows = _exact(queries, self.vectors, self.center, k)
        elif k > 1_000:  # a graph isn't walked that far
            scores, rows = _exact(queries, self.vectors, self.center, k)
        else:
            step = max(1, BLOCK // (4 * queries.shape[1] * (2 * k + 10)))
            parts = [self._approximate(queries[start : start + step], k) for start in range(0, max(1, len(queries)), step)]
            scores, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
        return np.clip(scores, -1, 1), rows

    def _approximate(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        import faiss

        wanted = min(2 * k + 10, len(self.vectors))  # the 8-bit codes order near-ties wrongly: take more, and score them exactly
        parameters = faiss.SearchParametersHNSW(efSearch=max(self.info["ef_search"], wanted))  # type: ignore[attr-defined]
        rows = self.faiss_index.search(queries, wanted, params=parameters)[1]
        found = unit(gather(self.vectors, np.maximum(rows.ravel(), 0)), self.center).reshape(*rows.shape, -1)
        scores = np.einsum("md,mkd->mk", queries, found)
        scores[rows < 0] = -np.inf
        best = np.argsort(-scores, axis=1)[:, :k]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
        short = (rows < 0).any(axis=1)  # too few were reached through the graph
        if short.any():
            scores[short], rows[short] = _exact(queries[short], self.vectors, self.center, k)
        return scores, rows


def _blocks(vectors: np.ndarray, center: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start, block in blocks(vectors):
        yield start, unit(block, center)


def _knn(queries: np.ndarray, block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    return faiss.knn(queries, block, min(k, len(block)), faiss.METRIC_INNER_PRODUCT)  # type: ignore[no-any-return]


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k highest of each row, in no order."""
    rows = np.argpartition(-scores, k - 1, axis=1)[:, :k] if k < scores.shape[1] else np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    return np.take_along_axis(scores, rows, 1), rows


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself; where that is emulated, float32 is faster."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported())


def _exact(queries: np.ndarray, vectors: np.ndarray, center: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact search block by block, for when the vectors needn't be held in memory. Queries are unit vectors already."""
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start, block in _blocks(vectors, center):
        new_scores, new_rows = _best(queries @ block.T, k) if len(queries) == 1 else _knn(queries, block, k)
        scores, rows = np.hstack([scores, new_scores]), np.hstack([rows, new_rows + start])
        best = np.argsort(-scores, axis=1)[:, :k]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return scores, rows
