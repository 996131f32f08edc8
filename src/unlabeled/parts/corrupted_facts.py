"""Facts that aren't: with another head or tail."""

from __future__ import annotations

import numpy as np


class Corruption:
    """Facts with another head or tail, one that the relation has elsewhere there; what is a fact after four draws is left out."""

    def __init__(self, facts: np.ndarray, entities: int, relations: int):
        self.n, self.r = entities, relations
        self.known = np.sort(self._key(facts))
        self.pool, self.start = {}, {}
        for side in (0, 2):
            seen = np.unique(facts[:, 1] * entities + facts[:, side])
            self.pool[side] = seen % entities
            self.start[side] = np.searchsorted(seen, np.arange(relations + 1) * entities)

    def __call__(self, facts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        wrong, left = facts.copy(), np.arange(len(facts))
        sides = np.where(rng.random(len(facts)) < 0.5, 0, 2)
        for _ in range(4):
            for side in (0, 2):
                rows = left[sides[left] == side]
                low, high = (self.start[side][wrong[rows, 1] + more] for more in (0, 1))
                wrong[rows] = facts[rows]
                wrong[rows, side] = self.pool[side][low + (rng.random(len(rows)) * (high - low)).astype(np.int64)]
            left = left[self._is_known(wrong[left])]
        return np.delete(wrong, left, axis=0)

    def _is_known(self, facts: np.ndarray) -> np.ndarray:
        key = self._key(facts)
        return self.known[np.minimum(np.searchsorted(self.known, key), len(self.known) - 1)] == key

    def _key(self, facts: np.ndarray) -> np.ndarray:
        return (facts[:, 0] * self.r + facts[:, 1]) * self.n + facts[:, 2]


__all__ = ["Corruption"]
