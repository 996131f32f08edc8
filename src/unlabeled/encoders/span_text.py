"""A text encoder whose vector is that of a span within its text."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlabeled.encoders.text import HuggingFaceText, pool_tokens
from unlabeled.views.text import pack


class SpanText(HuggingFaceText):
    """A text encoder whose vector is the mean of the states of a span: "the \\0ice age\\0 ended"; without marks, of the whole text.

    forward: int64 [n, length] with an id of its own before and behind the span -> [n, width]. The transformer doesn't see the two.
    mask: with which chance a token of the span is replaced by [MASK], so that what stands around has to tell.
    """

    def __init__(self, base: HuggingFaceText, length: int):
        base = copy.deepcopy(base)
        parts: dict[str, Any] = {"unit": base.unit, "pool": base.pool, "dense": [*base.dense], "lower": base.lower}
        super().__init__(base.transformer, base.tokenizer, min(length, base.length), **parts)
        self.begin = int(self.transformer.get_input_embeddings().num_embeddings) + 1  # type: ignore[operator]
        self.masked = (self.tokenizer.mask_token_id if self.tokenizer.mask_token_id is not None else self.tokenizer.unk_token_id) + 1

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Before, span and after each by itself, so that a span's tokens are its own; of long texts what is nearest to the span."""
        pieces = [text.split("\0") for text in texts]
        near = 16 * self.length  # characters: more than enough, and a text of a million words is quick
        cut = [[p[0][-near:], p[1][:near], p[2][:near]] if len(p) == 3 else ["", " ".join(p)[:near], ""] for p in pieces]
        flat = [(part.lower() if self.lower else part) for three in cut for part in three]
        ids: list[list[int]] = self.tokenizer(flat, add_special_tokens=False, verbose=False)["input_ids"] if flat else []
        room = self.length - len(self.before) - len(self.after)
        rows = []
        for i, p in enumerate(pieces):
            left, span, right = ([token + 1 for token in part] for part in ids[3 * i : 3 * i + 3])
            span = span[:room]
            side = (room - len(span)) // 2
            before = left[max(0, len(left) - max(side, room - len(span) - len(right))) :]
            after = right[: room - len(span) - len(before)]
            rows.append([*before, self.begin, *span, self.begin + 1, *after] if len(p) == 3 else span)
        return rows

    def forward(self, ids: Tensor, mask: float = 0.0) -> Tensor:
        begin, end = ids == self.begin, ids == self.begin + 1
        inside = (begin.cumsum(1) > end.cumsum(1)) & ~begin
        inside |= ~begin.any(dim=1, keepdim=True) & (ids != 0)
        if mask:
            ids = torch.where(inside & (torch.rand(ids.shape, device=ids.device) < mask), self.masked, ids)
        both = pack(ids * 2 + inside, ~begin & ~end)  # what is inside goes with its token to its new place
        hidden, real = self.states(both // 2)
        span = torch.zeros_like(real)
        span[:, len(self.before) : len(self.before) + both.shape[1]] = both % 2 == 1
        return self.dense(pool_tokens(hidden, torch.where(span.any(dim=1, keepdim=True), span, real), "mean"))
