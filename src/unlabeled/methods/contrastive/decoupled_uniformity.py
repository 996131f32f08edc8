"""Decoupled uniformity, with prior knowledge in a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.methods.generative.autoencoder import codes
from unlabeled.parts.assign import check_vectors
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import decoupled_uniformity, unit


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
    prior_epochs: int = 10

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
        if self.prior is None or len(net.prior):
            return
        w = self._prior(data)
        if self.kernel == "rbf":  # in units of sigma
            sample = torch.from_numpy(w[np.linspace(0, len(w) - 1, min(len(w), 1000)).astype(int)])
            w = w / max(float(torch.pdist(sample).median() if self.sigma == "median" else self.sigma), 1e-12)
        net.prior = torch.from_numpy(w).to(data.device)

    def _prior(self, data: Source) -> np.ndarray:
        if isinstance(self.prior, str):
            if self.prior != "vae":
                raise InputError(f'prior must be None, "vae" or an array, got {self.prior!r}')
            settings = {"encoder": self.encoder, "device": self.device, "batch_size": self.batch_size}
            return codes(data.items, latent=self.prior_dim, epochs=self.prior_epochs, seed=self.seed, variational=True, **settings)
        w = np.asarray(check_vectors(self.prior, "prior"), dtype=np.float32)
        if len(w) != len(data):
            raise InputError(f"prior has {len(w)} rows for {len(data)} examples: wanted one each")
        return w

    def loss(self, net: Net, batch: Batch) -> Tensor:
        # Not made unit again: a mean is short where its views differ, and that is all that aligns them.
        mu = torch.stack([unit(net.project(net.encode(view))) for view in batch.views]).mean(dim=0)
        if self.prior is not None:
            w = net.prior[batch.index]
            everyone = gather_rows(w)
            mu = ridge(self.gram(w, everyone), self.gram(everyone, everyone), self.lam) @ gather_rows(mu)
        return decoupled_uniformity(mu, self.t)

    def gram(self, a: Tensor, b: Tensor) -> Tensor:
        """Kernel values of prior vectors a [n, d] (in units of sigma) and b [m, d]: [n, m], float64."""
        if self.kernel == "cosine":
            return unit(a).double() @ unit(b).double().T
        return (-torch.cdist(a.double(), b.double()).square() / 2).exp()


def ridge(some: Tensor, gram: Tensor, lam: float) -> Tensor:
    """Weights of kernel ridge regression: k(some, all) (K + lam I)^-1, float32 [n, m]. some: [n, m], gram: K [m, m]."""
    return torch.linalg.solve(gram + lam * torch.eye(len(gram), dtype=gram.dtype, device=gram.device), some.T).T.float()
