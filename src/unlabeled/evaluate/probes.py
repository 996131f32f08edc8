"""Measures against labels: nearest neighbours, a linear classifier, clusters."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors

STRENGTHS = (0.003, 0.03, 0.3)  # of C in the linear probe's search, the same for every arm


def knn_accuracy(Ztrain: Any, ytrain: Any, Ztest: Any, ytest: Any, k: int = 20) -> float:
    """Share of test rows whose k nearest training rows vote for their class.

    Cosine after the training rows' mean is taken off both; majority vote, ties broken by summed similarity. Labels may be
    strings or integers; k is cut to the number of training rows.
    """
    A, B, a, b, classes = _prepared(Ztrain, ytrain, Ztest, ytest)
    mean = A.mean(axis=0)
    A, B = _unit(A - mean), _unit(B - mean)
    k, right = min(k, len(A)), 0
    for start in range(0, len(B), 1024):
        S = B[start : start + 1024] @ A.T
        near = np.argpartition(-S, k - 1, axis=1)[:, :k]
        close = np.take_along_axis(S, near, axis=1)
        votes = np.zeros((len(S), classes))
        rows = np.arange(len(S))[:, None]
        np.add.at(votes, (rows, a[near]), 1 + 1e-4 * close / k)
        right += int((votes.argmax(axis=1) == b[start : start + 1024]).sum())
    return right / len(B)


def linear_probe(Ztrain: Any, ytrain: Any, Ztest: Any, ytest: Any, seed: int = 0) -> float:
    """Test accuracy of multinomial logistic regression on vectors standardised with the training rows' statistics.

    The strength of the regularisation is chosen among three values on a quarter of the training rows, then all of them are
    used: the same search for every representation.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    A, B, a, b, _ = _prepared(Ztrain, ytrain, Ztest, ytest)
    spread = A.std(axis=0)
    A, B = ((Z - A.mean(axis=0)) / np.where(spread > 1e-8, spread, 1) for Z in (A, B))
    if len(np.unique(a)) < 2:
        raise InputError("all training rows have one label: a probe needs at least two classes")

    def fit(strength: float, X: np.ndarray, y: np.ndarray) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a search that ends early is as good for choosing and probing
            return LogisticRegression(C=strength, max_iter=100, tol=1e-3).fit(X, y)

    counts = np.bincount(a)
    together = a if counts[counts > 0].min() >= 2 and len(a) >= 4 * (counts > 0).sum() else None
    fitting, checking = train_test_split(np.arange(len(A)), test_size=0.25, random_state=seed, stratify=together)
    scores = {c: fit(c, A[fitting], a[fitting]).score(A[checking], a[checking]) if len(np.unique(a[fitting])) > 1 else 0 for c in STRENGTHS}
    return float(fit(max(scores, key=lambda c: scores[c]), A, a).score(B, b))


def clustering_scores(labels: Any, y: Any) -> dict[str, float]:
    """Clusters [n] against classes [n]: accuracy under the best one-to-one matching (Hungarian), NMI and ARI."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, confusion_matrix, normalized_mutual_info_score

    found, true = np.asarray(labels), np.asarray(y)
    if found.shape != true.shape or found.ndim != 1 or not len(found):
        raise InputError(f"labels has shape {found.shape} and y {true.shape}: wanted one of each for every item")
    found, true = (np.unique(values, return_inverse=True)[1] for values in (found, true))
    table = confusion_matrix(true, found)
    rows, columns = linear_sum_assignment(-table)
    return {
        "accuracy": float(table[rows, columns].sum() / len(true)),
        "nmi": float(normalized_mutual_info_score(true, found)),
        "ari": float(adjusted_rand_score(true, found)),
    }


def probes(arms: dict[str, Any], y: Any, folds: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Every arm (name -> vectors [n, d]) on the same stratified folds.

    knn (k = 20) and linear: held-out accuracy; accuracy, nmi, ari: k-means with as many clusters as classes, a seed a fold.
    Each is {"mean", "std"} over the folds. y: [n], strings or integers; -1, "" and None mean no label and are left out.
    Raises InputError for fewer than two classes, or when no class has two members.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    from unlabeled.parts.assign import kmeans

    text = np.array(["" if value is None else str(value) for value in y])
    keep = ~np.isin(text, ["", "-1", "nan"])
    _, labels = np.unique(text[keep], return_inverse=True)
    counts = np.bincount(labels)
    if len(counts) < 2:
        raise InputError(f"the labels have {len(counts)} class: probes need at least two")
    if counts.max() < 2 or folds < 2:
        raise InputError("every class has one member: probes need classes with several" if counts.max() < 2 else f"folds is {folds}: wanted 2 or more")
    folds = min(folds, len(labels))
    splitter: Any = (StratifiedKFold if counts.min() >= folds else KFold)(folds, shuffle=True, random_state=seed)
    rows = []
    for name, Z in arms.items():
        X = np.asarray(check_vectors(Z, name))
        if len(X) != len(text):
            raise InputError(f"{name} has {len(X)} vectors for {len(text)} labels: wanted one each")
        X = X[keep]
        directions = _unit(X - X.mean(axis=0))
        found: dict[str, list[float]] = {}
        for fold, (train, test) in enumerate(splitter.split(X, labels)):
            values = {"knn": knn_accuracy(X[train], labels[train], X[test], labels[test])}
            if len(np.unique(labels[train])) > 1:
                values["linear"] = linear_probe(X[train], labels[train], X[test], labels[test], seed=seed)
            groups = kmeans(directions, min(len(counts), len(X)), seed=seed + fold, n_init=3).labels
            for measure, value in (values | clustering_scores(groups, labels)).items():
                found.setdefault(measure, []).append(value)
        summary = {m: {"mean": float(np.mean(v)), "std": float(np.std(v))} for m, v in found.items()}
        rows.append({"name": name, "dim": int(X.shape[1]), **summary})
    return rows


def _prepared(Ztrain: Any, ytrain: Any, Ztest: Any, ytest: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    A, B = np.asarray(check_vectors(Ztrain, "Ztrain")), np.asarray(check_vectors(Ztest, "Ztest"))
    a, b = np.asarray(ytrain), np.asarray(ytest)
    if A.shape[1] != B.shape[1]:
        raise InputError(f"Ztrain has {A.shape[1]} columns and Ztest {B.shape[1]}: embed both alike")
    for name, y, Z in (("ytrain", a, A), ("ytest", b, B)):
        if y.shape != (len(Z),):
            raise InputError(f"{name} has shape {y.shape} for {len(Z)} rows: wanted one label each")
    names, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    return A, B, codes[: len(a)], codes[len(a) :], len(names)


def _unit(X: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norm > 0, norm, 1)
