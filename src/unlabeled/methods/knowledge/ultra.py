"""ULTRA: one model for all knowledge graphs; what it learns from some holds for others, of other entities and relations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from unlabeled.data.graphs import Triples
from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.methods.knowledge.entity_model import number_of, triples_of
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.nbf import MEETINGS, EntityPredictor, FactGraph, RelationEncoder, relation_graph, with_inverses
from unlabeled.saving import described, read_config, write_json, write_tensors

ENCODERS = ("graph", "ones", "random")


class Prepared(NamedTuple):
    """A knowledge graph as the model reads it."""

    triples: Triples
    graph: FactGraph
    relations: torch.Tensor
    random: torch.Tensor  # [2 R, dim], for relation_encoder="random" alone
    answers: dict[tuple[int, int], np.ndarray]  # (head, relation, inverses too) -> tails


@dataclass(kw_only=True, eq=False)
class Ultra(BaseEstimator):
    """Trained on some knowledge graphs, it predicts the missing facts of any other, without training on it.

    Galkin, Yuan, Mostafa, Tang and Zhu, 2023, "Towards Foundation Models for Knowledge Graph Reasoning", arXiv:2310.04562. Relations are
    told apart by which others they share entities with: a network on the graph of relations gives their vectors relative to the one
    asked for, a second one on the facts sends these from the query's entity to all others. The head of a fact is asked for by the
    inverse relation. A batch's own facts are no edges while it is learned from. For small graphs and one processor: the paper's model
    has dim 64 and 6 layers, and 400,000 steps; a fact's negatives are drawn from what isn't known. InputError: bad values, no facts.

        model = Ultra().fit([facts, others])                 # each names [m, 3], or a Triples
        model.predict(facts_of_mine, "steam engine", "invented by")
        model.finetune(facts_of_mine)
    """

    dim: int = 32
    layers: int = 4  # of either network
    relation_encoder: str = "graph"  # "ones": all relations are alike; "random": vectors that say nothing
    meetings: tuple[str, ...] = MEETINGS  # edges of the graph of relations: heads with heads, ..., see parts.nbf
    steps: int = 4000
    batch_size: int = 4  # queries, all of one graph, which is drawn by its number of facts
    negatives: int = 64
    temperature: float = 1.0  # negatives weigh softmax(score / temperature)
    lr: float = 5e-3  # AdamW's; falls to 0 along half a cosine
    seed: int = 0

    def fit(self, X: Any, y: Any = None, progress: Callable[[int, int], None] | None = None, **ignored: Any) -> Self:
        """Learn from one knowledge graph, or from a list of them."""
        self._check()
        many = isinstance(X, list | tuple) and len(X) > 0 and (isinstance(X[0], Triples) or np.ndim(X[0]) == 2)
        torch.manual_seed(self.seed)
        self.net_ = nn.ModuleDict(
            {"relations": RelationEncoder(self.dim, self.layers, len(self.meetings)), "entities": EntityPredictor(self.dim, self.layers)}
        )
        self.inputs_ = Inputs("triples")
        self.loss_curve_: list[float] = []
        if self.steps:
            self._train([self.prepared(one) for one in (X if many else [X])], self.steps, self.lr, progress)
        return self

    def finetune(self, X: Any, steps: int = 200, lr: float | None = None) -> Self:
        """Go on learning, from one knowledge graph."""
        check_is_fitted(self, "net_")
        torch.manual_seed(self.seed)
        self._train([self.prepared(X)], whole("steps", steps), self.lr / 4 if lr is None else number("lr", lr, 0, above=True), None)
        return self

    def prepared(self, X: Any) -> Prepared:
        """A knowledge graph, ready to be asked: what takes time is done once."""
        triples = triples_of(X)
        n, relations = len(triples), len(triples.relations)
        edges = with_inverses(triples.facts, relations)
        order = np.lexsort((edges[:, 2], edges[:, 1], edges[:, 0]))
        edges = edges[order]
        cuts = np.flatnonzero((np.diff(edges[:, :2], axis=0) != 0).any(axis=1)) + 1
        first = np.concatenate([[0], cuts])
        answers = {(int(h), int(r)): part for (h, r), part in zip(edges[first, :2], np.split(edges[:, 2], cuts), strict=True)}
        noise = torch.randn(2 * relations, self.dim, generator=torch.Generator().manual_seed(self.seed))
        return Prepared(
            triples, FactGraph.of(triples.facts, n, relations), relation_graph(triples.facts, n, relations, self.meetings), noise, answers
        )

    # Answers ------------------------------------------------------------------------------------------------------
    def ranker(self, X: Any) -> Callable[[np.ndarray, bool], np.ndarray]:
        """What `filtered_ranks` asks: scores of all entities of X in place of the tail, or the head, of facts int [m, 3] of its numbers."""
        check_is_fitted(self, "net_")
        known = X if isinstance(X, Prepared) else self.prepared(X)
        everything = torch.ones(len(known.graph.sources))

        def scores(facts: np.ndarray, heads: bool = False) -> np.ndarray:
            facts = np.asarray(facts, dtype=np.int64)
            asked = with_inverses(facts, known.graph.relations)[len(facts) :] if heads else facts
            with torch.no_grad():
                parts = [self._forward(known, part, everything) for part in torch.from_numpy(asked).split(self.batch_size)]
            return torch.cat(parts).numpy() if parts else np.zeros((0, known.graph.n), np.float32)

        return scores

    def predict(self, X: Any, head: Any = None, relation: Any = None, k: int = 10, *, tail: Any = None) -> list[tuple[str, float]]:
        """The k likeliest answers to (head, relation, ?) or (?, relation, tail) that aren't among the facts of X: (entity, score).

        X: any knowledge graph, or what `prepared` made of it. Names or numbers. InputError: unknown ones, head and tail both or neither.
        """
        check_is_fitted(self, "net_")
        if relation is None or (head is None) == (tail is None):
            raise InputError("wanted a relation and either a head or a tail, whichever the answer is not")
        known = X if isinstance(X, Prepared) else self.prepared(X)
        names = [str(name) for name in known.triples.entities]
        heads, asked = (True, tail) if head is None else (False, head)
        entity = number_of("entity", names, asked)
        r = number_of("relation", [str(name) for name in known.triples.relations], relation)
        scores = self.ranker(known)(np.array([[entity, r, entity]]), heads)[0].astype(np.float64)
        scores[known.answers.get((entity, r + heads * known.graph.relations), np.zeros(0, np.int64))] = -np.inf
        best = np.argsort(-scores, kind="stable")[: whole("k", k)]
        return [(names[one], float(scores[one])) for one in best if scores[one] > -np.inf]

    def _forward(self, known: Prepared, queries: torch.Tensor, weight: torch.Tensor, answers: torch.Tensor | None = None) -> torch.Tensor:
        """queries: long [b, 3], of which the tails are not looked at."""
        heads, asked = queries[:, 0], queries[:, 1]
        if self.relation_encoder == "graph":
            different, place = torch.unique(asked, return_inverse=True)  # a relation's vectors are the same for all queries that ask for it
            relations = self.net_["relations"](known.relations, different)[place]
        else:
            fixed = known.random if self.relation_encoder == "random" else torch.ones_like(known.random)
            relations = fixed.expand(len(asked), -1, -1)
        return self.net_["entities"](known.graph, weight, relations, asked, heads, answers)  # type: ignore[no-any-return]

    # Training -----------------------------------------------------------------------------------------------------
    def _train(self, graphs: list[Prepared], steps: int, lr: float, progress: Callable[[int, int], None] | None) -> None:
        rng = np.random.default_rng(self.seed)
        optimizer: Any = torch.optim.AdamW(self.net_.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        share = np.array([known.triples.n_edges for known in graphs], dtype=np.float64)
        for step in range(steps):
            known = graphs[rng.choice(len(graphs), p=share / share.sum())]
            facts = known.triples.facts[rng.choice(known.triples.n_edges, min(self.batch_size, known.triples.n_edges), replace=False)]
            loss = self._loss(known, facts.astype(np.int64), rng)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            self.loss_curve_.append(float(loss.detach()))
            if not np.isfinite(self.loss_curve_[-1]):
                raise InputError(f"training ran away in step {step + 1} with lr={lr}: lower lr")
            if progress:
                progress(step + 1, steps)

    def _loss(self, known: Prepared, facts: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        # Half of the facts are asked for their heads. None of them may be an edge now, or the answer would be one step away.
        both = with_inverses(facts, known.graph.relations)
        queries = both[np.arange(len(facts)) + len(facts) * (np.arange(len(facts)) % 2)]
        keys = rng.random((len(queries), known.graph.n), dtype=np.float32)
        for row, (head, relation, _) in enumerate(queries.tolist()):
            keys[row, known.answers[head, relation]] = -1
        drawn = torch.from_numpy(keys).topk(min(self.negatives, known.graph.n))
        asked = torch.from_numpy(queries)
        answers = torch.cat([asked[:, 2:], drawn.indices], dim=1)
        scores = self._forward(known, asked, known.graph.without(facts), answers)
        right, wrong = scores[:, 0], scores[:, 1:].masked_fill(drawn.values < 0, -torch.inf)  # where nearly all are answers
        p = torch.softmax(wrong.detach() / self.temperature, dim=1).nan_to_num()
        missed = nn.functional.softplus(wrong.masked_fill(drawn.values < 0, 0))
        return (nn.functional.softplus(-right) + (p * missed).sum(dim=1)).mean() / 2

    def _check(self) -> None:
        for name, least in (("dim", 1), ("layers", 1), ("steps", 0), ("batch_size", 1), ("negatives", 1)):
            whole(name, getattr(self, name), least)
        for name in ("lr", "temperature"):
            number(name, getattr(self, name), 0, above=True)
        one_of("relation_encoder", self.relation_encoder, ENCODERS)
        if not self.meetings or set(self.meetings) - set(MEETINGS):
            raise InputError(f"meetings={self.meetings!r}: wanted some of {', '.join(MEETINGS)}")

    # Files --------------------------------------------------------------------------------------------------------
    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write config.json and model.safetensors, a checkpoint that knows no graph."""
        check_is_fitted(self, "net_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / "model.safetensors", dict(self.net_.state_dict()))
        write_json(folder / "config.json", described(self) | {"loss_curve": self.loss_curve_[-1000:]} | more)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save` wrote."""
        from safetensors.torch import load_file

        config = read_config(folder)
        parameters = config["parameters"]
        parameters["meetings"] = tuple(parameters["meetings"])
        model = cls(**parameters | {"steps": 0}).fit(None)
        model.steps, model.loss_curve_ = parameters["steps"], config["loss_curve"]
        model.net_.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        return model
