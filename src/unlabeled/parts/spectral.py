"""Clusters as parts of a graph and as subspaces: a soft membership, the cut of it, and the subspace that each part lies on."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.parts.assign import kmeans, sinkhorn

SWEEPS = 5  # of Sinkhorn: row and column sums are then right within 1e-3


def membership(c: Tensor, eta: float) -> Tensor:
    """Doubly stochastic [n, n] from unit rows c [n, d]: exp(|c c^T| / eta) with rows and columns scaled to add up to 1."""
    return sinkhorn((c @ c.T).abs(), eta, SWEEPS)


def spectral(affinity: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """k clusters, int64 [n], of an affinity [n, n]: k-means on the top k eigenvectors of its normalised form, rows of unit length.

    Ng, Jordan and Weiss, 2001. Each entry is divided by the root of both degrees; those of a doubly stochastic one are 1.
    """
    from scipy.linalg import eigh

    n = len(affinity)
    scale = 1 / np.sqrt(affinity.sum(axis=1).clip(1e-8))
    normal = (affinity + affinity.T) / 2 * scale[:, None] * scale
    vectors = eigh(normal, subset_by_index=[max(0, n - k), n - 1])[1]
    return kmeans(F.normalize(torch.from_numpy(vectors), dim=1).numpy(), k, seed=seed, n_init=20).labels


def subspaces(z: Tensor, labels: Tensor, k: int, rank: int) -> Tensor:
    """For each of k clusters the subspace on which its rows of z [n, d] lie best: orthonormal [k, d, rank].

    Columns are zero where a cluster has fewer rows than the subspace dimensions.
    """
    axes = z.new_zeros(k, z.shape[1], rank)
    for c in range(k):
        right = torch.linalg.svd(z[labels == c], full_matrices=False)[2][:rank]
        axes[c, :, : len(right)] = right.T
    return axes


def nearest_subspace(z: Tensor, axes: Tensor) -> Tensor:
    """The subspace that holds most of each row of z [n, d], int64 [n]; axes: orthonormal [k, d, rank]."""
    return torch.einsum("nd,kdr->nkr", z, axes).square().sum(dim=2).argmax(dim=1)
