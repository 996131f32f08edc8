"""DeeperCluster: on an uncurated pile, long-tailed and full of near-duplicates, turns and clusters together teach more than either."""

from __future__ import annotations

import numpy as np

from unlabeled.methods.clustering.deepcluster import DeepCluster
from unlabeled.methods.clustering.deepercluster import DeeperCluster
from unlabeled.methods.pretext.rotnet import RotNet
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

LABELLED = 3000  # even over the classes, for the probes


def run(lab: Lab) -> Arms:
    (heap, ranked), epochs = pile(lab), lab.setting(6, 100)  # a turned picture is a pass too: DeepCluster has four times the epochs
    few = np.sort(np.random.default_rng(lab.seed).permutation(len(lab.X))[:LABELLED])
    clusters, views = lab.setting(100, 3000), RotNet().default_views("image")
    deeper = lab.learner(DeeperCluster, batch_size=64, epochs=epochs, clusters=clusters)
    arms = {
        "DeeperCluster": deeper,
        "every picture once": lab.learner(DeeperCluster, batch_size=64, epochs=epochs, clusters=clusters, even=False),
        "RotNet": lab.learner(RotNet, batch_size=64, epochs=epochs),
        "DeepCluster": lab.learner(DeepCluster, epochs=4 * epochs, clusters=clusters, views=views),
    }
    found: dict[str, tuple[np.ndarray, ...]] = {}
    for name, learner in arms.items():
        fitted = lab.fit(learner, heap)
        lab.costs[name] = fitted.cost_
        found[name] = lab.vectors(fitted, lab.X[few], lab.X_test)
    found["untrained"] = lab.vectors(lab.untrained(deeper, heap), lab.X[few], lab.X_test)
    found["raw"] = (lab.raw()[0][few], lab.raw()[1])
    rare = np.isin(lab.y_test, ranked[-(-len(ranked) // 2) :])
    table: Arms = {}
    for name, (Z, Z_test) in found.items():
        table[name] = lab.score(Z, Z_test, y=lab.y[few])
        # Every class has as many test pictures: the share of the rare ones' that is named right is their mean recall.
        table[name]["rare"] = lab.score(Z, Z_test[rare], ("probe",), y=lab.y[few], y_test=lab.y_test[rare])["probe"]
    return table


def pile(lab: Lab, copies: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as nobody sorted them: the r-th class (in a random order) has 1 / r of the first one's, a fifth are near-copies.

    The labels shape the pile, as the world would, and go no further. Also the classes, the most common one first.
    """
    rng = np.random.default_rng(lab.seed)
    classes, sizes = np.unique(lab.y, return_counts=True)
    ranked = rng.permutation(classes)
    kept = [rng.permutation(np.flatnonzero(lab.y == value))[: max(1, round(sizes.max() / rank))] for rank, value in enumerate(ranked, 1)]
    X = lab.X[np.concatenate(kept)]
    again = X[rng.integers(len(X), size=round(len(X) * copies / (1 - copies)))]
    shifted = np.stack([np.roll(image, tuple(rng.integers(-2, 3, 2)), axis=(0, 1)) for image in again])
    return rng.permutation(np.concatenate([X, shifted])), ranked


REPRODUCTION = Reproduction(
    system="deepercluster",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("it learns more than its untrained network has", ours="DeeperCluster", than="untrained", metric="probe", margin=0.03),
        Claim("so do its neighbours", ours="DeeperCluster", than="untrained", margin=0.03),
        Claim(
            "turns and clusters together are level with the better of the two at least (half a point allowed)",
            ours="DeeperCluster",
            than=("DeepCluster", "RotNet"),
            metric="probe",
            margin=-0.005,
            role="key ingredient removed",
        ),
        Claim(
            "drawing clusters evenly serves the rare classes",
            ours="DeeperCluster",
            than="every picture once",
            metric="rare",
            role="key ingredient removed",
        ),
    ),
    full="96 million pictures of YFCC100M, VGG-16 on Sobel-filtered input, 16 super-clusters, 320,000 clusters, SGD lr 0.1, 64 GPUs",
    n=(12000, 10000),
)
