"""Similarity of embedding models: families can be told by it, and models with alike vectors still find different documents."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from unlabeled.evaluate.embsim import SimilarityReport, model_similarity
from unlabeled.methods.frozen import Frozen
from unlabeled.methods.words.tfidf_svd import TfidfSVD
from unlabeled.parts.cooccurrence import WORD, cooccurrence, frequent_words, skip_gram_vectors
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.token_pooling import SETS, load

K = (1, 10, 100)
WORDS, WIDTH = 1500, 64  # of the word vectors


def run(lab: Lab) -> Arms:
    families = embedded(lab)
    models = {name: pair for family in families.values() for name, pair in family.items()}
    noise = np.random.default_rng(lab.seed)
    chance = tuple(noise.normal(size=(len(part), 384)).astype(np.float32) for part in (lab.X, lab.X_test))
    report = model_similarity(models | {"random": chance}, k=K)
    lab.say("\n" + report.table())
    family = {name: label for label, members in enumerate(families.values()) for name in members}
    return {"models": summary(report, family), **{f"k = {k}": {"spread": spread(report, k)} for k in K[1:]}}


def summary(report: SimilarityReport, family: dict[str, int]) -> dict[str, float]:
    """What the claims are of. The random embedding takes no part but where it is named."""
    m = len(family)
    pairs = list(combinations(range(m), 2))
    kin = np.array([family[report.names[i]] == family[report.names[j]] for i, j in pairs])
    cka, overlap = (np.array([matrix[pair] for pair in pairs]) for matrix in (report.cka, report.jaccard[10]))
    n = report.items
    by_chance = 10 / n / (2 - 10 / n)
    found = SimilarityReport(report.names[:m], n, report.queries, report.cka[:m, :m], {}, {}, {}).clusters(len(set(family.values())))
    return {
        "cka within": float(cka[kin].mean()),
        "cka across": float(cka[~kin].mean()),
        "cka gap": float(cka[kin].mean() - cka[~kin].mean()),
        "ari": float(adjusted_rand_score(list(family.values()), [found[name] for name in family])),
        "rank correlation": float(spearmanr(cka, overlap)[0]),
        "alike with other results": float(((cka > 0.9) & (overlap < 0.6)).mean()),
        "least overlap of alike": float(overlap[cka > 0.9].min(initial=1)),
        "off chance": float(np.abs(report.jaccard[10][m, :m].mean() - by_chance)),
    }


def spread(report: SimilarityReport, k: int) -> float:
    """Standard deviation of the overlap over the queries, mean over all pairs but those with the random embedding."""
    rows, columns = np.triu_indices(len(report.names) - 1, 1)
    return float(report.spread[k][rows, columns].mean())


def embedded(lab: Lab) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """{family: {model: (documents, queries)}}, models that differ in size, in length read, or in their seed only.

    All learned something: untrained n-gram encoders with three seeds, a family here once, had a CKA of 0.05 to 0.1 with each other.
    """
    docs, queries = list(lab.X), list(lab.X_test)
    short = [[" ".join(text.split()[:words]) for text in docs] for words in (90, 30)]
    asked = lab.remember_vectors(Frozen(encoder="minilm"), queries)
    minilm = [lab.remember_vectors(Frozen(encoder="minilm"), part) for part in short]
    axes = PCA(64, random_state=lab.seed).fit(minilm[0])
    words = frequent_words(docs, WORDS, least=2)
    counts, place = cooccurrence(docs, words), {word: i for i, word in enumerate(words)}

    def mean(vectors: np.ndarray) -> Any:
        """The mean over a text's words, zeros where none is known."""
        known = [[[place[w] for w in WORD.findall(text.lower()) if w in place] for text in part] for part in (docs, queries)]
        return tuple(np.stack([vectors[ids].mean(axis=0) if ids else np.zeros(WIDTH, np.float32) for ids in part]) for part in known)

    def fitted(model: Any) -> Any:
        model.fit(docs)
        return model.transform(docs), model.transform(queries)

    return {
        "MiniLM": {
            "minilm": (minilm[0], asked),
            "minilm, first 30 words": (minilm[1], asked),
            "minilm, first 192": (minilm[0][:, :192], asked[:, :192]),
            "minilm, 64 axes": (axes.transform(minilm[0]), axes.transform(asked)),
        },
        "LSA": {f"lsa {dim}": fitted(TfidfSVD(dim=dim, seed=lab.seed)) for dim in (25, 50, 100)},
        "skip-gram": {f"skip-gram {i}": mean(skip_gram_vectors(counts, WIDTH, steps=60, seed=lab.seed + i)) for i in range(3)},
    }


REPRODUCTION = Reproduction(
    system="embsim",
    sets=SETS,
    run=run,
    load=load,
    n=(600, 60),
    claims=(
        Claim("models of one family are more alike than models of different ones", ours="models", than=0, metric="cka gap", margin=0.2),
        Claim("so that families are told by it", ours="models", than=0, metric="ari", margin=0.6, role="by itself", pooled=True),
        Claim("the overlap varies more from query to query at 10 results than at 100", ours="k = 10", than="k = 100", metric="spread"),
        Claim(
            "alike vectors go with like results",
            ours="models",
            than=0,
            metric="rank correlation",
            margin=0.3,
            role="by itself",
            pooled=True,
        ),
        Claim(
            "but some models with a CKA above 0.9 share fewer than 0.6 of their first ten",
            ours="models",
            than=0.6,
            metric="least overlap of alike",
            lower=True,
            role="by itself",
            pooled=True,
        ),
        Claim("a random embedding has the overlap of chance", ours="models", than=0.01, metric="off chance", lower=True, role="by itself"),
    ),
    full="TREC-COVID, NFCorpus, FiQA, SciFact, ArguAna in chunks of 256 tokens, 19 models, among them of OpenAI and Cohere",
)
