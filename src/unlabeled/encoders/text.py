"""Text encoders. Each turns texts into token ids with `tokenize` and ids into vectors with `forward`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.parts.cooccurrence import WORD


class NgramBag(nn.Module):
    """A bag of hashed words and word pairs, weighted by rarity: needs no model, no vocabulary and no download.

    forward: int64 [n, length] (0 = padding) -> [n, width], the mean of the tokens' vectors, each weighted by the inverse
    document frequency that `prepare` measured. Untrained, it is a random projection of TF-IDF (Johnson-Lindenstrauss).
    """

    kind = "text"

    def __init__(self, width: int = 256, buckets: int = 2**17, length: int = 256, pairs: bool = True):
        super().__init__()
        self.width, self.buckets, self.length, self.pairs = width, buckets, length, pairs
        self.vectors = nn.Embedding(buckets, width, padding_idx=0)
        nn.init.normal_(self.vectors.weight, std=width**-0.5)
        with torch.no_grad():
            self.vectors.weight[0] = 0
        self.register_buffer("idf", torch.ones(buckets))

    def tokenize(self, texts: Iterable[str]) -> list[list[int]]:
        """The first `length` words of each text as ids from 1 to buckets - 1. Hashes are the same on every machine."""
        seen: dict[str, int] = {}

        def number(word: str) -> int:
            if word not in seen:
                seen[word] = zlib.crc32(word.encode("utf-8", "replace")) % (self.buckets - 1) + 1
            return seen[word]

        return [[number(word) for word in WORD.findall(text.lower())[: self.length]] for text in texts]

    def grams(self, ids: Tensor) -> Tensor:
        """Words and, after them, pairs of neighbours: int64 [n, length] -> [n, 2 * length - 1]."""
        if not self.pairs or ids.shape[1] < 2:
            return ids
        left, right = ids[:, :-1], ids[:, 1:]
        pair = (left * 1_000_003 + right) % (self.buckets - 1) + 1
        return torch.cat([ids, torch.where((left != 0) & (right != 0), pair, 0)], dim=1)

    @torch.no_grad()
    def prepare(self, batches: Iterable[Tensor], n: int) -> None:
        """Count in how many of the n texts each gram occurs."""
        count = torch.zeros(self.buckets)
        for ids in batches:
            grams = self.grams(ids).sort(dim=1).values
            first = torch.ones_like(grams, dtype=torch.bool)
            first[:, 1:] = grams[:, 1:] != grams[:, :-1]
            count += torch.bincount(grams[first & (grams != 0)], minlength=self.buckets).float()
        self.idf.copy_(torch.log((1 + n) / (1 + count)) + 1)

    def forward(self, ids: Tensor) -> Tensor:
        grams = self.grams(ids)
        weight = self.idf[grams] * (grams != 0)
        weight = weight / weight.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-6)
        return nn.functional.embedding_bag(grams, self.vectors.weight, per_sample_weights=weight, mode="sum")


POOLS = ("mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def pool_tokens(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector of each text's tokens: hidden [n, length, d], mask bool [n, length] -> [n, d]. how: one of `POOLS`, by their names
    in sentence-transformers."""
    weight = mask.to(hidden.dtype)
    if how == "cls":
        return hidden[:, 0]
    if how == "max":
        return hidden.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)
    if how == "lasttoken":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1).clamp(min=1) - 1]
    if how == "weightedmean":  # later tokens count more
        weight = weight * torch.arange(1, mask.shape[1] + 1, device=mask.device)
    total, size = (hidden * weight[:, :, None]).sum(dim=1), weight.sum(dim=1, keepdim=True).clamp(min=1)
    return total / (size.sqrt() if how == "mean_sqrt_len_tokens" else size)


class HuggingFaceText(nn.Module):
    """A transformer whose last hidden states are pooled. transformer: any `transformers` encoder; tokenizer: its own.

    forward: int64 [n, length] without special tokens (0 = padding, ids shifted by one) -> [n, width]. Words are cut after
    `length` tokens, special tokens included. pool: some of `POOLS`, side by side. dense: layers behind them. unit: length 1.
    lower, prompt: what is done to every text, and put before it.
    """

    kind = "text"
    rows = 32  # embedded at once: on a CPU four times as fast as 512, whose activations no cache holds

    def __init__(
        self,
        transformer: nn.Module,
        tokenizer: Any,
        length: int = 256,
        unit: bool = False,
        pool: Sequence[str] = ("mean",),
        dense: Sequence[nn.Module] = (),
        lower: bool = False,
        prompt: str = "",
    ):
        super().__init__()
        self.transformer, self.tokenizer, self.unit, self.pool = transformer, tokenizer, unit, tuple(pool)
        self.dense, self.lower, self.prompt = nn.Sequential(*dense), lower, prompt
        config: Any = transformer.config
        linear = [layer for layer in self.dense.modules() if isinstance(layer, nn.Linear)]
        self.width = linear[-1].out_features if linear else int(config.hidden_size) * len(self.pool)
        self.length = min(length, int(getattr(config, "max_position_embeddings", length)))
        whole, core = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
        at = next(i for i in range(len(whole)) if whole[i : i + len(core)] == core)
        self.before, self.after = whole[:at], whole[at + len(core) :]  # [CLS] and [SEP], or what takes their place

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        room = self.length - len(self.before) - len(self.after)
        rows: list[list[int]] = []
        for i in range(0, len(texts), 1024):
            part = [self.prompt + (text.lower() if self.lower else text) for text in texts[i : i + 1024]]
            encoded = self.tokenizer(part, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
            rows += [[token + 1 for token in ids] for ids in encoded]
        return rows

    def whole(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What the transformer reads: ids with its special tokens, and a mask of what is no padding, [n, length + special] each."""
        n, device = len(ids), ids.device
        size = (ids != 0).sum(dim=1)
        head, tail = len(self.before), len(self.after)
        full = torch.zeros(n, head + ids.shape[1] + tail, dtype=torch.long, device=device)
        full[:, :head] = torch.tensor(self.before, dtype=torch.long, device=device)
        full[:, head : head + ids.shape[1]] = (ids - 1).clamp(min=0)
        place = head + size[:, None] + torch.arange(tail, device=device)
        if tail:
            full.scatter_(1, place, torch.tensor(self.after, dtype=torch.long, device=device).expand(n, tail))
        mask = torch.arange(full.shape[1], device=device) < (head + size + tail)[:, None]
        return full * mask, mask

    def states(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden states [n, length + special, d] and their mask."""
        full, mask = self.whole(ids)
        return self.transformer(input_ids=full, attention_mask=mask.long()).last_hidden_state, mask

    def pooled(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Vectors [n, width] of hidden states."""
        z = self.dense(torch.cat([pool_tokens(hidden, mask, how) for how in self.pool], dim=1))
        return nn.functional.normalize(z, dim=1) if self.unit else z

    def forward(self, ids: Tensor) -> Tensor:
        return self.pooled(*self.states(ids))


def transformer_of_texts(net: nn.Module) -> HuggingFaceText:
    """The encoder itself. InputError: it is no transformer of texts."""
    if not isinstance(net, HuggingFaceText):
        raise InputError(f"{type(net).__name__} is no transformer of texts: wanted encoder minilm, minilm3, or a Hugging Face text model")
    return net
