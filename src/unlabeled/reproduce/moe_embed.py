"""MoE embedding: one encoder with experts is for several fields what a model of its own is for each.

Fields are machine learning (Cora), high-energy physics (HepTh) and library science (CISI), pairs are papers that a third one cites
together. Papers are parted between training and test, so no test paper was seen. Scored: are two papers of a field such a pair, or drawn
at random? Every arm sees the same batches, each of one field.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_auc_score

from unlabeled.datasets.named import HOW, VARIABLE
from unlabeled.errors import InputError
from unlabeled.methods.sentences.moe_embed import MoEEmbedder
from unlabeled.parts.cocitation import cocitation_pairs
from unlabeled.parts.scale import unit
from unlabeled.reproduce.claims import ROLES
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sources import split

TOKENS = 32  # read of a text
CITED = 2  # papers that cite both, in CISI, where every paper is cited together with fifty others by some one
TEST = 0.5  # share of the papers


class OneExpert(MoEEmbedder):
    """A model that all fields share."""

    def expert_of(self, texts: list[str], domain: list[int]) -> list[int]:
        return [0] * len(domain)


class AnyExpert(MoEEmbedder):
    """The control: as many experts, and each text goes to one that has nothing to do with its field."""

    def expert_of(self, texts: list[str], domain: list[int]) -> list[int]:
        return [zlib.crc32(f"{self.seed} {text}".encode()) % len(self.domains_) for text in texts]


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Pairs of texts, lefts first, then rights; the label of each is its field, in the test with "+" before it or, drawn at random, "-".

    Labelled texts of the user's own: a label is a field, a pair the two halves of a text.
    """
    rng = np.random.default_rng(seed)
    parts: tuple[list, list] = ([], [])
    for field, (texts, pairs) in fields(source, seed).items():
        held = rng.random(len(texts)) < TEST
        inside = held[pairs].sum(axis=1)  # how many of the two are held out; pairs with one on each side are lost
        for part, keep, n in ((parts[0], inside == 0, n_train), (parts[1], inside == 2, n_test)):
            drawn = rng.permutation(pairs[keep])[:n]
            there = {tuple(pair) for pair in pairs} | {tuple(pair[::-1]) for pair in pairs}
            part += [(texts[a], texts[b], ("+" if part is parts[1] else "") + field) for a, b in drawn]
            if part is parts[1]:
                other = np.stack([drawn[:, 0], rng.permutation(drawn[:, 1])], axis=1)
                part += [(texts[a], texts[b], "-" + field) for a, b in other if a != b and (a, b) not in there]
    (left, right, name), (left2, right2, name2) = (zip(*part, strict=True) for part in parts)
    return [*left, *right], np.array(name * 2), [*left2, *right2], np.array(name2 * 2)


def fields(source: str, seed: int) -> dict[str, tuple[list[str], np.ndarray]]:
    """Texts and pairs of each field."""
    if source != "text_graphs":
        whole = split(source, seed, (None, None))
        both = list(whole.X) + list(whole.X_test)
        labels = np.concatenate([whole.y, whole.y_test])
        return {str(name): halves([both[i] for i in np.flatnonzero(labels == name)]) for name in np.unique(labels)}
    found = {}
    for field in ("cora", "hepth"):
        links = _table(f"text_graphs/{field}_citations.parquet")
        edges = np.stack([links["citing"], links["cited"]], axis=1).astype(np.int64)
        found[field] = ([str(text) for text in _table(f"text_graphs/{field}_papers.parquet")["text"]], cocitation_pairs(edges))
    docs, counts = _table("cisi/docs.parquet"), _table("cisi/cocitations.parquet")
    row = {str(doc): i for i, doc in enumerate(docs["doc"])}
    rows = zip(counts["doc"], counts["other"], counts["count"], strict=True)
    pairs = {tuple(sorted((row[str(a)], row[str(b)]))) for a, b, n in rows if n >= CITED and str(a) in row and str(b) in row and a != b}
    texts = [f"{title or ''}. {text or ''}" for title, text in zip(docs["title"], docs["text"], strict=True)]
    found["cisi"] = (texts, np.array(sorted(pairs), np.int64))
    return found


