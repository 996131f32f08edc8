"""Swivel: learning from pairs of words that never stand together tells them from pairs that do, and helps rare words most.

For telling them apart a tenth of the cells above 0 is hidden completely, and Swivel (and PPMI-SVD) learn from the others. The hidden
pairs are ranked, by the product of their vectors, among pairs of the same words that never occur, in strata of like expected counts, so
that how frequent their words are tells nothing. Words are compared by vectors that were learned from all counts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from unlabeled.data import read
from unlabeled.datasets import load
from unlabeled.datasets.pairs import Pairs, analogies, word_pairs
from unlabeled.errors import InputError
from unlabeled.evaluate.similarity import analogy_accuracy, word_similarity
from unlabeled.methods.words.glove import GloVe
from unlabeled.methods.words.ppmi_svd import PPMISVD
from unlabeled.methods.words.swivel import Swivel
from unlabeled.parts.cooccurrence_counts import Counts, count_pairs
from unlabeled.parts.skipgram import Corpus, SkipGram
from unlabeled.parts.vocabulary import Vocabulary, words_of
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

SOURCES = ("english_text", "public_books", "newsgroups20", "wordnet_nouns")  # of "english": 6 million words
SHARE = 0.9  # of the texts, drawn anew by each seed


def texts_of(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Nine tenths of the texts to learn from; what is tested on are people's judgements of words."""
    found = [read(source)] if Path(source).exists() else [load(name) for name in (SOURCES if source == "english" else (source,))]
    if any(items.kind != "text" for items in found):
        raise InputError(f"{source} holds {', '.join(items.kind for items in found)}s: wanted texts")
    texts = [text for items in found for text in items.take(slice(None))]
    order = np.random.default_rng(seed).permutation(len(texts))
    cut = int(SHARE * len(texts))
    first, rest = ([texts[i] for i in rows] for rows in (order[:cut][:n_train], order[cut:][:n_test]))
    return first, np.zeros(len(first)), rest, np.zeros(len(rest))


def corpus_of(lab: Lab) -> tuple[Vocabulary, Corpus]:
    words = [words_of(text) for text in lab.X]
    known = Vocabulary.of(words, min_count=20, most=lab.setting(8000, 50_000))
    return known, known.encode(words)


def scored(known: Vocabulary, vectors: np.ndarray) -> dict[str, float]:
    """similarity: mean of the sets of pairs; frequent, middle, rare: of the thirds of all pairs by the rarer word; analogies: 3CosAdd."""
    sets, place = word_pairs(), known.number
    rank = {
        s: np.array([max(place.get(a, 10**9), place.get(b, 10**9)) for a, b in zip(p.left, p.right, strict=True)]) for s, p in sets.items()
    }
    every = np.concatenate(list(rank.values()))
    cuts = [-1, *np.quantile(every[every < 10**9], [1 / 3, 2 / 3]), 10**9 - 1]
    found = {"similarity": word_similarity(known.words, vectors, sets).mean}
    for name, low, high in zip(("frequent", "middle", "rare"), cuts[:-1], cuts[1:], strict=True):
        part: dict[str, Pairs] = {s: pairs.take(np.flatnonzero((rank[s] > low) & (rank[s] <= high))) for s, pairs in sets.items()}
        found[name] = word_similarity(known.words, vectors, part).mean
    return found | {"analogies": analogy_accuracy(known.words, vectors, analogies()).get("all", 0.0)}


