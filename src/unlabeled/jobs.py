"""Tasks on a run: each works on the run's vectors, writes its result back as columns, and says what it found.

Columns are what search, the page and an export can use. Every function gives a dict that JSON can hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled import tasks
from unlabeled.errors import InputError
from unlabeled.run import Run, labels_of

CLASSIFIERS = {
    "probe": "unlabeled.tasks.classify.CalibratedProbe",
    "mean": "unlabeled.tasks.classify.NearestClassMean",
    "propagation": "unlabeled.tasks.classify.LabelPropagation",
    "sea": "unlabeled.tasks.few_shot.sea.SeA",
    "dlds": "unlabeled.tasks.semi_supervised.dlds.DeepLDS",
}
TOPIC_TEXTS, DRAWS = 20_000, 3  # texts that the coherence of topics is counted in; draws of random groups beside it
REDUCTIONS = ("tldr", "pca", "tour", "lumap", "isomap", "single-linkage")


def duplicates(run: Run, threshold: float | None = None, seed: int = 0) -> dict[str, Any]:
    """Groups of near-duplicates. Columns: `duplicate_group` (-1: none) and `duplicate` (true for all of a group but its first)."""
    groups = tasks.near_duplicates(np.asarray(run.vectors), threshold=threshold, seed=seed)
    group, extra = np.full(len(run), -1, np.int64), np.zeros(len(run), bool)
    for number, (rows, _) in enumerate(groups):
        group[rows], extra[rows[1:]] = number, True
    run.set_columns(duplicate_group=group, duplicate=extra)
    return {
        "items": len(run),
        "extra": int(extra.sum()),
        "groups": [{"similarity": round(similarity, 4), "ids": [run.ids[row] for row in rows]} for rows, similarity in groups],
    }


def outliers(run: Run, m: int = 20, seed: int = 0) -> dict[str, Any]:
    """The m oddest items. Column: `outlier_score`, of all items, the mean distance to their ten nearest ones (0 to 2)."""
    rows, scores = tasks.outliers(np.asarray(run.vectors), m=len(run), seed=seed)
    column = np.empty(len(run), np.float32)
    column[rows] = scores
    run.set_columns(outlier_score=column)
    return {"items": [{"id": run.ids[row], "score": round(score, 4)} for row, score in zip(rows[:m], scores[:m], strict=True)]}


def curate(run: Run, n: int, levels: Sequence[int] | None = None, seed: int = 0) -> dict[str, Any]:
    """A balanced subset of n items by hierarchical k-means. Columns: `curated` (bool) and `curation_cluster` (the coarsest level's).

    levels: clusters of each level, falling; None: by the number of items. Remove near-duplicates first: they draw clusters to them.
    """
    from unlabeled.tasks.curate.hierarchical_curation import HierarchicalKMeans

    if not 1 <= n <= len(run):
        raise InputError(f"n={n} of {len(run)} items: wanted 1 to {len(run)}")
    model = HierarchicalKMeans(levels=None if levels is None else tuple(levels), seed=seed).fit(run.vectors)
    rows, top = model.sample(n), model.labels(len(model.tree_))
    chosen = np.zeros(len(run), bool)
    chosen[rows] = True
    run.set_columns(curated=chosen, curation_cluster=top)
    drawn = np.random.default_rng(seed).choice(len(run), n, replace=False)
    shares = [np.bincount(top[which], minlength=int(top.max()) + 1) / n for which in (rows, drawn)]
    return {
        "chosen": n,
        "of": len(run),
        "levels": [len(centers) for centers in model.centers_],
        "evenness": round(_evenness(shares[0]), 3),
        "evenness_at_random": round(_evenness(shares[1]), 3),
        "ids": [run.ids[row] for row in rows],
    }


def classify(
    run: Run,
    labels: Any,
    *,
    column: str | None = None,
    method: str = "probe",
    folds: int = 5,
    seed: int = 0,
    settings: Any = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Classes for all items from the labels of some. Columns: `predicted` and `confidence` (the probability of that class).

    labels: one for each item (-1, "" or None: no label), a file (see `labels_of`), or the name of one of the run's columns.
    The accuracy is that of labelled items that the classifier had not seen, over `folds` parts of them. progress: called with
    (done, total) of the classifiers to be fitted, one a fold and the last.
    """
    y = np.array(values_of(run, labels, column), dtype=str)
    found = classified(np.asarray(run.vectors) - run.center, y, method, folds=folds, seed=seed, settings=settings, progress=progress)
    run.set_columns(predicted=found.predicted.tolist(), confidence=found.confidence)
    return found.summary() | {"unsure": [run.ids[row] for row in np.argsort(found.confidence)[:10]]}


@dataclass(frozen=True)
class Classified:
    """Classes for all items: `predicted` str [n], `confidence` float32 [n], and how well that works on labelled items held out."""

    method: str
    labels: int
    largest: float  # share of the labels that the largest class has
    scores: list[float]  # accuracy, one a fold
    predicted: np.ndarray
    confidence: np.ndarray

    def summary(self) -> dict[str, Any]:
        names, counts = np.unique(self.predicted, return_counts=True)
        held_out = self.scores and {"mean": float(np.mean(self.scores)), "std": float(np.std(self.scores)), "folds": len(self.scores)}
        return {
            "method": self.method,
            "labels": self.labels,
            "items": len(self.predicted),
            "accuracy": held_out or None,
            "largest_class": self.largest,
            "classes": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        }


def classified(
    Z: np.ndarray,
    y: np.ndarray,
    method: str = "probe",
    *,
    folds: int = 5,
    seed: int = 0,
    settings: Any = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Classified:
    """What `classify` finds, of centred vectors Z [n, d] and labels y, str [n]; nothing is kept."""
    from importlib import import_module

    from sklearn.base import clone

    from unlabeled.evaluate.probes import _folds, check_labels

    if method not in CLASSIFIERS:
        raise InputError(f'no classifier is called "{method}": choose one of {", ".join(CLASSIFIERS)}')
    module, _, name = CLASSIFIERS[method].rpartition(".")
    kind = getattr(import_module(module), name)
    unknown = [key for key in settings or {} if key not in kind.__dataclass_fields__]
    if unknown:
        raise InputError(f"{method} has no setting {unknown[0]!r}: it has {', '.join(kind.__dataclass_fields__)}")
    keep, codes = check_labels(y, len(Z))
    y = np.where(keep, y, "")
    model = kind(**({"seed": seed} if "seed" in kind.__dataclass_fields__ else {}) | (settings or {}))
    rows, scores = np.flatnonzero(keep), []
    size = np.bincount(codes, minlength=2)
    if size.min() >= 2 and len(size) > 1:
        fold_of = _folds(codes, min(folds, int(size.max())), seed)
        folds = int(fold_of.max()) + 1
        for fold in range(folds):
            progress(fold, folds + 1)
            part = y.copy()
            part[rows[fold_of == fold]] = ""
            if len(np.unique(part[part != ""])) > 1 and (fold_of == fold).any():
                fitted = clone(model).fit(Z, part)
                scores.append(float((fitted.predict(Z[rows[fold_of == fold]]) == y[rows[fold_of == fold]]).mean()))
    progress(folds, folds + 1)
    fitted = model.fit(Z, y)
    progress(folds + 1, folds + 1)
    probability = fitted.predict_proba(Z)
    predicted = fitted.classes_[probability.argmax(axis=1)].astype(str)
    confidence = probability.max(axis=1).astype(np.float32)
    return Classified(method, int(keep.sum()), float(size.max() / max(1, size.sum())), scores, predicted, confidence)


def suspects(run: Run, labels: Any, *, column: str | None = None, m: int = 20, seed: int = 0) -> dict[str, Any]:
    """Items whose label is probably wrong (confident learning). Columns: `suspect` (bool), `suspect_score` and `suspected_class`."""
    from unlabeled.evaluate.probes import check_labels
    from unlabeled.tasks.noisy_labels.suspects import label_suspects

    y = np.array(values_of(run, labels, column), dtype=str)
    keep, _ = check_labels(y, len(run))
    y = np.where(keep, y, "")
    found = label_suspects(np.asarray(run.vectors), y, seed=seed)
    flag, likely = np.zeros(len(run), bool), np.full(len(run), "", dtype=object)
    flag[found.rows] = True
    likely[found.rows] = [str(name) for name in found.likely]
    run.set_columns(suspect=flag, suspect_score=np.nan_to_num(found.score, nan=0).astype(np.float32), suspected_class=likely.tolist())
    return {
        "labels": int(keep.sum()),
        "suspects": len(found.rows),
        "share_wrong": round(found.wrong, 4),
        "items": [
            {"id": run.ids[row], "label": str(given), "likely": str(name), "score": round(float(found.score[row]), 4)}
            for row, given, name in zip(found.rows[:m], found.given, found.likely, strict=False)
        ],
    }


def graph(run: Run, path: str | Path, k: int = 15, *, mutual: bool = False, weight: str = "similarity", seed: int = 0) -> dict[str, Any]:
    """The graph of each item's k nearest neighbours, written to a file, for graph tools and graph methods.

    .csv, .tsv or .parquet: an edge a row, `source`, `target` (ids) and `weight`, each edge once; .npz: the symmetric matrix
    [n, n] as `scipy.sparse.load_npz` reads it, in the order of the run's ids. mutual, weight: see `parts.neighbours.knn_graph`.
    """
    from scipy import sparse

    from unlabeled.parts.neighbours import knn_graph

    path = Path(path)
    if path.suffix not in (".npz", ".csv", ".tsv", ".parquet"):
        raise InputError(f"{path.name!r}: wanted a name that ends in .csv, .tsv, .parquet or .npz")
    joined = knn_graph(np.asarray(run.vectors) - run.center, k, mutual=mutual, weight=weight, seed=seed)
    edges = sparse.triu(joined, format="coo")
    if path.suffix == ".npz":
        sparse.save_npz(path, joined)
    else:
        _write_edges(path, run.ids, edges)
    parts, size = sparse.csgraph.connected_components(joined, directed=False)[0], np.diff(joined.indptr)
    return {
        "items": len(run),
        "edges": int(edges.nnz),
        "components": int(parts),
        "without_an_edge": int((size == 0).sum()),
        "most_edges": int(size.max()),
        "file": str(path),
    }


def concepts(run: Run, k: int = 20, seed: int = 0) -> dict[str, Any]:
    """Directions that the vectors are made of, most important first. Columns: `concept` (the strongest) and `concept_score`."""
    from unlabeled.tasks.concepts.directions import concepts as find

    found = find(np.asarray(run.vectors), min(k, len(run), run.vectors.shape[1]), seed=seed)
    strongest = found.scores.argmax(axis=1)
    run.set_columns(concept=strongest, concept_score=found.scores.max(axis=1).astype(np.float32))
    listed = []
    for number in range(found.scores.shape[1]):
        rows = np.argsort(-found.scores[:, number], kind="stable")[:6]
        own = np.flatnonzero(strongest == number)
        listed.append(
            {
                "concept": number,
                "importance": round(float(found.importance[number]), 4),
                "items": int(len(own)),
                "examples": [run.ids[row] for row in rows],
            }
        )
    if run.texts is not None:
        for entry, name in zip(listed, _names(run.texts, found.scores), strict=True):
            entry["name"] = name
    return {"concepts": listed}


def topics(
    run: Run,
    k: int | str = "auto",
    *,
    column: str | None = None,
    time: str | Path | Sequence[Any] | None = None,
    bins: int = 10,
    levels: Sequence[int] | bool = False,
    llm: Any = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """What the texts of a run are about: groups of like items, their words, names and sizes. Columns: `topic` and `topic_name`.

    k: how many; "auto" as in `tasks.cluster`. column: the column with the texts, where the items aren't texts themselves. time: a column, a
    file (see `labels_of`) or one value an item: each topic's share of the items of each of `bins` stretches of time. levels: numbers of
    groups of topics, falling, or True for a third, a third of that, ...; column `topic_group`, the finest. llm: names the topics, see
    `tasks.topics.describe.name_topics`; what it can't name keeps its words. progress: called with (done, total) of the topics named.

    "coherence" and "diversity" (`evaluate.topics`) are of ten words a topic on the run's own texts, up to TOPIC_TEXTS of them; beside
    them those of groups drawn at random, of the same sizes, mean and standard deviation of DRAWS. InputError: no texts, no such column.
    """
    from unlabeled.parts.times import read_times, time_bins
    from unlabeled.tasks.topics import describe

    texts, where = _texts_of(run, column)
    when = None if time is None else read_times(_times_of(run, time))
    labels, how = _grouped(run, k, seed)
    size = np.bincount(labels)
    bags = describe.Bags.of(texts)
    words = bags.topics(labels)
    names = [", ".join(some[:4]) or f"topic {number}" for number, some in enumerate(words)]
    Z = np.asarray(run.vectors)
    shown = [[(run.ids[row], _line(texts[row])) for row in rows] for rows in tasks.central(Z, labels, 5)]
    if llm is not None:
        said = []
        for number in range(len(size)):
            said += describe.name_topics(llm, words[number : number + 1], [[text for _, text in shown[number]]])
            progress(number + 1, len(size))
        names = [name or words_alone for name, words_alone in zip(said, names, strict=True)]
    listed: list[dict[str, Any]] = [
        {"topic": c, "name": names[c], "size": int(size[c]), "words": words[c], "examples": [{"id": i, "text": t} for i, t in shown[c]]}
        for c in range(len(size))
    ]
    found: dict[str, Any] = {"items": len(run), "texts": where, "how": how, "topics": listed}
    found |= _topic_quality(bags, words, labels, texts, seed)
    columns: dict[str, Any] = {"topic": labels, "topic_name": [names[c] for c in labels]}
    if when is not None:
        which, stretches = time_bins(when, bins)
        course = describe.over_time(labels, which, len(stretches))
        for c, topic in enumerate(listed):
            topic |= {"counts": course.counts[c].tolist(), "by_chance": float(course.chance[c])}
        about = {"of": time if isinstance(time, str) else "the values given", "kind": when.kind, "stretches": stretches}
        found["time"] = about | {"items": course.counts.sum(axis=0).tolist(), "missing": when.missing, "unread": when.unread}
    if levels is not False:
        groups = describe.hierarchy(describe.topic_vectors(Z, labels), None if levels is True else levels)
        titles = [[", ".join(some[:4]) or "without words" for some in bags.topics(group[labels])] for group in groups]
        found["tree"] = _tree(listed, groups, titles)
        if groups:
            columns["topic_group"] = [titles[0][group] for group in groups[0][labels]]
    run.set_columns(**columns)
    return found | {"columns": list(columns)}


def reduce(run: Run, method: str = "tldr", dim: int | None = None, out: str | Path | None = None, seed: int = 0) -> dict[str, Any]:
    """Fewer numbers an item. "tour": the items in one meaningful order, column `tour`.

    To three numbers or fewer: columns METHOD_1, METHOD_2, ... To more: a new run with the same items, `out` (default:
    RUN-METHOD-DIM), that embeds new items as this one does and then reduces them. With what share of each item's ten
    nearest neighbours is kept, beside PCA's.
    """
    from unlabeled.evaluate import neighbours_kept

    Z = np.asarray(run.vectors)
    if method not in REDUCTIONS:
        raise InputError(f'no reduction is called "{method}": choose one of {", ".join(REDUCTIONS)}')
    if method == "tour":
        from unlabeled.tasks.reduce.wordtour import WordTour

        model = WordTour(seed=seed).fit(Z)
        place = np.empty(len(run), np.int64)
        place[np.asarray(model.order_)] = np.arange(len(run))
        run.set_columns(tour=place)
        return {"method": method, "columns": ["tour"], "begins_with": [run.ids[row] for row in np.asarray(model.order_)[:10]]}
    dim = dim or (2 if method in ("lumap", "isomap", "single-linkage") else min(32, Z.shape[1]))
    if not 1 <= dim <= Z.shape[1]:
        raise InputError(f"dim={dim} of vectors of {Z.shape[1]} numbers: wanted 1 to {Z.shape[1]}")
    reduction = _reduction(method, dim, seed)
    reduced = np.asarray(reduction.fit_transform(Z), dtype=np.float32)
    k = min(10, len(run) - 1)
    said: dict[str, Any] = {"method": method, "dim": dim, "of": int(Z.shape[1])}
    said["neighbours_kept"] = round(neighbours_kept(Z, reduced, k, seed), 4)
    said["neighbours_kept_by_pca"] = round(neighbours_kept(Z, _reduction("pca", dim, seed).fit_transform(Z), k, seed), 4)
    if dim <= 3:
        names = {f"{method.replace('-', '_')}_{axis + 1}": reduced[:, axis] for axis in range(dim)}
        run.set_columns(**names)
        return said | {"columns": list(names)}
    folder = Path(out) if out is not None else run.path.with_name(f"{run.path.name}-{method}-{dim}")
    return said | {"run": str(_reduced_run(run, reduction, reduced, folder, f"{run.path.name}, reduced by {method}").path)}


def compare(
    sources: Sequence[str | Path | Run], labels: Any = None, *, column: str | None = None, k: int = 10, seed: int = 0
) -> dict[str, Any]:
    """Two or more runs or .npy files [n, d] of the same items: how alike they are, and how good each is.

    Runs are matched by their ids, arrays by row. For each pair: linear CKA and the share of the k nearest neighbours in
    common; for each: dimensions, RankMe, uniformity and mean cosine, and with labels k-NN and a linear probe (mean over folds).
    """
    from unlabeled import evaluate
    from unlabeled.evaluate.embsim import linear_cka
    from unlabeled.run import open

    if len(sources) < 2:
        raise InputError(f"{len(sources)} run to compare: wanted two or more")
    opened = [one if isinstance(one, Run) else _vectors_of(one) if str(one).endswith(".npy") else open(one) for one in sources]
    names = _distinct([str(one.path if isinstance(one, Run) else one) for one in sources])
    runs = [one for one in opened if isinstance(one, Run)]
    shared = sorted(set.intersection(*(set(one.ids) for one in runs)), key=runs[0].row_of) if runs else []
    if runs and not shared:
        raise InputError("the runs have no item in common: their ids differ")
    counts = {len(one) for one in opened if not isinstance(one, Run)} | ({len(runs[0])} if runs and len(runs) < len(opened) else set())
    if len(counts) > 1:
        raise InputError(f"arrays of {', '.join(map(str, sorted(counts)))} rows: wanted the same items in the same order")
    places = [[one.row_of(name) for name in shared] for one in runs]
    if len(runs) < len(opened) and any(rows != list(range(len(one))) for rows, one in zip(places, runs, strict=True)):
        raise InputError("runs with other ids or another order can't be compared with arrays: compare runs with runs")
    by_run = dict(zip(map(id, runs), places, strict=True))
    vectors = [np.asarray(one.vectors)[by_run[id(one)]] if isinstance(one, Run) else one for one in opened]
    n = len(vectors[0])
    k = min(k, n - 1)
    rows = evaluate.labelfree.draw(n, 10_000, seed)
    pairs = [
        {
            "a": names[i],
            "b": names[j],
            "cka": round(float(linear_cka(vectors[i], vectors[j])), 4),
            "neighbours_shared": round(float(evaluate.neighbour_overlap(vectors[i], vectors[j], k=k, seed=seed)), 4),
        }
        for i in range(len(vectors))
        for j in range(i)
    ]
    each = [
        {
            "name": name,
            "dim": int(Z.shape[1]),
            "rankme": round(evaluate.rankme(Z[rows]), 1),
            "uniformity": round(evaluate.uniformity(Z[rows]), 3),
            "mean_cosine": round(evaluate.mean_cosine(Z[rows]), 3),
        }
        for name, Z in zip(names, vectors, strict=True)
    ]
    if labels is not None:
        y = values_of(runs[0], labels, column) if runs else list(labels)
        y = [y[row] for row in places[0]] if runs else y
        for entry, found in zip(each, evaluate.probes(dict(zip(names, vectors, strict=True)), y, seed=seed), strict=True):
            entry |= {measure: found[measure] for measure in ("knn", "linear")}
    return {"items": n, "k": k, "pairs": pairs, "each": each}


def values_of(run: Run, labels: Any, column: str | None = None) -> list[Any]:
    """One label for each item: from a file, from one of the run's own columns, or as they are."""
    if isinstance(labels, str) and labels in run.columns and not Path(labels).exists():
        return list(run.column(labels))
    values = labels_of(run, labels, column) if isinstance(labels, str | Path) else list(labels)
    if len(values) != len(run):
        raise InputError(f"{len(values)} labels for {len(run)} items: give one for each, -1 where there is none")
    return values


def _texts_of(run: Run, column: str | None) -> tuple[list[str], str]:
    """One text for each item, and what they are, for people."""
    from unlabeled.data.tables import TEXT_NAMES

    if column is None and run.texts is not None:
        return run.texts, f"{len(run):,} texts"
    known = (*TEXT_NAMES, "name", "names", "alt", "alt_text", "captions")
    column = column or next((name for name in run.columns if name.lower() in known and run.column(name).dtype == object), None)
    if column is None:
        there = f"columns: {', '.join(run.columns)}" if run.columns else "there are no columns"
        raise InputError(
            f"topics are found in texts, and these {run.kind}s have no column of them that is known by its name ({there}): "
            "name it with --column, or group the items with `unlabeled cluster`"
        )
    values = run.column(column)
    if values.dtype != object:
        raise InputError(f"the column {column!r} holds {values.dtype} values: wanted one of texts")
    return ["" if value is None else str(value) for value in values], f'the column "{column}" of {len(run):,} {run.kind}s'


def _times_of(run: Run, time: str | Path | Sequence[Any]) -> Any:
    if isinstance(time, str) and time in run.columns:
        return run.column(time)
    if isinstance(time, str | Path):
        if not Path(time).exists():
            there = f"it has {', '.join(run.columns)}" if run.columns else "it has none"
            raise InputError(f"the run has no column {str(time)!r} ({there}), and there is no file of that name")
        return labels_of(run, time)
    if len(time) != len(run):
        raise InputError(f"{len(time):,} times for {len(run):,} items: wanted one each")
    return time


def _grouped(run: Run, k: int | str, seed: int) -> tuple[np.ndarray, str]:
    """Groups of the items, int64 [n], 0 the largest, and how their number came about; those of `Run.clusters` where it made the same."""
    kept = run._clusters_file()
    if kept is not None and kept["asked"] == [k, seed] and kept["database"] == run.config["database"] and "cluster" in run.columns:
        return run.column("cluster").astype(np.int64), kept["how"]
    found = tasks.cluster(np.asarray(run.vectors), k=k, seed=seed)
    return np.argsort(np.argsort(-np.bincount(found.labels), kind="stable"))[found.labels], found.how


def _topic_quality(bags: Any, words: list[list[str]], labels: np.ndarray, texts: list[str], seed: int) -> dict[str, Any]:
    """Coherence and diversity of the topics, and of as many groups of the same sizes drawn at random."""
    from unlabeled.evaluate.topics import coherence, diversity

    if not any(len(some) > 1 for some in words):
        return {"coherence": None, "diversity": None}
    rng = np.random.default_rng(seed)
    read = [texts[row] for row in np.sort(rng.permutation(len(texts))[:TOPIC_TEXTS])]
    of_words = coherence(words, read)
    drawn = [bags.topics(rng.permutation(labels)) for _ in range(DRAWS)]
    random = {"coherence": [coherence(some, read).mean for some in drawn], "diversity": [diversity(some, 10) for some in drawn]}
    each = [None if np.isnan(value) else round(float(value), 3) for value in of_words.each]
    found: dict[str, Any] = {
        "coherence": {"mean": of_words.mean, "each": each, "texts": len(read)},
        "diversity": {"mean": diversity(words, 10)},
    }
    for name, values in random.items():
        found[name] |= {"random": float(np.mean(values)), "random_std": float(np.std(values)), "draws": DRAWS}
    return found


def _tree(listed: list[dict[str, Any]], groups: list[np.ndarray], titles: list[list[str]]) -> list[dict[str, Any]]:
    """Groups within groups, the coarsest first, topics at the ends; the largest first. groups, titles: by level, the finest first.

    A group of one is that one.
    """
    nodes = [{"topic": entry["topic"], "name": entry["name"], "size": entry["size"]} for entry in listed]
    of_node = [[c] for c in range(len(listed))]  # the topics of each node
    for group, names in zip(groups, titles, strict=True):
        inside = [[i for i, own in enumerate(of_node) if group[own[0]] == g] for g in range(len(names))]
        made = [[nodes[i] for i in one] for one in inside]
        of_node = [[c for i in one for c in of_node[i]] for one in inside]
        nodes = [
            {"name": name, "size": sum(node["size"] for node in below), "children": sorted(below, key=lambda node: -node["size"])}
            if len(below) > 1
            else below[0]
            for name, below in zip(names, made, strict=True)
        ]
    return sorted(nodes, key=lambda node: -node["size"])


def _line(text: str, most: int = 300) -> str:
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _reduction(method: str, dim: int, seed: int) -> Any:
    if method == "tldr":
        from unlabeled.tasks.reduce.tldr import TLDR

        return TLDR(dim=dim, seed=seed)
    if method == "pca":
        from unlabeled.tasks.reduce.pca import PCA

        return PCA(dim=dim, seed=seed)
    from unlabeled.tasks.reduce.functorial_manifold import FunctorialEmbedding

    weights, loss = {"lumap": ("fuzzy", "laplacian"), "isomap": ("isomap", "mds"), "single-linkage": ("single", "mds")}[method]
    return FunctorialEmbedding(weights=weights, loss=loss, dim=dim, seed=seed)


def _reduced_run(run: Run, reduction: Any, reduced: np.ndarray, folder: Path, why: str) -> Run:
    """The same items and columns with other vectors, and with a model if this run has one."""
    from unlabeled.data import Items
    from unlabeled.saving import read_config, write_json
    from unlabeled.tasks.reduce.reduced import Reduced

    if folder.exists():
        raise InputError(f"{folder} is there already: give another folder with --out")
    items = run.items() or Items("vector", np.asarray(run.vectors), list(run.ids))
    columns = {name: run.column(name) for name in run.columns if name not in ("x", "y")}  # the map is of the old vectors
    items = Items(items.kind, items.take(np.arange(len(items))), list(run.ids), columns=columns)
    config: dict[str, Any] = {"class": "import_vectors", "why": why}
    try:
        if (run.path / "model.safetensors").exists():
            model = Reduced(run.model, reduction)
            folder.mkdir(parents=True)
            write_json(folder / "config.json", {"format": 1, "state": "training"})
            model.save(folder, **read_config(folder))
            config |= model.description()
        return Run.create(folder, items, reduced, config=config, finish=True)  # type: ignore[return-value]
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # it wasn't there before
        raise


def _write_edges(path: Path, ids: Sequence[str], edges: Any) -> None:
    import pyarrow as pa

    names = pa.array(list(ids), pa.string())
    table = pa.table({"source": names.take(pa.array(edges.row)), "target": names.take(pa.array(edges.col)), "weight": edges.data})
    if path.suffix == ".parquet":
        from pyarrow.parquet import write_table

        write_table(table, path)
    else:
        from pyarrow.csv import WriteOptions, write_csv

        write_csv(table, path, WriteOptions(delimiter="," if path.suffix == ".csv" else "\t"))


def _vectors_of(path: str | Path) -> np.ndarray:
    from unlabeled.parts.assign import check_vectors

    if not Path(path).exists():
        raise InputError(f"no file {str(path)!r}: give runs or .npy files")
    return check_vectors(np.load(path, mmap_mode="r"), str(path))


def _distinct(names: list[str]) -> list[str]:
    short = [Path(name).name for name in names]
    return short if len(set(short)) == len(short) else names


def _evenness(shares: np.ndarray) -> float:
    """Entropy of the shares over that of equal ones: 1 when all clusters have as many."""
    there = shares[shares > 0]
    return float(-(there * np.log(there)).sum() / np.log(len(shares))) if len(shares) > 1 else 1.0


def _names(texts: list[str], scores: np.ndarray) -> list[str]:
    """A name for each concept from the words of the texts in which it is strongest."""
    strongest = scores.argmax(axis=1)
    named = tasks.name_clusters(texts, np.unique(strongest, return_inverse=True)[1])
    by_concept = dict(zip(np.unique(strongest).tolist(), named, strict=True))
    return [by_concept.get(number, "") for number in range(scores.shape[1])]
