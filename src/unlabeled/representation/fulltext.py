"""Full-text search by BM25: English stems and stop words, scores counted when the index is built, so that a query only adds some up.

Robertson and Zaragoza, 2009, "The Probabilistic Relevance Framework: BM25 and Beyond"; k1 and b as Lucene has them. That all scores can
be counted beforehand is the idea of BM25S (Lù, 2024, arXiv:2407.03618). Only the items that hold one of the words are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

K1, B = 1.2, 0.75
BLOCK = 20_000  # texts that are counted at once
WORD = re.compile(r"[^\W_]+")
STOP = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was will "
    "with".split()
)
FILES = ("words.txt", "words-starts.npy", "words-rows.npy", "words-scores.npy")


class Words:
    """An index of n texts: `search` gives the rows that hold a query's words, best first."""

    def __init__(self, terms: Sequence[str], starts: np.ndarray, rows: np.ndarray, scores: np.ndarray, count: int):
        self.terms = {term: place for place, term in enumerate(terms)}
        self.starts, self.rows, self.scores, self.count = starts, rows, scores, count

    @classmethod
    def of(cls, texts: Sequence[str]) -> Words:
        """Count the words of `texts` [n] and score each where it stands."""
        known: dict[str, int] = {}
        found, lengths = [], np.zeros(len(texts), np.int64)
        for start in range(0, len(texts), BLOCK):
            block = [[known.setdefault(term, len(known)) for term in _terms(text)] for text in texts[start : start + BLOCK]]
            size = np.array([len(terms) for terms in block], np.int64)
            lengths[start : start + len(block)] = size
            place = np.repeat(np.arange(start, start + len(block), dtype=np.int64), size)
            terms = np.fromiter((term for one in block for term in one), np.int64, int(size.sum()))
            pairs, times = np.unique(terms << 32 | place, return_counts=True)
            found.append((pairs, times.astype(np.float32)))
        pairs = np.concatenate([pairs for pairs, _ in found] or [np.empty(0, np.int64)])
        times = np.concatenate([times for _, times in found] or [np.empty(0, np.float32)])
        order = np.argsort(pairs, kind="stable")
        term, rows = pairs[order] >> 32, (pairs[order] & 0xFFFFFFFF).astype(np.int32)
        holding = np.bincount(term, minlength=len(known))
        idf = np.log1p((len(texts) - holding + 0.5) / (holding + 0.5))
        norm = K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1e-9)) if len(texts) else lengths
        times = times[order]
        scores = (idf[term] * times * (K1 + 1) / (times + norm[rows])).astype(np.float32)
        return cls(list(known), np.concatenate([[0], np.cumsum(holding)]), rows, scores, len(texts))

    def search(self, query: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 and scores float32 of at most k texts, best first; each word of the query counts as often as it is in it."""
        parts = [slice(self.starts[place], self.starts[place + 1]) for term in _terms(query) if (place := self.terms.get(term)) is not None]
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        rows, scores = (np.concatenate([array[part] for part in parts]) for array in (self.rows, self.scores))
        if len(parts) > 1:
            total = np.bincount(rows, weights=scores, minlength=0).astype(np.float32)
            rows = np.flatnonzero(total)
            scores = total[rows]
        if k < len(rows):
            best = np.argpartition(-scores, k - 1)[:k]
            least = scores[best].min()
            best = np.flatnonzero(scores >= least)  # ties go by row, as in a whole sort
            rows, scores = rows[best], scores[best]
        order = np.lexsort((rows, -scores))[:k]
        return rows[order].astype(np.int64), scores[order]

    def write(self, folder: Path) -> None:
        (folder / FILES[0]).write_text("\n".join(self.terms), encoding="utf-8")
        for name, array in zip(FILES[1:], (self.starts, self.rows, self.scores), strict=True):
            np.save(folder / name, array)

    @classmethod
    def read(cls, folder: Path, count: int) -> Words | None:
        """The index in `folder`, mapped from the disk; None where there is none."""
        if not all((folder / name).exists() for name in FILES):
            return None
        terms = (folder / FILES[0]).read_text(encoding="utf-8").split("\n")
        starts, rows, scores = (np.load(folder / name, mmap_mode="r") for name in FILES[1:])
        return cls(terms if len(starts) > 1 else [], np.asarray(starts), rows, scores, count)


def _terms(text: str) -> list[str]:
    """The stems of a text's words, in order, without those that say nothing."""
    return [stem for word in WORD.findall(text.lower()) if word not in STOP and (stem := _stem(word))]


@lru_cache(maxsize=500_000)
def _stem(word: str) -> str:
    return _stemmer().stemWord(word)  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import Stemmer  # Snowball's own C code

    return Stemmer.Stemmer("english")
