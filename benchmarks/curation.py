"""k-means and curation of many vectors beside faiss's k-means: seconds for as many distances, memory, and inertia.

    python -m benchmarks.curation [--n 1000000] [--d 64] [--k N/100] [--iters 10] [--threads N] [--json]

Each runs in a process of its own on the same memory-mapped file: `kmeans_large`, faiss.Kmeans with as many clusters and iterations, and
`HierarchicalKMeans` (three levels, two resamplings). "peak" is the most memory above what the process held before, in sizes of the data;
pages of the file that lie in memory count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("kmeans_large", "faiss", "HierarchicalKMeans")


def write_data(path: Path, n: int, d: int) -> None:
    """A skewed pool: 1,000 kinds, the largest 100 times the smallest, written block by block."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, d)).astype(np.float32)
    share = np.geomspace(100, 1, len(centres))
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    for start in range(0, n, 1 << 16):
        kinds = rng.choice(len(centres), min(1 << 16, n - start), p=share / share.sum())
        out[start : start + len(kinds)] = centres[kinds] + 0.7 * rng.standard_normal((len(kinds), d), dtype=np.float32)
    out.flush()


def memory(field: str) -> int:
    """Bytes, of /proc/self/status. (The peak that getrusage tells includes the parent's.)"""
    return next(int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))


def measure(name: str, path: Path, k: int, iters: int, threads: int) -> dict[str, Any]:
    """One of `NAMES`, in this process."""
    import faiss
    import torch

    from unlabeled.parts import kmeans_large as part
    from unlabeled.tasks.curate.hierarchical_curation import HierarchicalKMeans

    faiss.omp_set_num_threads(threads)
    torch.set_num_threads(threads)
    X = np.load(path, mmap_mode="r")
    part.kmeans_large(np.random.default_rng(0).normal(size=(3000, X.shape[1])), 9)  # what starts up does so before
    distances = 0
    search = faiss.IndexFlatL2.search

    def counted(index: Any, rows: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal distances
        distances += len(rows) * index.ntotal
        return search(index, rows, *arguments, **more)

    faiss.IndexFlatL2.search = counted  # type: ignore[method-assign, assignment]
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, started = memory("VmRSS"), time.perf_counter()
    if name == "faiss":
        model = faiss.Kmeans(X.shape[1], k, niter=iters, seed=0, max_points_per_centroid=len(X), min_points_per_centroid=1)
        model.train(X)
        inertia = float(model.index.search(X, 1)[0].sum(dtype=np.float64))
        distances += iters * len(X) * k  # the iterations are inside
    elif name == "kmeans_large":
        inertia = part.kmeans_large(X, k, iters=iters).inertia
    else:
        levels = (k, max(k // 10, 2), max(k // 50, 1))
        fitted = HierarchicalKMeans(levels=levels, resample_steps=2, iters=iters, metric="euclidean").fit(X)
        fitted.sample(len(X) // 10)
        inertia = float(fitted.distance_.sum(dtype=np.float64))
    seconds = time.perf_counter() - started
    return {
        "seconds": round(seconds, 2),
        "distances": distances,
        "seconds per 1e9 distances": round(seconds / distances * 1e9, 3),
        "peak": round((memory("VmHWM") - before) / X.nbytes, 2),
        "inertia": inertia,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--n", type=int, default=1_000_000)
    options.add_argument("--d", type=int, default=64)
    options.add_argument("--k", type=int, default=0)
    options.add_argument("--iters", type=int, default=10)
    options.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", choices=NAMES, help=argparse.SUPPRESS)
    options.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    k = chosen.k or max(chosen.n // 100, 2)
    if chosen.only:
        print(json.dumps(measure(chosen.only, chosen.path, k, chosen.iters, chosen.threads)))
        return
    found: dict[str, Any] = {"n": chosen.n, "d": chosen.d, "k": k, "iters": chosen.iters, "threads": chosen.threads}
    if not chosen.json:
        print(f"{chosen.n:,} x {chosen.d}, {k:,} clusters, {chosen.iters} iterations, {chosen.threads} threads", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.npy"
        write_data(path, chosen.n, chosen.d)
        same = [*("--k", str(k)), *("--iters", str(chosen.iters)), *("--threads", str(chosen.threads)), *("--path", str(path))]
        environment = os.environ | {"OMP_NUM_THREADS": str(chosen.threads)}
        for name in NAMES:
            command = [sys.executable, "-m", "benchmarks.curation", "--only", name, *same]
            found[name] = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
            if not chosen.json:
                print(f"{name:20} " + ", ".join(f"{key} {value:,}" for key, value in found[name].items()), flush=True)
    cost = {name: found[name]["seconds per 1e9 distances"] for name in NAMES}
    found["times faiss seconds, per distance"] = {name: round(cost[name] / cost["faiss"], 2) for name in NAMES if name != "faiss"}
    if chosen.json:
        print(json.dumps(found, indent=1))
        return
    print(f"times faiss's seconds, per distance: {found['times faiss seconds, per distance']}")


if __name__ == "__main__":
    main()
