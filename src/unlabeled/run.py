"""The main job: a folder of unlabelled data becomes a run that can be searched, grouped and believed."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled import representation
from unlabeled.data import Items, as_items, read
from unlabeled.data.items import GRAPHS
from unlabeled.errors import InputError
from unlabeled.representation import Representation
from unlabeled.saving import load_model, plain, read_config, write_json, write_text

RUNS = Path("runs")
GRAPH = "graph.npz"  # in the run of a graph: what joins its items
LONGEST_NAME = 200  # characters of a cluster's name
LOOK, LOOK_FROM = 20, 500  # topics of the first look, and texts from which on there is one
BIG = 64 * 2**20  # bytes of vectors beyond which they are written to disk as they come


@dataclass(frozen=True)
class Hit:
    """One search result: what was found, its rank from 1 and its score (a cosine; for words a share of the best possible)."""

    rank: int
    id: str
    score: float
    row: int
    text: str | None = None


@dataclass(frozen=True)
class Cluster:
    """One group of items: a name, its size and its most central items."""

    cluster: int
    name: str
    size: int
    examples: list[str]  # ids, most central first


class Run(Representation):
    """A run folder: vectors, items, model, index and report. Made by `learn`, opened again by `open`."""

    @cached_property
    def model(self) -> Any:
        """The estimator that made the vectors."""
        if not (self.path / "model.safetensors").exists():
            raise InputError(f"{self.path} has vectors but no model (they were imported): it can be searched by id, not by new items")
        return load_model(self.path)

    def embed(self, items: Any) -> np.ndarray:
        """Vectors of new items, float32 [n, d], as the run's own were made. items: a path, texts, arrays or Items."""
        found = items if isinstance(items, Items) else as_items(items)
        return self.model.transform(found)  # type: ignore[no-any-return]

    def search(self, query: str | np.ndarray | Any, k: int = 10) -> list[Hit]:
        """The k items nearest to a query: "id:...", a picture's path, words (for texts), a vector [d], or one item.

        Words are looked up both by meaning (vectors) and by themselves (BM25), and both count the same; by themselves alone where the
        vectors are but counts of words (`by_words_alone`). An item searched by its id doesn't find itself.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        if isinstance(query, str) and query.startswith("id:"):
            row = self.row_of(query[3:])
            scores, rows = self.neighbours(self.vectors[row][None], min(k + 1, len(self)))
            kept = [(int(r), float(s)) for r, s in zip(rows[0], scores[0], strict=True) if r != row][:k]
        elif isinstance(query, np.ndarray) and query.ndim == 1 and query.dtype.kind == "f" and len(query) == self.vectors.shape[1]:
            kept = self._near(query, k)
        elif isinstance(query, str) and self.kind == "text":
            kept = self._words(query, k)
        elif isinstance(query, str) and self.kind in GRAPHS and (query in self.ids or not Path(query).exists()):
            return self.search(f"id:{query}", k)
        else:
            if isinstance(query, str) and not Path(query).exists():
                raise InputError(f'no file {query!r}: search these {self.kind}s by a file, or by "id:..." ({self.ids[0]!r}, say)')
            kept = self._near(self.embed(query if isinstance(query, Items | str | Path) else [query])[0], k)
        texts = self.texts
        return [Hit(n + 1, self.ids[row], score, row, None if texts is None else texts[row]) for n, (row, score) in enumerate(kept)]

    def _near(self, vector: np.ndarray, k: int) -> list[tuple[int, float]]:
        scores, rows = self.neighbours(vector[None], min(k, len(self)))
        return list(zip(rows[0].tolist(), scores[0].tolist(), strict=True))

    def _words(self, query: str, k: int) -> list[tuple[int, float]]:
        """Full-text search and neighbours, blended."""
        if not query.strip():
            raise InputError("the query is empty: give some words, a file or id:...")
        depth = min(len(self), max(100, k))
        by_words, scores = self.search_text(query, depth)
        found = [[(int(row), float(score)) for row, score in zip(by_words, scores, strict=True)]]
        if (self.path / "model.safetensors").exists() and not self.by_words_alone(len(by_words), k):
            found.append(self._near(self.embed([query])[0], depth))
        return blend(found, k)

    def by_words_alone(self, found: int, k: int) -> bool:
        """Whether `found` texts that hold the query's words are enough, so that the vectors needn't be asked.

        Blending in vectors that are themselves counts of words (TF-IDF + SVD) took nDCG@10 from .478 to .358 on Cranfield's queries and
        from .430 to .308 on NPL's; they only fill up where too few texts hold a word.
        """
        return found >= min(k, len(self)) and str(self.config.get("class")).endswith(".TfidfSVD")

    def clusters(self, k: int | str = "auto", seed: int = 0) -> list[Cluster]:
        """Named groups, largest first. The grouping is kept as the column `cluster`, and made only once for each k."""
        kept = self._clusters_file()
        if kept is not None and kept["asked"] == [k, seed] and kept["database"] == self.config["database"]:
            return [Cluster(**row) for row in kept["clusters"]]
        from unlabeled import tasks

        found = tasks.cluster(np.asarray(self.vectors), k=k, seed=seed)
        size = np.bincount(found.labels, minlength=len(found.centers))
        order = np.argsort(-size, kind="stable")
        labels = np.argsort(order)[found.labels]  # 0 is the largest
        central = tasks.central(np.asarray(self.vectors), labels, 6)
        names = tasks.name_clusters(self.texts, labels) if self.texts is not None else [_stem(self.ids[rows[0]]) for rows in central]
        clusters = [
            Cluster(c, names[c], int(size[order[c]]), [self.ids[row] for row in central[c]]) for c in range(len(order)) if size[order[c]]
        ]
        self.set_columns(cluster=labels, cluster_name=[names[c] for c in labels])
        self._keep_clusters({"asked": [k, seed], "how": getattr(found, "how", "")}, clusters)
        return clusters

    def rename_cluster(self, cluster: int, name: str) -> list[Cluster]:
        """Another name for one of the groups that `clusters` found; the groups as they are now."""
        kept, clusters = self._edited()
        name = " ".join(name.split())
        if not name or len(name) > LONGEST_NAME:
            raise InputError(f"a name of {len(name):,} characters: wanted 1 to {LONGEST_NAME}")
        if not 0 <= cluster < len(clusters):
            raise InputError(f"there is no cluster {cluster}: they are 0 to {len(clusters) - 1}")
        clusters[cluster] = replace(clusters[cluster], name=name)
        labels = self.column("cluster").astype(np.int64)
        self.set_columns(cluster_name=[clusters[c].name for c in labels])
        self._keep_clusters(kept | {"edited": True}, clusters)
        return clusters

    def merge_clusters(self, clusters: Sequence[int], name: str | None = None) -> list[Cluster]:
        """Make one group of several; named as the largest of them, or `name`. The numbers change: 0 is again the largest."""
        from unlabeled import tasks

        kept, before = self._edited()
        chosen = sorted(set(clusters))
        if len(chosen) < 2 or not 0 <= chosen[0] <= chosen[-1] < len(before):
            raise InputError(f"clusters {list(clusters)} can't be merged: wanted two or more of 0 to {len(before) - 1}")
        labels = self.column("cluster").astype(np.int64)
        labels[np.isin(labels, chosen)] = chosen[0]  # the largest of them: they are in order
        size = np.bincount(labels, minlength=len(before))
        order = [c for c in np.argsort(-size, kind="stable") if size[c]]
        place = np.full(len(before), -1)
        place[order] = np.arange(len(order))
        labels = place[labels]
        merged = int(place[chosen[0]])
        inside = np.flatnonzero(labels == merged)
        central = inside[tasks.central(np.asarray(self.vectors[inside]), np.zeros(len(inside), np.int64), 6)[0]]
        after = [replace(before[c], cluster=n, size=int(size[c])) for n, c in enumerate(order)]
        after[merged] = replace(after[merged], name=name or after[merged].name, examples=[self.ids[row] for row in central])
        self.set_columns(cluster=labels, cluster_name=[after[c].name for c in labels])
        self._keep_clusters(kept | {"edited": True}, after)
        return after

    def _edited(self) -> tuple[dict[str, Any], list[Cluster]]:
        kept = self._clusters_file()
        if kept is None or kept["database"] != self.config["database"] or "cluster" not in self.columns:
            self.clusters()
            kept = self._clusters_file() or {}
        return {key: value for key, value in kept.items() if key != "clusters"}, [Cluster(**row) for row in kept["clusters"]]

    def _keep_clusters(self, about: dict[str, Any], clusters: list[Cluster]) -> None:
        about = about | {"database": self.config["database"], "clusters": [vars(c) for c in clusters]}
        write_json(self.path / "clusters.json", about)

    def _clusters_file(self) -> dict[str, Any] | None:
        path = self.path / "clusters.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def report(self) -> dict[str, Any]:
        """What report.json says; report.html beside it says the same to people."""
        path = self.path / "report.json"
        if not path.exists():
            raise InputError(f"{self.path} has no report yet: make it with `unlabeled report {self.path}`")
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    def evaluate(
        self, labels: Sequence[Any] | str | Path, *, column: str | None = None, folds: int = 5, seed: int = 0
    ) -> list[dict[str, Any]]:
        """Probes with labels, of this run and of its baselines: see unlabeled.evaluate.probes.

        labels: one for each item (-1, "" or None: no label), or a CSV file with the columns id and label.
        """
        from unlabeled import judge

        values = labels_of(self, labels, column) if isinstance(labels, str | Path) else list(labels)
        if len(values) != len(self):
            raise InputError(f"{len(values)} labels for {len(self)} items: give one for each, -1 where there is none")
        keep = np.array([str(v) not in ("", "-1", "None", "nan") for v in values])
        items = self.items()
        model = (self.path / "model.safetensors").exists()  # imported vectors have none, so no baselines
        found = judge.arms(self.model, items, seed=seed) if model and items is not None else []
        own = judge.Arm(found[0].name if found else "as it is", lambda x: np.asarray(self.vectors)[keep])
        rest = found[1:]
        if items is not None:
            items = items.subset(np.flatnonzero(keep))
        return judge.with_labels([own, *rest], items, [v for v, k in zip(values, keep, strict=True) if k], folds=folds, seed=seed)  # type: ignore[arg-type]

    def items(self) -> Items | None:
        """The items as they were read, from where they were read; None when that is gone or was only in memory."""
        source, how = self.config["items"]["source"], self.config.get("read", {})
        if self.kind in GRAPHS:  # kept with the run: what is joined already must not be foretold
            from unlabeled.data.graph_files import load_graph

            path = self.path / GRAPH
            return Items(self.kind, load_graph(path), list(self.ids), source=source or "") if path.exists() else None
        if self.kind == "text":
            return Items("text", self.texts, list(self.ids))
        if not how or not source or not Path(source).exists():
            return None
        items = read(source, **how)
        return items if list(items.ids) == self.ids else None

    def predict_links(self, node: str | None = None, k: int = 10, *, relation: str | None = None, of: str = "tail") -> list[Any]:
        """The likeliest edges that aren't there, of one node or of all; of facts with that relation: see `links.predict_links`."""
        from unlabeled.links import predict_links

        return predict_links(self, node, k, relation=relation, of=of)

    def rules(self, relation: str | None = None, top: int = 20) -> list[Any]:
        """Rules of a knowledge graph, read off the vectors of its relations: see `links.rules`."""
        from unlabeled.links import rules

        return rules(self, relation, top)


