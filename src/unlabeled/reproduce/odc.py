"""ODC: clusters that move a batch at a time are steadier than DeepCluster's and teach as much; small ones have to be mended."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn

from unlabeled.learner import Learner, Net, Source
from unlabeled.methods.clustering.deepcluster import DeepCluster
from unlabeled.methods.clustering.odc import OnlineDeepClustering
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sela import effective
from unlabeled.views import ImageViews


class Followed(Learner):
    """Keeps the labels that every epoch begins with, in `net_.history` [epochs, n]."""

    def build(self, encoder: nn.Module) -> Net:
        net = super().build(encoder)
        net.register_buffer("history", torch.zeros(self.epochs or 1, self.n_items_, dtype=torch.int16))
        net.register_buffer("begun", torch.zeros((), dtype=torch.long))
        return net

    def now(self, net: Net) -> Tensor:
        raise NotImplementedError

    def before_epoch(self, net: Net, data: Source) -> None:
        super().before_epoch(net, data)
        net.history[int(net.begun)] = self.now(net)
        net.begun += 1


class FollowedDeepCluster(Followed, DeepCluster):
    def now(self, net: Net) -> Tensor:
        return net.pseudo.labels


class FollowedODC(Followed, OnlineDeepClustering):
    def now(self, net: Net) -> Tensor:
        return net.memory.labels


def stability(history: np.ndarray) -> float:
    """Mean normalised mutual information of labels [moments, n] of one moment with those of the next."""
    return float(np.mean([normalized_mutual_info_score(a, b) for a, b in zip(history[:-1], history[1:], strict=True)]))


def run(lab: Lab) -> Arms:
    # One view an example: twice the epochs of a method with two.
    common = {"views": ImageViews(views=1), "epochs": lab.setting(24, 800), "clusters": lab.setting(100, 1000)}
    # Here an example is seen 24 times, not 440, and two crops of it look less alike than to the paper's network: with its momentum
    # of 0.5 the labels follow the last crop, and change from epoch to epoch even at the end, when the network hardly moves.
    odc = common | {"momentum": lab.setting(0.2, 0.5)}
    arms = {
        "ODC": lab.learner(FollowedODC, **odc),
        "DeepCluster": lab.learner(FollowedDeepCluster, **common, refresh=1),
        "DeepCluster, every third epoch": lab.learner(FollowedDeepCluster, **common),  # teaches more where epochs are short
        "small clusters left": lab.learner(FollowedODC, **odc, min_cluster=0),
        "no weights": lab.learner(FollowedODC, **odc, reweight=0.0),
    }
    table = lab.compare(arms)
    for name, learner in arms.items():
        fitted = lab.fit(learner)
        table[name] |= {
            "stability": stability(fitted.net_.history.numpy()[:: getattr(learner, "refresh", 1)]),
            "clusters": effective(fitted.labels_, learner.clusters),
            "nmi": float(normalized_mutual_info_score(lab.y, fitted.labels_)),
        }
    return table


REPRODUCTION = Reproduction(
    system="odc",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("ODC teaches the network more than it has at random", ours="ODC", than="untrained", metric="probe", margin=0.03),
        Claim("its labels change less from epoch to epoch", ours="ODC", than="DeepCluster", metric="stability", margin=0.1),
        Claim(
            "its features are as good as DeepCluster's",
            ours="ODC",
            than=("DeepCluster", "DeepCluster, every third epoch"),
            metric="probe",
            margin=-0.005,
        ),
        Claim("left alone, most clusters die out", ours="small clusters left", than=1 / 3, metric="clusters", lower=True, role="by itself"),
        Claim(
            "mending small clusters keeps more of them",
            ours="ODC",
            than="small clusters left",
            metric="clusters",
            margin=0.1,
            role="key ingredient removed",
        ),
    ),
    full="ImageNet: ResNet-50, 10000 clusters, neck 512-256, batches of 512, SGD lr 0.06, 440 epochs",
)
