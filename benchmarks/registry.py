"""Every benchmark: what is done, beside whom, in which environment, and the function that yields its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import encode, fulltext, images, search, startup, training
from benchmarks.peers import BUSY, CORES, ROOT, Failed, median
from benchmarks.results import Benchmark, Plan, Row, ratios

NUMPY, TORCH = "numpy==2.4.6", "torch==2.13.0"
FAISS, GENSIM = "faiss-cpu==1.15.1", "gensim==4.4.0"
SECONDS = "cpu" if BUSY else "seconds"


def script(plan: Plan, module: str, *arguments: str, minutes: float = 15) -> dict[str, Any]:
    """What `python -m benchmarks.MODULE ARGUMENTS --json` prints. Raises Failed."""
    try:
        said = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", *arguments, "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60 * minutes,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{module} took longer than {minutes:g} minutes") from None
    if said.returncode:
        raise Failed(f"{module} failed: {(said.stderr.strip().splitlines() or ['no message'])[-1][:300]}")
    return json.loads(said.stdout)  # type: ignore[no-any-return]


def averages(found: dict[str, Any], engine: str, *keys: str, **where: Any) -> list[float]:
    """Means over the rows of one engine."""
    rows = [row for row in found["rows"] if row["engine"] == engine and all(row[key] == value for key, value in where.items())]
    return [sum(row[key] for row in rows) / len(rows) for key in keys]


def compared(case: str, peer: str, unit: str, mine: list[float], theirs: list[float], by: str, within: float, note: str = "") -> Row:
    """A row of [speed, quality]: wanted is as fast, with a quality not more than `within` below the peer's."""
    equal = mine[1] >= theirs[1] - within
    return Row(case, peer, unit, mine[0], theirs[0], 1.0, None, by, mine[1], theirs[1], equal, note)


def words(plan: Plan) -> Iterator[Row]:
    seeds, epochs = ("0,1,2", "5") if plan.full else ("0", "2")
    files = [str(plan.data / path) for path in ("english_text/paragraphs.parquet", "word_similarity/pairs.parquet")]
    threads = sorted({1, CORES})
    options = ["--workers", ",".join(map(str, threads)), "--seeds", seeds, "--epochs", epochs, "--gensim", plan.engines["gensim"]]
    found = script(plan, "words", *files, *options)
    for workers in threads:
        both = [averages(found, engine, SECONDS, "similarity", workers=workers) for engine in ("unlabeled", "gensim")]
        note = f"seeds {seeds}, {epochs} epochs of {found['rows'][0]['words']:,} words in all"
        yield compared(f"skip-gram, {workers} threads", "gensim", "s", *both, "word similarity", 0.03, note)


def graphs(plan: Plan) -> Iterator[Row]:
    options = ["--peer", plan.engines["PecanPy"], "--workers", str(CORES), "--scale", "", "--pq", "1,1"]
    found = script(plan, "graphs", str(plan.data / "graph_blogcatalog/blogcatalog.npz"), *options, minutes=25)
    both = [averages(found, engine, SECONDS, "macro_f1") for engine in ("unlabeled", "pecanpy")]
    note = "PecanPy's walks and gensim's training; one seed"
    yield compared("node2vec on BlogCatalog, 10 walks of 80 nodes", "PecanPy", "s", *both, "macro-F1", 0.015, note)


def knowledge(plan: Plan) -> Iterator[Row]:
    seeds, epochs = ("0,1,2", "5") if plan.full else ("0", "2")
    options = ["--pykeen", plan.engines["PyKEEN"], "--workers", str(CORES), "--seeds", seeds, "--epochs", epochs]
    found = script(plan, "knowledge", str(plan.data / "kgs/fb15k237.npz"), *options)
    for key, case in (("epoch", "an epoch"), ("evaluation", "ranking 500 facts")):
        both = [averages(found, engine, key + "_cpu" * BUSY, "mrr") for engine in ("unlabeled", "pykeen")]
        yield compared(f"DistMult on FB15k-237, {case}", "PyKEEN", "s", *both, "filtered MRR", 0.01, f"seeds {seeds}, {epochs} epochs")


def poincare(plan: Plan) -> Iterator[Row]:
    seeds, epochs = ("0,1,2", "50") if plan.full else ("0", "20")
    options = ["--gensim", plan.engines["gensim"], "--dims", "10", "--seeds", seeds, "--epochs", epochs]
    found = script(plan, "poincare", str(plan.data / "wordnet_nouns/mammal_closure.parquet"), *options)
    for peer in sorted({row["engine"] for row in found["rows"]} - {"unlabeled"}):
        both = [averages(found, engine, SECONDS, "map") for engine in ("unlabeled", peer)]
        note = f"one thread each; seeds {seeds}, {epochs} epochs"
        yield compared("Poincaré on WordNet's mammals, 10 numbers", peer, "s", *both, "MAP", 0.02, note)


