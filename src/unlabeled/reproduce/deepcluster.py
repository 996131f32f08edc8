"""DeepCluster: clusters of the features teach the features, and better ones each time they are clustered anew."""

from __future__ import annotations

from sklearn.metrics import normalized_mutual_info_score

from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.odc import FollowedDeepCluster, stability
from unlabeled.views import ImageViews


def run(lab: Lab) -> Arms:
    # One view an example: twice the epochs of a method with two.
    epochs = lab.setting(24, 800)
    common = {"views": ImageViews(views=1), "epochs": epochs, "clusters": lab.setting(100, 1000)}
    arms = {
        "DeepCluster": lab.learner(FollowedDeepCluster, **common),
        "clustered once": lab.learner(FollowedDeepCluster, **common, refresh=epochs),
    }
    table = lab.compare(arms)
    history = lab.fit(arms["DeepCluster"]).net_.history.numpy()[:: arms["DeepCluster"].refresh]
    half = len(history) // 2
    # The paper's figures 2a and 2b: how much the clusters know of the classes, and of the clusters before them.
    for name, at in (("first clusters", 0), ("last clusters", -1)):
        table[name] = {"nmi": float(normalized_mutual_info_score(lab.y, history[at]))}
    for name, part in (("first half", history[: half + 1]), ("second half", history[half - 1 :])):
        table[name] = {"stability": stability(part)}
    return table


REPRODUCTION = Reproduction(
    system="deepcluster",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("it teaches the network more than it has at random", ours="DeepCluster", than="untrained", metric="probe", margin=0.05),
        Claim(
            "clustering anew is needed",
            ours="DeepCluster",
            than="clustered once",
            metric="probe",
            margin=0.01,
            role="key ingredient removed",
        ),
        Claim("clusters come to know the classes", ours="last clusters", than="first clusters", metric="nmi", role="by itself"),
        Claim("clusters settle down", ours="second half", than="first half", metric="stability", role="by itself"),
    ),
    full="ImageNet: AlexNet on Sobel-filtered pictures, 10000 clusters every epoch, SGD lr 0.05, batches of 256, 500 epochs",
)
