"""Swivel and PPMI-SVD beside plain SciPy and NumPy: processor time, memory, and whether the same comes out, each in a process of its own.

    python -m benchmarks.counts TEXTS [--words 8000] [--dim 100] [--epochs 3] [--repeats 2] [--json]

TEXTS: Parquet files with a column `text`, separated by commas. Both start from the same numbers of words; the plain way counts by shifted
arrays that SciPy adds up, and takes Swivel's step in NumPy over the same shards, with the same first vectors, order and rate. Both read
the counted matrix from memory. Seconds are of the processor (with OMP_NUM_THREADS=1), so that a busy machine is fair to both. Memory:
the most that the process held beyond what it held before, for the counting and for all.
Agreement: the largest difference of counts over the largest count, and the mean cosine of the two programs' vectors of a word.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

WINDOW, SHARD, CONF, RATE = 10, 1024, (0.1, 0.25, 0.5), 0.1


def corpus(paths: str, most: int):
    """Words as numbers, by frequency, and where texts begin."""
    import numpy as np
    import pyarrow.parquet as pq

    texts = [text for path in paths.split(",") for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
    words = [re.findall(r"[a-z]+", text.lower()) for text in texts]
    uses = Counter(word for text in words for word in text)
    number = {word: i for i, word in enumerate(sorted(uses, key=lambda word: (-uses[word], word))[:most])}
    rows = [np.array([number[word] for word in text if word in number], np.int32) for text in words]
    return np.concatenate(rows), np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64), len(number)


def plain_counts(tokens, starts, n):
    """Shifted arrays, a gap between texts; SciPy adds up each distance's pairs."""
    import numpy as np
    from scipy.sparse import coo_array, csr_array

    gapped = np.full(len(tokens) + WINDOW * (len(starts) - 1), -1, np.int64)
    gapped[np.arange(len(tokens)) + WINDOW * np.repeat(np.arange(len(starts) - 1), np.diff(starts))] = tokens
    total = csr_array((n, n))
    for d in range(1, WINDOW + 1):
        left, right = gapped[:-d], gapped[d:]
        both = (left >= 0) & (right >= 0)
        total = total + coo_array((np.full(both.sum(), 1 / d), (left[both], right[both])), shape=(n, n)).tocsr()
    return csr_array(total + total.T)


