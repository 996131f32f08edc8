"""Measures against labels: nearest neighbours, a linear classifier, clusters."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.evaluate.labelfree import draw
from unlabeled.parts.assign import check_vectors

# Weight of half the squared weights beside the mean loss, strongest first: the search of the linear probe, for every arm the same.
PENALTIES = (1.0, 0.1, 0.01, 0.001)
MOST = 5_000  # labelled items that `probes` uses


def knn_accuracy(Ztrain: Any, ytrain: Any, Ztest: Any, ytest: Any, k: int = 20) -> float:
    """Share of test rows whose k nearest training rows vote for their class.

    Cosine after the training rows' mean is taken off both; majority vote, ties broken by summed similarity. Labels may be
    strings or integers; k is cut to the number of training rows.
    """
    import faiss

    from unlabeled.representation.index import unit

    A, B, a, b, classes = _prepared(Ztrain, ytrain, Ztest, ytest)
    if k < 1:
        raise InputError(f"k is {k}: wanted 1 or more neighbours")
    mean = A.mean(axis=0, dtype=np.float64).astype(np.float32)
    k = min(k, len(A))
    index: Any = faiss.IndexFlatIP(A.shape[1])
    index.add(unit(A, mean))
    cosine, near = index.search(unit(B, mean), k)
    votes = np.zeros((len(B), classes))
    np.add.at(votes, (np.arange(len(B))[:, None], a[near]), 1 + 0.4 * cosine / k)  # all k cosines together weigh less than a vote
    return float((votes.argmax(axis=1) == b).mean())


def linear_probe(Ztrain: Any, ytrain: Any, Ztest: Any, ytest: Any, seed: int = 0) -> float:
    """Test accuracy of multinomial logistic regression on vectors standardised with the training rows' statistics.

    The penalty is chosen among four values on a fifth of the training rows (drawn with `seed` from each class; a class of
    fewer than five gives none), the strongest of equally good ones, then all rows are used: the same search for every
    representation. Labels may be strings or integers. InputError: fewer than two classes to learn from.
    """
    A, B, a, b, _ = _prepared(Ztrain, ytrain, Ztest, ytest)
    if len(np.unique(a)) < 2:
        raise InputError("all training rows have one label: a probe needs at least two classes")
    mean, spread = A.mean(axis=0, dtype=np.float64), A.std(axis=0, dtype=np.float64)
    spread[spread <= 1e-6 * np.abs(mean)] = np.inf  # a constant column, up to rounding, says nothing
    spread[spread == 0] = np.inf
    A, B = (((Z - mean) / spread).astype(np.float32) for Z in (A, B))
    held = _folds(a, 5, seed, onward=False) == 4
    penalty = PENALTIES[-2]
    if held.any():
        models = _path(A[~held], a[~held], PENALTIES)
        penalty = PENALTIES[int(np.argmax([_score(model, A[held], a[held]) for model in models]))]
    return _score(_path(A, a, (penalty,))[0], B, b)


def _path(X: np.ndarray, y: np.ndarray, penalties: tuple[float, ...]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Weights, biases and classes for each penalty, each found from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model, found = LogisticRegression(max_iter=200, tol=1e-3, warm_start=True), []
    for penalty in penalties:
        model.set_params(C=1 / (penalty * len(X)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a search that ends early is as good for choosing and probing
            model.fit(X, y)
        found.append((model.coef_.copy(), model.intercept_.copy(), model.classes_.copy()))
    return found


def _score(model: tuple[np.ndarray, np.ndarray, np.ndarray], X: np.ndarray, y: np.ndarray) -> float:
    weights, bias, classes = model
    logits = X @ weights.T + bias
    chosen = logits.argmax(axis=1) if len(classes) > 2 else (logits[:, 0] > 0).astype(int)
    return float((classes[chosen] == y).mean())


def clustering_scores(labels: Any, y: Any) -> dict[str, float]:
    """Clusters [n] against classes [n]: accuracy under the best one-to-one matching (Hungarian), NMI and ARI.

    Items in clusters beyond the number of classes count as wrong in `accuracy`. NMI favours many small clusters.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    found, true = np.asarray(labels), np.asarray(y)
    if found.shape != true.shape or found.ndim != 1 or not len(found):
        raise InputError(f"labels has shape {found.shape} and y {true.shape}: wanted one of each for every item")
    found, true = (np.unique(values, return_inverse=True)[1] for values in (found, true))
    table = contingency_matrix(true, found)
    rows, columns = linear_sum_assignment(-table)
    return {
        "accuracy": float(table[rows, columns].sum() / len(true)),
        "nmi": float(normalized_mutual_info_score(true, found)),
        "ari": float(adjusted_rand_score(true, found)),
    }


