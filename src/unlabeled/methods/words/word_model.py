"""What models of words share: how texts come in, what is near a word, texts' vectors, and word2vec's files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from unlabeled.data import Items
from unlabeled.encoders import Inputs
from unlabeled.errors import InputError
from unlabeled.parts.checks import whole
from unlabeled.parts.scale import unit
from unlabeled.parts.skipgram import Corpus
from unlabeled.parts.vocabulary import Lines, Vocabulary, tokenised
from unlabeled.saving import described, read_config, write_json, write_tensors


@dataclass(kw_only=True, eq=False)
class WordModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A keyword-only dataclass. What `fit` learned: `vocabulary_` (words, most frequent first), `counts_` int64 [words] and
    `vectors_` float32 [words, dim]; a text's vector is the mean of its words', zeros where it holds none that is known.

    Texts: a list of str (cut into words by `parts.vocabulary.words_of`), lists of words, Items, or the path of a file with a text
    a line, which is read from the disk as often as it is needed.
    """

    def fit(self, X: Any, y: Any = None, **ignored: Any) -> Self:
        """Learn from texts; `y` is never looked at."""
        texts = self._texts(X)
        known = Vocabulary.of(texts, min_count=whole("min_count", getattr(self, "min_count", 1)), most=getattr(self, "max_words", None))
        self.vocabulary_, self.counts_ = known.words, known.counts
        self.vectors_ = np.ascontiguousarray(self._learn(texts, known), dtype=np.float32)
        self.inputs_ = Inputs("text")
        return self

    def _learn(self, texts: Iterable[Any], known: Vocabulary) -> np.ndarray:
        """Vectors [words, dim]."""
        raise NotImplementedError

    def _passes(self, words: int, epochs: int | None) -> int:
        """How often texts of so many words are read: as asked, or as often as makes five million words, 5 to 100 times.

        Few texts read five times teach nothing: of 3,000 titles (25,000 words) a k-NN vote then found 34 % of the topics, at 80 times 66 %.
        """
        return min(100, max(5, round(5e6 / max(words, 1)))) if epochs is None else epochs

    def transform(self, X: Any, out: np.ndarray | None = None, progress: Any = None) -> np.ndarray:
        """float32 [n, dim]. out: an array to write to. progress: called with (done, n)."""
        check_is_fitted(self, "vectors_")
        texts = list(self._texts(X))
        out = np.empty((len(texts), self._n_features_out), np.float32) if out is None else out
        for start in range(0, len(texts), 8192):
            part = texts[start : start + 8192]
            out[start : start + len(part)] = self._embed(part)
            if progress:
                progress(start + len(part), len(texts))
        return out

    def _embed(self, texts: list[Any]) -> np.ndarray:
        rows = [[self._number[word] for word in words if word in self._number] for words in tokenised(texts)]
        return np.stack([self.vectors_[ids].mean(axis=0) if ids else np.zeros(self.vectors_.shape[1], np.float32) for ids in rows])

    @property
    def _n_features_out(self) -> int:
        """How wide a text's vector is."""
        return self.vectors_.shape[1]

    def _corpus(self, texts: Iterable[Any]) -> Corpus:
        """The known words of the texts, as numbers."""
        number = self._number
        return Corpus.of([[number[word] for word in words if word in number] for words in tokenised(texts)])

    # Words --------------------------------------------------------------------------------------------------------
    def __contains__(self, word: str) -> bool:
        return word in self._number

    def vector(self, word: str) -> np.ndarray:
        """float32 [dim]. InputError: a word that isn't known."""
        return self.vectors_[self._row(word)]

    def most_similar(self, word: str | np.ndarray, k: int = 10) -> list[tuple[str, float]]:
        """The k words nearest to a word (itself left out) or to a vector, with their cosines."""
        check_is_fitted(self, "vectors_")
        if isinstance(word, str):
            return self._nearest(self._unit[self._row(word)], k, [word])
        return self._nearest(np.asarray(word, dtype=np.float32), k, [])

    def analogy(self, a: str, b: str, c: str, k: int = 1) -> list[tuple[str, float]]:
        """What is to c as b is to a ("man", "king", "woman"): the k nearest to b - a + c (3CosAdd), the three left out."""
        rows = [self._row(one) for one in (a, b, c)]
        return self._nearest(self._unit[rows[1]] - self._unit[rows[0]] + self._unit[rows[2]], k, [a, b, c])

    def similarity(self, a: str, b: str) -> float:
        """The cosine of two words."""
        return float(self._unit[self._row(a)] @ self._unit[self._row(b)])

    def _nearest(self, query: np.ndarray, k: int, without: list[str]) -> list[tuple[str, float]]:
        cosine = self._unit @ (query / max(float(np.linalg.norm(query)), 1e-12))
        cosine[[self._row(word) for word in without]] = -np.inf
        k = min(whole("k", k), len(cosine) - len(set(without)))
        rows = np.argsort(-cosine, kind="stable")[:k]
        return [(self.vocabulary_[row], float(cosine[row])) for row in rows]

    def _row(self, word: str) -> int:
        check_is_fitted(self, "vectors_")
        if word not in self._number:
            raise InputError(f"{word!r} is none of the {len(self.vocabulary_):,} words that were learned (lower case, min_count)")
        return self._number[word]

    @property
    def _number(self) -> dict[str, int]:
        check_is_fitted(self, "vectors_")
        if getattr(self, "_words", None) is not self.vocabulary_:
            self._words, self._numbers = self.vocabulary_, {word: i for i, word in enumerate(self.vocabulary_)}
        return self._numbers

    @property
    def _unit(self) -> np.ndarray:
        if getattr(self, "_of", None) is not self.vectors_:
            self._of, self._units = self.vectors_, unit(self.vectors_)
        return self._units

    # Files --------------------------------------------------------------------------------------------------------
    def save_word2vec(self, path: str | Path, *, binary: bool | None = None) -> None:
        """Write word2vec's format, text or binary (default: binary where the name ends in .bin). InputError: a word with a space."""
        check_is_fitted(self, "vectors_")
        spaced = next((word for word in self.vocabulary_ if not word or word.split() != [word]), None)
        if spaced is not None:
            raise InputError(f"{spaced!r}: word2vec's format has no words with spaces in them")
        binary = Path(path).suffix == ".bin" if binary is None else binary
        with open(path, "wb") as file:
            file.write(f"{len(self.vocabulary_)} {self.vectors_.shape[1]}\n".encode())
            for word, row in zip(self.vocabulary_, self.vectors_, strict=True):
                numbers = row.astype("<f4").tobytes() if binary else " ".join(format(value, ".9g") for value in row.tolist()).encode()
                file.write(word.encode() + b" " + numbers + b"\n")

    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write config.json, model.safetensors and vocabulary.json to a folder."""
        import torch

        check_is_fitted(self, "vectors_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / "model.safetensors", {name[:-1]: torch.from_numpy(value) for name, value in self._arrays().items()})
        write_json(folder / "vocabulary.json", self.vocabulary_)
        write_json(folder / "config.json", self.description() | more)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save` wrote."""
        import json

        from safetensors.numpy import load_file

        config = read_config(folder)
        model = cls(**config["parameters"])
        for name, array in load_file(Path(folder) / "model.safetensors").items():
            setattr(model, f"{name}_", array)
        model.vocabulary_ = json.loads((Path(folder) / "vocabulary.json").read_text(encoding="utf-8"))
        model.inputs_ = Inputs("text")
        return model

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: value for name, value in vars(self).items() if name.endswith("_") and isinstance(value, np.ndarray)}

    def description(self) -> dict[str, Any]:
        """Class, parameters and inputs: what config.json says of the model."""
        return described(self) | {"encoder": None, "loss_curve": list(getattr(self, "loss_curve_", []))}

    def _texts(self, X: Any) -> Iterable[Any]:
        if isinstance(X, str | Path):
            return Lines(X)
        if isinstance(X, Items):
            if X.kind != "text":
                raise InputError(f"{type(self).__name__} reads texts, the data are {X.kind}s: give a list of str")
            return X.take(np.arange(len(X)))
        return X if isinstance(X, Lines) else list(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def read_word2vec(path: str | Path, *, most: int | None = None) -> tuple[list[str], np.ndarray]:
    """Words and vectors float32 [words, dim] of a file in word2vec's format, text or binary, also .gz; at most the first `most`.

    InputError: no such file, or it isn't in that format.
    """
    import gzip

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}")
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        head = file.readline().split()
        if len(head) != 2 or not all(one.isdigit() for one in head):
            raise InputError(f"{path} doesn't begin with the number of words and of numbers a word: it isn't in word2vec's format")
        n, dim = int(head[0]), int(head[1])
        n = n if most is None else min(n, most)
        words, vectors = [], np.empty((n, dim), np.float32)
        start = file.read(1 << 16)
        line = start.split(b"\n", 1)[0].split(b" ")
        text = len([one for one in line if one]) == dim + 1 and all(_is_number(one) for one in line[1:] if one)
        stream = _Stream(file, start)
        for row in range(n):
            word = stream.until(b" ").lstrip(b"\n")
            try:
                numbers = stream.until(b"\n") if text else stream.read(4 * dim)
                vectors[row] = np.array(numbers.split(), np.float32) if text else np.frombuffer(numbers, "<f4")
            except ValueError:
                raise InputError(f"{path} ends or breaks off at word {row + 1} of {n}") from None
            words.append(word.decode("utf-8", errors="replace"))
    return words, vectors


class _Stream:
    """A binary file whose first bytes were read already."""

    def __init__(self, file: Any, start: bytes):
        self.file, self.held, self.place = file, start, 0

    def until(self, end: bytes) -> bytes:
        while (at := self.held.find(end, self.place)) < 0:
            more = self.file.read(1 << 20)
            if not more:
                at = len(self.held)
                break
            self.held, self.place = self.held[self.place :] + more, 0
        found = self.held[self.place : at]
        self.place = at + 1
        return found

    def read(self, n: int) -> bytes:
        while len(self.held) - self.place < n and (more := self.file.read(1 << 20)):
            self.held, self.place = self.held[self.place :] + more, 0
        found = self.held[self.place : self.place + n]
        self.place += n
        return found


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
