"""Full-text search, against the formula written out."""

import math
from collections import Counter

import numpy as np
import pytest

from unlabeled.representation.fulltext import K1, B, Words, _terms

TEXTS = [
    "Open a compressed file, and read the compressed files in it.",
    "Reading and writing of files",
    "The weather is fine",
    "",
    "file file file file",
    "Straße und Öl, 42 times",
    "the and of",
] + [f"filler number {n} about nothing" for n in range(30)]


def by_hand(query: str) -> dict[int, float]:
    terms = [_terms(text) for text in TEXTS]
    mean = sum(map(len, terms)) / len(terms)
    found: dict[int, float] = {}
    for word in _terms(query):
        holding = sum(word in one for one in terms)
        for row, one in enumerate(terms):
            if times := Counter(one)[word]:
                idf = math.log(1 + (len(TEXTS) - holding + 0.5) / (holding + 0.5))
                found[row] = found.get(row, 0) + idf * times * (K1 + 1) / (times + K1 * (1 - B + B * len(one) / mean))
    return found


@pytest.mark.parametrize("query", ["files", "read a compressed file", "file file weather", "number nothing filler", "straße", "42"])
def test_scores_are_those_of_bm25(query):
    rows, scores = Words.of(TEXTS).search(query, 100)
    wanted = by_hand(query)
    assert set(rows.tolist()) == set(wanted) and wanted
    np.testing.assert_allclose(scores, [wanted[row] for row in rows], rtol=1e-5)
    assert (np.diff(scores) <= 0).all()


def test_the_best_k_are_the_first_of_all_and_ties_go_by_row():
    words = Words.of(TEXTS)
    rows, scores = words.search("filler number", 100)
    for k in (1, 3, 7):
        few, best = words.search("filler number", k)
        assert few.tolist() == rows[:k].tolist() and best.tolist() == scores[:k].tolist()
    assert rows.tolist() == list(range(7, 37))


@pytest.mark.parametrize("query", ["", "the of", "unheard", "?!", "  "])
def test_a_query_without_a_word_that_is_there_finds_nothing(query):
    rows, scores = Words.of(TEXTS).search(query, 5)
    assert len(rows) == len(scores) == 0


def test_endings_and_cases_do_not_matter():
    words = Words.of(TEXTS)
    assert words.search("READING files", 5)[0].tolist() == words.search("read file", 5)[0].tolist()


def test_what_is_written_is_read_back_and_blocks_make_no_difference(tmp_path, monkeypatch):
    whole = Words.of(TEXTS)
    monkeypatch.setattr("unlabeled.representation.fulltext.BLOCK", 3)
    Words.of(TEXTS).write(tmp_path)
    again = Words.read(tmp_path, len(TEXTS))
    for query in ("read compressed file", "filler"):
        for a, b in zip(whole.search(query, 9), again.search(query, 9), strict=True):
            np.testing.assert_array_equal(a, b)
    assert Words.read(tmp_path / "none", 3) is None


def test_no_texts_and_texts_without_words_make_an_empty_index(tmp_path):
    for texts in ([], ["", "the"]):
        words = Words.of(texts)
        words.write(tmp_path)
        assert len(Words.read(tmp_path, len(texts)).search("the word", 3)[0]) == 0
