"""Which embedding models are interchangeable on the data at hand: by their vectors, and by what a search with them finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.evaluate.labelfree import draw
from unlabeled.parts.assign import blocks, check_vectors

QUERIES = 1_000  # items whose neighbours are compared where no queries are given
PAIRS = 1 << 24  # pairs of found items that are compared at once


def linear_cka(X: Any, Y: Any, *, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two embeddings of the same n items: 1 where they differ by rotation, shift and scale only.

    X: [n, d1], Y: [n, d2]; all rows count, at a cost of n * d1 * d2. Where n isn't many times the dimension, even unrelated
    embeddings have a high value: `debiased` takes the unbiased HSIC (Song et al., 2012; as in Nguyen et al., 2020,
    arXiv:2010.15327), about 0 there, and it may lie a little below 0. Kornblith et al., 2019, arXiv:1905.00414.
    InputError: shapes that don't match, an embedding in which all items are alike, debiased with fewer than 4 items.

    >>> linear_cka(minilm.transform(texts), tfidf.transform(texts), debiased=True)
    """
    return float(_cka([_checked(X, "X"), _checked(Y, "Y")], ("X", "Y"), debiased)[0, 1])


def jaccard_at_k(found: Any, other: Any) -> np.ndarray:
    """|C n C'| / |C u C'| of what two models found for each query, float64 [q]. found, other: rows of items, int [q, k], -1: nothing."""
    A, B = _lists(found, other)
    overlap = np.bincount(_common(A, B)[0], minlength=len(A))
    return overlap / np.maximum((A >= 0).sum(axis=1) + (B >= 0).sum(axis=1) - overlap, 1)


def rank_similarity(found: Any, other: Any) -> np.ndarray:
    """How alike the ranks are of the items that both models found for each query, float64 [q]: 1 the same ranks, 0 nothing in common.

    The mean over common items, weighted by the harmonic numbers, of 2 / ((1 + |r - r'|) (r + r')), ranks from 1. found, other:
    int [q, k], best first, -1: nothing. Wang et al., 2022, "Towards Understanding the Instability of Network Embedding".
    """
    A, B = _lists(found, other)
    query, i, j = _common(A, B)
    closeness = np.bincount(query, 2 / ((1 + np.abs(i - j)) * (i + j + 2)), minlength=len(A))
    harmonic = np.cumsum(1 / np.arange(1, max(A.shape[1], 1) + 1))
    return closeness / harmonic[np.maximum(np.bincount(query, minlength=len(A)), 1) - 1]


@dataclass(frozen=True, eq=False)
class SimilarityReport:
    """Similarities of m models, each [m, m] with ones on the diagonal; of `jaccard` and `rank` one a k."""

    names: tuple[str, ...]
    items: int
    queries: int
    cka: np.ndarray
    jaccard: dict[int, np.ndarray]
    rank: dict[int, np.ndarray]
    spread: dict[int, np.ndarray]  # standard deviation of Jaccard over the queries

    def similarity(self, by: str | int = "cka") -> np.ndarray:
        """[m, m]. by: "cka", or a k: the share of common results among the first k (Jaccard)."""
        if by == "cka":
            return self.cka
        if by not in self.jaccard:
            raise InputError(f'by={by!r}: wanted "cka" or one of the k that were compared, {", ".join(map(str, self.jaccard))}')
        return self.jaccard[by]  # type: ignore[index]

    def clusters(self, n: int | None = None, *, by: str | int = "cka", least: float = 0.8) -> dict[str, int]:
        """A family for each model, 0, 1, ...: average linkage on 1 - similarity, cut into n families or where it falls below `least`."""
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform

        distance = np.maximum(1 - self.similarity(by), 0)
        np.fill_diagonal(distance, 0)
        if n is not None and not 1 <= n <= len(self.names):
            raise InputError(f"n={n} families of {len(self.names)} models: wanted 1 to {len(self.names)}")
        tree = linkage(squareform(distance, checks=False), "average")
        found = fcluster(tree, n, "maxclust") if n is not None else fcluster(tree, 1 - least, "distance")
        seen: dict[int, int] = {}
        return {name: seen.setdefault(label, len(seen)) for name, label in zip(self.names, found.tolist(), strict=True)}

    def nearest(self, name: str, by: str | int = "cka") -> list[tuple[str, float]]:
        """The other models, the most similar first, with their similarity."""
        if name not in self.names:
            raise InputError(f"no model is called {name!r}: there are {', '.join(self.names)}")
        row = self.similarity(by)[self.names.index(name)]
        return sorted(((n, float(s)) for n, s in zip(self.names, row, strict=True) if n != name), key=lambda one: -one[1])

    def table(self) -> str:
        """One line a pair of models, the most similar first."""
        width = max(max(map(len, self.names)), 5)
        head = f"{'model':{width}}  {'model':{width}}    CKA" + "".join(f"  {f'same@{k}':>9}  {f'rank@{k}':>9}" for k in self.jaccard)
        lines = [head]
        for i, j in sorted(combinations(range(len(self.names)), 2), key=lambda pair: -self.cka[pair]):
            cells = "".join(f"  {self.jaccard[k][i, j]:9.3f}  {self.rank[k][i, j]:9.3f}" for k in self.jaccard)
            lines.append(f"{self.names[i]:{width}}  {self.names[j]:{width}}  {self.cka[i, j]:5.3f}{cells}")
        return "\n".join(lines)


