"""VGAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.data.graphs import Graph
from unlabeled.encoders import Inputs
from unlabeled.encoders.graphs import GCN, spread
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.best_pairs import best_pairs, checked_pairs
from unlabeled.parts.checks import whole
from unlabeled.parts.inner_product import link_loss
from unlabeled.views.graphs import GraphView


@dataclass(kw_only=True, eq=False)
class VGAE(Learner):
    """Vectors of nodes whose products say which are joined: a graph network gives each node a Gaussian, edges are decoded from draws of it.

    Kipf and Welling, 2016, "Variational Graph Auto-Encoders", arXiv:1611.07308; with variational=False their GAE. fit takes an undirected
    graph with or without features (without, each node is told apart by its number); transform gives the means, float32 [nodes, dim].
    Hide what you want to predict before you fit (parts.links.link_split): the network reads the edges that it is given. Features are taken
    as they come, as in the authors' code: bags of words as zeros and ones learn far faster than rows that add up to one.
    """

    hidden: int = 32
    dim: int = 16
    variational: bool = True
    dense: int = 5000  # graphs of at most so many nodes are decoded whole, larger ones by the edges of a batch's nodes
    negatives: int = 3  # then: pairs drawn for each edge
    examples: int = 1_000_000  # 200 epochs, the paper's, of up to 5,000 nodes; larger graphs get about as many steps, not epochs
    batch_size: int = 5000
    lr: float = 0.01
    weight_decay: float = 0.0
    precision: str = "32-true"

    def network(self, inputs: Inputs) -> nn.Module:
        hidden = whole("hidden", self.hidden)
        return GCN(inputs.features, (), hidden) if self.encoder == "auto" else super().network(inputs)

    def default_views(self, kind: str) -> Any:
        return _itself

    def build(self, encoder: nn.Module) -> Net:
        whole("negatives", self.negatives)
        heads = {name: nn.Linear(encoder.width, whole("dim", self.dim), bias=False) for name in ("mean", "log_deviation")}
        for head in heads.values():
            nn.init.xavier_uniform_(head.weight)
        return Net(encode=encoder, **heads if self.variational else {"mean": heads["mean"]})

    def embed(self, net: Net, x: Any) -> Tensor:
        return spread(x.adjacency, net.mean(net.encode(x)))

    def loss(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        graph = batch.views[0]
        h, n = net.encode(graph), len(graph)
        z = mean = spread(graph.adjacency, net.mean(h))
        terms = {}
        if self.variational:
            log_deviation = spread(graph.adjacency, net.log_deviation(h))
            z = mean + log_deviation.exp() * torch.randn_like(mean)
            divergence = 0.5 * (mean.square() + (2 * log_deviation).exp() - 1 - 2 * log_deviation).sum(dim=1).mean()
            terms["divergence"] = divergence / n  # divided by n once more, as the authors' code does: so it hardly weighs
        nodes = torch.arange(n, device=z.device)
        if n <= self.dense and len(batch.index) == n:
            return terms | {"links": link_loss(z, torch.cat([graph.pairs, torch.stack([nodes, nodes])], dim=1))}
        anchor = torch.zeros(n, dtype=torch.bool, device=z.device)
        anchor[batch.index] = True
        joined = torch.cat([graph.pairs[:, anchor[graph.pairs[0]]], torch.stack([batch.index, batch.index])], dim=1)
        # Of a large graph hardly any drawn pair is an edge; those that are weigh as little as they are few.
        drawn = torch.stack([joined[0].repeat(self.negatives), torch.randint(n, (self.negatives * joined.shape[1],), device=z.device)])
        return terms | {"links": link_loss(z, joined, drawn)}

    def score_edges(self, graph: Any, pairs: Any) -> np.ndarray:
        """Products of the means of pairs int [m, 2] of a graph's nodes, float32 [m]: the higher, the more likely they are joined."""
        items = self._items(graph, reset=False)
        pairs, means = checked_pairs(pairs, len(items)), self._embed(items)
        return (means[pairs[:, 0]] * means[pairs[:, 1]]).sum(axis=1)

    def missing_links(self, graph: Any, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The k pairs that aren't edges of the graph and are most likely joined, int64 [k, 2], and their scores, both best first."""
        items = self._items(graph, reset=False)
        if not isinstance(items.values, Graph):
            raise InputError(f"links are missing from graphs, this is a {type(items.values).__name__}")
        return best_pairs(self._embed(items), items.values.undirected(), whole("k", k))


def _itself(graph: GraphView, generator: torch.Generator) -> list[GraphView]:
    """One view: the graph as it is."""
    return [graph]
