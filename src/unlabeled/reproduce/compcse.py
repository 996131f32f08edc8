"""CompCSE: what a sentence's two parts say together is a better positive than the sentence once more, and than one part alone."""

from __future__ import annotations

from unlabeled.methods.sentences.compcse import CompCSE
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.studies.sentence_contrast import (
    COMMON,
    OnePart,
    OthersPart,
    compositionality,
    load,
    scores,
    simcse,
    tell,
    untrained,
)


def run(lab: Lab) -> Arms:
    own = COMMON | {"seed": lab.seed}
    arms = {
        "SimCSE": simcse(lab),
        "SimCSE, as much work": simcse(lab, examples=COMMON["examples"] * 3 // 2),
        "CompCSE": CompCSE(**own),
        "one part": OnePart(**own),
        "another's part": OthersPart(**own),
    }
    fitted = {"untrained": untrained(lab)} | {name: lab.fit(arm) for name, arm in arms.items()}
    lab.costs |= {name: one.cost_ for name, one in fitted.items() if hasattr(one, "cost_")}
    return tell(lab, {name: scores(lab, one, compositionality) for name, one in fitted.items()})


REPRODUCTION = Reproduction(
    system="compcse",
    sets=("stsb",),
    run=run,
    load=load,
    claims=(
        Claim("it teaches the encoder what sentences mean", ours="CompCSE", than="untrained", metric="sts", margin=0.03),
        Claim("better than SimCSE of as many sentences", ours="CompCSE", than="SimCSE", metric="sts", margin=0.005),
        Claim("and than SimCSE of as much work", ours="CompCSE", than="SimCSE, as much work", metric="sts", margin=0.005),
        Claim("two parts are not worse than one", ours="CompCSE", than="one part", metric="sts", role="key ingredient removed"),
        Claim(
            "parts of two different sentences teach less",
            ours="CompCSE",
            than="another's part",
            metric="sts",
            margin=0.02,
            role="key ingredient removed",
        ),
        Claim(
            "a sentence's vector is more that of its halves together",
            ours="CompCSE",
            than="SimCSE",
            metric="composed",
            margin=0.01,
        ),
    ),
    full="a million sentences of Wikipedia, BERT and RoBERTa, 1 epoch, batches of 64 (BERT) and 512, lr 3e-5 and 1e-5, chosen on STS-B dev",
)
