"""Named data sets: those that any Python has, those in the folder $UNLABELED_DATA, and those fetched from their origin."""

from unlabeled.datasets.named import export, fetch, load, names

__all__ = ["export", "fetch", "load", "names"]
