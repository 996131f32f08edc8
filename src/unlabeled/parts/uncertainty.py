"""Heads that say how sure an encoder is of its vector, and the draws from von Mises-Fisher distributions that one of them needs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlabeled.parts.heads import mlp


class MaxProbability(nn.Module):
    """A linear classifier of the upstream classes; uncertain is 1 - its largest probability. Hendrycks and Gimpel, 2016, arXiv:1610.02136.

    forward: features [n, width] -> logits [n, classes]. norm: uncertain is the shorter feature, -|x|, instead.
    """

    def __init__(self, width: int, classes: int, norm: bool = False):
        super().__init__()
        self.classify, self.norm = nn.Linear(width, classes), norm

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(x)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self(x), y)

    def uncertainty(self, x: Tensor) -> Tensor:
        return -x.norm(dim=1) if self.norm else 1 - self(x).softmax(dim=1).amax(dim=1)


class LossPrediction(MaxProbability):
    """A classifier, and a small network that predicts its loss of each item: uncertain is a high predicted loss.

    Yoo and Kweon, 2019, arXiv:1905.03677, with the squared error in place of their ranking; Kirchhof et al., 2023, arXiv:2307.03810.
    lam: weight of that error. through: its gradient reaches the features too; by default they are the classifier's alone.
    """

    def __init__(self, width: int, classes: int, hidden: int = 256, lam: float = 0.1, through: bool = False):
        super().__init__(width, classes)
        self.predict, self.lam, self.through = mlp(width, hidden, hidden, 1, norm=False), lam, through

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        each = F.cross_entropy(self(x), y, reduction="none")
        predicted = self.uncertainty(x if self.through else x.detach())
        return each.mean() + self.lam * (predicted - self.target(each.detach())).square().mean()

    def target(self, losses: Tensor) -> Tensor:
        """What the second network is taught, of the losses [n]."""
        return losses

    def uncertainty(self, x: Tensor) -> Tensor:
        return F.softplus(self.predict(x)[:, 0])


class HeadEnsemble(nn.Module):
    """Several small classifiers on one encoder, which differ by their first weights; uncertain is what they disagree on.

    Disagreement: entropy of the mean probabilities minus the mean entropy (Houlsby et al., 2011, arXiv:1112.5745).
    "Shallow ensemble" of Kirchhof et al., 2023; forward: the logarithm of the mean probabilities, [n, classes].
    """

    def __init__(self, width: int, classes: int, members: int = 5, hidden: int = 128):
        super().__init__()
        self.members = nn.ModuleList(mlp(width, hidden, classes, norm=False) for _ in range(members))

    def log_probabilities(self, x: Tensor) -> Tensor:
        """[members, n, classes]."""
        return torch.stack([member(x).log_softmax(dim=1) for member in self.members])

    def forward(self, x: Tensor) -> Tensor:
        return self.log_probabilities(x).logsumexp(dim=0) - math.log(len(self.members))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([F.nll_loss(one, y) for one in self.log_probabilities(x)]).mean()

    def uncertainty(self, x: Tensor) -> Tensor:
        each, mean = self.log_probabilities(x), self(x)
        return -(mean.exp() * mean).sum(dim=1) + (each.exp() * each).sum(dim=2).mean(dim=0)


class VonMisesFisher(nn.Module):
    """A direction and a concentration for each item; uncertain is 1 / kappa. MCInfoNCE, Kirchhof et al., 2023, arXiv:2302.02865.

    loss: x holds two pictures of each of n / 2 classes, the first ones in the first half; of `samples` draws of both directions
    the mean probability of finding the partner among all of the second half, and its logarithm.
    """

    def __init__(self, width: int, dim: int = 64, hidden: int = 128, samples: int = 16, temperature: float = 0.1):
        super().__init__()
        self.direct, self.concentrate = nn.Linear(width, dim), mlp(width, hidden, 1, norm=False)
        self.samples, self.temperature = samples, temperature
        self.scale = dim  # of kappa: below about dim a draw is mostly noise, so that is where it starts and by what it is moved
        nn.init.constant_(self.concentrate[-1].bias, 2.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Unit directions [n, dim] and concentrations [n], 1 or more."""
        return F.normalize(self.direct(x), dim=1), 1 + self.scale * F.softplus(self.concentrate(x)[:, 0])

    def loss(self, x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mu, kappa = self(x)
        half = len(x) // 2
        return mc_info_nce(
            mu[:half], kappa[:half], mu[half:], kappa[half:], samples=self.samples, temperature=self.temperature, generator=generator
        )

    def uncertainty(self, x: Tensor) -> Tensor:
        return 1 / self(x)[1]


def mc_info_nce(
    mu: Tensor,
    kappa: Tensor,
    mu2: Tensor,
    kappa2: Tensor,
    *,
    samples: int = 16,
    temperature: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """-log of the mean over draws of the probability that item i of the first finds item i of the second among all of them.

    mu, mu2: unit [n, d]; kappa, kappa2: [n], above 0. Kirchhof et al., 2023, arXiv:2302.02865.
    """
    a, b = sample_vmf(mu, kappa, samples, generator), sample_vmf(mu2, kappa2, samples, generator)
    logits = torch.einsum("sid,sjd->sij", a, b) / temperature
    found = logits.log_softmax(dim=2).diagonal(dim1=1, dim2=2)
    return -(found.logsumexp(dim=0) - math.log(samples)).mean()


def sample_vmf(mu: Tensor, kappa: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws from von Mises-Fisher distributions, [samples, n, d], with gradients to mu [n, d] (unit rows, d > 1) and kappa [n].

    The cosine with mu by Ulrich's (1984) rejection, corrected by Wood (1994); its gradient goes through the accepted proposal
    (Davidson et al., 2018, arXiv:1804.00891) without their correction for the rejection: in 3 dimensions it is too small by a
    third, from 16 on by less.
    """
    n, d = mu.shape
    if d < 2 or kappa.shape != (n,):
        raise ValueError(f"mu has shape {tuple(mu.shape)} and kappa {tuple(kappa.shape)}: wanted [n, d] with d of 2 or more, and [n]")
    k = kappa.double().expand(samples, n)
    root = (4 * k.square() + (d - 1) ** 2).sqrt()
    b = (d - 1) / (2 * k + root)  # as Wood's (root - 2k) / (d - 1), which cancels for large kappa
    a = (d - 1 + 2 * k + root) / 4
    limit = 4 * a * b / (1 + b) - (d - 1) * math.log(d - 1)
    proposal = torch.full((samples, n), 0.5, dtype=torch.float64, device=mu.device)
    waiting = torch.ones((samples, n), dtype=torch.bool, device=mu.device)
    with torch.no_grad():
        while bool(waiting.any()):
            drawn = _beta(d, (samples, n), mu.device, generator)
            t = 2 * a * b / (1 - (1 - b) * drawn)
            uniform = torch.rand((samples, n), generator=generator, dtype=torch.float64, device=mu.device)
            good = waiting & ((d - 1) * t.log() - t + limit >= uniform.log())
            proposal[good] = drawn[good]
            waiting &= ~good
    cosine = ((1 - (1 + b) * proposal) / (1 - (1 - b) * proposal)).to(mu.dtype)[..., None]
    noise = torch.randn((samples, n, d), generator=generator, dtype=mu.dtype, device=mu.device)
    sideways = F.normalize(noise - (noise * mu).sum(dim=2, keepdim=True) * mu, dim=2)
    return cosine * mu + (1 - cosine.square()).clamp(min=1e-12).sqrt() * sideways


def _beta(d: int, shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Draws from Beta((d - 1) / 2, (d - 1) / 2): (1 + the first coordinate of a uniform direction in d dimensions) / 2."""
    normal = torch.randn((*shape, d), generator=generator, dtype=torch.float64, device=device)
    return (1 + normal[..., 0] / normal.norm(dim=-1)) / 2
