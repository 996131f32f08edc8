"""The commands that work on a finished run: topics, reduce, curate, classify, suspects, duplicates, outliers, graph, concepts, compare."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from unlabeled.errors import InputError

SQUARE = 100_000  # items beyond which curation's default levels grow with their number


def add(command: Callable[[str, Any, str], argparse.ArgumentParser], settings: Callable[[list[str]], dict[str, Any]]) -> None:
    """Add the commands. command(name, function, about) makes one; settings reads KEY=VALUE pairs."""

    def job(name: str, function: Any, about: str, labels: bool = False) -> argparse.ArgumentParser:
        made = command(name, function, about)
        made.add_argument("run_folder", metavar="RUN")
        if labels:
            made.add_argument("--labels", required=True, help="a CSV or Parquet file with the columns id and label, or a column of the run")
            made.add_argument("--column", help="the label's column in the file (default: label)")
        made.add_argument("--seed", type=int, default=0)
        made.add_argument("--json", action="store_true")
        return made

    topics = job("topics", _topics, "what the texts are about: named topics, over time, in a tree")
    topics.add_argument("--k", default="auto", help="how many topics (default: chosen)")
    topics.add_argument("--column", help="the column with the texts, where the items aren't texts")
    topics.add_argument("--time", metavar="COLUMN", help="a column of dates, years or numbers, or a CSV or Parquet file with id and date")
    topics.add_argument("--bins", type=int, default=10, help="stretches of time (default: 10)")
    topics.add_argument("--hierarchy", action="store_true", help="groups of topics, in a tree")
    topics.add_argument("--levels", help="how many groups each level of the tree has, most first: 12,4 (default: a third, and so on)")
    topics.add_argument(
        "--llm", metavar="URL", help="let a language model name the topics: an OpenAI-compatible address, .../v1; it is sent texts"
    )
    topics.add_argument("--model", help="the language model's name")

    reduce = job("reduce", _reduce, "fewer numbers an item, or one order of all items")
    reduce.add_argument("--method", default="tldr", help="tldr (default), pca, tour (one order), lumap, isomap, single-linkage (maps)")
    reduce.add_argument("--dim", type=int, help="how many numbers (default: 32; of maps 2)")
    reduce.add_argument("--out", metavar="RUN", help="the new run's folder, for four numbers and more (default: RUN-METHOD-DIM)")

    curate = job("curate", _curate, "a balanced subset, by hierarchical k-means")
    curate.add_argument("-n", type=int, required=True, help="how many items to choose")
    curate.add_argument("--levels", help="clusters of each level, most first: 1000,100 (default: by the number of items)")
    curate.add_argument("-o", "--output", help="write the chosen ids to a file, one a line")
    curate.add_argument(
        "--ray-address", metavar="ADDRESS", help="RUN is what embed --ray-address wrote; a Ray cluster: local, auto or HOST:PORT"
    )

    classify = job("classify", _classify, "classes for all items, from the labels of some", labels=True)
    classify.add_argument("--method", default="probe", help="probe (default), mean, propagation, sea, dlds")
    classify.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the classifier; may be repeated")
    classify.set_defaults(settings=settings)

    suspects = job("suspects", _suspects, "items whose label is probably wrong", labels=True)
    suspects.add_argument("-m", type=int, default=20, help="how many to show (default: 20)")

    duplicates = job("duplicates", _duplicates, "groups of near-duplicates")
    duplicates.add_argument("--threshold", type=float, help="least cosine of two near-duplicates (default: fitted to the data)")

    outliers = job("outliers", _outliers, "the oddest items")
    outliers.add_argument("-m", type=int, default=20, help="how many to show (default: 20)")

    graph = job("graph", _graph, "the graph of nearest neighbours, as a file")
    graph.add_argument(
        "-o", "--output", metavar="FILE", required=True, help=".csv, .tsv, .parquet (source, target, weight) or .npz (SciPy)"
    )
    graph.add_argument("-k", type=int, default=15, help="nearest neighbours of each item (default: 15)")
    graph.add_argument("--mutual", action="store_true", help="an edge only where each is among the other's neighbours")
    graph.add_argument("--weight", default="similarity", help="similarity (default), distance or one")

    links = job("links", _links, "of a graph, the likeliest edges that aren't there; of facts, the likeliest answers")
    links.add_argument("node", nargs="?", help="one node, or entity, by its name (default: of a graph all)")
    links.add_argument("--relation", help="of facts: the relation")
    links.add_argument("--of", choices=("tail", "head"), default="tail", help="of facts: what is asked for (default: tail)")
    links.add_argument("-k", type=int, default=10, help="how many (default: 10)")

    rules = job("rules", _rules, "of facts, the rules that hold between their relations")
    rules.add_argument("--relation", help="rules for this relation alone")
    rules.add_argument("--top", type=int, default=20, help="how many (default: 20)")

    concepts = job("concepts", _concepts, "the directions that the vectors are made of, and their typical items")
    concepts.add_argument("-k", type=int, default=20, help="how many (default: 20)")

    compare = command("compare", _compare, "two or more runs or .npy files of the same items, in one table")
    compare.add_argument("sources", nargs="+", metavar="RUN", help="run folders or .npy files [n, d]")
    compare.add_argument("--labels", help="a CSV or Parquet file with the columns id and label, or a column of the first run")
    compare.add_argument("--column", help="the label's column in the file (default: label)")
    compare.add_argument("-k", type=int, default=10, help="neighbours to compare (default: 10)")
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument("--json", action="store_true")


def _print(options: argparse.Namespace, result: dict[str, Any], show: Callable[[dict[str, Any]], None], columns: str = "") -> None:
    """The result as JSON if that is asked for, else as `show` prints it, and then which columns were written."""
    if options.json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
        return
    show(result)
    if columns:
        print(f"written to the run's columns: {columns}")


def _open(options: argparse.Namespace) -> Any:
    from unlabeled.run import open

    return open(options.run_folder)


def _topics(options: argparse.Namespace) -> None:
    from unlabeled import jobs
    from unlabeled.parts.chat import Chat
    from unlabeled.progress import Screen

    if (options.llm is None) != (options.model is None):
        raise InputError("--llm and --model go together: --llm http://localhost:8000/v1 --model NAME")
    if options.k != "auto" and not options.k.isdigit():
        raise InputError(f"--k wants a whole number of topics, or auto, got {options.k!r}")
    chat = None if options.llm is None else Chat(base_url=options.llm, model=options.model)
    levels = _whole_numbers("--levels", options.levels) if options.levels else options.hierarchy
    try:
        with Screen() as screen:
            result = jobs.topics(
                _open(options),
                options.k if options.k == "auto" else int(options.k),
                column=options.column,
                time=options.time,
                bins=options.bins,
                levels=levels,
                llm=chat and chat.ask,
                seed=options.seed,
                progress=screen.naming,
            )
    except ConnectionError as error:
        raise InputError(f"{error}; nothing was written") from None
    _print(options, result, _show_topics, ", ".join(result["columns"]))


def _show_topics(result: dict[str, Any]) -> None:
    from shutil import get_terminal_size

    width, listed = max(60, get_terminal_size().columns), result["topics"]
    print(f"{len(listed)} topics of {result['texts']} ({result['how']})")
    for topic in listed:
        print(f"\n{topic['size']:>7,}  {topic['name']}")
        for example in topic["examples"][: 3 if len(listed) <= 10 else 2 if len(listed) <= 20 else 1]:
            print(f"         {_cut(example['text'] or example['id'], width - 9)}")
    if result["coherence"] is None:
        print("\ntoo few words to say how good the topics are")
    else:
        read, draws = result["coherence"]["texts"], result["coherence"]["draws"]
        print(f"\nhow good they are, by ten words each; beside them groups of the same sizes drawn at random ({draws} draws)")
        for name, about in (
            ("coherence", f"do they stand together? NPMI, -1 to 1, in windows of ten words of {read:,} of these texts"),
            ("diversity", "how many of the words are different ones?"),
        ):
            said = result[name]
            print(f"  {name}  {said['mean']:5.2f}  random {said['random']:5.2f} ± {said['random_std']:.2f}  {about}")
    if "time" in result:
        _show_time(result["time"], listed, width)
    if "tree" in result:
        print("\ntopics in groups" if any("children" in node for node in result["tree"]) else "\ntoo few topics to make groups of them")
        _show_tree(result["tree"], "", width)
    print()


def _show_time(time: dict[str, Any], listed: list[dict[str, Any]], width: int) -> None:
    from unlabeled.tasks.topics.describe import sparkline

    names, total = time["stretches"], time["items"]
    print(f"\nshare of the items by {time['of']}, in {len(names)} stretches, the first {names[0]}, the last {names[-1]}")
    for key, said in (("missing", "no value"), ("unread", "a value that can't be read")):
        if time[key]:
            print(f"  {time[key]:,} items have {said} and are not counted")
    room = max(12, min(max(len(topic["name"]) for topic in listed), width - len(names) - 45))
    print(f"  {'items':{room}}  {sparkline(total)}  {sum(total):,}")
    for topic in listed:
        shares = [count / n if n else float("nan") for count, n in zip(topic["counts"], total, strict=True)]
        there = [i for i, n in enumerate(total) if n]
        said = f"most in {names[max(there, key=shares.__getitem__)]}"
        if topic["by_chance"] > 0.01 / len(listed):
            said = "steady: no more change than by chance"
        print(f"  {_cut(topic['name'], room):{room}}  {sparkline(shares)}  {shares[there[0]]:6.1%} to {shares[there[-1]]:6.1%}, {said}")


def _show_tree(nodes: list[dict[str, Any]], indent: str, width: int) -> None:
    for place, node in enumerate(nodes):
        last = place == len(nodes) - 1
        print(_cut(f"{indent}{'└─ ' if last else '├─ '}{node['name']}  ({node['size']:,})", width))
        _show_tree(node.get("children", []), indent + ("   " if last else "│  "), width)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _whole_numbers(name: str, said: str) -> list[int]:
    try:
        return [int(part) for part in said.split(",")]
    except ValueError:
        raise InputError(f"{name} wants whole numbers with commas between them, got {said!r}") from None


def _reduce(options: argparse.Namespace) -> None:
    from unlabeled import jobs

    def show(result: dict[str, Any]) -> None:
        if "begins_with" in result:
            print(f"the order begins with {', '.join(result['begins_with'])}")
            return
        print(f"{result['of']} numbers to {result['dim']} by {result['method']}: {result['neighbours_kept']:.1%} of each item's ten")
        print(f"nearest neighbours are kept (by PCA {result['neighbours_kept_by_pca']:.1%})")
        if "run" in result:
            print(f"run: {result['run']}")

    result = jobs.reduce(_open(options), options.method, options.dim, options.out, options.seed)
    _print(options, result, show, ", ".join(result.get("columns", [])))


def _curate(options: argparse.Namespace) -> None:
    from pathlib import Path

    from unlabeled import jobs

    def show(result: dict[str, Any]) -> None:
        clusters = result["levels"][-1]
        print(f"{result['chosen']:,} of {result['of']:,} items; how evenly they lie over {clusters} clusters (1: all have as many):")
        print(f"{result['evenness']:.3f}, of as many drawn at random {result['evenness_at_random']:.3f}")

    levels = _whole_numbers("--levels", options.levels) if options.levels else None
    if options.ray_address:
        from unlabeled.scale import curate

        result = curate(options.run_folder, options.n, levels=levels, seed=options.seed, address=options.ray_address)
    else:
        run = _open(options)
        if levels is None and len(run) > SQUARE:
            line = f"{len(run):,} items in {len(run) // 100:,} groups: time grows with their square; --levels 1000,100 keeps it linear"
            print(line, file=sys.stderr, flush=True)
        result = jobs.curate(run, options.n, levels, options.seed)
    if options.output:
        Path(options.output).write_text("".join(f"{name}\n" for name in result["ids"]), encoding="utf-8")
    _print(options, result, show, "" if options.ray_address else "curated, curation_cluster")


def _classify(options: argparse.Namespace) -> None:
    from unlabeled import jobs
    from unlabeled.progress import Screen

    def show(result: dict[str, Any]) -> None:
        print(f"{result['labels']:,} labels, {result['items']:,} items, {len(result['classes'])} classes")
        said = result["accuracy"]
        if said:
            print(
                f"accuracy on labelled items it had not seen: {said['mean']:.3f} ± {said['std']:.3f} over {said['folds']} folds (seed "
                f"{options.seed}); always the largest class: {result['largest_class']:.3f}"
            )
        else:
            print("a class has one label only: the accuracy can't be estimated")
        for name, count in sorted(result["classes"].items(), key=lambda pair: -pair[1]):
            print(f"{count:>9,}  {name}")
        print(f"least sure of: {', '.join(result['unsure'][:5])}")

    with Screen() as screen:
        result = jobs.classify(
            _open(options),
            options.labels,
            column=options.column,
            method=options.method,
            seed=options.seed,
            settings=options.settings(options.set),
            progress=screen.classifying,
        )
    _print(options, result, show, "predicted, confidence")


def _suspects(options: argparse.Namespace) -> None:
    from unlabeled import jobs

    def show(result: dict[str, Any]) -> None:
        print(f"{result['suspects']:,} of {result['labels']:,} labels are probably wrong (about {result['share_wrong']:.1%} of all are)")
        for item in result["items"]:
            print(f"{item['score']:.3f}  {item['id']}  labelled {item['label']}, likely {item['likely']}")

    result = jobs.suspects(_open(options), options.labels, column=options.column, m=options.m, seed=options.seed)
    _print(options, result, show, "suspect, suspect_score, suspected_class")


def _duplicates(options: argparse.Namespace) -> None:
    from unlabeled import jobs

    def show(result: dict[str, Any]) -> None:
        print(f"{len(result['groups']):,} groups of near-duplicates: {result['extra']:,} of {result['items']:,} items are extra")
        for group in result["groups"][:20]:
            print(f"{group['similarity']:.3f}  {', '.join(group['ids'][:5])}{' ...' if len(group['ids']) > 5 else ''}")

    _print(options, jobs.duplicates(_open(options), options.threshold, options.seed), show, "duplicate, duplicate_group")


def _outliers(options: argparse.Namespace) -> None:
    from unlabeled import jobs

    def show(result: dict[str, Any]) -> None:
        for item in result["items"]:
            print(f"{item['score']:.3f}  {item['id']}")

    _print(options, jobs.outliers(_open(options), options.m, options.seed), show, "outlier_score")


def _links(options: argparse.Namespace) -> None:
    from unlabeled.run import open

    found = open(options.run_folder).predict_links(options.node, options.k, relation=options.relation, of=options.of)
    if options.json:
        print(json.dumps([link._asdict() for link in found], ensure_ascii=False, indent=1))
        return
    for number, link in enumerate(found, 1):
        print(f"{number:>3}  {link.score:.3f}  " + "  ".join(part for part in (link.source, link.relation, link.target) if part))
    if not found:
        print("nothing found")


def _rules(options: argparse.Namespace) -> None:
    from unlabeled.run import open

    found = open(options.run_folder).rules(options.relation, options.top)
    if options.json:
        print(json.dumps([rule._asdict() for rule in found], ensure_ascii=False, indent=1))
        return
    for rule in found:
        print(rule)
    if not found:
        print("no rule found")


def _graph(options: argparse.Namespace) -> None:
    from unlabeled import jobs

    def show(result: dict[str, Any]) -> None:
        alone = f", {result['without_an_edge']:,} items have none" if result["without_an_edge"] else ""
        print(f"{result['items']:,} items, {result['edges']:,} edges, {result['components']:,} connected parts{alone}")
        print(f"the most an item has: {result['most_edges']:,}; written to {result['file']}")

    made = jobs.graph(_open(options), options.output, options.k, mutual=options.mutual, weight=options.weight, seed=options.seed)
    _print(options, made, show)


def _concepts(options: argparse.Namespace) -> None:
    from unlabeled import jobs

    def show(result: dict[str, Any]) -> None:
        for entry in result["concepts"]:
            name = f"  {entry['name']}" if entry.get("name") else ""
            print(f"{entry['concept']:>4}  {entry['importance']:.3f}  {entry['items']:>7,}{name}  ({', '.join(entry['examples'][:3])})")

    _print(options, jobs.concepts(_open(options), options.k, options.seed), show, "concept, concept_score")


def _compare(options: argparse.Namespace) -> None:
    from unlabeled import jobs

    def show(result: dict[str, Any]) -> None:
        width = max(len(entry["name"]) for entry in result["each"])
        measures = [name for name in ("knn", "linear") if name in result["each"][0]]
        heads = "".join(f"{measure:>16}" for measure in measures)
        print(f"{result['items']:,} items\n{'':{width}}  {'dim':>5} {'RankMe':>7} {'uniformity':>10} {'cosine':>7}{heads}")
        for entry in result["each"]:
            own = f"{entry['dim']:>5} {entry['rankme']:>7.1f} {entry['uniformity']:>10.3f} {entry['mean_cosine']:>7.3f}"
            probes = "".join(f"{entry[m]['mean']:>8.3f} ± {entry[m]['std']:.3f}" for m in measures)
            print(f"{entry['name']:{width}}  {own}{probes}")
        print(f"\n{'':{width}}  {'':{width}}  {'CKA':>6}  shared of the {result['k']} nearest")
        for pair in result["pairs"]:
            print(f"{pair['a']:{width}}  {pair['b']:{width}}  {pair['cka']:>6.3f}  {pair['neighbours_shared']:>6.3f}")
        if measures:
            print(f"probes: mean ± standard deviation over 5 folds (seed {options.seed})")

    _print(options, jobs.compare(options.sources, options.labels, column=options.column, k=options.k, seed=options.seed), show)
