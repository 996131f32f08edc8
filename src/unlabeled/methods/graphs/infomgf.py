"""InfoMGF: one clean graph from several noisy relations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from unlabeled.data import Items
from unlabeled.data.graphs import Graph, Multiplex
from unlabeled.encoders import Inputs
from unlabeled.encoders.dropped_gcn import DroppedGCN
from unlabeled.encoders.edge_augmenter import EdgeAugmenter
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.graph_learning import Attentive, Joined, Pattern, cosines, most_alike
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import info_nce, negative_cosine, unit
from unlabeled.parts.spectral_start import spectral_start
from unlabeled.views.graphs import GraphView
from unlabeled.views.relations import RelationViews, mean_relation, smoothed

SPECTRAL = 256  # numbers that a node without features gets


@dataclass(kw_only=True, eq=False)
class InfoMGF(Learner):
    """A graph fused from several relations of the same nodes: it keeps what they share and what each alone knows; and vectors of nodes.

    Shen, Wang and Kang, 2024, "Beyond Redundancy: Information-aware Unsupervised Multiplex Graph Structure Learning", arXiv:2409.17386.
    Of each relation a graph is learned, refined: what nodes say, smoothed over the relation, is scaled number by number, and a node is
    joined to its k nearest. The fused graph is learned in the same way from all relations' smoothed features and the features themselves.
    One GCN reads every graph. Vectors of a node in the fused and the refined graphs find each other among other nodes (InfoNCE), those in
    the refined graphs each other (what is shared), and each those of its own relation thinned (what is unique).

    fit and transform take a `data.graphs.Multiplex`, or a Graph, one relation; without features nodes say where they are in the mean of
    the relations, 256 numbers (parts.spectral_start), and act is tanh. Features are scaled by one number, that those not 0 have mean
    square 1. transform gives unit rows, float32 [n, dim]. Learned: `graph_`, a Graph whose weights with loops of 1, normalised, are the
    fused adjacency; `view_weights()`. InputError: another relation, bad values.
    """

    k: int = 15  # neighbours that a node chooses
    hops: int = 2  # how often features are smoothed over a relation
    hidden: int = 128
    dim: int = 64
    dropout: float = 0.5  # of features, hidden numbers, and edges of the learned graphs
    drop_edges: float = 0.5  # of the relations, where they are thinned at random
    augment: str = "random"  # or "learned": thinned by a network that hides what its relation shares with the refined graph
    lr_augment: float = 1e-3
    hide: float = 0.01  # how much that network wants to hide, against keeping the smoothed features readable; DBLP, Yelp: 1
    shared: float = 1.0  # weight of what refined graphs share; 0: left out
    unique: float = 1.0  # weight of what each keeps of its relation
    refine: bool = True  # False: the relations as they are, and their mean instead of the fused graph: there to be compared with
    layers: int = 2  # of a graph learner
    act: str = "relu"  # between them: relu, tanh, or none
    refresh: int = 5  # steps from one search for neighbours to the next; how near they are is new in each
    temperature: float = 0.2
    relations: tuple[str, ...] = ()  # which, by name; (): all that the data have
    lr: float = 1e-2
    weight_decay: float = 0.0
    epochs: int | None = 100
    batch_size: int = 4096  # nodes that are told from each other in a step; its cost is the square of that, beside that of the whole graph
    precision: str = "32-true"  # sparse products are float32 anyway

    def network(self, inputs: Inputs) -> nn.Module:
        one_of("encoder", self.encoder, ("auto", "gcn"))
        return DroppedGCN(inputs.features, (whole("hidden", self.hidden),), whole("dim", self.dim), dropout=self.dropout, last=False)

    def build(self, encoder: Any) -> Net:
        if not hasattr(self, "relations_"):  # a saved model says which
            self.relations_, self.act_ = tuple(self.relations), self.act
        for name in ("k", "hops", "layers", "refresh"):
            whole(name, getattr(self, name), 0 if name == "hops" else 1)
        one_of("augment", self.augment, ("random", "learned"))
        for name in ("dropout", "drop_edges", "shared", "unique", "hide"):
            number(name, getattr(self, name), 0, 0.99 if name.startswith("drop") else np.inf)
        number("temperature", self.temperature, 0, above=True)
        views, d, n = len(self.relations_), self.inputs_.features, self.n_items_
        widths = [d] * views + [d * (views + 1)]
        heads = [nn.ModuleList(mlp(encoder.width, self.dim, self.dim, norm=False) for _ in range(views)) for _ in range(3)]
        net = Net(
            encode=encoder,
            learners=nn.ModuleList(Attentive(width, self.layers, self.act_) for width in widths),
            **dict(zip(("of_refined", "of_thinned", "of_fused"), heads, strict=True)),
        )
        if self.augment == "learned":
            net.augment = EdgeAugmenter(d, self.hidden, encoder.width)
        net.register_buffer("scale", torch.tensor(getattr(self, "scale_", 1.0), dtype=torch.float64))
        net.register_buffer("step", torch.zeros((), dtype=torch.long))
        net.register_buffer("neighbours", torch.zeros(views + 1, n, min(self.k, n - 1), dtype=torch.long))
        net.register_buffer("nearness", torch.zeros(n, min(self.k, n - 1)))
        net.register_buffer("weights", torch.zeros(views + 1))
        return net

    def default_views(self, kind: str) -> Callable[..., list[GraphView]]:
        return RelationViews(drop_edges=self.drop_edges if self.augment == "random" else 0.0)

    def optimizers(self, net: Net) -> dict[str, torch.optim.Optimizer]:
        found = {"loss": self.optimizer_over(net.encode, net.learners, net.of_refined, net.of_thinned, net.of_fused)}
        if self.augment == "learned":
            found["augment"] = torch.optim.AdamW(net.augment.parameters(), lr=self.lr_augment, weight_decay=self.weight_decay)
        return found

    def loss(self, net: Net, batch: Batch) -> dict[str, Any]:
        if self.augment == "random":
            return self._keep(net, batch)
        return {"loss": lambda: self._keep(net, batch), "augment": lambda: self._hide(net, batch)}

    def _keep(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        """The paper's three bounds, as losses."""
        graph, *thinned = batch.views
        refined, fused = self._graphs(net, graph)
        batch.z = [unit(net.encode(one))[batch.index] for one in refined]

        def tell(a: Tensor, b: Tensor) -> Tensor:
            return info_nce(a, b, temperature=self.temperature, symmetric=True)

        s = [head(z) for head, z in zip(net.of_refined, batch.z, strict=True)]
        z = unit(net.encode(fused))[batch.index]
        terms = {"fused": mean([tell(head(z), one) for head, one in zip(net.of_fused, s, strict=True)])}
        if self.shared and len(s) > 1:
            terms["shared"] = self.shared * mean([tell(a, b) for a, b in combinations(s, 2)])
        if self.unique:
            if self.augment == "learned":
                with torch.no_grad():  # what is hidden is no business of this step
                    thinned = [net.augment(view) for view in self._relations(graph)]
            z_thinned = [unit(net.encode(one))[batch.index] for one in thinned or self._relations(graph)]
            u = [head(z) for head, z in zip(net.of_thinned, z_thinned, strict=True)]
            terms["unique"] = self.unique * mean([tell(a, b) for a, b in zip(s, u, strict=True)])
        return terms

    def _hide(self, net: Net, batch: Batch) -> Tensor:
        """The augmenter's turn: a thinned relation says little of its refined graph, but smoothed features can be read from it."""
        says, total = self._says(batch.views[0]), torch.zeros((), device=batch.index.device)
        for view, x, refined in zip(self._relations(batch.views[0]), says, batch.z, strict=False):
            z = unit(net.encode(net.augment(view)))
            similarity = z[batch.index] @ refined.detach().T / self.temperature
            upper = similarity.diagonal().mean() - similarity.mean()  # an upper bound of their mutual information, CLUB's kind
            total = total + self.hide * upper + 1 + negative_cosine(net.augment.decode(z), x)
        return total

    def after_step(self, net: Net, batch: Batch) -> None:
        net.step += 1

    def embed(self, net: Net, x: Any) -> Tensor:
        return unit(net.encode(self._fused(net, x)))

    # The graphs ---------------------------------------------------------------------------------------------------
    def _relations(self, graph: GraphView) -> list[GraphView]:
        return [graph.views[name] for name in self.relations_]  # type: ignore[index]

    def _says(self, graph: GraphView) -> list[Tensor]:
        """What nodes say: [n, features] of each relation, and all of that and the features side by side. Kept with the graph."""
        if "_says" not in graph.__dict__:
            each = [smoothed(view, self.hops) for view in self._relations(graph)]
            # Of unit rows, too: counts of words would outweigh everything smoothed.
            graph.__dict__["_says"] = [*each, torch.cat([*each, unit(graph.x.to_dense())], dim=1)]
            graph.__dict__["_positive"] = bool((graph.x.values() >= 0).all())
        return graph.__dict__["_says"]  # type: ignore[no-any-return]

    def _graphs(self, net: Net, graph: GraphView) -> tuple[list[GraphView], GraphView]:
        """The refined graph of each relation, and the fused one."""
        fused = self._fused(net, graph)
        return [self._learned(net, graph, i)[0] for i in range(len(self.relations_))] if self.refine else self._relations(graph), fused

    def _fused(self, net: Net, graph: GraphView) -> GraphView:
        return self._learned(net, graph, -1)[0] if self.refine else mean_relation(graph)

    def _learned(self, net: Net, graph: GraphView, number: int) -> tuple[Joined, Tensor, Tensor]:
        """The graph of one learner; whom nodes chose, int64 [n, k]; and what they say now."""
        x = self._says(graph)[number]
        says = net.learners[number](x, positive=graph.__dict__["_positive"])
        if not net.training:
            neighbours = most_alike(says, self.k)
            pattern = Pattern.of(neighbours)
        else:
            search, patterns = int(net.step) % self.refresh == 0, graph.__dict__.setdefault("_patterns", {})
            if search:
                net.neighbours[number] = most_alike(says, self.k)
            neighbours = net.neighbours[number]
            if search or number not in patterns:
                patterns[number] = Pattern.of(neighbours)
            pattern = patterns[number]
        weights = cosines(says, pattern).relu() * pattern.share
        drop = self.dropout if net.training else 0.0
        return Joined.of_weights(graph.x, pattern, weights, drop), neighbours, says

    def _finish(self, items: Items) -> None:
        if self.whiten:
            super()._finish(items)
        else:
            self.whitening_ = None
            self._set_width(self.dim)
        if not self.refine:
            return
        with torch.no_grad():
            joined, neighbours, says = self._learned(self.net_, GraphView.of(items.values), -1)
            self.net_.neighbours[-1] = neighbours
            self.net_.nearness.copy_(joined.between(neighbours))
            parts = says.square().sum(dim=0).reshape(len(self.relations_) + 1, -1).sum(dim=1)
            self.net_.weights.copy_(parts / parts.sum())

    @property
    def graph_(self) -> Graph:
        """The fused graph, of the nodes of fit; without features."""
        if not self.refine:
            raise InputError("refine=False learns no graph")
        near = self.net_.nearness.numpy()
        own, place = np.nonzero(near)
        pairs = np.sort(np.stack([own, self.net_.neighbours[-1].numpy()[own, place]], axis=1), axis=1)
        pairs, first = np.unique(pairs, axis=0, return_index=True)
        return Graph.of(pairs, len(near), near[own, place][first])

    def view_weights(self) -> dict[str, float]:
        """How much of what the fused graph's similarities are made of comes from each relation and from the features; adds up to 1."""
        return dict(zip([*self.relations_, "features"], self.net_.weights.tolist(), strict=True))

    # What comes in ------------------------------------------------------------------------------------------------
    def _items(self, X: Any, *, reset: bool) -> Items:
        items = super()._items(X, reset=reset)
        values = items.values
        if isinstance(values, Graph):
            values = Multiplex({"edges": replace(values, features=None)}, values.features)
        if not isinstance(values, Multiplex):
            raise InputError(f"{type(self).__name__} reads graphs of one or more relations, this is a {type(values).__name__}")
        if reset:
            self.relations_ = tuple(self.relations) or tuple(values.views)
            self.act_ = self.act if values.features is not None else "tanh"  # relu would see half of signed numbers only
        missing = [name for name in self.relations_ if name not in values.views]
        if missing:
            raise InputError(f"no relation is called {missing[0]!r}: there are {', '.join(values.views)}")
        values = Multiplex({name: values.views[name] for name in self.relations_}, values.features)
        if values.features is None:
            values = Multiplex(values.views, sp.csr_matrix(spectral_start(list(values.views.values()), SPECTRAL)))
        x: sp.csr_matrix = values.features
        if not reset and x.shape[1] != self.inputs_.features:
            raise InputError(f"nodes say {x.shape[1]:,} numbers each, this {type(self).__name__} was fitted on {self.inputs_.features:,}")
        if reset:  # words that are there count 1: rows divided by their sums would hardly move the network in a hundred steps
            self.scale_ = float(np.square(x.data.astype(np.float64)).mean() ** -0.5) if np.any(x.data) else 1.0
        values = Multiplex(values.views, x * np.float32(self.scale_ if reset else float(self.net_.scale)))
        return Items("graph", values, items.ids, items.columns, source=items.source)

    def description(self) -> dict[str, Any]:
        found = super().description()
        return found | {"parameters": found["parameters"] | {"relations": list(self.relations_), "act": self.act_}}


def mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()
