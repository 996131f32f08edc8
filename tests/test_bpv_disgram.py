"""Codes of texts and senses of words: what they find in corpora whose structure is known, against brute force in NumPy."""

import numpy as np
import pytest

import unlabeled as ul
from unlabeled import InputError
from unlabeled.methods.words.bpv_disgram import BinaryParagraphVectors
from unlabeled.methods.words.disgram import DisambiguatedSkipGram
from unlabeled.tasks.hamming import HammingIndex

KINDS = [[f"{kind}{j}" for j in range(20)] for kind in ("sea", "hill", "town", "farm")]


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(KINDS[i % 4], 25)) for i in range(240)]


@pytest.fixture(scope="module", params=[0, 24])
def model(request, texts):
    return BinaryParagraphVectors(bits=16, real_dim=request.param, epochs=40, lr=0.1, sample=0, negatives=5).fit(texts)


def differing(A, B):
    return (np.unpackbits(A, axis=1)[:, None] != np.unpackbits(B, axis=1)[None]).sum(axis=2)


def test_texts_of_one_kind_have_nearer_codes_than_others_new_texts_among_them(model, texts):
    rng = np.random.default_rng(1)
    new = model.encode([" ".join(rng.choice(KINDS[i % 4], 25)) for i in range(40)])
    far = differing(new, model.codes_)
    same = (np.arange(40)[:, None] - np.arange(240)[None]) % 4 == 0
    assert far[same].mean() < far[~same].mean() - 2
    first = HammingIndex().fit(model.codes_).search(new, 5)[0]
    assert (first % 4 == np.arange(40)[:, None] % 4).mean() > 0.9


def test_what_transform_gives_is_what_the_codes_are_made_of(model, texts):
    Z = model.transform(texts[:20])
    assert Z.dtype == np.float32 and Z.shape == (20, model.real_dim or 16) and len(model.get_feature_names_out()) == Z.shape[1]
    raw = Z @ model.projection_.T + model.bias_ if model.real_dim else Z
    assert (np.unpackbits(model.encode(texts[:20]), axis=1) == (raw > 0)).all()
    assert (model.code_of(Z) == model.encode(texts[:20])).all() and (model.code_of(model.doc_vectors_) == model.codes_).all()
    if not model.real_dim:
        assert set(np.unique(Z)) == {0.0, 1.0}


def test_a_saved_model_gives_the_same_codes(model, texts, tmp_path):
    model.save(tmp_path)
    again = ul.load_model(tmp_path)
    assert type(again) is BinaryParagraphVectors and (again.encode(texts[:9]) == model.encode(texts[:9])).all()
    assert (again.codes_ == model.codes_).all() and again.most_similar("sea1", 3) == model.most_similar("sea1", 3)
    assert len(again.get_feature_names_out()) == model.transform(texts[:1]).shape[1]


def test_a_seed_gives_the_same_codes_again_and_another_seed_others(texts):
    one, two, three = (BinaryParagraphVectors(bits=12, epochs=3, seed=seed).fit(texts).codes_ for seed in (1, 1, 2))
    assert one.shape == (240, 2) and (one == two).all() and (one != three).any()
    assert (np.unpackbits(one, axis=1)[:, 12:] == 0).all()


def test_empty_long_foreign_and_repeated_texts_have_codes():
    long = " ".join(f"w{j}" for j in np.random.default_rng(0).integers(0, 50, 100_000))
    texts = [long, "", "w1", "東京に行く", "👍🏽 наука", *["w2 w3"] * 20]
    model = BinaryParagraphVectors(bits=8, epochs=1, min_count=1).fit(texts)
    assert model.codes_.shape == (25, 1) and model.encode(["", "zzz", "東"]).shape == (3, 1) and model.encode([]).shape == (0, 1)


def test_the_nearest_codes_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    codes, asked = rng.integers(0, 256, (300, 4), dtype=np.uint8), rng.integers(0, 256, (7, 4), dtype=np.uint8)
    rows, distances = HammingIndex().fit(codes).search(asked, 300)
    far = differing(asked, codes)
    assert (rows == np.argsort(far, axis=1, kind="stable")).all()  # of equally near ones the first row comes first
    assert (distances == np.sort(far, axis=1)).all() and distances.dtype == np.float32
    assert HammingIndex().fit(codes[:3]).search(asked, 10)[0].shape == (7, 3)


