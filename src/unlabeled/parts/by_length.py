"""Texts of like length are read side by side, so that little of what is read is padding."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def by_length(sizes: Iterable[int], rows: int) -> list[np.ndarray]:
    """Places of texts, longest first, in parts of `rows`."""
    order = np.argsort(-np.fromiter(sizes, np.int64), kind="stable")
    return np.split(order, range(rows, len(order), rows))
