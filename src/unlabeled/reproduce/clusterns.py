"""ClusterNS: centres are hard negatives and clusters tell false ones; with clusters dealt out by chance neither is worth anything."""

from __future__ import annotations

from unlabeled.methods.sentences.clusterns import ClusterNS
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.studies.sentence_contrast import COMMON, AnyCluster, WithDuplicates, load, nmi, scores, simcse, tell, untrained


def run(lab: Lab) -> Arms:
    own, twice = COMMON | OWN | {"seed": lab.seed}, {"views": WithDuplicates()}
    arms = {
        "SimCSE": simcse(lab),
        "ClusterNS": ClusterNS(**own),
        "hard negatives alone": ClusterNS(**own | {"false_negatives": False}),
        "false negatives alone": ClusterNS(**own | {"hard_negatives": False}),
        "any clusters": AnyCluster(**own),
        "SimCSE, duplicates": simcse(lab, **twice),
        "false negatives alone, duplicates": ClusterNS(**own | twice | {"hard_negatives": False}),
    }
    fitted = {"untrained": untrained(lab)} | {name: lab.fit(arm) for name, arm in arms.items()}
    lab.costs |= {name: one.cost_ for name, one in fitted.items() if hasattr(one, "cost_")}
    return tell(lab, {name: scores(lab, one, nmi) for name, one in fitted.items()})


OWN: dict = {"k": 32}

REPRODUCTION = Reproduction(
    system="clusterns",
    sets=("stsb",),
    run=run,
    load=load,
    claims=(
        Claim("it teaches the encoder what sentences mean", ours="ClusterNS", than="untrained", metric="sts", margin=0.03),
        Claim("better than SimCSE does", ours="ClusterNS", than="SimCSE", metric="sts", margin=0.003),
        Claim("and groups short texts better", ours="ClusterNS", than="SimCSE", metric="nmi", margin=0.01),
        Claim(
            "the hard negatives are worth something",
            ours="ClusterNS",
            than="false negatives alone",
            metric="sts",
            role="key ingredient removed",
        ),
        Claim(
            "and so are the false ones",
            ours="ClusterNS",
            than="hard negatives alone",
            metric="sts",
            role="key ingredient removed",
        ),
        Claim(
            "clusters dealt out by chance are not",
            ours="ClusterNS",
            than="any clusters",
            metric="sts",
            role="key ingredient removed",
        ),
        Claim(
            "where a fifth of a batch is there twice, knowing the false negatives helps",
            ours="false negatives alone, duplicates",
            than="SimCSE, duplicates",
            metric="sts",
            margin=0.005,
        ),
    ),
    full="a million sentences of Wikipedia, BERT and RoBERTa, 1 epoch, batches of 256 to 512, lr 1e-5 to 3e-5, chosen on STS-B dev",
)
