"""Words: how texts become numbers, what Word2Vec says of a corpus whose structure is known, and word2vec's files."""

import gzip
import struct

import numpy as np
import pytest

import unlabeled as ul
from unlabeled import InputError
from unlabeled.methods.words.word2vec import Word2Vec
from unlabeled.methods.words.word_model import read_word2vec
from unlabeled.parts import vocabulary
from unlabeled.parts.vocabulary import Lines, Vocabulary, words_of

PLACES = ["paris france", "rome italy", "madrid spain", "berlin germany"]


@pytest.fixture(scope="module")
def sentences():
    """Capitals and countries: a capital stands with capital words and those of its country."""
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(4000):
        i = rng.integers(4)
        capital, country = PLACES[i].split()
        local = [f"{country[:3]}{j}" for j in rng.integers(0, 6, 3)]
        kind = [f"{'city' if (is_city := rng.random() < 0.5) else 'land'}{j}" for j in rng.integers(0, 6, 3)]
        texts.append(" ".join(rng.permutation([capital if is_city else country, *local, *kind])))
    return texts


@pytest.fixture(scope="module")
def model(sentences):
    return Word2Vec(dim=24, epochs=10, sample=0, window=6).fit(sentences)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop: C3PO’s 2nd naïve café", ["don't", "stop", "c3po’s", "2nd", "naïve", "café"]),
        ("Rock'n'roll 'quoted' x_y", ["rock'n'roll", "quoted", "x", "y"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("東京に行く", ["東", "京", "に", "行", "く"]),
        ("hi 👩‍👩‍👧‍👦 👍🏽🇩🇪!", ["hi", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪"]),
        ("שָׁלוֹם Привет", ["שָׁלוֹם", "привет"]),
        (" \n\t.,;", []),
        ("", []),
    ],
)
def test_words_of_every_script_and_pictures_are_told_apart(text, words):
    assert words_of(text) == words


def test_plain_text_is_cut_the_same_way_by_the_quick_expression():
    text = "It's 10 o'clock -- e-mail the U.S.A. 'now', rock'n'roll x'9 a1b2"
    assert words_of(text) == vocabulary.WORD.findall(text.lower())


def test_the_vocabulary_counts_and_orders_words_and_leaves_rare_ones_out():
    known = Vocabulary.of(["b a b c", ["a", "b"], "", "d"], min_count=2)
    assert known.words == ["b", "a"] and known.counts.tolist() == [3, 2]
    corpus = known.encode(["b a b c", ["a", "b"], "", "d"])
    assert corpus.tokens.tolist() == [0, 1, 0, 1, 0] and corpus.starts.tolist() == [0, 3, 5, 5, 5]
    assert Vocabulary.of(["b a b c"], min_count=1, most=2).words == ["b", "a"]


def test_a_large_corpus_lies_on_the_disk_and_is_the_same(monkeypatch, sentences):
    known = Vocabulary.of(sentences)
    held = known.encode(sentences)
    monkeypatch.setattr(vocabulary, "IN_MEMORY", 5000)
    filed = known.encode(sentences)
    assert isinstance(filed.tokens, np.memmap) and (filed.tokens == held.tokens).all() and (filed.starts == held.starts).all()


def test_a_file_with_a_sentence_a_line_gives_what_the_list_does(sentences, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(sentences[:500]), encoding="utf-8")
    with gzip.open(tmp_path / "text.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(sentences[:500]))
    of_list = Word2Vec(dim=4, epochs=1).fit(sentences[:500]).vectors_
    for X in (tmp_path / "text.txt", str(tmp_path / "text.txt.gz"), Lines(tmp_path / "text.txt")):
        assert (Word2Vec(dim=4, epochs=1).fit(X).vectors_ == of_list).all()


def test_words_in_like_places_are_near_each_other_and_analogies_come_out(model):
    assert {word for word, _ in model.most_similar("paris", 8)} & {f"fra{j}" for j in range(6)}
    right = [model.analogy(a[1], a[0], b[1])[0][0] == b[0] for a in map(str.split, PLACES) for b in map(str.split, PLACES) if a != b]
    assert np.mean(right) > 0.6
    assert model.similarity("paris", "fra1") > model.similarity("paris", "ita1") + 0.1


def test_neighbours_are_those_of_brute_force_without_the_word_itself(model):
    Z = model.vectors_ / np.linalg.norm(model.vectors_, axis=1, keepdims=True)
    cosine = Z @ Z[model.vocabulary_.index("rome")]
    order = [model.vocabulary_[row] for row in np.argsort(-cosine) if model.vocabulary_[row] != "rome"]
    assert [word for word, _ in model.most_similar("rome", 5)] == order[:5]
    assert model.most_similar(model.vector("rome"), 1)[0][0] == "rome"
    assert len(model.most_similar("rome", 10_000)) == len(model.vocabulary_) - 1


def test_a_text_is_the_mean_of_its_words_and_zero_without_any(model):
    Z = model.transform(["Paris rome, zzz", "", "zzz"])
    np.testing.assert_allclose(Z[0], (model.vector("paris") + model.vector("rome")) / 2, rtol=1e-6)
    assert (Z[1:] == 0).all() and Z.shape == (3, 24) and Z.dtype == np.float32


def test_long_short_and_repeated_texts_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    long = " ".join(f"w{j}" for j in rng.integers(0, 50, 100_000))
    model = Word2Vec(dim=8, epochs=5, lr=0.1).fit([long, "w1", "", "w2 w3", *["w4 w5"] * 50])
    assert np.isfinite(model.vectors_).all() and np.abs(model.vectors_).max() > 0.1 and "w4" in model and "zzz" not in model


@pytest.mark.parametrize("name", ["vectors.bin", "vectors.txt"])
def test_word2vecs_files_come_back_as_they_were(model, name, tmp_path):
    model.save_word2vec(tmp_path / name)
    again = Word2Vec.load_word2vec(tmp_path / name)
    assert again.vocabulary_ == model.vocabulary_ and (again.vectors_ == model.vectors_).all()
    assert again.most_similar("rome", 3) == model.most_similar("rome", 3)
    assert len(Word2Vec.load_word2vec(tmp_path / name, most=3).vocabulary_) == 3


def test_files_that_other_programs_wrote_are_read(tmp_path):
    rows = [("東京", [1.0, -2.5]), ("👍", [0.0, 1e-20])]
    (tmp_path / "plain.txt").write_text("2 2\n東京 1 -2.5\n👍 0 1e-20\n", encoding="utf-8")
    packed = b"".join(word.encode() + b" " + struct.pack("<2f", *numbers) for word, numbers in rows)
    (tmp_path / "without-newlines.bin").write_bytes(b"2 2\n" + packed)  # as the first word2vec wrote it
    with gzip.open(tmp_path / "packed.bin.gz", "wb") as file:
        file.write(b"2 2\n" + b"".join(word.encode() + b" " + struct.pack("<2f", *numbers) + b"\n" for word, numbers in rows))
    for path in tmp_path.iterdir():
        words, vectors = read_word2vec(path)
        assert words == ["東京", "👍"] and (vectors == np.array([r[1] for r in rows], np.float32)).all()


def test_a_file_that_is_broken_off_or_something_else_is_refused(model, tmp_path):
    model.save_word2vec(tmp_path / "whole.bin")
    (tmp_path / "cut.bin").write_bytes((tmp_path / "whole.bin").read_bytes()[:-30])
    (tmp_path / "other.txt").write_text("not a model\n")
    for name, wanted in (("cut.bin", "breaks off"), ("other.txt", "word2vec's format"), ("none.bin", "no file")):
        with pytest.raises(InputError, match=wanted):
            read_word2vec(tmp_path / name)


def test_a_saved_model_says_the_same(model, tmp_path):
    model.save(tmp_path / "kept")
    again = ul.load_model(tmp_path / "kept")
    assert type(again) is Word2Vec and (again.transform(["paris rome"]) == model.transform(["paris rome"])).all()
    assert again.most_similar("paris", 3) == model.most_similar("paris", 3) and again.get_params() == model.get_params()


@pytest.mark.parametrize(
    ("texts", "setting", "wanted"),
    [
        ("a single text", {}, "no file"),
        ([1, 2], {}, "text 0 is"),
        (["a b c"], {}, "min_count=5"),
        (["a b"] * 9, {"dim": 0}, "dim=0"),
        ([], {}, "0 different words"),
    ],
)
def test_what_makes_no_sense_is_refused(texts, setting, wanted):
    with pytest.raises(InputError, match=wanted):
        Word2Vec(**setting).fit(texts)


def test_a_word_that_is_not_known_is_said(model):
    for ask in (lambda: model.most_similar("Paris"), lambda: model.analogy("paris", "zzz", "rome"), lambda: model.vector("")):
        with pytest.raises(InputError, match="is none of the"):
            ask()


def test_few_texts_are_read_more_often_unless_epochs_are_given():
    few = ["a b c d e"] * 40
    assert len(Word2Vec(min_count=1, dim=8).fit(few).loss_curve_) == 100
    assert len(Word2Vec(min_count=1, dim=8, epochs=3).fit(few).loss_curve_) == 3
    assert Word2Vec()._passes(100_000, None) == 50 and Word2Vec()._passes(10**9, None) == 5