def test_candidates_by_code_are_ordered_by_their_vectors():
    rng = np.random.default_rng(0)
    codes, asked = rng.integers(0, 256, (100, 2), dtype=np.uint8), rng.integers(0, 256, (5, 2), dtype=np.uint8)
    Z, Q = rng.normal(size=(100, 6)), rng.normal(size=(5, 6))
    index = HammingIndex(candidates=30).fit(codes, vectors=Z)
    rows, distances = index.search(asked, 4, vectors=Q)
    cosine = (Q / np.linalg.norm(Q, axis=1, keepdims=True)) @ (Z / np.linalg.norm(Z, axis=1, keepdims=True)).T
    allowed = index.search(asked, 30)[0]
    for query in range(5):
        best = sorted(allowed[query], key=lambda row: -cosine[query, row])[:4]
        assert rows[query].tolist() == best
        np.testing.assert_allclose(distances[query], 1 - cosine[query, best], atol=1e-6)


def test_a_saved_index_finds_the_same(tmp_path):
    rng = np.random.default_rng(0)
    codes, Z = rng.integers(0, 256, (50, 2), dtype=np.uint8), rng.normal(size=(50, 3))
    index = HammingIndex(candidates=9).fit(codes, vectors=Z)
    index.save(tmp_path)
    again = ul.load_model(tmp_path)
    for one, two in zip(index.search(codes[:5], 3, vectors=Z[:5]), again.search(codes[:5], 3, vectors=Z[:5]), strict=True):
        assert (one == two).all()


# Senses -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus():
    """The word bank stands by the sea and in town, each with words of its own; shop in town alone."""
    rng, found = np.random.default_rng(0), []
    for i in range(1500):
        words = list(rng.choice(KINDS[0 if i % 2 else 2], 8))
        words[4] = "bank" if i % 3 or i % 2 else "shop"
        found.append(words)
    return found


@pytest.fixture(scope="module")
def senses(corpus):
    return DisambiguatedSkipGram(dim=16, n_senses=2, epochs=30, lr=0.1, sample=0, entropy=0, min_count=1).fit(corpus)


def test_an_ambiguous_word_has_two_senses_and_each_use_the_right_one(senses, corpus):
    by_sea, in_town = ["sea1", "sea2", "bank", "sea3"], ["town1", "town2", "bank", "town3"]
    assert senses.disambiguate(by_sea, 2) != senses.disambiguate(in_town, 2)
    found = senses.senses("bank", 5)
    assert len(found) == 2 and found[0].share >= found[1].share and abs(sum(sense.share for sense in found) - 1) < 1e-5
    for tokens, kind in ((by_sea, "sea"), (in_town, "town")):
        near = [word for word, _ in found[senses.disambiguate(tokens, 2)].words]
        assert sum(word.startswith(kind) for word in near) >= 4, near
    place = np.array([tags[4] for tags in senses.tag(corpus)])
    is_bank, sea = np.array([words[4] == "bank" for words in corpus]), np.arange(1500) % 2 == 1
    right = (place[is_bank] == place[is_bank & sea][0]) == sea[is_bank]
    assert max(right.mean(), 1 - right.mean()) > 0.97


def test_the_sense_that_is_chosen_is_the_best_by_the_formula(senses):
    tokens = ["sea1", "zzz", "town2", "bank", "sea3", "sea4"]
    rows = [senses.vocabulary_.index(word) for word in tokens if word in senses]
    for place, row in enumerate(rows):
        around = np.mean([senses.output_vectors_[other] for i, other in enumerate(rows) if i != place], axis=0)
        score = senses.choose_[row] @ around + senses.bias_[row]
        score[senses.shares_[row] == 0] = -np.inf
        want = sorted(np.flatnonzero(senses.shares_[row]), key=lambda s: -senses.shares_[row, s]).index(score.argmax())
        at = place + (place >= 1)
        assert senses.tag([tokens])[0][at] == want == senses.disambiguate(tokens, at)
    assert senses.tag([tokens])[0][1] == -1


