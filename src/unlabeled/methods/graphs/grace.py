"""GRACE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from unlabeled.encoders import Inputs
from unlabeled.encoders.graphs import GCN
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.checks import number, whole
from unlabeled.parts.graph_contrast import node_contrast
from unlabeled.views.graphs import GraphViews


@dataclass(kw_only=True, eq=False)
class GRACE(Learner):
    """Two views of a graph, with edges left out and features masked: each node finds itself in the other view, among all nodes of both.

    Zhu et al., 2020, "Deep Graph Contrastive Representation Learning", arXiv:2006.04131. fit takes a graph with or without features (a
    hypergraph, too, with encoder="unigcnii"); transform gives float32 [nodes, dim] of that graph or of another with the same features. The
    defaults are the paper's for Cora, but for steps of a batch of nodes and twice the rate; its own for CiteSeer: drop_edges=(0.2, 0.0),
    mask_features=(0.3, 0.2), temperature=0.9, dim=256, act="prelu".
    """

    dim: int = 128  # width of the vectors; the layer before it is twice as wide
    projection: int | None = 128  # width of the head that is left off afterwards; None: no head, the vectors themselves are compared
    drop_edges: tuple[float, float] = (0.2, 0.4)  # share of the edges that each view lacks
    mask_features: tuple[float, float] = (0.3, 0.4)  # share of the features that are 0 in each view, the same for all its nodes
    temperature: float = 0.4
    intra: bool = True  # a node's negatives are those of its own view, too
    act: str = "relu"
    examples: int = 400_000  # about the paper's 200 steps on Cora, in halves; larger graphs get about as many steps, not epochs
    batch_size: int = 1024  # nodes that are told apart in a step; the network sees the whole graph
    precision: str = "32-true"  # bfloat16 gains nothing: half of the time goes into sparse products, which are there in float32 alone
    lr: float = 1e-3
    weight_decay: float = 1e-5

    def network(self, inputs: Inputs) -> nn.Module:
        dim = whole("dim", self.dim)
        return GCN(inputs.features, (2 * dim,), dim, act=self.act) if self.encoder == "auto" else super().network(inputs)

    def default_views(self, kind: str) -> Any:
        return GraphViews(drop_edges=tuple(self.drop_edges), mask_features=tuple(self.mask_features))

    def build(self, encoder: nn.Module) -> Net:
        number("temperature", self.temperature, 0, above=True)
        if self.projection is None:
            return Net(encode=encoder, project=nn.Identity())
        hidden = whole("projection", self.projection)
        return Net(encode=encoder, project=nn.Sequential(nn.Linear(encoder.width, hidden), nn.ELU(), nn.Linear(hidden, encoder.width)))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        u, v = (net.project(net.encode(view)[batch.index]) for view in batch.views)
        return node_contrast(u, v, temperature=self.temperature, intra=self.intra)
