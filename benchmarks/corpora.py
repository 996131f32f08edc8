"""Texts, vectors and pictures that the benchmarks make from UNLABELED_DATA or from a seed."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# Short texts, in this order: tasks' sentences, titles, tweets, pairs.
SHORT = (
    ("sentences/sentences", ("text",)),
    ("stackoverflow_titles/titles", ("text",)),
    ("crisis_tweets/t26", ("text",)),
    ("nli_pairs/*", ()),
)
JUDGED = ("npl_vaswani", "cranfield")  # test collections with queries and judgements


def texts(data: Path) -> Iterator[str]:
    """Distinct texts of 9 to 399 letters, one by one."""
    import pyarrow.parquet as pq

    seen = set()
    for pattern, names in SHORT:
        for path in sorted(data.glob(f"{pattern}.parquet")):
            table = pq.read_table(path)
            for name in names or [f.name for f in table.schema if str(f.type) in ("string", "large_string")]:
                for text in table[name].to_pylist():
                    text = " ".join(str(text or "").split())
                    if 8 < len(text) < 400 and text not in seen:
                        seen.add(text)
                        yield text


def many_texts(data: Path, n: int, seed: int = 0) -> list[str]:
    """n texts in a random order; where there are fewer, further ones are the halves of two."""
    draw = random.Random(seed)
    found = list(texts(data))
    draw.shuffle(found)
    known = [text.split() for text in found]
    while len(found) < n:
        a, b = draw.choice(known), draw.choice(known)
        found.append(" ".join(a[: len(a) // 2 + 1] + b[len(b) // 2 :]))
    return found[:n]


def judged_corpus(data: Path, n: int, folder: Path) -> tuple[list[str], list[str], list[dict[int, float]]]:
    """n texts among which lie two test collections: texts, queries, and of each query {row: relevance}. Written as JSON into `folder`."""
    import pyarrow.parquet as pq

    corpus: list[str] = []
    queries: list[str] = []
    relevant: list[dict[int, float]] = []
    for name in JUDGED:
        docs, asked, judged = (pq.read_table(data / name / f"{part}.parquet").to_pylist() for part in ("docs", "queries", "qrels"))
        row = {doc["doc"]: len(corpus) + i for i, doc in enumerate(docs)}
        corpus += [" ".join((doc["text"] or "").split()) or str(doc["doc"]) for doc in docs]
        for query in asked:
            known = {row[one["doc"]]: 1.0 for one in judged if one["query"] == query["query"] and one["doc"] in row}
            if known:
                queries.append(query["text"])
                relevant.append(known)
    corpus += many_texts(data, n - len(corpus))
    (folder / "texts.json").write_text(json.dumps(corpus))
    (folder / "queries.json").write_text(json.dumps(queries))
    return corpus, queries, relevant


def write_vectors(path: Path, n: int, d: int, seed: int = 0, queries: int = 0) -> None:
    """float32 [n + queries, d], the queries last: 24 hidden numbers in 1,000 kinds of unequal size, put through a fixed random network.

    So the vectors have structure and fewer degrees of freedom than numbers, as embeddings do.
    """
    fixed, rng = np.random.default_rng(12345), np.random.default_rng(seed)
    hidden = 24
    centres = fixed.normal(size=(1000, hidden)).astype(np.float32)
    A, B = (fixed.normal(size=shape).astype(np.float32) for shape in ((hidden, 2 * d), (2 * d, d)))
    share = np.geomspace(100, 1, len(centres))
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n + queries, d))
    for start in range(0, len(out), 1 << 16):
        kinds = rng.choice(len(centres), min(1 << 16, len(out) - start), p=share / share.sum())
        z = centres[kinds] + 0.5 * rng.standard_normal((len(kinds), hidden), dtype=np.float32)
        out[start : start + len(kinds)] = np.tanh(z @ A / 5) @ B / np.sqrt(2 * d) + 0.02 * rng.standard_normal((len(kinds), d), np.float32)
    out.flush()


def write_large_pictures(data: Path, folder: Path, n: int, side: tuple[int, int] = (4000, 3000), distinct: int = 40) -> int:
    """n JPEGs of 12 megapixels, of which `distinct` are encoded and the others are links to them; bytes of a mean file.

    Each is a mosaic of Tiny ImageNet's pictures enlarged, with noise, so that a file is as large as a camera's (2 to 4 MB).
    """
    import pyarrow.parquet as pq
    from PIL import Image

    folder.mkdir(parents=True)
    small = pq.read_table(data / "tiny_imagenet20" / "train.parquet", columns=["jpeg"])["jpeg"].to_pylist()
    rng = np.random.default_rng(0)
    total, distinct = 0, min(n, distinct)
    for i in range(distinct):
        mosaic = Image.new("RGB", (1000, 750))
        for place in range(16 * 12):
            with Image.open(io.BytesIO(small[int(rng.integers(len(small)))])) as one:
                mosaic.paste(one.convert("RGB").resize((64, 64)), (place % 16 * 64, place // 16 * 64))
        pixels = np.asarray(mosaic.resize(side, Image.Resampling.BICUBIC), np.int16)
        noise = rng.integers(-6, 7, pixels.shape[:2], dtype=np.int16)[..., None]
        path = folder / f"{i:05}.jpg"
        Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(path, quality=88)
        total += path.stat().st_size
    for i in range(distinct, n):
        (folder / f"{i:05}.jpg").hardlink_to(folder / f"{i % distinct:05}.jpg")
    return total // distinct


def write_small_pictures(data: Path, folder: Path, n: int) -> None:
    """The first n of CIFAR-10's training pictures, as the JPEG files that they are stored as."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for i, jpeg in enumerate(pq.read_table(data / "cifar10" / "train.parquet", columns=["jpeg"])["jpeg"].to_pylist()[:n]):
        (folder / f"{i:05}.jpg").write_bytes(jpeg)
