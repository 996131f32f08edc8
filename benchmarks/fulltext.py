"""Full-text and hybrid search of 100,000 texts beside bm25s: queries a second, one at a time and all at once, and nDCG@10.

Among the texts lie two test collections (NPL, Cranfield) whose 318 queries are asked. The index is on the disk; opening it isn't timed.
bm25s runs as its README shows: English stop words and PyStemmer's stemmer, method lucene, with its arrays mapped from the disk.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import answer, call, median, now
from benchmarks.results import Plan, Row, ratios

K = 10
TOLERANCE = 0.01  # of nDCG@10: stemmers and stop words differ


def measure(engine: str, folder: str, data: str = "", n: int = 0, run: str = "", minilm: bool = False) -> dict[str, Any]:
    if engine == "make run":
        return make_run(Path(data), Path(folder), n, run, minilm)
    queries = json.loads((Path(folder) / "queries.json").read_text())
    return (ours if engine == "unlabeled" else bm25s)(Path(folder), queries, run)


def make_run(data: Path, folder: Path, n: int, out: str, minilm: bool = False) -> dict[str, Any]:
    """A run of the judged corpus with TF-IDF + SVD or MiniLM, as `unlabeled learn` keeps one (without its report)."""
    from benchmarks.corpora import judged_corpus
    from unlabeled import Frozen, Items, TfidfSVD
    from unlabeled.run import Run

    texts, _, relevant = judged_corpus(data, n, folder)
    started = now()
    model = (Frozen(encoder="minilm") if minilm else TfidfSVD()).fit(texts)
    vectors = model.transform(texts)
    learned, started = now() - started, now()
    model.save(out)
    config = json.loads((Path(out) / "config.json").read_text())
    (Path(out) / "config.json").write_text(json.dumps(config | {"state": "training"}))  # as `learn` does: the database completes it
    Run.create(out, Items("text", texts, [str(i) for i in range(n)]), vectors, config=config, finish=True)
    stored = now() - started
    return {"learned": learned, "stored": stored, "relevant": [{str(row): grade for row, grade in one.items()} for one in relevant]}


def clocked(ask: Any, queries: list[str]) -> tuple[float, list[list[int]]]:
    """Queries a second, and what was found. Asked twice: the first time warms up."""
    for query in queries[:20]:
        ask(query)
    started = now()
    found = [ask(query) for query in queries]
    return len(queries) / (now() - started), found


def ours(folder: Path, queries: list[str], run: str) -> dict[str, Any]:
    import unlabeled as ul

    started = now()
    opened = ul.open(run)
    opened.search_text(queries[0], K)
    first = now() - started
    words, found = clocked(lambda query: opened.search_text(query, K)[0].tolist(), queries)
    both, blended = clocked(lambda query: [hit.row for hit in opened.search(query, K)], queries)
    return {"first": first, "one": words, "found": found, "hybrid": both, "blended": blended}


def bm25s(folder: Path, queries: list[str], run: str) -> dict[str, Any]:
    import bm25s as peer  # type: ignore[import-not-found]
    import Stemmer  # type: ignore[import-not-found]

    kept, stemmer, built = folder / "bm25s", Stemmer.Stemmer("english"), 0.0
    if not kept.exists():
        started = now()
        texts = json.loads((folder / "texts.json").read_text())
        made = peer.BM25()
        made.index(peer.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
        made.save(kept)
        built = now() - started
    started = now()
    index = peer.BM25.load(kept, mmap=True)

    def ask(some: list[str]) -> Any:
        tokens = peer.tokenize(some, stopwords="en", stemmer=stemmer, show_progress=False)
        return index.retrieve(tokens, k=K, show_progress=False)[0]

    ask(queries[:1])
    first = now() - started
    one, found = clocked(lambda query: ask([query])[0].tolist(), queries)
    started = now()
    ask(queries)
    return {"built": built, "first": first, "one": one, "all": len(queries) / (now() - started), "found": found}


def rows(plan: Plan) -> Iterator[Row]:
    import numpy as np

    from unlabeled.evaluate.retrieval import ndcg

    run, folder = str(plan.scratch / "run"), str(plan.scratch)
    given = {"folder": folder, "data": str(plan.data), "run": run, "minilm": plan.full}
    made = call(sys.executable, "fulltext", 60, engine="make run", n=100_000, **given)
    relevant = [{int(row): grade for row, grade in one.items()} for one in made["relevant"]]
    found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in plan.engines}
    for _ in range(plan.rounds):
        for engine, python in plan.engines.items():
            found[engine].append(call(python, "fulltext", engine=engine, folder=folder, run=run))
    if "bm25s" not in found:
        return

    def quality(rows: list[list[int]]) -> float:
        return float(np.mean(ndcg(rows, relevant, K)))

    mine, theirs = found["unlabeled"], found["bm25s"]
    words, both, peer = quality(mine[0]["found"]), quality(mine[0]["blended"]), quality(theirs[0]["found"])
    built = max(each["built"] for each in theirs)
    vectors = "MiniLM" if plan.full else "TF-IDF + SVD"
    first = f"first answer after opening: ours {mine[0]['first']:.2f} s, bm25s {theirs[0]['first']:.2f} s; made from texts: "
    first += f"ours {made['stored']:.1f} s with vectors, bm25s {built:.1f} s"
    hybrid = f"ours searches by words and by {vectors} vectors and blends; bm25s by words only; ours by words alone has nDCG {words:.3f}"
    for case, key, other, found_quality, note in (
        ("words, one at a time", "one", "one", words, first),
        ("words, all at once", "one", "all", words, "ours has no call for many queries of words"),
        ("hybrid, one at a time", "hybrid", "one", both, hybrid),
    ):
        speed, peers = [each[key] for each in mine], [each[other] for each in theirs]
        row = Row(case, "bm25s", "queries/s", median(speed), median(peers), 1.0, note=note, each=ratios(speed, peers))
        row.measured_by, row.quality, row.theirs_quality, row.equal = "nDCG@10", found_quality, peer, found_quality >= peer - TOLERANCE
        yield row


if __name__ == "__main__":
    answer(measure)
