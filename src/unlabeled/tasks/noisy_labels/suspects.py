"""Which labels are probably wrong: confident learning."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.labels import classes_of


@dataclass(frozen=True)
class LabelSuspects:
    """What `label_suspects` found. Rows without a label, or of a class with one example, are judged by nobody: score NaN."""

    rows: np.ndarray  # int64 [m]: the rows whose label is probably wrong, the surest first
    given: np.ndarray  # [m]: the label they have
    likely: np.ndarray  # [m]: the class they probably are
    score: np.ndarray  # float64 [n], of every row: p(likeliest other class) - p(given label), -1 to 1; above 0 is doubtful
    joint: np.ndarray  # float64 [K, K]: estimated share of rows with label i that are class j; sums to 1
    classes: np.ndarray  # [K]: the names of i and j
    probabilities: np.ndarray  # float64 [n, K], out of the fold the row is in; NaN where the row has no label

    @property
    def wrong(self) -> float:
        """The estimated share of wrong labels."""
        return float(1 - np.trace(self.joint))

    def table(self, most: int = 20) -> str:
        """The first suspects, as text."""
        lines = [f"{len(self.rows)} labels are probably wrong; about {self.wrong:.1%} of all", "row  given -> likely  score"]
        found = zip(self.rows[:most], self.given, self.likely, strict=False)
        return "\n".join(lines + [f"{row}  {given} -> {likely}  {self.score[row]:.2f}" for row, given, likely in found])


def label_suspects(Z: Any, y: Any, *, prune: str = "noise rate", folds: int = 5, seed: int = 0) -> LabelSuspects:
    """Rank the rows of Z [n, d] whose label in y [n] is probably wrong, each with the class it probably is.

    Confident learning (Northcutt, Jiang and Chuang, 2021, arXiv:1911.00068): class probabilities of each row from a logistic
    regression that didn't see it (`folds` parts, temperature fitted on those probabilities) give the confident joint of given
    and likely classes. prune "noise rate": for each pair of classes (i, j) as many rows labelled i are suspects as the joint
    estimates, those with the largest p_j - p_i; "confident": the rows off the joint's diagonal. Sorted by their margin.
    Labels: numbers or names; -1, "", None is none.

    Measured on digits with planted errors: where classes are mistaken for certain others this finds more than sorting by
    1 - p(given) does (20 % wrong: 87 % of the suspects are, against 83 % of as many); with errors spread evenly it finds no more.

    A class with fewer examples than folds is left out of some folds only; a class with one example can be neither learned
    nor judged, and stays out. InputError: bad values in Z, lengths that differ, fewer than two classes with two examples.

        found = label_suspects(Z, y)
        print(found.table())
        y[found.rows] = -1             # or found.likely, once somebody has looked
    """
    Z = np.asarray(check_vectors(Z), dtype=np.float32)
    y = np.asarray(y)
    if y.shape != (len(Z),):
        raise InputError(f"y has shape {y.shape} for {len(Z)} rows: wanted one label each")
    if folds < 2 or prune not in ("noise rate", "confident"):
        raise InputError(f"folds={folds!r}, prune={prune!r}: wanted 2 or more folds, and 'noise rate' or 'confident'")
    names, codes = classes_of(y)
    several = np.bincount(codes[codes >= 0]) > 1
    rows = np.flatnonzero((codes >= 0) & several[codes])
    if several.sum() < 2:
        raise InputError(f"{int(several.sum())} class of y has two examples or more: wanted at least two such classes")
    names, labels = names[several], (np.cumsum(several) - 1)[codes[rows]]
    P = calibrated(held_out_logits(Z[rows], labels, folds, seed), labels)
    counts, likely = confident_joint(P, labels)
    joint = joint_of(counts, labels)
    if prune == "noise rate":
        likely = by_noise_rate(P, labels, joint)
    others = P.copy()
    others[np.arange(len(rows)), labels] = -1
    margin = others.max(axis=1) - P[np.arange(len(rows)), labels]
    flagged = np.flatnonzero((likely >= 0) & (likely != labels))
    order = flagged[np.argsort(-margin[flagged], kind="stable")]
    score, probabilities = np.full(len(Z), np.nan), np.full((len(Z), len(names)), np.nan)
    score[rows], probabilities[rows] = margin, P
    return LabelSuspects(rows[order], names[labels[order]], names[likely[order]], score, joint, names, probabilities)


def confident_joint(P: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows with label i that are confidently class j, int64 [K, K], and each row's confident class, int64 [n], -1 for none.

    P: [n, K] probabilities. A row is confidently class j when p_j reaches the mean of p_j over the rows labelled j; of
    several such classes the likeliest counts. labels: int [n], each class at least once.
    """
    K = P.shape[1]
    threshold = np.array([P[labels == j, j].mean() for j in range(K)])
    confident = P >= threshold - 1e-12
    likely = np.where(confident.any(axis=1), np.where(confident, P, -1).argmax(axis=1), -1)
    counts = np.zeros((K, K), np.int64)
    np.add.at(counts, (labels[likely >= 0], likely[likely >= 0]), 1)
    return counts, likely


