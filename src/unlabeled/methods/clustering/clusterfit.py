"""ClusterFit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.data import Items
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.methods.pretext.rotnet import RotNet
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.pseudo import PseudoLabels, cluster, draw, groups
from unlabeled.views import views_for


@dataclass(kw_only=True, eq=False)
class ClusterFit(Learner):
    """Cluster the vectors of another representation once, and train a new network, from its first weights, to tell the clusters.

    The clusters keep what looks alike and lose what served only the task that the other network was trained on.
    Yan, Misra, Gupta, Ghadiyaram and Mahajan, 2019, "ClusterFit: Improving Generalization of Visual Representations",
    arXiv:1912.03330. The paper: clusters=16000 on ImageNet, ResNet-50 for both networks, as many passes as the first training.
    A second round is ClusterFit(representation=ClusterFit(...)); the paper found one enough. `labels_`: the clusters, int64 [n].
    """

    # Anything with transform, fitted within if it isn't yet, or the vectors themselves, [n, d]; default: RotNet, for other data SimCLR
    representation: Any = None
    clusters: int = 100  # at most; every one has five examples on average at least
    pca: int | None = None  # principal axes that are whitened before k-means; the paper only makes rows unit length

    def build(self, encoder: nn.Module) -> Net:
        return Net(encode=encoder, pseudo=PseudoLabels(self.n_items_, groups(self.clusters, self.n_items_), encoder.width))

    def default_views(self, kind: str) -> Any:
        return views_for(kind, views=1)

    def before_epoch(self, net: Net, data: Source) -> None:
        if int(net.pseudo.rounds) == 0:  # once: the clusters come from the examples as they are, never from views of them
            vectors = self.vectors(data.items)
            net.pseudo.relabel(cluster(vectors, net.pseudo.classes, seed=draw(self.seed, 0), pca=self.pca, iters=50), seed=None)

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        return net.pseudo.order(n, generator)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        return sum(net.pseudo(net.encode(view), batch.index) for view in batch.views) / len(batch.views)

    def vectors(self, items: Items) -> np.ndarray:
        """What the given representation says of the examples: float32 [n, d]."""
        given = self.representation
        if given is None:
            method = RotNet if items.kind == "image" else SimCLR
            common = ("encoder", "epochs", "lr", "weight_decay", "seed", "device", "precision")
            given = method(**{name: getattr(self, name) for name in common})
        if hasattr(given, "transform"):
            values: Any = items if isinstance(given, Learner) else items.take(np.arange(len(items)))
            given = (given if _fitted(given) else clone(given).fit(values)).transform(values)  # a clone: the caller's stays as it was
        Z = check_vectors(given, "representation")
        if len(Z) != len(items):
            raise InputError(f"representation has {len(Z)} vectors for {len(items)} examples: wanted one each")
        return Z

    @property
    def labels_(self) -> np.ndarray:
        return self.net_.pseudo.labels.cpu().numpy()


def _fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True
