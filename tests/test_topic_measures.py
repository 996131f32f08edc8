"""Coherence, diversity and the number of topics of a text: each against a count by hand."""

from itertools import combinations

import numpy as np
import pytest

from unlabeled.errors import InputError
from unlabeled.evaluate.topics import coherence, diversity, effective_topics

WORDS = ["a1", "b2", "c3", "d4", "e5", "f6"]


def texts(seed=0, n=40, longest=14):
    rng = np.random.default_rng(seed)
    return [[WORDS[i] for i in rng.integers(0, 6, rng.integers(1, longest))] for _ in range(n)]


def windows_of(text, width):
    width = min(width, len(text)) if width else len(text)
    return [set(text[start : start + width]) for start in range(len(text) - width + 1)]


def npmi_by_hand(first, second, windows, epsilon=0.0):
    n = len(windows)
    p, q = (sum(word in window for window in windows) / n for word in (first, second))
    both = sum(first in window and second in window for window in windows) / n
    if both == 1:
        return 1.0
    if both == 0 and not epsilon:
        return -1.0
    return np.log((both + epsilon) / (p * q)) / -np.log(both + epsilon)


@pytest.mark.parametrize("width", [0, 1, 2, 5, 50])
@pytest.mark.parametrize("as_str", [False, True])
def test_npmi_is_that_of_all_windows_listed_one_by_one(width, as_str):
    corpus = texts()
    windows = [window for text in corpus for window in windows_of(text, width)]
    topics = [["a1", "b2", "c3"], ["d4", "e5", "nowhere"]]
    want = [np.mean([npmi_by_hand(i, j, windows) for i, j in combinations(topic, 2)]) for topic in topics]
    found = coherence(topics, [" ".join(text) for text in corpus] if as_str else corpus, window=width)
    np.testing.assert_allclose(found.each, want, atol=1e-12)
    assert found.mean == pytest.approx(np.mean(want))
    assert found.known == pytest.approx(5 / 6)


def test_c_v_is_the_cosine_of_a_words_npmi_vector_with_the_sum_of_all():
    corpus, topic = texts(1), ["a1", "b2", "c3", "d4"]
    windows = [window for text in corpus for window in windows_of(text, 4)]
    vectors = np.array([[1.0 if i == j else npmi_by_hand(i, j, windows, 1e-12) for j in topic] for i in topic])
    total = vectors.sum(axis=0)
    want = np.mean([v @ total / np.linalg.norm(v) / np.linalg.norm(total) for v in vectors])
    assert coherence([topic], corpus, "c_v", window=4).mean == pytest.approx(want, abs=1e-9)


def test_counting_in_pieces_gives_the_same(monkeypatch):
    want = coherence([WORDS], texts(2), window=3).mean
    monkeypatch.setattr("unlabeled.evaluate.topics.PIECE", 7)
    assert coherence([WORDS], texts(2), window=3).mean == pytest.approx(want, abs=1e-12)


def test_words_that_always_or_never_meet_have_the_ends_of_the_scale():
    corpus = [["x", "y"], ["x", "y"], ["z"], ["z", "v"], ["w"]]
    assert coherence([["x", "y"]], corpus).mean == pytest.approx(1)
    assert coherence([["x", "z"]], corpus).mean == -1
    assert coherence([["x", "never"]], corpus).mean == -1
    assert coherence([["x", "y"]], [["x", "y"]] * 3).mean == 1  # in all windows


def test_a_repeated_word_is_one_and_a_topic_of_one_word_has_no_coherence():
    found = coherence([["x", "x", "z"], ["x"], []], [["x", "y"], ["z"], ["x", "z"]])
    assert found.each[0] == coherence([["x", "z"]], [["x", "y"], ["z"], ["x", "z"]]).mean == found.mean
    assert np.isnan(found.each[1:]).all()
    assert np.isnan(coherence([["x"]], [["x"]]).mean)


def test_only_the_first_words_of_a_topic_count():
    corpus = texts(3)
    assert coherence([WORDS], corpus, top=3, window=2).mean == coherence([WORDS[:3]], corpus, window=2).mean


def test_a_phrase_is_found_where_its_words_follow_each_other():
    corpus = ["New York has a subway", "york is new", "the new york subway", "a subway"]
    windows = [{"ny", "s"}, {"other"}, {"ny", "s"}, {"s"}]
    assert coherence([["new york", "subway"]], corpus, window=0).mean == pytest.approx(npmi_by_hand("ny", "s", windows))
    assert coherence([["new york", "subway"]], [text.lower().split() for text in corpus], window=0).mean == pytest.approx(
        npmi_by_hand("ny", "s", windows)
    )
    assert coherence([["new york", "subway"]], [["new york", "subway"], ["a"]], window=0).mean == pytest.approx(1)


def test_a_phrase_must_lie_within_the_window():
    # windows of two words: (new york) (york has) (has trains): the phrase is in the first only, never with trains
    assert coherence([["new york", "trains"]], ["new york has trains"], window=2).mean == -1
    assert coherence([["new york has", "trains"]], ["new york has trains"], window=2).known == 0.5


def test_other_scripts_and_pictures_are_words():
    assert coherence([["привет", "мир"]], ["Привет, мир!", "да"], window=0).mean == pytest.approx(1)
    assert coherence([["東京", "駅"]], ["東京駅", "京"], window=0).mean == pytest.approx(1)


def test_diversity_is_the_share_of_different_words():
    assert diversity([["a", "b"], ["c", "d"]]) == 1
    assert diversity([["a", "b"], ["a", "b"]]) == 0.5
    assert diversity([["a", "b", "z"], ["c", "a", "z"]], top=1) == 1
    assert np.isnan(diversity([[]]))


def test_effective_topics_are_one_for_pure_texts_and_all_for_even_ones():
    assert effective_topics(np.eye(4)) == pytest.approx(1)
    assert effective_topics(np.full((3, 4), 7.0)) == pytest.approx(4)
    assert effective_topics([[0.5, 0.5, 0], [0, 0, 0], [0, 0, 3]]) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: coherence([], ["a b"]), "list of topics"),
        (lambda: coherence("ab", ["a b"]), "list of topics"),
        (lambda: coherence(["ab"], ["a b"]), "topic 0"),
        (lambda: coherence([["a", 3]], ["a b"]), "topic 0"),
        (lambda: coherence([["a", "b"]], []), "none of the texts"),
        (lambda: coherence([["a", "b"]], ["", "..."]), "none of the texts"),
        (lambda: coherence([["a", "b"]], "a b"), "single str"),
        (lambda: coherence([["a", "b"]], ["a", None]), "text 1"),
        (lambda: coherence([["a", "b"]], ["a"], "umass"), "'npmi'"),
        (lambda: coherence([["a", "b"]], ["a"], window=-1), "window=-1"),
        (lambda: coherence([["a", "b"]], ["a"], top=1), "top=1"),
        (lambda: effective_topics([[1, -1]]), "none below 0"),
        (lambda: effective_topics([1, 2]), "shape"),
        (lambda: effective_topics([[0.0, 0.0]]), "not all 0"),
    ],
)
def test_what_cannot_be_judged_is_said(call, said):
    with pytest.raises(InputError, match=said):
        call()
