"""Vectors of single words that stay as they are: from a word model, or MiniLM's word pieces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlabeled.encoders import Inputs, encoder


def minilm_words(words: Sequence[str]) -> np.ndarray:
    """MiniLM's input embeddings of words, each the mean of its pieces': float32 [n, 384]. Nothing of the transformer is run."""
    net = _minilm()
    table = net.transformer.get_input_embeddings().weight.detach().cpu().numpy()
    pieces = net.tokenize(list(words))
    return np.stack([table[np.array(row) - 1].mean(axis=0) if row else np.zeros(table.shape[1], np.float32) for row in pieces])


@lru_cache(maxsize=1)
def _minilm() -> Any:
    return encoder("minilm", Inputs("text"))


def levelled(vectors: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """How vectors [n, d] are brought to at most `dim` principal axes, mean 0 and mean square 1: a centre [d] and a matrix [d, dim or d],
    so that (vectors - centre) @ matrix is it."""
    centre = vectors.mean(axis=0, dtype=np.float64)
    held = vectors - centre
    matrix = np.eye(vectors.shape[1]) if dim >= vectors.shape[1] else np.linalg.eigh(held.T @ held)[1][:, : -dim - 1 : -1]
    spread = float(np.sqrt(np.mean(np.square(held @ matrix))))
    return centre.astype(np.float32), (matrix / (spread or 1.0)).astype(np.float32)


def raw_vectors(words: Sequence[str], model: Any = None) -> tuple[list[str], np.ndarray]:
    """Which of the words are known, and their vectors float32 [known, d]. model: has `word in model` and `vector(word)`; None: MiniLM's."""
    if model is None:
        return list(words), minilm_words(words) if len(words) else np.zeros((0, 384), np.float32)
    known = [word for word in words if word in model]
    return known, np.stack([model.vector(word) for word in known]) if known else np.zeros((0, 0), np.float32)


class Levelled(nn.Module):
    """What `levelled` found, kept with a network: `centre` [d] and `axes` [d, dim]."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(width, dim))

    def look_up(self, texts: Sequence[Sequence[str]], model: Any = None) -> tuple[Tensor, list[np.ndarray]]:
        """A table [words, dim] of the texts' words that are known, and each text as rows of it, int64."""
        known, vectors = raw_vectors(sorted({word for text in texts for word in text}), model)
        number = {word: i for i, word in enumerate(known)}
        table = (
            (torch.from_numpy(vectors).to(self.centre) - self.centre) @ self.axes if known else self.axes.new_zeros(1, self.axes.shape[1])
        )
        return table, [np.array([number[word] for word in text if word in number], np.int64) for text in texts]


def padded(table: Tensor, rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Texts as vectors [n, longest, d], zeros behind their end, at least one place; and their sizes int64 [n]."""
    x = nn.utils.rnn.pad_sequence([table[torch.from_numpy(row).to(table.device)] for row in rows], batch_first=True)
    sizes = torch.tensor([len(row) for row in rows], device=table.device)
    return x if x.shape[1] else x.new_zeros(len(rows), 1, table.shape[1]), sizes
