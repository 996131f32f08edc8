"""A mixture of experts that embeds texts of several domains, each as well as a model of its own would."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, triu
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.data import Items, as_items
from unlabeled.encoders.text import HuggingFaceText
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.experts import only, upcycle
from unlabeled.parts.gather import world
from unlabeled.parts.losses import info_nce
from unlabeled.parts.text_pairs import text_pairs
from unlabeled.views.whole import whole as as_it_is

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
    if not isinstance(encoder, HuggingFaceText):
        raise InputError(
            f"{type(encoder).__name__} is no transformer of texts: wanted encoder minilm, minilm3, or a Hugging Face text model"
        )
    one_of("routing", routing, ("enforced", "learned"))
    return DomainText(encoder, whole("n_experts", n_experts), layers, routing, domain_token, whole("length", length, 3))


@dataclass(kw_only=True, eq=False)
class MoEEmbedder(Learner):
    """One encoder for several fields, with experts for each: pairs of texts that belong together are near, whatever the field.

    Hallee, Kapur, Patel, Gleghorn and Khomtchouk, 2024, "Contrastive Learning and Mixture of Experts Enables Precise Vector
    Embeddings", arXiv:2401.15713. A pretrained transformer's feed-forward parts are copied once a domain, the attention is shared.
    Who embeds a text says its domain: that picks the experts, and puts a token of that domain into the place of [CLS]. Learned by
    InfoNCE of a text and its partner, in batches of one domain (negatives of another would be told by the topic alone); as many
    batches of each, so that no expert starves. Other than in the paper the word vectors stay as they are (freeze_embeddings), each
    side of a pair looks for the other, and training ends after `examples` texts, not by a validation set.

    fit takes {domain: pairs}, pairs as `text_pairs` reads them; `cocitation_pairs` finds them in citations. transform(texts, domain)
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


def cocitation_pairs(citations: Any, min_cocite: int = 1) -> np.ndarray:
    """Which two papers are cited together by at least min_cocite others: int64 [k, 2], each pair once, the lower number first.

    citations: whole numbers [m, 2], (citing paper, cited paper); what occurs twice counts once, a paper that cites itself not at all.
    """
    edges = np.asarray(citations)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu" or (edges.size and edges.min() < 0):
        raise InputError(f"citations has shape {edges.shape} and dtype {edges.dtype}: wanted whole numbers [m, 2], (citing, cited)")
    whole("min_cocite", min_cocite)
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    if not len(edges):
        return np.zeros((0, 2), np.int64)
    cites = csr_array((np.ones(len(edges), np.int64), (edges[:, 0], edges[:, 1])))
    together = triu(cites.T @ cites, 1).tocoo()
    pairs = np.stack([together.row, together.col], axis=1)[together.data >= min_cocite].astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _endless(first: int, end: int, generator: torch.Generator) -> Iterator[int]:
    """The numbers from first to end - 1 in random order, and again in another."""
    while True:
        yield from (torch.randperm(end - first, generator=generator) + first).tolist()


__all__ = ["MoEEmbedder", "cocitation_pairs", "upcycle_moe"]
