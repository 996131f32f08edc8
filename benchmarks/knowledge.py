"""DistMult with negatives beside PyKEEN's: an epoch, a filtered evaluation and the ranks, with equal settings, each in its own process.

    python -m benchmarks.knowledge FACTS [--pykeen PYTHON] [--workers 1] [--seeds 0,1,2] [--epochs 5] [--json]

FACTS: an .npz with `entities`, `relations`, and `train`, `valid` and `test`, int [n, 3]. PYTHON: the interpreter of an environment with
pykeen and torch (they are no dependencies of this project); without it only ours. Both: logistic loss, one negative a fact, vectors of
entities at length 1, no regulariser, AdaGrad with a rate for each number; PyKEEN takes --batch facts a step, ours one. --lr and
--pykeen-lr are to be chosen with --on valid (on FB15k-237 ours is best at 0.1 of 0.05, 0.1 and 0.2 after five epochs). An
evaluation ranks the tails and the heads of 500 facts, other known facts left out. Nothing counts that is done once: compiling, reading,
and of ours sorting the known facts.
"""

import argparse
import json
import sys
import time
from pathlib import Path

DIM, RANKED = 200, 500


def measure(engine: str, facts: str, workers: int, seed: int, options: argparse.Namespace) -> dict:
    """One training and evaluation, in this process."""
    import numpy as np

    with np.load(facts) as file:
        n, relations = len(file["entities"]), len(file["relations"])
        train, valid, test = (file[part].astype(np.int64) for part in ("train", "valid", "test"))
    asked = {"valid": valid, "test": test}[options.on]
    asked = asked[np.random.default_rng(seed).permutation(len(asked))[:RANKED]]
    run = pykeen if engine == "pykeen" else ours
    (seconds, cpu), (evaluation, evaluation_cpu), mrr = run(train, [valid, test], asked, n, relations, workers, seed, options)
    return {"engine": engine, "workers": workers, "seed": seed, "epoch": round(seconds, 3), "epoch_cpu": round(cpu, 3),
            "evaluation": round(evaluation, 3), "evaluation_cpu": round(evaluation_cpu, 3), "mrr": round(mrr, 4)}  # fmt: skip


class Clock:
    """Seconds and processor seconds since."""

    def __init__(self):
        self.started, self.used = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.started, time.process_time() - self.used


def ours(train, held, asked, n, relations, workers, seed, options):
    import numpy as np

    from unlabeled.parts.ranking import Known, filtered_ranks, rank_scores
    from unlabeled.parts.triples import Negatives, against, query

    settings = {"dim": DIM, "negatives": 1, "unit": True, "strict": False, "lr": options.lr, "seed": seed}
    Negatives(**settings | {"epochs": 1, "dim": 8}).fit(train[:10], n, relations)  # compiles, if that wasn't done before
    clock = Clock()
    found = Negatives(**settings, epochs=options.epochs, workers=workers).fit(train, n, relations)
    seconds, cpu = clock.read()
    known = Known(np.concatenate([train, *held]), n)

    def scores(facts, heads):
        asked = found.entities[facts[:, 2 if heads else 0]], found.relations[facts[:, 1]]
        return against("distmult", query("distmult", *asked, heads), found.entities)

    filtered_ranks(scores, asked[:2], known)
    clock = Clock()
    ranks = filtered_ranks(scores, asked, known)
    return (seconds / options.epochs, cpu / options.epochs), clock.read(), rank_scores(ranks)["mrr"]


def pykeen(train, held, asked, n, relations, workers, seed, options):
    import torch
    from pykeen.evaluation import RankBasedEvaluator
    from pykeen.losses import BCEWithLogitsLoss
    from pykeen.models import DistMult
    from pykeen.training import SLCWATrainingLoop
    from pykeen.triples import CoreTriplesFactory

    torch.set_num_threads(workers)
    known = CoreTriplesFactory(torch.from_numpy(train), num_entities=n, num_relations=relations)
    model = DistMult(triples_factory=known, embedding_dim=DIM, loss=BCEWithLogitsLoss(), regularizer=None, random_seed=seed)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=options.pykeen_lr)
    loop = SLCWATrainingLoop(model=model, triples_factory=known, optimizer=optimizer, negative_sampler_kwargs={"num_negs_per_pos": 1})
    clock = Clock()
    loop.train(triples_factory=known, num_epochs=options.epochs, batch_size=options.batch, use_tqdm=False)
    seconds, cpu = clock.read()
    filters = [torch.from_numpy(part) for part in (train, *held)]
    evaluator = RankBasedEvaluator(filtered=True)
    tell = {"additional_filter_triples": filters, "use_tqdm": False, "batch_size": options.evaluation_batch}
    evaluator.evaluate(model, mapped_triples=torch.from_numpy(asked[:2]), **tell)
    clock = Clock()
    result = RankBasedEvaluator(filtered=True).evaluate(model, mapped_triples=torch.from_numpy(asked), **tell)
    evaluation = clock.read()
    mrr = float(result.get_metric("both.realistic.inverse_harmonic_mean_rank"))
    return (seconds / options.epochs, cpu / options.epochs), evaluation, mrr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facts")
    parser.add_argument("--pykeen", metavar="PYTHON")
    parser.add_argument("--workers", default="1")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--evaluation-batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--pykeen-lr", type=float, default=0.1)
    parser.add_argument("--on", default="test", choices=("valid", "test"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, workers, seed = options.one.split("|")
        print(json.dumps(measure(engine, options.facts, int(workers), int(seed), options)))
        return
    from benchmarks.peers import in_turn, mean  # here: the peer's interpreter doesn't know this package

    engines = {"unlabeled": sys.executable} | ({"pykeen": options.pykeen} if options.pykeen else {})
    names = ("epochs", "batch", "evaluation_batch", "lr", "pykeen_lr", "on")
    said = [part for name in names for part in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
    command = [str(Path(__file__).resolve()), options.facts, *said]
    rows, ratios = list(in_turn(command, engines, options.workers, options.seeds, options.json)), {}
    for workers in sorted({row["workers"] for row in rows}) if "pykeen" in engines else ():
        keys = ("epoch", "epoch_cpu", "evaluation", "evaluation_cpu", "mrr")
        mine, theirs = ({key: mean(rows, engine, workers, key) for key in keys} for engine in engines)
        ratios[workers] = {f"{key.replace('_', ', ')} times as fast": round(theirs[key] / mine[key], 1) for key in keys[:4]}
        ratios[workers] |= {"mrr": round(mine["mrr"], 4), "PyKEEN's mrr": round(theirs["mrr"], 4)}
    if options.json:
        print(json.dumps({"settings": {name: getattr(options, name) for name in names}, "rows": rows, "ratios": ratios}, indent=1))
    for workers, ratio in {} if options.json else ratios.items():
        print(f"{workers} workers: " + ", ".join(f"{key} {value}" for key, value in ratio.items()))


if __name__ == "__main__":
    main()
