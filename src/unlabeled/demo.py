"""The main job on real data that any machine has: `make demo`, or `python -m unlabeled.demo [NAME]`."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from unlabeled.errors import InputError, MissingCompiler, MissingExtra

FOLDER = Path("demo")


def main(names: list[str]) -> int:
    """Learn the named sets (the digits and the docstrings of this Python when none is named); returns the exit status."""
    started = time.monotonic()
    try:
        made = [one(name) for name in names or ["digits", "docstrings"]]
    except (InputError, MissingCompiler, MissingExtra) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 2
    print(f"\nall done in {time.monotonic() - started:.0f} s. Open in a browser:")
    for path, search in made:
        print(f"  {path}\n    more: {search}")
    return 0


def one(name: str) -> tuple[Path, str]:
    """Write a set out as a user would have it, learn it, search it once; the report's path, and a search to try."""
    from unlabeled.datasets import export, load
    from unlabeled.progress import Screen
    from unlabeled.run import learn

    print(f"\n=== {name}")
    data = export(name, FOLDER / "data" / name)
    out = FOLDER / "runs" / name
    if out.exists():
        shutil.rmtree(out)  # the demo's own folder: each time from the start
    epochs = {"digits": 20, "python_facts": 10}.get(name)  # by default they would be shown more often: small sets are
    kind = load(name).kind if data.suffix == ".tsv" else None
    options = (f" --kind {kind}" if kind else "") + (f" --epochs {epochs}" if epochs else "")
    print(f"unlabeled learn {data} --out {out}{options}")
    with Screen() as screen:
        run = learn(
            data,
            kind=kind,
            out=out,
            epochs=epochs,
            say=screen.say,
            watch=screen.training,
            reading=screen.reading,
            embedding=screen.embedding,
        )
    query = "open a compressed file" if name == "docstrings" else f"id:{run.ids[0]}"
    print(f'\nunlabeled search {out} "{query}" -k 5')
    for hit in run.search(query, 5):
        print(f"{hit.rank:>3}  {hit.score:.3f}  {hit.id}  {' '.join((hit.text or '').split())[:80]}".rstrip())
    return run.path / "report.html", f'unlabeled search {out} "{query}"'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
