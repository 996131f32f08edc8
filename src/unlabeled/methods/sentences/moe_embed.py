"""A mixture of experts that embeds texts of several domains, each as well as a model of its own would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.data import Items, as_items
from unlabeled.encoders.domain_text import upcycle_moe
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.checks import number
from unlabeled.parts.gather import world
from unlabeled.parts.losses import info_nce
from unlabeled.parts.text_pairs import text_pairs
from unlabeled.views.whole import whole as as_it_is


@dataclass(kw_only=True, eq=False)
class MoEEmbedder(Learner):
    """One encoder for several fields, with experts for each: pairs of texts that belong together are near, whatever the field.

    Hallee, Kapur, Patel, Gleghorn and Khomtchouk, 2024, "Contrastive Learning and Mixture of Experts Enables Precise Vector
    Embeddings", arXiv:2401.15713. A pretrained transformer's feed-forward parts are copied once a domain, the attention is shared.
    Who embeds a text says its domain: that picks the experts, and puts a token of that domain into the place of [CLS]. Learned by
    InfoNCE of a text and its partner, in batches of one domain (negatives of another would be told by the topic alone); as many
    batches of each, so that no expert starves. Other than in the paper the word vectors stay as they are (freeze_embeddings), each
    side of a pair looks for the other, and training ends after `examples` texts, not by a validation set.

    fit takes {domain: pairs}, pairs as `text_pairs` reads them; `parts.cocitation` finds them in citations. transform(texts, domain)
    gives float32 [n, width]. domain: a name, or one for each text; None: the mean over all domains. Learned: `domains_`, their names.
    routing: "learned": a router chooses two experts for each token instead. layers: which blocks get experts.
    batch_size: texts in a batch, two a pair. InputError: pairs that aren't, unknown domains, an encoder that is no transformer.

        model = MoEEmbedder().fit({"cardiology": [(abstract, co_cited_abstract), ...], "parasitology": [...]})
        model.transform(abstracts, "cardiology")
        model.save_sentence_transformer("cardiology-model", "cardiology")   # that domain's experts as a model of plain size
    """

    encoder: str | nn.Module = "minilm3"
    routing: str = "enforced"
    domain_token: bool = True
    layers: str | Sequence[int] = "all"
    temperature: float = 0.05
    length: int = 128  # tokens of a text that are read
    freeze_embeddings: bool = True
    examples: int = 20_000
    batch_size: int = 64
    lr: float = 1e-4
    weight_decay: float = 0.0

    def default_views(self, kind: str) -> Any:
        return as_it_is

    def build(self, encoder: nn.Module) -> Net:
        said: dict[str, Any] = getattr(encoder, "spec", None) or {"name": "minilm3", "inputs": asdict(self.inputs_)}
        self.domains_: list[str] = said.get("domains") or self.domains_  # of a model that is loaded its architecture says them
        net = upcycle_moe(encoder, len(self.domains_), self.layers, self.routing, self.domain_token, self.length)
        net.spec = said | {"domains": self.domains_}  # type: ignore[assignment]
        net.transformer.get_input_embeddings().requires_grad_(not self.freeze_embeddings)
        return Net(encode=net)

    def loss(self, net: Net, batch: Batch) -> Any:
        left, right = net.encode(batch.views[0]).chunk(2)
        one, other = self._text[batch.index.cpu()].to(left.device).chunk(2)
        # What shares a text with a pair is no negative of it: papers are cited together with many.
        same = (one[:, None] == one) | (other[:, None] == other) | (one[:, None] == other) | (other[:, None] == one)
        return sum(info_nce(a, b, temperature=self.temperature, exclude=same, gather=False) for a, b in ((left, right), (right, left))) / 2

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        """Batches of pairs of one domain, the domains in turn: lefts are items 0 to n/2, each one's partner stands n/2 further."""
        size = min(self.batch_size, n) // 2
        first = np.cumsum([0, *self.sizes_])
        streams = [_endless(int(a), int(b), generator) for a, b in zip(first, first[1:], strict=False)]
        steps = n // (2 * size)
        turns: list[int] = []
        while len(turns) < steps:
            turns += torch.randperm(len(streams), generator=generator).tolist()
        left = torch.tensor([[next(streams[d]) for _ in range(size)] for d in turns[:steps]])
        shown = torch.cat([left, left + n // 2], dim=1).flatten()
        return torch.cat([shown, shown.new_zeros(n - len(shown))])

    def transform(self, X: Any, out: Any = None, progress: Any = None, *, domain: str | Sequence[str] | None = None) -> np.ndarray:
        """Vectors of texts, float32 [n, width]. domain: see above. out, progress: as every Learner's."""
        items = as_items(X)
        if items.kind == "text":
            items = Items("text", self._marked([*items.values], domain), ids=items.ids)
        return super().transform(items, out, progress)

    def encode(self, texts: Sequence[str], domain: str | Sequence[str] | None = None) -> np.ndarray:
        """transform(texts, domain=domain), the name that sentence-transformers gives it."""
        return self.transform(texts, domain=domain)

    def save_sentence_transformer(self, folder: str | Path, domain: str | None = None) -> Path:
        """Write one domain's encoder, as large as the base, as a folder that `SentenceTransformer(folder)` opens: the same vectors."""
        from unlabeled.encoders.sentence_transformer import write_folder

        self._marked([], domain)
        if domain is None:
            raise InputError(f"a SentenceTransformer has one set of experts: name a domain of {', '.join(self.domains_)}")
        return write_folder(self.net_.encode.expert(self.domains_.index(domain)), folder)

    # Within -------------------------------------------------------------------------------------------------------
    def expert_of(self, texts: list[str], domain: list[int]) -> list[int]:
        """Which experts a text of each domain gets: its own."""
        return domain

    def _marked(self, texts: list[str], domain: Any) -> list[str]:
        check_is_fitted(self, "domains_")
        bare = [text.lstrip("\0") for text in texts]
        if domain is None:
            return bare
        names = [domain] * len(texts) if isinstance(domain, str) else list(domain)
        odd = next((one for one in [*names, *([domain] if isinstance(domain, str) else [])] if one not in self.domains_), None)
        if odd is not None or len(names) != len(texts):
            got = repr(odd) if odd is not None else f"{len(names)} for {len(texts)} texts"
            raise InputError(f"domain is {got}: wanted one of {', '.join(self.domains_)}, or one for each text")
        experts = self.expert_of(bare, [self.domains_.index(one) for one in names])
        return [f"\0{d}\0{text}" for d, text in zip(experts, bare, strict=True)]

    def _items(self, X: Any, *, reset: bool) -> Items:
        if not reset:
            return super()._items(X, reset=False)
        if not isinstance(X, Mapping) or not X:
            raise InputError(f"fit got {type(X).__name__}: wanted pairs by domain, {{name: [(text, partner), ...]}}")
        columns = [text_pairs(pairs) for pairs in X.values()]
        self.domains_ = [str(name) for name in X]
        self.sizes_ = [len(left) for left, _ in columns]
        texts = [text for side in (0, 1) for pair in columns for text in pair[side]]
        names = [name for _ in (0, 1) for name, n in zip(self.domains_, self.sizes_, strict=True) for _ in range(n)]
        known: dict[str, int] = {}
        self._text = torch.tensor([known.setdefault(text, len(known)) for text in texts])
        return super()._items(Items("text", self._marked(texts, names), ids=[str(i) for i in range(len(texts))]), reset=True)

    def _check(self, items: Items) -> None:
        super()._check(items)
        if world() > 1:  # a batch is cut into parts there, and its pairs with it
            raise InputError(f"MoEEmbedder learns in one process, here are {world()}: start it without torchrun")
        if self.batch_size < 4:
            raise InputError(f"batch_size={self.batch_size}: wanted 4 or more, two pairs, for one to be told from the other")
        number("temperature", self.temperature, 0, above=True)


def _endless(first: int, end: int, generator: torch.Generator) -> Iterator[int]:
    """The numbers from first to end - 1 in random order, and again in another."""
    while True:
        yield from (torch.randperm(end - first, generator=generator) + first).tolist()