def model_similarity(
    models: Mapping[str, Any],
    docs: Any = None,
    queries: Any = None,
    *,
    k: Sequence[int] = (1, 5, 10, 100),
    debiased: bool = True,
    center: bool = False,
    seed: int = 0,
) -> SimilarityReport:
    """How alike two or more embedding models are on the same items, pair by pair: CKA, and the overlap of what they find.

    models: {name: model}. A model is a fitted estimator, which embeds `docs` and `queries`, or an array [n, d] (without
    queries), or a pair of arrays (documents [n, d], queries [q, d]); d may differ from model to model. Without queries the
    neighbours of up to 1,000 items, drawn with `seed`, are compared, among all the others. k: lengths of the lists; those
    longer than the items there are are cut. CKA is of all rows: 100,000 x 384 take some seconds a pair on one core.
    center: take each model's mean off before cosines (as `unlabeled search` does); the paper compares plain cosines.
    InputError: fewer than two models, different items, bad values.

    Caspari et al., 2024, "Beyond Benchmarks: Evaluating Embedding Model Similarity for Retrieval Augmented Generation Systems",
    arXiv:2407.08275. Departs from it: CKA is debiased unless asked otherwise, for 1,000 items of 384 numbers are too few for the plain one.

    >>> report = model_similarity({"old": Z_old, "new": Z_new, "small": Z_small}, k=(10,))
    >>> print(report.table())
    >>> report.clusters(least=0.8), report.nearest("old")
    """
    if len(models) < 2:
        raise InputError(f"{len(models)} model: wanted two or more to compare")
    names = tuple(str(name) for name in models)
    embedded = [_embedded(model, docs, queries, name) for name, model in zip(names, models.values(), strict=True)]
    spaces, asked = [one[0] for one in embedded], [one[1] for one in embedded]
    sizes = [(len(Z), None if Q is None else len(Q)) for Z, Q in embedded]
    if len(set(sizes)) > 1:
        said = ", ".join(f"{name}: {n} items" + (f" and {q} queries" if q else "") for name, (n, q) in zip(names, sizes, strict=True))
        raise InputError(f"{said}: wanted the same items of every model")
    n = len(spaces[0])
    lengths = tuple(dict.fromkeys(min(one, n if asked[0] is not None else n - 1) for one in k))
    if not lengths or min(lengths) < 1:
        raise InputError(f"k={tuple(k)} among {n} items: wanted lengths of 1 or more")
    rows = draw(n, QUERIES, seed) if asked[0] is None else None
    found = [_found(Z, Q, rows, max(lengths), center) for Z, Q in embedded]
    m = len(names)
    jaccard, rank, spread = ({one: np.eye(m) for one in lengths} for _ in range(3))
    for i, j in combinations(range(m), 2):
        for one in lengths:
            a, b = found[i][:, :one], found[j][:, :one]
            each = jaccard_at_k(a, b)
            jaccard[one][i, j] = jaccard[one][j, i] = each.mean()
            rank[one][i, j] = rank[one][j, i] = rank_similarity(a, b).mean()
            spread[one][i, j] = spread[one][j, i] = each.std()
    for one in lengths:
        np.fill_diagonal(spread[one], 0)
    return SimilarityReport(names, n, len(found[0]), _cka(spaces, names, debiased), jaccard, rank, spread)


