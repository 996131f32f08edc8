"""sent2vec beside fastText's CBOW: words a second and sentence similarity, on the same sentences, each in a process of its own.

    python -m benchmarks.sent2vec TEXTS PAIRS [--fasttext PYTHON] [--workers 1,2] [--seeds 0,1,2] [--epochs 5] [--ours 5] [--json]

TEXTS: a Parquet file with a column `text`. PAIRS: a Parquet file of sentence pairs with the columns `sentence1`, `sentence2` and `score`
(of those with a column `split` the rows that say "test"). PYTHON: the interpreter of an environment with fasttext, SciPy and pyarrow
(fastText is no dependency of this project); without it only ours.

What is compared: sent2vec's own program is built on fastText and can't be had as a package; fastText's nearest model is CBOW with a window
over the whole sentence (ws=100) and no parts of words (maxn=0). Equal: dimensions, negatives (both draw by the root of the counts),
subsampling threshold, min_count, epochs, threads. Not equal, because the models differ: fastText leaves frequent words out of the contexts
as well, draws its windows' sizes from 1 to ws, and knows no n-grams of words without labels; its gradients aren't divided by the number
of words, hence its rate (its default, 0.05; ours 0.2); its seed can't be set from Python. So ours runs twice: "words", word_ngrams=1, is
the like one; "pairs" has pairs of words too.

A word counts once an epoch. words_a_second: of training alone; fastText's from the difference between `epochs` epochs and one, since it
can't be asked to count words only. whole_seconds: from the file to the vectors. cpu: processor time of the whole.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

SETTINGS = {"dim": 100, "negatives": 10, "sample": 1e-4, "min_count": 5, "ours": {"lr": 0.2}, "fasttext": {"lr": 0.05, "ws": 100}}
ENGINES = {"ours, words": 1, "ours, pairs": 2}
END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")


def measure(engine: str, file: str, pairs: str, workers: int, seed: int, epochs: int) -> dict:
    """One training, in this process."""
    with open(file, encoding="utf-8") as lines:
        counts = Counter(word for line in lines for word in line.split())
    words = sum(n for n in counts.values() if n >= SETTINGS["min_count"])
    if engine == "fasttext":
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:  # fastText trains once a process: then it meets NaN
            one = apart.submit(timed, file, 1, workers).result()
        model, whole, cpu = fasttext_model(file, epochs, workers)
        wall, trained = whole - one, epochs - 1

        def embed(sentences: list):  # type: ignore[no-untyped-def]
            import numpy as np

            known = set(model.words)
            rows = [[model.get_word_vector(word) for word in sentence.split() if word in known] for sentence in sentences]
            return np.stack([np.mean(row, axis=0) if row else np.zeros(SETTINGS["dim"]) for row in rows])

    else:
        from unlabeled.parts.ngram_sums import NgramSums, sums
        from unlabeled.parts.skipgram import Corpus
        from unlabeled.parts.vocabulary import Lines, Vocabulary

        order = ENGINES[engine]
        NgramSums(dim=8, epochs=1, workers=1).fit(Corpus.of([[0, 1]]), 2)  # compiles, if that wasn't done before
        began, used = time.perf_counter(), time.process_time()
        known = Vocabulary.of(Lines(file), min_count=SETTINGS["min_count"])
        corpus = known.encode(Lines(file))
        started = time.perf_counter()
        tables = NgramSums(
            dim=SETTINGS["dim"], negatives=SETTINGS["negatives"], sample=SETTINGS["sample"], lr=SETTINGS["ours"]["lr"], order=order,
            buckets=200_000, epochs=epochs, workers=workers, seed=seed,
        ).fit(corpus, len(known.words))  # fmt: skip
        wall, trained = time.perf_counter() - started, epochs
        whole, cpu = time.perf_counter() - began, time.process_time() - used

        def embed(sentences: list):  # type: ignore[no-untyped-def]
            return sums(tables.words, known.encode(sentences), len(known.words), order, 200_000)

    return {"engine": engine, "workers": workers, "seed": seed, "words": words * epochs, "words_a_second": round(words * trained / wall),
            "whole_seconds": round(whole, 2), "cpu": round(cpu, 2), "similarity": round(similarity(embed, pairs), 4)}  # fmt: skip


def fasttext_model(file: str, epochs: int, workers: int):  # type: ignore[no-untyped-def]
    """The model, and seconds and processor seconds of its training."""
    import fasttext

    like = {"dim": SETTINGS["dim"], "neg": SETTINGS["negatives"], "t": SETTINGS["sample"], "minCount": SETTINGS["min_count"], "maxn": 0}
    started, used = time.perf_counter(), time.process_time()
    model = fasttext.train_unsupervised(file, model="cbow", epoch=epochs, thread=workers, verbose=0, **like | SETTINGS["fasttext"])
    return model, time.perf_counter() - started, time.process_time() - used


def timed(file: str, epochs: int, workers: int) -> float:
    return fasttext_model(file, epochs, workers)[1]


def similarity(embed, pairs: str) -> float:  # type: ignore[no-untyped-def]
    """Spearman's correlation of cosines with people's scores."""
    import numpy as np
    import pyarrow.parquet as pq
    from scipy.stats import spearmanr

    rows = [row for row in pq.read_table(pairs).to_pylist() if row.get("split", "test") == "test"]
    A, B = (embed([plain(row[side]) for row in rows]) for side in ("sentence1", "sentence2"))
    length = np.maximum(np.linalg.norm(A, axis=1) * np.linalg.norm(B, axis=1), 1e-12)
    return float(spearmanr((A * B).sum(axis=1) / length, [row["score"] for row in rows])[0])


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts")
    parser.add_argument("pairs")
    parser.add_argument("--fasttext", metavar="PYTHON")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--ours", type=int, help="epochs of ours, where they should differ")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs: wanted 2 or more, for fastText's speed is that of all but one")
    if options.one:
        engine, workers, seed = options.one.split("|")
        epochs = options.epochs if engine == "fasttext" else options.ours or options.epochs
        print(json.dumps(measure(engine, options.texts, options.pairs, int(workers), int(seed), epochs)))
        return
    import pyarrow.parquet as pq

    from benchmarks.peers import in_turn, mean  # here: the peer's interpreter doesn't know this package

    engines = {name: sys.executable for name in ENGINES} | ({"fasttext": options.fasttext} if options.fasttext else {})
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for text in pq.read_table(options.texts, columns=["text"])["text"].to_pylist():
            file.writelines(f"{line}\n" for line in map(plain, END.split(text)) if line)
        file.flush()
        command = [
            str(Path(__file__).resolve()),
            file.name,
            options.pairs,
            "--epochs",
            str(options.epochs),
            "--ours",
            str(options.ours or options.epochs),
        ]
        rows, ratios = list(in_turn(command, engines, options.workers, options.seeds, options.json)), {}
    for workers in sorted({row["workers"] for row in rows}) if "fasttext" in engines else ():
        keys = ("words_a_second", "whole_seconds", "cpu", "similarity")
        of = {engine: {key: mean(rows, engine, workers, key) for key in keys} for engine in engines}
        ratios[workers] = {
            engine: {
                "words a second, times fastText's": round(of[engine]["words_a_second"] / of["fasttext"]["words_a_second"], 2),
                "whole, times as fast": round(of["fasttext"]["whole_seconds"] / of[engine]["whole_seconds"], 2),
                "by processor time": round(of["fasttext"]["cpu"] / of[engine]["cpu"], 2),
                "similarity": round(of[engine]["similarity"], 4),
                "fastText's": round(of["fasttext"]["similarity"], 4),
            }
            for engine in ENGINES
        }
    if options.json:
        print(json.dumps({"settings": SETTINGS, "rows": rows, "ratios": ratios}, indent=1))
        return
    for workers, found in ratios.items():
        for engine, ratio in found.items():
            print(f"{workers} workers, {engine}: " + ", ".join(f"{key} {value}" for key, value in ratio.items()))


if __name__ == "__main__":
    main()
