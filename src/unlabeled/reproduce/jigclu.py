"""JigClu: pieces of different pictures in one montage teach the network, in one pass a picture; both losses and the mixing are needed."""

from __future__ import annotations

from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.methods.pretext.jigclu import JigClu
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    options = {"epochs": lab.setting(10, 200)}  # a montage is as many pixels as 2.6 of the small views, one pass a picture
    return lab.compare(
        {
            "JigClu": lab.learner(JigClu, **options),
            "places alone": lab.learner(JigClu, cluster=0.0, **options),
            "sorting alone": lab.learner(JigClu, location=0.0, **options),
            "pieces not mixed": lab.learner(JigClu, mixed=False, **options),
            "SimCLR": lab.learner(SimCLR),  # for information: two views in a training of about the same number of pixels
        }
    )


REPRODUCTION = Reproduction(
    system="jigclu",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim(
            "one pass a picture teaches more than the network has at random",
            ours="JigClu",
            than="untrained",
            metric="probe",
            margin=0.06,
        ),
        Claim(
            "both losses together are no worse than either alone",
            ours="JigClu",
            than=("places alone", "sorting alone"),
            metric="probe",
            margin=-0.005,
            role="key ingredient removed",
        ),
        Claim(
            "pieces have to come from different pictures",
            ours="JigClu",
            than="pieces not mixed",
            metric="probe",
            margin=0.0,
            role="key ingredient removed",
        ),
    ),
    full="ImageNet: ResNet-50, 224 pixels, grid 2, SGD lr 0.03, batches of 256, 200 epochs; 66.4% top-1 of a linear classifier",
)
