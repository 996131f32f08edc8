"""The oddest items."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlabeled.errors import InputError

REFERENCE = 20_000  # items that each item is compared with
FAR = 3  # times the median distance from the mean: beyond, length makes odd as well as direction


def outliers(Z: Any, m: int = 20, k: int = 10, seed: int = 0) -> tuple[list[int], list[float]]:
    """The m items that lie farthest from their neighbours: rows and scores, oddest first.

    Score: mean distance to the k nearest other items (Angiulli and Pizzuti, 2002) between unit vectors, after the mean is
    subtracted as for all neighbours: 0 (all the same) to 2 (opposite). Only a row that lies more than three times as far
    from the mean as the median row keeps what is beyond, and so is odd by its length too. A group of k or fewer odd items
    stays odd. Beyond 20,000 items the neighbours are sought among 20,000 drawn at random with `seed`: distances grow,
    their order hardly changes. Fewer than m rows come back when there are fewer items; one item scores 0.

    Z: real [n, d]. InputError: bad values in Z, m or k.
    """
    from unlabeled.data.storage import gather
    from unlabeled.parts.assign import blocks, check_vectors
    from unlabeled.representation.index import unit

    Z = check_vectors(Z)
    if m < 1 or k < 1:
        raise InputError(f"m={m!r}, k={k!r}: wanted 1 or more of each")
    n = len(Z)
    if n == 1:
        return [0], [0.0]
    import faiss

    center = sum(block.sum(dim=0).double() for block in blocks(Z)).numpy() / n  # type: ignore[union-attr]
    center = center.astype(np.float32)
    drawn = np.arange(n) if n <= REFERENCE else np.sort(np.random.default_rng(seed).choice(n, REFERENCE, replace=False))
    reference = gather(Z, drawn).astype(np.float32)
    median = float(np.median(np.linalg.norm(reference - center, axis=1)))

    def place(rows: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(rows - center, axis=1, keepdims=True)
        return unit(rows, center) * np.maximum(1, length / (FAR * median) if median > 0 else 1)

    index: Any = faiss.IndexFlatL2(Z.shape[1])
    index.add(place(reference))
    k = min(k, len(drawn) - 1)
    score, start = np.empty(n, np.float32), 0
    for block in blocks(Z):
        rows = np.arange(start, start + len(block))
        squared, near = index.search(place(block.numpy()), k + 1)
        own = drawn[near] == rows[:, None]
        own[~own.any(axis=1), -1] = True  # not in the reference, or tied with others: the farthest goes
        distance = np.sqrt(np.maximum(squared[~own].reshape(len(rows), k), 0))
        score[rows] = distance.mean(axis=1)
        start += len(block)
    order = np.argsort(-score, kind="stable")[:m]
    return order.tolist(), score[order].tolist()
