"""FEET: embeddings are told apart by how they do as they are, with few labels, and fine-tuned; the three need not agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unlabeled.evaluate.feet import feet
from unlabeled.methods.frozen import Frozen
from unlabeled.methods.words.tfidf_svd import TfidfSVD
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

LABELLED, TESTED, TUNED_ON = (
    1000,
    1000,
    (2,),
)  # texts (with 400 and 500 three seeds decided little); shots at which all weights are trained, which takes a CPU long
SHUFFLES = 3
SHOTS = (2, 4, 8, 16, 32, 64)


def untrained(seed: int) -> Frozen:
    """A transformer of MiniLM's shape and tokenizer with random weights."""
    from transformers import AutoModel

    from unlabeled.encoders import Inputs, encoder
    from unlabeled.encoders.text import HuggingFaceText

    minilm: Any = encoder("minilm", Inputs("text"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Frozen(encoder=HuggingFaceText(AutoModel.from_config(minilm.transformer.config), minilm.tokenizer, unit=True))


def run(lab: Lab) -> Arms:
    rng = np.random.default_rng(lab.seed)
    rows, test = (rng.permutation(len(y))[:most] for y, most in ((lab.y, LABELLED), (lab.y_test, TESTED)))
    test = test[np.isin(lab.y_test[test], lab.y[rows])]
    X, X_test = [lab.X[i] for i in rows], [lab.X_test[i] for i in test]
    true = {lab.set: (X, lab.y[rows], X_test, lab.y_test[test])}
    shuffled = {f"shuffled {i}": (X, rng.permutation(lab.y[rows]), X_test, lab.y_test[test]) for i in range(SHUFFLES)}
    models = {
        "MiniLM": Frozen(encoder="minilm").fit(X),
        "the same untrained": untrained(lab.seed).fit(X).transform,  # a function: it is not tuned, which would teach 400 texts little
        "TF-IDF": TfidfSVD(dim=256).fit(lab.X),  # on all texts: it needs no labels
    }
    shared: dict[str, Any] = {"seeds": (lab.seed,), "metric": "auroc"}
    result = feet(models, true, shots=SHOTS, regimes=("frozen", "few", "tuned"), **shared)
    tuned = feet({"MiniLM": models["MiniLM"]}, true, shots=TUNED_ON, regimes=("few tuned",), **shared)
    chance = feet({"MiniLM": models["MiniLM"]}, shuffled, shots=(16,), regimes=("frozen", "few"), **shared)
    for part in (result, tuned, chance):
        lab.say("\n" + part.table())
    lab.say("\n" + result.delta())
    table: Arms = {}
    for cell in (*result.cells, *tuned.cells):
        table.setdefault(cell.model, {})[cell.column] = cell.score
    for scores in table.values():
        scores["steepest fall"] = max([0.0, *(scores[f"k={a}"] - scores[f"k={b}"] for a, b in zip(SHOTS, SHOTS[1:], strict=False))])
    table["fine-tuned MiniLM"], table["frozen MiniLM"] = ({"auroc": table["MiniLM"][column]} for column in ("tuned", "frozen"))
    table["shuffled labels"] = {"distance from chance": abs(float(np.mean([cell.score for cell in chance.cells])) - 0.5)}
    orders = {c: tuple(sorted(("MiniLM", "TF-IDF", "the same untrained"), key=lambda m: -table[m][c])) for c in ("frozen", "k=2", "k=64")}
    table["order of the models"] = {"differs between columns": float(len(set(orders.values())) > 1)}
    return table


def claim(text: str, ours: str, than: str | float, metric: str, **more: Any) -> Claim:
    return Claim(text, ours=ours, than=than, metric=metric, pooled=True, **more)


REPRODUCTION = Reproduction(
    system="feet",
    sets=("sentences/mpqa", "stackoverflow_titles"),
    run=run,
    n=(2000, 1000),
    # Scores are AUROC: classes need not be alike in size.
    claims=(
        claim("frozen, a pretrained transformer is above counts of words", "MiniLM", "TF-IDF", "frozen", margin=0.02),
        claim("counts of words are above the untrained transformer", "TF-IDF", "the same untrained", "frozen"),
        claim("more shots don't make it worse", "MiniLM", 0.02, "steepest fall", lower=True, role="by itself"),
        Claim(
            "fine-tuned, it is no worse than frozen",
            ours="fine-tuned MiniLM",
            than="frozen MiniLM",
            metric="auroc",
            margin=-0.01,
            role="by itself",
            pooled=True,
        ),
        claim(
            "with shuffled labels nothing is found, frozen or with few",
            "shuffled labels",
            0.05,
            "distance from chance",
            lower=True,
            role="by itself",
        ),
    ),
    full="SST-2 with BERT, DistilBERT and GPT-2; MIMIC-IV antibiotics with BioClinicalBERT, MedBERT and SciBERT; all labels, fine-tuned",
)
