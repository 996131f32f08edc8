"""How alike two spaces of the same items are, item by item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.data.storage import gather
from unlabeled.errors import InputError
from unlabeled.evaluate.embsim import jaccard_at_k
from unlabeled.evaluate.labelfree import LEVEL, PAIRS, draw
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.neighbours import neighbours
from unlabeled.parts.scale import unit


@dataclass(frozen=True)
class SpaceSimilarity:
    """How alike two spaces of the same items are: 1 where they are the same. Against a space known to be good it needs no labels."""

    cosine: float  # mean over items of the cosine between their two vectors
    jaccard: float  # share of the k nearest items that both spaces agree on
    mrr: float  # mean of 1 / the place at which an item's vector of one space finds it in the other, both ways
    chance: float  # what `mrr` is for a random order

    def table(self) -> str:
        return f"cosine {self.cosine:.3f}, neighbours in common {self.jaccard:.3f}, MRR {self.mrr:.3f} (chance {self.chance:.3f})"


def space_similarity(R1: Any, R2: Any, k: int = 10, seed: int = 0) -> SpaceSimilarity:
    """Of two representations [n, d] of the same n items with the same d, on up to 5,000 of them. Leave out the anchors themselves.

    Moschella et al., 2022, arXiv:2209.15430.
    """
    A, B = check_vectors(R1, "R1", least=3), check_vectors(R2, "R2", least=3)
    if A.shape != B.shape:
        raise InputError(f"R1 has shape {A.shape}, R2 {B.shape}: wanted the same items, and as many numbers each")
    rows = draw(len(A), PAIRS, seed)
    A, B = unit(gather(A, rows)), unit(gather(B, rows))
    found = [neighbours(Z, k).rows for Z in (A, B)]
    S = A @ B.T
    own = S.diagonal()
    places = np.concatenate([(S >= own[:, None] - LEVEL).sum(axis=1), (S >= own - LEVEL).sum(axis=0)])  # ties count against
    chance = float(np.mean(1 / np.arange(1, len(A) + 1)))
    return SpaceSimilarity(float(own.mean()), float(jaccard_at_k(*found).mean()), float((1 / places).mean()), chance)
