"""RotNet: telling by how much a picture was turned teaches what is in it, best in a middle block, and four turns teach more than two."""

from __future__ import annotations

from unlabeled.methods.pretext.rotnet import RotNet
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction

MIDDLE = 3  # of the five blocks; the paper takes the second of four


def run(lab: Lab) -> Arms:
    # The turns of a picture go through the network as well: epochs are cut so that every arm has as many passes.
    four = lab.fit(lab.learner(RotNet, batch_size=64, epochs=lab.setting(6, 100)))
    two = lab.fit(lab.learner(RotNet, batch_size=128, epochs=lab.setting(12, 200), angles=(0, 180)))
    blank = lab.untrained(lab.learner(RotNet, batch_size=64))
    lab.costs |= {"RotNet": four.cost_, "two turns": two.cost_}
    arms = {"RotNet, last block": lab.vectors(four)}
    if hasattr(four.net_.encode, "layers"):  # the full budget's ResNet has no numbered blocks: there all arms are read at the end
        four, two, blank = (model.set_params(layer=MIDDLE) for model in (four, two, blank))
    arms |= {"RotNet": lab.vectors(four), "two turns": lab.vectors(two), "untrained": lab.vectors(blank)}
    table = lab.compare(arms)
    table["RotNet"]["turns told"] = four.set_params(layer=None).rotation_accuracy(lab.X_test)
    return table


REPRODUCTION = Reproduction(
    system="rotnet",
    sets=("cifar10",),
    run=run,
    claims=(
        Claim("a middle block holds more than it does at random", ours="RotNet", than="untrained", metric="knn", margin=0.04),
        Claim("a linear classifier finds more there, too", ours="RotNet", than="untrained", metric="probe", margin=0.03),
        Claim("four turns teach more than two", ours="RotNet", than="two turns", margin=0.01, role="key ingredient removed"),
        Claim("so a linear classifier finds", ours="RotNet", than="two turns", metric="probe", role="key ingredient removed"),
        Claim("a middle block serves better than the last, which serves the turns", ours="RotNet", than="RotNet, last block", metric="knn"),
        Claim("turns can be told from what is in the picture", ours="RotNet", than=1 / 4, metric="turns told", margin=0.25),
    ),
    full="CIFAR-10: Network in Network of 4 blocks, 100 epochs, batches of 128 x 4 turns, SGD lr 0.1, weight decay 5e-4",
)