def test_a_text_is_the_mean_of_its_words_in_their_senses(senses):
    text = ["sea1", "bank", "sea2"]
    kept = [[s for s in np.argsort(-senses.shares_[senses.vocabulary_.index(word)], kind="stable")] for word in text]
    chosen = [order[place] for order, place in zip(kept, senses.tag([text])[0], strict=True)]
    want = np.mean([senses.sense_vectors_[senses.vocabulary_.index(word), s] for word, s in zip(text, chosen, strict=True)], axis=0)
    Z = senses.transform([text, [], ["zzz"]])
    np.testing.assert_allclose(Z[0], want, rtol=1e-5)
    assert (Z[1:] == 0).all() and Z.dtype == np.float32


def test_rare_senses_are_dropped_and_never_chosen(corpus):
    model = DisambiguatedSkipGram(dim=8, n_senses=4, epochs=5, lr=0.1, sample=0, min_share=0.3, min_count=1).fit(corpus)
    assert ((model.shares_ == 0) | (model.shares_ >= 0.3)).all() and (model.shares_ == 0).any()
    np.testing.assert_allclose(model.shares_.sum(axis=1), 1, atol=1e-5)
    assert max(max(tags) for tags in model.tag(corpus[:200])) < 3
    np.testing.assert_allclose(model.vectors_, np.einsum("wk,wkd->wd", model.shares_, model.sense_vectors_), atol=1e-6)


def test_saved_senses_are_the_same_and_a_seed_gives_them_again(corpus, senses, tmp_path):
    senses.save(tmp_path)
    again = ul.load_model(tmp_path)
    assert type(again) is DisambiguatedSkipGram and again.senses("bank", 3)[0].words == senses.senses("bank", 3)[0].words
    assert (again.transform(corpus[:9]) == senses.transform(corpus[:9])).all()
    one, two = (DisambiguatedSkipGram(dim=8, epochs=1, min_count=1, seed=3).fit(corpus).vectors_ for _ in range(2))
    assert (one == two).all()


def test_words_of_one_use_of_other_scripts_and_long_texts_have_senses():
    long = " ".join(f"w{j}" for j in np.random.default_rng(0).integers(0, 50, 100_000))
    model = DisambiguatedSkipGram(dim=8, epochs=1, min_count=1).fit([long, "alone", "", "東京に行く 👍🏽", *["w1 w2"] * 20])
    assert model.senses("alone")[0].share == 1 and model.disambiguate(["東", "京"], 0) == 0
    assert np.isfinite(model.transform([long, "", "alone"])).all()


@pytest.mark.parametrize(
    ("ask", "wanted"),
    [
        (lambda: BinaryParagraphVectors(bits=0).fit(["a"] * 9), "bits=0"),
        (lambda: BinaryParagraphVectors(real_dim=-1).fit(["a"] * 9), "real_dim=-1"),
        (lambda: BinaryParagraphVectors(min_count=99).fit(["a b"]), "min_count=99"),
        (lambda: BinaryParagraphVectors(bits=4, epochs=1, min_count=1).fit(["a b"]).code_of([[1.0, 0.0]]), r"wanted \[n, 4\]"),
        (lambda: DisambiguatedSkipGram(n_senses=0).fit(["a b"] * 9), "senses=0"),
        (lambda: DisambiguatedSkipGram(min_share=2).fit(["a b"] * 9), "min_share=2"),
        (lambda: HammingIndex().fit(np.zeros((3, 2))), "uint8"),
        (lambda: HammingIndex().fit(np.zeros((3, 2), np.uint8)).search(np.zeros((1, 3), np.uint8)), r"\[n, 2\]"),
        (lambda: HammingIndex().fit(np.zeros((3, 2), np.uint8), vectors=np.zeros((2, 4))), "a vector for each code"),
        (lambda: HammingIndex().fit(np.zeros((3, 2), np.uint8)).search(np.zeros((1, 2), np.uint8), vectors=[[1.0]]), "none were to fit"),
        (lambda: HammingIndex(candidates=0).fit(np.zeros((3, 2), np.uint8)), "candidates=0"),
    ],
)
def test_what_makes_no_sense_is_refused(ask, wanted):
    with pytest.raises(InputError, match=wanted):
        ask()


def test_a_place_or_a_word_that_is_not_there_is_said(senses):
    for ask, wanted in ((lambda: senses.disambiguate(["bank"], 1), "i=1"), (lambda: senses.disambiguate(["zzz"], 0), "is none of"),
                        (lambda: senses.senses("zzz"), "is none of")):  # fmt: skip
        with pytest.raises(InputError, match=wanted):
            ask()
