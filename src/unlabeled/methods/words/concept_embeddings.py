"""Concept embeddings: words and the names of a knowledge base in one space, from texts and from the base's graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np

from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.methods.words.word_model import WordModel
from unlabeled.parts.checks import number, one_of, whole
from unlabeled.parts.corpora import mixed
from unlabeled.parts.phrases import Phrases, edges_of, name_of, names_of
from unlabeled.parts.scale import unit
from unlabeled.parts.skipgram import SkipGram
from unlabeled.parts.vocabulary import Vocabulary, tokenised, words_of

MODES = ("joint", "text", "graph", "concepts")


@dataclass(kw_only=True, eq=False)
class ConceptEmbeddings(WordModel):
    """One skip-gram learns from texts, in which a name ("ice hockey") counts as one word, and from the pairs of a graph of names.

    Shalaby, Zadrozny and Jin, 2018, "Beyond Word Embeddings", arXiv:1801.00388. A name is its words in lower case, and of one word it is
    that word. An edge (x, y, count) is learned from as a text of two words: each predicts the other, as often as p(y | x) and p(x | y) say.
    mode: "joint"; "text" alone or "graph" alone; "concepts": texts of which only the names are left.

        model = ConceptEmbeddings().fit(texts, graph=[("ice hockey", "team sport"), ("puck", "ice hockey", 3)], gazetteer=["san jose"])
        model.vector("ice hockey"); model.nearest("ice hockey"); model.type_of("curling", ["sport", "animal"])
        model.transform(["a text's vector is the mean of its words' and names'"])

    fit(X, graph=, gazetteer=): edges (x, y) or (x, y, count), and further names to be found; or files of them, as in the fields of the
    same name. Texts, and what is learned: see `WordModel`; besides, `is_concept_` bool [words]. Names of the graph need not occur in the
    texts. InputError: bad values, neither a graph nor names.

    Departures. How much the graph counts is how many of its pairs are drawn, not a factor of the loss, which is the same on average; drawn
    in proportion to the root of p(y | x) p(x | y), because a text of two words is learned from both ways: by p(y | x) alone the hubs
    ("plant") are pairs by the thousand. Texts and pairs are mixed once, not anew for every epoch. Some mentions stay words (`linked`), or
    words that occur in names alone would have no vector. `both`: what a graph has as neighbours need not have like neighbours, so that
    the first table alone says little of them.
    """

    mode: str = "joint"
    graph: str | None = None  # a file with an edge a line: x, y and maybe a count, parted by commas (.csv) or tabs
    gazetteer: str | None = None  # a file with a name a line
    graph_ratio: float = 1.0  # pairs of the graph, an epoch, for each name in the texts; of the graph alone for each edge
    linked: float = 0.9  # share of the mentions of several words that become one word
    both: bool = True  # a vector is the sum of a word as it predicts and as it is predicted, each of length 1; False: as it predicts
    dim: int = 100
    window: int = 5
    negatives: int = 10
    epochs: int | None = None  # None: 5, and of few words as many more as make five million, at most 100
    lr: float = 0.025
    sample: float = 1e-3
    min_count: int = 5  # of words and names in the texts
    workers: int | None = 1  # threads; None: all, but then the seed gives nearly the same vectors only
    seed: int = 0

    def fit(self, X: Any, y: Any = None, *, graph: Any = None, gazetteer: Any = None, **ignored: Any) -> Self:
        """Learn from texts, edges and names; `y` is never looked at."""
        one_of("mode", self.mode, MODES)
        edges = edges_of(self.graph if graph is None else graph)
        concepts = set(names_of(self.gazetteer if gazetteer is None else gazetteer)).union(*edges)
        if not concepts or (self.mode == "graph" and not edges):
            wanted = "a graph" if self.mode == "graph" else "a graph or a gazetteer"
            raise InputError(
                f"mode={self.mode!r} needs {wanted}: a file (--set graph=edges.tsv), or fit(texts, graph=[('puck', 'ice hockey')])"
            )
        rng = np.random.default_rng(self.seed)
        texts = [] if self.mode == "graph" else self._linked(self._texts(X), concepts, rng)
        uses = Counter(chain.from_iterable(texts))
        drawn = self._drawn(edges, sum(uses[name] for name in concepts), rng) if self.mode in ("joint", "graph") else {}

        least = whole("min_count", self.min_count)
        if rare := {name for name, n in uses.items() if n < least and " " in name}:  # their words say more
            texts = [list(chain.from_iterable(word.split() if word in rare else [word] for word in text)) for text in texts]
            uses = Counter(chain.from_iterable(texts))
        known = _vocabulary(uses, drawn, least)
        corpus = mixed(known.encode(texts), known.encode(drawn), list(drawn.values()), rng)
        names = ("dim", "window", "negatives", "lr", "sample", "workers", "seed")
        engine = SkipGram(epochs=self._passes(len(corpus.tokens), self.epochs), **{name: getattr(self, name) for name in names})
        found = engine.fit(corpus, len(known.words))
        self.vocabulary_, self.counts_, self.loss_curve_ = known.words, known.counts, found.loss
        self.vectors_ = unit(found.words) + unit(found.output) if self.both else found.words
        self.is_concept_ = np.array([word in concepts for word in known.words])
        self.inputs_ = Inputs("text")
        return self

    # Names --------------------------------------------------------------------------------------------------------
    def vector(self, word: str) -> np.ndarray:
        """float32 [dim] of a word or name; of an unknown one the mean of the longest names and words within it that are known.

        InputError: nothing of it is.
        """
        return self.vectors_[self._rows_of(word)].mean(axis=0)

    def nearest(self, name: str | np.ndarray, k: int = 10, *, concepts: bool = False) -> list[tuple[str, float]]:
        """The k words and names (concepts: names alone) nearest to a name, what `vector` makes it of left out, or to a vector [dim]."""
        query, without = (self.vector(name), self._rows_of(name)) if isinstance(name, str) else (np.asarray(name, np.float32), [])
        cosine = self._unit @ unit(query[None])[0]
        cosine[without] = -np.inf
        if concepts:
            cosine[~self.is_concept_] = -np.inf
        rows = np.argsort(-cosine, kind="stable")[: whole("k", k)]
        return [(self.vocabulary_[row], float(cosine[row])) for row in rows if cosine[row] > -np.inf]

    def type_of(self, mention: str, types: Sequence[str]) -> str:
        """The type whose vector has the largest cosine with the mention's; neither need be a known name, see `vector`."""
        if isinstance(types, str) or not len(types):
            raise InputError(f"types={types!r}: wanted a list of names")
        one, *others = unit(np.stack([self.vector(name) for name in (mention, *types)]))
        return types[int(np.argmax(others @ one))]

    def _row(self, word: str) -> int:
        return super()._row(word if word in self else name_of(word))

    def _rows_of(self, name: str) -> list[int]:
        if name in self or name_of(name) in self:
            return [self._row(name)]
        rows = [self._number[one] for one in self._phrases.link(words_of(name)) if one in self]
        if not rows:
            raise InputError(f"nothing of {name!r} is among the {len(self.vocabulary_):,} words and names that were learned")
        return rows

    def _embed(self, texts: list[Any]) -> np.ndarray:
        return super()._embed([self._phrases.link(words) for words in tokenised(texts)])

    @property
    def _phrases(self) -> Phrases:
        if getattr(self, "_found_in", None) is not self.vocabulary_:
            self._found_in, self._finder = self.vocabulary_, Phrases(self.vocabulary_)
        return self._finder

    # What is learned from -----------------------------------------------------------------------------------------
    def _linked(self, texts: Iterable[Any], concepts: set[str], rng: np.random.Generator) -> list[list[str]]:
        """Texts in which names of several words are one; of "concepts" the names alone."""
        share, phrases, found = number("linked", self.linked, 0, 1), Phrases(concepts), []
        for words in tokenised(texts):
            text = phrases.link(words)
            if self.mode == "concepts":
                text = [word for word in text if word in concepts]
            elif len(text) < len(words) and share < 1:
                kept = rng.random(len(text)) < share
                text = list(chain.from_iterable([word] if keep else word.split() for word, keep in zip(text, kept, strict=True)))
            found.append(text)
        return found

    def _drawn(self, edges: dict[tuple[str, str], float], mentions: int, rng: np.random.Generator) -> dict[tuple[str, str], int]:
        """How often an epoch sees each edge: in proportion to the root of p(y | x) p(x | y), the fractions drawn."""
        of_x: dict[str, float] = {}
        of_y: dict[str, float] = {}
        for (x, y), count in edges.items():
            of_x[x], of_y[y] = of_x.get(x, 0) + count, of_y.get(y, 0) + count
        pairs = number("graph_ratio", self.graph_ratio, 0) * (mentions or len(edges))
        share = np.cumsum([count / (of_x[x] * of_y[y]) ** 0.5 for (x, y), count in edges.items()])
        times = np.diff(np.floor(share / share[-1:] * pairs + rng.random()).astype(int), prepend=0)
        return {edge: n for edge, n in zip(edges, times.tolist(), strict=True) if n}


def _vocabulary(uses: Counter[str], drawn: dict[tuple[str, str], int], min_count: int) -> Vocabulary:
    """The frequent words of the texts and all names of the graph; counts are of both."""
    counts = Counter({word: n for word, n in uses.items() if n >= min_count})
    for edge, n in drawn.items():
        for name in edge:
            counts[name] += n if counts[name] else n + uses[name]
    if not counts:
        raise InputError(f"none of the {len(uses)} different words occurs min_count={min_count} times: lower it, or give more texts")
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return Vocabulary(words, np.array([counts[word] for word in words], np.int64))
