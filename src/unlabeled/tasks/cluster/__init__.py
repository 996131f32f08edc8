"""Groups of items: k-means on directions, the number of groups when nobody knows it, names and central members."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError

STARTS = 30  # of k-means, each on a sample. With 10, one seed in three stops in a poor optimum on 20 topics (NMI .707 instead of .73)
GRID = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 23, 26, 30, 35, 40, 50)
WIDTH = 100  # principal axes that are clustered in, where there are more: NMI stays, and 768 axes cost ten times the time
FEW, SAMPLE, AXES = 8, 3_000, 40  # groups when no number stands out; items and principal axes that the number is chosen on
CLEAR = 0.2  # agreement above chance that a number of groups must reach
TOKEN = re.compile(r"[^\W\d_](?:[^\W_]|[+#])+")  # at least two characters, the first a letter: c++ and c# are words, 2008 isn't
FRAGMENTS = frozenset("don doesn didn isn wasn aren weren couldn wouldn shouldn won hasn haven hadn ll ve re using use used way".split())
ENDINGS = frozenset(["", *"s es y ies e ed er ers ing ings ion ions al x ces".split()])


@dataclass(frozen=True)
class Clusters:
    labels: np.ndarray  # int64 [n], 0 to k - 1, every number in use
    centers: np.ndarray  # float32 [k, d]: mean of each cluster's vectors, as they came in
    k: int
    how: str  # how k was chosen, a phrase for people
    scores: dict[int, float]  # with k="auto": agreement above chance for every number that was tried


def cluster(Z: Any, k: int | str = "auto", seed: int = 0) -> Clusters:
    """k groups of the rows of Z [n, d]; with k="auto" their number is chosen.

    k-means (unlabeled.parts.assign, 30 starts) on rows that are made unit, centred and made unit again. Making them unit
    before the mean is taken matters for texts: the mean of TF-IDF vectors is otherwise made by the long ones. Measured,
    mean NMI over seeds 0 to 4: stackoverflow titles (TF-IDF, SVD 100, 20 groups) .733, lowest .728, against .71 with the
    mean taken first; AG news .36 against .16; digits, Fashion-MNIST and sentence vectors the same within .02. Spherical
    k-means was worse (.70).

    "auto" takes the number whose grouping repeats best: two random halves of (up to 3,000) items are grouped apart, each
    grouping is carried over to the other half, and the agreement (adjusted Rand index) must exceed that of structureless
    data, a Gaussian with the same mean and covariance (Ben-Hur et al., 2002; Lange et al., 2004; the correction is ours:
    without it 2 or 3 groups win too often). Numbers from 2 to min(50, sqrt(n)); 8 where none exceeds it clearly.
    How good that is (seeds 0 to 3; in brackets the number of classes): well-separated groups are found exactly; digits 10
    (10); stackoverflow titles 23 (20), sentence vectors of 4,000 of them 16 to 23 (20); Fashion-MNIST 7 or 8 (10), pixels of
    CIFAR-10 3 to 8 (10), where classes are not groups; abstracts of OHSUMED 3 to 30 (23); AG news 30 or 40 (4), of which
    k-means finds little at any number. It is a number at which groups are real, not the number that somebody had in
    mind. Silhouette gave 12, 25, 20, 3, 2, 36 and 40.

    Fewer groups than asked come back when there are fewer different items than k, or fewer than k items.
    InputError: k is neither "auto" nor a positive whole number; bad values in Z.
    """
    from unlabeled.parts.assign import check_vectors, kmeans

    Z = check_vectors(Z)
    scores: dict[int, float] = {}
    X = _principal(directions(Z), WIDTH, seed)
    if isinstance(k, str):
        if k != "auto":
            raise InputError(f"k={k!r}: wanted 'auto' or a whole number of clusters")
        k, scores = choose_k(Z, seed)
        if not scores:
            how = "one group: too few items to look for more" if k == 1 else f"{k} groups: too few items to compare numbers"
        elif scores[k] >= CLEAR:
            how = f"{k}, of {min(scores)} to {max(scores)} tried: two halves of the items agree most on it ({scores[k]:.2f} above chance)"
        else:
            how = f"{k}, a convention: of {min(scores)} to {max(scores)} groups no number stands out"
            how += f" (best {max(scores.values()):.2f} above chance)"
    elif not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1:
        raise InputError(f"k={k!r}: wanted 'auto' or a whole number of clusters, 1 or more")
    else:
        how = f"{k}, as asked"
    found = kmeans(X, min(int(k), len(X)), seed=seed, n_init=STARTS)
    used, labels = np.unique(found.labels, return_inverse=True)
    if len(used) < k and not scores:
        how += f"; there are only {len(used)} different items" if len(used) > 1 else "; all items are the same"
    return Clusters(labels.astype(np.int64), _means(Z, labels, len(used)), len(used), how, scores)


def directions(Z: np.ndarray) -> np.ndarray:
    """Rows of Z [n, d] made unit, centred, made unit again: float32, in memory. A row that is nothing but the mean becomes 0."""
    from unlabeled.parts.assign import blocks
    from unlabeled.representation.index import unit

    X = np.empty(Z.shape, np.float32)
    start, zero = 0, np.zeros(Z.shape[1], np.float32)
    for block in blocks(Z):
        X[start : start + len(block)] = unit(block.numpy(), zero)
        start += len(block)
    return unit(X, X.mean(axis=0, dtype=np.float64).astype(np.float32))


def _principal(X: np.ndarray, width: int, seed: int) -> np.ndarray:
    """X [n, d] on its first `width` principal axes, found on 20,000 rows; X itself where it isn't wider."""
    if X.shape[1] <= width:
        return X
    sample = X[np.random.default_rng(seed).permutation(len(X))[:20_000]]
    axes = np.linalg.eigh(np.cov(sample, rowvar=False, dtype=np.float32))[1][:, -width:]
    return np.ascontiguousarray(X @ axes, dtype=np.float32)


