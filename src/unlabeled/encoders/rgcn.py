"""Graph convolutions with a weight matrix for each relation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.encoders.graphs import product


def relation_matrix(facts: np.ndarray, n: int, relations: int) -> Tensor:
    """Who hears whom: sparse CSR float32 [n, relations * n]. facts: int [m, 3], (head, relation, tail); the tail hears the head.

    In row i the columns of relation r add up to 1, or to 0 where nothing of that relation leads to i: it takes the mean of what it hears.
    """
    head, relation, tail = facts.astype(np.int64).reshape(-1, 3).T
    key = np.sort((tail * relations + relation) * n + head)  # in the order of rows, and within a row of columns
    key = key[np.concatenate([[True], key[1:] != key[:-1]])[: len(key)]]
    kind = key // n
    share = 1 / np.bincount(kind, minlength=n * relations)[kind]
    starts = np.searchsorted(kind, np.arange(n + 1) * relations)
    columns = kind % relations * n + key % n
    parts = (torch.from_numpy(one) for one in (starts.astype(np.int64), columns, share.astype(np.float32)))
    return torch.sparse_csr_tensor(*parts, (n, relations * n))


class RGCNLayer(nn.Module):
    """h'_i = h_i W_0 + sum_r mean_{j in N_r(i)} h_j W_r. Schlichtkrull et al., 2018, arXiv:1703.06103.

    forward: [n, n_in] and a `relation_matrix` -> [n, n_out]; a node of zeros that hears nothing stays zeros. bases: each W_r is a mixture
    of so many matrices, by which many relations don't need a matrix each; 0: each has its own.
    """

    def __init__(self, n_in: int, n_out: int, relations: int, bases: int = 0):
        super().__init__()
        bases = bases if 0 < bases < relations else 0
        self.own = nn.Parameter(torch.empty(n_in, n_out))
        self.bases = nn.Parameter(torch.empty(bases or relations, n_in, n_out))
        self.mixture = nn.Parameter(torch.empty(relations, bases)) if bases else None
        for one in (self.own, *self.bases, *([] if self.mixture is None else [self.mixture])):
            nn.init.xavier_uniform_(one)

    @property
    def weights(self) -> Tensor:
        """W_r, [relations, n_in, n_out]."""
        return self.bases if self.mixture is None else torch.einsum("rb,bio->rio", self.mixture, self.bases)

    def forward(self, h: Tensor, matrix: Tensor) -> Tensor:
        said = torch.einsum("ni,rio->rno", h, self.weights).flatten(0, 1)  # what each node would say in each relation
        return h @ self.own + product(matrix, said)


__all__ = ["RGCNLayer", "relation_matrix"]
