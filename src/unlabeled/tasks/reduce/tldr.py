"""TLDR: fewer numbers a vector, learned so that a vector and its neighbours keep telling the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.parts.heads import mlp
from unlabeled.parts.losses import barlow, unit
from unlabeled.parts.neighbours import neighbours as nearest_rows
from unlabeled.parts.schedules import warmup_cosine
from unlabeled.vectors import VectorTransformer

COPIES = 5  # equal rows that may stand before a row's k neighbours


@dataclass(kw_only=True, eq=False)
class TLDR(VectorTransformer):
    """A linear map (or a small network) to `dim` numbers under which neighbours agree and no two numbers say the same.

    Kalantidis, Lassance, Almazan and Larlus, 2021, "TLDR: Twin Learning for Dimensionality Reduction", arXiv:2110.09455.
    fit takes real vectors [n, d], n >= 3, and no label; transform gives float32 [m, dim], which are to be compared by cosine.

        short = TLDR(dim=16).fit(Z)                       # Z: for example MiniLM vectors [n, 384]
        vectors, asked = short.transform(Z), short.transform(queries)
        found = neighbours(vectors, 10, queries=asked)    # unlabeled.parts.neighbours

    InputError: a parameter out of range, all rows equal, or `neighbours` that are not rows.
    Departures: the paper's projector is 8192 wide (here 512: about a minute on one busy core for
    5,000 vectors) and it trains with LARS on batches of 1024 (here Adam). The loss doesn't see a common offset, so the output is centred.
    """

    dim: int = 32
    k: int = 3  # neighbours; anything from 1 to 100 did in the paper
    encoder: str = "linear"  # or "flinear-1-512" (linear layers with batch norm between: still one matrix), "mlp-1-2048"
    projector: str | None = "mlp-1-512"  # hidden layers and width, of the output too; thrown away afterwards
    lambd: float = 5e-3  # weight of what two different numbers share
    epochs: int = 50  # the paper: 100
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 1e-6
    normalize: bool = True  # rows of unit length first
    seed: int = 0

    def fit(self, Z: Any, y: Any = None, neighbours: Any = None) -> Self:
        """neighbours: int [n, k], rows of Z that are near each row, if they are known (of a saved index); they may be approximate."""
        small = {name: getattr(self, name) for name in ("dim", "k", "epochs", "batch") if getattr(self, name) < 1 + (name == "batch")}
        if small or not self.lambd >= 0 or not self.lr > 0:
            raise InputError(f"{small or (self.lambd, self.lr)}: wanted dim, k, epochs >= 1, batch >= 2, lambd >= 0 and lr > 0")
        X = self._prepared(Z, reset=True)
        anchors, near, there = self._pairs(X, neighbours)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            f = _network(self.encoder, X.shape[1], self.dim)
            g = _network(self.projector, self.dim) if self.projector else nn.Identity()
            net = nn.Sequential(f, g).train()
            optimizer = torch.optim.Adam(net.parameters(), lr=self.lr, weight_decay=self.weight_decay)
            size = min(self.batch, len(anchors))
            steps, step = self.epochs * (len(anchors) // size), 0
            self.loss_curve_ = []
            for _ in range(self.epochs):
                total = 0.0
                for rows in anchors[torch.randperm(len(anchors))].split(size)[: len(anchors) // size]:
                    for group in optimizer.param_groups:
                        group["lr"] = self.lr * warmup_cosine(step, steps, steps // 10)
                    loss = barlow(net(X[rows]), net(self._partner(X, rows, near, there)), self.lambd)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    total, step = total + float(loss.detach()), step + 1
                self.loss_curve_.append(total / (len(anchors) // size))
        self.weights_ = {name: value.numpy() for name, value in f.state_dict().items() if value.ndim}  # not the counter of batches
        self.mean_ = np.zeros(self.dim, np.float32)
        self.mean_ = self._encode(X).mean(axis=0)
        self._n_features_out = self.dim
        return self

    def transform(self, Z: Any) -> np.ndarray:
        return self._encode(self._prepared(Z, reset=False))

    def _partner(self, X: Tensor, rows: Tensor, near: Tensor, there: Tensor) -> Tensor:
        """For each of `rows` one of its neighbours, all equally likely."""
        choice = (torch.rand(there[rows].shape) * there[rows]).argmax(dim=1)
        return X[near[rows, choice]]

    def _pairs(self, X: Tensor, given: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Rows that have neighbours; the neighbours [n, m]; which of these count: the first k that are no copies of the row."""
        n = len(X)
        near = nearest_rows(X.numpy(), self.k + COPIES, seed=self.seed).rows if given is None else np.asarray(given)
        if near.ndim != 2 or len(near) != n or near.dtype.kind not in "iu" or near.min() < 0 or near.max() >= n:
            raise InputError(f"neighbours are {near.dtype} {near.shape}: wanted whole numbers [{n}, k] from 0 to {n - 1}")
        others = torch.from_numpy(near.astype(np.int64))
        there = torch.stack([(X[column] != X).any(dim=1) for column in others.T], dim=1)
        there &= there.cumsum(dim=1) <= self.k
        anchors = there.any(dim=1).nonzero()[:, 0]
        if len(anchors) < 2:
            raise InputError(f"no row has a neighbour other than itself or its copies (n_features = {X.shape[1]}): all rows point one way")
        return anchors, others, there

    def _prepared(self, Z: Any, reset: bool) -> Tensor:
        X = torch.from_numpy(self._vectors(Z, reset=reset, least=3 if reset else 1))
        return unit(X) if self.normalize else X

    @torch.inference_mode()
    def _encode(self, X: Tensor) -> np.ndarray:
        f = _network(self.encoder, X.shape[1], self.dim).eval()
        f.load_state_dict({name: torch.as_tensor(value) for name, value in self.weights_.items()}, strict=False)
        return torch.cat([f(block) for block in X.split(4096)]).numpy() - self.mean_


def _network(kind: str, before: int, after: int | None = None) -> nn.Sequential:
    """ "linear", or "flinear-1-512" and "mlp-1-512": one hidden layer of 512 with batch norm, without and with a ReLU.

    after: numbers that come out, by default as many as the hidden layers have.
    """
    name, *numbers = kind.split("-")
    if (name, len(numbers)) not in (("linear", 0), ("flinear", 2), ("mlp", 2)) or not all(
        one.isdigit() and int(one) > 0 for one in numbers
    ):
        raise InputError(f'"{kind}" is no network: wanted "linear", "flinear-LAYERS-WIDTH" or "mlp-LAYERS-WIDTH"')
    layers, width = map(int, numbers) if numbers else (0, 0)
    net = mlp(before, *[width] * layers, after or width)
    return net if name == "mlp" else nn.Sequential(*(layer for layer in net if not isinstance(layer, nn.ReLU)))
