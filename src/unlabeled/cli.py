"""The command line. Nothing heavy is imported before a command needs it: `unlabeled --help` answers at once."""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
from pathlib import Path
from typing import Any

from unlabeled import __version__, cli_jobs, launch
from unlabeled.errors import InputError, MissingCompiler, MissingExtra

KINDS = ("image", "text", "vector", "table", "graph", "triples")
FAILED = 2  # exit status of whatever a user can mend


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    if not hasattr(options, "run"):
        parser().print_help()
        return 0
    try:
        options.run(options)
        return 0
    except (InputError, MissingCompiler, MissingExtra) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        where = getattr(options, "out", None)
        kept = getattr(options, "interrupted", None) or (f"what was learned is kept in {where}" if where else "nothing was changed")
        return _fail(f"stopped; {kept}")
    except MemoryError:
        return _fail("out of memory: use a smaller batch_size (--set batch_size=64), fewer items or a machine with more memory")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away (| head): not an error
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'the system'}: {error.strerror or error}")


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="unlabeled", description="Representations from unlabelled data, kept, searched, grouped and judged.")
    top.add_argument("--version", action="version", version=f"unlabeled {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    learn = _command(commands, "learn", _learn, "read a folder or file, learn, index, judge and report")
    learn.add_argument(
        "path",
        help="a folder of pictures or .txt files; .txt .csv .tsv .jsonl .parquet (texts or numbers); .npy .npz; with --kind graph edges "
        "(.tsv .csv .edgelist .npz .mtx .graphml), with --kind triples facts (.tsv .nt .ttl)",
    )
    learn.add_argument("--kind", choices=KINDS, help="what the data are, where that isn't clear")
    learn.add_argument("--column", help="the column to learn from (several numeric ones: a,b,c; of edges: source,target)")
    learn.add_argument("--nodes", metavar="TABLE", help="of a graph: a table of its nodes: id, numbers (features), columns")
    learn.add_argument(
        "--method",
        default="auto",
        help="auto (default), none, simclr, swav, tfidf-svd, ... (see: unlabeled systems), tournament (several briefly, then the best)",
    )
    learn.add_argument(
        "--encoder", default="auto", help="auto, conv4, resnet18, resnet50, vit, ngrams, minilm, mlp, a Hugging Face folder or id"
    )
    learn.add_argument("--epochs", type=int, help="how often each item is seen (default: by the size of the set)")
    learn.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other setting of the method, or of its views (views.local=4, policy.grey=0.1); may be repeated",
    )
    learn.add_argument("--seed", type=int, default=0)
    learn.add_argument("--out", metavar="RUN", help="the run's folder (default: runs/NAME)")
    learn.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    learn.add_argument("--overwrite", action="store_true", help="replace the run that is there")
    launch.add_options(learn)

    embed = _command(commands, "embed", _embed, "vectors of new items, as a run's own were made")
    embed.add_argument("run_folder", metavar="RUN")
    embed.add_argument("path")
    embed.add_argument("-o", "--output", required=True, help="a .parquet or .npy file; with --ray-address a folder")
    embed.add_argument("--kind", choices=KINDS)
    embed.add_argument("--column")
    embed.add_argument("--nodes", metavar="TABLE", help="of a graph: a table of its nodes, as in learn")
    embed.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="many Parquet files (a folder, a pattern, s3://...) on a Ray cluster: local, auto or HOST:PORT",
    )

    search = _command(commands, "search", _search, "the items nearest to a file, to words or to an item")
    search.add_argument("run_folder", metavar="RUN")
    search.add_argument("query", help="a file, words, or id:...")
    search.add_argument("-k", type=int, default=10, help="how many (default: 10)")
    search.add_argument("--json", action="store_true")

    cluster = _command(commands, "cluster", _cluster, "named groups of a run's items")
    cluster.add_argument("run_folder", metavar="RUN")
    cluster.add_argument("--k", default="auto", help="how many groups, or auto (default)")
    cluster.add_argument("--seed", type=int, default=0)
    cluster.add_argument("--json", action="store_true")

    report = _command(commands, "report", _report, "make a run's report again and say where it is")
    report.add_argument("run_folder", metavar="RUN")

    page = _command(commands, "open", _open, "look at runs, search and label them in a browser; serve them to programs")
    page.add_argument("run_folders", metavar="RUN", nargs="+")
    page.add_argument("--port", type=int, help="default: 8700, or the next one that is free")
    page.add_argument("--host", default="127.0.0.1", help="an address that others can reach needs a token (default: 127.0.0.1)")
    page.add_argument("--token", help="what every request must bring (default: UNLABELED_TOKEN, or none)")
    page.add_argument("--no-browser", action="store_true", help="only say the address")

    export = _command(commands, "export", _export, "a run as one table, for Embedding Atlas and other tools")
    export.add_argument("run_folder", metavar="RUN")
    export.add_argument("--to", required=True, metavar="FILE", help="a .parquet file (map, neighbours, pictures), or a .csv file")
    export.add_argument("--neighbours", type=int, default=15, help="of each item, in a .parquet file (default: 15)")
    export.add_argument("--vectors", action="store_true", help="add the vectors")

    evaluate = _command(commands, "evaluate", _evaluate, "k-NN, linear probe and clusters against labels, beside the baselines")
    evaluate.add_argument("run_folder", metavar="RUN")
    evaluate.add_argument("--labels", required=True, help="a CSV or Parquet file with the columns id and label")
    evaluate.add_argument("--column", help="the label's column (default: label)")
    evaluate.add_argument("--folds", type=int, default=5)
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--json", action="store_true")

    cli_jobs.add(lambda name, function, about: _command(commands, name, function, about), _settings)

    again = _command(commands, "reproduce", _reproduce, "run a paper's central claims small, on real data, and say what held")
    again.add_argument("systems", nargs="*", metavar="NAME", help="systems by name (see: unlabeled systems); none: list what there is")
    again.add_argument("--all", action="store_true", help="every result that is missing or older than its code")
    again.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at once, with --all or several names")
    again.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    again.add_argument("--data", help="another named set, or your own: a folder with a subfolder a class, or a table")
    again.add_argument("--column", help="your table's column to learn from")
    again.add_argument("--label", help="your table's column of labels")
    again.add_argument("--budget", choices=("small", "full"), default="small", help="full: the paper's setting, for a GPU")
    again.add_argument("--fresh", action="store_true", help="train everything again instead of using what is cached")
    again.add_argument("--json", metavar="FILE", help="write the result to a file")
    again.add_argument("--quiet", action="store_true", help="no progress on standard error")

    systems = _command(commands, "systems", _systems, "the 189 published systems and how far each one is")
    systems.add_argument("--json", action="store_true")
    systems.add_argument("--foundations", action="store_true", help="the methods that the 189 stand on")
    return top


