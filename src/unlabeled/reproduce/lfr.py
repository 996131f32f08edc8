"""LFR: predicting random networks of a table makes vectors worth more than the untrained network's, without augmentations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.learner import Batch, Learner, Net
from unlabeled.methods.tabular.lfr import LFR
from unlabeled.parts.heads import mlp
from unlabeled.reproduce.cpc import load as load_clips
from unlabeled.reproduce.cpc import power
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sources import split

FEW, DRAWS = 5, 5  # labels a class, and how often they are drawn


@dataclass(kw_only=True, eq=False)
class AutoEncoder(Learner):
    """Give the standardised numbers back, from the encoder through one hidden layer."""

    def default_views(self, kind: str) -> Any:
        from unlabeled.views.whole import whole

        return whole

    def build(self, encoder: nn.Module) -> Net:
        return Net(
            encode=encoder, decode=mlp(encoder.width, 256, self.inputs_.features), scale=nn.BatchNorm1d(self.inputs_.features, affine=False)
        )

    def loss(self, net: Net, batch: Batch) -> Tensor:
        x = batch.views[0]
        return nn.functional.mse_loss(net.decode(net.encode(x)), net.scale(x))


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """Any labelled table; pictures as the table of their pixels, fsdd as log spectra (8 moments of 32 bands), sklearn's breast_cancer."""
    if source == "fsdd":
        X, y, X_test, y_test = load_clips(source, seed, n_train, n_test)
        digit, digit_test = ([one.split("/")[0] for one in part] for part in (y, y_test))
        return spectra(X), np.array(digit), spectra(X_test), np.array(digit_test)
    if source == "breast_cancer":
        from sklearn.datasets import load_breast_cancer
        from sklearn.model_selection import train_test_split

        X, y = load_breast_cancer(return_X_y=True)
        A, B, a, b = train_test_split(X.astype(np.float32), y, test_size=2 / 7, random_state=seed, stratify=y)
        return A[:n_train], a[:n_train], B[:n_test], b[:n_test]
    parts = split(source, seed, (n_train, n_test))
    X, X_test = (np.asarray(part, dtype=np.float32).reshape(len(part), -1) for part in (parts.X, parts.X_test))
    return X, parts.y, X_test, parts.y_test


def spectra(X: np.ndarray) -> np.ndarray:
    """Log power in 32 bands at 8 moments: [n, 256]."""
    found = power(X)[:, :48, :128]
    n, times, _ = found.shape
    return np.log(found.reshape(n, 8, times // 8, 32, 4).mean(axis=(2, 4)) + 1e-6).reshape(n, 256)


def run(lab: Lab) -> Arms:
    epochs = lab.setting(60, 400)
    common: dict[str, Any] = {"encoder": "mlp", "epochs": 2 * epochs, "batch_size": 128, "lr": 1e-3}  # every other one trains the encoder
    arms = {
        "LFR": lab.learner(LFR, **common),
        "one random network": lab.learner(LFR, targets=1, **common),
        "random networks as they come": lab.learner(LFR, candidates=1, **common),
        "auto-encoder": lab.learner(AutoEncoder, **common | {"epochs": epochs}),
    }
    fitted = {name: lab.fit(learner) for name, learner in arms.items()} | {"untrained": lab.untrained(arms["LFR"])}
    lab.costs |= {name: fitted[name].cost_ for name in arms}
    vectors = {name: lab.vectors(learner) for name, learner in fitted.items()} | {"raw": lab.raw()}
    net = fitted["LFR"].net_
    with torch.no_grad():
        inputs = [net.scale(torch.as_tensor(X, dtype=torch.float32)) for X in (lab.X, lab.X_test)]
        vectors["the random networks themselves"] = tuple(torch.cat([g(x) for g in net.targets], dim=1).numpy() for x in inputs)
    rng = np.random.default_rng(lab.seed)
    classes = np.unique(lab.y)
    draws = [np.concatenate([rng.permutation(np.flatnonzero(lab.y == value))[:FEW] for value in classes]) for _ in range(DRAWS)]
    table: Arms = {}
    for name, (Z, Z_test) in vectors.items():
        scores = lab.score(Z, Z_test, ("knn", "probe"))
        few = [lab.score(Z[rows], Z_test, ("probe",), y=lab.y[rows])["probe"] for rows in draws]
        table[name] = scores | {"few": float(np.mean(few))}
        lab.say(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in table[name].items()))
    return table


REPRODUCTION = Reproduction(
    system="lfr",
    sets=("tabular_features/isolet", "fsdd", "digits", "breast_cancer"),
    run=run,
    load=load,
    # As the paper's tables are read: on the whole, not on every set.
    claims=(
        Claim("LFR learns more than its untrained network has", ours="LFR", than="untrained", metric="probe", margin=0.01, pooled=True),
        Claim("with five labels a class too", ours="LFR", than="untrained", metric="few", margin=0.02, pooled=True),
        Claim(
            "LFR is no worse than an auto-encoder of the same size",
            ours="LFR",
            than="auto-encoder",
            metric="probe",
            margin=-0.01,
            pooled=True,
        ),
        Claim(
            "several random networks teach no less than one",
            ours="LFR",
            than="one random network",
            metric="probe",
            role="key ingredient removed",
            pooled=True,
        ),
    ),
    full="HAR, Epilepsy, Income, HEPMASS, ...: encoders of their kind, 6 targets of 10 candidates each, Adam 1e-4 to 1e-3, batches of 128",
)
