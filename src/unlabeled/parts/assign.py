"""k-means, balanced assignment, and the one check that every function of vectors makes of its input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.storage import RESIDENT, gather
from unlabeled.errors import InputError

BLOCK = 1 << 18  # numbers a block of rows holds: 1 MB as float32, which stays in a core's cache
STARTS_ON = 5_000  # rows (or 50 a cluster, if that is more) on which the starts of k-means are tried
SHORT = 15  # iterations that each of several starts is given: 30 picked no better ones, 5 did worse
TOLERANCE = 1e-6  # k-means ends when the centres move less than this share of the data's spread (their squares)


def check_vectors(Z: Any, name: str = "Z", least: int = 1) -> np.ndarray:
    """What came in as vectors, as a real [n, d] array without NaN or infinity and with at least `least` rows.

    Arrays in memory, tensors and lists come back as contiguous float32; a memory-mapped array comes back as it is, to be
    read in `blocks` or by `gather`. InputError says what came and what was wanted.
    """
    if isinstance(Z, torch.Tensor):
        Z = Z.detach().cpu().float().numpy()
    if hasattr(Z, "toarray"):
        raise InputError(
            f"{name} is a sparse {type(Z).__name__}: wanted a dense [n, d] array, reduce it first (for example with TruncatedSVD)"
        )
    try:
        array = Z if isinstance(Z, np.memmap) else np.asarray(Z)
    except ValueError:
        raise InputError(f"{name} has rows of different lengths: wanted an [n, d] array of numbers") from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} holds {array.dtype} values: wanted real numbers")
    if array.ndim != 2:
        raise InputError(f"{name} has shape {array.shape}: wanted [n, d], one row an item")
    if array.shape[0] < least or array.shape[1] == 0:
        raise InputError(f"{name} has shape {array.shape}: wanted at least {least} row{'s' * (least > 1)} and 1 column")
    if not isinstance(array, np.memmap):
        with np.errstate(over="ignore"):  # what doesn't fit in float32 is found below
            array = np.ascontiguousarray(array, dtype=np.float32)
    start = 0
    for block in blocks(array):
        good = torch.isfinite(block).all(dim=1)
        if not good.all():
            row = start + int((~good).nonzero()[0])
            raise InputError(f"{name} has NaN or infinite values (as float32), first in row {row}: drop or repair such rows")
        start += len(block)
    return array


def blocks(X: np.ndarray, width: int = 0) -> Iterator[Tensor]:
    """The rows of X [n, d] in order, as float32 tensors of about BLOCK numbers (of n x width, if that is wider).

    An array in memory isn't copied: don't write into the blocks.
    """
    rows = max(1024, BLOCK // max(X.shape[1], width))
    for start in range(0, len(X), rows):
        stop = min(start + rows, len(X))
        part = gather(X, np.arange(start, stop)) if X.nbytes > RESIDENT else X[start:stop]
        block = np.ascontiguousarray(part, dtype=np.float32)
        yield torch.from_numpy(block if block.flags.writeable else block.copy())


def sinkhorn(
    scores: Tensor,
    eps: float = 1.0,
    iters: int = 3,
    *,
    row_mass: Tensor | None = None,
    col_mass: Tensor | None = None,
    tol: float = 0.0,
    absorb: int = 1,
) -> Tensor:
    """The transport plan exp(scores / eps) scaled to given row and column sums; the rows (examples) are scaled last.

    scores: [n, k]. row_mass [n], by default 1 each: the rows of the result are distributions; col_mass [k], by default
    n / k each: every column gets its equal share. Both must add up alike. iters sweeps (columns, then rows), or fewer
    once no column sum is further than `tol` (relative) from its mass. Row sums are exact, column sums after enough sweeps.
    In the log domain, in the dtype of `scores` (at least float32); differentiable. Cuturi, 2013, arXiv:1306.0895.
    absorb: only every so-manieth sweep is in the log domain, and held against `tol`; those between are matrix-vector products,
    ten times as fast where hundreds are needed (Schmitzer, 2016, arXiv:1610.06519). Take float64 then.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must be [n, k], got {tuple(scores.shape)}")
    if not eps > 0 or iters < 1 or absorb < 1:
        raise ValueError(f"eps must be positive, iters and absorb at least 1, got {eps!r}, {iters!r} and {absorb!r}")
    log_q = (scores if scores.dtype == torch.float64 else scores.float()) / eps
    n, k = log_q.shape
    rows = torch.zeros_like(log_q[:, 0]) if row_mass is None else row_mass.to(log_q).log()
    columns = torch.full_like(log_q[0], math.log(n / k)) if col_mass is None else col_mass.to(log_q).log()
    if abs(float(rows.exp().sum() / columns.exp().sum()) - 1) > 1e-3:
        raise ValueError(f"row_mass adds up to {float(rows.exp().sum()):g}, col_mass to {float(columns.exp().sum()):g}: wanted the same")
    for sweep in range(0, iters, absorb):
        total = log_q.logsumexp(dim=0)
        if tol and sweep and float((total - columns).expm1().abs().max()) <= tol:
            break
        log_q = log_q + (columns - total)
        log_q = log_q + (rows[:, None] - log_q.logsumexp(dim=1, keepdim=True))
        between = min(absorb, iters - sweep) - 1
        if between:
            q, left = log_q.exp(), torch.ones_like(log_q[:, 0])
            for _ in range(between):
                right = columns.exp() / (left @ q)
                left = rows.exp() / (q @ right)
            log_q = log_q + left.log()[:, None] + right.log()
    return log_q.exp()


