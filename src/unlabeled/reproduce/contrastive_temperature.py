"""The temperature trades uniformity for tolerance, so that the best one lies between; hard negatives make a large one harmless."""

from __future__ import annotations

import math

import torch
from scipy.stats import spearmanr

from unlabeled.parts.losses import unit
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.studies.contrastive_temperature import TAUS, Contrast, contrastive, entropy, gradients, penalties, temperature_study


def run(lab: Lab) -> Arms:
    settings = {"epochs": lab.setting(6, 200), "views": None}
    arms: Arms = {"the formulas": formulas(lab.seed)}
    for losses, taus in ((("contrastive",), TAUS), (("hard", "simple", "hard simple"), TAUS[-1:])):
        ours = {
            k: v for k, v in lab.learner(Contrast, **settings).get_params(deep=False).items() if k not in ("temperature", "hardest", "seed")
        }
        rows = temperature_study(lab.X, lab.y, taus, losses, (lab.seed,), test=(lab.X_test, lab.y_test), fit=lab.fit, **ours)
        for row in rows:
            name = " ".join([row["loss"], *([] if math.isinf(row["tau"]) else [str(row["tau"])])])
            arms[name] = {key: row[key] for key in row.keys() - {"loss", "tau", "seed"}}
            lab.say(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in arms[name].items()))
    swept = [arms[f"contrastive {tau}"] for tau in TAUS]
    dials = ("uniformity", "tolerance", "similarity", "gap")
    arms["rank correlation with tau"] = {dial: float(spearmanr(TAUS, [arm[dial] for arm in swept]).statistic) for dial in dials}
    Z, Z_test = lab.vectors(lab.untrained(lab.learner(Contrast, **settings)))
    return arms | {"untrained": lab.score(Z, Z_test)}


def formulas(seed: int) -> dict[str, float]:
    """Largest error of the gradients in closed form against automatic differentiation, and at how many steps of tau the entropy falls."""
    generator = torch.Generator().manual_seed(seed)
    z, worst = unit(torch.randn(2, 64, 16, generator=generator)).double(), 0.0
    for tau in TAUS:
        similarity = (z[0] @ z[1].T).requires_grad_()
        (given,) = torch.autograd.grad(contrastive(similarity, tau).sum(), similarity)
        worst = max(worst, float((given - gradients(similarity.detach(), tau)).abs().max()))
    spread = torch.stack([entropy(penalties(z[0] @ z[1].T, tau)) for tau in TAUS])
    return {"gradient error": worst, "entropy falls": float((spread.diff(dim=0) <= 0).sum())}


REPRODUCTION = Reproduction(
    system="contrastive-temperature",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim(
            "the gradients are those of the closed form: positives pull as much as all negatives push",
            ours="the formulas",
            than=1e-5,
            metric="gradient error",
            lower=True,
            role="by itself",
        ),
        Claim(
            "the larger the temperature, the more evenly the negatives are pushed",
            ours="the formulas",
            than=0.5,
            metric="entropy falls",
            lower=True,
            role="by itself",
        ),
        Claim(
            "uniformity falls with the temperature",
            ours="rank correlation with tau",
            than=-0.8,
            metric="uniformity",
            lower=True,
            role="by itself",
        ),
        Claim("tolerance rises with it", ours="rank correlation with tau", than=0.8, metric="tolerance", role="by itself"),
        Claim(
            "a temperature between the ends is best",
            ours="contrastive 0.1",
            than=("contrastive 0.05", "contrastive 2.0"),
            metric="probe",
            margin=0.005,
            role="key ingredient removed",
        ),
        Claim(
            "hard negatives repair a large temperature",
            ours="hard 2.0",
            than="contrastive 2.0",
            metric="probe",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim(
            "as they keep the vectors uniform there",
            ours="hard 2.0",
            than="contrastive 2.0",
            metric="uniformity",
            margin=0.5,
            role="key ingredient removed",
        ),
        Claim(
            "a loss that does not look for hard negatives is worse",
            ours="contrastive 0.1",
            than="simple",
            metric="probe",
            margin=0.02,
            role="key ingredient removed",
        ),
        Claim(
            "and better when it is given them",
            ours="hard simple",
            than="simple",
            metric="probe",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim("the network learned", ours="contrastive 0.1", than="untrained", metric="probe", margin=0.05),
    ),
    full="CIFAR-10, CIFAR-100, SVHN: ResNet-18, 200 epochs, SGD lr 0.03, memory bank; ImageNet100: ResNet-50",
)
