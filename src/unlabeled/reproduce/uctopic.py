"""UCTopic: phrases are clustered better by vectors that know their context, and with negatives of other clusters only.

Six newsgroups that are not about the same; a phrase's mention counts as right where its cluster is that of its post's group. Phrases are
mined from the posts, two words or three. No group is known to any arm but for their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unlabeled.evaluate.probes import clustering_scores
from unlabeled.evaluate.topics import coherence
from unlabeled.parts.assign import kmeans
from unlabeled.parts.mentions import mine
from unlabeled.parts.scale import unit
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sources import split
from unlabeled.tasks.topics.uctopic import UCTopic, best_k

GROUPS = ("comp.graphics", "rec.autos", "rec.sport.hockey", "sci.med", "sci.space", "talk.politics.mideast")
STARTS = 5  # of k-means: the scores are their mean
PMI = 3.0


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Posts; of the newsgroups those of six groups. What is clustered is learned from, the test part serves the coherence."""
    whole = split(source, seed, (None, None))
    rng = np.random.default_rng(seed)
    parts = []
    for X, y, n in ((whole.X, whole.y, n_train), (whole.X_test, whole.y_test, n_test)):
        keep = np.flatnonzero(np.isin(y, GROUPS)) if source == "newsgroups20" else np.arange(len(y))
        keep = np.sort(rng.permutation(keep)[:n])
        parts += [[X[i] for i in keep], y[keep]]
    return tuple(parts)  # type: ignore[return-value]


def run(lab: Lab) -> Arms:
    posts, k = list(lab.X), len(np.unique(lab.y))
    mentions = mine(posts, pmi=PMI)
    y = lab.y[mentions.text]
    lab.say(f"{len(mentions)} mentions of {len(mentions.phrases)} phrases")
    spans = list(zip(mentions.sentences, mentions.spans, strict=True))
    common: dict[str, Any] = {"n_topics": k, "pmi": PMI, "seed": lab.seed, "batch_size": 64, "length": 24, "embed_precision": "bf16-mixed"}
    epochs, lr = lab.setting(1, 20), lab.setting(3e-4, 2e-5)

    def model(epochs: int, **more: Any) -> UCTopic:
        return UCTopic(**common | {"epochs": epochs, "lr": lr, "finetune": 0.0} | more)

    arms = {
        "pretrained": model(epochs),
        "pretrained, never masked": model(epochs, mask_prob=0.0),
        "longer, in-batch negatives": model(2 * epochs),
        "clusters' negatives": model(2 * epochs, finetune=0.5),
    }
    fitted = {name: lab.fit(arm, posts) for name, arm in arms.items()}
    net = model(epochs).untrained(posts).net_.encode
    vectors = {"mean of word vectors": word_means(net, spans), "untrained spans": span_means(net, spans)}
    vectors |= {name: one.encode(spans) for name, one in fitted.items()}
    table: Arms = {}
    for name, Z in vectors.items():
        Z = unit(Z)
        each = [clustering_scores(kmeans(Z, k, metric="cosine", n_init=3, seed=s).labels, y) for s in range(STARTS)]
        table[name] = {metric: float(np.mean([one[metric] for one in each])) for metric in each[0]}
        if name in fitted:
            table[name]["coherence"] = coherence(fitted[name].topics(10), lab.X_test, window=0).mean
            table[name]["topics of auto"] = float(best_k(Z[np.random.default_rng(lab.seed).permutation(len(Z))[:1000]], lab.seed))
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in table[name].items()))
    return table


@torch.no_grad()
def word_means(net: Any, spans: list[tuple[str, tuple[int, int]]]) -> np.ndarray:
    """Each phrase as the mean of its tokens' word vectors, whatever stands around."""
    words = net.transformer.get_input_embeddings().weight
    rows = net.tokenize([sentence[a:b] for sentence, (a, b) in spans])
    return np.stack([words[torch.tensor(row) - 1].mean(dim=0).numpy() for row in rows])


def span_means(net: Any, spans: list[tuple[str, tuple[int, int]]]) -> np.ndarray:
    """Each phrase as the mean of its tokens' states in the pretrained transformer."""
    from unlabeled.methods.frozen import Frozen

    texts = [f"{sentence[:a]}\0{sentence[a:b]}\0{sentence[b:]}" for sentence, (a, b) in spans]
    return Frozen(encoder=net, whiten=0).fit(texts).transform(texts)


REPRODUCTION = Reproduction(
    system="uctopic",
    sets=("newsgroups20",),
    run=run,
    load=load,
    n=(1000, 1000),
    claims=(
        Claim(
            "vectors of phrases in context cluster by topic better than their words do",
            ours="clusters' negatives",
            than="mean of word vectors",
            metric="nmi",
            margin=0.02,
        ),
        Claim("and better than the encoder untrained", ours="clusters' negatives", than="untrained spans", metric="nmi", margin=0.02),
        Claim(
            "two mentions of one phrase teach more than its words say",
            ours="pretrained",
            than="mean of word vectors",
            metric="nmi",
            margin=0.02,
        ),
        Claim(
            "with few topics negatives have to be of other clusters",
            ours="clusters' negatives",
            than="longer, in-batch negatives",
            metric="nmi",
            margin=0.02,
            role="key ingredient removed",
        ),
        Claim(
            "without masks the words of the phrase are a short cut",
            ours="pretrained",
            than="pretrained, never masked",
            metric="nmi",
            role="key ingredient removed",
        ),
    ),
    full="LUKE, pretrained on Wikipedia's links; CoNLL-2003, BC5CDR, MIT-movie, W-NUT 2017; Gest, KP20k, KPTimes",
)
