"""Has a representation collapsed?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.evaluate.labelfree import mean_cosine, rankme, std_sqrt_d
from unlabeled.parts.assign import check_vectors


@dataclass(frozen=True)
class Collapse:
    collapsed: bool
    verdict: str  # one sentence for people
    std_sqrt_d: float
    mean_cosine: float
    rankme: float
    dim: int


def collapse(Z: Any) -> Collapse:
    """Whether the vectors Z [n, d] still tell items apart, and a plain sentence on it.

    No single number will do: features after a ReLU have a high mean cosine by nature, an output batch norm hides a collapse
    from the standard deviation, and the rank of centred noise is high. So four things are looked at, each of which has to be
    extreme: what is left of the vectors' length when their mean is taken off, the share of the variance on the first axis,
    the number of directions that carry it, and how many vectors are different at all.
    """
    try:
        X = np.asarray(check_vectors(Z, least=2), dtype=np.float64)
    except InputError as error:
        if "NaN" in str(error):
            return Collapse(True, "The vectors hold NaN or infinity: training has diverged; lower the learning rate.", 0.0, 1.0, 1.0, 0)
        raise
    U = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    centred = U - U.mean(axis=0)
    left = float(np.square(centred).sum(axis=1).mean())  # 1 - |mean direction|^2, what is left beside the common direction
    gram = centred.T @ centred if X.shape[0] >= X.shape[1] else centred @ centred.T
    variance = np.clip(np.linalg.eigvalsh(gram), 0, None)
    directions = float(variance.sum() ** 2 / max(np.square(variance).sum(), 1e-30))  # participation ratio
    different = len(np.unique(np.round(centred / max(np.sqrt(left), 1e-9), 2), axis=0)) if left > 1e-9 else 1
    measured = {"std_sqrt_d": std_sqrt_d(X), "mean_cosine": mean_cosine(X), "rankme": rankme(X), "dim": X.shape[1]}
    verdict = ""
    if left < 1e-3:
        verdict = f"The representation has collapsed: {1 - left:.1%} of every vector is one common direction, items can hardly be told apart."
    elif X.shape[1] > 2 and len(X) > 4 and directions < 1.1:
        verdict = "The representation has collapsed onto a line: all items differ along one direction only."
    elif different <= max(2, len(X) // 100) and len(X) >= 20:
        verdict = f"The representation has collapsed to points: {len(X):,} items share {different} different vectors."
    if verdict:
        return Collapse(True, verdict, **measured)
    sound = f"No collapse: items spread over about {directions:.0f} of {X.shape[1]} directions (RankMe {measured['rankme']:.0f})."
    return Collapse(False, sound, **measured)
