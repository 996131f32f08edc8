"""ClusterFit: a new network that learns the clusters of RotNet's vectors serves better than RotNet, even one trained twice as long."""

from __future__ import annotations

import numpy as np

from unlabeled.methods.clustering.clusterfit import ClusterFit
from unlabeled.methods.pretext.rotnet import RotNet
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction


def run(lab: Lab) -> Arms:
    # Four turns of a picture, or four epochs of one view: as many passes for both networks, and for RotNet alone as for the two.
    epochs = lab.setting(6, 100)
    rotnet = lab.learner(RotNet, batch_size=64, epochs=epochs)
    vectors = lab.vectors(lab.fit(rotnet), lab.X)[0]
    shuffled = np.random.default_rng(lab.seed).permutation(vectors)  # clusters of the same sizes that mean nothing
    views = RotNet().default_views("image")  # the same for all arms: only what is learned differs

    def fit(representation: np.ndarray) -> ClusterFit:
        return lab.learner(ClusterFit, representation=representation, clusters=lab.setting(100, 1000), epochs=4 * epochs, views=views)

    return lab.compare(
        {
            "ClusterFit": fit(vectors),
            "RotNet": rotnet,
            "RotNet, twice as long": lab.learner(RotNet, batch_size=64, epochs=2 * epochs),
            "clusters of pixels": fit(lab.raw()[0]),
            "shuffled clusters": fit(shuffled),
        }
    )


KEY = "key ingredient removed"
REPRODUCTION = Reproduction(
    system="clusterfit",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("the new network holds more than an untrained one", ours="ClusterFit", than="untrained", metric="probe", margin=0.04),
        Claim("it holds more than the RotNet it comes from", ours="ClusterFit", than="RotNet", metric="probe", margin=0.01),
        # The paper's control: is it only the longer training?
        Claim("and than RotNet at equal passes in all", ours="ClusterFit", than="RotNet, twice as long", metric="probe", role=KEY),
        Claim("the clusters are what teaches", ours="ClusterFit", than="shuffled clusters", metric="probe", margin=0.03, role=KEY),
        Claim("RotNet's clusters teach more than the pixels'", ours="ClusterFit", than="clusters of pixels", metric="probe", role=KEY),
    ),
    full="ImageNet: ResNet-50 for both networks, 16,000 clusters, 105 epochs, batches of 256, SGD lr 0.1; linear classifiers on 11 sets",
)
