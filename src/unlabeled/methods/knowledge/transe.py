"""TransE: a relation is a step from head to tail."""

from __future__ import annotations

from dataclasses import dataclass

from unlabeled.methods.knowledge.distmult import DistMult


@dataclass(kw_only=True, eq=False)
class TransE(DistMult):
    """Head plus relation is to lie near the tail: the score is minus the squared distance.

    Bordes, Usunier, Garcia-Duran, Weston and Yakhnenko, 2013, "Translating Embeddings for Modeling Multi-relational Data". Everything
    else is `DistMult`'s: losses, predictions, and rules, which add up here.
    """

    scorer: str = "transe"