def sent2vec(plan: Plan) -> Iterator[Row]:
    seeds, epochs = ("0,1,2", 5) if plan.full else ("0", 3)
    ours = 3 * epochs  # at equal epochs ours is worse; wanted is to be as good, and sooner
    files = [str(plan.data / path) for path in ("english_text/paragraphs.parquet", "stsb/stsb.parquet")]
    options = [
        "--fasttext",
        plan.engines["fastText"],
        "--workers",
        str(CORES),
        "--seeds",
        seeds,
        "--epochs",
        str(epochs),
        "--ours",
        str(ours),
    ]
    found = script(plan, "sent2vec", *files, *options)
    both = [averages(found, engine, "cpu" if BUSY else "whole_seconds", "similarity") for engine in ("ours, words", "fasttext")]
    note = f"fastText's CBOW over whole sentences, {epochs} epochs, ours {ours}; seeds {seeds}"
    yield compared("sums of words, to equal quality", "fastText", "s", *both, "STS", 0.02, note)


def counts(plan: Plan) -> Iterator[Row]:
    found = script(plan, "counts", str(plan.data / "english_text/paragraphs.parquet"), "--repeats", "2" if plan.full else "1")
    note = "processor time; " + ", ".join(f"{name} {value:.3g}" for name, value in found["agreement"].items())
    for key in found["rows"][0]["seconds"]:
        seconds = {engine: [row["seconds"][key] for row in found["rows"] if row["engine"] == engine] for engine in ("unlabeled", "plain")}
        mine, theirs = (sum(each) / len(each) for each in seconds.values())
        yield Row(f"co-occurrence, {key}", "plain NumPy, SciPy", "s", mine, theirs, 1.0, note=note)


def curation(plan: Plan) -> Iterator[Row]:
    n, iters = (1_000_000, "10") if plan.full else (200_000, "5")
    times = [script(plan, "curation", "--n", str(n), "--iters", iters, minutes=40) for _ in range(plan.rounds)]
    peer, key = times[0]["faiss"], "seconds per 1e9 distances"
    theirs = [one["faiss"][key] for one in times]
    for name in ("kmeans_large", "HierarchicalKMeans"):
        mine, ours = times[0][name], [one[name][key] for one in times]
        note = f"whole {mine['seconds']} s, theirs {peer['seconds']} s; peak memory {mine['peak']} times the data, theirs {peer['peak']}"
        case = f"{name}, {n:,} x 64 in {times[0]['k']:,} groups"
        row = Row(case, "faiss-cpu", "s/1e9 distances", median(ours), median(theirs), 1 / 1.5, note=note, each=ratios(theirs, ours))
        if name == "kmeans_large":  # the other has levels and resampling: another aim
            row.measured_by, row.quality, row.theirs_quality = "inertia", mine["inertia"], peer["inertia"]
            row.equal = mine["inertia"] <= 1.02 * peer["inertia"]
        yield row


PILLOW = ("pillow==13.0.0", TORCH, NUMPY)
BENCHMARKS = [
    Benchmark(
        "training", "SimSiam, MoCo v2 and SwAV on CIFAR-10, loading and views included", training.rows,
        {"lightly": ("lightly==1.6.0", TORCH, "torchvision==0.28.0", NUMPY)}, ("cifar10",), 12,
    ),
    Benchmark(
        "images", "folders of JPEGs to tensors", images.rows, {"Pillow": PILLOW, "Pillow with draft": PILLOW},
        ("cifar10", "tiny_imagenet20"), 6,
    ),
    Benchmark(
        "encode", "texts of mixed length through MiniLM", encode.rows,
        {"sentence-transformers": ("sentence-transformers==6.2.0", TORCH, NUMPY)}, ("ohsumed_abstracts", "stackoverflow_titles"), 3,
    ),
    Benchmark("startup", "how long a person waits: import, --help, search in 100,000 texts", startup.rows, {}, tuple(["npl_vaswani"])),
    Benchmark(
        "search", "exact and approximate neighbours through the public API, from disk", search.rows,
        {"faiss-cpu": (FAISS, NUMPY), "hnswlib": (FAISS, "hnswlib==0.8.0", NUMPY)}, minutes=10,
    ),
    Benchmark(
        "fulltext", "full-text and hybrid search of 100,000 texts", fulltext.rows, {"bm25s": ("bm25s==0.3.16", "PyStemmer", NUMPY)},
        ("npl_vaswani", "cranfield", "sentences"), 4,
    ),
    Benchmark("curation", "k-means and hierarchical k-means at equal distances", curation, {"faiss-cpu": ()}, minutes=3),
    Benchmark("words", "skip-gram with negatives", words, {"gensim": (GENSIM, "scipy", "pyarrow")}, ("english_text", "word_similarity"), 3),
    Benchmark("graphs", "node2vec, walks and training", graphs, {"PecanPy": ("pecanpy==2.0.9", GENSIM)}, ("graph_blogcatalog",), 6),
    Benchmark("knowledge", "DistMult with negatives", knowledge, {"PyKEEN": ("pykeen==1.11.1", TORCH)}, ("kgs",), 5),
    Benchmark("poincare", "Poincaré embeddings", poincare, {"gensim": (GENSIM, "scipy", "pyarrow")}, ("wordnet_nouns",), 3),
    Benchmark(
        "sent2vec", "sums of words and n-grams", sent2vec, {"fastText": ("fasttext==0.9.3", "scipy", "pyarrow")},
        ("english_text", "stsb"), 3,
    ),
    Benchmark("counts", "Swivel and PPMI-SVD beside plain NumPy and SciPy", counts, {}, ("english_text",), 3),
]  # fmt: skip
BY_NAME: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in BENCHMARKS}
