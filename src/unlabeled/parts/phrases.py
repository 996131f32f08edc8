"""Names of several words are found in texts: the longest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unlabeled.parts.vocabulary import words_of


def name_of(name: str) -> str:
    """A name as texts have it: its words in lower case, a space between them. "" where it has none."""
    return " ".join(words_of(name))


class Phrases:
    """A gazetteer. names: as `name_of` writes them; those of one word find themselves."""

    def __init__(self, names: Iterable[str]):
        self._known: set[tuple[str, ...]] = {tuple(name.split()) for name in names if " " in name}
        lengths: dict[str, set[int]] = {}
        for words in self._known:
            lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {word: sorted(found, reverse=True) for word, found in lengths.items()}

    def spans(self, words: Sequence[str]) -> list[int]:
        """How many words each piece of a text has, from left to right: the longest name that begins there, else the word alone."""
        found, place = [], 0
        while place < len(words):
            long = (n for n in self._lengths.get(words[place], ()) if tuple(words[place : place + n]) in self._known)
            found.append(next(long, 1))
            place += found[-1]
        return found

    def link(self, words: Sequence[str]) -> list[str]:
        """The text with each name as one word: ["an", "ice hockey", "team"]."""
        linked, place = [], 0
        for n in self.spans(words):
            linked.append(" ".join(words[place : place + n]))
            place += n
        return linked