def blend(lists: Sequence[Sequence[tuple[int, float]]], k: int) -> list[tuple[int, float]]:
    """The k best of several lists of (row, score): each scaled by its best score, then averaged; scores of 0 or less count nothing.

    Bruch et al., 2022, "An Analysis of Fusion Functions for Hybrid Retrieval", arXiv:2210.11934.
    """
    fused: dict[int, float] = {}
    for hits in lists:
        best = max((score for _, score in hits), default=0.0)
        for row, score in hits:
            if score > 0:
                fused[row] = fused.get(row, 0.0) + score / best / len(lists)
    return sorted(fused.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


def open(path: str | Path) -> Run:
    """Open a run folder."""
    return Run.open(path)  # type: ignore[return-value]


def import_vectors(array: Any, items: Any = None, path: str | Path | None = None, ids: Sequence[str] | None = None) -> Run:
    """A run from anybody's embeddings: searched, grouped, mapped and reported alike. See representation.import_vectors."""
    return representation.import_vectors(array, items, path, ids, kind=Run)  # type: ignore[return-value]


def learn(
    data: Any,
    *,
    kind: str | None = None,
    column: str | None = None,
    nodes: str | Path | None = None,
    method: str = "auto",
    encoder: Any = "auto",
    epochs: int | None = None,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
    watch: Callable[[Any], None] | None = None,
    reading: Callable[[int, int], None] | None = None,
    embedding: Callable[[int, int], None] | None = None,
) -> Run:
    """Read, learn, embed, index, judge and report: everything that `unlabeled learn` does.

    data: a path (a folder of pictures or texts; .txt .csv .tsv .jsonl .parquet .npy .npz; with kind "graph" or "triples" edges and
    facts, see data.graph_files), a list of str, an array, a graph, Items. nodes: of a graph, a table of its nodes.
    method: auto, tournament, or one of `unlabeled.methods.NAMED` (simclr, swav, none, ...).
    encoder: auto, a name, a Hugging Face folder or id, or
    a module. settings: further parameters of the method. out: the run's folder, default runs/NAME. resume: go on with a run
    that was stopped. say, watch: called with lines of text and training progress. reading, embedding: called with (done, total).
    Raises InputError for what can't be used.
    """
    tell = say or (lambda line: None)
    started = time.monotonic()
    out = _folder_for(data, out, resume)
    before = _state(out, resume, overwrite)
    made = not out.exists()
    how = {"kind": kind, "column": column} | ({"nodes": os.fspath(nodes)} if nodes is not None else {})
    asked: dict[str, Any] = {
        "method": method,
        "encoder": encoder if isinstance(encoder, str) else type(encoder).__name__,
        "epochs": epochs,
        "seed": seed,
    }
    asked |= {"settings": {k: plain(v) for k, v in (settings or {}).items()}, "read": how}
    if resume and before is not None and before.get("asked") not in (None, asked):
        raise InputError(f"{out} was started with other options ({_difference(before['asked'], asked)}): give the same ones to resume")
    try:
        out.mkdir(parents=True, exist_ok=True)
        begun = {"format": 1, "state": "training", "asked": asked, "source": _source(data)}
        if before is None:
            write_json(out / "config.json", begun)
        size = _picture_size(encoder)
        if isinstance(data, str | Path):
            items = read(data, kind=kind, column=column, nodes=nodes, cache=out / "cache", size=size, progress=reading)
        else:
            items = as_items(data, kind=kind, size=size)
            if nodes is not None:
                from unlabeled.data.graph_files import with_nodes

                items = with_nodes(items, nodes)
        tell(items.describe())
        for note in items.notes:
            tell(f"  note: {note}")
        for name, reason in items.unreadable[:3]:
            tell(f"  skipped {name}: {reason}")
        if method == "tournament":
            played = (before or {}).get("tournament") if resume else None
            if played is None:
                tell("tournament: several methods are trained for a short time")
                played = _tournament(items, encoder, settings or {}, epochs, seed, tell)
                begun["tournament"] = played
                if before is None:
                    write_json(out / "config.json", begun)
            model, _, encoder_why = choose(items, played["winner"], encoder, settings or {}, epochs, seed)
            why = played["said"]
        else:
            model, why, encoder_why = choose(items, method, encoder, settings or {}, epochs, seed)
        tell(f"method {_name_of(model)}: {why}")
        if encoder_why:
            tell(f"encoder {encoder_why}")
        if before is not None and not resume:  # the run that is replaced goes only now that its successor can be read
            write_json(out / "config.json", begun)
            (out / "checkpoint.safetensors").unlink(missing_ok=True)
        training = time.monotonic()
        model.fit(items, checkpoint=out, resume=resume, watch=watch)
        seconds = time.monotonic() - training
    except BaseException:
        if made and not (out / "checkpoint.safetensors").exists():
            shutil.rmtree(out, ignore_errors=True)  # nothing was learned yet: leave nothing behind
        raise
    said = ({"tournament": played} if method == "tournament" else {}) | {
        "asked": asked,
        "read": how,
        "why": why,
        "encoder_why": encoder_why,
        "train_seconds": seconds,
        "device": _machine(),
    }
    run = _keep(out, items, model, said, tell, seed, embedding)
    tell(f"{len(run):,} vectors of {run.vectors.shape[1]} numbers; neighbours {_index_line(run)}")
    write_report(run, items, model, say=tell, seed=seed)
    shutil.rmtree(out / "cache", ignore_errors=True)
    (out / "checkpoint.safetensors").unlink(missing_ok=True)
    tell(f"done in {time.monotonic() - started:.0f} s: {out}")
    return run


def choose(items: Items, method: str, encoder: Any, settings: dict[str, Any], epochs: int | None, seed: int) -> tuple[Any, str, str]:
    """The estimator for these items, and in a few words why this method and this encoder. docs/defaults.md has the tables."""
    from unlabeled.encoders import DEFAULT, has_minilm
    from unlabeled.methods import method as named

    given = method != "auto"
    why = "as asked" if given else ""
    if not given and encoder not in ("auto", None):
        method, why = "none", "a given encoder is kept as it is unless a method is named"
    if method == "auto" and items.kind == "text":
        method, why = ("none", "a pretrained sentence encoder is at hand and kept as it is") if has_minilm() else (
            "tfidf-svd", "no pretrained encoder is installed, and this measured best without one"
        )  # fmt: skip
    elif method == "auto" and items.kind == "image" and len(items) >= 100:
        method, why = "simclr", "it measured best on small pictures at equal time"
    elif method == "auto" and items.kind == "triples":
        method, why = "distmult", "it ranks facts that it never saw best for its cost"
    elif method == "auto" and items.kind == "graph":
        shaped = {"Hypergraph": "hypeboy", "Multiplex": "infomgf"}.get(type(items.values).__name__)
        method = shaped or ("deepwalk" if items.values.features is None else "grace")
        alone = "the nodes say nothing of themselves: walks among them are read"
        why = alone if method == "deepwalk" else "it learns from what the nodes say and how they are joined"
    elif method == "auto":
        method = "none"
        why = (
            "too few pictures to learn from"
            if items.kind == "image"
            else "vectors and tables are kept as they are, a table's columns standardised"
        )
    kind = named(method)
    if method == "none" and items.kind in GRAPHS:
        raise InputError("none keeps vectors as they are, and nodes have none: name a method (deepwalk, grace, distmult ...)")
    if method == "none" and encoder == "auto":
        encoder = {"text": "minilm" if has_minilm() else "ngrams", "image": "conv4"}.get(items.kind, "identity")
    known = {f.name for f in fields(kind)}
    own = next((f.default for f in fields(kind) if f.name == "encoder"), None)  # OBoW, say, wants a network with a fine map
    encoder = own if encoder == "auto" and own is not None else encoder
    options = {"seed": seed} | ({"encoder": encoder} if "encoder" in known else {}) | ({"epochs": epochs} if epochs is not None else {})
    options |= {name: value for name, value in settings.items() if "." not in name}
    if reached := {name: value for name, value in settings.items() if "." in name}:
        options["views"] = _views_with(items.kind, reached)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"{method} has no setting {unknown[0]!r}: it has {', '.join(sorted(known))}")
    shown = encoder if isinstance(encoder, str) else type(encoder).__name__
    encoder_why = ""
    if "encoder" in known:
        default = shown == "auto"
        reason = "suits the data and this machine" if default else "kept as it is" if method == "none" else "as asked"
        name = DEFAULT.get(items.kind, "gcn") if default else shown
        encoder_why = f"{name}: {f'what {method} wants' if encoder is own and not default else reason}"
    return kind(**options), why, encoder_why


