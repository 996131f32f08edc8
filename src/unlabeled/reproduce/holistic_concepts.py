"""Concepts by factorisation: NMF stands between PCA and k-means; on a linear head gradient x input, IG and occlusion are one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.encoders.conv import ConvNet
from unlabeled.errors import InputError
from unlabeled.evaluate.probes import clustering_scores
from unlabeled.parts.assign import kmeans
from unlabeled.parts.attribution import area, deletion, insertion, mu_fidelity
from unlabeled.parts.concepts import basis_scores, stability
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.tasks.concepts.holistic_concepts import ConceptExplainer

K, ITEMS, CLASSES = 10, 800, 3  # concepts; items of a class; classes that the numbers are the mean of

METHODS = {"nmf": "NMF", "pca": "PCA", "kmeans": "k-means"}
ATTRIBUTIONS = {"gxi": "gradient x input", "ig": "IG", "occlusion": "occlusion", "sobol": "Sobol", "random": "random order"}


@dataclass
class Classifier:
    """A trained network split as f = h o g: `maps` are g's, `head` is h."""

    net: ConvNet
    out: nn.Linear

    @property
    def head(self) -> tuple[Tensor, Tensor]:
        return self.out.weight.detach().T, self.out.bias.detach()

    @torch.no_grad()
    def maps(self, X: Any, blocks: int = 3) -> np.ndarray:
        """ReLU'd features [n, h, w, width] after so many of the three blocks."""
        found = []
        for x in pictures(X).split(500):
            x = self.net.normalise(x)
            for block in self.net.blocks[:blocks]:
                x = block(x)
            found.append(x.permute(0, 2, 3, 1))
        return torch.cat(found).contiguous().numpy()

    def from_block(self, x: Tensor, after: int = 2) -> Tensor:
        """Logits of the maps after so many blocks."""
        x = x.permute(0, 3, 1, 2)
        for block in self.net.blocks[after:]:
            x = block(x)
        return self.out(x.mean(dim=(2, 3)))


def classifier(X: Any, y: np.ndarray, seed: int, epochs: int = 6) -> Classifier:
    """A small network trained with labels: what concepts are to explain."""
    x = pictures(X)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ConvNet(x.shape[1], widths=(32, 64, 128), plain=True)
        out = nn.Linear(128, len(np.unique(y)))
    codes, draw = torch.from_numpy(np.unique(y, return_inverse=True)[1]), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([*net.parameters(), *out.parameters()], lr=2e-3)
    steps = epochs * -(-len(x) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=draw).split(128):
            loss = F.cross_entropy(out(net(x[batch])), codes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return Classifier(net.eval().requires_grad_(False), out.eval().requires_grad_(False))


def pictures(X: Any) -> Tensor:
    X = np.asarray(X)
    if X.ndim not in (3, 4):
        raise InputError(f"this reproduction explains a classifier of pictures: got items of shape {X.shape[1:]}")
    return torch.from_numpy(X[..., None] if X.ndim == 3 else X).permute(0, 3, 1, 2).float() / 255


def run(lab: Lab) -> Arms:
    rng = np.random.default_rng(lab.seed)
    classes = rng.permutation(np.unique(lab.y))
    model = classifier(lab.X, lab.y, lab.seed)
    found: list[Arms] = []
    for name in classes[:CLASSES]:
        X, target = lab.X_test[np.flatnonzero(lab.y_test == name)[:ITEMS]], int(np.searchsorted(np.unique(lab.y), name))
        A = model.maps(X)
        fitted = {name: ConceptExplainer(k=K, method=method, seed=lab.seed).fit(A) for method, name in METHODS.items()}
        found.append(extraction(A, fitted, lab.seed) | importance(model, X, fitted["NMF"].with_head(model.head), target, lab.seed))
    table: Arms = {arm: {m: float(np.mean([one[arm][m] for one in found])) for m in scores} for arm, scores in found[0].items()}
    table |= hidden(lab, classes)
    for name, scores in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.4g}" for metric, value in scores.items()))
    return table


def extraction(A: np.ndarray, fitted: dict[str, ConceptExplainer], seed: int) -> Arms:
    """How each factorisation gives maps back."""
    rows = A.reshape(-1, A.shape[-1])
    arms: Arms = {}
    for name, explainer in fitted.items():
        scores = basis_scores(rows, explainer.basis, seed=seed)
        same = stability(rows, K, explainer.method, seed=seed)
        arms[name] = {"error": scores.relative_l2, "sparsity": scores.sparsity, "off": scores.off, "stability": same}
    return arms


