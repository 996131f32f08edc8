"""What the benchmarks beside a peer share: each engine in a process of its own, in turn, and means over the seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator


def in_turn(command: list[str], engines: dict[str, str], workers: str, seeds: str, quiet: bool) -> Iterator[dict]:
    """What each engine says of itself, for all numbers of workers and all seeds ("1,2"): in turn, so that a busy machine is busy for all.

    engines: {name: interpreter}. Called is INTERPRETER *command --one NAME|WORKERS|SEED, whose last line is the row as JSON.
    """
    for one in workers.split(","):
        for seed in seeds.split(","):
            for engine, python in engines.items():
                said = subprocess.run([python, *command, "--one", f"{engine}|{one}|{seed}"], capture_output=True, text=True, check=False)
                if said.returncode:
                    sys.exit(f"{engine} failed: {said.stderr.strip()[-400:]}")
                row = json.loads(said.stdout.splitlines()[-1])
                if not quiet:
                    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                yield row


def mean(rows: list[dict], engine: str, workers: int, key: str) -> float:
    """Over the seeds."""
    found = [row[key] for row in rows if (row["engine"], row["workers"]) == (engine, workers)]
    return sum(found) / len(found)
