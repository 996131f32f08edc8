"""lda2vec on texts whose topics are known."""

import numpy as np
import pytest

import unlabeled as ul
from unlabeled import InputError
from unlabeled.evaluate.topics import effective_topics
from unlabeled.tasks.topics.lda2vec import LDA2Vec

KINDS = [[f"{kind}{j}" for j in range(15)] for kind in ("sea", "hill", "town")]
SETTING = {"n_topics": 3, "dim": 16, "epochs": 10, "pretrain_epochs": 5, "sample": 0, "window": 5}


@pytest.fixture(scope="module")
def texts():
    """A text is of one kind by four fifths; "the" is everywhere."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(KINDS[i % 3] if rng.random() < 0.8 else sum(KINDS, [])) + " the" for _ in range(30)) for i in range(300)]


@pytest.fixture(scope="module")
def model(texts):
    return LDA2Vec(**SETTING).fit(texts)


def agree(shares, kind):
    counts = np.array([np.bincount(shares.argmax(axis=1)[kind == k], minlength=shares.shape[1]) for k in range(3)])
    return counts.max(axis=1).sum() / counts.sum() if len(set(counts.argmax(axis=1))) == 3 else 0.0


def test_each_kind_of_text_gets_a_topic_and_each_topic_its_words(model, texts):
    assert model.doc_topics_.shape == (300, 3) and agree(model.doc_topics_, np.arange(300) % 3) > 0.9
    np.testing.assert_allclose(model.doc_topics_.sum(axis=1), 1, atol=1e-5)
    kinds = [{word.rstrip("0123456789") for word in topic} for topic in model.topics(8)]
    assert sorted(kinds, key=str) == [{"hill"}, {"sea"}, {"town"}], model.topics(8)


def test_new_texts_are_told_by_the_same_topics(model, texts):
    rng = np.random.default_rng(1)
    Z = model.transform([" ".join(rng.choice(KINDS[i % 3], 20)) for i in range(60)])
    assert Z.dtype == np.float32 and Z.shape == (60, 3) and len(model.get_feature_names_out()) == 3
    named = {k: [topic[0].rstrip("0123456789") for topic in model.topics(1)].index(kind) for k, kind in enumerate(("sea", "hill", "town"))}
    assert np.mean(Z.argmax(axis=1) == [named[i % 3] for i in range(60)]) > 0.9


def test_the_prior_leaves_each_text_few_topics_and_a_prior_above_one_many(texts):
    few, none, many = (effective_topics(LDA2Vec(**SETTING, lam=lam, alpha=alpha).fit(texts).doc_topics_)
                       for lam, alpha in ((20, None), (0, None), (20, 5.0)))  # fmt: skip
    assert few < none - 0.05 and many > none + 0.3


def test_words_of_a_topic_are_the_likeliest_by_the_formula(model):
    centred = model.topics_ - model.topics_.mean(axis=0)
    for k, topic in enumerate(model.topics(5)):
        t = centred[k] / np.linalg.norm(centred[k]) * np.mean([np.linalg.norm(model.vector(word)) for word in model.vocabulary_])
        said = {w: float(t @ u) + 0.75 * np.log(n) for w, u, n in zip(model.vocabulary_, model.output_vectors_, model.counts_, strict=True)}
        assert topic == sorted(said, key=said.get, reverse=True)[:5]


def test_stop_words_and_numbers_are_left_out_unless_they_are_wanted(model, texts):
    assert "the" not in model and "sea1" in model and "the" in LDA2Vec(**SETTING | {"epochs": 1}, stop_words=False).fit(texts)
    numbers = LDA2Vec(n_topics=2, dim=4, epochs=1, pretrain_epochs=1, min_count=1).fit(["1984 of it 東京 no", "наука и the жизнь 👍🏽"])
    assert set(numbers.vocabulary_) == {"東", "京", "наука", "и", "жизнь", "👍🏽"}


def test_a_saved_model_says_the_same_and_a_seed_gives_it_again(model, texts, tmp_path):
    model.save(tmp_path)
    again = ul.load_model(tmp_path)
    assert type(again) is LDA2Vec and again.topics(5) == model.topics(5) and (again.doc_topics_ == model.doc_topics_).all()
    assert (again.transform(texts[:9]) == model.transform(texts[:9])).all() and len(again.get_feature_names_out()) == 3
    one, two = (LDA2Vec(**SETTING | {"epochs": 1}, seed=3).fit(texts).doc_topics_ for _ in range(2))
    assert (one == two).all()


def test_empty_long_and_repeated_texts_have_topics():
    long = " ".join(f"word{j}" for j in np.random.default_rng(0).integers(0, 50, 100_000))
    model = LDA2Vec(n_topics=2, dim=8, window=2, epochs=1, pretrain_epochs=1, min_count=1).fit([long, "", "alone", *["same text"] * 20])
    Z = model.transform(["", "zzz", long])
    assert np.isfinite(Z).all() and model.doc_topics_.shape == (23, 2)
    np.testing.assert_allclose(Z[:2], 0.5, atol=0.05)


def test_topics_may_begin_anywhere_and_words_without_having_been_learned(texts):
    found = LDA2Vec(**SETTING | {"pretrain_epochs": 0, "start": "random", "lr": 0.05, "epochs": 3}).fit(texts)
    assert np.isfinite(found.doc_topics_).all() and found.topics_.shape == (3, 16)


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ({"n_topics": 0}, "n_topics=0"),
        ({"n_topics": 400}, "n_topics=400"),
        ({"lam": -1.0}, "lam=-1"),
        ({"alpha": 0.0}, "alpha=0"),
        ({"doc_lr": 0}, "doc_lr=0"),
        ({"start": "middle"}, "start='middle'"),
        ({"dim": 0}, "dim=0"),
        ({"min_count": 10**6}, "min_count"),
        ({"pretrain_epochs": -2}, "pretrain_epochs=-2"),
    ],
)
def test_what_makes_no_sense_is_refused(setting, wanted, texts):
    with pytest.raises(InputError, match=wanted):
        LDA2Vec(**SETTING | {"epochs": 1} | setting).fit(texts)
