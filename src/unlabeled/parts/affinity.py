"""How strongly two things go together, learned of pairs that were measured; and how well that was foretold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.parts.checks import number, whole


@dataclass(kw_only=True, eq=False)
class AffinityRegressor(BaseEstimator):
    """A network that reads the vectors of both partners: W [left, right], ReLU, a further layer, a number. MSE.

    fit(left [n, d], right [m, e], pairs int [k, 2] (a row of each), y [k]); predict(left, right, pairs) -> float32 [k]. Columns are
    standardised. The first layer is computed once for each partner, not for each pair. InputError: shapes that don't fit, NaN.
    """

    hidden: int = 256
    second: int = 64
    epochs: int = 10
    members: int = 1  # networks with other first weights, whose mean is foretold
    batch_size: int = 512
    lr: float = 1e-3
    weight_decay: float = 1e-4
    dropout: float = 0.2
    seed: int = 0

    def fit(self, left: Any, right: Any, pairs: Any, y: Any) -> Self:
        for name in ("hidden", "second", "epochs", "members", "batch_size"):
            whole(name, getattr(self, name))
        number("lr", self.lr, 0, above=True)
        tables, rows = self._taken(left, right, pairs)
        target = np.asarray(y, dtype=np.float32)
        if target.shape != (len(rows),) or not np.isfinite(target).all():
            raise InputError(f"y has the shape {list(target.shape)} for {len(rows)} pairs: wanted a finite number each")
        used = [table[np.unique(rows[:, side])] for side, table in enumerate(tables)]
        self.level_ = [(table.mean(axis=0), np.where(table.std(axis=0) > 1e-6, table.std(axis=0), 1)) for table in used]
        self.scale_ = float(target.mean()), max(float(target.std()), 1e-6)
        inputs, index = self._levelled(tables), torch.from_numpy(rows)
        wanted = torch.from_numpy((target - self.scale_[0]) / self.scale_[1])
        self.nets_ = [self._learn(inputs, index, wanted, self.seed * 1000 + member) for member in range(self.members)]
        return self

    @torch.no_grad()
    def predict(self, left: Any, right: Any, pairs: Any) -> np.ndarray:
        check_is_fitted(self, "nets_")
        tables, rows = self._taken(left, right, pairs)
        inputs, index = self._levelled(tables), torch.from_numpy(rows)
        found = torch.stack([net(*inputs, index) for net in self.nets_]).mean(dim=0)
        return found.numpy() * self.scale_[1] + self.scale_[0]

    def _learn(self, inputs: list[Tensor], index: Tensor, wanted: Tensor, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = _Pairs(inputs[0].shape[1], inputs[1].shape[1], self.hidden, self.second, self.dropout)
            optimizer = torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=self.weight_decay)
            steps = self.epochs * -(-len(index) // self.batch_size)
            falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for _ in range(self.epochs):
                for part in torch.randperm(len(index)).split(self.batch_size):
                    loss = nn.functional.mse_loss(net(*inputs, index[part]), wanted[part])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    falling.step()
        return net.eval()

    def _levelled(self, tables: list[np.ndarray]) -> list[Tensor]:
        return [torch.from_numpy(((table - mean) / std).astype(np.float32)) for table, (mean, std) in zip(tables, self.level_, strict=True)]

    def _taken(self, left: Any, right: Any, pairs: Any) -> tuple[list[np.ndarray], np.ndarray]:
        tables, rows = [np.asarray(table, dtype=np.float32) for table in (left, right)], np.asarray(pairs)
        for name, table in zip(("left", "right"), tables, strict=True):
            if table.ndim != 2 or not np.isfinite(table).all():
                raise InputError(f"{name} has the shape {list(table.shape)}: wanted finite vectors [n, d]")
        fits = rows.ndim == 2 and rows.shape[1] == 2 and len(rows) and rows.dtype.kind in "iu" and rows.min() >= 0
        if not fits or (rows.max(axis=0) >= [len(table) for table in tables]).any():
            raise InputError(f"pairs have the shape {list(rows.shape)}: wanted rows of {len(tables[0])} and of {len(tables[1])}")
        return tables, rows.astype(np.int64)


class _Pairs(nn.Module):
    def __init__(self, left: int, right: int, hidden: int, second: int, dropout: float):
        super().__init__()
        self.left, self.right = nn.Linear(left, hidden), nn.Linear(right, hidden, bias=False)
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, second), nn.ReLU(), nn.Dropout(dropout), nn.Linear(second, 1)
        )

    def forward(self, left: Tensor, right: Tensor, index: Tensor) -> Tensor:
        return self.rest(self.left(left)[index[:, 0]] + self.right(right)[index[:, 1]])[:, 0]


def concordance(y: np.ndarray, said: np.ndarray) -> float:
    """CI: the share of pairs of unequal y that `said` orders likewise, its ties half. NaN where all y are equal."""
    order = np.argsort(y, kind="stable")
    y, rank = np.asarray(y)[order], np.unique(np.asarray(said)[order], return_inverse=True)[1]
    tree, right, total = np.zeros(rank.max() + 2, np.int64), 0.0, 0
    starts = np.flatnonzero(np.r_[True, y[1:] != y[:-1]])
    for group in np.split(rank, starts[1:]):  # of equal y: held against all that is smaller, which is counted by rank
        below = np.cumsum(tree)
        right += float((below[group] + (below[group + 1] - below[group]) / 2).sum())
        total += len(group) * int(below[-1])
        np.add.at(tree, group + 1, 1)
    return right / total if total else float("nan")


def affinity_scores(y: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """pearson (0 where `said` is constant), ci (`concordance`) and mse."""
    constant = np.ptp(said) < 1e-9
    pearson = 0.0 if constant else float(np.corrcoef(y, said)[0, 1])
    return {"pearson": pearson, "ci": 0.5 if constant else concordance(y, said), "mse": float(np.mean((np.asarray(y) - said) ** 2))}


__all__ = ["AffinityRegressor", "affinity_scores", "concordance"]
