"""Vectors, items and a neighbour index in one folder on disk, opened again by one call."""

from unlabeled.representation.representation import Representation, import_vectors

__all__ = ["Representation", "import_vectors"]