def skip_gram(lab: Lab, known: Vocabulary, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    found = SkipGram(dim=lab.setting(100, 300), window=5, epochs=5, seed=lab.seed).fit(corpus, len(known.words))
    return found.words, found.output


def hide(counts: Counts, seed: int, share: float = 0.1) -> tuple[Counts, np.ndarray, np.ndarray]:
    """The counts without some pairs of different words, those pairs int64 [n, 2], and as many, of the same words, that never occur."""
    n = counts.shape[0]
    a, b = (counts.cells[name].astype(np.int64) for name in ("row", "column"))
    key = np.minimum(a, b) * n + np.maximum(a, b)
    rng = np.random.default_rng(seed)
    drawn = (key.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + rng.integers(0, 2**63, dtype=np.uint64)) * np.uint64(
        0xD6E8FEB86659FD93
    )
    out = ((drawn >> np.uint64(40)) < share * 2**24) & (a != b)
    cells = counts.cells[~out]
    sums = np.bincount(cells["row"], cells["value"], minlength=n)
    starts = np.concatenate([[0], np.cumsum(~out)])[counts.starts]
    left = replace(counts, cells=cells, starts=starts, row_sums=sums, column_sums=sums)
    pairs = np.stack([a, b], 1)[out & (a < b)]
    pairs = pairs[rng.permutation(len(pairs))[:200_000]]
    pairs = np.where(rng.random((len(pairs), 1)) < 0.5, pairs, pairs[:, ::-1])
    never = np.stack([pairs[:, 0], rng.permutation(pairs[:, 1])], 1)
    there = np.isin(never.min(axis=1) * n + never.max(axis=1), np.unique(key))
    return left, pairs, never[~there & (never[:, 0] != never[:, 1])]


def told_apart(score: np.ndarray, expected: np.ndarray, hidden: int) -> float:
    """AUROC of the first `hidden` pairs against the others, mean of 20 strata with about the same expected count."""
    stratum = np.digitize(expected, np.quantile(expected, np.linspace(0, 1, 21)[1:-1]))
    positive = np.arange(len(score)) < hidden
    parts = [stratum == one for one in range(20)]
    both = [part for part in parts if 50 < positive[part].sum() < part.sum() - 50]
    return float(np.mean([roc_auc_score(positive[part], score[part]) for part in both])) if both else float("nan")


def run(lab: Lab) -> Arms:
    known, corpus = corpus_of(lab)
    counts = count_pairs(corpus, len(known.words), window=10, shard=1024)
    left, hidden, never = hide(counts, lab.seed)
    asked = np.concatenate([hidden, never])
    expected = left.logs[0][asked].sum(axis=1) - left.logs[2]
    absent = (np.arange(len(asked)) >= len(hidden)) & (expected >= 0)
    common: dict[str, Any] = {"dim": lab.setting(100, 300), "seed": lab.seed}
    swivel: dict[str, Any] = common | {"epochs": lab.setting(EPOCHS, 100), "lr": LR}
    table: Arms = {}
    for name, model in {
        "Swivel": Swivel(**swivel),
        "unobserved pairs left out": Swivel(**swivel, unobserved=None),
        "GloVe": GloVe(**common, epochs=lab.setting(EPOCHS, 50), lr=LR),
        "PPMI-SVD": PPMISVD(**common),
        "SGNS": None,
    }.items():
        rows, columns = skip_gram(lab, known, corpus) if model is None else model._factorise(counts)
        table[name] = scored(known, rows + columns if isinstance(model, Swivel | GloVe) else rows)
        if isinstance(model, Swivel | PPMISVD):
            rows, columns = model._factorise(left)
            score = (rows[asked[:, 0]] * columns[asked[:, 1]]).sum(axis=1)
            table[name] |= {"auc": told_apart(score, expected, len(hidden)), "absent": float(score[absent].mean())}
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))
    return table


EPOCHS, LR = 12, 0.1

REPRODUCTION = Reproduction(
    system="swivel",
    sets=("english",),
    run=run,
    load=texts_of,
    n=(None, 1000),  # type: ignore[arg-type]
    claims=(
        Claim(
            "hidden pairs are told from those that never occur better than without learning from what is missing",
            ours="Swivel",
            than="unobserved pairs left out",
            metric="auc",
            margin=0.05,
            role="key ingredient removed",
        ),
        Claim(
            "frequent words that never stand together are given less mutual information than without",
            ours="Swivel",
            than="unobserved pairs left out",
            metric="absent",
            margin=0.5,
            lower=True,
            role="key ingredient removed",
        ),
        Claim(
            "rare words are compared better than without",
            ours="Swivel",
            than="unobserved pairs left out",
            metric="rare",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim(
            "all words are compared at least as well as by the pairs that were seen alone", ours="Swivel", than="GloVe", metric="similarity"
        ),
        Claim("and better than by skip-gram", ours="Swivel", than="SGNS", metric="similarity"),
    ),
    full="Wikipedia and Gigaword, 3.3 billion words: 300 dimensions, 397,000 words, shards of 4096, window 10",
)
