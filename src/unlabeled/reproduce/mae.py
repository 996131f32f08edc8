"""MAE: filling in hidden patches teaches more than copying the whole picture does."""

from __future__ import annotations

from unlabeled.methods.generative.mae import MAE
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    return lab.compare({"MAE": lab.learner(MAE), "no masking": lab.learner(MAE, mask=0.0)})


REPRODUCTION = Reproduction(
    system="mae",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("filling in hidden patches teaches more than the network has at random", ours="MAE", than="untrained", margin=0.05),
        Claim("the hiding is needed", ours="MAE", than="no masking", margin=0.03, role="key ingredient removed"),
    ),
    full="ImageNet: ViT-L/16, mask=0.75, 8-layer decoder, AdamW, batches of 4096, 800 to 1600 epochs, then fine-tuned (87.8% with ViT-H)",
)
