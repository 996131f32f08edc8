"""Which rows have a label, and which classes there are."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from unlabeled.errors import InputError

NO_LABEL = -1


def known(y: Any) -> np.ndarray:
    """Which of the labels y [n] are labels: bool [n]. -1, "" and None are none; see `VectorClassifier` for -1 and 1 alone."""
    y = np.asarray(y)
    if y.dtype.kind in "OUS":
        return np.array([one is not None and str(one) not in ("", str(NO_LABEL)) for one in y], dtype=bool)
    there = y != NO_LABEL
    if there.any() and not there.all() and set(np.unique(y)) == {NO_LABEL, 1}:
        warnings.warn("y holds -1 and 1 only and is read as two classes; if -1 meant no label, there is but one class", stacklevel=4)
        return np.ones(len(y), dtype=bool)
    return there


def classes_of(y: Any, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The classes of y [n], sorted, and the place of each label among them, int64 [n], -1 for no label. At least `least` classes."""
    y, there = np.asarray(y), known(y)
    classes, places = np.unique(y[there].astype(str) if y.dtype == object else y[there], return_inverse=True)
    if len(classes) < least:
        found = f"one class only, {classes[0]}" if len(classes) else "no class"
        raise InputError(f"y holds {found} ({int(there.sum())} labels in {len(y)} rows): wanted labels of {least} classes or more")
    codes = np.full(len(y), NO_LABEL, np.int64)
    codes[there] = places
    return classes.astype(object) if y.dtype == object else classes, codes