def _tournament(
    items: Items, encoder: Any, settings: dict[str, Any], epochs: int | None, seed: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Which method to train, as config.json keeps it, so that a resumed run needs no second tournament."""
    from unlabeled.tournament import tournament

    played = tournament(items, lambda name: choose(items, name, encoder, settings, epochs, seed)[0], seed=seed, say=tell)
    return played.as_dict() | {"said": played.sentence()}


def _views_with(kind: str, settings: dict[str, Any]) -> Any:
    """The kind's own views with some fields changed: views.local=4, policy.grey=0.1 (of pictures)."""
    from unlabeled.views import views_for

    views: Any = views_for(kind)
    for name, value in settings.items():
        owner, _, field = name.partition(".")
        target: Any = views if owner == "views" else getattr(views, "policy", None) if owner == "policy" else None
        known = [f.name for f in fields(target)] if target is not None else []
        if field not in known:
            raise InputError(f"no setting {name!r}: {owner} has {', '.join(known)}" if known else f"no setting {name!r} for {kind}s")
        try:
            changed = replace(target, **{field: value})
        except (ValueError, TypeError) as error:
            raise InputError(f"{name}: {error}") from None
        views = changed if owner == "views" else replace(views, policy=changed)
    return views


def write_report(run: Run, items: Items | None, model: Any, *, say: Callable[[str], None] | None = None, seed: int = 0) -> Path:
    """Judge, group, map and write report.json and report.html. items: as they were read, None when they are gone."""
    from unlabeled import evaluate, judge, report, tasks

    tell = say or (lambda line: None)
    vectors = np.asarray(run.vectors)
    clusters = run.clusters(seed=seed)
    rows: list[dict[str, Any]] = []
    verdict = "The items are no longer where they were read from, so there are no baselines to judge against."
    if items is not None and model is not None:
        found = judge.arms(model, items, seed=seed)
        found[0].vectors = vectors
        rows = judge.judge(found, items, seed=seed)
        verdict = judge.verdict(rows)
    collapse = evaluate.collapse(vectors[judge.pick(len(vectors), 10_000, seed)])
    tell(verdict)
    tell(collapse.verdict)
    positions = evaluate.map2d(vectors, seed=seed)
    run.set_columns(x=positions[:, 0], y=positions[:, 1])
    kept = run.config
    about = kept["items"]
    facts = {
        "description": kept.get("described") or f"{len(run):,} {run.kind}s",
        "unreadable": about["unreadable"],
        "notes": about["notes"],
    }
    method = {
        "name": kept.get("class", "").rpartition(".")[2] or "imported vectors",
        "why": kept.get("why", ""),
        "encoder": (kept.get("encoder") or {}).get("name", ""),
        "encoder_why": kept.get("encoder_why", ""),
        "settings": kept.get("parameters", {}),
        "seconds": kept.get("train_seconds", 0.0),
        "epochs": len(kept.get("loss_curve", [])),
        "device": kept.get("device", ""),
        "seed": seed,
    }
    content = report.build(
        run,
        facts=facts,
        method=method,
        curve=kept.get("loss_curve", []),
        arms=rows,
        verdict=verdict,
        collapse=collapse.verdict,
        judged_on=f"{min(len(run), judge.SAMPLE):,} of {len(run):,} items, {judge.REPEATS} samples, seed {seed}",
        clusters=clusters,
        k_chosen=(run._clusters_file() or {}).get("how", ""),
        positions=positions,
        duplicates=tasks.near_duplicates(vectors),
        outliers=tasks.outliers(vectors),
    )
    write_json(run.path / "report.json", content)
    write_text(run.path / "report.html", report.render(content))
    return run.path / "report.html"


def labels_of(run: Run, path: str | Path, column: str | None = None) -> list[Any]:
    """One label for each item of the run, from a CSV or Parquet file with an id column and a label column; "" where it has none."""
    import csv

    path = Path(path)
    if not path.exists():
        raise InputError(f"no file {str(path)!r}: give a CSV with the columns id and label")
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        table: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    else:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            table = list(csv.DictReader(file))
    if not table:
        raise InputError(f"{path} is empty: give a CSV with the columns id and label")
    names = list(table[0])
    chosen = column or next((n for n in names if n.lower() in ("label", "class", "target", "y")), names[-1])
    if chosen not in names:
        raise InputError(f"{path} has no column {chosen!r}: it has {', '.join(names)}")
    key = next((n for n in names if n.lower() in ("id", "ids", "file", "filename", "path", "name")), None)
    if key is None:
        if len(table) != len(run):
            raise InputError(f"{path} has {len(table)} rows and no id column, the run has {len(run)} items: add a column id")
        return [row[chosen] for row in table]
    said = {str(row[key]): row[chosen] for row in table}
    found = [said.get(name, "") for name in run.ids]
    if not any(str(label) != "" for label in found):
        raise InputError(f"no id of {path} is in the run: it has {table[0][key]!r}, the run has {run.ids[0]!r}")
    return found


def _keep(out: Path, items: Items, model: Any, more: dict[str, Any], tell: Callable[[str], None], seed: int, embedding: Any) -> Run:
    """Embed everything and finish the run folder; large sets of vectors go straight to disk."""
    width = int(model._n_features_out)
    target = None
    if len(items) * width * 4 > BIG:
        (out / "cache").mkdir(exist_ok=True)
        target = np.lib.format.open_memmap(out / "cache" / "vectors.npy", mode="w+", dtype=np.float32, shape=(len(items), width))
    vectors = model.transform(items, out=target, progress=embedding)
    if items.kind == "text" and len(items) >= LOOK_FROM:
        _first_look(items, vectors, tell, seed)
    model.save(out, **read_config(out))  # the run isn't done yet: its state must go on saying so
    config = model.description() | more | {"described": items.describe()}
    if items.kind in GRAPHS:
        from unlabeled.data.graph_files import save_graph

        save_graph(items.values, out / GRAPH)
    run = Run.create(out, items, vectors, config=config, finish=True)
    return run  # type: ignore[return-value]


def _first_look(items: Items, vectors: np.ndarray, tell: Callable[[str], None], seed: int) -> None:
    """A first answer while the rest is still being made: twenty topics and their names."""
    from unlabeled import tasks

    labels = tasks.cluster(vectors, k=LOOK, seed=seed).labels
    tell(f"a first look, {LOOK} topics:")
    for number, name in enumerate(tasks.name_clusters(items.take(np.arange(len(items))), labels)):
        tell(f"  {int((labels == number).sum()):>6,}  {name}")


def _folder_for(data: Any, out: str | Path | None, resume: bool) -> Path:
    if out is not None:
        return Path(out)
    name = re.sub(r"[^\w.-]+", "-", Path(data).resolve().stem if isinstance(data, str | Path) else "data").strip("-.") or "data"
    folder, number = RUNS / name, 2
    while folder.exists() and not resume and read_state(folder) == "done":
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def read_state(folder: Path) -> str | None:
    """ "training", "done", or None where there is no run."""
    try:
        return read_config(folder).get("state")
    except InputError:
        return None


def _state(out: Path, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """The config of a run that is to be resumed or replaced; InputError when the folder must be left alone."""
    if not out.exists():
        if resume:
            raise InputError(f"{out} isn't there: nothing to resume; leave --resume out to start it")
        return None
    if out.is_file():
        raise InputError(f"{out} is a file: give the name of a folder for the run")
    if not any(out.iterdir()):
        return None
    config = read_config(out) if (out / "config.json").exists() else None
    if config is None or "state" not in config:
        raise InputError(f"{out} isn't empty and isn't a run: give the name of a new folder")
    if config.get("format", 1) > 1:
        raise InputError(f"{out} was made by a newer unlabeled (format {config['format']}): upgrade, or give another folder")
    if overwrite and not resume:
        return config
    if config["state"] == "done":
        raise InputError(f"{out} already holds a finished run: give another folder with --out, or replace it with --overwrite")
    if not resume:
        raise InputError(f"{out} holds a run that was stopped: finish it with --resume, or start again with --overwrite")
    return config


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    return ", ".join(f"{k} {before.get(k)!r}, now {v!r}" for k, v in now.items() if before.get(k) != v)


def _picture_size(encoder: Any) -> int | None:
    from unlabeled.encoders import is_pretrained

    return 224 if is_pretrained(encoder) and encoder != "minilm" else None


def _source(data: Any) -> str:
    return os.fspath(data) if isinstance(data, str | Path) else type(data).__name__


def _name_of(model: Any) -> str:
    from unlabeled.methods import NAMED

    path = f"{type(model).__module__}.{type(model).__qualname__}"
    return next((name for name, where in NAMED.items() if where == path), type(model).__name__)


def _index_line(run: Run) -> str:
    from unlabeled.representation.index import describe

    return str(describe(run.index_info))


def _machine() -> str:
    """The processor or GPU that trained, and with how many threads."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def _stem(name: str) -> str:
    return f"like {name}"


__all__ = ["Cluster", "Hit", "Run", "choose", "import_vectors", "labels_of", "learn", "open", "write_report"]
