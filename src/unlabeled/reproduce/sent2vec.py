"""sent2vec: the mean of vectors that were learned to be averaged over a sentence says more of it than the mean of word2vec's.

All arms learn from the same sentences for about as long (50 epochs of sent2vec take less than word2vec's 30); rates and subsampling were
chosen among some on seed 100. sent2vec is the paper's model of words alone here: 40,000 sentences are few for pairs of words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse, vstack
from scipy.stats import spearmanr
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from unlabeled.datasets import load as load_set
from unlabeled.datasets.pairs import sentence_pairs
from unlabeled.evaluate.probes import linear_probe
from unlabeled.methods.words.sent2vec import Sent2Vec
from unlabeled.methods.words.tfidf_svd import TfidfSVD
from unlabeled.methods.words.word2vec import Word2Vec
from unlabeled.parts.vocabulary import words_of
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sources import split

CORPUS = ("english_text", "public_books", "newsgroups20")
PROBES = ("mr", "subj", "cr", "mpqa")
PROBED = 4000  # sentences to learn each probe from, and as many at most to test it
END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n\s*\n")  # of a sentence
Embed = Callable[[list[str]], Any]


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Sentences of running text and of STS-B's training pairs, which people's scores are left out of, drawn with the seed; what for the
    scores of STS-B's test pairs are. Of the user's own texts: their sentences.
    """
    if source == "stsb":
        texts = [text for name in CORPUS for text in load_set(name).take(slice(None))]
        train, test = sentence_pairs("stsb", "train"), sentence_pairs("stsb", "test")
        sentences = sorted({*train.left, *train.right})
    else:
        parts, test, sentences = split(source, seed, (None, None)), sentence_pairs("stsb", "test"), []
        texts = [*parts.X, *parts.X_test]
    running = [sentence for text in texts for sentence in END.split(text) if len(sentence.split()) > 1]
    rows = np.sort(np.random.default_rng(seed).permutation(len(running))[: None if n_train is None else max(0, n_train - len(sentences))])
    X = [running[row] for row in rows] + sentences
    return X, np.array(["running text"] * len(rows) + ["captions and headlines"] * len(sentences)), test.left, test.value


def run(lab: Lab) -> Arms:
    """stsb, sts: Spearman's correlation with people's scores on STS-B's test pairs; mean over the years 2012 to 2016. similarity: of both.

    "... less one": the first principal component of the pairs' vectors is taken off. probe: accuracy, mean over four sets.
    """
    common: dict[str, Any] = {"seed": lab.seed, "dim": lab.setting(100, 700)}
    whole: dict[str, Any] = {"lr": 0.2, "epochs": 50, "sample": 1e-3, "word_ngrams": 1}
    models = {
        "sent2vec": Sent2Vec(**common, **whole),
        "with pairs of words": Sent2Vec(**common, **whole | {"word_ngrams": 2}),
        "no subsampling": Sent2Vec(**common, **whole | {"sample": 0.0}),
        "window of 5 (CBOW)": Word2Vec(**common, cbow=True, negatives=10, epochs=30, lr=0.2, sample=1e-4),
        "mean of word2vec": Word2Vec(**common, epochs=30, lr=0.1, sample=1e-3),
    }
    table: Arms = {}
    for name, model in models.items():
        fitted = lab.fit(model)
        table[name] = judged(fitted.transform, lab.seed)
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))
    fitted.vectors_ = np.random.default_rng(lab.seed).normal(size=fitted.vectors_.shape).astype(np.float32)
    table["random vectors"] = judged(fitted.transform, lab.seed)
    table["LSA"] = judged(TfidfSVD(dim=100, seed=lab.seed).fit(lab.X).transform, lab.seed)
    weigh = TfidfVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False).fit(lab.X)
    table["TF-IDF"] = similarity(weigh.transform)
    for name in ("random vectors", "LSA", "TF-IDF"):
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))
    return table


def judged(embed: Embed, seed: int) -> dict[str, float]:
    return similarity(embed) | {"probe": float(np.mean([probe(embed, name, seed) for name in PROBES]))}


def similarity(embed: Embed) -> dict[str, float]:
    """Of dense or sparse vectors."""
    found: dict[str, float] = {}
    for name, pairs in (("stsb", sentence_pairs("stsb", "test")), ("sts", sentence_pairs("sts12_16", "test"))):
        A, B = embed(pairs.left), embed(pairs.right)
        axis = TruncatedSVD(1, algorithm="arpack", random_state=0).fit(vstack([A, B]) if issparse(A) else np.concatenate([A, B]))
        first = axis.components_[0]
        a, b = A @ first, B @ first
        inner, left, right = (np.asarray(X.multiply(Y).sum(axis=1)).ravel() if issparse(A) else (X * Y).sum(axis=1)
                              for X, Y in ((A, B), (A, A), (B, B)))  # fmt: skip
        for less, cosine in (
            ("", inner / np.sqrt(np.maximum(left * right, 1e-20))),
            (" less one", (inner - a * b) / np.sqrt(np.maximum((left - a * a) * (right - b * b), 1e-20))),
        ):
            groups = np.unique(pairs.group) if name == "sts" else [None]
            kept = [pairs.group == one if one is not None else slice(None) for one in groups]
            found[name + less] = float(np.mean([spearmanr(cosine[rows], pairs.value[rows])[0] for rows in kept]))
    return found | {f"similarity{less}": (found[f"stsb{less}"] + found[f"sts{less}"]) / 2 for less in ("", " less one")}


def probe(embed: Embed, name: str, seed: int) -> float:
    """Accuracy of a linear classifier on a set of labelled sentences, one half to learn from and one to test on."""
    items = load_set(f"sentences/{name}")
    y, rows = np.asarray(items.columns["label"]), np.random.default_rng(seed).permutation(len(items))
    train, test = (np.sort(part[:PROBED]) for part in np.array_split(rows, 2))
    return linear_probe(embed(items.take(train)), y[train], embed(items.take(test)), y[test], seed=seed)


REPRODUCTION = Reproduction(
    system="sent2vec",
    sets=("stsb",),
    run=run,
    load=load,
    n=(40_000, 1379),
    claims=(
        Claim(
            "vectors learned to be averaged beat the mean of word2vec's",
            ours="sent2vec",
            than="mean of word2vec",
            metric="similarity",
            margin=0.01,
        ),
        Claim("and random ones", ours="sent2vec", than="random vectors", metric="similarity", margin=0.01),
        Claim(
            "also without the first principal component",
            ours="sent2vec",
            than="mean of word2vec",
            metric="similarity less one",
            margin=0.01,
        ),
        Claim("and words counted", ours="sent2vec", than=("TF-IDF", "LSA"), metric="similarity"),
        Claim(
            "the whole sentence is a better window than five words",
            ours="sent2vec",
            than="window of 5 (CBOW)",
            metric="similarity",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim(
            "frequent words are to be left out as targets",
            ours="sent2vec",
            than="no subsampling",
            metric="similarity",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim(
            "pairs of words don't harm",
            ours="with pairs of words",
            than="sent2vec",
            metric="similarity",
            margin=-0.01,
            role="key ingredient removed",
        ),
        Claim(
            "a linear classifier learns as much from them as from word2vec's",
            ours="sent2vec",
            than="mean of word2vec",
            metric="probe",
            margin=-0.01,
        ),
    ),
    full="Wikipedia (69 million sentences) or tweets: 600 to 700 dimensions, 2 million buckets, 9 or 3 epochs, sample 1e-5, lr 0.2",
)
