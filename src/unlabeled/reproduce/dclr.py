"""DCLR: negatives that mean the same are left out, and noise where sentences crowd spreads them; near-duplicates show it best."""

from __future__ import annotations

from unlabeled.methods.sentences.dclr import DCLR
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.studies.sentence_contrast import COMMON, WithDuplicates, as_folder, load, scores, simcse, tell, untrained


def run(lab: Lab) -> Arms:
    first = lab.fit(simcse(lab))
    own = COMMON | {"seed": lab.seed, "complementary": as_folder(first), "phi": PHI, "noise_lr": NOISE_LR}
    twice = {"views": WithDuplicates()}
    arms = {
        "DCLR": DCLR(**own),
        "without weights": DCLR(**own | {"phi": None}),
        "without noise": DCLR(**own | {"noise_ratio": 0}),
        "noise as it is drawn": DCLR(**own | {"noise_steps": 0}),
        "SimCSE, duplicates": simcse(lab, **twice),
        "DCLR, duplicates": DCLR(**own | twice),
        "without weights, duplicates": DCLR(**own | twice | {"phi": None}),
    }
    fitted = {"untrained": untrained(lab), "SimCSE": first} | {name: lab.fit(arm) for name, arm in arms.items()}
    lab.costs |= {name: one.cost_ for name, one in fitted.items() if hasattr(one, "cost_")}
    return tell(lab, {name: scores(lab, one) for name, one in fitted.items()})


# phi as in the paper. On seed 100 noise as it is drawn, or moved by 2 a step, changed no score; moved by 5, vectors were more even.
PHI, NOISE_LR = 0.9, 5.0

REPRODUCTION = Reproduction(
    system="dclr",
    sets=("stsb",),
    run=run,
    load=load,
    claims=(
        Claim("it teaches the encoder what sentences mean", ours="DCLR", than="untrained", metric="sts", margin=0.03),
        Claim("better than SimCSE does", ours="DCLR", than="SimCSE", metric="sts", margin=0.003),
        Claim("and spreads the sentences more evenly", ours="DCLR", than="SimCSE", metric="uniformity", lower=True),
        Claim(
            "where a fifth of a batch is there twice, much better",
            ours="DCLR, duplicates",
            than="SimCSE, duplicates",
            metric="sts",
            margin=0.005,
        ),
        Claim(
            "because what means the same is not pushed apart",
            ours="DCLR, duplicates",
            than="without weights, duplicates",
            metric="sts",
            margin=0.005,
            role="key ingredient removed",
        ),
        Claim("the noise helps", ours="DCLR", than="without noise", metric="sts", role="key ingredient removed"),
        Claim(
            "if it moves to where sentences crowd", ours="DCLR", than="noise as it is drawn", metric="sts", role="key ingredient removed"
        ),
    ),
    full="a million sentences of Wikipedia, BERT and RoBERTa, 3 epochs, batches of 128 to 256, lr 3e-5, chosen on STS-B dev; 7 STS tasks",
)
