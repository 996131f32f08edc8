"""Search with a vector for every token: late interaction, as ColBERT has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.scale import unit

BLOCK = 1 << 24  # similarities of query tokens to document tokens held at once: 64 MB


def stacked(items: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The token vectors of all items below each other, float32 [N, d], made unit; and where each item's begin and end, int64 [n + 1].

    items: n arrays [tokens, d], one or more tokens each. Vectors of zeros stay zero. InputError: no items, an item without
    tokens, different d, NaN.
    """
    if isinstance(items, np.ndarray) and items.ndim == 2:
        raise InputError(f"{name} has shape {items.shape}: wanted a list of arrays [tokens, d], one an item")
    arrays = [check_vectors(one, f"{name}[{i}]") for i, one in enumerate(items)]
    if not arrays or len({one.shape[1] for one in arrays}) > 1:
        raise InputError(f"{name} has {len(arrays)} items of widths {sorted({a.shape[1] for a in arrays})}: wanted 1 or more of one width")
    return unit(np.concatenate(arrays)), np.cumsum([0, *map(len, arrays)])


def maxsim(queries: np.ndarray, query_starts: np.ndarray, tokens: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each query and document the sum over the query's tokens of the largest inner product with a token of the document.

    queries [M, d] with query_starts [q + 1], tokens [N, d] with starts [n + 1], as `stacked` gives them -> float32 [q, n].
    Khattab and Zaharia, 2020, "ColBERT", arXiv:2004.12832.
    """
    scores = np.empty((len(query_starts) - 1, len(starts) - 1), np.float32)
    for first, last in _runs(starts, max(1, BLOCK // max(len(queries), 1))):
        begin, end = starts[first], starts[last]
        similar = queries @ tokens[begin:end].T
        best = np.maximum.reduceat(similar, starts[first:last] - begin, axis=1)
        scores[:, first:last] = np.add.reduceat(best, query_starts[:-1], axis=0)
    return scores


def _runs(starts: Sequence[int] | np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Documents from first to last (not included) that have at most `most` tokens together, or one that has more."""
    first, n = 0, len(starts) - 1
    while first < n:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + most, side="right")) - 1)
        yield first, last
        first = last
