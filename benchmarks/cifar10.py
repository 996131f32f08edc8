"""What `unlabeled learn` reaches on CIFAR-10 without labels, on two threads: k-NN on 2,000 test pictures, three seeds.

    python -m benchmarks.cifar10 [--sizes 5000,15000] [--seeds 0,1,2]

Pictures are the first of the training set, written as PNG files and learned by the command itself with nothing but its
defaults; seconds are of the whole command. k-NN: k = 20, cosine on mean-subtracted vectors, majority vote; the learned
pictures are the reference. Needs cifar10 in UNLABELED_DATA. Results are added to docs/cifar10.json.
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

import numpy as np

RESULT = Path(__file__).resolve().parents[1] / "docs" / "cifar10.json"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sizes", default="5000,15000")
    options.add_argument("--seeds", default="0,1,2")
    chosen = options.parse_args()
    import unlabeled as ul
    from unlabeled import evaluate
    from unlabeled.datasets import load

    train, test = load("cifar10", split="train"), load("cifar10", split="test")
    test = test.subset(np.arange(2000))
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
    with tempfile.TemporaryDirectory() as scratch:
        for size in map(int, chosen.sizes.split(",")):
            known = train.subset(np.arange(size))
            folder = Path(scratch) / str(size)
            folder.mkdir()
            write(known, folder)
            for seed in map(int, chosen.seeds.split(",")):
                out = Path(scratch) / f"run-{size}-{seed}"
                command = [sys.executable, "-m", "unlabeled.cli", "learn", str(folder), "--out", str(out), "--seed", str(seed)]
                started = time.monotonic()
                subprocess.run(
                    command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "2"}
                )
                seconds = time.monotonic() - started
                run = ul.open(out)
                y, y_test = (np.asarray(items.columns["label"]) for items in (known, test))
                row = {
                    "pictures": size,
                    "seed": seed,
                    "seconds": round(seconds, 1),
                    "train_seconds": round(run.config["train_seconds"], 1),
                    "learned": evaluate.knn_accuracy(np.asarray(run.vectors), y, run.embed(test), y_test),
                    "raw": evaluate.knn_accuracy(flat(known), y, flat(test), y_test),
                    "untrained": untrained(known, test, y, y_test, seed),
                    "verdict": run.report()["quality"]["verdict"],
                }
                print(json.dumps(row), flush=True)
                rows = [r for r in rows if (r["pictures"], r["seed"]) != (size, seed)] + [row]
                RESULT.write_text(json.dumps(rows, indent=1) + "\n")


def untrained(known, test, y, y_test, seed: int) -> float:
    from unlabeled import SimCLR, evaluate

    net = SimCLR(seed=seed).untrained(known)
    return evaluate.knn_accuracy(net.transform(known), y, net.transform(test), y_test)


def flat(items) -> np.ndarray:
    return items.take(np.arange(len(items))).reshape(len(items), -1).astype(np.float32)


def write(items, folder: Path) -> None:
    from PIL import Image

    for row in range(len(items)):
        Image.fromarray(items.take([row])[0]).save(folder / f"{row:05}.png")


if __name__ == "__main__":
    main()
