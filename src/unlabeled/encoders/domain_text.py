"""A text encoder with experts for several domains, and a token that says which one a text is of."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.encoders.text import HuggingFaceText, transformer_of_texts
from unlabeled.errors import InputError
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.experts import only, upcycle

MARK = re.compile("\0([0-9]+)\0")  # before a text: the number of its domain


class DomainText(HuggingFaceText):
    """A text encoder with an expert for each of n domains. Made by `upcycle_moe`.

    tokenize: a text that begins with "\\0d\\0" is of domain d, which its first id says. forward: int64 [n, length] -> [n, width];
    texts without a domain get the mean of what they are in all of them.
    """

    def __init__(self, base: HuggingFaceText, n: int, layers: str | Sequence[int], routing: str, token: bool, length: int):
        base = copy.deepcopy(base)
        super().__init__(
            base.transformer, base.tokenizer, min(length, base.length), base.unit, base.pool, [*base.dense], base.lower, base.prompt
        )
        if token and not self.before:
            raise InputError("this encoder puts nothing before a text that a domain's token could replace: domain_token=False")
        words: Any = self.transformer.get_input_embeddings()
        self.n, self.learned, self.words = n, routing == "learned", int(words.num_embeddings)
        self.placed = upcycle(self.transformer, n, int(self.transformer.config.hidden_size), layers, self.learned)
        # A domain's token replaces the first one, [CLS]. It starts as that, so at first nothing has changed.
        self.domains = nn.Embedding.from_pretrained(words.weight[self.before[0]].detach().repeat(n, 1), freeze=False) if token else None

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        found = [MARK.match(text) for text in texts]
        rows = super().tokenize([text[one.end() :] if one else text for text, one in zip(texts, found, strict=True)])
        return [[self.words + 1 + int(one[1]), *row] if one else row for row, one in zip(rows, found, strict=True)]

    def forward(self, ids: Tensor) -> Tensor:
        domain = ids[:, 0] - self.words - 1
        known = domain >= 0
        if known.all():
            return self._known(ids[:, 1:], domain)
        if known.any():
            out = torch.zeros(len(ids), self.width, device=ids.device)
            for rows in (known, ~known):
                out[rows] = self.forward(ids[rows]).float()
            return out
        if self.learned and self.domains is None:  # nobody asks for the domain
            return self._known(ids, domain)
        z = torch.stack([self._known(ids, torch.full_like(domain, d)) for d in range(self.n)]).mean(dim=0)
        return nn.functional.normalize(z, dim=1) if self.unit else z

    def _known(self, ids: Tensor, domain: Tensor) -> Tensor:
        full, mask = self.whole(ids)
        x = self.transformer.get_input_embeddings()(full)
        if self.domains is not None:
            x = torch.cat([self.domains(domain)[:, None], x[:, 1:]], dim=1)
        for experts in self.placed:
            experts.domain = domain
        return self.pooled(self.transformer(inputs_embeds=x, attention_mask=mask.long()).last_hidden_state, mask)

    def expert(self, d: int) -> HuggingFaceText:
        """The encoder of one domain alone, without a mixture: as large as the base, and the same vectors."""
        if self.learned:
            raise InputError("with a learned router no domain has experts of its own: there is no encoder of one domain")
        transformer = copy.deepcopy(self.transformer)
        only(transformer, d)
        if self.domains is not None:
            with torch.no_grad():
                transformer.get_input_embeddings().weight[self.before[0]] = self.domains.weight[d]
        return HuggingFaceText(
            transformer, self.tokenizer, self.length, self.unit, self.pool, copy.deepcopy([*self.dense]), self.lower, self.prompt
        )


def upcycle_moe(
    encoder: nn.Module,
    n_experts: int,
    layers: str | Sequence[int] = "all",
    routing: str = "enforced",
    domain_token: bool = True,
    length: int = 512,
) -> DomainText:
    """A copy of a text encoder with n_experts copies of the feed-forward part in every block (or those in `layers`, counted from 0).

    At first it gives what the encoder gives, bit for bit where experts are told. InputError: no transformer for texts.
    """
    base = transformer_of_texts(encoder)
    one_of("routing", routing, ("enforced", "learned"))
    return DomainText(base, whole("n_experts", n_experts), layers, routing, domain_token, whole("length", length, 3))
