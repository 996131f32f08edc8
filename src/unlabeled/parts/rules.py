"""Rules between relations: which bodies fit a relation, and how often what they say is so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp

Body = tuple[int, ...]


def bodies(
    facts: np.ndarray, n_entities: int, n_relations: int, targets: Sequence[int], lengths: Sequence[int], overlap: float
) -> Iterator[tuple[int, np.ndarray]]:
    """For each target and length (relation, int [m, length]): all bodies whose ends fit.

    Left out are itself, and itself before or after another relation, which says the least where that one hardly leads anywhere.
    Two sets of entities fit if at least the share `overlap` of the smaller one, and at least one entity, is in both. facts: int [m, 3].
    """
    ones = np.ones(len(facts), np.float32)
    head, tail = (sp.csr_matrix((ones, (facts[:, 1], facts[:, side])), (n_relations, n_entities)).minimum(1) for side in (0, 2))

    def fit(a: sp.csr_matrix, b: sp.csr_matrix) -> np.ndarray:
        shared = (a @ b.T).toarray()
        smaller = np.minimum(np.asarray(a.sum(axis=1)), np.asarray(b.sum(axis=1)).T)
        return (shared > 0) & (shared >= overlap * smaller)

    heads, tails, chain = fit(head, head), fit(tail, tail), fit(tail, head)
    for r in targets:
        for length in sorted(set(lengths)):
            if length == 1:
                one = np.flatnonzero(heads[r] & tails[r])
                yield r, one[one != r][:, None]
            else:
                two = np.argwhere(heads[r][:, None] & chain & tails[r][None, :])
                yield r, two[(two == r).sum(axis=1) != 1]


def confidence(facts: np.ndarray, n_entities: int, rules: Sequence[tuple[int, Body]]) -> list[tuple[float, int]]:
    """For each rule (relation, body): of the pairs that the body joins, the share that the relation joins, and how many that are."""
    tables: dict[int, sp.csr_matrix] = {}

    def table(r: int) -> sp.csr_matrix:
        if r not in tables:
            here = facts[facts[:, 1] == r]
            tables[r] = sp.csr_matrix((np.ones(len(here), np.float32), (here[:, 0], here[:, 2])), (n_entities, n_entities)).minimum(1)
        return tables[r]

    found = []
    for r, body in rules:
        joined = table(body[0]) if len(body) == 1 else (table(body[0]) @ table(body[1])).minimum(1)
        right = int(joined.multiply(table(r)).sum())
        found.append((right / max(joined.nnz, 1), right))
    return found


__all__ = ["Body", "bodies", "confidence"]
