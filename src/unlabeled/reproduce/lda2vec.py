"""lda2vec: the prior makes texts few topics and leaves them as right; topics are coherent in texts that they weren't made from.

Coherence is NPMI within whole texts that were held out, NMI that of the likeliest topic of each text learned from with its newsgroup.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.decomposition import NMF, LatentDirichletAllocation
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.metrics import normalized_mutual_info_score

from unlabeled.errors import InputError
from unlabeled.evaluate.topics import coherence, diversity, effective_topics
from unlabeled.methods.words.pv_dbow import PVDBOW
from unlabeled.parts.assign import kmeans
from unlabeled.parts.scale import unit
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.topics.lda2vec import LDA2Vec

TOPICS, TOP = 20, 10


def run(lab: Lab) -> Arms:
    if lab.data.kind != "text":
        raise InputError(f"{lab.set} holds {lab.data.kind}s: wanted texts")
    setting: dict[str, Any] = {"n_topics": lab.setting(TOPICS, 40), "pretrain_epochs": lab.setting(10, None), "seed": lab.seed}
    arms = {
        "lda2vec": LDA2Vec(**setting),
        "no prior": LDA2Vec(**setting, lam=0.0),
        "topics from anywhere": LDA2Vec(**setting, start="random"),
        # words that know nothing have to learn as fast as a skip-gram's
        "words not learned before": LDA2Vec(**setting | {"pretrain_epochs": 0}, lr=0.025),
    }
    table = {}
    for name, model in arms.items():
        model.fit(lab.X)
        table[name] = judged(lab, model.topics(TOP), model.doc_topics_)
    first = arms["lda2vec"]
    texts = first._texts(lab.X)
    rng = np.random.default_rng(lab.seed)
    table["words by chance"] = judged(
        lab,
        [rng.choice(first.vocabulary_, TOP, replace=False, p=first.counts_ / first.counts_.sum()).tolist() for _ in range(TOPICS)],
        np.eye(TOPICS)[rng.integers(0, TOPICS, len(texts))],
    )
    counts = CountVectorizer(analyzer=list, vocabulary=first.vocabulary_).fit_transform(texts)
    lda = LatentDirichletAllocation(TOPICS, learning_method="online", batch_size=256, max_iter=10, random_state=lab.seed).fit(counts)
    table["LDA"] = judged(lab, best(lda.components_, first.vocabulary_), lda.transform(counts))
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it could go on a little
        nmf = NMF(TOPICS, random_state=lab.seed).fit(weights)
    table["NMF"] = judged(lab, best(nmf.components_, first.vocabulary_), nmf.transform(weights))
    vectors = PVDBOW(epochs=20, min_count=first.min_count, seed=lab.seed).fit(texts)
    table["k-means on PV"] = clustered(lab, vectors.doc_vectors_, counts, first.vocabulary_)
    means = unit(np.asarray(counts @ first.vectors_) / np.maximum(counts.sum(axis=1), 1).A)
    table["k-means on mean word vectors"] = clustered(lab, means, counts, first.vocabulary_)
    for scores in table.values():
        scores["effective_share"] = scores["effective"] / table["no prior"]["effective"]
    for name, scores in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in scores.items()))
    return table


def clustered(lab: Lab, Z: np.ndarray, counts: Any, words: list[str]) -> dict[str, float]:
    """Clusters of texts, and the words that are likelier in each than elsewhere, by class TF-IDF."""
    shares = np.eye(TOPICS)[kmeans(unit(Z - Z.mean(axis=0)), TOPICS, metric="cosine", seed=lab.seed).labels]
    uses = np.asarray((counts.T @ shares).T) + 1e-9
    rarity = np.log(1 + uses.sum() / TOPICS / uses.sum(axis=0))
    return judged(lab, best(uses / uses.sum(axis=1, keepdims=True) * rarity, words), shares)


def best(scores: np.ndarray, words: list[str]) -> list[list[str]]:
    return [[words[row] for row in np.argsort(-of_topic)[:TOP]] for of_topic in scores]


def judged(lab: Lab, topics: list[list[str]], shares: np.ndarray) -> dict[str, float]:
    return {
        "npmi": coherence(topics, lab.X_test, window=0, top=TOP).mean,
        "diversity": diversity(topics, TOP),
        "nmi": float(normalized_mutual_info_score(lab.y, shares.argmax(axis=1))),
        "effective": effective_topics(shares + 1e-12),
    }


REPRODUCTION = Reproduction(
    system="lda2vec",
    sets=("newsgroups20",),
    run=run,
    n=(4000, 3156),
    claims=(
        Claim(
            "with the prior a text has fewer than half as many topics",
            ours="lda2vec",
            than=0.5,
            metric="effective_share",
            lower=True,
            role="key ingredient removed",
        ),
        Claim(
            "which say as well what it is about",
            ours="lda2vec",
            than="no prior",
            metric="nmi",
            margin=-0.03,
            role="key ingredient removed",
        ),
        Claim(
            "topics are coherent in other texts: more than words by chance",
            ours="lda2vec",
            than="words by chance",
            metric="npmi",
            margin=0.1,
        ),
        Claim(
            "topics that begin at clusters of texts are better than from anywhere",
            ours="lda2vec",
            than="topics from anywhere",
            metric="nmi",
            margin=0.05,
            role="key ingredient removed",
        ),
        Claim(
            "and so are topics among words that were learned before",
            ours="lda2vec",
            than="words not learned before",
            metric="npmi",
            margin=0.02,
            role="key ingredient removed",
        ),
        Claim("the likeliest topic says what a text is about", ours="lda2vec", than="words by chance", metric="nmi", margin=0.2),
    ),
    full="20 Newsgroups, whole: 20 and 40 topics, 300 dimensions",
)
