"""Phrases that a corpus says for itself, and where each stands: a mention is a sentence and a span of it."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.checks import number, whole
from unlabeled.parts.vocabulary import WORD

END = re.compile(r"(?<=[.!?。！？।])\s+|(?<=[。！？])|\n\s*\n")
ASCII = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z]+)*")  # of plain text the same as WORD, and quicker
LONGEST = 60  # words of a sentence; tables and code have no full stops


@dataclass(frozen=True)
class Mentions:
    """Each mention's sentence, span (characters, end exclusive), phrase (its place in `phrases`) and text (which one it came from)."""

    sentences: list[str]  # one a mention
    spans: list[tuple[int, int]]
    phrase: np.ndarray  # int64 [n]
    text: np.ndarray  # int64 [n]
    phrases: list[str]  # in lower case, as most often written

    def __len__(self) -> int:
        return len(self.sentences)

    def marked(self) -> list[str]:
        """The sentences with a sign before and behind the span, as `encoders.span_text` reads them."""
        texts = [sentence.replace("\0", " ") for sentence in self.sentences]
        return [f"{text[:a]}\0{text[a:b]}\0{text[b:]}" for text, (a, b) in zip(texts, self.spans, strict=True)]


def given(mentions: Sequence[tuple[str, tuple[int, int]]]) -> Mentions:
    """Mentions that somebody names, [(sentence, (from, to)), ...]; equal phrases are those of the same words but for case and a plural's s.

    InputError: something else, a span that isn't within its sentence, an empty one.
    """
    for place, one in enumerate(mentions):
        right = isinstance(one, tuple | list) and len(one) == 2 and isinstance(one[0], str) and len(one[1]) == 2
        if not right or not 0 <= one[1][0] < one[1][1] <= len(one[0]):
            raise InputError(
                f"mention {place} is {str(one)[:80]!r}: wanted (sentence, (from, to)), the span within the sentence, not empty"
            )
    sentences, spans = [one[0] for one in mentions], [(int(one[1][0]), int(one[1][1])) for one in mentions]
    names, phrase = _merged([" ".join(sentence[a:b].split()).lower() for sentence, (a, b) in zip(sentences, spans, strict=True)])
    texts: dict[str, int] = {}
    return Mentions(sentences, spans, phrase, np.array([texts.setdefault(one, len(texts)) for one in sentences], np.int64), names)


def mine(
    texts: Iterable[str], *, min_sentences: int = 3, pmi: float = 3.0, longest: int = 3, stop_words: Iterable[str] | None = None
) -> Mentions:
    """Phrases of 2 to `longest` words without a stop word or a sign between them, in at least min_sentences different sentences.

    Their words must attract each other: the pointwise mutual information, log(p(ab) / p(a)p(b)), of every way to cut the phrase in two
    is at least `pmi`; p: the share of sentences that have it. Of phrases that overlap the longest, then the most frequent one is taken.
    stop_words: None: English ones.
    InputError: no phrase is found.
    """
    whole("min_sentences", min_sentences)
    whole("longest", longest, 2)
    number("pmi", pmi)
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    stops = frozenset(ENGLISH_STOP_WORDS if stop_words is None else stop_words)
    rows: list[tuple[str, int, list[list[tuple[str, int, int]]]]] = []
    grams: Counter[tuple[str, ...]] = Counter()
    seen: set[str] = set()
    for place, text in enumerate(texts):
        for sentence in _sentences(text):
            if sentence in seen:  # a signature, a quotation: it says nothing new about the words in it
                continue
            seen.add(sentence)
            runs = _runs(sentence, stops)
            rows.append((sentence, place, runs))
            grams.update({gram for run in runs for gram in _grams(run, longest)})  # once a sentence
    total = len(rows)

    def attract(gram: tuple[str, ...]) -> bool:
        cuts = (grams[gram[:i]] * grams[gram[i:]] for i in range(1, len(gram)))
        return all(math.log(grams[gram] * total / cut) >= pmi for cut in cuts)

    good = {gram for gram, n in grams.items() if len(gram) > 1 and n >= min_sentences and attract(gram)}
    found = [(s, p, span, gram) for s, p, runs in rows for run in runs for span, gram in _longest(run, good, grams, longest)]
    if not found:
        raise InputError(
            f"no phrase of 2 to {longest} words is in min_sentences={min_sentences} of {len(rows)} sentences with pmi={pmi:g}: "
            "lower them, or give more texts"
        )
    names, phrase = _merged([" ".join(gram) for *_, gram in found])
    text_of = np.array([p for _, p, _, _ in found], np.int64)
    return Mentions([s for s, *_ in found], [span for _, _, span, _ in found], phrase, text_of, names)


# Within -----------------------------------------------------------------------------------------------------------


def _sentences(text: str) -> Iterable[str]:
    """Its sentences, spaces made one; a long one in pieces."""
    for part in END.split(text):
        words = part.split()
        for start in range(0, len(words), LONGEST):
            yield " ".join(words[start : start + LONGEST])


def _runs(sentence: str, stops: frozenset[str]) -> list[list[tuple[str, int, int]]]:
    """Words (lower case, from, to) that follow each other with nothing but space between; stop words and numbers part them."""
    runs: list[list[tuple[str, int, int]]] = []
    end = -1
    for match in (ASCII if sentence.isascii() else WORD).finditer(sentence):
        word = match[0].lower()
        if word in stops or "'" in word or "’" in word or not any(sign.isalpha() for sign in word):
            continue
        gap = sentence[end : match.start()] if end >= 0 else "."
        if gap.strip() or not runs:
            runs.append([])
        runs[-1].append((word, match.start(), match.end()))
        end = match.end()
    return runs


def _grams(run: list[tuple[str, int, int]], longest: int) -> Iterable[tuple[str, ...]]:
    words = [word for word, *_ in run]
    return (tuple(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1))


def _longest(
    run: list[tuple[str, int, int]], good: set[tuple[str, ...]], grams: Counter[tuple[str, ...]], longest: int
) -> Iterable[tuple[tuple[int, int], tuple[str, ...]]]:
    words = [word for word, *_ in run]
    there = [(i, tuple(words[i : i + n])) for n in range(2, longest + 1) for i in range(len(words) - n + 1)]
    taken: set[int] = set()
    for i, gram in sorted((one for one in there if one[1] in good), key=lambda one: (-len(one[1]), -grams[one[1]], one[0])):
        places = set(range(i, i + len(gram)))
        if not places & taken:
            taken |= places
            yield (run[i][1], run[i + len(gram) - 1][2]), gram


def _merged(phrases: list[str]) -> tuple[list[str], np.ndarray]:
    """Phrases that differ by the plural of their last word are one, named as it is most often written; and the number of each."""
    written: dict[str, Counter[str]] = defaultdict(Counter)
    for phrase in phrases:
        written[_singular(phrase)][phrase] += 1
    numbers = {lemma: i for i, lemma in enumerate(written)}
    names = [counts.most_common(1)[0][0] for counts in written.values()]
    return names, np.array([numbers[_singular(phrase)] for phrase in phrases], np.int64)


def _singular(phrase: str) -> str:
    """English plurals only, by their ending: other languages' phrases stay what they are."""
    if phrase.endswith("ies") and len(phrase) > 5:
        return phrase[:-3] + "y"
    return phrase[:-1] if phrase.endswith("s") and not phrase.endswith(("ss", "us", "is")) else phrase
