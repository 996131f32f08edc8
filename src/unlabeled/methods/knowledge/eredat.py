"""EREDAT: one encoder for texts and for small knowledge graphs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.data import Items
from unlabeled.encoders.text import transformer_of_texts
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net
from unlabeled.methods.sentences.sentence_contrast import Beginning, encoded, side_by_side
from unlabeled.parts.checks import number, whole
from unlabeled.parts.experts import blocks_of
from unlabeled.parts.gather import world
from unlabeled.parts.scale import unit
from unlabeled.parts.text_graphs import KINDS, Corruptions, Facts, as_facts, content, linearise
from unlabeled.parts.weighted_nce import weighted_info_nce


@dataclass(kw_only=True, eq=False)
class TextGraphEncoder(Learner):
    """A text and the graph of what it says get near vectors: search either with the other, score how well a text says a graph.

    Le Scao and Gardent, 2023, "Joint Representations of Text and Knowledge Graphs for Retrieval and Evaluation", arXiv:2302.14785.
    A graph is a list of (subject, property, object), names as they are (Alan_Bean, birthPlace); it is read as a line of words, its facts
    in a new order each time. Symmetric InfoNCE with the others of the batch; where two graphs say the same they are no negatives of
    each other. Graphs that are wrong in one place (`parts.text_graphs.Corruptions`) are further negatives of the texts.

    fit takes graphs and a text each, or a list of (graph, text). transform takes texts or graphs, gives float32 [n, width]. Departures:
    hard negatives are ours (how the paper augments its noisy corpora isn't known here); separators are "|" and ";" instead of new
    tokens, and only the last `layers` blocks learn, which halves the time; fine-tuning on people's scores is left out.
    InputError: graphs or texts that aren't, bad values, an encoder that is no transformer of texts.

        model = TextGraphEncoder().fit([[("Alan_Bean", "occupation", "Test_pilot")], ...], ["Alan Bean was a test pilot.", ...])
        rows, cosines = model.search(["Who flew planes for tests?"], graphs, k=5)
        eredat(texts, graphs, models=[model, another])    # higher: the text says more of the graph, and nothing else
    """

    encoder: str | nn.Module = "minilm"
    temperature: float = 0.05
    negatives: int = 2  # wrong graphs of each graph; 0: only the others of the batch
    corruptions: Sequence[str] = KINDS  # how they may be wrong
    layers: int = 2  # blocks of the transformer, the last ones, that learn
    length: int = 64  # tokens of a text or a graph in training, its two special ones among them
    examples: int = 20_000
    batch_size: int = 32
    lr: float = 1e-4
    weight_decay: float = 0.01
    whiten: float | None = 0.0

    def build(self, encoder: nn.Module) -> Net:
        transformer = transformer_of_texts(encoder).transformer
        transformer.requires_grad_(False)
        for module in transformer.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # a text and its graph differ by themselves, and a CPU is faster without
        for block in blocks_of(transformer)[-self.layers :]:
            block.requires_grad_(True)
        return Net(encode=encoder)

    def loss(self, net: Net, batch: Batch) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**31 - 1, ())))  # of the loop's own randomness: a resumed run repeats a whole one
        graphs = [self._graphs[i] for i in batch.index.tolist()]
        n = len(graphs)
        graphs += [wrong for graph in graphs for wrong in self._corruptions.some(graph, self.corruptions, self.negatives, rng)]
        lines = [linearise([graph[i] for i in rng.permutation(len(graph))]) for graph in graphs]  # the order of facts says nothing
        text, graph, wrong = encoded(net.encode, side_by_side(*batch.views, self._tokens(net, lines))).tensor_split([n, 2 * n])
        known: dict[Any, int] = {}
        told = torch.tensor([known.setdefault(content(one), len(known)) for one in graphs], device=text.device)
        other = (told[:n, None] != told).float()  # what says the same is no negative
        hard = {"extra": wrong, "extra_weights": other[:, n:]} if len(wrong) else {}
        there = weighted_info_nce(text, graph, temperature=self.temperature, weights=other[:, :n], gather=False, **hard)
        back = weighted_info_nce(graph, text, temperature=self.temperature, weights=other[:, :n], gather=False)
        return (there + back) / 2

    # Use ----------------------------------------------------------------------------------------------------------
    def fit(self, graphs: Any, texts: Any = None, **run: Any) -> Self:  # type: ignore[override]
        """graphs: one a text; or pairs (graph, text), without `texts`. run: checkpoint, resume and watch, as every Learner's."""
        return super().fit(self._paired(graphs, texts), **run)

    def untrained(self, graphs: Any, texts: Any = None) -> Self:
        """The encoder as it is, which knows nothing of graphs."""
        return super().untrained(self._paired(graphs, texts))

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, float32 [n, width]."""
        return unit(self.transform(list(texts)))

    def encode_graph(self, graphs: Sequence[Any]) -> np.ndarray:
        """Vectors of length 1, float32 [n, width]."""
        check_is_fitted(self, "net_")
        lines = [linearise(as_facts(graph, f"graph {i}")) for i, graph in enumerate(graphs)]
        room = self.net_.encode.length
        cut = sum(len(ids) >= room - 2 for ids in self.net_.encode.tokenize(lines))
        if cut:
            warnings.warn(f"{cut} of {len(lines)} graphs fill the {room} tokens that are read: last facts may be lost", stacklevel=2)
        return unit(self.transform(lines))

    def score(self, texts: Sequence[str], graphs: Sequence[Any]) -> np.ndarray:  # type: ignore[override]
        """The cosine of each text and its graph, float32 [n]."""
        if len(texts) != len(graphs):
            raise InputError(f"{len(texts)} texts for {len(graphs)} graphs: wanted one each")
        return (self.encode_text(texts) * self.encode_graph(graphs)).sum(axis=1)

    def search(self, queries: Sequence[Any], among: Sequence[Any], k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """For each query the k nearest of `among`, best first: rows int64 [q, k] and cosines float32 [q, k]. Either: texts, or graphs."""
        cosine = self._either(queries) @ self._either(among).T
        rows = np.argsort(-cosine, axis=1, kind="stable")[:, : whole("k", k)]
        return rows, np.take_along_axis(cosine, rows, axis=1)

    # Within -------------------------------------------------------------------------------------------------------
    def _either(self, X: Sequence[Any]) -> np.ndarray:
        return self.encode_text(X) if len(X) and isinstance(X[0], str) else self.encode_graph(X)

    def _items(self, X: Any, *, reset: bool) -> Items:
        if not reset and isinstance(X, list | tuple) and len(X) and not isinstance(X[0], str):
            X = [linearise(as_facts(graph, f"graph {i}")) for i, graph in enumerate(X)]
        return super()._items(X, reset=reset)

    def _paired(self, graphs: Any, texts: Any) -> list[str]:
        rows = list(graphs)
        if texts is None:
            odd = next((row for row in rows if len(row) != 2 or not isinstance(row[1], str)), None)
            if odd is not None:
                raise InputError(f"fit got {str(odd)[:60]!r}: wanted pairs (graph, text), or fit(graphs, texts)")
            rows, texts = [row[0] for row in rows], [row[1] for row in rows]
        texts = list(texts)
        if len(rows) != len(texts) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"{len(rows)} graphs and {len(texts)} texts: wanted a str for each graph")
        self._graphs: list[Facts] = [as_facts(graph, f"graph {i}") for i, graph in enumerate(rows)]
        self._corruptions = Corruptions(self._graphs)
        return texts

    def _tokens(self, net: Net, lines: list[str]) -> Tensor:
        rows = [ids[: self.length - 2] for ids in net.encode.tokenize(lines)]
        longest = max(map(len, rows))
        return torch.tensor([ids + [0] * (longest - len(ids)) for ids in rows], device=next(net.parameters()).device)

    def default_views(self, kind: str) -> Any:
        return Beginning(self.length - 2)

    def _check(self, items: Items) -> None:
        super()._check(items)
        if world() > 1:  # the graphs of a batch are made wrong in one process
            raise InputError(f"TextGraphEncoder learns in one process, here are {world()}: start it without torchrun")
        number("temperature", self.temperature, 0, above=True)
        whole("negatives", self.negatives, 0)
        whole("layers", self.layers, 1)
        whole("length", self.length, 3)
        if not len(self.corruptions) or not set(self.corruptions) <= set(KINDS):
            raise InputError(f"corruptions={self.corruptions!r}: wanted some of {', '.join(KINDS)}")


def eredat(texts: Sequence[str], graphs: Sequence[Any], models: Sequence[TextGraphEncoder]) -> np.ndarray:
    """How well each text says its graph, without a reference text: the cosine, float32 [n]; of several models the mean.

    Cosines of different encoders are on different scales, so those of several are standardised over these pairs before the mean.
    InputError: no model, several and fewer than two pairs.
    """
    scores = [model.score(texts, graphs) for model in models]
    if not scores or (len(scores) > 1 and len(texts) < 2):
        raise InputError(f"{len(scores)} models and {len(texts)} pairs: wanted one model, or several and two pairs, whose spread is known")
    if len(scores) == 1:
        return scores[0]
    return np.mean([(one - one.mean()) / max(float(one.std()), 1e-12) for one in scores], axis=0)
