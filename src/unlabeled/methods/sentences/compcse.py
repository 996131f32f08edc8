"""CompCSE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unlabeled.learner import Net
from unlabeled.methods.sentences.sentence_contrast import SentenceContrast, encoded, side_by_side
from unlabeled.parts.checks import one_of, whole
from unlabeled.views.text import pack


@dataclass(frozen=True)
class InTwo:
    """Views: the first `tokens` tokens of each text, and that cut in two. Called with int64 [n, length], 0 = padding.

    split: "random", anywhere in the middle half, or "middle". Of a text of fewer than 4 tokens both parts are the whole.
    """

    tokens: int = 30
    split: str = "random"

    def __call__(self, ids: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        ids = pack(ids[:, : self.tokens])
        size = (ids != 0).sum(dim=1)
        at = torch.rand(len(ids), generator=generator, device=ids.device) if self.split == "random" else torch.tensor(0.5)
        cut = (size * (0.25 + 0.5 * at)).round().long()[:, None]
        place, whole_text = torch.arange(ids.shape[1], device=ids.device), (size < 4)[:, None]
        return [ids, pack(ids, (place < cut) | whole_text), pack(ids, (place >= cut) | whole_text)]


@dataclass(kw_only=True, eq=False)
class CompCSE(SentenceContrast):
    """SimCSE whose positive is what a sentence's two parts say together.

    Chanchani and Huang, 2023, "Composition-contrastive Learning for Sentence Embeddings", arXiv:2307.07380. A sentence is cut in
    two, both parts are encoded, and their vectors composed, before the head: that is the positive of the whole sentence. A step
    encodes half as much again as SimCSE's. fit takes texts, transform gives float32 [n, width]; InputError as for every sentence
    encoder. views: a callable that gives a text and its two parts.

    >>> vectors = CompCSE().fit(sentences).transform(sentences)
    """

    split: str = "random"  # or "middle"
    compose: str = "avg"  # or "cat", the first half of the left part's coordinates and the second of the right's; or "max"
    d0: int | None = None  # so many first coordinates are contrasted; None: all

    def check(self) -> None:
        super().check()
        one_of("split", self.split, ("random", "middle"))
        one_of("compose", self.compose, ("avg", "cat", "max"))
        if self.d0 is not None:
            whole("d0", self.d0, 1)

    def default_views(self, kind: str) -> Any:
        return InTwo(self.length - 2, self.split)

    def pair(self, net: Net, views: list[Tensor]) -> tuple[Tensor, Tensor]:
        text, left, right = encoded(net.encode, side_by_side(*views)).chunk(3)
        z, positive = net.project(torch.cat([text, self.composed(left, right)])).chunk(2)
        return z[:, : self.d0], positive[:, : self.d0]

    def composed(self, left: Tensor, right: Tensor) -> Tensor:
        """One vector of the two parts' vectors, [n, d] each -> [n, d]."""
        if self.compose == "cat":
            half = left.shape[1] // 2
            return torch.cat([left[:, :half], right[:, half:]], dim=1)
        return torch.maximum(left, right) if self.compose == "max" else (left + right) / 2
