"""DINO: matching a slow copy's soft classes of the large crops teaches; without centring one class takes everything."""

from __future__ import annotations

from unlabeled.methods.siamese.dino import DINO
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.views import ImageViews

VIEWS = ImageViews(local=2)


def run(lab: Lab) -> Arms:
    return lab.compare({"DINO": lab.learner(DINO, views=VIEWS), "no centring": lab.learner(DINO, views=VIEWS, centring=False)})


REPRODUCTION = Reproduction(
    system="dino",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("self-distillation teaches more than the network has at random", ours="DINO", than="untrained", margin=0.05),
        Claim("centring is needed", ours="DINO", than="no centring", margin=0.03, role="key ingredient removed"),
    ),
    full="ImageNet: ViT-S/16 (or ResNet-50), prototypes=65536, 2 + 10 crops, momentum=0.996, AdamW, batches of 1024, 800 epochs",
)
