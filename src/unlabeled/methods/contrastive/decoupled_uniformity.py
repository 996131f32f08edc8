"""Decoupled uniformity, with prior knowledge in a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.methods.generative.autoencoder import codes
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.gather import gather_rows, rank
from unlabeled.parts.heads import mlp
from unlabeled.parts.kernels import gram, median_distance, ridge
from unlabeled.parts.losses import decoupled_uniformity, unit
from unlabeled.parts.pseudo import outputs


@dataclass(kw_only=True, eq=False)
class DecoupledUniformity(Learner):
    """The mean of an example's views is pushed away from the means of others, which alone pulls its views together.

    Dufumier, Barbano, Louiset, Duchesnay and Gori, 2022, "Integrating Prior Knowledge in Contrastive Learning with Kernel",
    arXiv:2206.01646. With a prior, something known of each example (tags, a generative model's code), examples of like
    priors share their means: kernel ridge regression of the means on the prior. It is needed in training only.
    The paper: SGD, lr 0.3 for batches of 256, 400 epochs, a 2048-256 projector, t = 2, lam about 1 / sqrt(batch).
    """

    prior: Any = None  # None, "vae" (trained on the same examples), or vectors or attributes of the fitted examples [n, d]
    kernel: str = "rbf"  # exp(-|w - w'|^2 / (2 sigma^2)), or "cosine"
    sigma: float | str = "median"  # of the RBF kernel; "median": the median distance between priors
    lam: float = 0.01
    t: float = 2.0
    dim: int = 64  # width of the projection
    hidden: int = 256
    prior_dim: int = 32  # of the VAE's code
    prior_epochs: int = 20

    def build(self, encoder: nn.Module) -> Net:
        if self.kernel not in ("rbf", "cosine"):
            raise InputError(f'kernel must be "rbf" or "cosine", got {self.kernel!r}')
        if not self.lam > 0 or not (self.sigma == "median" or (not isinstance(self.sigma, str) and self.sigma > 0)):
            raise InputError(f'lam must be positive, and sigma too or "median", got {self.lam!r} and {self.sigma!r}')
        net = Net(encode=encoder, project=mlp(encoder.width, self.hidden, self.dim))
        # Not saved: of no use after the training, and found again at the next epoch of a resumed one.
        net.register_buffer("prior", torch.empty(0, 0), persistent=False)
        return net

    def before_epoch(self, net: Net, data: Source) -> None:
        if self.prior is not None and not len(net.prior):
            w = torch.from_numpy(self._prior(net, data))
            sigma = 1.0 if self.kernel == "cosine" else median_distance(w) if self.sigma == "median" else float(self.sigma)
            net.prior = (w / sigma).to(data.device)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        # Not made unit again: a mean is short where its views differ, and that is all that aligns them.
        mu = torch.stack([unit(net.project(net.encode(view))) for view in batch.views]).mean(dim=0)
        if self.prior is not None:
            K = gram(gather_rows(net.prior[batch.index]), self.kernel)
            mu = ridge(K[rank() * len(mu) :][: len(mu)], K, self.lam) @ gather_rows(mu)
        return decoupled_uniformity(mu, self.t)

    def _prior(self, net: Net, data: Source) -> np.ndarray:
        if isinstance(self.prior, str):
            if self.prior != "vae":
                raise InputError(f'prior must be None, "vae" or an array, got {self.prior!r}')
            x: Any = data.items
            if x.kind == "image":  # of the pixels: a code of a network's pooled features doesn't know what is where
                x = outputs(net, lambda x: F.adaptive_avg_pool2d(x, 16).flatten(1), data).cpu().numpy()
            settings: dict[str, Any] = {"batch_size": self.batch_size, "device": self.device, "seed": self.seed}
            return codes(x, latent=self.prior_dim, epochs=self.prior_epochs, variational=True, **settings)
        w = np.asarray(check_vectors(self.prior, "prior"), dtype=np.float32)
        if len(w) != len(data):
            raise InputError(f"prior has {len(w)} rows for {len(data)} examples: wanted one each")
        return w
