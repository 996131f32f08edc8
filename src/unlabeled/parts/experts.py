"""The feed-forward part of a transformer's blocks, several times: one for each domain, or chosen token by token."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlabeled.errors import InputError
from unlabeled.parts.checks import whole

ACTIVE = 2  # experts of a token where a router chooses


class FeedForward(nn.Module):
    """Both halves of BERT's feed-forward part as one: x, residual -> output(intermediate(x), residual)."""

    def __init__(self, intermediate: nn.Module, output: nn.Module):
        super().__init__()
        self.intermediate, self.output = intermediate, output

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.output(self.intermediate(x), residual)


class Experts(nn.Module):
    """n copies of a module (Komatsuzaki et al., 2022, "Sparse Upcycling", arXiv:2212.05055). x [texts, tokens, d] -> the same shape.

    By default all tokens of a text go to the expert that `domain`, int64 [texts], names: set it before each forward pass. learned:
    each token to the two experts that a linear router gives most, weighted by its softmax over the two; at first they are equals.
    """

    def __init__(self, expert: nn.Module, n: int, width: int, learned: bool = False):
        super().__init__()
        self.experts = nn.ModuleList([copy.deepcopy(expert) for _ in range(n)])
        self.route = nn.Linear(width, n, bias=False) if learned else None
        self.domain: Tensor | None = None

    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        if self.route is not None:
            return self._chosen(x, *more)
        assert self.domain is not None
        first = int(self.domain[0])
        if bool((self.domain == first).all()):  # as in training; what the one module gave, bit for bit
            return self.experts[first](x, *more)
        parts = torch.empty_like(x)
        for number in self.domain.unique().tolist():
            rows = self.domain == number
            parts[rows] = self.experts[number](x[rows], *(one[rows] for one in more)).to(parts.dtype)
        return parts

    def _chosen(self, x: Tensor, *more: Tensor) -> Tensor:
        assert self.route is not None
        flat, others = x.flatten(0, 1), [one.flatten(0, 1) for one in more]
        score, chosen = self.route(flat).float().topk(min(ACTIVE, len(self.experts)), dim=1)
        weight, total = score.softmax(dim=1), torch.zeros_like(flat, dtype=torch.float32)
        for number, expert in enumerate(self.experts):
            token, place = (chosen == number).nonzero(as_tuple=True)
            part = expert(flat[token], *(one[token] for one in others)).float() * weight[token, place, None]
            total = total.index_add(0, token, part)
        return total.view_as(x).to(x.dtype)


def blocks_of(transformer: nn.Module) -> list[nn.Module]:
    """The transformer's blocks, first to last: what has an attention and a feed-forward part."""
    found = [m for m in transformer.modules() if (hasattr(m, "attention") or hasattr(m, "attn")) and _slot(m)]
    if not found:
        raise InputError(f"{type(transformer).__name__} has no blocks whose feed-forward part is known: wanted one of BERT's kind")
    return found


def upcycle(transformer: nn.Module, n: int, width: int, layers: str | Sequence[int] = "all", learned: bool = False) -> list[Experts]:
    """Put n experts into the place of the feed-forward part, in every block or in those numbered, within `transformer`.

    Returns them. InputError: another architecture, no such layer.
    """
    blocks, placed = blocks_of(transformer), []
    numbers = range(len(blocks)) if isinstance(layers, str) and layers == "all" else layers
    if isinstance(numbers, str) or not len(numbers) or any(not 0 <= whole("a layer", one, -1) < len(blocks) for one in numbers):
        raise InputError(f'layers={layers!r}: wanted "all", or numbers from 0 to {len(blocks) - 1}')
    for number in sorted(set(numbers)):
        block, slot = blocks[number], _slot(blocks[number])
        part = FeedForward(block.intermediate, block.output) if slot == "output" else getattr(block, slot)
        placed.append(Experts(part, n, width, learned))
        setattr(block, slot, placed[-1])
        if slot == "output":
            block.intermediate = nn.Identity()  # the block calls both; the experts hold both
    return placed


def only(transformer: nn.Module, number: int) -> None:
    """Leave one expert in each place, within `transformer`: a model of the architecture that it was before."""
    for block in blocks_of(transformer):
        slot = _slot(block)
        experts = getattr(block, slot)
        if isinstance(experts, Experts):
            kept = experts.experts[number]
            setattr(block, slot, kept.output if isinstance(kept, FeedForward) else kept)
            if isinstance(kept, FeedForward):
                block.intermediate = kept.intermediate


def _slot(block: nn.Module) -> str:
    """Where a block keeps its feed-forward part, "" if it has none."""
    children = dict(block.named_children())
    if {"intermediate", "output"} <= children.keys():
        return "output"
    return next((name for name in ("ffn", "mlp") if name in children), "")
