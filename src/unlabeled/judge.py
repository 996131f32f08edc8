"""A representation beside its baselines: raw data, PCA, a random encoder, the untouched pretrained encoder.

Every arm sees the same items; vectors are compared after subtracting their mean. No label is used but in `with_labels`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unlabeled.data import Items
from unlabeled.data.items import GRAPHS
from unlabeled.evaluate.labelfree import draw as pick
from unlabeled.learner import family

Embed = Callable[[Items], np.ndarray]
SAMPLE = 2000  # items that label-free measures are taken on
PARTS = 600  # items that are embedded in two parts
ASKED = 3000  # hidden facts that are asked for
HIDDEN_MOST = 500_000  # edges, or facts, of a graph that is learned anew with some hidden
REPEATS = 3  # samples of them, for the spread


@dataclass
class Arm:
    """One way to turn items into vectors."""

    name: str  # "learned", "raw", "PCA", "random encoder", "pretrained"
    embed: Embed
    vectors: np.ndarray | None = None  # of all items, where they are at hand
    model: Any = None  # the estimator, where it has to learn anew to be judged


def arms(model: Any, items: Items, *, seed: int = 0) -> list[Arm]:
    """The learned representation first, then what it has to beat. model: a fitted estimator; items: what it was fitted on."""
    from sklearn.base import clone

    from unlabeled.encoders import is_pretrained
    from unlabeled.methods import method
    from unlabeled.methods.frozen import Frozen

    if items.kind == "triples":
        return [Arm("learned", lambda x: clone(model).fit(x).transform(x), model=model)]
    if items.kind in GRAPHS:
        return _graph_arms(model, items, seed)
    trained = not isinstance(model, Frozen)
    chosen = getattr(model, "encoder", "auto")
    found = [Arm("learned" if trained else ("pretrained" if is_pretrained(chosen) else "as it is"), model.transform)]
    sample = items.subset(pick(len(items), 10_000, seed))
    if items.kind == "text":
        if not isinstance(model, method("tfidf-svd")):
            found.append(Arm("TF-IDF + SVD", method("tfidf-svd")(seed=seed).fit(sample).transform))
        if not trained or not hasattr(model, "net_"):
            found.append(Arm("random n-grams", Frozen(encoder="ngrams", seed=seed).fit(sample).transform))
    else:
        scale = _scale(sample)
        raw: Embed = lambda x: _raw(x, scale)  # noqa: E731
        found.append(Arm("raw", raw))
        found.append(Arm("PCA", _pca(raw, sample)))
    if trained and hasattr(model, "net_"):
        found.append(Arm("random encoder", clone(model).untrained(sample).transform))
        if is_pretrained(chosen):
            found.append(Arm("pretrained", Frozen(encoder=chosen, seed=seed).fit(sample).transform))
    return found


def judge(found: list[Arm], items: Items, *, seed: int = 0) -> list[dict[str, Any]]:
    """Label-free measures of each arm, each as {"mean", "std"} over three samples of the items.

    rankme, uniformity, mean_cosine, std_sqrt_d (unlabeled.evaluate) on up to 2,000 items; on up to 600, half_retrieval: how often
    one part of an item finds its other part among all the others', and half_neighbours: share of the ten nearest items that
    both parts agree on.
    """
    from unlabeled import evaluate

    if items.kind in GRAPHS:
        return (_judge_facts if items.kind == "triples" else _judge_graph)(found, items, seed)
    rows: list[dict[str, Any]] = [{"name": arm.name} for arm in found]
    for repeat in range(REPEATS if len(items) > 100 else 1):
        chosen = pick(len(items), SAMPLE, seed + repeat)
        sample = items.subset(chosen)
        first, second = halves(items.subset(pick(len(items), PARTS, seed + repeat)), seed + repeat)
        for row, arm in zip(rows, found, strict=True):
            z = arm.embed(sample) if arm.vectors is None else np.asarray(arm.vectors[chosen])
            a, b = arm.embed(first), arm.embed(second)
            row["dim"] = int(z.shape[1])
            values = {}
            if len(sample) > 2:
                if family(items.kind) != "vector":  # halves of raw vectors share no feature: they could never find each other
                    values["half_retrieval"] = evaluate.half_retrieval(a, b)
                values["half_neighbours"] = evaluate.neighbour_overlap(a, b, k=min(10, len(first) - 1), seed=seed)
                values["uniformity"], values["mean_cosine"] = evaluate.uniformity(z), evaluate.mean_cosine(z)
                values["std_sqrt_d"], values["rankme"] = evaluate.std_sqrt_d(z), evaluate.rankme(z)
            for name, value in values.items():
                row.setdefault(name, []).append(float(value))
    return _told(rows)


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        for name, value in row.items():
            if isinstance(value, list):
                row[name] = {"mean": float(np.mean(value)), "std": float(np.std(value))}
    return rows


def _graph_arms(model: Any, items: Items, seed: int) -> list[Arm]:
    """Each arm learns anew from the graph it is given: edges are hidden from all of them alike."""
    from sklearn.base import clone

    from unlabeled.data.graphs import Graph
    from unlabeled.methods.graphs.adjacency_svd import AdjacencySVD

    def joined(x: Items) -> Items:
        graph = x.values if isinstance(x.values, Graph) else _as_graph(x.values)
        return Items("graph", graph, list(x.ids))

    found = [Arm("learned", lambda x: clone(model).fit(x).transform(x))]
    if not isinstance(model, AdjacencySVD):
        found.append(Arm("adjacency SVD", lambda x: AdjacencySVD(seed=seed).fit(joined(x)).transform(joined(x))))
    if items.values.features is not None:
        found.append(Arm("features", lambda x: x.values.features.toarray()))
    if hasattr(model, "net_"):
        found.append(Arm("random encoder", lambda x: clone(model).untrained(x).transform(x)))
    return found


def _as_graph(values: Any) -> Any:
    """Hypergraphs, graphs of several relations and facts as one graph."""
    made = next(getattr(values, name) for name in ("cliques", "union", "graph") if hasattr(values, name))
    return made()


def _judge_graph(found: list[Arm], items: Items, seed: int) -> list[dict[str, Any]]:
    """links_found: a tenth of the edges is hidden and everything learns anew; how often is a hidden edge nearer (cosine) than a pair that
    is none? With the spread over three thirds of the hidden edges. Groups and facts aren't hidden: their kinds get the other measures.
    """
    from unlabeled import evaluate
    from unlabeled.data.graphs import Graph
    from unlabeled.parts.links import link_scores, link_split
    from unlabeled.parts.scale import unit

    rows: list[dict[str, Any]] = [{"name": arm.name} for arm in found]
    graph = items.values
    hide = isinstance(graph, Graph) and 30 <= graph.n_edges <= HIDDEN_MOST
    split = link_split(graph.undirected(), 0.0, 0.1, seed) if hide else None
    # Hidden are pairs: of two arcs between the same nodes one would tell the other.
    left = Items("graph", graph.without(np.concatenate([split.test, split.test[:, ::-1]])), list(items.ids)) if split else items
    for row, arm in zip(rows, found, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of nodes that lost all their edges: we hid them
            z = arm.vectors if arm.vectors is not None and split is None else arm.embed(left)
        row["dim"] = int(z.shape[1])
        for repeat in range(REPEATS if split or len(items) > 100 else 1):
            if split:
                units = unit(z)
                thirds = (np.arange(repeat, len(part), REPEATS) for part in (split.test, split.test_none))
                parts = [part[rows_] for part, rows_ in zip((split.test, split.test_none), thirds, strict=True)]
                scores = [(units[part[:, 0]] * units[part[:, 1]]).sum(axis=1) for part in parts]
                row.setdefault("links_found", []).append(link_scores(*scores)["auc"])
            sample = np.asarray(z[pick(len(z), SAMPLE, seed + repeat)])
            for name in ("uniformity", "mean_cosine", "std_sqrt_d", "rankme"):
                row.setdefault(name, []).append(float(getattr(evaluate, name)(sample)))
    return _told(rows)


def _judge_facts(found: list[Arm], items: Items, seed: int) -> list[dict[str, Any]]:
    """facts_found: a tenth of the facts is hidden and the model learns anew; the mean of 1 / rank of the right answer among all entities,
    asked for tails and heads, other known facts left out. Beside it how often an entity is an answer to the relation (frequency).
    """
    from sklearn.base import clone

    from unlabeled import evaluate
    from unlabeled.parts.ranking import Known, filtered_ranks, rank_scores

    arm, triples = found[0], items.values
    z = np.asarray(arm.vectors if arm.vectors is not None else arm.embed(items))
    rows: list[dict[str, Any]] = [{"name": "learned", "dim": int(z.shape[1])}]
    for repeat in range(REPEATS):
        sample = z[pick(len(z), SAMPLE, seed + repeat)]
        for name in ("uniformity", "mean_cosine", "std_sqrt_d", "rankme"):
            rows[0].setdefault(name, []).append(float(getattr(evaluate, name)(sample)))
    if hasattr(arm.model, "scores") and 30 <= triples.n_edges <= HIDDEN_MOST:
        order = np.random.default_rng(seed).permutation(triples.n_edges)
        hidden, left = order[: triples.n_edges // 10][:ASKED], order[triples.n_edges // 10 :]
        part = triples.take(np.sort(left))
        model = clone(arm.model).fit(part)
        counts = np.zeros((2, len(triples.relations), len(triples)), np.float32)
        for side, column in enumerate((2, 0)):
            np.add.at(counts[side], (part.facts[:, 1], part.facts[:, column]), 1)
        known = Known(triples.facts, len(triples))
        rows.append({"name": "frequency"})
        for row, score in zip(rows, (model.scores, lambda facts, heads: counts[int(heads), facts[:, 1]]), strict=True):
            for repeat in range(REPEATS):
                ranks = filtered_ranks(score, triples.facts[hidden[repeat::REPEATS]], known)
                row.setdefault("facts_found", []).append(rank_scores(ranks)["mrr"])
    return _told(rows)


def halves(items: Items, seed: int = 0) -> tuple[Items, Items]:
    """Two parts of every item.

    Pictures: two random crops of at least half the area. Texts: the first and the second half of the words. Vectors and
    tables: the even and the odd features, the others at their mean.
    """
    index = np.arange(len(items))
    if items.kind == "text":
        words = [text.split() for text in items.take(index)]
        cut = [max(1, len(w) // 2) for w in words]
        first: Any = [" ".join(w[:c]) for w, c in zip(words, cut, strict=True)]
        second: Any = [" ".join(w[c:] or w) for w, c in zip(words, cut, strict=True)]
    elif items.kind == "image":
        first, second = (_crops(items.take(index), seed * 2 + part) for part in range(2))
    else:
        values = np.asarray(items.take(index), dtype=np.float32)
        mean = values.mean(axis=0)
        even = np.arange(values.shape[1]) % 2 == 0
        first, second = np.where(even, values, mean), np.where(even, mean, values)
    return Items(items.kind, first, list(items.ids)), Items(items.kind, second, list(items.ids))


def verdict(rows: list[dict[str, Any]]) -> str:
    """One sentence: whether the first arm is better than the others, as far as can be said without labels.

    Graphs are judged by edges that were hidden from all; others by half_retrieval, vectors by half_neighbours: on pictures and texts
    these ordered representations most as k-NN with labels does; on vectors none did reliably (docs/defaults.md). They lean towards
    what was trained on crops and corruptions: that is why a gap has to be beyond twice the spread, and why all measures stand in the
    report.
    """
    measure = next((name for name in ("facts_found", "links_found", "half_retrieval", "half_neighbours") if rows and name in rows[0]), None)
    if len(rows) < 2 or measure is None:
        return "Too few items, or nothing to compare with, to judge the representation without labels."
    own, others = rows[0][measure], {row["name"]: row[measure] for row in rows[1:]}
    best = max(others, key=lambda name: others[name]["mean"])
    gap, spread = own["mean"] - others[best]["mean"], 2 * max(own["std"], others[best]["std"], 0.005)
    found, agreed = (
        "one part of an item finds its other part {:.0%} of the time",
        "the two halves of an item share {:.0%} of their neighbours",
    )
    hidden = "an edge it never saw is nearer than a pair that is none {:.0%} of the time"
    ranked = "the mean of 1 / rank of a fact it never saw is {:.2f}"
    words = {"facts_found": ranked, "links_found": hidden, "half_retrieval": found, "half_neighbours": agreed}[measure]
    said = words.format(own["mean"]) + f", {others[best]['mean']:{'.2f' if measure == 'facts_found' else '.0%'}} with {best}"
    if rows[0]["name"] != "learned":
        better = "the best of what was compared" if gap > spread else f"no better than {best}" if gap > -spread else f"worse than {best}"
        return f"The representation is {better}: {said}."
    if gap > spread:
        return f"Training helped: {said}, the best of what it was compared with."
    if gap > -spread:
        return f"Training did not help: {said}, which is no difference beyond chance. Prefer {best}, it costs less."
    return f"Training did not help: {said}. By this measure {best} is better: train longer, or use it instead."


def with_labels(found: list[Arm], items: Items, labels: Any, *, folds: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """k-NN and linear probe, clustering accuracy, NMI and ARI of each arm, each as {"mean", "std"}. See evaluate.probes."""
    from unlabeled import evaluate

    return evaluate.probes({arm.name: arm.embed(items) for arm in found}, labels, folds=folds, seed=seed)  # type: ignore[no-any-return]


def _crops(values: np.ndarray, seed: int) -> np.ndarray:
    import torch

    from unlabeled.views.images import WHOLE, augment, to_batch

    policy = replace(WHOLE, scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3))
    generator = torch.Generator().manual_seed(seed)
    views, _ = augment(to_batch(torch.from_numpy(np.ascontiguousarray(values))), policy, generator=generator)
    return (views * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _scale(items: Items) -> Any:
    """Side of the raw pictures (at most 32 pixels), or mean and spread of each feature."""
    if items.kind == "image":
        return min(32, *items.values.shape[1:3])
    values = np.asarray(items.take(np.arange(len(items))), dtype=np.float32)
    spread = values.std(axis=0)
    return values.mean(axis=0), np.where(spread > 0, spread, 1), items.kind == "table"


def _raw(items: Items, scale: Any) -> np.ndarray:
    values = items.take(np.arange(len(items)))
    if items.kind != "image":
        mean, spread, table = scale
        return ((values - mean) / (spread if table else 1)).astype(np.float32)
    import torch

    from unlabeled.views.images import to_batch

    pictures = to_batch(torch.from_numpy(np.ascontiguousarray(values)))
    if tuple(pictures.shape[2:]) != (scale, scale):
        pictures = torch.nn.functional.interpolate(pictures, size=(scale, scale), mode="bilinear", antialias=True, align_corners=False)
    return pictures.flatten(1).numpy()


def _pca(raw: Embed, sample: Items) -> Embed:
    """Principal components whitened as the learned vectors of pictures are: without that the comparison would flatter us."""
    from unlabeled.parts.whiten import Whitening

    whitening = Whitening.fit(raw(sample), 0.75 if sample.kind == "image" else 0.0, 64)
    return lambda x: whitening.transform(raw(x))
