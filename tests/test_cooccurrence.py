"""Counts of words near words against a loop, PPMI against its formula, skip-gram against what its loss is least at; collections."""

import numpy as np
import pytest

from unlabeled import InputError
from unlabeled.datasets.collections import collection, is_collection
from unlabeled.parts.cooccurrence import cooccurrence, frequent_words, ppmi, ppmi_vectors, skip_gram_vectors

TEXTS = ["The cat sat on the mat; the cat slept.", "A dog sat on a log", "", "cat and dog"]


def test_the_most_frequent_words_come_first_ties_by_the_alphabet():
    assert frequent_words(TEXTS, 5, least=2) == ["cat", "the", "a", "dog", "on"]


@pytest.mark.parametrize("weighting", ["1/d", "flat"])
def test_counts_are_those_of_a_loop_within_texts(weighting):
    words = ["cat", "sat", "the", "dog"]
    expected = np.zeros((4, 4))
    for text in TEXTS:
        tokens = text.lower().replace(";", "").replace(".", "").split()
        for i, a in enumerate(tokens):
            for j, b in enumerate(tokens):
                if a in words and b in words and 0 < abs(i - j) <= 3:
                    expected[words.index(a), words.index(b)] += 1 / abs(i - j) if weighting == "1/d" else 1
    np.testing.assert_allclose(cooccurrence(TEXTS, words, 3, weighting).toarray(), expected)


def test_ppmi_is_its_formula_and_its_vectors_factorise_it():
    rng = np.random.default_rng(0)
    C = rng.poisson(0.7, size=(12, 12)).astype(float)
    C += C.T
    context = C.sum(axis=0) ** 0.75 / (C.sum(axis=0) ** 0.75).sum()
    with np.errstate(divide="ignore"):
        expected = np.maximum(np.log(C / C.sum(axis=1, keepdims=True) / context), 0)
    np.testing.assert_allclose(ppmi(C).toarray(), expected, atol=1e-9)
    V = ppmi_vectors(C, 12)
    left, singular, _ = np.linalg.svd(expected)
    np.testing.assert_allclose(np.square(V).sum(axis=0), singular, atol=1e-3)
    assert np.isfinite(ppmi_vectors(np.zeros((5, 5)), 2)).all()


def test_skip_gram_brings_words_of_like_company_together_and_repeats_for_a_seed():
    rng = np.random.default_rng(1)
    kind = np.repeat([0, 1], 10)
    C = rng.poisson(np.where(kind[:, None] == kind, 20, 1)).astype(float)
    V = skip_gram_vectors(C + C.T, 4)
    U = V / np.linalg.norm(V, axis=1, keepdims=True)
    S = U @ U.T
    assert S[kind[:, None] == kind].mean() > S[kind[:, None] != kind].mean() + 0.5
    np.testing.assert_array_equal(V, skip_gram_vectors(C + C.T, 4))
    assert not np.allclose(V, skip_gram_vectors(C + C.T, 4, seed=1))


def test_what_can_not_be_counted_is_refused():
    for bad in ({"words": []}, {"words": ["a", "a"]}, {"words": ["a"], "weighting": "square"}, {"words": ["a"], "window": 0}):
        with pytest.raises(InputError):
            cooccurrence(TEXTS, **bad)


def test_a_collection_is_read_and_what_has_no_text_or_nothing_relevant_is_left_out(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "tiny"
    folder.mkdir()
    docs = {"doc": [7, 8, 9], "title": ["Wings", None, "Birds"], "text": ["Wings of planes", "", "fly south"]}
    queries = {"query": [1, 2, 3], "text": ["planes", "nothing", "both"]}
    qrels = {"query": [1, 3, 3, 2], "doc": [7, 9, 7, 8]}
    for name, table in (("docs", docs), ("queries", queries), ("qrels", qrels)):
        assert not is_collection(str(folder))
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    found = collection(str(folder))
    assert found.docs == ["Wings of planes", "Birds. fly south"]
    assert found.queries == ["planes", "both"] and found.relevant == [{0}, {0, 1}]
    monkeypatch.setenv("UNLABELED_DATA", str(tmp_path))
    assert collection("tiny") == found
    with pytest.raises(InputError, match="docs.parquet"):
        collection("none")