def importance(model: Classifier, X: Any, last: ConceptExplainer, target: int, seed: int) -> Arms:
    """Curves of the attributions at the last layer, and how far they are from each other there and a block earlier."""
    A = model.maps(X)
    u, score = last.score_of(A, target)
    # The logit above that of nothing at all, over what all concepts add or take away: one scale for every order.
    nothing, size = score(u * 0).mean(), torch.from_numpy(last.importance(A, target, "occlusion")).abs().sum(dim=1).mean()
    arms: Arms = {}
    for kind, name in ATTRIBUTIONS.items():
        phi = torch.from_numpy(last.importance(A, target, kind)).double()
        arms[name] = {
            "deletion": area((deletion(score, u, phi) - nothing) / size),
            "insertion": area((insertion(score, u, phi) - nothing) / size),
            "fidelity": mu_fidelity(score, u, phi, seed=seed),
        }
    early = model.maps(X, blocks=2)[:200]
    earlier = ConceptExplainer(k=K, method="nmf", seed=seed).fit(early, head=model.from_block)
    return arms | {
        "last layer": {"disagreement": disagreement(last, A[:200], target)},
        "a block earlier": {"disagreement": disagreement(earlier, early, target)},
    }


def disagreement(explainer: ConceptExplainer, A: np.ndarray, target: int) -> float:
    """The largest |phi - phi'| of gradient x input, IG and occlusion, over the largest |phi|."""
    one, *others = (explainer.importance(A, target, kind) for kind in ("gxi", "ig", "occlusion"))
    return float(max(np.abs(one - other).max() for other in others) / np.abs(one).max())


def hidden(lab: Lab, classes: np.ndarray) -> Arms:
    """A classifier that was taught pairs of classes as one: do groups of items by their concepts' importance find the two?"""
    pair = {name: i // 2 for i, name in enumerate(classes)}
    taught = np.array([pair[name] for name in lab.y])
    model = classifier(lab.X, taught, lab.seed)
    found: dict[str, list[float]] = {"importance of concepts": [], "pixels": [], "features": []}
    for i in range(len(classes) // 2):
        rows = np.flatnonzero(np.isin(lab.y_test, classes[2 * i : 2 * i + 2]))[:ITEMS]
        X, y = lab.X_test[rows], lab.y_test[rows]
        A = model.maps(X)
        phi = ConceptExplainer(k=K, method="nmf", seed=lab.seed).fit(A, head=model.head).importance(A, i)
        places = {"importance of concepts": phi, "pixels": pictures(X).flatten(1).numpy(), "features": A.mean(axis=(1, 2))}
        for name, Z in places.items():
            found[name].append(clustering_scores(kmeans(Z, 2, seed=lab.seed, n_init=10).labels, y)["ari"])
    return {name: {"hidden classes": float(np.mean(values))} for name, values in found.items()}


REPRODUCTION = Reproduction(
    system="holistic-concepts",
    sets=("fashion_mnist", "cifar10"),
    run=run,
    claims=(
        Claim("PCA loses less than NMF", ours="PCA", than="NMF", metric="error", lower=True, pooled=True),
        Claim("NMF loses less than k-means", ours="NMF", than="k-means", metric="error", margin=0.05, lower=True, pooled=True),
        Claim("NMF's coefficients are sparse, PCA's aren't", ours="NMF", than="PCA", metric="sparsity", margin=0.1, pooled=True),
        Claim(
            "deleting the concepts that gradient x input names first takes the logit down faster than a random order",
            ours="gradient x input",
            than="random order",
            metric="deletion",
            margin=0.1,
            lower=True,
            role="key ingredient removed",
        ),
        Claim(
            "so it does by Sobol indices",
            ours="Sobol",
            than="random order",
            metric="deletion",
            lower=True,
            role="key ingredient removed",
        ),
        Claim(
            "on a linear head gradient x input, integrated gradients and occlusion are the same",
            ours="last layer",
            than=1e-5,
            metric="disagreement",
            lower=True,
            role="by itself",
        ),
        Claim(
            "a block earlier they aren't",
            ours="a block earlier",
            than="last layer",
            metric="disagreement",
            margin=0.01,
            role="by itself",
        ),
        Claim(
            "items grouped by what counts for them show two classes that were taught as one, better than by their pixels",
            ours="importance of concepts",
            than="pixels",
            metric="hidden classes",
            margin=0.05,
            pooled=True,
        ),
    ),
    full="ImageNet, NMF of 25 concepts at the last layer of ResNet50, MobileNetV2, NFNet and EfficientNetV2, crops of every class",
)
