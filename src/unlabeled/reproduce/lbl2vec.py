"""Lbl2Vec: a few keywords a topic sort documents better than looking the keywords up does.

The keywords were written down from the newsgroups' names alone. All documents are learned from and scored, as in the paper.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.metrics import f1_score, roc_auc_score

from unlabeled.errors import InputError
from unlabeled.methods.words.tfidf_svd import TfidfSVD
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.cluster import TOKEN
from unlabeled.tasks.topics.lbl2vec import Lbl2Vec

KEYWORDS = {
    "alt.atheism": "atheism atheist atheists belief god",
    "comp.graphics": "graphics image images rendering polygon",
    "comp.os.ms-windows.misc": "windows microsoft dos desktop",
    "comp.sys.ibm.pc.hardware": "ibm pc hardware motherboard disk",
    "comp.sys.mac.hardware": "mac macintosh apple hardware",
    "comp.windows.x": "window x11 motif xterm server",
    "misc.forsale": "sale sell offer price shipping",
    "rec.autos": "car auto engine cars",
    "rec.motorcycles": "motorcycle bike motorcycles ride",
    "rec.sport.baseball": "baseball pitcher inning league",
    "rec.sport.hockey": "hockey nhl goalie ice",
    "sci.crypt": "encryption cryptography key cipher",
    "sci.electronics": "electronics circuit voltage wire",
    "sci.med": "medicine medical disease doctor patient",
    "sci.space": "space nasa orbit shuttle moon",
    "soc.religion.christian": "christian christ church jesus bible",
    "talk.politics.guns": "gun guns firearms weapons",
    "talk.politics.mideast": "israel arab middle east jews",
    "talk.politics.misc": "politics government president tax",
    "talk.religion.misc": "religion religious faith god",
}


def run(lab: Lab) -> Arms:
    if lab.data.kind != "text":
        raise InputError(f"{lab.set} holds {lab.data.kind}s: wanted texts")
    texts, y = list(lab.X) + list(lab.X_test), np.concatenate([lab.y, lab.y_test])
    keywords = {str(name): words_of(str(name)) for name in np.unique(y)}
    found = Lbl2Vec(keywords=keywords, vector_size=lab.setting(100, 300), seed=lab.seed).fit(texts)
    D, K = (Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-9) for Z in (found.doc_vectors_, found.keyword_vectors_))
    every = copy.copy(found).describe(clean_outliers=False)
    scored = {"Lbl2Vec": found.decision_function(), "keywords' vectors alone": D @ K.T, "outliers kept": every.decision_function()}

    queries = [" ".join(words) for words in keywords.values()]
    weigh = TfidfVectorizer(token_pattern=TOKEN.pattern, stop_words="english", sublinear_tf=True)
    scored["TF-IDF"] = np.asarray((weigh.fit_transform(texts) @ weigh.transform(queries).T).todense())
    latent = TfidfSVD(dim=100, seed=lab.seed).fit(texts)
    scored["LSA"] = latent.transform(texts) @ latent.transform(queries).T
    counter = CountVectorizer(token_pattern=TOKEN.pattern)
    scored["keywords counted"] = np.asarray((counter.fit_transform(texts) @ (counter.transform(queries) > 0).T).todense(), dtype=np.float64)

    table = {name: judged(scores, y, list(keywords), lab.seed) for name, scores in scored.items()}
    for name, values in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in values.items()))
    return table


def words_of(name: str) -> list[str]:
    """The keywords of a newsgroup; of any other class the words of its name."""
    words = KEYWORDS[name].split() if name in KEYWORDS else [word for word in re.split(r"[^a-z+#]+", name.lower()) if len(word) > 1]
    if not words:
        raise InputError(f"the class {name!r} has no words in its name to search by: name a column of such names with --label")
    return words


def judged(scores: Any, y: np.ndarray, labels: list[str], seed: int) -> dict[str, float]:
    """auc: mean over topics of how well their documents rank above all others; f1: of the best topic, mean over topics."""
    drawn = np.random.default_rng(seed).random(np.shape(scores)) * 1e-9  # documents without any keyword are anybody's
    best = np.array(labels)[(scores + drawn).argmax(axis=1)]
    auc = [roc_auc_score(y.astype(str) == label, scores[:, i]) for i, label in enumerate(labels)]
    return {"auc": float(np.mean(auc)), "f1": float(f1_score(y.astype(str), best, average="macro"))}


REPRODUCTION = Reproduction(
    system="lbl2vec",
    sets=("newsgroups20",),
    run=run,
    n=(4000, 2600),
    claims=(
        Claim(
            "documents are sorted better than by their similarity to the keywords",
            ours="Lbl2Vec",
            than=("TF-IDF", "LSA", "keywords counted"),
            metric="f1",
            margin=0.05,
        ),
        Claim("and ranked better", ours="Lbl2Vec", than=("TF-IDF", "LSA", "keywords counted"), metric="auc"),
        Claim("AUC of 0.85, mean over topics", ours="Lbl2Vec", than=0.85, metric="auc", role="by itself"),
        Claim(
            "documents near the keywords say more about a topic than the keywords",
            ours="Lbl2Vec",
            than="keywords' vectors alone",
            metric="f1",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim(
            "outliers among them may stay",
            ours="outliers kept",
            than="Lbl2Vec",
            metric="f1",
            margin=-0.01,
            role="key ingredient removed",
        ),
    ),
    full="20 Newsgroups and AG's Corpus, whole: 300 dimensions, window 15, min_count 50, sample 1e-5, 10 epochs",
)
