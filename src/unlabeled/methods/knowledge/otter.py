"""Otter-Knowledge: things that carry data (a molecule, a sequence, a text), and facts about them, as one graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.data.multimodal import MultimodalKG
from unlabeled.encoders import Inputs
from unlabeled.encoders.rgcn import RGCNLayer, relation_matrix
from unlabeled.errors import InputError
from unlabeled.learner import Net
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.corrupted_facts import Corruption
from unlabeled.saving import described, read_config, write_json, write_tensors

SCORES = ("distmult", "transe", "classifier")


@dataclass(kw_only=True, eq=False)
class Otter(BaseEstimator):
    """Vectors of entities from the data they carry, such that facts can be told from them; new entities need no facts.

    Lam, Sbodio, Martinez Galindo and others, 2023, "Otter-Knowledge: benchmarks of multimodal knowledge graph representation learning
    from different sources for drug discovery", arXiv:2306.12802. What an entity carries is a node of its own: its vector, projected by
    its modality, reaches the entity over an edge; entities themselves start from zeros, so nothing is learned of one by heart. Two
    R-GCN layers or more; a score tells facts from corrupted ones by BCE. In each step a part of the entities (`alone`, drawn anew;
    ours, the paper doesn't say) has no neighbours but what it carries, as a new one will; scored are `sampled` of their facts.

    fit takes a `MultimodalKG`; encode({modality: vectors [n, d]}) gives float32 [n, dim] of new entities, rows of NaN for what one
    doesn't carry; transform(kg) those of a graph's entities with their facts. Learned: `entities_`, `vectors_` (of the fitted graph's).
    InputError: bad values, unknown modalities or relations.
    """

    score: str = "distmult"  # or "transe", "classifier" (of the two vectors side by side)
    dim: int = 64
    hidden: int = 64
    layers: int = 2
    bases: int = 4  # matrices that the relations' are mixed of; 0: each relation has its own
    negatives: int = 2  # corrupted triples a fact
    alone: float = 0.5  # share of the entities without neighbours in a step
    steps: int = 200
    sampled: int = 8192
    lr: float = 5e-3
    margin: float = 6.0  # of TransE: what a distance is taken from
    seed: int = 0

    def fit(self, kg: MultimodalKG, y: Any = None) -> Self:
        self._check(kg)
        self.entities_, self.relations_ = list(kg.triples.entities), list(kg.triples.relations)
        carried = kg.carried()
        self.widths_ = {name: int(vectors.shape[1]) for name, (_, vectors) in carried.items()}
        facts, rng = kg.triples.facts.astype(np.int64), np.random.default_rng(self.seed)
        corrupt = Corruption(facts, len(self.entities_), len(self.relations_))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self._build()
            for (_, vectors), project in zip(carried.values(), net.project, strict=True):
                project.level(torch.from_numpy(vectors))
            optimizer = torch.optim.Adam(net.parameters(), lr=self.lr)
            falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
            self.loss_curve_: list[float] = []
            for _ in range(self.steps):
                lonely = rng.permutation(len(self.entities_)) < max(1, self.alone * len(self.entities_))
                asked = lonely[facts[:, [0, 2]]].any(axis=1)  # what is heard isn't asked: it would be told by itself
                asked = asked if asked.any() else ~asked
                z = self._propagate(net, facts[~asked], carried, len(self.entities_))
                true = facts[rng.choice(np.flatnonzero(asked), min(self.sampled, int(asked.sum())), replace=False)]
                shown = np.concatenate([true, corrupt(np.repeat(true, self.negatives, axis=0), rng)])
                logits = self._score(net, z, torch.from_numpy(shown))
                right = torch.arange(len(shown)) < len(true)
                each = nn.functional.binary_cross_entropy_with_logits(logits, right.float(), reduction="none")
                loss = each[right].mean() + each[~right].mean() if len(shown) > len(true) else each.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                falling.step()
                self.loss_curve_.append(float(loss.detach()))
        self.net_, self.inputs_ = net.eval(), Inputs("triples")
        self.vectors_ = self.transform(kg)
        return self

    @torch.no_grad()
    def transform(self, kg: MultimodalKG) -> np.ndarray:
        """float32 [entities, dim] of a graph's entities, with what its facts say; entities may be new."""
        check_is_fitted(self, "net_")
        place = {name: i for i, name in enumerate(self.relations_)}
        if strange := next((name for name in kg.triples.relations if name not in place), None):
            raise InputError(f"relation {strange!r} isn't one of {', '.join(self.relations_[:9])}")
        facts = kg.triples.facts.astype(np.int64)
        facts[:, 1] = np.array([place[name] for name in kg.triples.relations])[facts[:, 1]]
        return self._propagate(self.net_, facts, self._known(kg.carried()), len(kg.triples)).numpy()

    @torch.no_grad()
    def encode(self, new: Mapping[str, Any]) -> np.ndarray:
        """float32 [n, dim] of entities that there are no facts of. new: {modality: vectors [n, d]}, NaN where one doesn't carry it."""
        check_is_fitted(self, "net_")
        tables = {name: np.asarray(vectors, np.float32) for name, vectors in new.items()}
        sizes = {table.shape[0] if table.ndim == 2 else -1 for table in tables.values()}
        if len(sizes) != 1 or -1 in sizes:
            shapes = {name: list(table.shape) for name, table in tables.items()}
            raise InputError(f"vectors of the shapes {shapes}: wanted [n, d] of each modality, the same n")
        there = {name: np.flatnonzero(np.isfinite(table).all(axis=1)) for name, table in tables.items()}
        carried = self._known({name: (there[name], table[there[name]]) for name, table in tables.items()})
        return self._propagate(self.net_, np.zeros((0, 3), np.int64), carried, sizes.pop()).numpy()

    @torch.no_grad()
    def score_facts(self, facts: np.ndarray, vectors: np.ndarray | None = None) -> np.ndarray:
        """The logit that each fact int [m, 3] is true, float32 [m]; entities by their rows in `vectors` (those of the fitted graph)."""
        check_is_fitted(self, "net_")
        z = torch.from_numpy(self.vectors_ if vectors is None else vectors)
        return self._score(self.net_, z, torch.from_numpy(np.asarray(facts, np.int64))).numpy()

    # Within -------------------------------------------------------------------------------------------------------
    def _build(self) -> Net:
        sizes = [self.hidden] * self.layers + [self.dim]
        edges = 2 * len(self.relations_) + len(self.widths_)  # both directions of each relation, and what is carried
        project = nn.ModuleList(_Projection(width, self.hidden) for width in self.widths_.values())
        layers = nn.ModuleList(RGCNLayer(a, b, edges, self.bases) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        relations = nn.Embedding(len(self.relations_), self.dim)
        nn.init.normal_(relations.weight, 0 if self.score == "transe" else 1, 0.1)
        head = nn.Sequential(nn.Linear(2 * self.dim, self.dim), nn.ReLU(), nn.Linear(self.dim, len(self.relations_)))
        return Net(project=project, layers=layers, relations=relations, **({"head": head} if self.score == "classifier" else {}))

    def _propagate(self, net: Net, facts: np.ndarray, carried: dict[str, tuple[np.ndarray, np.ndarray]], n: int) -> Tensor:
        """Vectors of n entities. The nodes are they and, behind them, one for each thing that is carried."""
        relations = len(self.relations_)
        edges, h, total = [facts, facts[:, ::-1] + [0, relations, 0]], [torch.zeros(n, self.hidden)], n
        for kind, (name, project) in enumerate(zip(self.widths_, net.project, strict=True)):
            rows, vectors = carried.get(name, (np.zeros(0, np.int64), np.zeros((0, self.widths_[name]), np.float32)))
            source = total + np.arange(len(rows))
            edges.append(np.stack([source, np.full(len(rows), 2 * relations + kind), rows], axis=1))
            h.append(project(torch.from_numpy(vectors)))
            total += len(rows)
        matrix = relation_matrix(np.concatenate(edges), total, 2 * relations + len(self.widths_))
        z = torch.cat(h)
        for i, layer in enumerate(net.layers):
            z = layer(torch.relu(z) if i else z, matrix)
        return z[:n]

    def _score(self, net: Net, z: Tensor, facts: Tensor) -> Tensor:
        head, tail, relation = z[facts[:, 0]], z[facts[:, 2]], facts[:, 1]
        if self.score == "classifier":
            return net.head(torch.cat([head, tail], dim=1)).gather(1, relation[:, None])[:, 0]
        r = net.relations(relation)
        if self.score == "transe":
            return self.margin - (head + r - tail).abs().sum(dim=1)
        return (head * r * tail).sum(dim=1)

    def _known(self, carried: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        for name, (_, vectors) in carried.items():
            if self.widths_.get(name) != vectors.shape[1]:
                known = ", ".join(f"{one} ({width})" for one, width in self.widths_.items())
                raise InputError(f"modality {name!r} of {vectors.shape[1]} numbers: known are {known}")
        return carried

    def _check(self, kg: MultimodalKG) -> None:
        if not isinstance(kg, MultimodalKG) or not kg.modalities:
            raise InputError(f"Otter got a {type(kg).__name__}: wanted a MultimodalKG(triples, modalities) whose entities carry something")
        one_of("score", self.score, SCORES)
        for name, low in (("dim", 1), ("hidden", 1), ("layers", 1), ("bases", 0), ("negatives", 1), ("steps", 1), ("sampled", 1)):
            whole(name, getattr(self, name), low)
        number("alone", self.alone, 0, 1)
        number("lr", self.lr, 0, above=True)
        number("margin", self.margin, 0, above=True)

    # Files --------------------------------------------------------------------------------------------------------
    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write config.json, model.safetensors and names.json to a folder."""
        check_is_fitted(self, "net_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {f"net/{name}": value for name, value in self.net_.state_dict().items()}
        write_tensors(folder / "model.safetensors", weights | {"vectors": torch.from_numpy(self.vectors_)})
        write_json(folder / "names.json", {"entities": self.entities_, "relations": self.relations_, "widths": self.widths_})
        write_json(folder / "config.json", self.description() | more)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save` wrote."""
        from safetensors.torch import load_file

        config, names = read_config(folder), json.loads((Path(folder) / "names.json").read_text(encoding="utf-8"))
        model = cls(**config["parameters"])
        model.entities_, model.relations_, model.widths_ = names["entities"], names["relations"], names["widths"]
        tensors = load_file(Path(folder) / "model.safetensors")
        model.inputs_, model.loss_curve_, model.vectors_ = Inputs("triples"), config["loss_curve"], tensors.pop("vectors").numpy()
        with torch.random.fork_rng(devices=[]):
            model.net_ = model._build().eval()
        model.net_.load_state_dict({name.removeprefix("net/"): value for name, value in tensors.items()})
        return model

    def description(self) -> dict[str, Any]:
        """Class, parameters and inputs: what config.json says of the model."""
        return described(self) | {"encoder": None, "loss_curve": self.loss_curve_}


class _Projection(nn.Module):
    """A modality's vectors, brought to mean 0 and mean square 1 as they were in the fit, in the size that all share."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.linear = nn.Linear(width, hidden)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    def level(self, vectors: Tensor) -> None:
        self.mean.copy_(vectors.mean(dim=0))
        self.scale.copy_((vectors - self.mean).square().mean().sqrt().clamp(min=1e-6))

    def forward(self, vectors: Tensor) -> Tensor:
        return torch.relu(self.linear((vectors - self.mean) / self.scale))


__all__ = ["MultimodalKG", "Otter"]
