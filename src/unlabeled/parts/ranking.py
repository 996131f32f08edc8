"""Where the right answer stands among all: ranks of facts, other known facts left out, ties at their mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unlabeled.errors import InputError

CELLS = 4_000_000  # scores held at once


class Known:
    """The tails that each (head, relation) has, and the heads that each (relation, tail) has, for leaving them out of a ranking."""

    def __init__(self, facts: np.ndarray, n_entities: int):
        """facts: int [m, 3] of whatever is known: of training, validation and test."""
        self.n = n_entities
        relations = int(facts[:, 1].max(initial=-1)) + 1
        self._sides = []
        for ask, answer in ((0, 2), (2, 0)):
            key = facts[:, ask].astype(np.int64) * max(relations, 1) + facts[:, 1]
            order = np.lexsort((facts[:, answer], key))
            self._sides.append((key[order], facts[order, answer].astype(np.int64)))
        self._relations = max(relations, 1)

    def answers(self, facts: np.ndarray, heads: bool) -> tuple[np.ndarray, np.ndarray]:
        """For each fact int [m, 3] every known answer to its question: (row of the fact, entity), int64 each."""
        keys, answers = self._sides[int(heads)]
        asked = facts[:, 2 if heads else 0].astype(np.int64) * self._relations + facts[:, 1]
        low, high = np.searchsorted(keys, asked, "left"), np.searchsorted(keys, asked, "right")
        rows = np.repeat(np.arange(len(facts)), high - low)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(high - low) - (high - low), high - low) + np.repeat(low, high - low)
        return rows, answers[place]


def filtered_ranks(
    score: Callable[[np.ndarray, bool], np.ndarray], facts: np.ndarray, known: Known, *, sides: tuple[bool, ...] = (False, True)
) -> np.ndarray:
    """float64 [m, sides]: the rank, from 1, of each fact's tail (side False) and head (True) among all entities.

    score(facts [b, 3], heads): the scores of all entities in place of the tail, or of the head, [b, entities], higher is likelier.
    Other known answers don't count. Of equal scores the mean of the best and the worst place. InputError: a score that isn't finite.
    """
    facts = np.asarray(facts)
    ranks = np.empty((len(facts), len(sides)))
    step = max(1, CELLS // max(known.n, 1))
    for start in range(0, len(facts), step):
        part = facts[start : start + step]
        for column, heads in enumerate(sides):
            table = np.asarray(score(part, heads), dtype=np.float32)
            if table.shape != (len(part), known.n):
                raise InputError(f"scores have the shape {list(table.shape)}: wanted {[len(part), known.n]}")
            # Asked before anything is compared: a comparison with NaN is False, so a model that ran away would rank first.
            if not np.isfinite(table @ np.ones(known.n, np.float32)).all() and not np.isfinite(table).all():
                raise InputError("a score isn't finite: the training ran away, lower its learning rate")
            right = part[:, 0 if heads else 2].astype(np.int64)
            own = table[np.arange(len(part)), right]
            # Row by row, which is when counting is quick; of all, so that nothing has to be copied and masked.
            above = np.array([np.count_nonzero(row > mine) for row, mine in zip(table, own, strict=True)])
            same = np.array([np.count_nonzero(row == mine) for row, mine in zip(table, own, strict=True)])
            rows, others = known.answers(part, heads)
            other = others != right[rows]
            rows, theirs = rows[other], table[rows[other], others[other]]
            above -= np.bincount(rows[theirs > own[rows]], minlength=len(part))
            same -= np.bincount(rows[theirs == own[rows]], minlength=len(part)) + 1  # and itself
            ranks[start : start + len(part), column] = 1 + above + same / 2
    return ranks


def rank_scores(ranks: np.ndarray) -> dict[str, float]:
    """mrr, hits@1, hits@3, hits@10 and the mean rank (mr) over all ranks."""
    flat = np.asarray(ranks, dtype=np.float64).ravel()
    if not len(flat) or not np.isfinite(flat).all():
        raise InputError("ranks must be finite, and at least one")
    return {"mrr": float((1 / flat).mean())} | {f"hits@{k}": float((flat <= k).mean()) for k in (1, 3, 10)} | {"mr": float(flat.mean())}


__all__ = ["Known", "filtered_ranks", "rank_scores"]
