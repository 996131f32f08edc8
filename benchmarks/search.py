"""Nearest neighbours through the public API beside faiss and hnswlib: queries a second at equal recall@10, from an index on the disk.

Vectors as benchmarks/corpora.py makes them, 1,000 further ones as queries. Ours subtracts the mean and compares directions, so the peers
get vectors with the mean taken off and of length 1. Each engine writes its index; a new process opens it and is timed. The peers' graphs
are searched with growing effort until their recall passes ours; their speed is read off the curve at our recall.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import CORES, Failed, answer, call, median, now
from benchmarks.results import Plan, Row, ratios

K, QUERIES, SINGLE, DIM = 10, 1000, 200, 128
TIMES = 5
GRAPHS = 250_000  # vectors of the approximate search; the exact one has as many as ours is exact for
EFFORT = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
LINKS, BUILD_EFFORT = 16, 100  # M and efConstruction of the peers' graphs


def measure(engine: str, do: str, folder: str, n: int) -> dict[str, Any]:
    """do: "data", "build" or "search"."""
    import numpy as np

    place = Path(folder)
    if do == "data":
        return make_data(place, n)
    X = np.load(place / "vectors.npy", mmap_mode="r")
    started = now()
    if engine == "unlabeled":
        if do == "build":
            import unlabeled as ul

            ul.import_vectors(X[:n], None, place / "run")
            return {"seconds": now() - started, "bytes": size(place / "run")}
        return search_ours(place / "run", np.array(X[n:]), np.load(place / "truth.npy"), n)
    units = np.load(place / "units.npy", mmap_mode="r")
    if do == "build":
        build_peer(engine, place, units[:n])
        return {"seconds": now() - started, "bytes": (place / engine).stat().st_size}
    return search_peer(engine, place, np.array(units[n:]), np.load(place / "truth.npy"), n)


def make_data(place: Path, n: int) -> dict[str, Any]:
    """vectors.npy and units.npy [n + QUERIES, d], and of the queries the cosine of the tenth nearest: truth.npy [QUERIES]."""
    import faiss
    import numpy as np

    from benchmarks.corpora import write_vectors

    write_vectors(place / "vectors.npy", n, DIM, queries=QUERIES)
    X = np.load(place / "vectors.npy", mmap_mode="r")
    units = np.lib.format.open_memmap(place / "units.npy", "w+", np.float32, X.shape)
    center = X[:n].mean(axis=0, dtype=np.float64).astype(np.float32)
    for start in range(0, len(X), 1 << 16):
        block = X[start : start + (1 << 16)] - center
        units[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    units.flush()
    best = np.full((QUERIES, K), -2.0, np.float32)
    for start in range(0, n, 1 << 17):
        scores = faiss.knn(np.array(units[n:]), np.array(units[start : min(n, start + (1 << 17))]), K, faiss.METRIC_INNER_PRODUCT)[0]
        best = -np.sort(-np.hstack([best, scores]), axis=1)[:, :K]
    np.save(place / "truth.npy", best[:, -1])
    return {}


def recall(rows: Any, units: Any, queries: Any, tenth: Any) -> float:
    """Share of what was found that is no farther than the true tenth nearest: among equals any is right."""
    import numpy as np

    scores = np.einsum("qd,qkd->qk", queries, np.where((rows >= 0)[..., None], units[np.maximum(rows, 0)], 0))
    return float((scores >= tenth[:, None] - 1e-5).mean())


def timed(ask: Any, queries: Any) -> tuple[float, float, Any]:
    """Queries a second all at once and one at a time, each the median of TIMES, and the rows that were found."""
    rows, many, one = ask(queries), [], []
    for query in queries[:10]:
        ask(query[None])
    for _ in range(TIMES):
        started = now()
        ask(queries)
        many.append(len(queries) / (now() - started))
        one.append(rate(lambda query: ask(query[None]), queries))
    return median(many), median(one), rows


def rate(ask: Any, queries: Any) -> float:
    """Queries a second, one at a time."""
    started = now()
    for query in queries[:SINGLE]:
        ask(query)
    return SINGLE / (now() - started)


def search_ours(run: Path, queries: Any, tenth: Any, n: int) -> dict[str, Any]:
    import numpy as np

    import unlabeled as ul

    started = now()
    opened = ul.open(run)
    opened.neighbours(queries[0], K)
    first = now() - started
    many, one, rows = timed(lambda some: opened.neighbours(some, K)[1], queries)
    opened.search(queries[0], K)
    hits = median([rate(lambda query: opened.search(query, K), queries) for _ in range(TIMES)])
    inside = opened._index
    index, more = inside.flat.codes, {}
    if opened.index_info["kind"] == "hnsw":
        index, more = inside.faiss_index, {"params": inside._effort(K)}
    alone = 1 / median([rate(lambda query: index.search(query[None], K, **more), queries) for _ in range(TIMES)])
    units = np.load(run.parent / "units.npy", mmap_mode="r")
    speeds = {"first": first, "many": many, "one": one, "hits": hits, "alone": alone}
    return speeds | {"recall": recall(rows, units, units[n:], tenth)} | opened.index_info


def build_peer(engine: str, place: Path, units: Any) -> None:
    import numpy as np

    if engine == "hnswlib":
        import hnswlib  # type: ignore[import-not-found]

        graph = hnswlib.Index(space="ip", dim=units.shape[1])
        graph.init_index(max_elements=len(units), ef_construction=BUILD_EFFORT, M=LINKS)
        graph.set_num_threads(CORES)
        for start in range(0, len(units), 1 << 16):
            graph.add_items(np.array(units[start : start + (1 << 16)]), np.arange(start, min(len(units), start + (1 << 16))))
        graph.save_index(str(place / engine))
        return
    import faiss

    index: Any = faiss.IndexFlatIP(units.shape[1])
    if engine == "faiss-hnsw":
        index = faiss.IndexHNSWFlat(units.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_EFFORT
    for start in range(0, len(units), 1 << 16):
        index.add(np.array(units[start : start + (1 << 16)]))
    faiss.write_index(index, str(place / engine))


def search_peer(engine: str, place: Path, queries: Any, tenth: Any, n: int) -> dict[str, Any]:
    import numpy as np

    started = now()
    if engine == "hnswlib":
        import hnswlib

        index = hnswlib.Index(space="ip", dim=queries.shape[1])
        index.load_index(str(place / engine))
        index.set_num_threads(CORES)
        index.set_ef(EFFORT[0])
        ask = lambda some: index.knn_query(some, K)[0].astype(np.int64)  # noqa: E731
    else:
        import faiss

        index = faiss.read_index(str(place / engine))
        ask = lambda some: index.search(some, K)[1]  # noqa: E731
    ask(queries[:1])
    first, curve = now() - started, []
    units = np.load(place / "units.npy", mmap_mode="r")
    for effort in (0,) if engine == "faiss-flat" else EFFORT:
        if engine == "hnswlib":
            index.set_ef(effort)
        elif engine == "faiss-hnsw":
            index.hnsw.efSearch = effort
        many, one, rows = timed(ask, queries)
        curve.append({"effort": effort, "many": many, "one": one, "recall": recall(rows, units, queries, tenth)})
        if curve[-1]["recall"] > 0.995:
            break
    return {"first": first, "curve": curve}


def at_recall(curve: list[dict[str, float]], wanted: float, key: str) -> tuple[float, float]:
    """Queries a second at a recall, between two points of the curve (straight in the logarithm), and the recall that it stands for."""
    for low, high in zip([curve[0], *curve], curve, strict=False):
        if high["recall"] >= wanted:
            span = high["recall"] - low["recall"]
            share = (wanted - low["recall"]) / span if span > 0 and wanted > low["recall"] else 1.0 if low is not high else 0.0
            speed = math.exp((1 - share) * math.log(low[key]) + share * math.log(high[key]))
            return (speed, wanted) if low is not high else (high[key], high["recall"])
    return curve[-1][key], curve[-1]["recall"]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def rows(plan: Plan) -> Iterator[Row]:
    from unlabeled.representation.index import FLAT_LIMIT

    yield from compare(plan, "exact", FLAT_LIMIT, {"faiss-flat": "faiss-cpu"})
    yield from compare(plan, "approximate", 1_000_000 if plan.full else GRAPHS, {"faiss-hnsw": "faiss-cpu", "hnswlib": "hnswlib"})


def compare(plan: Plan, case: str, n: int, peers: dict[str, str]) -> Iterator[Row]:
    place = plan.scratch / case
    place.mkdir()
    given: dict[str, Any] = {"folder": str(place), "n": n}
    engines = {"unlabeled": sys.executable} | {engine: plan.engines[peer] for engine, peer in peers.items() if peer in plan.engines}
    call(sys.executable, "search", engine="", do="data", **given)
    built, found = {}, {}
    for engine, python in engines.items():
        try:
            built[engine] = call(python, "search", engine=engine, do="build", **given)
            found[engine] = []
        except Failed as error:
            yield Row(f"{case}, {n:,} x {DIM}", engine, note=f"not measured: {error}")
    for _ in range(plan.rounds):
        for engine in found:
            found[engine].append(call(engines[engine], "search", engine=engine, do="search", **given))
    mine = found.pop("unlabeled", [])
    if not mine:
        return
    reached = mine[0]["recall"]
    for key, label in (("many", "all at once"), ("one", "one at a time"), ("hits", "one at a time by Run.search")):
        ours = [each[key] for each in mine]
        for engine, each in found.items():
            speeds = [at_recall(one["curve"], reached, "one" if key == "hits" else key) for one in each]
            theirs = [speed for speed, _ in speeds]
            row = Row(f"{case}, {n:,} x {DIM}, {label}", engine, "queries/s", median(ours), median(theirs), 1 / 1.2)
            row.measured_by, row.quality, row.theirs_quality = "recall@10", reached, speeds[0][1]
            row.equal, row.each = reached >= (0.95 if case == "approximate" else 0.999), ratios(ours, theirs)
            row.note = described(built["unlabeled"], built[engine], mine[0], each[0])
            if key != "many":
                row.note += f"; of a query's {1e6 / median(ours):.0f} us faiss takes {1e6 * median([one['alone'] for one in mine]):.0f},"
                row.note += " the rest is Python: what is asked is checked and centred, the ten are scored exactly and put in order"
            yield row


def described(mine: dict[str, Any], theirs: dict[str, Any], my_search: dict[str, Any], their_search: dict[str, Any]) -> str:
    said = (
        f"built in {mine['seconds']:.0f} s, theirs {theirs['seconds']:.0f} s; on disk {mine['bytes'] / 1e6:.0f} MB with vectors twice and "
    )
    said += f"items, theirs {theirs['bytes'] / 1e6:.0f} MB; opened and first answer in {my_search['first']:.2f} s, "
    return said + f"theirs {their_search['first']:.2f} s"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(CORES))
    answer(measure)
