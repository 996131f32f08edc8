"""Does an encoder that saw no labels tie a group to an attribute? A bias audit by association of vectors, for pictures and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.checks import whole

EXACT = 20_000  # partitions up to which every one is counted
BLOCK = 1_000  # drawn partitions, and bootstrap samples, made at once
PLEASANT = ("valence/pleasant", "valence/unpleasant")
# The 15 tests of the paper's table, as (X, Y, A, B): the stereotype is X with A and Y with B. Categories of the set `ieat`.
TESTS: dict[str, tuple[str, str, str, str]] = {
    "age": ("age/young", "age/old", *PLEASANT),
    "arab-muslim": ("arab-muslim/other-people", "arab-muslim/arab-muslim", *PLEASANT),
    "asian": ("asian/european-american", "asian/asian-american", "asian/american", "asian/foreign"),
    "disability": ("disabled/abled", "disabled/disabled", *PLEASANT),
    "gender-career": ("gender/male", "gender/female", "gender/career", "gender/family"),
    "gender-science": ("gender/male", "gender/female", "gender/science", "gender/liberal-arts"),
    "insect-flower": ("insect-flower/flower", "insect-flower/insect", *PLEASANT),
    "native": ("native/euro", "native/native", "native/us", "native/world"),
    "race": ("race/european-american", "race/african-american", *PLEASANT),
    "religion": ("religion/christianity", "religion/judaism", *PLEASANT),
    "sexuality": ("sexuality/straight", "sexuality/gay", *PLEASANT),
    "skin-tone": ("skin-tone/light", "skin-tone/dark", *PLEASANT),
    "weapon": ("weapon/white", "weapon/black", "weapon/tool", "weapon/weapon"),
    "weapon-modern": ("weapon/white", "weapon/black", "weapon/tool-modern", "weapon/weapon-modern"),
    "weight": ("weight/thin", "weight/fat", *PLEASANT),
}
INTERSECTIONAL: dict[str, tuple[str, str, str, str]] = {
    f"{one} / {other}, career": (f"intersectional/{one}", f"intersectional/{other}", "gender/career", "gender/family")
    for one, other in (
        ("male", "female"),
        ("white-male", "white-female"),
        ("white-male", "black-male"),
        ("white-male", "black-female"),
        ("black-male", "black-female"),
    )
}


@dataclass(frozen=True)
class AssociationResult:
    """d > 0: X goes with A and Y with B. A number about these stimuli, not about all that one could have chosen."""

    d: float  # effect size, in standard deviations (ddof=1) of the association over all stimuli of X and Y
    p: float  # one-sided: share of partitions of X and Y together that are associated as strongly or more
    ci: tuple[float, float]  # 95 %, bootstrap over the stimuli of all four sets
    n: tuple[int, int, int, int]  # stimuli in X, Y, A and B
    cosines: tuple[float, float, float, float]  # mean cosine of X with A, X with B, Y with A, Y with B
    exact: bool  # every partition was counted


@dataclass(frozen=True)
class AssociationTable:
    """One result a test, and p as it is after as many tests (Holm, 1979)."""

    results: dict[str, AssociationResult]
    holm: dict[str, float]

    def table(self) -> str:
        """Text: a line a test."""
        width = max(map(len, self.results))
        lines = [f"{'test':{width}}  n (X, Y, A, B)      d   95 % interval        p   p, Holm   XA     XB     YA     YB"]
        for name, one in self.results.items():
            sizes, cosines = "/".join(map(str, one.n)), "  ".join(f"{value:5.2f}" for value in one.cosines)
            interval = f"{one.ci[0]:6.2f} to {one.ci[1]:5.2f}"
            lines.append(f"{name:{width}}  {sizes:14} {one.d:6.2f} {interval}  {one.p:7.4f}   {self.holm[name]:7.4f}  {cosines}")
        return "\n".join(lines)


def association_test(
    X: Any, Y: Any, A: Any, B: Any, *, draws: int = 10_000, center: bool = False, resamples: int = 1_000, seed: int = 0
) -> AssociationResult:
    """Are the stimuli X nearer to the attribute A and Y to B than the other way round? The WEAT of vectors (Caliskan et al., 2017).

    s(w) = mean cosine with A - mean cosine with B; d = (mean of s over X - mean over Y) / standard deviation over both (ddof=1).
    X, Y, A, B: vectors [n, d] of 2 or more stimuli each (A and B of 1 or more). p: every partition of X and Y together into sets
    of these sizes is counted where there are at most 20,000, else `draws` random ones and the one that was found. The one that
    was found always counts as one of them, unlike in the paper: p is never 0, at 4 and 4 stimuli never below 1/70.
    center: subtract the mean of all stimuli first, for embeddings in which a common part makes all cosines about 1.
    X and Y of different sizes are compared by their means; with equal sizes that is the paper's statistic.
    InputError: bad values, a vector of zeros, widths that differ, all stimuli with the same association.

    >>> found = association_test(*(minilm.transform(words) for words in (flowers, insects, pleasant, unpleasant)))
    >>> found.d, found.p, found.ci
    """
    draws, resamples = whole("draws", draws), whole("resamples", resamples)
    sets = [check_vectors(one, name, least).astype(np.float64) for one, name, least in zip((X, Y, A, B), "XYAB", (2, 2, 1, 1), strict=True)]
    if len({one.shape[1] for one in sets}) > 1:
        raise InputError(f"X, Y, A and B have {', '.join(str(one.shape[1]) for one in sets)} numbers a vector: wanted the same")
    if center:
        mean = np.concatenate(sets).mean(axis=0)
        sets = [one - mean for one in sets]
    sets = [_unit(one, name) for one, name in zip(sets, "XYAB", strict=True)]
    n = tuple(len(one) for one in sets)
    x, y, a, _ = n
    cosines = np.concatenate(sets[:2]) @ np.concatenate(sets[2:]).T
    s = cosines[:, :a].mean(axis=1) - cosines[:, a:].mean(axis=1)
    if np.ptp(s) < 1e-9:
        raise InputError("all stimuli of X and Y have the same association with A and B: there is nothing to compare")
    rng = np.random.default_rng(seed)
    p, exact = _p(s, x, draws, rng)
    quarters = [cosines[rows][:, columns].mean() for rows in (slice(x), slice(x, None)) for columns in (slice(a), slice(a, None))]
    low, high = np.quantile(_bootstrap(cosines, x, a, resamples, rng), [0.025, 0.975])
    d = (s[:x].mean() - s[x:].mean()) / s.std(ddof=1)
    return AssociationResult(float(d), p, (float(low), float(high)), n, tuple(map(float, quarters)), exact)  # type: ignore[arg-type]


def ieat(
    encoder: Any, stimuli: Any = "ieat", tests: str | Mapping[str, tuple[str, str, str, str]] = "all", **settings: Any
) -> AssociationTable:
    """The association tests of pictures (or of anything else) with one encoder, and p adjusted for how many there are.

    encoder: a fitted learner (`transform`), or a function from a list of stimuli to vectors [n, d]. stimuli: {category: items}, a
    folder with one subfolder a category, or the data set `ieat` (its categories are named experiment/category). tests: "all",
    the paper's 15, "intersectional", or {name: (X, Y, A, B)} of categories. settings: those of `association_test`.
    Steed and Caliskan, 2021, "Image Representations Learned With Unsupervised Pre-Training Contain Human-like Biases",
    arXiv:2010.15052; there: iGPT (middle layers, mean over places) and SimCLRv2, pictures of 64 x 64 here.
    InputError: a category that isn't there, no tests, and as in `association_test`.

    >>> print(ieat(SimCLR().fit(pictures)).table())
    >>> words = {"flower": [...], "insect": [...], "good": [...], "bad": [...]}
    >>> ieat(minilm.transform, words, {"valence": ("flower", "insect", "good", "bad")}).holm
    """
    if isinstance(tests, str):
        named = {"all": TESTS, "intersectional": INTERSECTIONAL}
        if tests not in named:
            raise InputError(f"tests={tests!r}: wanted 'all', 'intersectional' or {{name: (X, Y, A, B)}}")
        tests = named[tests]
    pools = stimuli if isinstance(stimuli, Mapping) else _read(stimuli)
    wanted = dict.fromkeys(category for four in tests.values() for category in four)
    missing = [category for category in wanted if category not in pools]
    if missing or not wanted:
        raise InputError(f"no stimuli for {', '.join(missing) or 'any test'}: there are {', '.join(map(str, pools)) or 'no categories'}")
    encode = encoder.transform if hasattr(encoder, "transform") else encoder
    vectors = {category: encode(pools[category]) for category in wanted}
    results = {name: association_test(*(vectors[category] for category in four), **settings) for name, four in tests.items()}
    return AssociationTable(results, dict(zip(results, holm([one.p for one in results.values()]).tolist(), strict=True)))


def holm(p: Any) -> np.ndarray:
    """The p of m tests [m] so adjusted that one false alarm among all of them is as rare as p says (Holm, 1979): [m], not above 1."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def _unit(vectors: np.ndarray, name: str) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (length > 1e-9).all():
        raise InputError(f"{name} has a vector of zeros in row {int(length.argmin())}: it has no direction")
    return vectors / length


