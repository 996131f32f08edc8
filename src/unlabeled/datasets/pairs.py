"""Pairs that people judged: sentences and words that mean the same or not; and questions of the kind "man is to king as woman to ?"."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlabeled.datasets.named import HOW, VARIABLE
from unlabeled.errors import InputError

# name: (file, left column, right column, value column, {column: value} of the rows that count)
SENTENCES = {
    "stsb": ("stsb/stsb.parquet", "sentence1", "sentence2", "score"),
    "sts12_16": ("sts12_16/sts.parquet", "sentence1", "sentence2", "score"),
    "msr_paraphrase": ("msr_paraphrase/msrp.parquet", "sentence1", "sentence2", "label"),
    "snli": ("nli_pairs/snli_test.parquet", "premise", "hypothesis", "label"),
    "scitail": ("nli_pairs/scitail_test.parquet", "premise", "hypothesis", "label"),
    "hans": ("nli_pairs/hans.parquet", "premise", "hypothesis", "label"),
    "rte": ("nli_pairs/rte.parquet", "premise", "hypothesis", "label"),
    "quora": ("nli_pairs/quora_test.parquet", "premise", "hypothesis", "label"),
}


@dataclass(frozen=True)
class Pairs:
    """left, right: what is compared, row by row; value: float64 [n], higher is more alike, or a class; group: the set or year of each."""

    left: list[str]
    right: list[str]
    value: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.left)

    def take(self, rows: np.ndarray) -> Pairs:
        return Pairs([self.left[i] for i in rows], [self.right[i] for i in rows], self.value[rows], self.group[rows])


def sentence_pairs(name: str, split: str | None = None) -> Pairs:
    """One of `SENTENCES` in $UNLABELED_DATA, or a Parquet file with the columns sentence1, sentence2 and score.

    split: only the rows whose column `split` says so. InputError: there is no such thing.
    """
    known = SENTENCES.get(name)
    path, left, right, value = (Path(name), "sentence1", "sentence2", "score") if known is None else (_at(known[0]), *known[1:])
    rows = _rows(path, (left, right, value))
    keep = np.ones(len(rows[left]), bool) if split is None else np.array([one == split for one in rows.get("split", [])], bool)
    if not keep.any():
        raise InputError(f"{path} has no rows of split {split!r} ({', '.join(sorted(set(rows.get('split', []))))})")
    group = next((rows[key] for key in ("year", "subset", "genre") if key in rows), [""] * len(keep))
    every = Pairs(list(rows[left]), list(rows[right]), np.asarray(rows[value], dtype=np.float64), np.asarray(group, dtype=str))
    return every.take(np.flatnonzero(keep))


def word_pairs() -> dict[str, Pairs]:
    """People's judgements of how alike two words are, by set ("MEN-TR-3k", "RW-STANFORD", ...), lower case (Faruqui and Dyer, 2014)."""
    rows = _rows(_at("word_similarity/pairs.parquet"), ("set", "word1", "word2", "score"))
    names = np.asarray(rows["set"], dtype=str)
    value = np.asarray(rows["score"], dtype=np.float64)
    every = Pairs([word.lower() for word in rows["word1"]], [word.lower() for word in rows["word2"]], value, names)
    return {str(name): every.take(np.flatnonzero(names == name)) for name in np.unique(names)}


def analogies() -> dict[str, list[tuple[str, str, str, str]]]:
    """Questions a : b = c : d of single words, lower case, by section (Mikolov et al., 2013)."""
    rows = _rows(_at("word_analogies/analogies.parquet"), ("set", "section", "a", "b", "c", "d"))
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    for kind, section, *four in zip(*(rows[key] for key in ("set", "section", "a", "b", "c", "d")), strict=True):
        if kind == "words":
            found.setdefault(section, []).append(tuple(one.lower() for one in four))  # type: ignore[arg-type]
    return found


def _rows(path: Path, wanted: tuple[str, ...]) -> dict[str, list]:
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(f"no file {str(path)!r}: name a Parquet file with the columns {', '.join(wanted)}, or {HOW}")
    rows = pq.read_table(path).to_pydict()
    if missing := [name for name in wanted if name not in rows]:
        raise InputError(f"{path} has no column {', '.join(missing)} (it has {', '.join(rows)})")
    return rows


def _at(file: str) -> Path:
    return Path(os.environ.get(VARIABLE, "")) / file
