"""Auto-encoders: what an example can be rebuilt from, as vectors for other methods to lean on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.heads import mlp
from unlabeled.views.images import WHOLE, ImageViews
from unlabeled.views.whole import whole


@dataclass(kw_only=True, eq=False)
class AutoEncoder(Learner):
    """A short code from which a decoder rebuilds the clean example; the vector is the code.

    Denoising (Vincent et al., 2008): the encoder sees the example with Gaussian noise on it. variational=True (Kingma and
    Welling, 2013, arXiv:1312.6114): the code is a Gaussian held close to the standard one, the vector is its mean; the
    decoder's variance is the best one for each batch, so no weight has to be chosen (Rybkin et al., 2020, arXiv:2006.13202).
    Pictures are rebuilt at up to 32 pixels, vectors standardised; texts have nothing here that could be rebuilt.
    """

    latent: int = 64
    hidden: int = 512
    noise: float = 0.2  # standard deviation of the noise: pictures lie in [0, 1], a vector's features count in their own deviation
    variational: bool = False
    whiten: float | None = 0.0

    def build(self, encoder: Any) -> Net:
        if self.inputs_.kind == "text":
            raise InputError("an auto-encoder reads pictures and vectors, not texts")
        self.side_ = min(self.inputs_.size, 32)
        size = self.inputs_.channels * self.side_**2 if self.inputs_.kind == "image" else self.inputs_.features
        code = nn.Linear(encoder.width, self.latent * (2 if self.variational else 1))
        scale = nn.Identity() if self.inputs_.kind == "image" else nn.BatchNorm1d(size, affine=False)
        return Net(encode=encoder, code=code, decode=mlp(self.latent, self.hidden, size), scale=scale)

    def default_views(self, kind: str) -> Any:
        return ImageViews(policy=WHOLE, views=1, share=1.0) if kind == "image" else whole

    def loss(self, net: Net, batch: Batch) -> Tensor:
        x = batch.views[0]
        picture = self.inputs_.kind == "image"
        target = F.adaptive_avg_pool2d(x, self.side_).flatten(1) if picture else net.scale(x)
        scale = 1.0 if picture else x.std(dim=0, correction=0)
        code = net.code(net.encode(x + self.noise * scale * torch.randn_like(x))).float()
        if not self.variational:
            return F.mse_loss(net.decode(code).float(), target)
        mean, log_variance = code.chunk(2, dim=1)
        rebuilt = net.decode(mean + (log_variance / 2).exp() * torch.randn_like(mean)).float()
        error = gather_rows((rebuilt - target).square().mean(dim=1)).mean()
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2
        return (error + 1e-6).log() / 2 + divergence / target.shape[1]  # nats a number, up to log(2 pi e) / 2

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return net.code(net.encode(x))[:, : self.latent]


def codes(items: Any, *, latent: int, epochs: int, seed: int, variational: bool = False, encoder: Any = "auto", **settings: Any) -> Any:
    """Codes of all items, float32 [n, latent], standardised: each column with mean 0 and deviation 1, so that none drowns the others."""
    encoder = encoder if isinstance(encoder, str) else "auto"  # a module of the user's own is not to be trained here
    coder = AutoEncoder(latent=latent, epochs=epochs, seed=seed, variational=variational, encoder=encoder, **settings)
    z = torch.from_numpy(coder.fit_transform(items))
    if not variational:
        return ((z - z.mean(dim=0)) / z.std(dim=0, correction=0).clamp(min=1e-6)).numpy()
    return (z - z.mean(dim=0)).numpy()  # a variational code's scale says how much a column knows: unused ones stay near 0
