"""Nearest neighbours by cosine on mean-subtracted vectors: exact up to 50,000 vectors, faiss's HNSW of measured recall beyond."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data.storage import blocks, gather

FLAT_LIMIT = (
    50_000  # vectors. Exact search needs no build, and costs about 5 ms a query up to here; a server of many people wants less beyond
)
RECALL = 0.95  # wanted of the approximate index, and measured
HELD = 2**29  # numbers of unit vectors that are held in memory at most, for searches that a graph can't do
CACHE = 1 << 19  # bytes of vectors that are scored together
FEW = 64  # queries that are searched in one pass
PASS = 3  # from so many queries on, one pass of a matrix product is faster than one of faiss for each
PIECE = 64  # items of which only the highest score is looked at, unless it may count
EFFORTS = (16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)  # tried in turn until recall is enough
SAMPLE = 1_000  # queries that recall is measured on
FILE = "neighbours.faiss"


def build(vectors: np.ndarray, center: np.ndarray, folder: Path) -> dict[str, Any]:
    """Build the index of `vectors` [n, d] and say how good it is: {"kind", "recall_at_10", "measured_on"}; of HNSW also its settings.

    An exact index isn't written: making it at the first search takes 0.3 s for 100,000 x 384, about what reading it would.
    HNSW (Malkov and Yashunin, 2016, arXiv:1603.09320) is built on bfloat16 codes: half the memory, and less to fetch at each step. On
    250,000 x 128 and one core that answered 17,500 queries/s at recall .957 where float32 answered 15,200, and was built in 56 s (64).
    """
    if len(vectors) <= FLAT_LIMIT:
        return {"kind": "flat", "recall_at_10": 1.0, "measured_on": 0}
    import faiss

    hnsw: Any = faiss.IndexHNSWSQ(vectors.shape[1], faiss.ScalarQuantizer.QT_bf16, 16, faiss.METRIC_INNER_PRODUCT)  # type: ignore[arg-type]
    hnsw.hnsw.efConstruction = 100
    for _, block in _blocks(vectors, center):
        hnsw.add(block)
    info: dict[str, Any] = {"kind": "hnsw", "codes": "bf16", "recall_at_10": 0.0, "measured_on": SAMPLE}
    queries = gather(vectors, np.sort(np.random.default_rng(0).choice(len(vectors), SAMPLE, replace=False)))
    tenth = _exact(unit(queries, center), vectors, center, 11)[0][:, -1:]  # the first is the query itself
    for effort in EFFORTS:
        info["ef_search"] = effort
        found = Index(vectors, center, info, folder, hnsw).search(queries, 11)[0]
        # by score, not by row: among equal neighbours, any is right
        info["recall_at_10"] = round(float(((found >= tenth - 1e-6).sum(axis=1) - 1).mean() / 10), 4)
        if info["recall_at_10"] >= RECALL:
            break
    faiss.write_index(hnsw, str(folder / FILE))
    return info


def describe(info: dict[str, Any]) -> str:
    """One phrase for people: 'exact', or 'recall@10 0.97 on 1,000 queries'."""
    return "exact" if info["kind"] == "flat" else f"recall@10 {info['recall_at_10']:.2f} on {info['measured_on']:,} queries"


def unit(vectors: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Subtract the mean and scale to length 1, float32 [m, d]. What lies on the mean, up to rounding, becomes 0, and so its cosines."""
    centred = np.asarray(vectors, np.float32) - center
    return _scaled(centred, _lengths(centred)[:, None], center)


def _cosines(queries: np.ndarray, vectors: np.ndarray, center: np.ndarray) -> np.ndarray:
    """float32 [m, k] of the unit `queries` [m, d] with `vectors` [m, k, d]."""
    centred = vectors - center
    return _scaled((centred @ queries[:, :, None])[:, :, 0], _lengths(centred), center)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.vecdot(vectors, vectors))