def probes(arms: dict[str, Any], y: Any, folds: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Every arm (name -> vectors [n, d]) on the same stratified folds: [{"name", "dim", measure: {"mean", "std"}, ...}, ...].

    knn (k = 20) and linear: accuracy on the fold held out; accuracy, nmi, ari: `tasks.cluster` with as many clusters as
    classes, a seed a fold. Mean and standard deviation over the folds. On at most 5,000 labelled items, drawn with `seed`.

    y: [n], strings or integers; -1, "", None and NaN mean no label and are left out, and so is a class with one member,
    which can't be both learned and tested. A class with fewer members than folds is tested in as many folds as it has members.
    InputError: fewer than two classes with two members, fewer than two folds.
    """
    from unlabeled.tasks.cluster import cluster

    if not arms:
        raise InputError("no vectors to probe: wanted at least one arm")
    if folds < 2:
        raise InputError(f"folds is {folds}: wanted 2 or more")
    keep, codes = check_labels(y, len(np.asarray(y, dtype=object)))
    rows = np.flatnonzero(keep)
    several = np.bincount(codes)[codes] > 1 if len(codes) else np.zeros(0, bool)
    rows, codes = rows[several], codes[several]
    chosen = draw(len(rows), MOST, seed)
    rows, codes = rows[chosen], np.unique(codes[chosen], return_inverse=True)[1]
    classes = int(codes.max(initial=-1)) + 1
    if classes < 2:
        raise InputError(f"the labels have {classes} class{'es' * (classes != 1)} with two members or more: probes need at least two")
    fold_of = _folds(codes, folds, seed)
    table = []
    for name, Z in arms.items():
        Z = check_vectors(Z, name)
        if len(Z) != len(keep):
            raise InputError(f"{name} has {len(Z)} vectors for {len(keep)} labels: wanted one each")
        X = gather(Z, rows).astype(np.float32)
        found: dict[str, list[float]] = {}
        for fold in range(int(fold_of.max()) + 1):
            train, test = fold_of != fold, fold_of == fold
            values = {"knn": knn_accuracy(X[train], codes[train], X[test], codes[test])}
            values["linear"] = linear_probe(X[train], codes[train], X[test], codes[test], seed=seed)
            values |= clustering_scores(cluster(X, classes, seed=seed + fold).labels, codes)
            for measure, value in values.items():
                found.setdefault(measure, []).append(value)
        summary = {measure: {"mean": float(np.mean(v)), "std": float(np.std(v))} for measure, v in found.items()}
        table.append({"name": name, "dim": int(X.shape[1]), **summary})
    return table


def check_labels(y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of n items have a label (bool [n]), and the classes of those, numbered from 0 in the order of their names.

    No label: -1, "", None, NaN. InputError: not one value an item.
    """
    values = np.asarray(y, dtype=object)
    if values.shape != (n,):
        raise InputError(f"y has shape {values.shape} for {n} items: wanted one label each")
    names = np.array([str(int(v)) if isinstance(v, (float, np.floating)) and v == v and v == int(v) else str(v) for v in values], dtype=str)
    keep = ~np.isin(names, ["", "-1", "None", "nan", "NaN", "<NA>"])
    return keep, np.unique(names[keep], return_inverse=True)[1]


def _folds(codes: np.ndarray, folds: int, seed: int, onward: bool = True) -> np.ndarray:
    """A fold for each item: every class is shuffled and dealt out over the folds, and the next one goes on where it stopped.

    onward=False: each class begins at fold 0, so that the last fold has none of a class with fewer members than folds.
    """
    rng = np.random.default_rng(seed)
    fold_of, dealt = np.empty(len(codes), np.int64), 0
    for code in np.unique(codes):
        members = rng.permutation(np.flatnonzero(codes == code))
        fold_of[members] = (dealt + np.arange(len(members))) % folds
        dealt += len(members) * onward
    return fold_of


def _prepared(Ztrain: Any, ytrain: Any, Ztest: Any, ytest: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    A, B = (np.asarray(check_vectors(Z, name), dtype=np.float32) for Z, name in ((Ztrain, "Ztrain"), (Ztest, "Ztest")))
    a, b = np.asarray(ytrain), np.asarray(ytest)
    if A.shape[1] != B.shape[1]:
        raise InputError(f"Ztrain has {A.shape[1]} columns and Ztest {B.shape[1]}: embed both alike")
    for name, y, Z in (("ytrain", a, A), ("ytest", b, B)):
        if y.shape != (len(Z),):
            raise InputError(f"{name} has shape {y.shape} for {len(Z)} rows: wanted one label each")
    names, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    return A, B, codes[: len(a)], codes[len(a) :], len(names)
