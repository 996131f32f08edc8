"""Is an encoder of texts better after a training than before it? Asked without labels, of texts that it did not learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unlabeled.data import Items
from unlabeled.learner import Learner, Source, batches
from unlabeled.parts.losses import decoupled_uniformity
from unlabeled.parts.scale import unit
from unlabeled.views.text import pack

PIECE = 32  # texts that go through the encoder at once
LEAST, DRAWS = 50, 3  # texts that are needed, and how often each is cut in two


def found(fitted: Learner, texts: Items) -> np.ndarray:
    """How well halves find each other: of each text 1 / the rank of its other half, both ways averaged, float64 [n]. A tie is a miss.

    By cosine after the mean of each side is taken off. Each token goes to one of the halves by chance, so that both say the same:
    the first half of a sentence and its second do not. Mean of `DRAWS` draws. Texts of fewer than 4 tokens are left out.
    """
    net: Any = fitted.net_
    source = Source(texts, net.encode, fitted.inputs_)
    rows = source.order()[np.sort(source.lengths) >= 4]
    ranks = np.zeros((DRAWS, 2, len(rows)))
    generator = torch.Generator().manual_seed(0)  # the same halves before and after
    for draw in ranks if len(rows) else ():
        parts: list[list[np.ndarray]] = [[], []]
        with torch.inference_mode():
            for index in batches(rows, PIECE):
                ids = source.take(index)
                place = torch.rand(ids.shape, generator=generator).masked_fill(ids == 0, 2).argsort(dim=1).argsort(dim=1)
                first = place < (ids != 0).sum(dim=1, keepdim=True) // 2
                for side, keep in zip(parts, (first, ~first), strict=True):
                    side.append(fitted.embed(net, pack(ids, keep)).float().cpu().numpy())
        A, B = (np.concatenate(side).astype(np.float64) for side in parts)
        A, B = (unit(Z - Z.mean(axis=0)) for Z in (A, B))
        cosine = A @ B.T
        own = cosine.diagonal() - 1e-6  # nearer to each other than float32 tells is a tie
        draw[:] = 1 / (cosine >= own[:, None]).sum(axis=1), 1 / (cosine >= own).sum(axis=0)
    return ranks.mean(axis=(0, 1))


def compared(start: Learner, trained: Learner, texts: Items) -> dict[str, float]:
    """What two encoders make of texts: even_start, even, their uniformity (lower is more even); start, trained, means of what `found`
    says, gain and error, the mean of the paired differences and its standard error."""
    if not len(texts):
        return {"texts": 0, "even_start": 0.0, "even": 0.0, "start": 0.0, "trained": 0.0, "gain": 0.0, "error": 0.0}
    even = [
        float(decoupled_uniformity(torch.from_numpy(unit(one.transform(texts))))) if len(texts) > 1 else 0.0 for one in (start, trained)
    ]
    before, after = found(start, texts), found(trained, texts)
    gain = after - before if len(before) else np.zeros(1)
    error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else 0.0
    means = [float(one.mean()) if len(one) else 0.0 for one in (before, after, gain)]
    return dict(zip(("texts", "even_start", "even", "start", "trained", "gain", "error"), (len(texts), *even, *means, error), strict=True))


def better(said: dict[str, float]) -> bool:
    """Whether what `compared` says is for the trained encoder."""
    return said["texts"] >= LEAST and said["even"] < said["even_start"] and said["gain"] > -2 * said["error"]
