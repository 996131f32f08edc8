"""Triplet network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.gather import gather_rows, same_on_every_rank
from unlabeled.parts.losses import triplet
from unlabeled.views.whole import whole

LOSSES = ("ratio", "margin", "siamese")
MININGS = ("random", "semi_hard")


class Groups(nn.Module):
    """Which group each training example belongs to: a buffer [n], so that a resumed run has it too."""

    def __init__(self, n: int):
        super().__init__()
        self.register_buffer("of", torch.arange(n))


@dataclass(kw_only=True, eq=False)
class TripletNetwork(Learner):
    """One network for three inputs: the distance to what belongs with the anchor against that to what doesn't.

    Hoffer and Ailon, 2014, "Deep metric learning using Triplet network", arXiv:1412.6622. With d+ and d- the Euclidean distances of
    an anchor to its partner and to a stranger, the loss is 2 sigmoid(d+ - d-)^2: no margin, embeddings of any length.
    Who belongs together: by default two views of an item (the unsupervised use that the paper leaves for later); or what has
    the same entry in a column of the items, `TripletNetwork(groups="session").fit(Items(..., columns={"session": ...}))`.

    The paper draws 640,000 fresh triplets an epoch and runs the network on all three members; here they are drawn among the
    members of a batch, so each picture runs once. Its settings: three conv-pool layers and a last one of 128 filters,
    dropout 0.5, optimizer="sgd", lr=0.5 reduced on plateaus. `active_` is the share of triplets of the last step with d+ > d- - 1.
    """

    dim: int = 128
    dropout: float = 0.0  # share of the encoder's features left out in training; the paper: 0.5, which on 3,000 pictures cost 2 points
    groups: str | None = None  # a column of the items; None: the views of an item are its group
    objective: str = "ratio"  # or "margin" (FaceNet's hinge), or "siamese" (pairs, Hadsell et al., 2006: the paper's baseline)
    mining: str = "random"  # or "semi_hard": the nearest stranger that is farther than the partner
    margin: float = 1.0  # of "margin" and "siamese"
    whiten: float | None = 0.0  # the learned distance is the point: whitening would be another one

    def default_views(self, kind: str) -> Any:
        return super().default_views(kind) if self.groups is None else whole

    def build(self, encoder: nn.Module) -> Net:
        if self.objective not in LOSSES or self.mining not in MININGS:
            raise InputError(f"objective is one of {LOSSES} and mining of {MININGS}, got {self.objective!r} and {self.mining!r}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is a share of the features, wanted 0 <= dropout < 1, got {self.dropout!r}")
        drop, project = nn.Dropout(self.dropout), nn.Linear(encoder.width, self.dim)
        return Net(encode=encoder, drop=drop, project=project, groups=Groups(self.n_items_))

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return net.project(net.drop(net.encode(x)))

    def before_epoch(self, net: Net, data: Source) -> None:
        if self.groups is not None:
            if self.groups not in data.items.columns:
                raise InputError(f"the items have no column {self.groups!r} that says what belongs together: {list(data.items.columns)}")
            _, group = np.unique(np.asarray(data.items.columns[self.groups]).astype(str), return_inverse=True)
            if group.max() == 0 or len(np.unique(group)) == len(group):
                raise InputError(f"column {self.groups!r} puts all items in one group, or each in its own: nothing to tell apart")
            net.groups.of.copy_(torch.from_numpy(group))

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        """Shuffled, but in pairs of the same group, so that members of small groups meet in a batch."""
        shuffled = torch.randperm(n, generator=generator)
        if self.groups is None:
            return shuffled
        by_group = shuffled[net.groups.of.cpu()[shuffled].argsort(stable=True)]
        pairs = by_group[: n // 2 * 2].view(-1, 2)
        return torch.cat([pairs[torch.randperm(len(pairs), generator=generator)].flatten(), by_group[n // 2 * 2 :]])

    def loss(self, net: Net, batch: Batch) -> Tensor:
        # Item by item, the views of an item side by side: the same rows in the same order however many processes share them.
        z = torch.stack([self.embed(net, view) for view in batch.views], dim=1).flatten(0, 1).float()
        z, group = gather_rows(z), gather_rows(net.groups.of[batch.index].repeat_interleave(len(batch.views)))
        anchor, partner, stranger = self.draw(z.detach(), group)
        if len(anchor) == 0:
            return z.sum() * 0  # nobody in this batch has both a partner and a stranger
        if self.objective == "siamese":
            near, far = ((z[anchor] - z[other]).square().sum(dim=1) for other in (partner, stranger))
            return (near + F.relu(self.margin - (far + 1e-12).sqrt()).square()).mean() / 2
        return triplet(z[anchor], z[partner], z[stranger], self.objective, self.margin)

    def draw(self, z: Tensor, group: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of anchors, partners and strangers: one random triplet for every row that has both."""
        same = group[:, None] == group
        partners = same & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        anchor = (partners.any(dim=1) & ~same.all(dim=1)).nonzero().flatten()
        lot = same_on_every_rank(torch.rand(2, len(z), len(z))).to(z.device)
        partner = lot[0].masked_fill(~partners, -1).argmax(dim=1)
        stranger = lot[1].masked_fill(same, -1).argmax(dim=1)
        distance = torch.cdist(z, z)
        near = distance.gather(1, partner[:, None])
        if self.mining == "semi_hard":
            farther = ~same & (distance > near)
            nearest = distance.masked_fill(~farther, torch.inf).argmin(dim=1)
            stranger = torch.where(farther.any(dim=1), nearest, distance.masked_fill(same, -1).argmax(dim=1))
        far = distance.gather(1, stranger[:, None])
        self.active_ = float((near > far - 1)[anchor].float().mean()) if len(anchor) else 0.0
        return anchor, partner[anchor], stranger[anchor]

    def distance(self, a: Any, b: Any) -> np.ndarray:
        """The learned distance of every item of a to every item of b: float32 [len(a), len(b)]."""
        return torch.cdist(torch.from_numpy(self.transform(a)), torch.from_numpy(self.transform(b))).numpy()
