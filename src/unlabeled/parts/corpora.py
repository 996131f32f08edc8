"""Corpora made of others."""

from __future__ import annotations

import numpy as np

from unlabeled.parts.skipgram import Corpus


def mixed(texts: Corpus, edges: Corpus, times: list[int], rng: np.random.Generator) -> Corpus:
    """One corpus of texts and pairs in random order, edge i as often as times[i] says: the rate, which falls, is for both alike."""
    which = rng.permutation(np.concatenate([np.arange(len(texts)), len(texts) + np.repeat(np.arange(len(edges)), times)]))
    begin = np.concatenate([texts.starts, edges.starts[1:] + texts.starts[-1]])
    length = np.diff(begin)[which]
    starts = np.concatenate([[0], np.cumsum(length)])
    place = np.arange(starts[-1]) + np.repeat(begin[which] - starts[:-1], length)
    return Corpus(np.concatenate([texts.tokens, edges.tokens])[place], starts)