def plain_swivel(X, dim: int, epochs: int, seed: int):
    """The paper's step in NumPy, shard by shard."""
    import numpy as np
    import torch

    n = X.shape[0]
    parts = -(-n // SHARD)
    rng = torch.Generator().manual_seed(seed)
    W, C = (torch.randn(n, dim, generator=rng).div(dim**0.5).numpy() for _ in range(2))
    squares = [np.zeros_like(W), np.zeros_like(C)]
    sums, total = np.asarray(X.sum(axis=1)).ravel(), X.sum()
    logs = np.log(np.maximum(sums, 1e-30)).astype(np.float32)
    for _ in range(epochs):
        for shard in torch.randperm(parts * parts, generator=rng).tolist():
            i, j = divmod(shard, parts)
            x = X[i::parts][:, j::parts].toarray().astype(np.float32)
            expected = np.float32(np.log(total)) - logs[i::parts, None] - logs[j::parts]
            score = W[i::parts] @ C[j::parts].T
            with np.errstate(divide="ignore", over="ignore"):
                seen = (CONF[0] + CONF[1] * x ** CONF[2]) * (score - np.log(x) - expected)
                G = np.where(x > 0, seen, 1 / (1 + np.exp(expected - score)))
            steps = G @ C[j::parts], G.T @ W[i::parts]
            for table, square, at, step in zip((W, C), squares, (i, j), steps, strict=True):
                square[at::parts] += step * step
                table[at::parts] -= RATE * step / (np.sqrt(square[at::parts]) + 1e-8)
    return W, C


def plain_ppmi(X, dim: int):
    """SciPy's truncated SVD (ARPACK) of the PPMI matrix."""
    import numpy as np
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import svds

    rows, contexts = np.asarray(X.sum(axis=1)).ravel(), np.asarray(X.sum(axis=0)).ravel() ** 0.75
    scaled = (diags_array(1 / np.maximum(rows, 1e-30)) @ X @ diags_array(contexts.sum() / np.maximum(contexts, 1e-30))).tocsr()
    scaled.data = np.maximum(np.log(scaled.data), 0)
    scaled.eliminate_zeros()
    U, s, _ = svds(scaled, dim)
    return U[:, ::-1] * np.sqrt(s[::-1])


def peak() -> float:
    """Megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(engine: str, given: Path, out: Path, dim: int, epochs: int) -> dict:
    import numpy as np
    import torch  # noqa: F401  (both hold it before the clock starts)
    from scipy.sparse import csr_array

    held = np.load(given)
    tokens, starts, n = held["tokens"], held["starts"], int(held["n"])
    seconds = {}
    if engine == "unlabeled":
        from unlabeled.methods.words.ppmi_svd import PPMISVD
        from unlabeled.methods.words.swivel import Swivel
        from unlabeled.parts.cooccurrence_counts import count_pairs
        from unlabeled.parts.skipgram import Corpus

        count_pairs(Corpus.of([[0, 1]]), n)  # compiles, if that wasn't done before
        run = {
            "counting": lambda: count_pairs(Corpus(tokens, starts), n, window=WINDOW, shard=SHARD),
            "Swivel": lambda X: Swivel(dim=dim, shard=SHARD, epochs=epochs, lr=RATE, conf=CONF)._factorise(X),
            "PPMI-SVD": lambda X: PPMISVD(dim=dim)._factorise(X)[0],
        }
    else:
        run = {
            "counting": lambda: plain_counts(tokens, starts, n),
            "Swivel": lambda X: plain_swivel(X, dim, epochs, 0),
            "PPMI-SVD": lambda X: plain_ppmi(X, dim),
        }
    before = peak()
    started = time.process_time()
    X = run["counting"]()
    seconds["counting"] = time.process_time() - started
    memory = {"counting": peak() - before}
    found = {}
    for name in ("Swivel", "PPMI-SVD"):
        started = time.process_time()
        found[name] = run[name](X)
        seconds[name] = time.process_time() - started
    memory["all"] = peak() - before
    matrix = csr_array(X if engine != "unlabeled" else X.matrix())
    np.savez(out, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, swivel=sum(found["Swivel"]), ppmi=found["PPMI-SVD"])
    return {"engine": engine, "seconds": seconds, "megabytes": memory}


def agreement(folder: Path, n: int) -> dict:
    import numpy as np
    from scipy.sparse import csr_array

    a, b = (np.load(folder / f"{engine}.npz") for engine in ("unlabeled", "plain"))
    A, B = (csr_array((one["data"], one["indices"], one["indptr"]), shape=(n, n)) for one in (a, b))
    gram = [one["ppmi"].astype(np.float64) for one in (a, b)]
    gram = [Z[:1000] @ Z[:1000].T for Z in gram]  # the axes of an SVD have no sign
    cosine = (a["swivel"] * b["swivel"]).sum(1) / (np.linalg.norm(a["swivel"], axis=1) * np.linalg.norm(b["swivel"], axis=1) + 1e-12)
    return {
        "counts, largest difference": float(abs(A - B).max() / B.max()),
        "Swivel, mean cosine of a word": float(cosine.mean()),
        "PPMI-SVD, correlation of similarities": float(np.corrcoef(gram[0].ravel(), gram[1].ravel())[0, 1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts")
    parser.add_argument("--words", type=int, default=8000)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, given, out = options.one
        print(json.dumps(measure(engine, Path(given), Path(out), options.dim, options.epochs)))
        return
    import numpy as np

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        tokens, starts, n = corpus(options.texts, options.words)
        np.savez(Path(folder) / "corpus.npz", tokens=tokens, starts=starts, n=n)
        for _ in range(options.repeats):
            for engine in ("unlabeled", "plain"):  # in turn, so that a busy machine is busy for both
                setting = ["--dim", str(options.dim), "--epochs", str(options.epochs)]
                one = ["--one", engine, f"{folder}/corpus.npz", f"{folder}/{engine}.npz"]
                command = [sys.executable, str(Path(__file__).resolve()), options.texts, *setting, *one]
                said = subprocess.run(command, capture_output=True, text=True, check=False)
                if said.returncode:
                    sys.exit(f"{engine} failed: {said.stderr.strip()[-400:]}")
                rows.append(json.loads(said.stdout.splitlines()[-1]))
                if not options.json:
                    parts = [f"{key} {value:.2f} s" for key, value in rows[-1]["seconds"].items()]
                    parts += [f"{key} {value:.0f} MB" for key, value in rows[-1]["megabytes"].items()]
                    print(f"{engine}: " + ", ".join(parts), flush=True)
        same = agreement(Path(folder), n)
    ratios = {}
    for kind in ("seconds", "megabytes"):
        for key in rows[0][kind]:
            mean = {e: sum(row[kind][key] for row in rows if row["engine"] == e) / options.repeats for e in ("unlabeled", "plain")}
            ratios[f"{key}, {kind}, plain over ours"] = round(mean["plain"] / max(mean["unlabeled"], 1e-9), 2)
    result = {"words": len(tokens), "vocabulary": n, "rows": rows, "ratios": ratios, "agreement": same}
    print(json.dumps(result, indent=1) if options.json else "\n".join(f"{key}: {value}" for key, value in (ratios | same).items()))


if __name__ == "__main__":
    main()
