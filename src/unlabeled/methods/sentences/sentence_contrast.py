"""What SimCSE and its relatives share: two vectors of each sentence must find each other among those of the other sentences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from unlabeled.data import Items
from unlabeled.encoders.text import HuggingFaceText
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Progress
from unlabeled.methods.sentences.before_after import better, compared
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.weighted_nce import weighted_info_nce
from unlabeled.saving import read_config
from unlabeled.views.text import pack

PIECE = 32  # texts that go through the encoder at once
HELD = 1_000  # texts at most on which the encoder before and after is compared


@dataclass(frozen=True)
class Beginning:
    """The first `tokens` tokens of each text, as the one view. Called with int64 [n, length], 0 = padding."""

    tokens: int = 30

    def __call__(self, ids: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        return [pack(ids[:, : self.tokens])]


@dataclass(kw_only=True, eq=False)
class SentenceContrast(Learner):
    """The base of SimCSE, DCLR, ClusterNS and CompCSE: each says what a sentence's two vectors are, and what its negatives.

    fit takes texts, a sentence each; transform gives float32 [n, width] of the whole text, pooled, without the head that stands
    on the encoder in training. An encoder that is good already gets worse by this training, at a loss near zero. So a fifth of the
    texts (at most 1,000) is held out, and the trained encoder is taken only if it spreads them more evenly and if halves of a
    text, made by chance, find each other among those of the others no worse, up to two standard errors; else, and where fewer
    than 50 are held out, the encoder stays as it was, with a warning. Learned: `kept_start_`, whether it did; `comparison_`, the
    numbers; None with replace="always", which learns from all texts. That is cautious: measured, it kept MiniLM, whose neighbours
    SimCSE makes worse, but also minilm3 where judgements of likeness (STS-B) would have gained a lot: then say "always".
    InputError: not texts, parameters that can't be, an encoder without dropout where that makes the pair.
    """

    encoder: str | nn.Module = "minilm3"
    examples: int = 9_600  # 150 steps: more teach a small encoder nothing on short texts
    batch_size: int = 64
    lr: float = 1e-4
    weight_decay: float = 0.0
    temperature: float = 0.05
    length: int = 32  # tokens of a text in training, its two special ones among them
    freeze_embeddings: bool = True  # word vectors: most of the parameters, and half of the time
    replace: str = "if better"  # or "always": the encoder that it started from isn't kept, however good it was

    # What a system adds -------------------------------------------------------------------------------------------
    def pair(self, net: Net, views: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Two vectors [n, width] of each sentence: dropout makes them of one text, or they are of two views."""
        one, two = views if len(views) == 2 else views * 2
        z = net.project(encoded(net.encode, side_by_side(one, two)))
        return z[: len(one)], z[len(one) :]

    def negatives(self, net: Net, batch: Batch, z: Tensor, positive: Tensor) -> dict[str, Any]:
        """What `weighted_info_nce` is told besides the pair: by default nothing, the other sentences of the batch count alike."""
        return {}

    def check(self) -> None:
        """InputError for parameters that can't be."""
        number("temperature", self.temperature, 0, above=True)
        whole("length", self.length, 3)
        one_of("replace", self.replace, ("if better", "always"))

    # What they share ----------------------------------------------------------------------------------------------
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        watch: Callable[[Progress], None] | None = None,
    ) -> Self:
        items = self._items(X, reset=True)
        run: dict[str, Any] = {"checkpoint": checkpoint, "resume": resume, "watch": watch}
        self._check(items)
        self.kept_start_, self.comparison_ = False, None
        if self.replace == "always" or self.epochs == 0:
            return super().fit(items, **run)
        order = np.random.default_rng(self.seed).permutation(len(items))
        held, rest = np.split(order, [min(HELD, len(items) // 5)])
        start = clone(self).untrained(items)
        super().fit(items.subset(np.sort(rest)), **run)
        self.comparison_ = compared(start, self, items.subset(np.sort(held)))
        self.kept_start_ = not better(self.comparison_)
        if self.kept_start_:
            self.net_ = start.net_
            self._finish(items)
            said = "uniformity {even_start:.2f} before and {even:.2f} after, halves that find each other {start:.3f} and {trained:.3f}"
            warnings.warn(
                f"{type(self).__name__} kept the encoder that it started from, training is not seen to make it better on "
                f"{self.comparison_['texts']} texts held out ({said.format(**self.comparison_)}, {self.comparison_['gain']:+.3f} with a "
                f"""standard error of {self.comparison_["error"]:.3f}); replace="always" takes the trained one""",
                stacklevel=2,
            )
        return self

    def description(self) -> dict[str, Any]:
        return super().description() | {"kept_start": self.kept_start_, "comparison": self.comparison_}

    @classmethod
    def load(cls, folder: str | Path, *, encoder: nn.Module | None = None) -> Self:
        learner, config = super().load(folder, encoder=encoder), read_config(folder)
        learner.kept_start_, learner.comparison_ = config["kept_start"], config["comparison"]
        return learner

    def untrained(self, X: Any) -> Self:
        self.kept_start_, self.comparison_ = True, None
        return super().untrained(X)

    def _check(self, items: Items) -> None:
        super()._check(items)
        self.check()

    def default_views(self, kind: str) -> Any:
        return Beginning(self.length - 2)

    def build(self, encoder: nn.Module) -> Net:
        alone = self.views is None and type(self).pair is SentenceContrast.pair
        if alone and not any(isinstance(module, nn.Dropout) and module.p > 0 for module in encoder.modules()):
            raise InputError(f"{type(self).__name__} tells two passes of a text apart by dropout, this encoder has none: try minilm3")
        if self.freeze_embeddings and isinstance(encoder, HuggingFaceText):
            encoder.transformer.get_input_embeddings().requires_grad_(False)
        return Net(encode=encoder, project=nn.Sequential(nn.Linear(encoder.width, encoder.width), nn.Tanh()))

    def loss(self, net: Net, batch: Batch) -> Any:
        z, positive = self.pair(net, batch.views)
        return weighted_info_nce(z, positive, temperature=self.temperature, **self.negatives(net, batch, z, positive))


def side_by_side(*views: Tensor) -> Tensor:
    """Texts of several views as one batch: int64 [n, length] each, lengths may differ -> [views * n, longest], 0 = padding."""
    longest = max(ids.shape[1] for ids in views)
    return torch.cat([nn.functional.pad(ids, (0, longest - ids.shape[1])) for ids in views])


def encoded(encode: Callable[[Tensor], Tensor], ids: Tensor, rows: int = PIECE) -> Tensor:
    """encode(ids), a few texts of about one length at a time: less padding, and activations that a cache holds."""
    order = (ids != 0).sum(dim=1).argsort(stable=True)
    z = torch.cat([encode(pack(ids[part])) for part in order.split(rows)])
    return z[order.argsort()]
