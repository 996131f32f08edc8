"""A vector for every token of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from unlabeled.encoders import Inputs, encoder
from unlabeled.encoders.text import HuggingFaceText
from unlabeled.errors import InputError

BATCH = 4096  # tokens in a batch, padding included


@torch.no_grad()
def token_states(
    texts: Sequence[str], which: Any = "minilm", length: int | None = None, layer: int = -1, device: str = "cpu"
) -> list[np.ndarray]:
    """The hidden states of each text's tokens, [CLS] and [SEP] among them, no padding: n arrays float32 [tokens, width].

    which: the name of a text encoder with a transformer ("minilm", a Hugging Face folder or id), or such an encoder. Texts are
    cut after `length` tokens (default: where the encoder cuts). layer: whose states, 0 the word embeddings, -1 the last layer.
    Not made unit. InputError: not a list of texts, another encoder, a layer that it hasn't.
    """
    if isinstance(texts, str) or not all(isinstance(one, str) for one in texts):
        raise InputError("texts must be a list of str")
    net = encoder(which, Inputs("text"))
    if not isinstance(net, HuggingFaceText):
        raise InputError(f"encoder {which!r} has one vector a text, none for its tokens: wanted minilm, or a Hugging Face text model")
    depth = net.transformer.config.num_hidden_layers
    if not -1 - depth <= layer <= depth:
        raise InputError(f"layer={layer}: encoder {which!r} has layers 0 to {depth}, or -1 for the last")
    transformer = net.transformer.to(device).eval()
    room = (net.length if length is None else min(length, net.length)) - len(net.before) - len(net.after)
    rows = [[*net.before, *(token - 1 for token in row[:room]), *net.after] for row in net.tokenize(texts)]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # texts of one length together: little padding
    states: dict[int, np.ndarray] = {}
    while len(states) < len(order):
        start = len(states)
        many = max(1, BATCH // len(rows[order[min(start + 31, len(order) - 1)]]))
        batch = order[start : start + min(many, 32)]
        longest = max(len(rows[i]) for i in batch)
        ids = torch.tensor([rows[i] + [0] * (longest - len(rows[i])) for i in batch], device=device)
        mask = torch.tensor([[1] * len(rows[i]) + [0] * (longest - len(rows[i])) for i in batch], device=device)
        hidden = transformer(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[layer].float().cpu().numpy()
        states |= {i: one[: len(rows[i])].copy() for i, one in zip(batch, hidden, strict=True)}
    return [states[i] for i in range(len(rows))]