def _p(s: np.ndarray, x: int, draws: int, rng: np.random.Generator) -> tuple[float, bool]:
    """Share of the partitions whose part of x stimuli has a mean as high as the first x of s [n] or higher; were all counted?"""
    reached = s[:x].sum() - 1e-9 * np.abs(s).sum()  # the total is fixed: the sum over X orders partitions as the difference of means does
    exact = comb(len(s), x) <= EXACT
    if exact:
        sums = s[np.array(list(combinations(range(len(s)), x)))].sum(axis=1)
        return float((sums >= reached).mean()), True
    count = 0
    for start in range(0, draws, BLOCK):
        rows = rng.permuted(np.tile(s, (min(BLOCK, draws - start), 1)), axis=1)
        count += int((rows[:, :x].sum(axis=1) >= reached).sum())
    return (1 + count) / (1 + draws), False


def _bootstrap(cosines: np.ndarray, x: int, a: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The effect size with the stimuli of each of the four sets drawn again."""
    n, m = cosines.shape
    found = []
    for _ in range(resamples):
        rows = np.concatenate([rng.integers(0, x, x), rng.integers(x, n, n - x)])
        columns = np.concatenate([rng.integers(0, a, a), rng.integers(a, m, m - a)])
        drawn = cosines[np.ix_(rows, columns)]
        s = drawn[:, :a].mean(axis=1) - drawn[:, a:].mean(axis=1)
        spread = s.std(ddof=1)
        if spread > 1e-12:  # of tiny sets a sample may be one stimulus, drawn every time
            found.append((s[:x].mean() - s[x:].mean()) / spread)
    return np.array(found or [np.nan])


def _read(stimuli: Any) -> dict[str, Any]:
    """The pictures of each category of a data set or a folder."""
    from unlabeled.data import read
    from unlabeled.datasets import load

    path = Path(str(stimuli))
    items = read(path) if path.exists() else load(str(stimuli))
    if "category" in items.columns:
        columns = [items.columns[name] for name in ("experiment", "category") if name in items.columns]
        of = np.array(["/".join(map(str, one)) for one in zip(*columns, strict=True)])
    else:
        of = np.array([str(one).rsplit("/", 1)[0] for one in items.ids])
    return {str(category): items.take(np.flatnonzero(of == category)) for category in np.unique(of)}


__all__ = ["AssociationResult", "AssociationTable", "association_test", "holm", "ieat"]
