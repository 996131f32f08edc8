"""Poincaré embeddings beside gensim's: relations a second and how well a hierarchy comes back, equal settings, each in its own process.

    python -m benchmarks.poincare PAIRS [--gensim PYTHON] [--dims 2,10] [--seeds 0,1,2] [--epochs 50] [--lr 0.1] [--json]

PAIRS: a Parquet file with the columns `child` and `ancestor`, whole numbers: a transitive closure. PYTHON: the interpreter of an
environment with gensim and pyarrow (gensim is no dependency of this project); without it only ours. gensim runs twice, as it comes and
without its regularisation, which the paper doesn't have. A relation counts once an epoch, burn-in included; the pairs are read before the
clock starts. Both have one thread, 10 negatives, 10 epochs of burn-in at a tenth of the rate. MAP and mean rank: each node's ancestors
among all nodes that aren't, by distance (reconstruction), by one and the same code.
"""

import argparse
import json
import sys
import time
from pathlib import Path

NEGATIVES, BURN_IN = 10, 10


def measure(engine: str, pairs: str, dim: int, seed: int, epochs: int, lr: float) -> dict:
    """One training, in this process; the vectors of nodes 0 to n - 1 in the order of their numbers are left in a file."""
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(pairs, columns=["child", "ancestor"]).to_pydict()
    edges = np.stack([table["child"], table["ancestor"]], axis=1)
    n = len(np.unique(edges))
    rows = np.searchsorted(np.unique(edges), edges)
    if engine.startswith("gensim"):
        from gensim.models.poincare import PoincareModel

        model = PoincareModel(
            [(int(a), int(b)) for a, b in rows], size=dim, alpha=lr, burn_in_alpha=lr / 10, negative=NEGATIVES, burn_in=BURN_IN,
            seed=seed, regularization_coeff=1.0 if engine == "gensim" else 0.0,
        )  # fmt: skip
        started, used = time.perf_counter(), time.process_time()
        model.train(epochs=epochs)
        wall, cpu = time.perf_counter() - started, time.process_time() - used
        vectors = np.stack([model.kv.get_vector(node) for node in range(n)])
    else:
        from unlabeled.data.graphs import Graph
        from unlabeled.parts.hyperbolic import Hyperbolic

        graph = Graph.of(rows, n, directed=True)
        settings = {"dim": dim, "lr": lr, "negatives": NEGATIVES, "seed": seed}
        Hyperbolic(dim=2, epochs=1, burn_in=0).fit(Graph.of([[0, 1]], 3, directed=True))  # compiles, if that wasn't done before
        started, used = time.perf_counter(), time.process_time()
        vectors = Hyperbolic(epochs=epochs, burn_in=BURN_IN, **settings).fit(graph).vectors
        wall, cpu = time.perf_counter() - started, time.process_time() - used
    relations = len(rows) * (epochs + BURN_IN)
    found = {
        "engine": engine,
        "dim": dim,
        "seed": seed,
        "seconds": round(wall, 2),
        "cpu": round(cpu, 2),
        "a_second": round(relations / wall),
    }
    return found | dict(zip(("map", "mean_rank"), scores(vectors, rows), strict=True))


def scores(vectors, rows) -> tuple[float, float]:
    """MAP and mean rank, in NumPy alone, since the peer's interpreter doesn't know this package."""
    import numpy as np

    if not np.isfinite(vectors).all() or (np.linalg.norm(vectors, axis=1) >= 1).any():
        raise SystemExit("vectors outside the ball: nothing to rank")
    room, precision, ranks = 1 - (vectors**2).sum(axis=1), [], []
    order = np.argsort(rows[:, 0], kind="stable")
    nodes, starts = np.unique(rows[order, 0], return_index=True)
    for node, above in zip(nodes, np.split(rows[order, 1], starts[1:]), strict=True):
        far = 2 * ((vectors - vectors[node]) ** 2).sum(axis=1) / (room * room[node])  # grows with the distance
        others = np.ones(len(vectors), bool)
        others[above] = others[node] = False
        before = np.sort([(far[others] < far[one]).sum() + (far[others] == far[one]).sum() / 2 for one in above])
        k = np.arange(1, len(above) + 1)
        precision.append((k / (k + before)).mean())
        ranks.extend(1 + before)
    return round(float(np.mean(precision)), 4), round(float(np.mean(ranks)), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs")
    parser.add_argument("--gensim", metavar="PYTHON")
    parser.add_argument("--dims", default="2,10")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--lr", type=float, default=0.1)  # gensim's own
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, dim, seed = options.one.split("|")
        print(json.dumps(measure(engine, options.pairs, int(dim), int(seed), options.epochs, options.lr)))
        return
    from benchmarks.peers import in_turn  # here: the peer's interpreter doesn't know this package

    peers = ("gensim", "gensim, not regularised") if options.gensim else ()
    engines = {"unlabeled": sys.executable} | dict.fromkeys(peers, options.gensim)
    command = [str(Path(__file__).resolve()), options.pairs, "--epochs", str(options.epochs), "--lr", str(options.lr)]
    rows, ratios = list(in_turn(command, engines, options.dims, options.seeds, options.json)), {}
    for dim in sorted({row["dim"] for row in rows}):
        mean = {
            (engine, key): sum(row[key] for row in rows if (row["engine"], row["dim"]) == (engine, dim)) / len(options.seeds.split(","))
            for engine in engines
            for key in ("seconds", "cpu", "a_second", "map", "mean_rank")
        }
        ratios[dim] = {f"{key} of {engine}": round(mean[engine, key], 4) for engine in engines for key in ("a_second", "map", "mean_rank")}
        for engine in peers:
            ratios[dim] |= {
                f"times as fast as {engine}": round(mean[engine, "seconds"] / mean["unlabeled", "seconds"], 1),
                f"times as fast as {engine} by processor time": round(mean[engine, "cpu"] / mean["unlabeled", "cpu"], 1),
            }
    if options.json:
        settings = {"negatives": NEGATIVES, "burn_in": BURN_IN, "epochs": options.epochs, "lr": options.lr}
        print(json.dumps({"settings": settings, "rows": rows, "ratios": ratios}, indent=1))
    for dim, ratio in {} if options.json else ratios.items():
        print(f"{dim} dimensions: " + ", ".join(f"{key} {value}" for key, value in ratio.items()))


if __name__ == "__main__":
    main()
