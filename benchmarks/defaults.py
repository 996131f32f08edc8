"""Which method should a user get? Each method on each kind of data, same items, same probe, three seeds, equal time.

    python -m benchmarks.defaults [--sets cifar10,fashion_mnist,...] [--seeds 0,1,2] [--seconds 60] [--jobs 4]

Needs the sets in UNLABELED_DATA. Results are added to docs/defaults.json as they come, and those that are there are not measured
again; docs/defaults.md is written from it. Every trained method on pictures gets the same processor time on one thread (--seconds):
a few steps are timed first, and the number of examples follows.
k-NN: k = 20, cosine on mean-subtracted vectors, majority vote, reference items without the held-out ones.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import gettempdir

import numpy as np

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROWS, NOTES = DOCS / "defaults.json", DOCS / "defaults-notes.md"
IMAGES = {"cifar10": 5000, "fashion_mnist": 5000, "omniglot": 2000, "emoji": 900}
TRAINED = (
    *("simsiam", "byol", "dino", "barlow-twins", "vicreg", "lejepa", "simclr", "moco-v2", "decoupled-uniformity"),
    *("instance-discrimination", "swav", "jigclu", "rotnet"),
)
TEXTS = {"stackoverflow_titles": 5000, "ag_news_test": 3000}
TABLES = {"tabular_features/isolet": 1000, "tabular_features/basehock": 1400, "digits": 1200}
HELD_OUT = {"cifar10": 2000, "fashion_mnist": 2000, "omniglot": 700, "emoji": 350}  # of the others 500


def arms_for(kind: str, examples: int, seed: int, names: tuple[str, ...]) -> dict:
    from unlabeled.encoders import has_minilm
    from unlabeled.methods import method

    def make(name: str, **options):
        return lambda: method(name)(seed=seed, **options)

    if kind == "image":
        return {"random encoder": make("none", encoder="conv4", whiten=0.75)} | {name: make(name) for name in names}
    if kind == "text":
        found = {"tfidf-svd": make("tfidf-svd"), "ngrams, untrained": make("none", encoder="ngrams")}
        found |= {f"{name} on ngrams": make(name, encoder="ngrams", examples=examples // 2) for name in ("simclr", "vicreg")}
        return found | ({"minilm, as it is": make("none", encoder="minilm")} if has_minilm() else {})
    return {"as it is": make("none", encoder="identity")} | {name: make(name, examples=examples) for name in ("simclr", "vicreg")}


def in_time(model, items, seconds: float):
    """The model with as many examples as it can be shown in that much processor time."""
    from sklearn.base import clone

    per_epoch = len(items) // min(model.batch_size, len(items))
    short, more = 1, 1 + -(-10 // per_epoch)
    spent = {}
    for epochs in (short, short, more):  # the first time also imports what training needs
        probe = clone(model).set_params(epochs=epochs)
        probe._finish = lambda items: None  # only the training is timed
        started = time.process_time()
        probe.fit(items)
        spent[epochs] = time.process_time() - started
    epoch = max((spent[more] - spent[short]) / (more - short), spent[more] / more / 3)
    return clone(model).set_params(epochs=max(1, round(seconds / epoch)))


def measure(name: str, seed: int, examples: int, seconds: float, names: tuple[str, ...]) -> None:
    from unlabeled import judge
    from unlabeled.data import Items
    from unlabeled.datasets import load

    total = (IMAGES | TEXTS | TABLES)[name]
    items = load(name)
    kind = "vector" if name in TABLES else items.kind
    labels = np.asarray(items.columns["label"]).astype(str)
    order = np.random.default_rng(1000 + seed).permutation(len(items))[: total + HELD_OUT.get(name, 500)]
    if name == "digits":
        items = Items("vector", items.take(order).reshape(len(order), -1).astype(np.float32))
        labels, order = labels[order], np.arange(len(order))
    train, test = order[:total], order[total:]
    known, held = items.subset(train), items.subset(test)
    budget = seconds if kind == "image" else examples
    there = {row["arm"] for row in stored() if (row["data"], row["seed"], row.get("budget")) == (name, seed, budget)}
    baselines = kind == "text" or {"raw", "PCA"} <= there  # once, beside the first arm
    for arm, make in arms_for(kind, examples, seed, names).items():
        if arm in there and baselines:
            continue
        model = make()
        if kind == "image" and arm != "random encoder":
            model = in_time(model, known, seconds)
        started = time.process_time()
        model.fit(known)
        spent = time.process_time() - started
        chosen = [(arm, model.transform, spent)]
        if not baselines:
            chosen += [(a.name, a.embed, 0.0) for a in judge.arms(model, known, seed=seed) if a.name in ("raw", "PCA")]
            baselines = True
        for which, embed, cost in chosen:
            row = score(name, which, seed, embed, cost, known, held, labels[train], labels[test]) | {"budget": budget}
            keep(row)
            print(json.dumps(row), flush=True)


def score(data, arm, seed, embed, seconds, known, held, y_known, y_held) -> dict:
    from unlabeled import evaluate, judge
    from unlabeled.data import Items

    reference, queries = embed(known), embed(held)
    sample = known.subset(judge.pick(len(known), judge.PARTS, seed))
    turned = {}
    if known.kind == "image":
        pictures = known.take(judge.pick(len(known), 1000, seed))
        views = [embed(Items("image", np.ascontiguousarray(np.rot90(pictures, turn, axes=(1, 2))))) for turn in range(4)]
        turned = {"rotation": float(evaluate.rotation_probe(views, seed=seed))}
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
    } | turned


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
    for data, budget in _parts(rows):
        own = [row for row in rows if (row["data"], row.get("budget")) == (data, budget)]
        seeds = sorted({row["seed"] for row in own})
        total = (IMAGES | TEXTS | TABLES)[data]
        lines += [
            f"## {data}: {total:,} items, {HELD_OUT.get(data, 500):,} held out; mean ± standard deviation over seeds {_listed(seeds)}",
            "",
            *([f"Each method trained for {budget:g} s of processor time on one thread.", ""] if data in IMAGES else []),
        ]
        lines += ["| method | seconds to fit | k-NN | linear probe | half retrieval | rotation | RankMe | dimensions |", "|" + "---|" * 8]
        names = dict.fromkeys(row["arm"] for row in own)
        for arm in sorted(names, key=lambda arm: -float(np.mean([row["knn"] for row in own if row["arm"] == arm]))):
            mine = [row for row in own if row["arm"] == arm]
            cells = [_cell([row[measure_] for row in mine]) for measure_ in ("knn", "probe", "half_retrieval")]
            seconds, rank = np.mean([row["seconds"] for row in mine]), np.mean([row["rankme"] for row in mine])
            cells.append(_cell([row["rotation"] for row in mine]) if "rotation" in mine[0] else "")
            lines.append(f"| {arm} | {seconds:.0f} | {' | '.join(cells)} | {rank:.0f} | {mine[0]['dim']} |")
        lines.append("")
        for seed in seeds:
            part = [row for row in own if row["seed"] == seed]
            among = {"all arms": part}
            if data in IMAGES:
                among = {"pictures, all arms": part, "pictures, trained methods": [row for row in part if row["arm"] in TRAINED]}
            for which, some in among.items():
                for measure_ in ("half_retrieval", "half_neighbours", "rotation", "rankme", "uniformity"):
                    if len(some) < 4 or measure_ not in some[0]:
                        continue
                    sign = -1 if measure_ == "uniformity" else 1
                    rho = spearmanr([row["probe"] for row in some], [sign * row[measure_] for row in some]).statistic
                    correlations.setdefault((which, measure_), []).append(float(rho))
    lines += [
        "## Do label-free measures order the methods as the linear probe with labels does?",
        "",
        "Spearman's rank correlation over the arms of one set and seed; `all arms` are the sets of texts and numbers.",
        "",
    ]
    lines += ["| arms | measure | mean | lowest | sets x seeds |", "|---|---|---|---|---|"]
    for (which, name), values in correlations.items():
        lines.append(f"| {which} | {name} | {np.nanmean(values):.2f} | {np.nanmin(values):.2f} | {len(values)} |")
    return "\n".join(lines) + "\n"


def _parts(rows: list[dict]) -> list[tuple[str, float]]:
    """Data sets in their order, and for each the budgets that it was measured with."""
    order = list(IMAGES | TEXTS | TABLES)
    return sorted({(row["data"], row.get("budget")) for row in rows}, key=lambda part: (order.index(part[0]), part[1] or 0))


def _listed(values) -> str:
    return ", ".join(map(str, values))


def _cell(values: list) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sets", default=",".join([*IMAGES, *TEXTS, *TABLES]))
    options.add_argument("--seeds", default="0,1,2")
    options.add_argument("--examples", type=int, default=20_000, help="shown to each trained method on texts and numbers")
    options.add_argument("--seconds", type=float, default=60, help="of processor time that each method on pictures trains")
    options.add_argument("--methods", default=",".join(TRAINED), help="on pictures")
    options.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    chosen = options.parse_args()
    cells = [(name, seed) for seed in map(int, chosen.seeds.split(",")) for name in chosen.sets.split(",")]
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        methods = tuple(chosen.methods.split(","))
        for done in as_completed([pool.submit(measure, n, s, chosen.examples, chosen.seconds, methods) for n, s in cells]):
            done.result()


def stored() -> list[dict]:
    return json.loads(ROWS.read_text()) if ROWS.exists() else []


def keep(row: dict) -> None:
    """Put the row in place of the old one of its arm, and write the page anew."""
    with open(Path(gettempdir()) / "unlabeled-defaults.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several of these may run
        rows = [old for old in stored() if any(old.get(key) != row[key] for key in ("data", "seed", "arm", "budget"))] + [row]
        ROWS.write_text(json.dumps(rows, indent=0))
        (DOCS / "defaults.md").write_text(page(rows) + (NOTES.read_text() if NOTES.exists() else ""))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
