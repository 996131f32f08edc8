"""Walks and skip-gram beside PecanPy's walks and gensim's training, and how DeepWalk and LINE grow with a graph; a process each.

    python -m benchmarks.graphs [GRAPH] [--peer PYTHON] [--workers 1] [--seeds 0] [--pq 1,1] [--scale 10000,100000,1000000] [--json]

GRAPH: an .npz with `edges` [2, m], `num_nodes`, and which node has which label, `group_node` and `group_label`; without it only the scale.
PYTHON: the interpreter of an environment with PecanPy 2.0.9 and gensim (neither is a dependency of this project); without it only ours.
10 walks of 80 nodes from each node, 128 numbers, window 10, 5 negatives, one reading, no node left out by its frequency; the clock runs
from the graph in memory to the vectors, walks and training, and what is compiled when first used was compiled before. F1: half of the
labelled nodes to learn from, mean of 3 draws, the same probe for both (`evaluate.multilabel`). Scale: random graphs of so many edges with a
mean degree of 20; DeepWalk with a walk of 40 nodes from each, window 5; LINE of second order with 10 samples an edge, 128 numbers.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WALKS, LENGTH, DIM, WINDOW, NEGATIVES = 10, 80, 128, 10, 5


def measure(engine: str, graph: str, workers: int, seed: int, p: float, q: float, keep: str) -> dict:
    """One training, in this process; the vectors [nodes, dim] go to a file in `keep`."""
    import numpy as np

    with np.load(graph) as held:
        pairs, n = held["edges"].T, int(held["num_nodes"])
    if engine == "pecanpy":
        walks_s, wall, cpu, vectors = by_pecanpy(pairs, n, workers, seed, p, q, keep)
    else:
        from unlabeled.data.graphs import Graph
        from unlabeled.methods.graphs.node2vec import Node2Vec
        from unlabeled.parts.walks import random_walks

        Node2Vec(dim=8, walks=1, length=5).fit(np.array([[0, 1], [1, 2]]))  # compiles, if that wasn't done before
        taken = Graph.of(pairs, n)
        started = time.perf_counter()
        random_walks(taken, WALKS, LENGTH, p, q, seed, workers)
        walks_s = time.perf_counter() - started
        settings = {
            "dim": DIM,
            "walks": WALKS,
            "length": LENGTH,
            "window": WINDOW,
            "negatives": NEGATIVES,
            "workers": workers,
            "seed": seed,
        }
        started, used = time.perf_counter(), time.process_time()
        vectors = Node2Vec(p=p, q=q, **settings).fit(taken).vectors_
        wall, cpu = time.perf_counter() - started, time.process_time() - used
    file = Path(keep) / f"{engine}.npy"
    np.save(file, vectors)
    return {"engine": engine, "workers": workers, "seed": seed, "pq": f"{p:g},{q:g}", "walks": round(walks_s, 2),
            "seconds": round(wall, 2), "cpu": round(cpu, 2), "file": str(file)}  # fmt: skip


def by_pecanpy(pairs, n: int, workers: int, seed: int, p: float, q: float, keep: str) -> tuple:
    import numpy as np
    import scipy.sparse as sp
    from gensim.models import Word2Vec
    from pecanpy import pecanpy

    kind = pecanpy.PreCompFirstOrder if p == q == 1 else pecanpy.SparseOTF

    def walked(matrix, walks: int, length: int) -> list:
        file = Path(keep) / "graph.csr.npz"
        np.savez(file, IDs=np.arange(matrix.shape[0]).astype(str), data=matrix.data, indptr=matrix.indptr, indices=matrix.indices)
        graph = kind(p=p, q=q, workers=workers, random_state=seed)
        graph.read_npz(str(file), weighted=False)
        started = time.perf_counter(), time.process_time()
        graph.preprocess_transition_probs()
        return started, graph.simulate_walks(num_walks=walks, walk_length=length)

    def trained(walks: list) -> Word2Vec:
        return Word2Vec(walks, vector_size=DIM, window=WINDOW, min_count=0, negative=NEGATIVES, sample=0, sg=1, workers=workers,
                        epochs=1, seed=seed + 1)  # fmt: skip

    ones = np.ones(2 * len(pairs), np.float32)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    matrix = sp.csr_matrix((ones, (both[:, 0], both[:, 1])), shape=(n, n))
    matrix.sort_indices()
    trained(walked(matrix[:50, :50], 1, 5)[1])  # Numba compiles
    (started, used), walks = walked(matrix, WALKS, LENGTH)
    walks_s = time.perf_counter() - started
    model = trained(walks)
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    vectors = np.zeros((n, DIM), np.float32)
    for name, row in model.wv.key_to_index.items():
        vectors[int(name)] = model.wv.vectors[row]
    return walks_s, wall, cpu, vectors


def scores(file: str, graph: str) -> dict:
    import numpy as np

    from unlabeled.evaluate.multilabel import top_k_f1

    with np.load(graph) as held:
        Y = np.zeros((int(held["num_nodes"]), int(held["group_label"].max()) + 1), bool)
        Y[held["group_node"], held["group_label"]] = True
    rows = np.flatnonzero(Y.any(axis=1))
    found = [top_k_f1(np.load(file), Y, np.random.default_rng(draw).permutation(rows)[: len(rows) // 2], draw) for draw in range(3)]
    return {f"{key}_f1": round(float(np.mean([one[key] for one in found])), 4) for key in ("micro", "macro")}


def grow(system: str, edges: int) -> dict:
    """Seconds and peak memory on a random graph, in this process."""
    import numpy as np

    from unlabeled.data.graphs import Graph
    from unlabeled.methods.graphs.deepwalk import DeepWalk
    from unlabeled.methods.graphs.line import LINE

    models = {"DeepWalk": DeepWalk(dim=DIM, walks=1, length=40, window=5), "LINE": LINE(dim=DIM, order="second", samples=10 * edges)}
    type(models[system])(dim=8, **{"walks": 1} if system == "DeepWalk" else {"samples": 100}).fit(
        np.array([[0, 1], [1, 2]])
    )  # compiles, if that wasn't done before
    n = edges // 10
    graph = Graph.of(np.random.default_rng(0).integers(0, n, (edges, 2)), n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    started, used = time.perf_counter(), time.process_time()
    models[system].fit(graph)
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"system": system, "nodes": n, "edges": graph.n_edges, "seconds": round(wall, 2), "cpu": round(cpu, 2), "MB": peak,
            "MB before": before}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", nargs="?")
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--workers", default="1")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--pq", default="1,1", help="several: 1,1;.25,.25")
    parser.add_argument("--scale", default="10000,100000,1000000", help="'' leaves it out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--grow", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, workers, seed = options.one.split("|")
        p, q = map(float, options.pq.split(","))
        print(json.dumps(measure(engine, options.graph, int(workers), int(seed), p, q, options.keep)))
        return
    if options.grow:
        system, edges = options.grow.split("|")
        print(json.dumps(grow(system, int(edges))))
        return
    from benchmarks.peers import in_turn, mean  # here: the peer's interpreter doesn't know this package

    engines = {"unlabeled": sys.executable} | ({"pecanpy": options.peer} if options.peer else {})
    rows, ratios, scale = [], {}, []
    here = str(Path(__file__).resolve())
    with tempfile.TemporaryDirectory() as keep:
        for pq in options.pq.split(";") if options.graph else ():
            found = []
            for row in in_turn([here, options.graph, "--pq", pq, "--keep", keep], engines, options.workers, options.seeds, True):
                found.append({key: value for key, value in row.items() if key != "file"} | scores(row["file"], options.graph))
                if not options.json:
                    print("  ".join(f"{key} {value}" for key, value in found[-1].items()), flush=True)
            rows += found
            for workers in sorted({row["workers"] for row in found}) if options.peer else ():
                times = {key: mean(found, "pecanpy", workers, key) / mean(found, "unlabeled", workers, key) for key in ("seconds", "cpu")}
                gained = mean(found, "unlabeled", workers, "macro_f1") - mean(found, "pecanpy", workers, "macro_f1")
                ratios[f"p,q={pq}, {workers} workers"] = {
                    "times as fast": round(times["seconds"], 2),
                    "times as fast by processor time": round(times["cpu"], 2),
                    "macro-F1, ours less theirs": round(gained, 4),
                }
        for edges in filter(None, options.scale.split(",")):
            for system in ("DeepWalk", "LINE"):
                said = subprocess.run([sys.executable, here, "--grow", f"{system}|{edges}"], capture_output=True, text=True, check=False)
                if said.returncode:
                    sys.exit(f"{system} failed: {said.stderr.strip()[-400:]}")
                scale.append(json.loads(said.stdout.splitlines()[-1]))
                if not options.json:
                    print("  ".join(f"{key} {value}" for key, value in scale[-1].items()), flush=True)
    if options.json:
        print(json.dumps({"rows": rows, "ratios": ratios, "scale": scale}, indent=1))
    for setting, ratio in {} if options.json else ratios.items():
        print(f"{setting}: " + ", ".join(f"{key} {value}" for key, value in ratio.items()))


if __name__ == "__main__":
    main()