def hungarian(labels: Any, y: Any) -> dict[Any, Any]:
    """The one-to-one map from clusters to classes that agrees most often (Kuhn, 1955): fix it on one split, use it on another.

    labels, y: [n]. Clusters beyond the number of classes are left out.
    """
    from scipy.optimize import linear_sum_assignment

    found, true = np.asarray(labels), np.asarray(y)
    if found.shape != true.shape or found.ndim != 1:
        raise InputError(f"labels has shape {found.shape} and y {true.shape}: wanted one of each for every item")
    clusters, i = np.unique(found, return_inverse=True)
    classes, j = np.unique(true, return_inverse=True)
    table = np.zeros((len(clusters), len(classes)), np.int64)
    np.add.at(table, (i, j), 1)
    rows, columns = linear_sum_assignment(-table)
    return {clusters[r].item(): classes[c].item() for r, c in zip(rows, columns, strict=True)}


@dataclass(frozen=True)
class KMeans:
    labels: np.ndarray  # int64 [n]: the nearest centre of each row
    centers: np.ndarray  # float32 [k, d]
    inertia: float  # sum over rows (times their weights) of the squared distance to the centre; cosine: of 1 - cosine


def kmeans(
    X: Any,
    k: int,
    *,
    metric: str = "euclidean",
    init: str | np.ndarray = "k-means++",
    weights: Any = None,
    seed: int = 0,
    n_init: int = 1,
    iters: int = 100,
    empty: str = "split_largest",
) -> KMeans:
    """k clusters of the rows of X by Lloyd's iteration (1982), in float32, block by block; repeatable for a seed.

    X: real [n, d], in memory or memory-mapped; read about 2 + iterations times, never copied as a whole.
    metric: "euclidean", or "cosine" (spherical k-means, Dhillon and Modha, 2001: rows and centres have unit length).
    init: "k-means++" (greedy; Arthur and Vassilvitskii, 2007), "random" rows, or the centres themselves, [k, d].
    weights: None or [n], not negative; a row of weight 2 counts as two rows.
    n_init: number of starts. They are tried on the same max(5,000, 50 k) random rows, the one that ends with the
    lowest inertia goes on over all rows. Where n isn't larger that is the usual "best of n_init".
    empty: "split_largest" gives a cluster that lost its members the farthest member of the largest one that can be
    split, "keep" leaves it where it is. With "split_largest" a cluster is empty at the end only where X has fewer than
    k different rows.

    InputError: k isn't in 1..n, or bad values.
    """
    X = check_vectors(X, "X")
    n, d = X.shape
    if not isinstance(k, (int, np.integer)) or not 1 <= k <= n:
        raise InputError(f"k={k!r} clusters of {n} items: wanted a whole number from 1 to {n}")
    if metric not in ("euclidean", "cosine"):
        raise InputError(f"metric={metric!r}: wanted 'euclidean' or 'cosine'")
    if empty not in ("split_largest", "keep"):
        raise InputError(f"empty={empty!r}: wanted 'split_largest' or 'keep'")
    if n_init < 1 or iters < 1:
        raise InputError(f"n_init={n_init}, iters={iters}: wanted 1 or more")
    mass = _weights(weights, n)
    generator = torch.Generator().manual_seed(seed)
    # Distances are computed as |x|^2 - 2xc + |c|^2, which in float32 loses everything when all rows lie far from 0.
    offset = torch.zeros(d) if metric == "cosine" else torch.from_numpy(_mean(X))
    problem = _Lloyd(X, offset, mass, k, metric == "cosine", empty == "split_largest")

    if isinstance(init, str):
        if init not in ("k-means++", "random"):
            raise InputError(f"init={init!r}: wanted 'k-means++', 'random' or an array [k, d]")
        start = _best_start(problem, init, n_init, generator)
    else:
        start = torch.from_numpy(check_vectors(init, "init").copy())
        if start.shape != (k, d):
            raise InputError(f"init has shape {tuple(start.shape)}: wanted [{k}, {d}]")
        start = problem.unit(start - offset)
    labels, centers, inertia = problem.run(start, iters)
    return KMeans(labels.numpy(), (centers + offset).numpy(), inertia)


