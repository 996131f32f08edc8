"""EREDAT: a text's and a graph's vectors find each other, and wrong graphs as negatives teach to tell a wrong one from the right one.

WebNLG (people's texts of DBpedia's facts). Five of the fifteen categories, drawn by the seed, are held out, and of the others every graph
that has a subject of theirs. Learned of graphs of up to three facts, tested on up to five. The paper's corpora (millions of pairs by
distant supervision) and people's scores of generated texts aren't at hand: here the pairs are clean and few, and a metric is judged by
graphs that are wrong in a known way.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from unlabeled.datasets.text_graphs import webnlg
from unlabeled.evaluate.retrieval import retrieval_scores
from unlabeled.methods.knowledge.eredat import TextGraphEncoder
from unlabeled.parts.scale import unit
from unlabeled.parts.text_graphs import KINDS, Corruptions, Facts, as_facts, content, plain_name
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

HELD = 5  # categories
JUDGED = 300  # graphs that are made wrong, in each way
WORN = 100  # of three facts or more, that are made wrong fact by fact


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """JSON of [graph, text], one text of each graph; y: the category."""
    data, rng = webnlg(), np.random.default_rng(seed)
    out = rng.permutation(np.unique(data.category))[:HELD]
    size = np.array([len(graph) for graph in data.graphs])
    test = rng.permutation(np.flatnonzero(np.isin(data.category, out) & (size <= 5)))
    first = np.unique([str(content(data.graphs[i])) for i in test], return_index=True)[1]
    test = test[np.sort(first)][:n_test]  # what says the same stands there once
    theirs = {fact[0] for i in np.flatnonzero(np.isin(data.category, out)) for fact in data.graphs[i]}
    learned = rng.permutation(np.flatnonzero(~np.isin(data.category, out) & (size <= 3)))
    learned = np.array([i for i in learned if not theirs & {fact[0] for fact in data.graphs[i]}][:n_train])

    def pairs(rows: np.ndarray) -> list[str]:
        shuffled = [[data.graphs[i][k] for k in rng.permutation(size[i])] for i in rows]
        return [json.dumps([graph, data.texts[i][int(rng.integers(len(data.texts[i])))]]) for graph, i in zip(shuffled, rows, strict=True)]

    return pairs(learned), data.category[learned], pairs(test), data.category[test]


def run(lab: Lab) -> Arms:
    arm = partial(TextGraphEncoder, **SETTING, examples=lab.setting(EXAMPLES, 100_000), seed=lab.seed)
    train, test = ([(as_facts(graph), text) for graph, text in map(json.loads, part)] for part in (lab.X, lab.X_test))
    base = arm().untrained(train)
    models = {"ours": lab.fit(arm(), train), "no hard negatives": lab.fit(arm(negatives=0), train)}
    lab.costs |= {name: model.cost_ for name, model in models.items()}
    kinds = {"zero-shot, as ours reads": base} | models
    arms = {name: (model.encode_text, model.encode_graph) for name, model in kinds.items()}
    arms["zero-shot, as a text"] = (base.encode_text, lambda graphs: unit(base.transform([sentence(graph) for graph in graphs])))
    words = [text for _, text in test] + [sentence(graph) for graph, _ in test]
    tfidf = TfidfVectorizer(sublinear_tf=True).fit(words)
    bm25 = BM25(words)
    arms["TF-IDF"] = (lambda texts: tfidf.transform(texts).toarray(), lambda graphs: tfidf.transform(map(sentence, graphs)).toarray())
    arms["BM25"] = (bm25.query, lambda graphs: bm25.document([sentence(graph) for graph in graphs]))
    cases = Cases(test, lab.seed)
    table = {name: measured(text, graph, test, cases) for name, (text, graph) in arms.items()}
    for name, scores in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in scores.items()))
    return table


def sentence(graph: Facts) -> str:
    """A graph as a text, without marks: what an encoder that never saw a graph reads best."""
    return ". ".join(" ".join(map(plain_name, fact)) for fact in graph)


class Cases:
    """Graphs that are wrong in one place, by how; and graphs that are worn away, fact by fact."""

    def __init__(self, pairs: list[tuple[Facts, str]], seed: int):
        rng, graphs = np.random.default_rng(seed), [graph for graph, _ in pairs]
        wrong = Corruptions(graphs)
        self.wrong = {kind: [(i, made) for i in range(min(JUDGED, len(pairs))) if (made := wrong(graphs[i], kind, rng))] for kind in KINDS}
        self.worn = []
        for i in [i for i, graph in enumerate(graphs) if len(graph) > 2][:WORN]:
            steps, order = [graphs[i]], rng.permutation(len(graphs[i]))
            for k in order:  # another object in one more fact
                fact = wrong((steps[-1][k],), "object", rng) or (steps[-1][k],)
                steps.append((*steps[-1][:k], *fact, *steps[-1][k + 1 :]))
            self.worn.append((i, steps))


def measured(encode_text: Any, encode_graph: Any, pairs: list[tuple[Facts, str]], cases: Cases) -> dict[str, float]:
    """t2g, g2t: R@1 of a text's graph and a graph's text, mrr: of both; `pair`: how often the text is nearer to its graph than to a wrong
    one, mean over the ways of being wrong; worn: Spearman of the score and the facts that are left, mean over the graphs."""
    graphs, texts = [graph for graph, _ in pairs], [text for _, text in pairs]
    T, G = encode_text(texts), encode_graph(graphs)
    S = T @ G.T
    found: dict[str, float] = {}
    for name, scores in (("t2g", S), ("g2t", S.T)):
        order = np.argsort(-scores, axis=1, kind="stable")[:, :100]
        mean = retrieval_scores(order, [{i} for i in range(len(pairs))], ("recall@1", "mrr@100")).mean
        found |= {name: mean["recall@1"], f"{name} mrr": mean["mrr@100"]}
    found["r@1"] = (found["t2g"] + found["g2t"]) / 2
    for kind, made in cases.wrong.items():
        rows = [i for i, _ in made]
        other = (T[rows] * encode_graph([graph for _, graph in made])).sum(axis=1)
        found[kind] = float(np.mean((S[rows, rows] > other) + (S[rows, rows] == other) / 2))
    found["pair"] = float(np.mean([found[kind] for kind in KINDS]))
    flat = encode_graph([graph for _, steps in cases.worn for graph in steps])
    ends = np.cumsum([len(steps) for _, steps in cases.worn])
    scores = [part @ T[i] for (i, _), part in zip(cases.worn, np.split(flat, ends[:-1]), strict=True)]
    found["worn"] = float(np.mean([np.nan_to_num(spearmanr(one, -np.arange(len(one))).statistic) for one in scores]))
    return found


class BM25:
    """Texts ask, graphs are the documents (k1 = 1.5, b = 0.75); float32 [n, words] each, whose product is the score."""

    def __init__(self, texts: list[str]):
        self.count = CountVectorizer().fit(texts)
        there = (self.count.transform(texts) > 0).sum(axis=0)
        self.idf = np.log1p((len(texts) - np.asarray(there).ravel() + 0.5) / (np.asarray(there).ravel() + 0.5))
        self.length = float(self.count.transform(texts).sum(axis=1).mean())

    def query(self, texts: list[str]) -> np.ndarray:
        return (self.count.transform(texts).toarray() * self.idf).astype(np.float32)

    def document(self, texts: list[str]) -> np.ndarray:
        tf = self.count.transform(texts).toarray().astype(np.float32)
        return tf * 2.5 / (tf + 1.5 * (0.25 + 0.75 * tf.sum(axis=1, keepdims=True) / self.length))


# Chosen on seed 100: batches of 32 at half the rate told wrong graphs hardly better than without them; of two ways of being wrong
# alone (ends, drop) more were told, but R@1 fell below zero-shot.
SETTING: dict[str, Any] = {"batch_size": 16, "lr": 2e-4, "embed_precision": "bf16-mixed"}
EXAMPLES = 1600
ZERO = ("zero-shot, as ours reads", "zero-shot, as a text")
WORDS = ("TF-IDF", "BM25")

REPRODUCTION = Reproduction(
    system="eredat",
    sets=("webnlg",),
    run=run,
    load=load,
    n=(4000, 1000),
    claims=(
        Claim(
            "graphs find their texts and texts their graphs: 5 points of R@1 above zero-shot",
            ours="ours",
            than=ZERO,
            metric="r@1",
            margin=0.05,
        ),
        Claim("and above what the words find", ours="ours", than=WORDS, metric="r@1", margin=0.05),
        Claim("a wrong graph is told from the right one: 5 points above zero-shot", ours="ours", than=ZERO, metric="pair", margin=0.05),
        Claim("and above what the words say", ours="ours", than=WORDS, metric="pair"),
        Claim(
            "wrong graphs as negatives are worth 5 points of that",
            ours="ours",
            than="no hard negatives",
            metric="pair",
            margin=0.05,
            role="key ingredient removed",
        ),
        Claim(
            "and cost at most 3 points of R@1",
            ours="ours",
            than="no hard negatives",
            metric="r@1",
            margin=-0.03,
            role="key ingredient removed",
        ),
        Claim("the score falls with every fact that is wrong, more steadily than zero-shot", ours="ours", than=ZERO, metric="worn"),
    ),
    full="TeKGen, KELM and T-REx, 26 million pairs; WebNLG unseen, and people's scores of the WebNLG challenge",
)
