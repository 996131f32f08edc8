"""iEAT: the association test is calibrated, finds an association that is known to be there, and what it says of the paper's stimuli."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import kstest

from unlabeled.datasets import load as load_set
from unlabeled.evaluate.ieat import association_test, ieat
from unlabeled.reproduce.harness import Arms, Claim, Lab, Reproduction
from unlabeled.reproduce.sources import split

REPETITIONS, STIMULI = 2000, 10  # of a test under the null, and in each of its sets
UNIFORM = 1.63 / 500**0.5  # from there 500 repetitions tell p from a uniform one (Kolmogorov-Smirnov, at 0.01)
UNTRAINED = 10  # encoders that learned nothing, their mean counts: one alone has an effect of up to 0.7 either way
WORDS = 16  # of the words below that a seed draws from each list
CATEGORIES = {
    "flower": "aster begonia bluebell buttercup carnation clover crocus daffodil dahlia daisy gladiola hyacinth iris lilac lily marigold "
    "orchid pansy peony petunia poppy rose tulip violet zinnia",
    "insect": "ant bedbug beetle blackfly caterpillar centipede cockroach cricket dragonfly flea fly gnat hornet horsefly locust maggot "
    "mosquito moth roach spider tarantula termite tick wasp weevil",
    "pleasant": "caress cheer diamond diploma family freedom friend gentle gift happy health heaven honest honor laughter love loyal lucky "
    "miracle paradise peace pleasure rainbow sunrise vacation",
    "unpleasant": "abuse accident agony assault cancer crash death disaster divorce evil filth grief hatred jail murder poison pollute "
    "poverty prison rotten sickness stink tragedy ugly vomit",
}
VALENCE = tuple(CATEGORIES)


def load(source: str, seed: int, n_train: int | None, n_test: int | None) -> tuple[Any, Any, Any, Any]:
    """`weat_words`: words drawn from the lists above, and the same words in a sentence; anything else as everywhere."""
    if source != "weat_words":
        parts = split(source, seed, (n_train, n_test))
        return parts.X, parts.y, parts.X_test, parts.y_test
    rng = np.random.default_rng(seed)
    words = {name: rng.choice(text.split(), WORDS, replace=False).tolist() for name, text in CATEGORIES.items()}
    X, y = [word for drawn in words.values() for word in drawn], [name for name, drawn in words.items() for _ in drawn]
    return X, y, [f"This is {word}." for word in X], y


def run(lab: Lab) -> Arms:
    rng = np.random.default_rng(lab.seed)
    Z, Z_test = lab.embedded()
    table: Arms = {"random vectors": null(lambda: rng.normal(size=(4 * STIMULI, 64)), rng)}
    table["the encoder's vectors, drawn at random"] = null(lambda: Z[rng.permutation(len(Z))[: 4 * STIMULI]], rng)
    words = set(VALENCE) <= set(lab.y.tolist())
    tests = {"words": Z, "sentences": Z_test} if words else {"two classes": Z}
    for name, vectors in tests.items():
        table[name] = known(vectors, lab.y, words, rng)
        blank = [known(untrained(lab, name, draw), lab.y, words, rng) for draw in range(UNTRAINED if words else 1)]
        table[f"{name}, untrained"] = {metric: float(np.mean([one[metric] for one in blank])) for metric in blank[0]}
    if lab.data.kind == "image":
        table |= paper(lab)
    for name, scores in table.items():
        lab.say(f"{name}: " + ", ".join(f"{metric} {value:.3f}" for metric, value in scores.items()))
    return table


def null(draw: Any, rng: np.random.Generator) -> dict[str, float]:
    """Tests of stimuli among which there is nothing to find."""
    found = [association_test(*np.split(draw(), 4), draws=199, resamples=1, seed=int(rng.integers(1 << 31))) for _ in range(REPETITIONS)]
    p = np.array([one.p for one in found])
    return {
        "distance from uniform": float(kstest(p, "uniform").statistic),
        "alarms at 0.05": float((p <= 0.05).mean()),
        "|mean d|": float(abs(np.mean([one.d for one in found]))),
    }


def known(Z: np.ndarray, y: np.ndarray, words: bool, rng: np.random.Generator) -> dict[str, float]:
    """Flowers and insects with good and bad words; of other data two random classes, each with more of itself."""
    if words:
        four = [Z[y == name] for name in VALENCE]
    else:
        one, other = (rng.permutation(np.flatnonzero(y == name)) for name in rng.permutation(np.unique(y))[:2])
        half = [(rows[: len(rows) // 2][:50], rows[len(rows) // 2 :][:50]) for rows in (one, other)]
        four = [Z[half[0][0]], Z[half[1][0]], Z[half[0][1]], Z[half[1][1]]]
    found = association_test(*four, seed=int(rng.integers(1 << 31)))
    return {"d": found.d, "p": found.p, "d, from": found.ci[0]}


def untrained(lab: Lab, name: str, draw: int) -> np.ndarray:
    """Vectors of an encoder that learned nothing: what the stimuli share by themselves."""
    if lab.data.kind == "text":
        from unlabeled.methods.frozen import Frozen

        return Frozen(encoder="ngrams", seed=1000 * lab.seed + draw).fit(lab.X).transform(lab.X_test if name == "sentences" else lab.X)
    if lab.data.kind == "image":
        from unlabeled.methods.contrastive.simclr import SimCLR

        return lab.untrained(lab.learner(SimCLR, seed=1000 * lab.seed + draw)).transform(lab.X)
    return np.random.default_rng(1000 * lab.seed + draw).normal(size=(len(lab.X), 64))


def paper(lab: Lab) -> Arms:
    """The paper's 15 tests with an encoder trained on these pictures: reported, nothing is claimed of it."""
    from unlabeled.methods.contrastive.simclr import SimCLR

    items, size, channels = load_set("ieat"), lab.X.shape[1], lab.X.shape[3] if lab.X.ndim == 4 else 1
    if channels != 3:
        return {}
    pictures = np.asarray(items.take(np.arange(len(items))), dtype=np.float32)
    step = max(pictures.shape[1] // size, 1)
    small = pictures.reshape(len(items), pictures.shape[1] // step, step, pictures.shape[2] // step, step, 3).mean(axis=(2, 4))
    of = np.array([f"{a}/{b}" for a, b in zip(items.columns["experiment"], items.columns["category"], strict=True)])
    stimuli = {name: small[of == name].round().astype(np.uint8) for name in np.unique(of)}
    encoders = {"trained": lab.fit(lab.learner(SimCLR)), "untrained": lab.untrained(lab.learner(SimCLR))}
    tables = {name: ieat(encoder, stimuli, seed=lab.seed) for name, encoder in encoders.items()}
    return {
        f"iEAT {test}": {
            f"{measure}, {name}": value
            for name, found in tables.items()
            for measure, value in (("d", found.results[test].d), ("p, Holm", found.holm[test]))
        }
        for test in tables["trained"].results
    }


REPRODUCTION = Reproduction(
    system="ieat",
    sets=("weat_words", "cifar10"),
    run=run,
    load=load,
    claims=(
        Claim(
            "where there is nothing p is uniform",
            ours="random vectors",
            than=UNIFORM,
            metric="distance from uniform",
            lower=True,
            role="by itself",
        ),
        Claim(
            "among the vectors of a real encoder too",
            ours="the encoder's vectors, drawn at random",
            than=UNIFORM,
            metric="distance from uniform",
            lower=True,
            role="by itself",
        ),
        Claim("and the effect is zero on average", ours="random vectors", than=0.1, metric="|mean d|", lower=True, role="by itself"),
        Claim("flowers are pleasant and insects are not", ours="words", than=0.8, metric="d", role="by itself", on="weat_words"),
        Claim("which isn't chance", ours="words", than=0.01, metric="p", lower=True, role="by itself", on="weat_words"),
        Claim("an encoder that knows no words finds less", ours="words", than="words, untrained", metric="d", margin=0.4, on="weat_words"),
    ),
    full="iGPT-L (middle block, mean over places) and SimCLRv2, both trained on ImageNet; 15 tests, 10,000 drawn partitions",
)
