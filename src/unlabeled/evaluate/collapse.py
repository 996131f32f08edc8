"""Has everything collapsed to a point, a line or a few points? An alarm in plain language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.evaluate.labelfree import _unit, draw, mean_cosine, rankme, std_sqrt_d

SAMPLE = 1_000
SPREAD, NARROW = 0.05, 0.01  # std * sqrt(d): least of signed vectors, of vectors without negative numbers
ONE_AXIS = 1.25  # principal axes in use, as a participation ratio; an exact line has 1
NOISE = 0.3  # share of the possible axes that the little that is left of a collapsed representation uses
FEW = 1 / 50  # different points, as a share of the items


@dataclass(frozen=True)
class Collapse:
    collapsed: bool
    verdict: str  # one sentence for people
    std_sqrt_d: float
    mean_cosine: float
    rankme: float
    dim: int
    axes: float  # principal axes in use once the mean is taken off (participation ratio)
    points: int  # different points among the items looked at; nearer than 1 % of the typical distance is the same


def collapse(Z: Any, seed: int = 0) -> Collapse:
    """Whether the rows of Z [n, d] still tell items apart. NaN and infinity are a verdict here, no error.

    Looks at up to 1,000 rows (0.2 s), made unit. Collapsed is:
    - NaN or infinity in any row: training diverged;
    - all one point: std * sqrt(d) under .05, or under .01 where no number is negative. Pixels and features after a ReLU share
      a large part by nature (an untrained network on CIFAR-10: mean cosine .994, std * sqrt(d) .055, and its k-NN works), so
      theirs under .05 is a collapse only when what is left is noise, which uses as many axes as there can be;
    - a few points: at most one different point for 50 items;
    - a line: one axis holds nearly everything (participation ratio under 1.25, with 4 or more dimensions). So a collapse
      looks behind an output batch norm, which keeps the spread up: SimSiam without its stop-gradient on digits has
      std * sqrt(d) .59 and mean cosine .64, but 1.1 axes.
    Effective rank alone is no alarm: once collapsed vectors are centred only noise is left, and noise has full rank.

    The verdict is about the vectors given. During training give it the projector's output: the backbone of a collapsed
    network looks like an untrained one's (1.6 to 5 axes against 2.7 to 14), and only a comparison with that one tells.
    InputError: not numbers, wrong shape, no rows.
    """
    array = Z.detach().cpu().float().numpy() if hasattr(Z, "detach") else np.asarray(Z)
    if array.dtype.kind not in "fiub" or array.ndim != 2 or array.size == 0:
        raise InputError(f"Z has shape {array.shape} and holds {array.dtype} values: wanted numbers [n, d], at least one row and column")
    rows = gather(array, draw(len(array), SAMPLE, seed)).astype(np.float64)
    n, d = rows.shape
    with np.errstate(over="ignore"):
        broken = int((~np.isfinite(rows.astype(np.float32))).any(axis=1).sum())
    if broken:
        said = f"Broken: {broken:,} of {n:,} vectors hold NaN or infinity; training has diverged, lower the learning rate."
        nan = float("nan")
        return Collapse(True, said, nan, nan, nan, d, nan, 0)
    if n < 2:
        return Collapse(False, "One vector: nothing to compare.", 0.0, 1.0, 1.0, d, 0.0, 1)

    spread, cosine, rank = std_sqrt_d(rows), mean_cosine(rows), rankme(rows)
    space = rows if d == 1 else _unit(rows)  # on a line there is no direction, only a length
    axes, points = _axes(space), _points(space)
    most_axes = min(n - 1, d)
    least = NARROW if (rows >= 0).all() else SPREAD
    noise = most_axes > 3 and spread < SPREAD and axes > NOISE * most_axes

    collapsed, said = True, ""
    if points == 1:
        said = "Collapsed: all vectors are the same."
    elif d > 1 and (spread < least or noise):
        said = "Collapsed: all vectors point one way, items can hardly be told apart "
        said += f"(mean cosine {cosine:.4f}; spread {spread:.3f}, where 1 is healthy)."
    elif points <= n * FEW:
        said = f"Collapsed: {n:,} items point in only {points} different directions."
    elif most_axes > 3 and axes < ONE_AXIS:
        said = f"Collapsed: the vectors lie on one line, {axes:.1f} of {d} directions are in use."
    else:
        collapsed = False
        main = max(1, round(axes))
        said = f"No collapse: the vectors spread over about {main} main direction{'s' * (main > 1)} of {d}."
        if cosine > 0.9:
            said += f" They share a large common part (mean cosine {cosine:.2f}), which is subtracted before items are compared."
    return Collapse(collapsed, said, spread, cosine, rank, d, axes, points)


def _axes(rows: np.ndarray) -> float:
    """Participation ratio of the centred rows [n, d]: (sum of the variances)^2 / sum of their squares; 0 without variance."""
    rows = rows - rows.mean(axis=0)
    gram = rows.T @ rows if rows.shape[0] >= rows.shape[1] else rows @ rows.T
    squared = np.square(gram).sum()  # the sum of the squared eigenvalues, without computing them
    return float(np.trace(gram) ** 2 / squared) if squared > 0 else 0.0


def _points(rows: np.ndarray) -> int:
    """Different points among rows [n, d]: those nearer to an earlier one than 1 % of the typical distance aren't new."""
    rows = rows - rows.mean(axis=0)
    length = np.square(rows).sum(axis=1)
    typical = 2 * length.mean()
    if typical <= 1e-24:
        return 1
    squared = length[:, None] + length - 2 * rows @ rows.T
    return int(len(rows) - np.tril(squared < 1e-4 * typical, -1).any(axis=1).sum())
