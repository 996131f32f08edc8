"""InferSent: a sentence encoder taught by pairs of sentences whose relation people judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from unlabeled.encoders.bilstm import POOLS, BiLSTM
from unlabeled.encoders.word_tables import Levelled, levelled, padded, raw_vectors
from unlabeled.errors import InputError
from unlabeled.learner import Net, _device
from unlabeled.methods.sentences.text_model import TextModel
from unlabeled.methods.words.word2vec import Word2Vec
from unlabeled.methods.words.word_model import WordModel
from unlabeled.parts.anneal import anneal
from unlabeled.parts.by_length import by_length
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.text_pairs import PairedTexts, labelled_pairs, pair_features, text_pairs
from unlabeled.parts.vocabulary import words_of

CHUNK, ROWS = 8192, 64  # texts whose words are looked up, and that are read, at once


@dataclass(kw_only=True, eq=False)
class InferSent(TextModel):
    """A supervised baseline: sentence vectors from pairs WITH LABELS (entailed, neutral, contradicted; or any classes of your own).

    Conneau, Kiela, Schwenk, Barrault and Bordes, 2017, "Supervised Learning of Universal Sentence Representations from Natural Language
    Inference Data", arXiv:1705.02364. A BiLSTM over frozen word vectors, the largest value over time in each dimension; a classifier
    sees [u, v, |u - v|, u * v]. Paper: 2048 hidden units, GloVe, 570k pairs; SGD with rate 0.1, x 0.99 an epoch, / 5 when the accuracy
    on held-out pairs doesn't rise, until it is below 1e-5; the best epoch stays. Here the held-out pairs are of left texts of their own,
    and pairs with one left text share a batch.

        model = InferSent().fit([("a man sleeps", "nobody is awake"), ...], ["contradiction", ...])
        model.transform(["any sentence"])              # float32 [n, 2 hidden]
        model.word_importance("any sentence")          # [("any", 0.3), ("sentence", 0.7)]
        model.predict([("a dog barks", "an animal is heard")])

    word_vectors: "auto", a Word2Vec of the pairs' sentences and of `texts`; "minilm", the mean of MiniLM's input embeddings of a
    word's pieces, which knows any word; or a WordModel (one that isn't fitted is fitted like "auto"). They are brought to mean
    0 and mean square 1, and to `word_dim` principal axes where they have more. Words without a vector are left out, a text
    without any word is zeros. InputError: bad values, pairs that aren't two texts, labels of fewer than two classes.
    """

    word_vectors: str | WordModel = "auto"
    word_dim: int = 300
    hidden: int = 256  # of each direction
    pool: str = "max"  # or "mean", "last"
    mlp: int = 512  # units between features and classes; 0: none
    epochs: int = 20  # at most
    batch_size: int = 64
    lr: float = 0.1
    decay: float = 0.99
    shrink: float = 5.0
    min_lr: float = 1e-5
    clip: float = 5.0
    held_out: float = 0.1  # share of the different left texts whose pairs decide about the rate
    length: int = 256  # words; of a longer text the first are read
    kept: ClassVar[tuple[str, ...]] = ("classes_", "widths_", "loss_curve_", "dev_curve_")
    inner: ClassVar[tuple[str, ...]] = ("words_",)

    def fit(self, pairs: Any, labels: Any = None, *, texts: Any = None, **ignored: Any) -> Self:
        """pairs: a list of (left, right), or (left texts, right texts). labels: a class each; -1, "" and None: the pair is left out.
        texts: further ones, without labels, for "auto". Learned: `classes_`, `net_`, `loss_curve_`, `dev_curve_` (accuracy held out).
        """
        if labels is None:
            raise InputError("InferSent learns from pairs of texts and a label each, not from texts: InferSent().fit(pairs, labels)")
        data, y, classes = labelled_pairs(pairs, labels)
        net, device, rng = self._start(data.texts, texts, classes), _device(self.device), np.random.default_rng(self.seed)
        table, rows = self._look_up(data.texts)
        net, table, target = net.to(device), table.to(device), torch.from_numpy(y).to(device)
        sizes, dev = np.array([len(row) for row in rows]), data.held_out(self.held_out, rng)
        optimizer = torch.optim.SGD(net.parameters(), lr=self.lr)

        def logits(batch: np.ndarray) -> Tensor:
            read, place = np.unique(data.pairs[batch], return_inverse=True)
            u, v = net.encode(*padded(table, [rows[i] for i in read]))[place.reshape(-1, 2)].unbind(1)
            return net.classify(pair_features(u, v)).float()

        def epoch(lr: float) -> float:
            optimizer.param_groups[0]["lr"], total = lr, 0.0
            for batch in data.batches(np.flatnonzero(~dev), self.batch_size, sizes, rng):
                with self._training():
                    loss = nn.functional.cross_entropy(logits(batch), target[batch])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), self.clip)
                optimizer.step()
                total += float(loss.detach()) * len(batch)
            return total / int((~dev).sum())

        @torch.no_grad()
        def accuracy() -> float:
            parts = data.batches(np.flatnonzero(dev), self.batch_size, sizes, rng)
            return sum(int((logits(part).argmax(1) == target[part]).sum()) for part in parts) / int(dev.sum())

        falling = {name: getattr(self, name) for name in ("lr", "decay", "shrink", "min_lr", "epochs")}
        self.loss_curve_, self.dev_curve_ = anneal(net, epoch, accuracy, **falling)
        self.net_ = net.cpu().eval()
        return self

    def untrained(self, pairs: Any, labels: Any = None, *, texts: Any = None) -> Self:
        """The same with the BiLSTM's first weights: a strong baseline (Wieting and Kiela, 2019, arXiv:1901.10444). No label is used."""
        self._start(PairedTexts(*text_pairs(pairs)).texts, texts, [])
        return self

    def _start(self, sentences: list[str], texts: Any, classes: list[Any]) -> Net:
        """Word vectors of the sentences, and the network's first weights."""
        self._check()
        model = Word2Vec(dim=self.word_dim, min_count=1, seed=self.seed) if self.word_vectors == "auto" else self.word_vectors
        if isinstance(model, WordModel) and not hasattr(model, "vectors_"):
            model = clone(model).fit([*sentences, *([] if texts is None else self._texts(texts))])
        self.words_ = model if isinstance(model, WordModel) else None
        _, vectors = raw_vectors(sorted({word for text in sentences for word in words_of(text)[: self.length]}), self.words_)
        if not len(vectors):
            raise InputError("none of the pairs' words has a vector: give other pairs, or other word_vectors")
        centre, axes = levelled(vectors, self.word_dim)
        self.classes_, self.widths_ = classes, list(axes.shape)
        self.loss_curve_, self.dev_curve_ = list[float](), list[float]()
        self.net_ = self._seeded().eval()
        self.net_.words.load_state_dict({"centre": torch.from_numpy(centre), "axes": torch.from_numpy(axes)})
        return self.net_

    def _build(self) -> Net:
        words, encode = Levelled(*self.widths_), BiLSTM(self.widths_[1], self.hidden, self.pool)
        last = nn.Linear(self.mlp or 4 * encode.width, max(2, len(self.classes_)))
        classify = nn.Sequential(nn.Linear(4 * encode.width, self.mlp), nn.Tanh(), last) if self.mlp else last
        return Net(words=words, encode=encode, classify=classify)

    def _look_up(self, texts: list[str]) -> tuple[Tensor, list[np.ndarray]]:
        return self.net_.words.look_up([words_of(text)[: self.length] for text in texts], self.words_)

    # Use ----------------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """Sentences' vectors, float32 [n, 2 hidden]. X: list of str, Items or a path. out: an array to write to; progress: (done, n)."""
        check_is_fitted(self, "net_")
        texts = self._texts(X)
        out = np.empty((len(texts), self._n_features_out), np.float32) if out is None else out
        for start in range(0, len(texts), CHUNK):
            table, rows = self._look_up(texts[start : start + CHUNK])
            for part in by_length(map(len, rows), ROWS):
                out[start + part] = self.net_.encode(*padded(table, [rows[i] for i in part])).numpy()
            if progress:
                progress(start + len(rows), len(texts))
        return out

    encode = transform

    @torch.no_grad()
    def predict(self, pairs: Any) -> list[Any]:
        """The class of each pair, as `labels` named it."""
        check_is_fitted(self, "net_")
        if not self.classes_:
            raise InputError("this InferSent is untrained: it has learned no classes")
        u, v = (torch.from_numpy(self.transform(side)) for side in text_pairs(pairs))
        return [self.classes_[i] for i in self.net_.classify(pair_features(u, v)).argmax(dim=1).tolist()]

    @torch.no_grad()
    def word_importance(self, sentence: str) -> list[tuple[str, float]]:
        """Each word that has a vector, and the share of dimensions whose largest value stands at it (they add up to 1)."""
        check_is_fitted(self, "net_")
        if self.pool != "max":
            raise InputError(f"pool={self.pool!r} has no largest values: wanted a model with pool='max'")
        words = words_of(self._texts([sentence])[0])[: self.length]
        words = [word for word in words if self.words_ is None or word in self.words_]
        if not words:
            return []
        states = self.net_.encode.states(*padded(*self.net_.words.look_up([words], self.words_)))[0]
        return list(zip(words, (np.bincount(states.argmax(dim=0), minlength=len(words)) / states.shape[1]).tolist(), strict=True))

    @property
    def _n_features_out(self) -> int:
        return self.net_.encode.width

    def _check(self) -> None:
        if not isinstance(self.word_vectors, WordModel):
            one_of("word_vectors", self.word_vectors, ("auto", "minilm"))
        one_of("pool", self.pool, POOLS)
        for name in ("word_dim", "hidden", "mlp", "epochs", "batch_size", "length"):
            whole(name, getattr(self, name), 0 if name == "mlp" else 1)
        for name, high in (("lr", np.inf), ("decay", 1.0), ("min_lr", np.inf), ("clip", np.inf), ("held_out", 0.5)):
            number(name, getattr(self, name), 0.0, high, above=True)
        number("shrink", self.shrink, 1.0, above=True)