def _embedded(model: Any, docs: Any, queries: Any, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    if hasattr(model, "transform"):
        if docs is None:
            raise InputError(f"{name} is a {type(model).__name__}: give docs for it to embed")
        model = model.transform(docs) if queries is None else (model.transform(docs), model.transform(queries))
    elif docs is not None or queries is not None:
        raise InputError(f"{name} is no estimator that could embed docs and queries: give arrays alone, or estimators alone")
    pair = model if isinstance(model, tuple) else (model, None)
    Z = _checked(pair[0], name)
    Q = None if pair[1] is None else check_vectors(pair[1], f"queries of {name}")
    if Q is not None and Q.shape[1] != Z.shape[1]:
        raise InputError(f"{name} has queries of {Q.shape[1]} numbers and items of {Z.shape[1]}: wanted the same")
    return Z, Q


def _checked(Z: Any, name: str) -> np.ndarray:
    return check_vectors(Z, name, least=2)


def _found(Z: np.ndarray, Q: np.ndarray | None, rows: np.ndarray | None, k: int, center: bool) -> np.ndarray:
    """The k nearest items of each query by cosine; of `rows`, items themselves, their k nearest others."""
    from unlabeled.parts.neighbours import neighbours

    if center:
        mean = Z.mean(axis=0, dtype=np.float64).astype(np.float32)
        Z, Q = Z - mean, None if Q is None else Q - mean
    if rows is None:
        return neighbours(Z, k, queries=Q).rows
    found = neighbours(Z, k + 1, queries=gather(Z, rows)).rows
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True  # among many copies an item need not find itself
    return found[~own].reshape(len(rows), -1)


def _lists(found: Any, other: Any) -> tuple[np.ndarray, np.ndarray]:
    A, B = np.asarray(found), np.asarray(other)
    if A.ndim != 2 or B.ndim != 2 or len(A) != len(B) or A.dtype.kind not in "iu" or B.dtype.kind not in "iu":
        raise InputError(
            f"found has shape {A.shape} of {A.dtype}, other {B.shape} of {B.dtype}: wanted whole numbers [queries, k], the same queries"
        )
    return A, B


def _common(A: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where two lists of a query have the same item: the query, the item's place in the first, from 0, and in the second."""
    step = max(1, PAIRS // max(A.shape[1] * B.shape[1], 1))
    found = []
    for start in range(0, len(A), step):
        a, b = A[start : start + step, :, None], B[start : start + step, None, :]
        found.append(np.argwhere((a == b) & (a >= 0)) + [start, 0, 0])
    return tuple(np.concatenate([np.empty((0, 3), np.int64), *found]).T)


def _cka(spaces: Sequence[np.ndarray], names: Sequence[str], debiased: bool) -> np.ndarray:
    """CKA of every pair, [m, m], from products of the features: no [n, n] matrix is made."""
    n, m = len(spaces[0]), len(spaces)
    if any(len(Z) != n for Z in spaces):
        raise InputError(f"{', '.join(f'{name} has {len(Z)} rows' for name, Z in zip(names, spaces, strict=True))}: wanted the same items")
    if debiased and n < 4:
        raise InputError(f"{n} items: debiased CKA wants 4 or more")
    width = max(Z.shape[1] for Z in spaces)  # blocks of all of them hold the same rows
    means: list[Any] = [sum(block.numpy().sum(axis=0, dtype=np.float64) for block in blocks(Z, width)) / n for Z in spaces]
    lengths = np.stack(  # float64 [m, n]
        [np.concatenate([np.square(x).sum(axis=1) for x in _centred(Z, mean, width)]) for Z, mean in zip(spaces, means, strict=True)]
    )
    for Z, name, mean, length in zip(spaces, names, means, lengths, strict=True):
        if length.sum() <= 1e-12 * n * max(np.square(mean).sum(), 1e-38):
            raise InputError(f"{name} has the same vector for all {len(Z)} items: nothing to compare")
    scales = np.sqrt(n / lengths.sum(axis=1))  # so that sizes of the numbers don't matter
    lengths = lengths * np.square(scales)[:, None]
    hsic = np.empty((m, m))
    for i in range(m):
        for j in range(i, m):
            cross = np.zeros((spaces[i].shape[1], spaces[j].shape[1]))
            for x, y in zip(_centred(spaces[i], means[i], width), _centred(spaces[j], means[j], width), strict=True):
                cross += (x * scales[i]).astype(np.float32).T @ (y * scales[j]).astype(np.float32)
            hsic[i, j] = hsic[j, i] = np.square(cross).sum()
    if debiased:
        # With centred features the sums over a kernel's rows without their diagonal are minus the diagonal: all that is left of U-centring.
        both, traces = lengths @ lengths.T, lengths.sum(axis=1)
        hsic = hsic - both + np.outer(traces, traces) / ((n - 1) * (n - 2)) - 2 / (n - 2) * both
    own = hsic.diagonal()
    if not (own > 0).all():
        raise InputError(
            f"{names[int(own.argmin())]} has as good as no variance that isn't noise at {n} items: take more, or debiased=False"
        )
    similarity = hsic / np.sqrt(np.outer(own, own))
    np.fill_diagonal(similarity, 1)
    return np.minimum(similarity, 1)


def _centred(X: np.ndarray, mean: Any, width: int) -> Iterator[np.ndarray]:
    for block in blocks(X, width):
        yield block.numpy() - mean  # float64
