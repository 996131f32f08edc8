"""Which method should a user get? Each method on each kind of data, same items, same probe, three seeds.

    python -m benchmarks.defaults [--sets cifar10,fashion_mnist,...] [--seeds 0,1,2] [--examples 80000]

Needs the sets in UNLABELED_DATA. Results are added to docs/defaults.json as they come; docs/defaults.md is written from it.
k-NN: k = 20, cosine on mean-subtracted vectors, majority vote, reference items without the held-out ones.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parents[1] / "docs"
IMAGES = {"cifar10": 5000, "fashion_mnist": 5000}
TEXTS = {"stackoverflow_titles": 5000, "ag_news_test": 3000}
TABLES = {"tabular_features/isolet": 1000, "tabular_features/basehock": 1400, "digits": 1200}
HELD_OUT = 500


def arms_for(kind: str, examples: int, seed: int) -> dict:
    from unlabeled.encoders import has_minilm
    from unlabeled.methods import method

    def make(name: str, **options):
        return lambda: method(name)(seed=seed, **options)

    trained = ("simclr", "simsiam", "vicreg", "lejepa")
    if kind == "image":
        return {"random encoder": make("none", encoder="conv4", whiten=0.75)} | {name: make(name, examples=examples) for name in trained}
    if kind == "text":
        found = {"tfidf-svd": make("tfidf-svd"), "ngrams, untrained": make("none", encoder="ngrams")}
        found |= {f"{name} on ngrams": make(name, encoder="ngrams", examples=examples // 2) for name in ("simclr", "vicreg")}
        return found | ({"minilm, as it is": make("none", encoder="minilm")} if has_minilm() else {})
    return {"as it is": make("none", encoder="identity")} | {name: make(name, examples=examples) for name in ("simclr", "vicreg")}


def measure(name: str, seed: int, examples: int) -> list[dict]:
    from unlabeled import judge
    from unlabeled.data import Items
    from unlabeled.datasets import load

    total = (IMAGES | TEXTS | TABLES)[name]
    items = load(name)
    kind = "vector" if name in TABLES else items.kind
    labels = np.asarray(items.columns["label"]).astype(str)
    order = np.random.default_rng(1000 + seed).permutation(len(items))[: total + HELD_OUT]
    if name == "digits":
        items = Items("vector", items.take(order).reshape(len(order), -1).astype(np.float32))
        labels, order = labels[order], np.arange(len(order))
    train, test = order[:-HELD_OUT], order[-HELD_OUT:]
    known, held = items.subset(train), items.subset(test)
    rows = []
    raw = None
    for arm, make in arms_for(kind, examples, seed).items():
        started = time.monotonic()
        model = make().fit(known)
        seconds = time.monotonic() - started
        if raw is None and kind != "text":
            raw = [a for a in judge.arms(model, known, seed=seed) if a.name in ("raw", "PCA")]
            for one in raw:
                rows.append(score(name, one.name, seed, one.embed, 0.0, known, held, labels[train], labels[test]))
        rows.append(score(name, arm, seed, model.transform, seconds, known, held, labels[train], labels[test]))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def score(data, arm, seed, embed, seconds, known, held, y_known, y_held) -> dict:
    from unlabeled import evaluate, judge

    reference, queries = embed(known), embed(held)
    sample = known.subset(judge.pick(len(known), judge.PARTS, seed))
    z = reference[judge.pick(len(known), judge.SAMPLE, seed)]
    a, b = (embed(half) for half in judge.halves(sample, seed))
    return {
        "data": data,
        "arm": arm,
        "seed": seed,
        "seconds": round(seconds, 1),
        "knn": float(evaluate.knn_accuracy(reference, y_known, queries, y_held)),
        "probe": float(evaluate.linear_probe(reference, y_known, queries, y_held, seed=seed)),
        "half_retrieval": float(evaluate.half_retrieval(a, b)),
        "half_neighbours": float(evaluate.neighbour_overlap(a, b, k=10)),
        "rankme": float(evaluate.rankme(z)),
        "uniformity": float(evaluate.uniformity(z)),
        "dim": int(z.shape[1]),
    }


def page(rows: list[dict]) -> str:
    """docs/defaults.md: a table a set, and how well each label-free measure orders the arms as k-NN does."""
    from scipy.stats import spearmanr

    lines = [
        "# Defaults, and the tables they were chosen from",
        "",
        "Written by `python -m benchmarks.defaults`; see there for the protocol.",
        "",
    ]
    correlations: dict[str, list[float]] = {}
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        seeds = sorted({row["seed"] for row in own})
        total = (IMAGES | TEXTS | TABLES)[data]
        lines += [f"## {data}: {total:,} items, {HELD_OUT:,} held out, seeds {', '.join(map(str, seeds))} (mean ± standard deviation)", ""]
        lines += ["| method | seconds to fit | k-NN | linear probe | half retrieval | RankMe | dimensions |", "|" + "---|" * 7]
        for arm in dict.fromkeys(row["arm"] for row in own):
            mine = [row for row in own if row["arm"] == arm]
            cells = [_cell([row[measure_] for row in mine]) for measure_ in ("knn", "probe", "half_retrieval")]
            seconds, rank = np.mean([row["seconds"] for row in mine]), np.mean([row["rankme"] for row in mine])
            lines.append(f"| {arm} | {seconds:.0f} | {' | '.join(cells)} | {rank:.0f} | {mine[0]['dim']} |")
        lines.append("")
        for seed in seeds:
            part = [row for row in own if row["seed"] == seed]
            for measure_ in ("half_retrieval", "half_neighbours", "rankme", "uniformity"):
                sign = -1 if measure_ == "uniformity" else 1
                rho = spearmanr([row["knn"] for row in part], [sign * row[measure_] for row in part]).statistic
                correlations.setdefault(measure_, []).append(float(rho))
    lines += [
        "## Do label-free measures order the methods as k-NN with labels does?",
        "",
        "Spearman's rank correlation over the arms of one set and seed.",
        "",
    ]
    lines += ["| measure | mean | lowest | sets x seeds |", "|---|---|---|---|"]
    for name, values in correlations.items():
        lines.append(f"| {name} | {np.nanmean(values):.2f} | {np.nanmin(values):.2f} | {len(values)} |")
    return "\n".join(lines) + "\n"


def _cell(values: list) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sets", default=",".join([*IMAGES, *TEXTS, *TABLES]))
    options.add_argument("--seeds", default="0,1,2")
    options.add_argument("--examples", type=int, default=20_000, help="shown to each trained method")
    chosen = options.parse_args()
    path = DOCS / "defaults.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    for seed in map(int, chosen.seeds.split(",")):
        for name in chosen.sets.split(","):
            rows = measure(name, seed, chosen.examples)
            kept = [row for row in kept if (row["data"], row["seed"]) != (name, seed)] + rows
            path.write_text(json.dumps(kept, indent=0))
            (DOCS / "defaults.md").write_text(page(kept) + (NOTES.read_text() if NOTES.exists() else ""))


NOTES = DOCS / "defaults-notes.md"

if __name__ == "__main__":
    main()
