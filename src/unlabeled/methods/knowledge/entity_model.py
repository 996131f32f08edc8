"""What all models of the entities of facts share: how facts come in, whose vectors come out, what is likely, and which rules hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from unlabeled.data.graphs import Triples
from unlabeled.data.in_memory_graphs import as_graph_items
from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.methods.kept import ArrayModel
from unlabeled.parts.checks import number, whole
from unlabeled.parts.rules import Body, bodies, confidence
from unlabeled.parts.scale import unit

CELLS = 4_000_000  # scores held at once


class Fact(NamedTuple):
    """A fact that isn't known. score: the model's own, higher is likelier; comparable within a model."""

    head: str
    relation: str
    tail: str
    score: float


class Rule(NamedTuple):
    """body => relation: with two relations in the body, from a by the first to some b, and from there by the second.

    similarity: of the relation's vector and the body's, at most 1 (the cosine, unless the system says otherwise). confidence: of the
    pairs that the body joins in the training facts, the share that the relation joins, too; support: how many that are.
    """

    relation: str
    body: tuple[str, ...]
    similarity: float
    confidence: float
    support: int

    def __str__(self) -> str:
        ends = ("a, b", "b, c") if len(self.body) == 2 else ("a, c",)
        said = " and ".join(f"{name}({end})" for name, end in zip(self.body, ends, strict=True))
        return (
            f"{said} => {self.relation}(a, c)  similarity {self.similarity:.2f}, confidence {self.confidence:.2f} ({self.support:,} facts)"
        )


@dataclass(kw_only=True, eq=False)
class EntityModel(ArrayModel, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A keyword-only dataclass. What `fit` learned: `entities_` and `relations_` (names), `vectors_` float32 [entities, dim],
    `relation_vectors_` float32 [relations, ...] and `facts_`, int32 [m, 3], which no prediction repeats.

    Facts: `data.graphs.Triples`, Items of kind "triples", or names [m, 3] (head, relation, tail). A system brings `_learn`, `_query` and
    `_against`: every score is that of a query, from an entity and a relation, against an answer.
    """

    LISTS = ("entities_", "relations_")

    def fit(self, X: Any, y: Any = None, **given: Any) -> Self:
        """Learn from facts; `y` is never looked at. InputError: no facts."""
        triples = triples_of(X)
        self.entities_, self.relations_ = [str(name) for name in triples.entities], [str(name) for name in triples.relations]
        self.facts_ = np.ascontiguousarray(triples.facts, dtype=np.int32)
        self._learn(triples, **given)
        self.inputs_ = Inputs("triples")
        return self

    def _learn(self, triples: Triples, **given: Any) -> None:
        """Set `vectors_`, `relation_vectors_` and `loss_curve_`, a list."""
        raise NotImplementedError

    def _query(self, x: np.ndarray, relations: np.ndarray, heads: bool) -> np.ndarray:
        """What the answers to (x, relation, ?), with heads (?, relation, x), are held against: [b, dim]. x [b, dim], relations int [b]."""
        raise NotImplementedError

    def _against(self, queries: np.ndarray, entities: np.ndarray) -> np.ndarray:
        """Scores [b, n] of entities [n, dim] as answers."""
        raise NotImplementedError

    def _composed(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The vectors [b, ...] of going by the first relation and then by the second."""
        return first * second

    def _alike(self, made: np.ndarray, relation: np.ndarray) -> np.ndarray:
        """float [m]: how near what bodies make, [m, ...], is to a relation's vector: the cosine, which no scale changes."""
        return unit(made) @ unit(relation[None])[0]

    # Scores -------------------------------------------------------------------------------------------------------
    def scores(self, facts: np.ndarray, heads: bool = False) -> np.ndarray:
        """float32 [m, entities]: all entities in place of the tail (heads: of the head) of facts int [m, 3], as `filtered_ranks` asks."""
        check_is_fitted(self, "vectors_")
        facts = np.asarray(facts)
        return self._against(self._query(self.vectors_[facts[:, 2 if heads else 0]], facts[:, 1], heads), self.vectors_)

    def score(self, facts: Any) -> np.ndarray:
        """float32 [m]: of facts, names or int [m, 3], each asked from its head. InputError: unknown names."""
        check_is_fitted(self, "vectors_")
        rows = self.numbers(facts)
        found = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), 1000):
            part = rows[start : start + 1000]
            queries = self._query(self.vectors_[part[:, 0]], part[:, 1], False)
            answers = self.vectors_[part[:, 2]]
            found[start : start + 1000] = [self._against(q[None], y[None])[0, 0] for q, y in zip(queries, answers, strict=True)]
        return found

    def numbers(self, facts: Any) -> np.ndarray:
        """int64 [m, 3] of facts by their names, or by numbers. InputError: another shape, a name or number that isn't known."""
        rows = np.asarray(facts.facts if isinstance(facts, Triples) else facts)
        if rows.ndim != 2 or rows.shape[1] != 3:
            raise InputError(f"facts have the shape {list(rows.shape)}: wanted [m, 3], (head, relation, tail)")
        if isinstance(facts, Triples):
            names = np.array(facts.entities, object), np.array(facts.relations, object)
            rows = np.stack([names[0][rows[:, 0]], names[1][rows[:, 1]], names[0][rows[:, 2]]], axis=1)
        if rows.dtype.kind in "iu":
            limits = np.array([len(self.entities_), len(self.relations_), len(self.entities_)])
            if rows.size and ((rows < 0) | (rows >= limits)).any():
                raise InputError(
                    f"facts name numbers from {rows.min()} to {rows.max()}: there are {limits[0]:,} entities and {limits[1]:,} relations"
                )
            return rows.astype(np.int64)
        entities, relations = ({name: row for row, name in enumerate(names)} for names in (self.entities_, self.relations_))
        found = [
            (place_of(entities, str(h), "entity"), place_of(relations, str(r), "relation"), place_of(entities, str(t), "entity"))
            for h, r, t in rows
        ]
        return np.array(found, np.int64).reshape(-1, 3)

    # Predictions --------------------------------------------------------------------------------------------------
    def predict(self, head: Any = None, relation: Any = None, k: int = 10, *, tail: Any = None) -> list[tuple[str, float]]:
        """The k likeliest answers to (head, relation, ?) or (?, relation, tail) that aren't known: (entity, score), best first.

        head, relation, tail: names, or numbers. InputError: unknown ones, head and tail both given or neither.
        """
        check_is_fitted(self, "vectors_")
        if relation is None or (head is None) == (tail is None):
            raise InputError("wanted a relation and either a head or a tail, whichever the answer is not")
        side, asked = (True, tail) if head is None else (False, head)
        entity, r = number_of("entity", self.entities_, asked), number_of("relation", self.relations_, relation)
        fact = np.array([[entity, r, entity]])
        scores = np.array(self.scores(fact, side)[0], dtype=np.float64)
        here = (self.facts_[:, 1] == r) & (self.facts_[:, 2 if side else 0] == entity)
        scores[self.facts_[here, 0 if side else 2]] = -np.inf
        best = np.argsort(-scores, kind="stable")[: whole("k", k)]
        return [(self.entities_[one], float(scores[one])) for one in best if scores[one] > -np.inf]

    def predict_links(self, k: int = 10, relations: Sequence[Any] | None = None, *, any_entity: bool = False) -> list[Fact]:
        """The k likeliest facts that aren't known, of some relations (default: all), best first.

        Asked are the entities that were a head of the relation, for those that were a tail of it; any_entity: all for all. Scores are held
        in pieces, never [entities, entities].
        """
        check_is_fitted(self, "vectors_")
        k, n = whole("k", k), len(self.entities_)
        chosen = range(len(self.relations_)) if relations is None else [number_of("relation", self.relations_, one) for one in relations]
        best = np.zeros((0, 3), np.int64), np.zeros(0)
        for r in chosen:
            here = self.facts_[self.facts_[:, 1] == r].astype(np.int64)
            heads, tails = (np.arange(n), np.arange(n)) if any_entity else (np.unique(here[:, 0]), np.unique(here[:, 2]))
            known = np.zeros(n + 1, np.int64)
            np.cumsum(np.bincount(here[:, 0], minlength=n), out=known[1:])
            answers = np.searchsorted(tails, here[np.argsort(here[:, 0], kind="stable"), 2])
            step = max(1, CELLS // max(len(tails), 1))
            for start in range(0, len(heads), step):
                part = heads[start : start + step]
                table = np.array(self._against(self._query(self.vectors_[part], np.full(len(part), r), False), self.vectors_[tails]))
                for place, head in enumerate(part.tolist()):
                    table[place, answers[known[head] : known[head + 1]]] = -np.inf
                top = np.argpartition(table.ravel(), -min(k, table.size))[-min(k, table.size) :] if table.size else np.zeros(0, np.int64)
                row, column = np.divmod(top, max(len(tails), 1))
                found = np.stack([part[row], np.full(len(row), r), tails[column]], axis=1)
                facts, scores = np.concatenate([best[0], found]), np.concatenate([best[1], table[row, column]])
                order = np.argsort(-scores, kind="stable")[:k]
                best = facts[order], scores[order]
        return [
            Fact(self.entities_[h], self.relations_[r], self.entities_[t], float(score))
            for (h, r, t), score in zip(best[0].tolist(), best[1], strict=True)
            if score > -np.inf
        ]

    def most_similar(self, entity: Any, k: int = 10) -> list[tuple[str, float]]:
        """The k entities nearest to one, by cosine, itself left out."""
        check_is_fitted(self, "vectors_")
        row = number_of("entity", self.entities_, entity)
        units = unit(self.vectors_)
        cosine = units @ units[row]
        cosine[row] = -np.inf
        best = np.argsort(-cosine, kind="stable")[: min(whole("k", k), len(cosine) - 1)]
        return [(self.entities_[one], float(cosine[one])) for one in best]

    # Rules --------------------------------------------------------------------------------------------------------
    def rules(
        self,
        relation: Any = None,
        top: int = 20,
        *,
        lengths: tuple[int, ...] = (1, 2),
        overlap: float = 0.1,
        compose: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> list[Rule]:
        """The rules that the vectors of relations say, nearest first: for one relation, or of all the `top`.

        EmbedRule of Yang et al., 2014: the cosine of a relation's vector and the product of the body's.

        lengths: of bodies. overlap: bodies must fit: of the smaller of two sets of entities that have to meet (heads and heads, the
        first's tails and the second's heads, tails and tails), at least this share is in both. compose: of two vectors (default: the
        model's). The facts tell confidence and support, which no choice is made by.
        """
        check_is_fitted(self, "vectors_")
        number("overlap", overlap, 0, 1)
        if not lengths or set(lengths) - {1, 2}:
            raise InputError(f"lengths={lengths!r}: wanted 1, 2 or both")
        targets = range(len(self.relations_)) if relation is None else [number_of("relation", self.relations_, relation)]
        found: list[tuple[float, int, Body]] = []
        vectors = self.relation_vectors_
        for r, body in bodies(self.facts_, len(self.entities_), len(self.relations_), list(targets), lengths, overlap):
            first = vectors[body[:, 0]]
            made = first if body.shape[1] == 1 else (compose or self._composed)(first, vectors[body[:, 1]])
            alike = self._alike(made, vectors[r])
            best = np.argsort(-alike, kind="stable")[: whole("top", top)]
            found += [(float(alike[one]), r, tuple(body[one].tolist())) for one in best]
        found = sorted(found, key=lambda one: -one[0])[:top]
        judged = confidence(self.facts_, len(self.entities_), [(r, body) for _, r, body in found])
        return [
            Rule(self.relations_[r], tuple(self.relations_[b] for b in body), alike, sure, support)
            for (alike, r, body), (sure, support) in zip(found, judged, strict=True)
        ]

    # Vectors ------------------------------------------------------------------------------------------------------
    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """float32 [n, dim] of the entities of X, by their names, as learned.

        A new entity has the mean of what its facts with known entities and relations ask for (the queries that it answers), at the mean
        length of the known vectors; without any such fact, zeros.
        """
        check_is_fitted(self, "vectors_")
        triples = triples_of(X)
        place = {name: row for row, name in enumerate(self.entities_)}
        kind = {name: row for row, name in enumerate(self.relations_)}
        rows = np.array([place.get(str(name), -1) for name in triples.entities], dtype=np.int64)
        relations = np.array([kind.get(str(name), -1) for name in triples.relations], dtype=np.int64)
        found = np.where(rows[:, None] >= 0, self.vectors_[np.maximum(rows, 0)], 0).astype(np.float32)
        if (rows < 0).any():
            total = np.zeros_like(found)
            for new, old, heads in ((2, 0, False), (0, 2, True)):
                facts = triples.facts[(rows[triples.facts[:, new]] < 0) & (rows[triples.facts[:, old]] >= 0)]
                facts = facts[relations[facts[:, 1]] >= 0]
                if len(facts):
                    said = self._query(self.vectors_[rows[facts[:, old]]], relations[facts[:, 1]], heads)
                    total += sp.csr_matrix((np.ones(len(facts)), (facts[:, new], np.arange(len(facts)))), (len(found), len(facts))) @ said
            found[rows < 0] = (unit(total) * np.linalg.norm(self.vectors_, axis=1).mean())[rows < 0]
        if out is not None:
            out[:] = found
            found = out
        if progress:
            progress(len(found), len(found))
        return found

    @property
    def _n_features_out(self) -> int:
        return self.vectors_.shape[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def triples_of(X: Any) -> Triples:
    """Facts: Triples, Items of kind "triples", or names or numbers [m, 3]. InputError: anything else."""
    wanted = "wanted facts, names [m, 3] (head, relation, tail)"
    if isinstance(X, np.ndarray | list | tuple) and np.shape(X)[1:] != (3,):
        raise InputError(f"data of the shape {list(np.shape(X))}: {wanted}")
    values = as_graph_items(X, "triples").values
    if not isinstance(values, Triples):
        raise InputError(f"this is a {type(values).__name__}: {wanted}")
    return values


def number_of(what: str, names: Sequence[str], asked: Any) -> int:
    """The number of an entity or relation (`what`), by its name or its number. InputError: there is none."""
    if isinstance(asked, str):
        return place_of({name: row for row, name in enumerate(names)}, asked, what)
    if not 0 <= int(asked) < len(names):
        raise InputError(f"{what} {asked} of {len(names):,}: there is none")
    return int(asked)


def place_of(places: dict[str, int], name: str, what: str) -> int:
    if name not in places:
        raise InputError(f"no {what} is called {name!r}: there are {len(places):,}, {next(iter(places))!r} for one")
    return places[name]


__all__ = ["EntityModel", "Fact", "Rule", "number_of", "triples_of"]
