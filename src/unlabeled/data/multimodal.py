"""Facts about things, and the data that the things carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.data.graphs import Triples
from unlabeled.errors import InputError


@dataclass(frozen=True, eq=False)
class MultimodalKG:
    """Facts (head, relation, tail), and what data entities carry: modalities {name: {entity: vector}}, vectors of one length each.

    Vectors come from whatever reads such data and isn't trained here: `parts.molecules`, a sentence encoder, a scaled number.
    InputError: vectors of other lengths or of unknown entities, NaN.
    """

    triples: Triples
    modalities: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        known = set(self.triples.entities)
        for name, column in self.modalities.items():
            shapes = {np.shape(vector) for vector in column.values()}
            if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not all(np.isfinite(vector).all() for vector in column.values()):
                raise InputError(f"modality {name!r} has vectors of the shapes {sorted(shapes)[:3]}: wanted finite ones of one length")
            if strange := next((entity for entity in column if entity not in known), None):
                raise InputError(f"modality {name!r} names {strange!r}, of which there is no fact: encode it as a new entity")

    def carried(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{modality: (entities int64 [m], vectors float32 [m, d])}."""
        place = {name: i for i, name in enumerate(self.triples.entities)}
        rows = {name: np.array([place[one] for one in column], np.int64) for name, column in self.modalities.items()}
        return {name: (rows[name], np.array(list(column.values()), np.float32)) for name, column in self.modalities.items()}


__all__ = ["MultimodalKG"]
