"""Labelled data for a reproduction: a named set, or the user's own. The labels go to the probes, never to a fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data import Items, read
from unlabeled.datasets import load
from unlabeled.errors import InputError

LABELS = ("label", "class", "target", "y", "category")


@dataclass(frozen=True)
class Split:
    """X, X_test: uint8 pictures [n, H, W, C], a list of texts, or float32 vectors [n, d]; y, y_test: one label each."""

    name: str
    kind: str
    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray


def split(source: str, seed: int, n: tuple[int | None, int | None], column: str | None = None, label: str | None = None) -> Split:
    """Draw a training and a test part with this seed. source: the name of a set, or a path.

    A path is a folder with one subfolder a class, or a table with a column of texts, numbers or image bytes and one of
    labels. A set with a test part of its own keeps it; otherwise two sevenths are held out, from each class alike.
    n: at most so many to learn from and to test on (None: all). InputError: no labels, or too few items.
    """
    path = Path(source)
    if path.exists():
        items = read(path, column=column)
        y = _labels_of_path(items, path, label)
    else:
        items = load(source)
        name = label or next((key for key in LABELS if key in items.columns), None)
        if name is None or name not in items.columns:
            raise InputError(f"data set {source!r} has no labels ({', '.join(items.columns) or 'no columns'}): name one with label")
        y = np.asarray(items.columns[name])
    keep = np.array([str(value) not in ("", "-1", "None", "nan") for value in y])
    items, y = (items.subset(keep), y[keep]) if not keep.all() else (items, y)
    parts = np.asarray(items.columns["split"]) if "split" in items.columns else np.full(len(items), "all")
    rng = np.random.default_rng(seed)
    if {"train", "test"} <= set(parts) or {"train", "val"} <= set(parts):
        held = "test" if "test" in set(parts) else "val"
        train, test = (rng.permutation(np.flatnonzero(parts == part)) for part in ("train", held))
    else:
        fold = _dealt(y, rng)
        train, test = rng.permutation(np.flatnonzero(fold >= 2)), rng.permutation(np.flatnonzero(fold < 2))
    train, test = np.sort(train[: n[0]]), np.sort(test[: n[1]])
    if len(train) < 10 or len(test) < 2 or len(np.unique(y[train])) < 2:
        raise InputError(f"{source} gives {len(train)} items to learn from and {len(test)} to test on: wanted 10, 2, and two classes")
    return Split(path.name if path.exists() else source, items.kind, items.take(train), y[train], items.take(test), y[test])


def _dealt(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every class dealt out over seven parts, the next one goes on where the last stopped."""
    fold, dealt = np.empty(len(y), np.int64), 0
    for value in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == value))
        fold[members] = (dealt + np.arange(len(members))) % 7
        dealt += len(members)
    return fold


def _labels_of_path(items: Items, path: Path, label: str | None) -> np.ndarray:
    if path.is_dir():
        if label is None and all("/" in one for one in items.ids):
            return np.array([one.split("/")[0] for one in items.ids])
        raise InputError(f"{path} has files outside of subfolders: a labelled folder has one subfolder a class")
    name = label or next((key for key in LABELS if key in items.columns), None)
    if name is None or name not in items.columns:
        there = ", ".join(items.columns) or "none besides what is learned from"
        raise InputError(f"{path.name} has no column of labels (it has {there}): name it with --label")
    return np.asarray(items.columns[name])
