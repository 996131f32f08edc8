"""Topics that are made of phrases, and vectors of phrases by the sentence that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.data import Items, as_items
from unlabeled.encoders.span_text import SpanText
from unlabeled.encoders.text import transformer_of_texts
from unlabeled.errors import InputError
from unlabeled.learner import Batch, Learner, Net, Source
from unlabeled.parts.assign import KMeans, kmeans
from unlabeled.parts.checks import number, whole
from unlabeled.parts.gather import world
from unlabeled.parts.losses import info_nce
from unlabeled.parts.mentions import given, mine
from unlabeled.parts.scale import unit
from unlabeled.saving import read_config, write_tensors
from unlabeled.views.whole import whole as as_it_is

AUTO = range(2, 21)  # numbers of topics that are tried
SAMPLE = 2000  # mentions that their silhouette is measured on


@dataclass(kw_only=True, eq=False)
class UCTopic(Learner):
    """What a raw corpus is about, as lists of its own phrases, and where each of its phrases belongs, by its context.

    Li, Shang and McAuley, 2022, "UCTopic: Unsupervised Contrastive Learning for Phrase Representations and Topic Mining",
    arXiv:2202.13469. Two mentions of one phrase, in different texts, find each other by InfoNCE, with the phrase's own tokens
    masked by chance. In the last epochs (`finetune`, a share of them) the mentions are clustered, those nearest to each centre
    (`top`, a share) vote on their phrases' topics, and pairs are two phrases of one topic, with negatives of other topics only: where
    topics are few, those of a batch are often of the same one. Other than in the paper a span's vector is the mean of its tokens'
    states (there: LUKE's entity state), pretraining is on the corpus itself (there: Wikipedia's links), a batch has several pairs a topic,
    and the official code's further clustering loss is left out.

    fit takes texts, whose phrases `parts.mentions.mine` finds (min_sentences, pmi, longest, stop_words), or mentions, a list of
    (sentence, (from, to)). n_topics: "auto": by silhouette, of 2 to 20. transform(texts) gives float32 [n, width], each text as one
    span. Learned: `mentions_`; `labels_` int64 [mentions], their topics; `centers_` float32 [topics, width]; `topics_`, for each
    its phrases and their mean cosine with the centre, best first. InputError: no phrases, bad values, no transformer of texts.

        model = UCTopic(n_topics=6).fit(posts)
        model.topics(10)                                    # six lists of ten phrases
        model.predict([("We skated on thin ice.", (13, 21))])  # the topic of a phrase, here "thin ice"
    """

    encoder: str | nn.Module = "minilm3"
    n_topics: int | str = "auto"
    mask_prob: float = 0.5
    temperature: float = 0.05
    finetune: float = 0.25
    top: float = 0.1
    min_sentences: int = 3
    pmi: float = 3.0
    longest: int = 3
    stop_words: Sequence[str] | None = None
    length: int = 64  # tokens of a sentence that are read
    freeze_embeddings: bool = True
    examples: int = 20_000
    batch_size: int = 128  # mentions, two a pair
    lr: float = 1e-4
    weight_decay: float = 0.0

    def build(self, encoder: nn.Module) -> Net:
        encode = SpanText(transformer_of_texts(encoder), self.length)
        encode.spec = getattr(encoder, "spec", None) or {"name": "given", "inputs": asdict(self.inputs_)}  # type: ignore[assignment]
        encode.transformer.get_input_embeddings().requires_grad_(not self.freeze_embeddings)  # type: ignore[operator]
        net = Net(encode=encode, project=nn.Sequential(nn.Linear(encode.width, encode.width), nn.Tanh()))
        net.register_buffer("epoch", torch.zeros((), dtype=torch.int64))  # how many have begun: a resumed run goes on in the right part
        return net

    def default_views(self, kind: str) -> Any:
        return as_it_is

    def loss(self, net: Net, batch: Batch) -> Any:
        """The batch's mentions by pairs: those of one phrase, later of one topic, are partners, and none is another's negative."""
        key = self._key[batch.index.cpu()].to(batch.index.device)
        order = (key + torch.rand(len(key), device=key.device) * 0.9).argsort()  # among equals by chance
        z, key = net.project(net.encode(batch.views[0], mask=self.mask_prob))[order], key[order][0::2]
        same = key[:, None] == key
        return (
            sum(
                info_nce(a, b, temperature=self.temperature, exclude=same, gather=False)
                for a, b in ((z[0::2], z[1::2]), (z[1::2], z[0::2]))
            )
            / 2
        )

    def before_epoch(self, net: Net, data: Source) -> None:
        epochs = -(-self.steps_ // max(1, len(data) // self.batch_size))
        self._key, self._apart = torch.from_numpy(self.mentions_.phrase).float(), self.mentions_.text
        if int(net.epoch) >= epochs - round(self.finetune * epochs):  # type: ignore[arg-type]
            votes = self._votes(unit(self.embed_all(net, data)))
            several = [len(set(self.mentions_.phrase[votes == topic])) > 1 for topic in range(self.k_)]
            if sum(several) > 1:  # else there is no negative, or no partner
                self._key, self._apart = torch.from_numpy(votes).float(), self.mentions_.phrase
        net.epoch += 1  # type: ignore[operator]

    def order(self, net: Net, n: int, generator: torch.Generator) -> Tensor:
        """Pairs of mentions of one phrase in two texts, or of two phrases of one topic; every phrase or topic in turn."""
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        key, apart = self._key.numpy(), np.asarray(self._apart)
        rows = np.argsort(key, kind="stable")[int((key < 0).sum()) :]
        groups = [one for one in np.split(rows, np.flatnonzero(np.diff(key[rows])) + 1) if len(set(apart[one])) > 1]
        if not groups:
            raise InputError("no phrase is in two different texts: there is nothing to learn from, give more texts")
        shown: list[int] = []
        while len(shown) < n:
            for group in (groups[i] for i in rng.permutation(len(groups))):
                one = rng.choice(group)
                shown += [one, rng.choice(group[apart[group] != apart[one]])]
        return torch.tensor(shown[:n])

    def embed(self, net: Net, x: Tensor) -> Tensor:
        return net.project(net.encode(x))

    def topics(self, n_phrases: int = 10) -> list[list[str]]:
        """The phrases of each topic, best first, at most n_phrases."""
        check_is_fitted(self, "topics_")
        return [[phrase for phrase, _ in topic[: whole("n_phrases", n_phrases)]] for topic in self.topics_]

    def encode(self, mentions: Sequence[tuple[str, tuple[int, int]]]) -> np.ndarray:
        """Vectors of phrases in their sentences, [(sentence, (from, to)), ...]: float32 [n, width]."""
        return self.transform(Items("text", given(mentions).marked()))

    def predict(self, mentions: Sequence[tuple[str, tuple[int, int]]]) -> np.ndarray:
        """The topic of each phrase in its sentence, int64 [n]."""
        check_is_fitted(self, "centers_")
        return (unit(self.encode(mentions)) @ unit(self.centers_).T).argmax(axis=1)

    def save(self, folder: str | Path, **more: Any) -> Path:
        """As every Learner; the topics and their centres with it. The corpus and its mentions are not kept."""
        path = super().save(folder, topics=self.topics_, **more)
        write_tensors(path / "topics.safetensors", {"centers": torch.from_numpy(self.centers_), "labels": torch.from_numpy(self.labels_)})
        return path

    @classmethod
    def load(cls, folder: str | Path, *, encoder: nn.Module | None = None) -> Self:
        from safetensors.numpy import load_file

        model, arrays = super().load(folder, encoder=encoder), load_file(Path(folder) / "topics.safetensors")
        model.topics_ = [[(phrase, score) for phrase, score in topic] for topic in read_config(folder)["topics"]]
        model.centers_, model.labels_ = arrays["centers"], arrays["labels"]
        return model

    # Within -------------------------------------------------------------------------------------------------------
    def _items(self, X: Any, *, reset: bool) -> Items:
        if not reset:
            return super()._items(X, reset=False)
        if isinstance(X, list) and X and isinstance(X[0], tuple):
            self.mentions_ = given(X)
        else:
            items = as_items(X)
            if items.kind != "text":
                raise InputError(f"fit got {items.kind}s: wanted texts, or mentions, [(sentence, (from, to)), ...]")
            found = {name: getattr(self, name) for name in ("min_sentences", "pmi", "longest", "stop_words")}
            self.mentions_ = mine((str(text) for text in items.values), **found)
        return super()._items(Items("text", self.mentions_.marked()), reset=True)

    def _check(self, items: Items) -> None:
        super()._check(items)
        if world() > 1:  # a batch is cut into parts there, and its pairs with it
            raise InputError(f"UCTopic learns in one process, here are {world()}: start it without torchrun")
        if self.n_topics != "auto":
            whole("n_topics", self.n_topics, 2)
        if self.n_topics != "auto" and self.n_topics > len(items):  # type: ignore[operator]
            raise InputError(f"n_topics={self.n_topics} of {len(items)} mentions: wanted fewer")
        if self.batch_size % 2 or self.batch_size < 4:
            raise InputError(f"batch_size={self.batch_size}: wanted an even number of at least 4, two mentions a pair")
        number("temperature", self.temperature, 0, above=True)
        for name in ("mask_prob", "finetune", "top"):
            number(name, getattr(self, name), 0, 1)

    def _new_net(self, items: Items) -> Net:
        self.__dict__.pop("k_", None)
        return super()._new_net(items)

    def _clusters(self, Z: np.ndarray) -> KMeans:
        """By the number of topics, which is chosen once."""
        rows = np.random.default_rng(self.seed).permutation(len(Z))[:SAMPLE]
        if not hasattr(self, "k_"):
            self.k_ = best_k(Z[rows], self.seed) if self.n_topics == "auto" else int(self.n_topics)
        return kmeans(Z, self.k_, metric="cosine", n_init=5, seed=self.seed)

    def _votes(self, Z: np.ndarray) -> np.ndarray:
        """Of mentions near their cluster's centre the topic that most such mentions of their phrase have; of others -1: int64 [n]."""
        found, phrase = self._clusters(Z), self.mentions_.phrase
        near = (Z * unit(found.centers)[found.labels]).sum(axis=1)
        rank = np.empty(len(Z), np.int64)
        order = np.lexsort((-near, found.labels))
        size = np.bincount(found.labels, minlength=self.k_)
        rank[order] = np.arange(len(Z)) - np.repeat(np.cumsum(size) - size, size)
        # Two phrases at least are needed of each topic.
        kept = rank < np.maximum(4, np.ceil(self.top * size))[found.labels]
        votes = np.zeros((len(self.mentions_.phrases), self.k_), np.int64)
        np.add.at(votes, (phrase[kept], found.labels[kept]), 1)
        return np.where(kept & (votes.argmax(axis=1)[phrase] == found.labels), found.labels, -1)

    def _finish(self, items: Items) -> None:
        super()._finish(items)
        Z, mentions = unit(self._embed(items, self.whitening_)), self.mentions_
        found = self._clusters(Z)
        self.labels_, self.centers_ = found.labels, found.centers
        counts = np.zeros((len(mentions.phrases), self.k_))
        np.add.at(counts, (mentions.phrase, found.labels), 1)
        mean = np.zeros((len(mentions.phrases), self.k_))
        np.add.at(mean, mentions.phrase, Z @ unit(found.centers).T)
        mean /= counts.sum(axis=1, keepdims=True)
        best = counts.argmax(axis=1)
        self.topics_ = []
        for topic in range(self.k_):
            members = np.flatnonzero(best == topic)
            order = members[np.argsort(-mean[members, topic], kind="stable")]
            self.topics_.append([(mentions.phrases[i], float(mean[i, topic])) for i in order])


def best_k(Z: np.ndarray, seed: int = 0) -> int:
    """How many clusters of the unit rows of Z [n, d] have the best mean silhouette, by cosine (Rousseeuw, 1987)."""
    from sklearn.metrics import silhouette_score

    tried = [k for k in AUTO if k < len(Z)]
    labels = [kmeans(Z, k, metric="cosine", n_init=3, seed=seed).labels for k in tried]
    scores = [silhouette_score(Z, one, metric="cosine") if 1 < len(set(one.tolist())) < len(Z) else -1.0 for one in labels]
    return tried[int(np.argmax(scores))] if tried else 1


__all__ = ["UCTopic"]
