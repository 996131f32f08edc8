"""Skip-gram with negatives beside gensim's: words a second and word similarity, with equal settings, each in a process of its own.

    python -m benchmarks.words TEXTS PAIRS [--gensim PYTHON] [--workers 1,4] [--seeds 0,1,2] [--epochs 5] [--json]

TEXTS: a Parquet file with a column `text`. PAIRS: a Parquet file of word pairs, with the columns `set`, `word1`, `word2` and `score`.
PYTHON: the interpreter of an environment with gensim, SciPy and pyarrow (gensim is no dependency of this project); without it only ours.
A word counts once an epoch, whether or not its frequency leaves it out; the texts are cut into words and counted before the clock starts.
Similarity: Spearman's correlation of cosines with people's scores, mean over the sets with 50 known pairs or more.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path

SETTINGS = {"window": 5, "negative": 5, "sample": 1e-3, "min_count": 5, "size": 100, "lr": 0.025}


def measure(engine: str, texts: str, pairs: str, workers: int, seed: int, epochs: int) -> dict:
    """One training, in this process."""
    import numpy as np
    import pyarrow.parquet as pq

    words = [re.findall(r"[a-z]+", text.lower()) for text in pq.read_table(texts, columns=["text"])["text"].to_pylist()]
    counts = Counter(word for text in words for word in text)
    known = sorted((word for word, n in counts.items() if n >= SETTINGS["min_count"]), key=lambda word: (-counts[word], word))
    total = epochs * sum(counts[word] for word in known)
    if engine == "gensim":
        from gensim.models import Word2Vec

        model = Word2Vec(
            vector_size=SETTINGS["size"], window=SETTINGS["window"], min_count=SETTINGS["min_count"], negative=SETTINGS["negative"],
            sample=SETTINGS["sample"], alpha=SETTINGS["lr"], sg=1, workers=workers, epochs=epochs, seed=seed + 1,
        )  # fmt: skip
        model.build_vocab(words)
        started, used = time.perf_counter(), time.process_time()
        model.train(words, total_examples=model.corpus_count, epochs=epochs)
        wall, cpu = time.perf_counter() - started, time.process_time() - used
        vectors = np.stack([model.wv[word] for word in known])
    else:
        from unlabeled.parts.skipgram import SkipGram
        from unlabeled.parts.vocabulary import Vocabulary

        corpus = Vocabulary(known, np.array([counts[word] for word in known])).encode(words)
        model = SkipGram(
            dim=SETTINGS["size"], window=SETTINGS["window"], negatives=SETTINGS["negative"], sample=SETTINGS["sample"],
            lr=SETTINGS["lr"], epochs=epochs, workers=workers, seed=seed,
        )  # fmt: skip
        SkipGram(dim=8, epochs=1, workers=1).fit(corpus.of([[0, 1]]), len(known))  # compiles, if that wasn't done before
        started, used = time.perf_counter(), time.process_time()
        vectors = model.fit(corpus, len(known)).words
        wall, cpu = time.perf_counter() - started, time.process_time() - used
    return {"engine": engine, "workers": workers, "seed": seed, "words": total, "seconds": round(wall, 2), "cpu": round(cpu, 2),
            "words_a_second": round(total / wall), "similarity": round(similarity(vectors, known, pairs), 4)}  # fmt: skip


def similarity(vectors, known: list, pairs: str) -> float:
    import numpy as np
    import pyarrow.parquet as pq
    from scipy.stats import spearmanr

    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    place, sets = {word: i for i, word in enumerate(known)}, {}
    for row in pq.read_table(pairs).to_pylist():
        a, b = place.get(row["word1"]), place.get(row["word2"])
        if a is not None and b is not None:
            sets.setdefault(row["set"], []).append((float(unit[a] @ unit[b]), row["score"]))
    return float(np.mean([spearmanr(np.array(values))[0] for values in sets.values() if len(values) >= 50]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts")
    parser.add_argument("pairs")
    parser.add_argument("--gensim", metavar="PYTHON")
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, workers, seed = options.one.split("|")
        print(json.dumps(measure(engine, options.texts, options.pairs, int(workers), int(seed), options.epochs)))
        return
    from benchmarks.peers import in_turn, mean  # here: the peer's interpreter doesn't know this package

    engines = {"unlabeled": sys.executable} | ({"gensim": options.gensim} if options.gensim else {})
    command = [str(Path(__file__).resolve()), options.texts, options.pairs, "--epochs", str(options.epochs)]
    rows, ratios = list(in_turn(command, engines, options.workers, options.seeds, options.json)), {}
    for workers in sorted({row["workers"] for row in rows}) if "gensim" in engines else ():
        ours, theirs = ({key: mean(rows, engine, workers, key) for key in ("seconds", "cpu", "similarity")} for engine in engines)
        ratios[workers] = {
            "times as fast": round(theirs["seconds"] / ours["seconds"], 2),
            "times as fast by processor time": round(theirs["cpu"] / ours["cpu"], 2),
            "similarity": round(ours["similarity"], 4),
            "gensim's similarity": round(theirs["similarity"], 4),
        }
    if options.json:
        print(json.dumps({"settings": SETTINGS, "rows": rows, "ratios": ratios}, indent=1))
    for workers, ratio in {} if options.json else ratios.items():
        print(f"{workers} workers: " + ", ".join(f"{key} {value}" for key, value in ratio.items()))


if __name__ == "__main__":
    main()
