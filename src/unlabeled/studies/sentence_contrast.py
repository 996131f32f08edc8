"""What SimCSE's relatives are measured on: sentences to learn from, pairs that people judged, and a stream full of near-duplicates.

The arms that several of them need, the untrained encoder and SimCSE, are made here, so that they are trained once.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.datasets import load as load_set
from unlabeled.datasets.pairs import sentence_pairs
from unlabeled.evaluate.labelfree import uniformity
from unlabeled.evaluate.probes import clustering_scores
from unlabeled.evaluate.similarity import pair_correlation
from unlabeled.methods.frozen import Frozen
from unlabeled.methods.sentences.clusterns import ClusterNS
from unlabeled.methods.sentences.compcse import CompCSE, InTwo
from unlabeled.methods.sentences.simcse import SimCSE
from unlabeled.tasks.cluster import cluster
from unlabeled.views.text import drop_tokens, pack

COMMON: dict[str, Any] = {"encoder": "minilm3", "examples": 24 * 64, "lr": 3e-4, "replace": "always", "embed_precision": "bf16-mixed"}
MORE = 5000  # sentences of English text beside those of STS-B
JUDGED, YEARLY = 700, 150  # pairs of the test part of STS-B, and of each year of STS 2012-2016
TITLES = 1500


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Sentences to learn from; and to test on the left sides of all pairs and then the right ones, a pair's set and score as its label.

    "stsb": learned from are the sentences of its training pairs, without their scores, and sentences of `english_text`; tested on its
    test pairs and, drawn with the seed, pairs of STS 2012-2016 of which neither sentence was learned from or is one of those. Of a
    Parquet file (sentence1, sentence2, score) all sentences are learned from and all pairs tested on.
    """
    rng = np.random.default_rng(seed)
    if source != "stsb":
        pairs = sentence_pairs(source)
        X = list(dict.fromkeys(pairs.left + pairs.right))
        return X, np.zeros(len(X), int), pairs.left + pairs.right, np.array([f"pairs\t{value}" for value in pairs.value] * 2)
    train, test, years = sentence_pairs("stsb", "train"), sentence_pairs("stsb", "test"), sentence_pairs("sts12_16")
    tested = set(test.left + test.right)
    learned = [text for text in dict.fromkeys(train.left + train.right) if text not in tested]
    texts = [text for text in dict.fromkeys(load_set("english_text").values) if 5 <= len(text.split()) <= 30]
    learned += [texts[i] for i in rng.permutation(len(texts))[:MORE]]
    known = tested | set(learned)
    new = np.array([a not in known and b not in known for a, b in zip(years.left, years.right, strict=True)])
    drawn = [("stsb", test, rng.permutation(len(test))[: n_test and JUDGED])]
    drawn += [
        (year, years, rng.permutation(np.flatnonzero(new & (years.group == year)))[: n_test and YEARLY]) for year in np.unique(years.group)
    ]
    left: list[str] = []
    right: list[str] = []
    said: list[str] = []
    for name, pairs, rows in drawn:
        part = pairs.take(rows)
        left, right, said = left + part.left, right + part.right, said + [f"{name}\t{value}" for value in part.value]
    return learned, np.zeros(len(learned), int), left + right, np.array(said * 2)


def scores(lab: Any, fitted: Any, *more: Callable[[Any, Any, np.ndarray], dict[str, float]]) -> dict[str, float]:
    """stsb: Spearman's correlation on its test pairs; sts: the mean of that and those of the five years; uniformity of the sentences.

    more: functions of (lab, fitted, vectors of the test sentences) that measure something else.
    """
    distinct = list(dict.fromkeys(lab.X_test))
    place = {text: i for i, text in enumerate(distinct)}
    Z = fitted.transform(distinct)
    at = np.array([place[text] for text in lab.X_test])
    n = len(at) // 2
    sets, values = np.array([str(one).split("\t") for one in lab.y_test[:n]]).T
    each = {}
    for one in dict.fromkeys(sets.tolist()):
        rows = np.flatnonzero(sets == one)
        each[one] = pair_correlation(Z[at[:n][rows]], Z[at[n:][rows]], values[rows].astype(float))
    first = next(iter(each))
    found = {first: each[first], "sts": float(np.mean(list(each.values()))), "uniformity": uniformity(Z)}
    for one in more:
        found |= one(lab, fitted, Z)
    return found