def joint_of(counts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The joint distribution of given and true class [K, K]: the confident joint with its rows scaled to the labels' counts.

    A class without a confident row is taken to be right.
    """
    totals = np.bincount(labels, minlength=len(counts))
    sums = counts.sum(axis=1)
    shares = np.where(sums[:, None] > 0, counts / np.maximum(sums, 1)[:, None], np.eye(len(counts)))
    return shares * totals[:, None] / totals.sum()


def by_noise_rate(P: np.ndarray, labels: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Each row's likely class where it is among the n joint[i, j] rows labelled i with the largest p_j - p_i, else -1: int64 [n]."""
    likely, best = np.full(len(P), -1), np.full(len(P), -np.inf)
    for i, j in zip(*np.nonzero(joint), strict=True):
        if i == j:
            continue
        members = np.flatnonzero(labels == i)
        lead = P[members, j] - P[members, i]
        first = np.argsort(-lead, kind="stable")[: round(len(P) * joint[i, j])]
        first = first[lead[first] > best[members[first]]]  # a row may be among the first for several classes
        likely[members[first]], best[members[first]] = j, lead[first]
    return likely


def held_out_logits(Z: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Logits [n, K] of each row by logistic regressions that didn't see it; -inf for a class that its fold left nothing of.

    Every class, shuffled, is dealt out over the folds; one with fewer examples than folds is held out in as many folds as it has.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rng, fold, dealt = np.random.default_rng(seed), np.empty(len(labels), np.int64), 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = (dealt + np.arange(len(members))) % folds
        dealt += len(members)
    logits = np.full((len(Z), int(labels.max()) + 1), -np.inf)
    for part in np.unique(fold):
        test, train = fold == part, fold != part
        mean, spread = Z[train].mean(axis=0, dtype=np.float64), Z[train].std(axis=0, dtype=np.float64)
        spread[spread <= 1e-6 * np.abs(mean)] = np.inf  # a constant column, up to rounding, says nothing
        spread[spread == 0] = np.inf
        # The penalty is firm (half the squared weights x 0.1 beside the mean loss): a probe that fits every label finds none wrong.
        model = LogisticRegression(C=10 / train.sum(), max_iter=200, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit((Z[train] - mean) / spread, labels[train])
        found = model.decision_function((Z[test] - mean) / spread)
        found = np.stack([np.zeros_like(found), found], axis=1) if found.ndim == 1 else found
        logits[np.ix_(test, model.classes_)] = found
    return logits


def calibrated(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities [n, K] at the temperature under which the labels are likeliest (Guo et al., 2017, arXiv:1706.04599)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    own = logits[np.arange(len(labels)), labels]
    judged = np.isfinite(own)

    def surprise(log_temperature: float) -> float:
        return -float(log_softmax(logits[judged] / np.exp(log_temperature), axis=1)[np.arange(judged.sum()), labels[judged]].mean())

    best = minimize_scalar(surprise, bounds=(-3, 3), method="bounded").x if judged.any() else 0.0
    return np.exp(log_softmax(logits / np.exp(best), axis=1))
