"""Are topics good ones? Do their words go together in texts, do topics differ, and how many topics does a text have?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.checks import one_of, whole
from unlabeled.parts.vocabulary import tokenised, words_of

WINDOW = {"npmi": 10, "c_v": 110}  # words, as Röder et al. have them
EPSILON = 1e-12  # theirs, where c_v takes the log of what never happens
PIECE = 2_000_000  # (window, word) pairs that are held at once


@dataclass(frozen=True)
class Coherence:
    """each: a number a topic, NaN where it has fewer than two words; mean: over the topics that have one (NaN: none has).

    known: share of the topics' words that occur in the texts at all.
    """

    mean: float
    each: np.ndarray  # float64 [topics]
    known: float


def coherence(
    topics: Sequence[Sequence[str]], texts: Iterable[Any], measure: str = "npmi", *, top: int = 10, window: int | None = None
) -> Coherence:
    """Whether the `top` first words of each topic stand near each other in texts, best in texts that the topics were not made from.

    "npmi" (Bouma, 2009; Lau et al., 2014): mean over the pairs of a topic's words of log(p_ij / (p_i p_j)) / -log p_ij: 1 for words that
    only come together, 0 for independent ones, -1 for those that never meet, words that the texts don't have among them.
    "c_v" (Röder et al., 2015): each word as the vector of its NPMI with all words of the topic, mean cosine with their sum.
    p: share of the windows of `window` words, moved on by one, that hold the word or both (a shorter text is one window);
    0: whole texts; None: 10 for npmi, 110 for c_v, as there.

    topics: lists of words, best first; a word of several (new york) is found where they follow each other. texts: str (split by
    `parts.vocabulary.words_of`, and the topics' words with them) or lists of words, which are compared as they are.
    InputError: no text has a word, no topics, topics that are no lists of str.

    >>> coherence([["space", "orbit", "nasa"], ["goal", "team", "season"]], held_out_texts).mean
    """
    one_of("measure", measure, tuple(WINDOW))
    lists = _lists(topics, whole("top", top, 2))
    width = WINDOW[measure] if window is None else whole("window", window, 0)
    if isinstance(texts, str | bytes):
        raise InputError("the texts are a single str: give a list of them")
    words = sorted({word for topic in lists for word in topic})
    number = {word: i for i, word in enumerate(words)}
    together, windows = _together(words, texts, width)
    p = together / windows
    pair = _npmi(p, EPSILON if measure == "c_v" else 0.0)
    each = np.full(len(lists), np.nan)
    for i, topic in enumerate(lists):
        if len(topic) < 2:
            continue
        rows = [number[word] for word in topic]
        own = pair[np.ix_(rows, rows)]
        if measure == "npmi":
            each[i] = own[np.triu_indices(len(rows), 1)].mean()
        else:
            total = own.sum(axis=0)
            each[i] = (own @ total / np.maximum(np.linalg.norm(own, axis=1) * np.linalg.norm(total), EPSILON)).mean()
    there = ~np.isnan(each)
    return Coherence(float(each[there].mean()) if there.any() else float("nan"), each, float((np.diag(p) > 0).mean()) if words else 0.0)


def diversity(topics: Sequence[Sequence[str]], top: int = 25) -> float:
    """Share of different words among the `top` first of all topics (Dieng et al., 2020): 1: no two topics share one. NaN: no words."""
    lists = _lists(topics, whole("top", top))
    listed = [word for topic in lists for word in topic]
    return len(set(listed)) / len(listed) if listed else float("nan")


def effective_topics(doc_topic: Any) -> float:
    """How many topics a text has, the mean of exp(entropy) of the rows of doc_topic [texts, topics]: from 1 to the number of topics.

    Rows are made to sum to 1; a row of zeros (an empty text) isn't counted. InputError: negative or non-finite shares, zeros only.
    """
    shares = np.asarray(doc_topic, dtype=np.float64)
    if shares.ndim != 2 or not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise InputError(f"doc_topic has shape {shares.shape}: wanted shares [texts, topics], finite, none below 0, not all 0")
    shares = shares[shares.any(axis=1)]
    shares = shares / shares.sum(axis=1, keepdims=True)
    return float(np.exp(-(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)).mean())


def _lists(topics: Any, top: int) -> list[list[str]]:
    """The `top` first words of each topic, each word once."""
    if isinstance(topics, str) or not hasattr(topics, "__len__") or not len(topics):
        raise InputError(f"topics is {str(topics)[:40]!r}: wanted a list of topics, each a list of words")
    lists = []
    for i, topic in enumerate(topics):
        if isinstance(topic, str) or not all(isinstance(word, str) for word in topic):
            raise InputError(f"topic {i} is {str(topic)[:40]!r}: wanted a list of words")
        lists.append(list(dict.fromkeys(topic))[:top])
    return lists


def _npmi(p: np.ndarray, epsilon: float) -> np.ndarray:
    """NPMI of all pairs from p [words, words], the shares of windows with both (its diagonal: with the one)."""
    own = np.diag(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log((p + epsilon) / np.outer(own, own)) / -np.log(p + epsilon)
    value = np.where(p >= 1, 1.0, value)  # the limit: words that are in all windows, both
    if epsilon:
        return np.where(np.outer(own, own) > 0, value, 0.0)  # a word without a window has no direction
    return np.where(p > 0, value, -1.0)


def _together(words: list[str], texts: Iterable[Any], width: int) -> tuple[np.ndarray, int]:
    """How many windows hold both of two words, [words, words] (the diagonal: hold the one), and how many windows there are.

    width: words a window, 0: whole texts.
    """
    from scipy.sparse import csr_array

    starts: dict[bool, dict[str, list[tuple[tuple[str, ...], int]]]] = {}
    total = np.zeros((len(words), len(words)))
    windows = held = 0
    first: list[int] = []
    last: list[int] = []
    which: list[int] = []

    def count() -> None:
        """The windows held so far: each (windows first to last, word) is spelled out, and those with both counted."""
        low = np.asarray(first, dtype=np.int64)
        much = np.asarray(last, dtype=np.int64) - low + 1
        if len(low):
            row = np.repeat(low - (np.cumsum(much) - much), much) + np.arange(much.sum()) - low.min()
            M = csr_array((np.ones(len(row)), (row, np.repeat(which, much))), shape=(int(row.max()) + 1, len(words)))
            M.sum_duplicates()
            M.data[:] = 1  # a word counts once a window
            total[:] += (M.T @ M).toarray()
        for kept in (first, last, which):
            kept.clear()

    for text, tokens in _with_kind(texts):
        if text not in starts:
            starts[text] = _starts(words, text)
        n = len(tokens)
        if not n:
            continue
        reach = min(width, n) if width else n
        for place, token in enumerate(tokens):
            for pattern, word in starts[text].get(token, ()):
                end = place + len(pattern)  # exclusive
                if len(pattern) > 1 and tuple(tokens[place:end]) != pattern:
                    continue
                low, high = max(0, end - reach), min(place, n - reach)
                if low <= high:
                    first.append(windows + low)
                    last.append(windows + high)
                    which.append(word)
                    held += high - low + 1
        windows += n - reach + 1
        if held > PIECE:
            count()
            held = 0
    count()
    if not windows:
        raise InputError("none of the texts has a word: there is nothing to count in")
    return total, windows


def _with_kind(texts: Iterable[Any]) -> Iterable[tuple[bool, Sequence[str]]]:
    """Each text's words, and whether it came as a str."""
    for row, text in enumerate(texts):
        try:
            yield isinstance(text, str), next(iter(tokenised([text])))
        except InputError:
            raise InputError(f"text {row} is {str(text)[:40]!r} ({type(text).__name__}): wanted a str, or a list of words") from None


def _starts(words: list[str], text: bool) -> dict[str, list[tuple[tuple[str, ...], int]]]:
    """By its first word, each word to look for as the words that it is made of, and its number."""
    found: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    for number, word in enumerate(words):
        patterns = {tuple(words_of(word))} if text else {(word,), tuple(word.split())}
        for pattern in patterns - {()}:
            found.setdefault(pattern[0], []).append((pattern, number))
    return found
