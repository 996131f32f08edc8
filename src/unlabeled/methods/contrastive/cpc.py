"""CPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.encoders.sequences import Patches, Recurrent, RowsAbove, Waves
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source, batches
from unlabeled.parts.gather import gather_rows, rank, same_on_every_rank
from unlabeled.views.whole import whole


@dataclass(kw_only=True, eq=False)
class CPC(Learner):
    """What was heard so far has to tell which of many sounds comes k steps later; so with the rows of a picture's patches.

    van den Oord et al., 2018, "Representation Learning with Contrastive Predictive Coding", arXiv:1807.03748.
    z_t = encode(x_t); c_t = context(z_1 .. z_t); the score of a candidate z for t + k is z' W_k c_t, as it is: no cosine, no
    temperature. Waveforms come as vectors [n, samples] (see `encoders.sequences.clips`), where a column is a moment; pictures
    as a grid of half overlapping patches, read from the top. A clip becomes the mean of its c, a picture the mean of its z.

    The paper's settings for speech at 16 kHz: dim=512, context_dim=256, steps=12, strides 5 4 2 2 2, Adam with lr=2e-4, 8 clips
    of 20480 samples a batch; for 256 pixels: patch=64, steps=5. Its encoders have no batch norm, through which the future leaks.
    """

    dim: int = 64  # width of z
    context_dim: int = 64
    steps: int = 6  # K: how far ahead
    anchors: int = 16  # places of each item that predict and are candidates, drawn at each step; all of them are costly
    negatives: str = "batch"  # all other places of the batch; or "others", of other items only, or "same", of the item itself
    strides: tuple[int, ...] = (5, 4, 2, 2)  # of the waves' convolutions: one z for each 80 samples
    kernels: tuple[int, ...] = (10, 8, 4, 4)
    patch: int = 8  # pixels
    batch_size: int = 64
    lr: float = 1e-3

    def __post_init__(self) -> None:
        self.strides, self.kernels = tuple(self.strides), tuple(self.kernels)  # config.json holds lists

    def default_views(self, kind: str) -> Any:
        return whole

    def build(self, encoder: nn.Module) -> Net:
        seen = self.inputs_
        if seen.kind not in ("image", "vector"):
            raise InputError(f"CPC reads waveforms (float32 [n, samples]) and pictures, not {seen.kind}s")
        if self.encoder != "auto":
            raise InputError("CPC brings its own encoder of moments or patches: leave encoder at auto")
        if self.negatives not in ("batch", "others", "same") or self.steps < 1 or self.anchors < 1:
            raise InputError('wanted negatives "batch", "others" or "same", and steps and anchors of at least 1')
        wave = seen.kind == "vector"
        encode = Waves(self.dim, self.strides, self.kernels) if wave else Patches(self.dim, seen.channels, self.patch)
        places = encode.length(seen.features if wave else seen.size)
        if places <= self.steps:
            raise InputError(f"items give {places} places in order, too few to predict {self.steps} steps ahead: give longer ones")
        encode.spec = encoder.spec  # says what the data were; from it the modules are built again
        context = (Recurrent if wave else RowsAbove)(self.dim, self.context_dim)
        predict = nn.ModuleList(nn.Linear(self.context_dim, self.dim, bias=False) for _ in range(self.steps))
        return Net(encode=encode, context=context, predict=predict)

    def embed(self, net: Net, x: Tensor) -> Tensor:
        z = net.encode(x)
        return (net.context(z) if self.inputs_.kind == "vector" else z).mean(dim=(1, 2))

    def loss(self, net: Net, batch: Batch) -> Tensor:
        return torch.stack(self.losses(net, batch.views[0])).mean()

    def losses(self, net: Net, x: Tensor) -> list[Tensor]:
        """The loss of each step ahead. The same places are drawn of all items, so that processes sharing a batch agree on them."""
        z = net.encode(x)  # [n, T, columns, dim]
        c, found = net.context(z), []
        for k, predict in enumerate(net.predict, 1):
            now, later = c[:, :-k].flatten(1, 2), z[:, k:].flatten(1, 2)
            places = same_on_every_rank(torch.randperm(now.shape[1])[: self.anchors].to(x.device))
            query, key = predict(now[:, places]).float(), later[:, places].float()
            found.append(self.score(query, key))
        return found

    def score(self, query: Tensor, key: Tensor) -> Tensor:
        """Cross-entropy of finding each query's key among all; query, key: [n, places, dim]."""
        n, places, _ = query.shape
        keys = gather_rows(key).flatten(0, 1)
        scores = query.flatten(0, 1) @ keys.T
        own = torch.arange(n * places, device=scores.device) + rank() * n * places
        if self.negatives != "batch":
            item = torch.arange(len(keys), device=scores.device) // places
            gone = (item[own][:, None] == item) == (self.negatives == "others")
            gone[torch.arange(len(own)), own] = False
            scores = scores.masked_fill(gone, -torch.inf)
        return F.cross_entropy(scores, own)

    def mi_bounds(self, X: Any) -> np.ndarray:
        """log N - loss of each step ahead, in nats, float [steps]: c and what comes k steps later share at least so much.

        N is the number of candidates, batch_size * anchors: no bound exceeds log N. Items that don't fill a batch are left out.
        """
        source = Source(self._items(X, reset=False), self.net_.encode, self.inputs_)
        if self.negatives != "batch" or len(source) < self.batch_size:
            raise InputError(f'the bound needs negatives="batch" and at least {self.batch_size} items, got {len(source)}')
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            full = [part for part in batches(np.arange(len(source)), self.batch_size) if len(part) == self.batch_size]
            loss = np.mean([[float(term) for term in self.losses(self.net_, source.batch(part))] for part in full], axis=0)
        candidates = [self.batch_size * min(self.anchors, self._places(k)) for k in range(1, self.steps + 1)]
        return np.log(candidates) - loss

    def _places(self, k: int) -> int:
        z = self.net_.encode(self.inputs_.example())
        return (z.shape[1] - k) * z.shape[2]