def _means(Z: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    import torch

    from unlabeled.parts.assign import blocks

    sums, start = torch.zeros(k, Z.shape[1], dtype=torch.float64), 0
    where = torch.from_numpy(labels)
    for block in blocks(Z):
        sums.index_add_(0, where[start : start + len(block)], block.double())
        start += len(block)
    return (sums.numpy() / np.bincount(labels, minlength=k)[:, None]).astype(np.float32)


def choose_k(Z: np.ndarray, seed: int = 0) -> tuple[int, dict[int, float]]:
    """The number of groups of the rows of Z [n, d], and the score of each number tried. See `cluster`."""
    from unlabeled.data.storage import gather

    rng = np.random.default_rng(seed)
    sample = gather(Z, rng.permutation(len(Z))[:SAMPLE]).astype(np.float32)
    different = len(Z) if len(Z) > SAMPLE else len(np.unique(sample, axis=0))
    grid = [k for k in GRID if k <= different**0.5]
    if len(grid) < 2:
        return (1 if different < 4 else 2), {}
    mean = sample.mean(axis=0)
    # Random mixtures of all rows are a Gaussian with their covariance.
    mixing = rng.standard_normal((len(sample), len(sample)), dtype=np.float32) / np.float32(len(sample) ** 0.5)
    real, structureless = (_principal(directions(rows), AXES, seed) for rows in (sample, mean + mixing @ (sample - mean)))
    agreement = np.array([_agreement(real, k, seed, pairs=2, starts=3) for k in grid])
    chance = np.array([_agreement(structureless, k, seed, pairs=1, starts=1) for k in grid])
    smooth = np.polyfit(np.log(grid), np.log(np.maximum(chance, 0.01)), min(2, len(grid) - 1))
    gain = agreement - np.exp(np.polyval(smooth, np.log(grid)))
    scores = {k: float(value) for k, value in zip(grid, gain, strict=True)}
    best = float(gain.max())
    if best < CLEAR:
        return max(k for k in grid if k <= FEW), scores
    # Of numbers that repeat perfectly the largest says most: parts of well-separated groups don't repeat, unions of them do.
    perfect = [k for k, value in zip(grid, agreement, strict=True) if value >= 0.99 and scores[k] >= CLEAR]
    return (perfect[-1] if perfect else min(k for k in grid if scores[k] >= best - 0.04)), scores


def _agreement(X: np.ndarray, k: int, seed: int, pairs: int, starts: int) -> float:
    from sklearn.metrics import adjusted_rand_score

    from unlabeled.parts.assign import kmeans

    found = []
    for pair in range(pairs):
        order = np.random.default_rng([seed, pair]).permutation(len(X))
        halves = X[order[: len(X) // 2]], X[order[len(X) // 2 :]]
        groups = [kmeans(half, k, seed=seed + 2 * pair + side, n_init=starts, iters=30) for side, half in enumerate(halves)]
        for side in (0, 1):
            half, other = halves[side], groups[1 - side].centers
            carried = ((other**2).sum(axis=1) - 2 * half @ other.T).argmin(axis=1)
            found.append(adjusted_rand_score(carried, groups[side].labels))
    return float(np.mean(found))


def central(Z: Any, labels: Any, m: int = 6) -> list[np.ndarray]:
    """For each cluster 0 to max(labels): the rows of its m most central members, most central first (int64, fewer if it is small).

    Z: [n, d]; labels: int [n], -1 for none. Central: highest cosine with the mean of the cluster's directions.
    """
    from unlabeled.parts.assign import check_vectors

    Z = check_vectors(Z)
    labels = check_clusters(labels, len(Z))
    X = directions(Z)
    found = []
    for rows in _members(labels):
        mean = X[rows].mean(axis=0) if len(rows) else X[0]
        found.append(rows[np.argsort(-(X[rows] @ mean), kind="stable")[:m]])
    return found


def check_clusters(labels: Any, n: int) -> np.ndarray:
    """Cluster numbers as int64 [n]; InputError where they are not whole numbers from -1, one an item."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise InputError(f"labels has shape {array.shape} for {n} items: wanted one cluster number each")
    if array.size and (array.dtype.kind not in "iu" or array.min() < -1):
        raise InputError(f"labels holds {array.dtype} values: wanted whole numbers from 0, or -1 for no cluster")
    return array.astype(np.int64)


def _members(labels: np.ndarray) -> Iterator[np.ndarray]:
    order = np.argsort(labels, kind="stable")
    return (order[start:stop] for start, stop in _spans(labels[order]))


def _spans(ordered: np.ndarray) -> list[tuple[int, int]]:
    edges = np.searchsorted(ordered, np.arange(ordered.max(initial=-1) + 2))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def name_clusters(texts: Sequence[str] | Iterable[str], labels: Any, top: int = 4) -> list[str]:
    """A name for each cluster 0 to max(labels): its `top` most telling words, joined by ", ".

    Class-based TF-IDF (Grootendorst, 2022, arXiv:2203.05794): share of the cluster's words times log(1 + average words a
    cluster / uses of the word in all). Two departures: a word counts once a text, so that one long text can't name its
    cluster, and a word must be 1.5 times as frequent in the cluster as in all texts, which drops what a list of stop words
    (scikit-learn's English one, numbers, single letters) doesn't know, in any language. Of two forms of a word (plot,
    plots) the stronger one stays. A cluster without a telling word is called "cluster 3".

    texts: n strings. labels: int [n], -1 for none.
    """
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

    texts = list(texts)
    labels = check_clusters(labels, len(texts))
    count = int(labels.max(initial=-1)) + 1
    stop = ENGLISH_STOP_WORDS | FRAGMENTS

    def words(text: str) -> list[str]:
        return [word for word in TOKEN.findall(text.lower()) if word not in stop]

    names = [f"cluster {c}" for c in range(count)]
    counter = CountVectorizer(analyzer=words, binary=True, max_features=100_000)
    try:
        uses = counter.fit_transform(["" if text is None else str(text) for text in texts])
    except ValueError:  # no words at all
        return names
    vocabulary = counter.get_feature_names_out()
    rows = np.flatnonzero(labels >= 0)
    member = csr_array((np.ones(len(rows)), (labels[rows], rows)), shape=(count, len(texts)))
    in_cluster = np.asarray((member @ uses).todense(), dtype=np.float64)  # [clusters, words]
    in_all = in_cluster.sum(axis=0)
    share = in_cluster / np.maximum(in_cluster.sum(axis=1, keepdims=True), 1)
    telling = share >= 1.5 * in_all / max(in_all.sum(), 1) if count > 1 else share > 0
    score = share * np.log1p(in_all.sum() / max(count, 1) / np.maximum(in_all, 1))
    score *= telling | ~telling.any(axis=1, keepdims=True)  # better a common word than none
    for c in range(count):
        chosen: list[str] = []
        for place in np.argsort(-score[c], kind="stable")[: 10 * top]:
            word = str(vocabulary[place])
            if score[c, place] > 0 and not any(forms_of_one(word, other) for other in chosen):
                chosen.append(word)
        if chosen:
            names[c] = ", ".join(chosen[:top])
    return names


def forms_of_one(first: str, second: str) -> bool:
    """Whether two words look like forms of one: plot, plots and plotting; query and queries."""
    common = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), min(len(first), len(second)))
    endings = [rest[1:] if rest and rest[0] == first[common - 1] else rest for rest in (first[common:], second[common:])]
    return common >= 3 and all(ending in ENDINGS for ending in endings)
