"""Vectors of entities and relations by which each fact's tail is found among all entities: 1-vs-all with inverse relations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unlabeled.errors import InputError
from unlabeled.parts.checks import number, whole
from unlabeled.parts.triples import Tables, against, check_shape, first_tables, query


@dataclass(frozen=True, kw_only=True)
class Softmax:
    """The cross-entropy of the right tail among all entities, and of the right head by a relation's inverse, which has its own vector.

    Lacroix, Usunier and Obozinski, 2018, arXiv:1806.07297 (there with N3, the sum of cubes, as `n3`). AdaGrad. InputError: bad values, a
    rate at which it runs away.
    """

    scorer: str = "distmult"
    dim: int = 100
    epochs: int = 50
    batch_size: int = 512
    lr: float = 0.1
    n3: float = 0.01  # weight of the mean of |x|^3 over what is asked and answered
    dropout: float = 0.2  # of queries
    seed: int = 0

    def fit(
        self,
        facts: np.ndarray,
        n_entities: int,
        n_relations: int,
        *,
        features: np.ndarray | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tables:
        """facts: int [m, 3]. features: float [n, D] of entities, of which vectors are made as tanh(W x), instead of freely."""
        self._check()
        rng = np.random.default_rng(self.seed)
        torch.manual_seed(self.seed)
        start, relations = first_tables(self.scorer, self.dim, n_entities, 2 * n_relations, rng, unit=False)
        # Small numbers, so that what is rare stays small; the queries' scale is left to the training.
        r = torch.nn.Parameter(torch.from_numpy(relations))
        x = None if features is None else torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        own = torch.from_numpy(start) if x is None else torch.randn(x.shape[1], self.dim) / x.shape[1] ** 0.5
        own = torch.nn.Parameter(own)
        optimizer: Any = torch.optim.Adagrad([own, r], lr=self.lr)
        facts = np.asarray(facts, dtype=np.int64)
        turned = np.stack([facts[:, 2], facts[:, 1] + n_relations, facts[:, 0]], axis=1)
        both = torch.from_numpy(np.concatenate([facts, turned]))
        curve = []
        for epoch in range(self.epochs):
            total = 0.0
            for part in both[torch.randperm(len(both))].split(self.batch_size):
                E = own if x is None else torch.tanh(x @ own)
                head, relation, tail = E[part[:, 0]], r[part[:, 1]], E[part[:, 2]]
                q = torch.nn.functional.dropout(query(self.scorer, head, relation), self.dropout)
                loss = torch.nn.functional.cross_entropy(against(self.scorer, q, E), part[:, 2])
                total += float(loss.detach()) * len(part)
                if self.n3:
                    loss = loss + self.n3 * sum(_lengths(self.scorer, one).pow(3).sum(-1).mean() for one in (head, relation, tail))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if not np.isfinite(total):
                raise InputError(f"training ran away in epoch {epoch + 1} with lr={self.lr}: lower lr")
            curve.append(total / len(both))
            progress(epoch + 1, self.epochs)
        with torch.no_grad():
            E = own if x is None else torch.tanh(x @ own)
        table = r.detach().numpy()
        return Tables(E.detach().numpy().copy(), table[:n_relations].copy(), table[n_relations:].copy(), curve)

    def _check(self) -> None:
        check_shape(self.scorer, self.dim)
        for name in ("epochs", "batch_size"):
            whole(name, getattr(self, name))
        number("lr", self.lr, 0, above=True)
        number("n3", self.n3, 0)
        number("dropout", self.dropout, 0, 0.99)


def _lengths(scorer: str, x: torch.Tensor) -> torch.Tensor:
    """Of the numbers, complex ones as such."""
    if scorer != "complex":
        return x.abs()
    half = x.shape[-1] // 2
    return (x[..., :half] ** 2 + x[..., half:] ** 2 + 1e-12).sqrt()


__all__ = ["Softmax"]
