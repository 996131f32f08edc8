"""Sent2Vec and PV-DBOW: what their vectors are made of, what is learned from, files, and texts that are hard."""

import gzip

import numpy as np
import pytest

import unlabeled as ul
from unlabeled import InputError
from unlabeled.methods.words.pv_dbow import PVDBOW
from unlabeled.methods.words.sent2vec import Sent2Vec
from unlabeled.methods.words.word2vec import Word2Vec
from unlabeled.methods.words.word_model import read_word2vec
from unlabeled.parts.ngram_sums import FACTOR, NgramSums
from unlabeled.parts.skipgram import Corpus

KINDS = ["sea ship sail wave harbour storm anchor deck", "oven bread dough yeast flour crust knead bake"]


@pytest.fixture(scope="module")
def sentences():
    """Sentences of two kinds, half of whose words are those of any sentence."""
    rng = np.random.default_rng(0)
    kinds, common = [kind.split() for kind in KINDS], "the a of and to in it was".split()
    return [" ".join(rng.permutation([*rng.choice(kinds[i % 2], 4), *rng.choice(common, 4)])) for i in range(3000)]


@pytest.fixture(scope="module")
def model(sentences):
    return Sent2Vec(dim=16, epochs=5, sample=1e-2, buckets=500).fit(sentences)


@pytest.fixture(scope="module")
def documents(sentences):
    return [" ".join(sentences[i : i + 40 : 2]) for i in range(0, 2000, 40) for i in (i, i + 1)]


@pytest.fixture(scope="module")
def paragraphs(documents):
    return PVDBOW(dim=16, sample=0, lr=0.05).fit(documents)


def by_kind(Z):
    """How much more alike texts of one kind are than those of different ones, every second of the one."""
    unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    cosine = unit @ unit.T
    return (cosine[::2, ::2].mean() + cosine[1::2, 1::2].mean()) / 2 - cosine[::2, 1::2].mean()


# sent2vec ---------------------------------------------------------------------------------------------------------------------------


def test_a_sentence_is_the_mean_of_its_words_and_neighbouring_pairs(model):
    words = "storm at sea and the ship".split()  # "at" isn't known: its neighbours then follow each other
    known = [model.vocabulary_.index(word) for word in words if word in model]
    rows = [model.vectors_[row] for row in known]
    rows += [model.grams_[(a * int(FACTOR) + b) % 2**64 % 500] for a, b in zip(known, known[1:], strict=False)]
    np.testing.assert_allclose(model.transform([" ".join(words), words]), [np.mean(rows, axis=0)] * 2, atol=1e-6)
    assert len(known) == 5 and len(rows) == 9


def test_sentences_about_one_thing_lie_together_whatever_common_words_they_share(model, sentences):
    assert by_kind(model.transform(sentences[:200])) > 0.5
    nearest = model.nearest_texts("The storm was in the harbour!", ["it was the bread and the oven", "a ship of the sea", "flour"], k=2)
    assert nearest[0][0] == "a ship of the sea" and nearest[0][1] > nearest[1][1] and len(nearest) == 2
    assert {word for word, _ in model.most_similar("yeast", 7)} == set(KINDS[1].split()) - {"yeast"}


def test_order_counts_with_n_grams_and_only_with_them(model, sentences):
    one, other = model.transform(["the ship of the sea", "the sea of the ship"])
    assert np.abs(one - other).max() > 1e-3
    plain = Sent2Vec(dim=4, epochs=1, word_ngrams=1).fit(sentences[:500])
    one, other = plain.transform(["the ship of the sea", "the sea of the ship"])
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert plain.grams_.shape == (0, 4)


def test_frequent_words_are_left_out_as_targets_and_count_as_context():
    """Word 0 is everywhere and never predicted, nor drawn: to the power of -40 only the rarest word is."""
    rng = np.random.default_rng(0)
    texts = Corpus.of([[0, 0, 0, *rng.integers(1, 20, 2)] for _ in range(500)] + [[20, 1]])
    tables = NgramSums(dim=8, epochs=2, sample=1e-9, power=-40.0, order=1, workers=1).fit(texts, 21)
    again = NgramSums(dim=8, epochs=2, sample=1e-2, power=-40.0, order=1, workers=1).fit(texts, 21)
    assert (tables.output[0] == 0).all() and (again.output[1:] != 0).any(axis=1).all()
    start = 2 * np.random.default_rng(0).random((21, 8), np.float32) - 1
    assert np.abs(again.words[0] - start[0] / 8).max() > 1e-3


def test_n_grams_that_are_left_out_learn_nothing():
    texts = ["one two three four five"] * 200
    short, long = (Sent2Vec(dim=8, epochs=epochs, dropout_k=4, buckets=50, sample=0).fit(texts) for epochs in (1, 9))
    assert (short.grams_ == long.grams_).all() and (short.vectors_ != long.vectors_).any()
    kept = [Sent2Vec(dim=8, epochs=epochs, dropout_k=3, buckets=50, sample=0).fit(texts).grams_ for epochs in (1, 9)]
    assert (kept[0] != kept[1]).any(axis=1).sum() in (3, 4)  # one of four, another each time


def test_a_seed_gives_the_same_vectors_again_and_another_gives_others(sentences):
    one, two, three = (Sent2Vec(dim=8, epochs=1, seed=seed).fit(sentences[:500]).vectors_ for seed in (1, 1, 2))
    assert (one == two).all() and (one != three).any()


