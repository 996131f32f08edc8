"""Texts become numbers: which words there are, how often, and where they stand."""

from __future__ import annotations

import gzip
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import regex

from unlabeled.errors import InputError
from unlabeled.parts.skipgram import Corpus

UNPARTED = r"\p{Han}\p{Hiragana}\p{Katakana}"  # scripts that don't part words: sign by sign
# Letters, their marks and digits, with apostrophes within; pictures as words of their own, whatever they are composed of; flags.
WORD = regex.compile(
    rf"[{UNPARTED}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{UNPARTED}]]+(?:['’][[\p{{L}}\p{{M}}]--[{UNPARTED}]]+)*"
    r"|\p{Extended_Pictographic}(?:\ufe0f|\p{Emoji_Modifier}|\u200d\p{Extended_Pictographic}\ufe0f?)*|\p{RI}{2}",
    regex.V1,
)
ASCII = re.compile(r"[a-z0-9]+(?:'[a-z]+)*")  # the same of plain text, three times as fast
IN_MEMORY = 50_000_000  # words; beyond, they are written to a temporary file


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, numbers and pictures among them; Chinese and Japanese sign by sign."""
    text = text.lower()
    return ASCII.findall(text) if text.isascii() else WORD.findall(text)


class Lines:
    """The lines of a text file (or .gz), read anew each time that one goes through them: a corpus need not fit into memory."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"no file {str(path)!r}")

    def __iter__(self) -> Iterator[str]:
        opened: Any = gzip.open if self.path.suffix == ".gz" else open
        with opened(self.path, "rt", encoding="utf-8", errors="replace") as lines:
            yield from lines


def tokenised(texts: Iterable[Any]) -> Iterator[Sequence[str]]:
    """Each text's words: of a str those of `words_of`, a list of words as it is. InputError: anything else, with its place."""
    for row, text in enumerate(texts):
        if isinstance(text, str):
            yield words_of(text)
        elif isinstance(text, list | tuple | np.ndarray) and all(isinstance(word, str) for word in text):
            yield text  # type: ignore[misc]
        else:
            raise InputError(f"text {row} is {str(text)[:40]!r} ({type(text).__name__}): wanted a str, or a list of words")


@dataclass(frozen=True)
class Vocabulary:
    """Words, most frequent first (ties by the alphabet), and their uses in all texts."""

    words: list[str]
    counts: np.ndarray  # int64 [words]

    @classmethod
    def of(cls, texts: Iterable[Any], *, min_count: int = 5, most: int | None = None) -> Vocabulary:
        """The words that occur at least min_count times, at most the `most` most frequent. InputError: none does."""
        if isinstance(texts, str | bytes):
            raise InputError("the texts are a single str: give a list of them, or Lines(path) of a file")
        uses: Counter[str] = Counter()
        for words in tokenised(texts):
            uses.update(words)
        kept = sorted(((word, n) for word, n in uses.items() if n >= min_count), key=lambda one: (-one[1], one[0]))[:most]
        if not kept:
            raise InputError(f"none of the {len(uses)} different words occurs min_count={min_count} times: lower it, or give more texts")
        return cls([word for word, _ in kept], np.array([n for _, n in kept], np.int64))

    @cached_property
    def number(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def encode(self, texts: Iterable[Any]) -> Corpus:
        """The texts as numbers; words that aren't listed are left out. More than 50 million lie in a temporary file."""
        number, parts, ends, held, file = self.number, [], [0], 0, None
        for words in tokenised(texts):
            row = np.fromiter((number[word] for word in words if word in number), np.int32)
            parts.append(row)
            ends.append(ends[-1] + len(row))
            held += len(row)
            if held > IN_MEMORY:
                file = file or tempfile.TemporaryFile(prefix="unlabeled-words-")  # noqa: SIM115  (it lives as long as the map of it)
                np.concatenate(parts).tofile(file)
                parts, held = [], 0
        rest = np.concatenate([*parts, np.zeros(0, np.int32)])
        if file is None:
            return Corpus(rest, np.array(ends, np.int64))
        rest.tofile(file)
        file.flush()
        return Corpus(np.memmap(file, np.int32, "r", shape=(ends[-1],)), np.array(ends, np.int64))