def nmi(lab: Any, fitted: Any, Z: np.ndarray) -> dict[str, float]:
    """nmi: k-means on titles of questions, drawn with the seed, against the 20 tags that they were asked under; mean of 3 runs."""
    titles = load_set("stackoverflow_titles")
    rows = np.random.default_rng(lab.seed).permutation(len(titles))[:TITLES]
    y = np.asarray(titles.columns["label"])[rows]
    V = fitted.transform([titles.values[i] for i in rows])
    return {"nmi": float(np.mean([clustering_scores(cluster(V, 20, seed=seed).labels, y)["nmi"] for seed in range(3)]))}


def simcse(lab: Any, **options: Any) -> SimCSE:
    return SimCSE(**COMMON | {"seed": lab.seed} | options)


def untrained(lab: Any) -> Frozen:
    return Frozen(encoder=COMMON["encoder"], seed=lab.seed).fit(lab.X[:2])


def tell(lab: Any, table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    for name, values in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in values.items()))
    return table


# The stream full of near-duplicates -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class WithDuplicates:
    """The first `tokens` tokens of each text, as the one view; the share `share` of a batch is others of it once more, a few words lost."""

    tokens: int = 30
    share: float = 0.2
    lost: float = 0.1

    def __call__(self, ids: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        ids = pack(ids[:, : self.tokens]).clone()
        chosen = torch.randperm(len(ids), generator=generator, device=ids.device)[: 2 * int(self.share * len(ids))]
        of, into = chosen.chunk(2)
        again = drop_tokens(ids[of], self.lost, generator)
        ids[into] = 0
        ids[into, : again.shape[1]] = again
        return [pack(ids)]


def as_folder(fitted: SimCSE) -> str:
    """A folder that names what is in it: the encoder, to be the frozen one of others."""
    state = fitted.net_.encode.state_dict()
    name = hashlib.sha256(b"".join(value.numpy().tobytes() for value in state.values() if value.is_floating_point())).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"unlabeled-simcse-{name}"
    if not folder.exists():
        part = Path(tempfile.mkdtemp(dir=folder.parent))
        fitted.save_sentence_transformer(part / "whole")
        try:
            (part / "whole").rename(folder)
        except OSError:  # another process was quicker
            pass
    return str(folder)


# Controls -----------------------------------------------------------------------------------------------------------
@dataclass(kw_only=True, eq=False)
class AnyCluster(ClusterNS):
    """ClusterNS with the clusters of a batch dealt out anew among its sentences: as many of each, but not theirs."""

    def assigned(self, net: Any, z: Tensor) -> tuple[Tensor, Tensor]:
        own, second = super().assigned(net, z)
        dealt = torch.randperm(len(z), device=z.device)
        return own[dealt], second[dealt]


@dataclass(kw_only=True, eq=False)
class OnePart(CompCSE):
    """CompCSE whose positive is one part alone: a crop."""

    def composed(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.where(torch.rand(len(left), 1, device=left.device) < 0.5, left, right)


@dataclass(kw_only=True, eq=False)
class OthersPart(CompCSE):
    """CompCSE whose positive is a sentence's left part and another's right part."""

    def composed(self, left: Tensor, right: Tensor) -> Tensor:
        return super().composed(left, right.roll(1, dims=0))


def compositionality(lab: Any, fitted: Any, Z: np.ndarray) -> dict[str, float]:
    """composed: cosine of a sentence with the mean of its two halves; beyond: by how much that is more than with another's halves."""
    from unlabeled.data import as_items
    from unlabeled.learner import Source

    texts = [text for text in dict.fromkeys(lab.X_test) if len(text.split()) >= 6][:300]
    net = fitted.net_.encode.eval()
    source = Source(as_items(texts), net, fitted.inputs_)
    rows = []
    with torch.no_grad():
        for part in np.array_split(source.order(), 16):
            rows.append([net(ids).numpy() for ids in InTwo(254, "middle")(source.take(part))])
    whole, left, right = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    A, B = (Z / np.linalg.norm(Z, axis=1, keepdims=True) for Z in (whole, (left + right) / 2))
    cosine = A @ B.T
    own, others = float(cosine.diagonal().mean()), float(cosine[~np.eye(len(A), dtype=bool)].mean())
    return {"composed": own, "beyond": own - others}
