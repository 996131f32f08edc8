"""Pairs of texts as two columns, and what is learned from of two vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import InputError


def text_pairs(pairs: Any) -> tuple[list[str], list[str]]:
    """The left and the right texts of a list of (left, right), of a tuple of two lists, or of anything with `.left` and `.right`.

    InputError: nothing at all, rows that aren't two texts, columns that differ in length.
    """
    if hasattr(pairs, "left") and hasattr(pairs, "right"):
        left, right = list(pairs.left), list(pairs.right)
    elif isinstance(pairs, list | tuple | np.ndarray):
        rows = list(pairs)
        columns = len(rows) == 2 and not any(isinstance(one, str) for one in rows) and (isinstance(pairs, tuple) or len(rows[0]) != 2)
        for place, one in enumerate([] if columns else rows):
            if isinstance(one, str) or not hasattr(one, "__len__") or len(one) != 2:
                raise InputError(f"pair {place} is {str(one)[:60]!r}: wanted two texts, (left, right)")
        left, right = (list(rows[0]), list(rows[1])) if columns else ([one[0] for one in rows], [one[1] for one in rows])
    else:
        raise InputError(f"pairs is a {type(pairs).__name__}: wanted a list of (left, right), or a tuple of two lists of texts")
    if not left or len(left) != len(right):
        raise InputError(f"pairs has {len(left)} left and {len(right)} right texts: wanted as many of each, and at least one")
    for side, texts in (("left", left), ("right", right)):
        odd = next((place for place, one in enumerate(texts) if not isinstance(one, str)), None)
        if odd is not None:
            raise InputError(f"the {side} text of pair {odd} is {texts[odd]!r} ({type(texts[odd]).__name__}): wanted a str")
    return left, right


def pair_features(u: Tensor, v: Tensor) -> Tensor:
    """What two vectors are and how they differ, [u, v, |u - v|, u * v]: [n, d] each -> [n, 4 d]. The order of the two counts."""
    return torch.cat([u, v, (u - v).abs(), u * v], dim=1)


class PairedTexts:
    """Pairs as numbers of their different texts: `texts`, the different ones, and `pairs` int64 [n, 2], rows of it."""

    def __init__(self, left: Sequence[str], right: Sequence[str]):
        known, rows = np.unique(np.array([*left, *right], dtype=object), return_inverse=True)
        self.texts, self.pairs = known.tolist(), rows.reshape(2, -1).T
        self.group = np.unique(self.pairs[:, 0], return_inverse=True)[1]  # pairs with one left text

    def held_out(self, share: float, rng: np.random.Generator) -> np.ndarray:
        """bool [n]: a share of the different left texts with all their pairs; of the pairs, where there are fewer than ten of those."""
        group = self.group if self.group.max() >= 9 else np.arange(len(self.pairs))
        n = int(group.max()) + 1
        return np.isin(group, rng.permutation(n)[: max(1, round(share * n))])

    def batches(self, rows: np.ndarray, size: int, sizes: np.ndarray, rng: np.random.Generator, pool: int = 50) -> Iterator[np.ndarray]:
        """These pairs in a new order. Those with one left text stay together, so that it is read once; of `pool` batches at a time those
        whose left texts are as long share a batch. sizes: of the texts."""
        rows = rows[np.argsort(rng.permutation(int(self.group.max()) + 1)[self.group[rows]], kind="stable")]
        pools = np.split(rows, range(pool * size, len(rows), pool * size))
        rows = np.concatenate([part[np.argsort(sizes[self.pairs[part, 0]], kind="stable")] for part in pools])
        parts = np.split(rows, range(size, len(rows), size))
        return (parts[i] for i in rng.permutation(len(parts)))


def labelled_pairs(pairs: Any, labels: Any) -> tuple[PairedTexts, np.ndarray, list[Any]]:
    """The pairs that have a label, their classes int64 [n], and what the classes are called, in the order of their names.

    No label: -1, "", None, NaN. InputError: not one label a pair; fewer than two classes, or than four pairs.
    """
    left, right = text_pairs(pairs)
    values = [value.item() if isinstance(value, np.generic) else value for value in labels]
    if len(values) != len(left):
        raise InputError(f"{len(values)} labels for {len(left)} pairs: wanted one each")
    names = [str(int(value)) if isinstance(value, float) and value.is_integer() else str(value) for value in values]
    rows = [i for i, name in enumerate(names) if name not in ("", "-1", "None", "nan", "<NA>")]
    first = {names[i]: values[i] for i in reversed(rows)}
    number = {name: code for code, name in enumerate(sorted(first))}
    if len(first) < 2 or len(rows) < 4:
        raise InputError(f"{len(rows)} labelled pairs of {len(first)} classes: wanted at least 4, of at least two")
    y = np.array([number[names[i]] for i in rows], np.int64)
    return PairedTexts([left[i] for i in rows], [right[i] for i in rows]), y, [first[name] for name in number]