def _command(commands: Any, name: str, function: Any, about: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    command.set_defaults(run=function)
    return command


def _fail(message: str) -> int:
    print(f"unlabeled: {' '.join(message.split())}", file=sys.stderr)
    return FAILED


def _settings(pairs: list[str]) -> dict[str, Any]:
    """key=value pairs; values are Python literals where they read as such, else text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set wants KEY=VALUE, got {pair!r}")
        try:
            settings[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[key] = {"true": True, "false": False, "none": None}.get(value.lower(), value)
    return settings


def _learn(options: argparse.Namespace) -> None:
    if launch.among_several():
        launch.take_part(options, _settings(options.set), _learn_here)
    elif launch.wanted(options):
        launch.start(options, options.arguments)
    else:
        _learn_here(options)


def _learn_here(options: argparse.Namespace) -> None:
    from unlabeled.progress import Screen
    from unlabeled.run import _folder_for, learn

    out = _folder_for(options.path, options.out, options.resume)
    options.out = out
    with Screen() as screen:
        options.interrupted = None
        try:
            run = learn(
                options.path,
                kind=options.kind,
                column=options.column,
                nodes=options.nodes,
                method=options.method,
                encoder=options.encoder,
                epochs=options.epochs,
                settings=_settings(options.set),
                seed=options.seed,
                out=out,
                resume=options.resume,
                overwrite=options.overwrite,
                say=screen.say,
                watch=screen.training,
                reading=screen.reading,
                embedding=screen.embedding,
            )
        except KeyboardInterrupt:
            kept = (out / "checkpoint.safetensors").exists()
            again = f"what was learned is kept: unlabeled learn {options.path} --out {out} --resume goes on"
            options.interrupted = again if kept else "nothing was learned yet"
            raise
    print(f"report: {run.path / 'report.html'}")


def _embed_on_ray(options: argparse.Namespace) -> None:
    from unlabeled.scale import embed

    options.interrupted = f"the shards that are whole are kept in {options.output}: the same command goes on"
    tell = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    address, out = options.ray_address, options.output
    said = embed(options.run_folder, options.path, out, address=address, kind=options.kind, column=options.column, say=tell)
    if said["skipped"]:
        print(f"skipped {said['skipped']:,} rows without a readable item", file=sys.stderr)
    print(f"{said['rows']:,} vectors of {said['width']} numbers in {len(said['shards'])} files: {out}")


def _embed(options: argparse.Namespace) -> None:
    if options.ray_address:
        return _embed_on_ray(options)
    import numpy as np

    from unlabeled.data import read
    from unlabeled.run import open

    target = Path(options.output)
    if target.suffix not in (".parquet", ".npy"):
        raise InputError(f"{target} must end in .parquet or .npy")
    run = open(options.run_folder)
    size = run.model.inputs_.size if run.kind == "image" else None
    items = read(options.path, kind=options.kind, column=options.column, nodes=options.nodes, size=size)
    vectors = run.embed(items)
    partial = target.with_name(f".{target.name}.partial{target.suffix}")
    if target.suffix == ".npy":
        np.save(partial, vectors)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        pq.write_table(pa.table({"id": pa.array(list(items.ids), pa.string()), "vector": flat}), partial)
    os.replace(partial, target)
    for name, reason in items.unreadable:
        print(f"skipped {name}: {reason}", file=sys.stderr)
    print(f"{len(vectors):,} vectors of {vectors.shape[1]} numbers: {target}")


def _search(options: argparse.Namespace) -> None:
    from unlabeled.run import open

    hits = open(options.run_folder).search(options.query, options.k)
    if options.json:
        print(json.dumps([{k: v for k, v in vars(hit).items() if v is not None} for hit in hits], ensure_ascii=False, indent=1))
        return
    for hit in hits:
        text = " ".join(hit.text.split())[:100] if hit.text else ""
        print(f"{hit.rank:>3}  {hit.score:.3f}  {hit.id}" + (f"  {text}" if text else ""))
    if not hits:
        print("nothing found")


def _cluster(options: argparse.Namespace) -> None:
    from unlabeled.run import open

    k = options.k
    if k != "auto":
        try:
            k = int(k)
        except ValueError:
            raise InputError(f"--k must be a number or auto, got {k!r}") from None
    clusters = open(options.run_folder).clusters(k, seed=options.seed)
    if options.json:
        print(json.dumps([vars(cluster) for cluster in clusters], ensure_ascii=False, indent=1))
        return
    for cluster in clusters:
        print(f"{cluster.cluster:>4}  {cluster.size:>7,}  {cluster.name}  ({', '.join(cluster.examples[:3])})")


def _report(options: argparse.Namespace) -> None:
    from unlabeled.run import open, write_report

    run = open(options.run_folder)
    model = run.model if (run.path / "model.safetensors").exists() else None
    print(f"report: {write_report(run, run.items(), model, say=print, seed=run.config.get('asked', {}).get('seed', 0))}")


def _open(options: argparse.Namespace) -> None:
    from unlabeled.web import serve

    options.interrupted = "all labels are kept in the run"
    serve(
        options.run_folders,
        host=options.host,
        port=options.port,
        token=options.token or os.environ.get("UNLABELED_TOKEN") or None,
        browser=not options.no_browser,
        say=lambda line: print(line, flush=True),
    )


def _export(options: argparse.Namespace) -> None:
    from unlabeled.exports import export
    from unlabeled.run import open

    run = open(options.run_folder)
    if len(run) > 20_000 and options.to.endswith(".parquet"):
        print(f"finding the neighbours of {len(run):,} items ...", file=sys.stderr, flush=True)
    made = export(run, options.to, neighbours=options.neighbours, vectors=options.vectors)
    print(f"{made['rows']:,} items: {made['file']}")
    if made["file"].endswith(".parquet"):
        text = " --text text" if "text" in made["columns"] else ""
        print(f"embedding-atlas {made['file']}{text} --x x --y y --neighbors neighbors --disable-projection")


def _evaluate(options: argparse.Namespace) -> None:
    from unlabeled.run import open

    rows = open(options.run_folder).evaluate(options.labels, column=options.column, folds=options.folds, seed=options.seed)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    measures = [name for name in rows[0] if isinstance(rows[0][name], dict)]
    width = max(len(row["name"]) for row in rows)
    print(f"{'':{width}}  " + "  ".join(f"{m:>15}" for m in measures))
    for row in rows:
        print(f"{row['name']:{width}}  " + "  ".join(f"{row[m]['mean']:>8.3f} ± {row[m]['std']:.3f}" for m in measures))
    print(f"mean ± standard deviation over {options.folds} folds (seed {options.seed})")


def _reproduce(options: argparse.Namespace) -> None:
    from unlabeled.reproduce import runner
    from unlabeled.systems import results_folder, systems

    try:
        seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError:
        raise InputError(f"--seeds wants whole numbers with commas between them, got {options.seeds!r}") from None
    if options.jobs < 1:
        raise InputError(f"--jobs must be 1 or more, got {options.jobs}")
    if options.all or len(options.systems) > 1:
        own = [flag for flag in ("data", "column", "label", "json") if getattr(options, flag)] + ["--budget"] * (options.budget == "full")
        if own:
            raise InputError(f"{', '.join(own)} can be given for one system at a time")
        folder = results_folder()
        chosen = options.systems or runner.names()
        for name in chosen:
            runner.reproduction(name)
        failed = runner.reproduce_all(chosen, folder, jobs=options.jobs, seeds=seeds, again=bool(options.systems))
        print(f"table: {runner.write_overview(folder, [*systems(), *systems(foundations=True)])}")
        if failed:
            raise InputError(f"could not be run: {', '.join(failed)}; run one alone to see why")
        return
    if not options.systems:
        for name in runner.names():
            result = runner.read(name, results_folder())
            print(f"{name:26} {runner.state(name, results_folder()):8} {runner.summary(result) if result else 'no result yet'}")
        print("stale: measured with other code than is here. unlabeled reproduce NAME runs one, --all what is missing or stale")
        return
    tell = None if options.quiet else lambda text: print(text, file=sys.stderr, flush=True)
    result = runner.reproduce(
        options.systems[0],
        seeds=seeds,
        data=options.data,
        column=options.column,
        label=options.label,
        budget=options.budget,
        fresh=options.fresh,
        say=tell,
    )
    print(runner.format_result(result))
    if options.json:
        runner.write(result, Path(options.json))
        print(f"result: {options.json}")


def _systems(options: argparse.Namespace) -> None:
    from unlabeled.systems import as_json, format_table, systems

    rows = systems(foundations=options.foundations)
    print(as_json(rows) if options.json else format_table(rows))


if __name__ == "__main__":
    sys.exit(main())
