"""DistMult: a fact's score is the product of three vectors; relations multiply, and so say rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.data.graphs import Triples
from unlabeled.errors import InputError
from unlabeled.methods.knowledge.entity_model import EntityModel
from unlabeled.parts.checks import one_of
from unlabeled.parts.scale import unit
from unlabeled.parts.softmax_facts import Softmax
from unlabeled.parts.triples import Negatives, against, query

LOSSES = ("softmax", "logistic", "margin")
SOFTMAX = 1_000_000_000  # facts times entities up to which every fact can be held against all entities


@dataclass(kw_only=True, eq=False)
class DistMult(EntityModel):
    """Vectors of entities and relations from facts; what is missing, and the rules that the vectors of relations say.

    Yang, Yih, He, Gao and Deng, 2014, "Embedding Entities and Relations for Learning and Inference in Knowledge Bases", arXiv:1412.6575;
    and under the same training TransE (Bordes et al., 2013; squared distances), ComplEx (Trouillon et al., 2016, arXiv:1606.06357) and
    the full bilinear form. DistMult's score is the same from head to tail and back: of what goes one way only, ComplEx knows more.

    loss: "margin", the paper's: a fact is to score higher by the margin than with another tail or head; "logistic", each score by
    itself (both compiled, one fact and its negatives a step); "softmax": against all entities, and back by inverse relations, which is
    stronger where there are few facts (PyTorch); there heads are asked for by the inverse relation. For facts and what is learned see
    `EntityModel`. InputError: bad values, no facts.

        model = DistMult().fit(facts)                        # names [m, 3], or a Triples
        model.predict("steam engine", "invented by"); model.predict(relation="invented by", tail="Watt")
        for rule in model.rules("grandparent"): print(rule)
    """

    dim: int = 100
    scorer: str = "distmult"  # or "transe", "complex", "bilinear"
    loss: str | None = None  # "softmax", "logistic", "margin"; None: softmax, of many facts logistic
    epochs: int = 50
    lr: float = 0.1  # AdaGrad's
    n3: float = 0.01  # softmax: weight of cubes
    dropout: float = 0.2  # softmax: of queries
    batch_size: int = 512  # softmax
    negatives: int = 2  # else: of each fact, in turn of its tail and its head
    margin: float = 1.0  # of the margin loss
    l2: float = 1e-4  # else: of relations' vectors; the entities' have length 1
    workers: int | None = 1  # else: threads; None: all, but then the seed gives nearly the same vectors only
    seed: int = 0

    def _learn(self, triples: Triples, entity_vectors: Any = None, progress: Any = None, **ignored: Any) -> None:
        """entity_vectors: [entities, D] of what is known of the entities, in the order of `Triples.entities`, say of their names' texts.

        With loss "softmax" a vector is then tanh(W x), as in the paper; with the others it begins at x, of which D must be dim.
        """
        if self.loss is not None:
            one_of("loss", self.loss, LOSSES)
        loss = self.loss or ("softmax" if triples.n_edges * len(triples) <= SOFTMAX else "logistic")
        x = None if entity_vectors is None else self._features(entity_vectors, len(triples), loss)
        common: dict[str, Any] = {name: getattr(self, name) for name in ("scorer", "dim", "epochs", "lr", "seed")}
        more: dict[str, Any] = {} if progress is None else {"progress": progress}
        if loss == "softmax":
            engine: Any = Softmax(batch_size=self.batch_size, n3=self.n3, dropout=self.dropout, **common)
            more["features"] = x
        else:
            names = ("negatives", "margin", "l2", "workers")
            engine = Negatives(criterion=loss, unit=True, **common, **{name: getattr(self, name) for name in names})
            more["start"] = x
        found = engine.fit(triples.facts, len(triples), len(triples.relations), **more)
        self.vectors_, self.relation_vectors_, self.inverse_vectors_, self.loss_curve_ = found

    def _features(self, given: Any, n: int, loss: str) -> np.ndarray:
        x = np.asarray(given, dtype=np.float32)
        if x.ndim != 2 or len(x) != n or not np.isfinite(x).all() or (loss != "softmax" and x.shape[1] != self.dim):
            wide = "D" if loss == "softmax" else self.dim
            raise InputError(f"entity_vectors have the shape {list(x.shape)}: wanted finite numbers [{n}, {wide}]")
        return x if loss == "softmax" else unit(x)

    def _query(self, x: np.ndarray, relations: np.ndarray, heads: bool) -> np.ndarray:
        if heads and len(self.inverse_vectors_):
            return query(self.scorer, x, self.inverse_vectors_[relations])  # type: ignore[no-any-return]
        return query(self.scorer, x, self.relation_vectors_[relations], heads)  # type: ignore[no-any-return]

    def _against(self, queries: np.ndarray, entities: np.ndarray) -> np.ndarray:
        return against(self.scorer, queries, entities)  # type: ignore[no-any-return]

    def _composed(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if self.scorer == "transe":
            return first + second
        if self.scorer == "bilinear":
            d = self.vectors_.shape[1]
            return (first.reshape(-1, d, d) @ second.reshape(-1, d, d)).reshape(len(first), -1)
        return query(self.scorer, first, second)  # type: ignore[no-any-return]

    def _alike(self, made: np.ndarray, relation: np.ndarray) -> np.ndarray:
        if self.scorer != "transe":
            return super()._alike(made, relation)
        # Sums: twice a relation points where it does itself, so the distance counts, as a share of both lengths.
        lengths = np.linalg.norm(made, axis=1) + np.linalg.norm(relation)
        return 1 - np.linalg.norm(made - relation, axis=1) / np.maximum(lengths, 1e-12)