def test_a_file_with_a_sentence_a_line_is_read_as_the_list_is(sentences, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(sentences[:300]), encoding="utf-8")
    with gzip.open(tmp_path / "text.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(sentences[:300]))
    listed = Sent2Vec(dim=4, epochs=1, buckets=50).fit(sentences[:300])
    for path in (tmp_path / "text.txt", str(tmp_path / "text.txt.gz")):
        filed = Sent2Vec(dim=4, epochs=1, buckets=50).fit(path)
        assert (filed.vectors_ == listed.vectors_).all() and (filed.transform(path) == listed.transform(sentences[:300])).all()


@pytest.mark.parametrize("name", ["model", "paragraphs"])
def test_a_saved_model_says_the_same(name, request, tmp_path):
    model = request.getfixturevalue(name)
    texts = ["the ship was in the harbour", "", "bread"]
    model.save(tmp_path / "kept")
    again = ul.load_model(tmp_path / "kept")
    assert type(again) is type(model) and again.get_params() == model.get_params()
    assert (again.transform(texts) == model.transform(texts)).all() and again.most_similar("ship", 3) == model.most_similar("ship", 3)


@pytest.mark.parametrize("name", ["words.bin", "words.txt"])
def test_words_go_to_word2vecs_files(model, name, tmp_path):
    model.save_word2vec(tmp_path / name)
    words, vectors = read_word2vec(tmp_path / name)
    assert words == model.vocabulary_ and (vectors == model.vectors_).all()
    assert Word2Vec.load_word2vec(tmp_path / name).most_similar("ship", 3) == model.most_similar("ship", 3)


def test_long_short_repeated_and_foreign_texts_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    long = " ".join(f"w{j}" for j in rng.zipf(1.3, 100_000).clip(max=500))
    texts = [long, "", "w1", "👍🏽 👍🏽 東京", " \n\t.,;", "שלום שלום Привет", *["w4 w5"] * 50, *["👍🏽 東京 w4"] * 5]
    for setting in ({}, {"sample": 0.0, "word_ngrams": 3}):
        model = Sent2Vec(dim=8, epochs=2, buckets=100, **setting).fit(texts)
        Z = model.transform(texts)
        assert np.isfinite(Z).all() and (Z[[1, 4, 5]] == 0).all() and (Z[[0, 2, 3]] != 0).any(axis=1).all() and "👍🏽" in model
        assert (Z[6:56] == Z[6]).all()


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ({"dim": 0}, "dim=0"),
        ({"word_ngrams": 0}, "word_ngrams=0"),
        ({"word_ngrams": 9}, "at most 8"),
        ({"dropout_k": -1}, "dropout_k=-1"),
        ({"buckets": 2.5}, "buckets=2.5"),
        ({"lr": 0}, "lr=0"),
        ({"lr": 500.0, "sample": 0}, "lower lr"),
        ({"lr": 0.4, "sample": 0, "dim": 16}, "lower lr"),
        ({"min_count": 10_000}, "min_count=10000"),
    ],
)
def test_what_makes_no_sense_is_refused(setting, wanted, sentences):
    with pytest.raises(InputError, match=wanted):
        Sent2Vec(**{"dim": 8, "epochs": 3} | setting).fit(sentences[:500])


# PV-DBOW ----------------------------------------------------------------------------------------------------------------------------


def test_a_documents_vector_predicts_its_words_as_often_as_they_are():
    """Two words, a tree of one node: the best vector d of a text that is three quarters "a" has sigmoid(|u d|) = 3/4."""
    model = PVDBOW(dim=8, negatives=0, train_words=False, epochs=400, lr=0.3, sample=0, min_count=1).fit(["a a a b", "b b b a"] * 3)
    Z = model.transform(["a a a b", "a b", "b a b b"])
    p = 1 / (1 + np.exp(-Z @ model.output_vectors_[0]))
    p = p if p[0] > 0.5 else 1 - p
    np.testing.assert_allclose(p, [0.75, 0.5, 0.25], atol=0.03)


def test_documents_about_one_thing_lie_together_also_those_that_are_new(paragraphs, documents, sentences):
    assert by_kind(paragraphs.doc_vectors_) > 0.5 and by_kind(paragraphs.transform(documents[:40])) > 0.5
    assert all(row % 2 == 1 for row, _ in paragraphs.similar_documents(1, 20))
    assert all(row % 2 == 0 for row, _ in paragraphs.similar_documents("storm, ship, harbour, sail, sea, wave", 10))
    assert paragraphs.similar_documents(1, 3)[0][0] != 1 and len(paragraphs.similar_documents(1, 1000)) == len(documents) - 1
    assert {word for word, _ in paragraphs.most_similar("yeast", 7)} == set(KINDS[1].split()) - {"yeast"}


def test_words_learn_only_where_they_are_trained_beside(documents):
    short, long = (PVDBOW(dim=8, epochs=epochs, train_words=False).fit(documents).vectors_ for epochs in (1, 3))
    assert (short == long).all()
    assert (PVDBOW(dim=8, epochs=1).fit(documents).vectors_ != short).any()


def test_documents_without_a_known_word_are_zeros_and_two_calls_give_the_same(documents):
    model = PVDBOW(dim=8, epochs=3).fit(["", *documents, "zzz 🙂"])
    assert (model.doc_vectors_[[0, -1]] == 0).all() and (model.doc_vectors_[1:-1] != 0).any(axis=1).all()
    Z = model.transform(["", "ship", "🙂", *documents[:3]])
    assert (Z[[0, 2]] == 0).all() and (Z[1] != 0).any() and (Z == model.transform(["", "ship", "🙂", *documents[:3]])).all()


def test_a_document_that_isnt_there_is_said(paragraphs):
    with pytest.raises(InputError, match="from 0 to"):
        paragraphs.similar_documents(10_000)
    with pytest.raises(InputError, match="window=0"):
        PVDBOW(window=0).fit(["a b"] * 9)