def halves(texts: list[str]) -> tuple[list[str], np.ndarray]:
    words = [text.split() for text in texts]
    parts = [" ".join(half) for one in words if len(one) >= 20 for half in (one[: len(one) // 2], one[len(one) // 2 :])]
    return parts, np.arange(len(parts)).reshape(-1, 2)


def run(lab: Lab) -> Arms:
    train = {name: list(zip(*(_side(lab.X, lab.y == name, k) for k in (0, 1)), strict=True)) for name in np.unique(lab.y)}
    names = [str(name) for name in train]
    steps = lab.setting(24, 1000)  # of every field, in every arm
    common = {"seed": lab.seed, "length": TOKENS, "batch_size": 32, "lr": lab.setting(3e-4, 2e-5), "embed_precision": "bf16-mixed"}

    def model(kind: Any = MoEEmbedder, n: int = 1, **more: Any) -> Any:
        return kind(**common | {"examples": n * steps * 32} | more)

    pairs = {name: train[name] for name in names}
    arms = {
        "base": model().untrained(pairs),
        "shared": lab.fit(model(OneExpert, n=len(names)), pairs),
        "mixture": lab.fit(model(n=len(names)), pairs),
        "any expert": lab.fit(model(AnyExpert, n=len(names)), pairs),
    }
    alone = {name: lab.fit(model(), {name: pairs[name]}) for name in names}
    table: Arms = {arm: {} for arm in [*arms, "separate"]}
    for name in names:
        left, right = (_side(lab.X_test, np.char.lstrip(lab.y_test.astype(str), "+-") == name, k) for k in (0, 1))
        true = np.char.startswith(lab.y_test.astype(str), "+")[: len(lab.y_test) // 2]
        true = true[np.char.lstrip(lab.y_test.astype(str), "+-")[: len(lab.y_test) // 2] == name]
        for arm, fitted in [*arms.items(), ("separate", alone[name])]:
            for metric, value in scores(fitted, left, right, true, name).items():
                table[arm][f"{metric} of {name}"] = value
    for arm, measured in table.items():
        for metric in ("auc", "f1", "gap"):
            measured[metric] = float(np.mean([measured[f"{metric} of {name}"] for name in names]))
        lab.say(f"{arm}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in measured.items() if not metric.startswith("gap of")))
    return table


def scores(fitted: MoEEmbedder, left: list[str], right: list[str], true: np.ndarray, domain: str) -> dict[str, float]:
    """auc; f1: the best that a threshold gives; gap: mean cosine of the pairs less that of others."""
    known = sorted({*left, *right})
    row = {text: i for i, text in enumerate(known)}
    Z = unit(fitted.encode(known, domain))
    cosine = (Z[[row[text] for text in left]] * Z[[row[text] for text in right]]).sum(axis=1)
    precision, recall, _ = precision_recall_curve(true, cosine)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return {"auc": float(roc_auc_score(true, cosine)), "f1": float(f1.max()), "gap": float(cosine[true].mean() - cosine[~true].mean())}


def _side(texts: list[str], keep: np.ndarray, k: int) -> list[str]:
    """The left (0) or right (1) texts of the pairs of one field."""
    half = len(texts) // 2
    return [texts[k * half + i] for i in np.flatnonzero(keep[:half])]


def _table(file: str) -> dict[str, Any]:
    import pyarrow.parquet as pq

    path = Path(os.environ.get(VARIABLE, "")) / file
    if not path.is_file():
        raise InputError(f"no file {file} in the folder of data sets: {HOW}")
    return pq.read_table(path).to_pydict()


REPRODUCTION = Reproduction(
    system="moe-embed",
    sets=("text_graphs",),
    run=run,
    load=load,
    n=(800, 500),
    claims=(
        Claim("models of one field are far better than the base in that field", ours="separate", than="base", metric="auc", margin=0.03),
        Claim("one mixture is for all fields as good as a model for each", ours="mixture", than="separate", metric="auc", margin=-0.005),
        Claim("and better than one model that all fields share", ours="mixture", than="shared", metric="auc", margin=0.005),
        Claim("experts must be those of the field, not any", ours="mixture", than="any expert", metric="auc", role=ROLES[1]),
    ),
    full="SciBERT, 12 blocks, five biomedical fields from PubMed, co-citations by PMC, early stopping",
)
