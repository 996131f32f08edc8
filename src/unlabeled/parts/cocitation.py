"""Papers that are cited together."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, triu

from unlabeled.errors import InputError
from unlabeled.parts.checks import whole


def cocitation_pairs(citations: Any, min_cocite: int = 1) -> np.ndarray:
    """Which two papers are cited together by at least min_cocite others: int64 [k, 2], each pair once, the lower number first.

    citations: whole numbers [m, 2], (citing paper, cited paper); what occurs twice counts once, a paper that cites itself not at all.
    """
    edges = np.asarray(citations)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu" or (edges.size and edges.min() < 0):
        raise InputError(f"citations has shape {edges.shape} and dtype {edges.dtype}: wanted whole numbers [m, 2], (citing, cited)")
    whole("min_cocite", min_cocite)
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    if not len(edges):
        return np.zeros((0, 2), np.int64)
    cites = csr_array((np.ones(len(edges), np.int64), (edges[:, 0], edges[:, 1])))
    together = triu(cites.T @ cites, 1).tocoo()
    pairs = np.stack([together.row, together.col], axis=1)[together.data >= min_cocite].astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