def _scaled(values: np.ndarray, lengths: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Divided by lengths, in place; 0 where a length is but rounding."""
    noise = max(1e-6 * math.sqrt(float(center @ center)), 1e-38)
    values /= np.maximum(lengths, noise)
    values *= lengths > noise
    return values


class Flat:
    """Exact search of one query, or of many in one pass over the unit vectors, which are held as bfloat16, in half the memory.

    A pass orders the items up to rounding, and whatever may be among the k nearest within that error is scored again in float32: the
    answer is the exact one. A number rounded to bfloat16 errs by at most 2^-9 of itself, so a cosine of one rounded vector by 2^-9
    (Cauchy-Schwarz), of two by 2^-8.
    """

    ONE = 2 * 2.0**-9 + 1e-5  # two scores may err in opposite directions; and float32's own rounding
    MANY = 2 * (2.0**-8 + 2.0**-9) + 2.0**-9  # queries, scores and the limit are rounded, too

    def __init__(self, vectors: np.ndarray, center: np.ndarray):
        import faiss

        self.vectors, self.center = vectors, center
        self.codes: Any = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT)
        for _, block in _blocks(vectors, center):
            self.codes.add(block)

    def search(self, queries: np.ndarray, k: int, keep: Sequence[np.ndarray | None]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Scores and rows of each of the unit `queries` [m, d], best first: at most k, of those rows that its `keep` [n] keeps."""
        if len(queries) < PASS or not has_bf16():
            return [self._one(query, k, kept) for query, kept in zip(queries, keep, strict=True)]
        return [
            found
            for start in range(0, len(queries), FEW)
            for found in self._many(queries[start : start + FEW], k, keep[start : start + FEW])
        ]

    def _one(self, query: np.ndarray, k: int, kept: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        import faiss

        only = None if kept is None else faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(kept, bitorder="little")))  # type: ignore[call-arg, arg-type]
        wanted = min(2 * k + 10, len(self.vectors))
        while True:
            scores, rows = (part[0] for part in self.codes.search(query[None], wanted, params=only))
            there = int((rows >= 0).sum())  # fewer than wanted when the mask keeps fewer
            near = scores[:there] >= scores[k - 1] - self.ONE if there > k else np.ones(there, bool)
            if there < wanted or not near.all() or wanted == len(self.vectors):
                return self._best(query, rows[:there][near], k)
            wanted = min(4 * wanted, len(self.vectors))

    def _many(self, queries: np.ndarray, k: int, keep: Sequence[np.ndarray | None]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The k-th highest of the maxima of pieces is no higher than the k-th highest score: pieces below it needn't be looked at."""
        import torch

        n, ranks = len(self.vectors), np.arange(len(queries))
        whole = n // PIECE if n >= k * PIECE else 0
        with torch.inference_mode():
            scores = torch.from_numpy(queries).to(torch.bfloat16) @ self._units.T
            for row, kept in zip(scores, keep, strict=True):
                if kept is not None:
                    row.masked_fill_(torch.from_numpy(~kept), -torch.inf)
            pieces, rest = scores[:, : whole * PIECE].unflatten(1, (whole, PIECE)), scores[:, whole * PIECE :]
            best = torch.cat([pieces.amax(2), rest], 1)
            limits = (best.topk(k).values[:, -1].float() - self.MANY).clamp_min(-2.0).to(scores.dtype)[:, None]
            which, place = torch.nonzero(best >= limits, as_tuple=True)
            inside = place < whole
            deep, piece = which[inside], place[inside]
            there, at = torch.nonzero(pieces[deep, piece] >= limits[deep], as_tuple=True)
            which = torch.cat([deep[there], which[~inside]])
            near = torch.cat([piece[there] * PIECE + at, place[~inside] + whole * (PIECE - 1)])
            rough = scores[which, near].float().numpy()
        of, rows = which.numpy(), near.numpy()
        order = np.lexsort((-rough, of))
        starts = np.searchsorted(of[order], ranks)
        last = np.minimum(starts + k, np.append(starts[1:], len(order))) - 1
        # The limit was that of the maxima; near items often lie in one piece, and there are better ones than it.
        limit = np.where(last >= starts, rough[order][np.maximum(last, 0)], 0) - self.MANY if len(order) else 0 * ranks
        order = order[rough[order] >= limit[of[order]]]
        of, rows = of[order], rows[order]
        step = max(1, CACHE // (4 * queries.shape[1]))
        exact = [
            _cosines(queries[of[i : i + step]], gather(self.vectors, rows[i : i + step])[:, None], self.center)[:, 0]
            for i in range(0, len(rows), step)
        ]
        found = np.concatenate(exact) if exact else np.empty(0, np.float32)
        order = np.lexsort((-found, of))
        starts = np.searchsorted(of[order], ranks)
        parts = [order[start : min(start + k, end)] for start, end in zip(starts, np.append(starts[1:], len(order)), strict=True)]
        return [(found[part], rows[part]) for part in parts]

    def _best(self, query: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores = _cosines(query[None], gather(self.vectors, rows)[None], self.center)[0]
        best = np.argsort(-scores, kind="stable")[:k]
        return scores[best], rows[best]

    @cached_property
    def _units(self) -> Any:
        """The codes as a bfloat16 tensor [n, d], without a copy."""
        import faiss
        import torch

        numbers = faiss.rev_swig_ptr(self.codes.codes.data(), self.codes.codes.size())
        return torch.from_numpy(numbers).view(torch.bfloat16).unflatten(0, self.vectors.shape)


class Index:
    """Searches `vectors` [n, d]. What it needs is made or read at the first search, not when a run is opened."""

    def __init__(self, vectors: np.ndarray, center: np.ndarray, info: dict[str, Any], folder: Path, faiss_index: Any = None):
        self.vectors, self.center, self.info, self.folder = vectors, center, info, folder
        self._calls, self._efforts = 0, dict[int, Any]()
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
            held = 0 < len(queries) and self._calls > 1  # not for a single query
            if held and (len(queries) < FEW or has_bf16()):
                scores, rows = (np.stack(part) for part in zip(*self.flat.search(queries, k, [None] * len(queries)), strict=True))
            else:
                scores, rows = _exact(queries, self.vectors, self.center, k)
        elif k > 1_000:  # a graph isn't walked that far
            scores, rows = _exact(queries, self.vectors, self.center, k)
        else:
            scores, rows = self._approximate(queries, k)
        np.minimum(scores, 1, out=scores)
        return np.maximum(scores, -1, out=scores), rows

    def _approximate(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        wanted = self._wanted(k)
        rows = self.faiss_index.search(queries, wanted, params=self._effort(wanted))[1]
        short = rows[:, -1] < 0 if len(rows) and rows.min() < 0 else None  # too few were reached through the graph
        scores = self._scores(queries, rows if short is None else np.maximum(rows, 0))
        best, each = np.argsort(-scores, axis=1)[:, :k], np.arange(len(rows))[:, None]
        scores, rows = scores[each, best], rows[each, best]
        if short is not None:
            scores[short], rows[short] = _exact(queries[short], self.vectors, self.center, k)
        return scores, rows

    def _scores(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Exact cosines float32 [m, k] of unit queries [m, d] with rows [m, k], a part at a time that the processor's cache holds."""
        step = max(1, CACHE // (4 * queries.shape[1] * rows.shape[1]))
        scores = np.empty(rows.shape, np.float32)
        for start in range(0, len(rows), step):
            here = slice(start, start + step)
            found = gather(self.vectors, rows[here].ravel()).reshape(-1, rows.shape[1], queries.shape[1])
            scores[here] = _cosines(queries[here], found, self.center)
        return scores

    def _wanted(self, k: int) -> int:
        """How many to ask the graph for: runs made before 29 November 2026 have 8-bit codes, which order near-ties wrongly."""
        return k if self.info.get("codes") == "bf16" else min(2 * k + 10, len(self.vectors))

    def _effort(self, wanted: int) -> Any:
        import faiss

        effort = max(self.info["ef_search"], wanted)
        if effort not in self._efforts:  # making one takes a tenth of a search
            self._efforts[effort] = faiss.SearchParametersHNSW(efSearch=effort)  # type: ignore[attr-defined]
        return self._efforts[effort]


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
