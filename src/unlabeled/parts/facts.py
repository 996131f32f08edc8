"""Facts to test on that the facts to learn from give away."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from unlabeled.errors import InputError


class Leaks(NamedTuple):
    """same: bool [m], which facts of the test are learned from. inverse: which have an inverse, or another name, that is.

    pairs: (relation, other relation, turned) for those that say the same, turned: with head and tail exchanged.
    """

    same: np.ndarray
    inverse: np.ndarray
    pairs: list[tuple[int, int, bool]]


def leaks(train: np.ndarray, test: np.ndarray, *, share: float = 0.8, least: int = 5) -> Leaks:
    """Which facts int [m, 3] of the test are in the training facts int [n, 3], as they are or by a relation that says the same.

    Two relations say the same, maybe turned, if of the training pairs of each at least `share` are pairs of the other (Toutanova and
    Chen, 2015, of FB15k); a relation with fewer than `least` facts has no such partner. One may be its own, turned: a symmetric one.
    """
    train, test = (np.asarray(facts, dtype=np.int64).reshape(-1, 3) for facts in (train, test))
    both = np.concatenate([train, test])
    if not len(train) or not len(test):
        return Leaks(np.zeros(len(test), bool), np.zeros(len(test), bool), [])
    n, relations = int(both[:, [0, 2]].max()) + 1, int(both[:, 1].max()) + 1

    def keys(facts: np.ndarray, turned: bool = False) -> np.ndarray:
        return facts[:, 2 if turned else 0] * n + facts[:, 0 if turned else 2]

    straight, back = keys(train), keys(train, turned=True)
    every, place = np.unique(np.concatenate([straight, back]), return_inverse=True)
    ones = np.ones(len(train), np.float32)
    here, there = (
        sp.csr_matrix((ones, (train[:, 1], place[part])), (relations, len(every))).minimum(1)
        for part in (slice(len(train)), slice(len(train), None))
    )
    size = np.asarray(here.sum(axis=1)).ravel()
    pairs = []
    for turned, other in ((False, here), (True, there)):
        shared = (here @ other.T).tocoo()
        alike = (shared.data >= share * size[shared.row]) & (shared.data >= share * size[shared.col]) & (size[shared.row] >= least)
        pairs += [(int(a), int(b), turned) for a, b in zip(shared.row[alike], shared.col[alike], strict=True) if a != b or turned]
    inverse = np.zeros(len(test), bool)
    for a, b, turned in pairs:
        asked = np.flatnonzero(test[:, 1] == a)
        inverse[asked] |= np.isin(keys(test[asked]), (back if turned else straight)[train[:, 1] == b])
    same = np.isin(keys(test) * relations + test[:, 1], straight * relations + train[:, 1])
    return Leaks(same, inverse, sorted(pairs))


def check_split(train: np.ndarray, test: np.ndarray) -> Leaks:
    """The same, for what is about to be scored. InputError: a fact of the test is among those to learn from."""
    found = leaks(train, test)
    if found.same.any():
        first = np.asarray(test)[np.flatnonzero(found.same)[0]].tolist()
        raise InputError(
            f"{int(found.same.sum()):,} of {len(found.same):,} facts to test on are learned from, {first} for one: take them out"
        )
    return found


__all__ = ["Leaks", "check_split", "leaks"]
