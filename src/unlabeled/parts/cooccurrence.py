"""Which words stand near which, and word vectors made of nothing but these counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array, diags_array

from unlabeled.errors import InputError

WORD = re.compile(r"\w+")


def frequent_words(texts: Sequence[str], size: int, least: int = 5) -> list[str]:
    """The `size` most frequent words (lower case) that occur at least `least` times, ties in the order of the alphabet."""
    counts = Counter(word for text in texts for word in WORD.findall(text.lower()))
    return sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))[:size]


def cooccurrence(texts: Sequence[str], words: Sequence[str], window: int = 5, weighting: str = "1/d") -> csr_array:
    """How often two words stand within `window` words of each other in a text: symmetric csr_array float64 [v, v], in the order of `words`.

    weighting: "1/d" counts a pair at distance d as 1 / d, "flat" as 1. Words that aren't listed take up room, but don't count.
    InputError: no words, a word listed twice, an unknown weighting.
    """
    number = {word: i for i, word in enumerate(words)}
    if not number or len(number) < len(words):
        raise InputError(f"words lists {len(words)}, {len(number)} of them different: wanted one or more, each once")
    if weighting not in ("1/d", "flat") or window < 1:
        raise InputError(f"weighting={weighting!r}, window={window}: wanted '1/d' or 'flat', and 1 or more")
    gap = [-1] * window  # between texts, so that no pair reaches over
    ids = np.array([one for text in texts for one in [*(number.get(word, -1) for word in WORD.findall(text.lower())), *gap]], np.int64)
    total = csr_array((len(number), len(number)))
    for d in range(1, window + 1):
        left, right = ids[:-d], ids[d:]
        both = (left >= 0) & (right >= 0)
        ones = np.full(int(both.sum()), 1 / d if weighting == "1/d" else 1.0)
        total = total + coo_array((ones, (left[both], right[both])), shape=total.shape).tocsr()
    return csr_array(total + total.T)


def ppmi(counts: Any, power: float = 0.75) -> csr_array:
    """max(0, log p(w, c) / (p(w) p(c))) of counts [v, v], contexts' counts taken to the `power` (Levy et al., 2015): csr_array [v, v]."""
    rows, columns = (np.asarray(counts.sum(axis=a)).ravel() for a in (1, 0))
    columns = columns**power / max((columns**power).sum(), 1e-30)
    with np.errstate(divide="ignore"):
        scaled = diags_array(np.where(rows > 0, 1 / rows, 0)) @ csr_array(counts) @ diags_array(np.where(columns > 0, 1 / columns, 0))
    scaled = csr_array(scaled)
    scaled.data = np.maximum(np.log(scaled.data), 0)
    scaled.eliminate_zeros()
    return scaled


def ppmi_vectors(counts: Any, dim: int, seed: int = 0) -> np.ndarray:
    """Word vectors float32 [v, dim] from the truncated SVD of the PPMI matrix, singular values to the power of 1/2."""
    from sklearn.utils.extmath import randomized_svd

    U, s, _ = randomized_svd(ppmi(counts), dim, random_state=seed)
    return (U * np.sqrt(s)).astype(np.float32)


def skip_gram_vectors(counts: Any, dim: int, *, negatives: float = 5, steps: int = 100, lr: float = 0.05, seed: int = 0) -> np.ndarray:
    """Word vectors float32 [v, dim] of skip-gram with negative sampling, by Adam on its expected loss over all pairs of words.

    Mikolov et al., 2013, arXiv:1310.4546: words and contexts are drawn in proportion to `counts` [v, v], and negatives to the power
    3/4 of how often they occur. With all v x v pairs in every step there is no sampling noise; meant for some thousand words.
    """
    P = torch.as_tensor(counts.toarray() if hasattr(counts, "toarray") else np.asarray(counts), dtype=torch.float32)
    P = P / P.sum()
    drawn = P.sum(dim=0) ** 0.75
    N = negatives * P.sum(dim=1)[:, None] * (drawn / drawn.sum())
    generator = torch.Generator().manual_seed(seed)
    U, W = (torch.randn(len(P), dim, generator=generator).div_(dim**0.5).requires_grad_() for _ in range(2))
    optimizer = torch.optim.Adam([U, W], lr=lr)
    both = P + N
    for _ in range(steps):
        with torch.no_grad():  # the gradient of -P log s(UW') - N log s(-UW'), by hand: no v x v graph is kept
            G = torch.sigmoid(U @ W.T).mul_(both).sub_(P)
            U.grad, W.grad = G @ W, G.T @ U
        optimizer.step()
    return U.detach().numpy()
