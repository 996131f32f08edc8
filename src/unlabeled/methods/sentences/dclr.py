"""DCLR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from unlabeled.encoders import encoder as make_encoder
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Net, inputs_of
from unlabeled.methods.sentences.sentence_contrast import SentenceContrast, encoded
from unlabeled.methods.sentences.simcse import SimCSE
from unlabeled.parts.checks import number, whole
from unlabeled.parts.gather import gather_rows
from unlabeled.parts.losses import unit


@dataclass(kw_only=True, eq=False)
class DCLR(SentenceContrast):
    """SimCSE without the negatives that mean the same, and with noise for negatives where sentences crowd.

    Zhou, Zhang, Zhao and Wen, 2022, "Debiased Contrastive Learning of Unsupervised Sentence Representations", arXiv:2205.00656.
    A frozen encoder says which two sentences of a batch mean the same: those are no negatives of each other. Noise vectors, made
    for every batch and moved by gradient ascent towards its sentences, are further negatives of all. With noise_ratio=0 and
    phi=None it is SimCSE. fit takes texts, transform gives float32 [n, width]; InputError as for every sentence encoder.

    >>> vectors = DCLR().fit(sentences).transform(sentences)

    The paper's noise has noise_lr=1e-3: beside vectors of length sqrt(width) that moves nothing, so here a step is larger.
    """

    phi: float | None = 0.9  # cosine, for the frozen encoder, from which on two sentences mean the same; None: none do
    complementary: Any = "simcse"  # the frozen encoder: "simcse" trains one first; or a name, a folder, a module; of the same tokens
    noise_ratio: float = 1.0  # noise vectors for each sentence of a batch
    noise_steps: int = 4  # of gradient ascent
    noise_lr: float = 5.0  # how far noise moves in a step
    noise_std: float = 1.0  # of a noise vector's coordinates, before

    def fit(self, X: Any, y: Any = None, **options: Any) -> Self:
        self._complement = None if self.phi is None else [self._frozen(X)]  # in a list: an estimator is no module
        try:
            return super().fit(X, y, **options)
        finally:
            del self._complement

    def check(self) -> None:
        super().check()
        if self.phi is not None:
            number("phi", self.phi, -1, 1)
        number("noise_ratio", self.noise_ratio, 0)
        whole("noise_steps", self.noise_steps, 0)
        number("noise_lr", self.noise_lr, 0)
        number("noise_std", self.noise_std, 0, above=True)

    def negatives(self, net: Net, batch: Batch, z: Tensor, positive: Tensor) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._complement is not None:
            with torch.no_grad():
                c = unit(encoded(self._complement[0].to(z.device), batch.views[0]))
                with torch.autocast(z.device.type, enabled=False):
                    found["weights"] = (c @ gather_rows(c).T < self.phi).float()
        if count := round(self.noise_ratio * len(z)):
            noise = self.noise_std * torch.randn(count, z.shape[1], device=z.device)
            found["extra"] = towards(noise, z, self.temperature, self.noise_steps, self.noise_lr)
        return found

    def _frozen(self, X: Any) -> nn.Module:
        """The complementary encoder, in which nothing moves. InputError: it reads other tokens than the one to train."""
        if isinstance(self.complementary, str) and self.complementary == "simcse":
            shared = {name: getattr(self, name) for name in SimCSE().get_params(deep=False)}
            frozen = SimCSE(**shared | {"replace": "always"}).fit(X).net_.encode
        else:
            inputs = inputs_of(self._items(X, reset=True))
            frozen = make_encoder(self.complementary, inputs)
            probe = ["A probe, 1 of naïve words: 東京 🙂"]
            if not hasattr(frozen, "tokenize") or frozen.tokenize(probe) != make_encoder(self.encoder, inputs).tokenize(probe):
                raise InputError("complementary reads other tokens than encoder: wanted one with the same tokenizer")
        return frozen.eval().requires_grad_(False)


@torch.enable_grad()
def towards(noise: Tensor, z: Tensor, temperature: float, steps: int, lr: float) -> Tensor:
    """Noise [k, d] after steps of ascent, each of length lr, on the mean over i of log sum_k exp(cos(z_i, noise_k) / temperature).

    That is the part of -log( e^s(i,i+) / sum_k e^s(i,k) ) that the noise has a say in. Neither z nor what is returned has a gradient.
    """
    z = unit(z.detach())
    with torch.autocast(z.device.type, enabled=False):
        for _ in range(steps):
            noise = noise.detach().requires_grad_()
            (up,) = torch.autograd.grad((z @ unit(noise).T / temperature).logsumexp(dim=1).mean(), noise)
            noise = noise + lr * unit(up)
    return noise.detach()