def _weights(weights: Any, n: int) -> Tensor:
    if weights is None:
        return torch.ones(n)
    array = np.asarray(weights, dtype=np.float32)
    if array.shape != (n,) or not np.isfinite(array).all() or (array < 0).any() or not array.any():
        raise InputError(f"weights has shape {array.shape}: wanted {n} finite numbers, none negative and not all 0")
    return torch.from_numpy(array.copy())


def _mean(X: np.ndarray) -> np.ndarray:
    total = sum(block.sum(dim=0, dtype=torch.float64) for block in blocks(X))
    return (total / len(X)).float().numpy()  # type: ignore[union-attr, operator]


def _best_start(problem: _Lloyd, init: str, n_init: int, generator: torch.Generator) -> Tensor:
    X, k = problem.X, problem.k
    rows = torch.randperm(len(X), generator=generator)[: max(STARTS_ON, 50 * k)].sort().values
    rows = torch.cat([rows[problem.mass[rows] > 0], rows[problem.mass[rows] == 0]])  # rows without weight can't be centres first
    sample = X if len(rows) == len(X) else gather(X, rows.numpy()).astype(np.float32)
    mass = problem.mass if len(rows) == len(X) else problem.mass[rows]
    small = _Lloyd(sample, problem.offset, mass, k, problem.spherical, problem.split)
    points = torch.cat([block for block in small.blocks()])
    best, lowest = points[:k], math.inf
    for _ in range(n_init):
        start = (
            plus_plus(points, k, mass, generator) if init == "k-means++" else points[torch.randperm(len(points), generator=generator)[:k]]
        )
        if n_init == 1:
            return start
        _, centers, inertia = small.run(start, SHORT)
        if inertia < lowest:
            best, lowest = centers, inertia
    return best


def plus_plus(X: Tensor, k: int, mass: Tensor, generator: torch.Generator) -> Tensor:
    """k rows of X [n, d], far from each other: drawn by mass times squared distance, the best of a few draws each time.

    Arthur and Vassilvitskii, 2007; the greedy form with 2 + log k draws, as in scikit-learn.
    """
    squared = X.square().sum(dim=1)
    chosen = [int(torch.multinomial(mass, 1, generator=generator))]
    nearest = (X - X[chosen[0]]).square().sum(dim=1)
    for _ in range(k - 1):
        chance = nearest * mass
        if not chance.sum() > 0:  # fewer different rows than clusters
            chance = torch.ones_like(chance)
        draws = torch.multinomial(chance, 2 + int(math.log(k)), replacement=True, generator=generator)
        distance = (squared[:, None] + squared[draws] - 2 * X @ X[draws].T).clamp_(min=0)
        distance = torch.minimum(distance, nearest[:, None])
        best = int((mass @ distance).argmin())
        chosen.append(int(draws[best]))
        nearest = distance[:, best].contiguous()
        nearest[chosen[-1]] = 0
    return X[chosen].clone()


