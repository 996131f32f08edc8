"""HypeBoy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.encoders import Inputs
from unlabeled.encoders.graphs import UniGCNII, hyper_spread, product
from unlabeled.encoders.sparse_cosine import decoded_cosine
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.checks import number, whole
from unlabeled.parts.graph_contrast import find_among
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import unit
from unlabeled.views.graphs import GraphView, GraphViews


@dataclass(kw_only=True, eq=False)
class HypeBoy(Learner):
    """Vectors of nodes that fill groups: who is missing is found, among all nodes, by the sum of those who are there.

    Kim et al., 2024, "HypeBoy: Generative Self-Supervised Representation Learning on Hypergraphs", arXiv:2404.00638. fit takes a
    `data.graphs.Hypergraph`; transform gives float32 [nodes, dim]. First, for a share of the epochs, features of masked nodes are
    reconstructed; then groups are filled. The authors search drop_edges from 0.5 to 0.9.
    """

    dim: int = 128
    layers: int = 2
    reconstruct: float = 0.6  # share of the epochs before groups are filled; the paper's 300 of 500
    mask_nodes: float = 0.5  # then: share of the nodes whose features are hidden,
    drop_first: float = 0.2  # and of the groups that are left out
    mask_features: float = 0.5  # when filling: share of the features that are 0, entry by entry,
    drop_edges: float = 0.9  # and of the groups that the network doesn't see
    heads: bool = True  # nodes and sets are compared behind heads of their own, which are left off afterwards
    examples: int = 500_000  # on Cora about the paper's 500 steps, of fewer nodes each
    batch_size: int = 1024  # nodes that are missing in a step, each from all its groups; the network sees the whole graph
    lr: float = 1e-3
    weight_decay: float = 1e-6
    precision: str = "32-true"

    def network(self, inputs: Inputs) -> nn.Module:
        if self.encoder not in ("auto", "unigcnii"):
            return super().network(inputs)
        return UniGCNII(inputs.features, whole("dim", self.dim), whole("layers", self.layers))

    def default_views(self, kind: str) -> Any:
        views = GraphViews(drop_edges=(self.drop_first, self.drop_edges), mask_features=(0.0, self.mask_features), mode="entry")
        return lambda graph, generator: [*views(graph, generator), graph]

    def build(self, encoder: nn.Module) -> Net:
        number("reconstruct", self.reconstruct, 0, 1)
        number("mask_nodes", self.mask_nodes, 0, 1, above=True)
        if not hasattr(encoder, "convolve"):
            raise InputError('HypeBoy masks nodes behind the network\'s first layer: wanted encoder="auto", or a module like UniGCNII')
        d = encoder.width
        heads = {name: mlp(d, d, d, norm=False) if self.heads else nn.Identity() for name in ("node", "group")}
        net = Net(encode=encoder, decode=nn.Linear(d, encoder.features, bias=False), **heads)
        net.hidden_input, net.hidden_code = nn.Parameter(torch.zeros(d)), nn.Parameter(torch.zeros(d))
        net.register_buffer("step", torch.zeros((), dtype=torch.int64))
        return net

    def optimizers(self, net: Net) -> dict[str, torch.optim.Optimizer]:
        return {"loss": self.optimizer_over(constant=(net,))}  # one rate throughout, as both of the paper's stages have

    def loss(self, net: Net, batch: Batch) -> Tensor:
        thinned, masked, graph = batch.views
        return self._reconstruct(net, thinned) if net.step < self.reconstruct * self.steps_ else self._fill(net, masked, graph, batch.index)

    def after_step(self, net: Net, batch: Batch) -> None:
        net.step += 1

    def _reconstruct(self, net: Net, graph: GraphView) -> Tensor:
        """Mean of 1 - cosine of what hidden nodes say and what is decoded from their groups."""
        hidden = torch.rand(len(graph), 1, device=graph.pairs.device) < self.mask_nodes
        # The mask stands for the first layer's output, not its input: the same function, without a dense row of features.
        said = torch.relu(torch.where(hidden, net.hidden_input, net.encode.first(graph.x)))
        code = torch.where(hidden, net.hidden_code, net.encode.convolve(graph, said))
        cosine, there = decoded_cosine(graph.x, hyper_spread(graph, code), net.decode.weight)
        counted = hidden[:, 0] & there
        return ((1 - cosine) * counted).sum() / counted.sum().clamp(min=1)

    def _fill(self, net: Net, seen: GraphView, graph: GraphView, index: Tensor) -> Tensor:
        """Each of the batch's nodes is looked for by the others of each group of the whole graph that it is in; nats."""
        z = net.encode(seen)
        group, node = graph.pairs
        asked = torch.zeros(len(graph), dtype=torch.bool, device=node.device)
        asked[index] = True
        asked = asked[node] & (torch.bincount(group, minlength=graph.groups or 0)[group] > 1)
        group, node = group[asked], node[asked]
        if not len(node):
            return z.sum() * 0
        others = product(graph.incidence, z)[group] - z[node]
        return find_among(unit(net.group(others)), unit(net.node(z)), node)

    def fill(self, graph: Any, sets: Sequence[Any], k: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """The k nodes that best complete each set of nodes, int64 [sets, k], none of them in it, and their cosines; best first.

        graph: the hypergraph that they are nodes of. InputError: an empty set, numbers that are no nodes.
        """
        nodes, z, lists = self._known(graph, sets, 1)
        scores = np.stack([self._groups(z[one].sum(axis=0)) @ nodes.T for one in lists]) if lists else np.zeros((0, len(z)), np.float32)
        for row, one in zip(scores, lists, strict=True):
            row[one] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, : whole("k", k)]
        return best, np.take_along_axis(scores, best, axis=1)

    def score_sets(self, graph: Any, sets: Sequence[Any]) -> np.ndarray:
        """How well the nodes of each set go together, float32 [sets] in [-1, 1]: the mean cosine of each with what the others ask for.

        graph: the hypergraph that they are nodes of. InputError: a set of fewer than two, numbers that are no nodes.
        """
        nodes, z, lists = self._known(graph, sets, 2)
        return np.array([(self._groups(z[one].sum(axis=0) - z[one]) * nodes[one]).sum(axis=1).mean() for one in lists], dtype=np.float32)

    def _known(self, graph: Any, sets: Sequence[Any], low: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Unit vectors of nodes behind their head, vectors before it, and the sets as arrays."""
        z = self._embed(self._items(graph, reset=False))
        lists = [np.unique(np.asarray(one, dtype=np.int64)) for one in sets]
        for one in lists:
            if len(one) < low or not 0 <= one.min() <= one.max() < len(z):
                raise InputError(f"a set is {one.tolist()[:5]}: wanted {low} or more different nodes from 0 to {len(z) - 1}")
        with torch.inference_mode():
            return unit(self.net_.node(torch.from_numpy(z))).numpy(), z, lists

    def _groups(self, sums: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return unit(self.net_.group(torch.from_numpy(sums))).numpy()
