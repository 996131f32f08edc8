"""Does a geometry bring back a hierarchy? Where the true ancestors of a node stand among all nodes, by distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from unlabeled.data.graphs import Graph
from unlabeled.errors import InputError


class HierarchyScores(NamedTuple):
    """map: mean over the nodes asked; mean_rank: over the pairs asked, from 1; ranks: float64 [pairs], in the order of the pairs."""

    map: float
    mean_rank: float
    ranks: np.ndarray


def hierarchy_scores(
    distances: Callable[[np.ndarray], Any], known: Graph, pairs: Any = None, nodes: Any = None, block: int = 256
) -> HierarchyScores:
    """Ranks v among what u isn't related to, for pairs u -> v (Nickel and Kiela, 2017, arXiv:1705.08039).

    distances: of nodes int64 [b] to all nodes, [b, n], a smaller one is nearer. known: all that is true, of training and test; other
    true v and u itself never count against a pair. pairs: int [m, 2] to ask (default: all of known; of held-out pairs, link
    prediction); nodes: only those with these u. The average precision of u is that of its asked v, ranked with all that u isn't related
    to. Ties count half. InputError: no pair to ask, or a distance that isn't finite, before anything is ranked: a comparison with NaN
    is False, so that a model that ran away would rank first.
    """
    pairs = known.edges() if pairs is None else np.asarray(pairs, np.int64).reshape(-1, 2)
    if not known.directed and len(pairs):
        pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs if nodes is None else pairs[np.isin(pairs[:, 0], nodes)]
    if not len(pairs):
        raise InputError("no pair to ask: the hierarchy, or what is asked of it, is empty")
    order = np.argsort(pairs[:, 0], kind="stable")
    asked, starts = np.unique(pairs[order, 0], return_index=True)
    ends, targets = [*starts[1:], len(pairs)], pairs[order, 1]
    ranks, precision = np.empty(len(pairs)), np.empty(len(asked))
    for first in range(0, len(asked), block):
        table = np.asarray(distances(asked[first : first + block]), np.float64)
        if table.shape != (len(asked[first : first + block]), len(known)):
            raise InputError(f"distances have the shape {list(table.shape)}: wanted [{len(asked[first : first + block])}, {len(known)}]")
        if not np.isfinite(table).all():
            raise InputError("a distance isn't finite: the training ran away, lower its learning rate")
        for one, row in enumerate(table, first):
            here = slice(starts[one], ends[one])
            others = np.ones(len(known), bool)
            others[known.neighbours(asked[one])] = others[asked[one]] = others[targets[here]] = False
            rest, mine = row[others], row[targets[here]]
            above = np.array([(rest < value).sum() + (rest == value).sum() / 2 for value in mine])
            ranks[order[here]] = 1 + above
            k = np.arange(1, len(mine) + 1)
            precision[one] = (k / (k + np.sort(above))).mean()
    return HierarchyScores(float(precision.mean()), float(ranks.mean()), ranks)


__all__ = ["HierarchyScores", "hierarchy_scores"]