class _Lloyd:
    """One k-means problem: rows (minus an offset), their mass, and the iteration over blocks of them."""

    def __init__(self, X: np.ndarray, offset: Tensor, mass: Tensor, k: int, spherical: bool, split: bool):
        self.X, self.offset, self.mass, self.k, self.spherical, self.split = X, offset, mass, k, spherical, split
        self.weighted = bool((mass != 1).any())

    def unit(self, x: Tensor) -> Tensor:
        return torch.nn.functional.normalize(x, dim=1) if self.spherical else x

    def blocks(self) -> Iterator[Tensor]:
        for block in blocks(self.X, self.k):
            yield self.unit(block) if self.spherical else block - self.offset

    def run(self, centers: Tensor, iters: int) -> tuple[Tensor, Tensor, float]:
        before, moved, spread = None, math.inf, 0.0
        for _ in range(iters):
            centers, labels, size, sums, total = self.assign(centers)
            spread = spread or total
            if (before is not None and torch.equal(labels, before)) or moved <= TOLERANCE * spread:
                break
            after = self.unit(torch.where(size[:, None] > 0, sums / size.clamp(min=1e-30)[:, None], centers))
            moved = float(((after - centers).square().sum(dim=1) * size).sum())
            before, centers = labels, after
        centers, labels, _, _, total = self.assign(centers)
        return labels, centers, total / 2 if self.spherical else total

    def assign(self, centers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
        """Centres (empty ones moved), the nearest one of each row, their mass, the sums of their rows, the inertia."""
        for _ in range(5):  # moving a centre can leave another one empty; seldom more than once
            labels, distance, sums = self.step(centers)
            size = torch.zeros(self.k).index_add_(0, labels, self.mass)
            if not self.split or bool((size > 0).all()):
                break
            repaired = self.split_largest(centers, labels, distance, size)
            if repaired is None:
                break
            centers = repaired
        return centers, labels, size, sums, float((distance.double() * self.mass).sum())

    def split_largest(self, centers: Tensor, labels: Tensor, distance: Tensor, size: Tensor) -> Tensor | None:
        """Each empty centre goes to the farthest row of the largest cluster, which keeps the rows that are nearer to its own."""
        centers, labels, distance, size = centers.clone(), labels.clone(), distance * (self.mass > 0), size.clone()
        whole = torch.zeros(self.k, dtype=torch.bool)  # clusters of one row, however often it occurs
        moved = False
        for empty in (size == 0).nonzero().flatten().tolist():
            while bool((size.masked_fill(whole, 0) > 0).any()):
                largest = int(size.masked_fill(whole, 0).argmax())
                members = (labels == largest).nonzero().flatten()
                farthest = int(members[distance[members].argmax()])
                rows = torch.from_numpy(gather(self.X, members.numpy()).astype(np.float32))
                rows = self.unit(rows) if self.spherical else rows - self.offset
                place = rows[(members == farthest).nonzero()[0, 0]]
                near = (rows - place).square().sum(dim=1)
                leave = near < distance[members]
                if bool((leave | (self.mass[members] == 0)).all()) or not bool(leave.any()):
                    whole[largest] = True
                    continue
                gone = members[leave]
                centers[empty], labels[gone], distance[gone] = place, empty, near[leave] * (self.mass[gone] > 0)
                size[empty] = self.mass[gone].sum()
                size[largest] -= size[empty]
                moved = True
                break
        return centers if moved else None

    def step(self, centers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The nearest centre of each row [n], the squared distance to it [n], the sum of each centre's rows [k, d]."""
        # Whole at once: thousands of small tensors kept between the blocks would hold the blocks' memory too (300 MB at 1.5 million rows).
        labels, distances, start = torch.empty(len(self.X), dtype=torch.int64), torch.empty(len(self.X)), 0
        sums = torch.zeros_like(centers)
        bias = centers.square().sum(dim=1)
        for x in self.blocks():
            score = torch.addmm(bias, x, centers.T, alpha=-2)
            label = torch.from_numpy(score.numpy().argmin(axis=1))  # twice as fast as torch's
            low = score.gather(1, label[:, None])[:, 0]
            here = slice(start, start + len(x))
            sums.index_add_(0, label, x * self.mass[here, None] if self.weighted else x)
            labels[here], distances[here] = label, (low + x.square().sum(dim=1)).clamp_(min=0)
            start += len(x)
        return labels, distances, sums
