"""The further loops of the compiled engine against plain NumPy: n-gram sums, senses, texts of bits, mixtures of topics."""

import numpy as np
import pytest

from unlabeled import InputError
from unlabeled.parts.ngram_sums import FACTOR, NgramSums, ngram_rows, sums
from unlabeled.parts.senses import Senses, contexts
from unlabeled.parts.skipgram import Bits, Corpus, Mixture, SkipGram, Tables, huffman


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    return Corpus.of([rng.integers(0, 9, 5) for _ in range(6)] + [[], [3]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numerical(loss, array, eps=1e-4):
    """The gradient of a function of an array, by differences."""
    found = np.zeros(array.shape)
    for at in np.ndindex(array.shape):
        kept = array[at]
        array[at] = kept + eps
        high = loss()
        array[at] = kept - eps
        found[at] = (high - loss()) / (2 * eps)
        array[at] = kept
    return found


# Sums -------------------------------------------------------------------------------------------------------------------------------


def bag(words, n_words, order, buckets):
    rows = list(words)
    for n in range(2, order + 1):
        for i in range(len(words) - n + 1):
            h = int(words[i])
            for word in words[i + 1 : i + n]:
                h = (h * int(FACTOR) + int(word)) % 2**64
            rows.append(n_words + h % buckets)
    return rows


def parts_of(words, n_words, order, buckets):
    """Rows of a text's words and n-grams, and the places of the words that each holds."""
    found = [([int(word)], [i]) for i, word in enumerate(words)]
    for i in range(len(words)):
        for n in range(2, min(order, len(words) - i) + 1):
            found.append(([bag(words[i : i + n], n_words, n, buckets)[-1]], list(range(i, i + n))))
    return [(row, places) for (row,), places in found]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_step_of_the_sums_follows_the_gradient_of_their_loss(order):
    """One text and one word that is ever drawn: the whole step is a gradient, checked by differences."""
    words = np.array([0, 1, 2, 3, 1])
    n_words, buckets, lr = 5, 7, 0.004
    # To the power of 40 only the most frequent word is drawn: word 1. Where it is the target it is no negative.
    setting = {"dim": 8, "negatives": 1, "lr": lr, "lr_end": lr, "sample": 0, "buckets": buckets, "dropped": 0, "workers": 1, "power": 40.0}
    corpus, parts = Corpus.of([words]), parts_of(words, n_words, order, buckets)
    before, after = (NgramSums(order=order, epochs=epochs, **setting).fit(corpus, n_words) for epochs in (2000, 2001))
    V, U = np.float64(before.words), np.float64(before.output)

    def loss():
        total = 0.0
        for i, word in enumerate(words):
            context = np.mean([V[row] for row, places in parts if i not in places], axis=0)
            total += np.log1p(np.exp(-U[word] @ context)) + (np.log1p(np.exp(U[1] @ context)) if word != 1 else 0)
        return total

    np.testing.assert_allclose(after.loss[-1], loss() / len(words), rtol=0.01)  # table, drawn one after another
    for table, moved in ((V, after.words - before.words), (U, after.output - before.output)):
        step = -lr * numerical(loss, table)
        np.testing.assert_allclose(moved, step, atol=0.03 * np.abs(step).max())  # words are drawn one after another: not quite one step
        assert np.abs(step).max() > 5e-5


def test_texts_vectors_are_means_of_their_words_and_n_grams(corpus):
    table = np.random.default_rng(0).normal(size=(9 + 13, 4)).astype(np.float32)
    for order in (1, 2, 3):
        found = sums(table, corpus, 9, order, 13)
        for i in range(len(corpus)):
            rows = bag(corpus.tokens[corpus.starts[i] : corpus.starts[i + 1]], 9, order, 13)
            np.testing.assert_allclose(found[i], table[rows].mean(axis=0) if rows else np.zeros(4), atol=1e-6)
    rows, starts = ngram_rows(Corpus.of([[], [1]]), 9, 2, 13)
    assert len(rows) == 0 and starts.tolist() == [0, 0, 0]


def test_sums_learn_which_words_belong_together_and_repeat_with_one_thread():
    rng = np.random.default_rng(0)
    texts = Corpus.of([rng.integers(0, 10, 8) + 10 * (i % 2) for i in range(3000)])
    model = NgramSums(dim=10, epochs=3, sample=0, buckets=100, workers=1)
    tables = model.fit(texts, 20)
    assert (tables.words == model.fit(texts, 20).words).all() and tables.loss[-1] < tables.loss[0]
    Z = sums(tables.words, Corpus.of([rng.integers(0, 10, 8) + 10 * (i % 2) for i in range(40)]), 20, 2, 100)
    cosine = Z @ Z.T / np.outer(*[np.linalg.norm(Z, axis=1)] * 2)
    assert cosine[::2, ::2].mean() > cosine[::2, 1::2].mean() + 0.5
    several = NgramSums(dim=10, epochs=3, sample=0, buckets=100, workers=4).fit(texts, 20)
    assert abs(several.loss[-1] - tables.loss[-1]) < 0.1


# Senses -----------------------------------------------------------------------------------------------------------------------------


def test_contexts_are_means_of_what_stands_around(corpus):
    output = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    found = contexts(output, corpus, 2)
    for i in range(len(corpus)):
        words = corpus.tokens[corpus.starts[i] : corpus.starts[i + 1]]
        for j in range(len(words)):
            near = [words[k] for k in range(max(0, j - 2), min(len(words), j + 3)) if k != j]
            want = output[near].mean(axis=0) if near else np.zeros(3)
            np.testing.assert_allclose(found[corpus.starts[i] + j], want, atol=1e-6)


def test_senses_tell_two_meanings_of_one_word_apart():
    rng = np.random.default_rng(0)
    texts, truth = [], []
    for i in range(3000):
        kind = i % 2
        row = rng.integers(0, 10, 9) + 10 * kind
        row[4] = 20  # the word with two meanings
        texts.append(row)
        truth.append(kind)
    corpus = Corpus.of(texts)
    model = Senses(dim=12, senses=2, epochs=6, lr=0.05, sample=0, workers=1, entropy=0.05)
    found = model.fit(corpus, 21)
    assert (found.senses == model.fit(corpus, 21).senses).all()
    context = contexts(found.output, corpus, 5)[corpus.tokens == 20]
    chosen = (context @ found.choose[20].T + found.bias[20]).argmax(axis=1)
    right = (chosen == np.array(truth)).mean()
    assert max(right, 1 - right) > 0.97
    np.testing.assert_allclose(found.prior.sum(axis=1), 1, atol=1e-5)
    assert found.prior[20].min() > 0.3


def test_a_step_of_the_senses_follows_the_gradient_of_their_loss():
    """No noise; two words that know each other alone, the negative drawn is always the second: all is a gradient of one small loss."""
    text, k, dim, lr, T, gamma = np.array([0, 1]), 2, 8, 0.05, 0.7, 0.3
    corpus, setting = (
        Corpus.of([text] + [[2]] * 50),
        {"dim": dim, "senses": k, "negatives": 1, "window": 1, "sample": 0, "workers": 1, "power": 40.0},
    )
    setting |= {
        "lr": lr,
        "lr_end": lr,
        "temperature": T,
        "noise": 0.0,
        "entropy": gamma,
    }  # word 2 is all that is drawn, and predicts nothing
    three, four = (Senses(epochs=e, **setting).fit(corpus, 3) for e in (3, 4))
    V, U, A, a = (np.float64(x) for x in (three.senses, three.output, three.choose, three.bias))
    for i, j in ((0, 1), (1, 0)):  # one word after the other

        def loss(word=i, other=j, context=U[j].copy()):  # noqa: B008
            logit = A[word] @ context + a[word]
            p, z = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (logit, logit / T))
            h = z @ V[word]
            return -np.log(sigmoid(h @ U[other])) - np.log(sigmoid(-h @ U[2])) - gamma * (p * np.log(p)).sum()

        steps = [lr * numerical(loss, x) for x in (V, U, A, a)]
        for x, step in zip((V, U, A, a), steps, strict=True):
            x -= step
    for x, y in zip((V, U, A, a), (four.senses, four.output, four.choose, four.bias), strict=True):
        np.testing.assert_allclose(y, x, atol=3e-5)
    assert np.abs(four.output - three.output).max() > 1e-3


# Texts of bits, and mixtures --------------------------------------------------------------------------------------------------------


def test_bits_are_learned_through_the_rounding():
    rng = np.random.default_rng(0)
    texts = Corpus.of([rng.integers(0, 10, 30) + 10 * (i % 2) for i in range(200)])
    for real in (0, 24):
        model = SkipGram(dim=16, documents=Bits(real=real), neighbours=False, epochs=30, lr=0.1, sample=0, workers=1)
        found = model.fit(texts, 20)
        assert found.loss[-1] < found.loss[0] - 0.2
        raw = found.docs if not real else found.docs @ found.shared["projection"].T + found.shared["bias"]
        bits = raw > 0
        near = (bits[:, None] != bits[None]).mean(axis=2)
        same, other = near[::2, ::2].mean(), near[::2, 1::2].mean()
        assert same < other - 0.15
        new = model.infer(Corpus.of([rng.integers(0, 10, 30), rng.integers(10, 20, 30)]), found)
        assert new.shape == (2, real or 16)
        new = (new if not real else new @ found.shared["projection"].T + found.shared["bias"]) > 0
        assert (new[0] != bits[::2]).mean() < (new[0] != bits[1::2]).mean() and (new[1] != bits[1::2]).mean() < (new[1] != bits[::2]).mean()


def test_a_text_of_bits_steps_by_the_gradient_of_the_rounded_sigmoid():
    """Texts of one word each, the tree of two: (label - y) u is the gradient at the bits, times s (1 - s) at what was rounded."""
    setting = {"dim": 8, "negatives": 0, "sample": 0, "neighbours": False, "documents": Bits(), "lr": 0.2, "lr_end": 0.2, "workers": 1}
    four, five = (SkipGram(epochs=e, **setting).fit(Corpus.of([[0], [1], [1]]), 2) for e in (4, 5))
    starts, _, turns = huffman(four.counts)
    D, U = np.float64(four.docs), np.float64(four.output)
    for text, word in enumerate((0, 1, 1)):
        bits, s = (D[text] > 0).astype(float), sigmoid(D[text])
        error = 0.2 * (1.0 - turns[starts[word]] - sigmoid(U[0] @ bits))
        D[text], U[0] = D[text] + error * U[0] * s * (1 - s), U[0] + error * bits
    np.testing.assert_allclose(five.docs - four.docs, D - four.docs, atol=2e-3 * np.abs(five.docs - four.docs).max())
    np.testing.assert_allclose(five.output, U, atol=1e-3)


def test_mixtures_find_topics_and_become_few_with_the_prior_and_only_with_it():
    rng = np.random.default_rng(0)
    of_kind = rng.dirichlet(np.full(40, 0.5), size=3)
    of_kind = (of_kind + of_kind.mean(axis=0)) / 2  # a word alone tells little of its text's kind
    texts = Corpus.of([rng.choice(40, 60, p=of_kind[i % 3]) for i in range(400)])
    words, found = SkipGram(dim=16, epochs=5, sample=0, lr=0.05, workers=1).fit(texts, 40), {}
    for prior in (0.0, 50.0):
        mix = SkipGram(dim=16, documents=Mixture(topics=5, prior=prior), epochs=12, sample=0, lr=0.05, workers=1)
        tables = mix.fit(texts, 40, start=words)
        assert tables.shared["topics"].shape == (5, 16)
        np.testing.assert_allclose(tables.docs.sum(axis=1), 1, atol=1e-5)
        found[prior] = np.exp(-(tables.docs * np.log(tables.docs + 1e-12)).sum(axis=1)).mean()
        for docs in (tables.docs, mix.infer(texts, tables)):
            counts = np.array([np.bincount(docs.argmax(axis=1)[kind::3], minlength=5) for kind in range(3)])
            assert counts.max(axis=0).sum() / 400 > (0.85 if not prior else 0.6)
    assert found[50.0] < 0.6 * found[0.0]


def test_a_mixtures_step_is_the_gradient_of_words_and_prior():
    """Proportions after one chunk of one text: AdaGrad's first step is the rate times the sign of the gradient, checked by differences."""
    text = np.array([0, 1])
    words = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    output = np.random.default_rng(1).normal(size=(2, 8)).astype(np.float32)
    topics = np.random.default_rng(2).normal(size=(3, 8)).astype(np.float32)
    start = Tables(words, output, None, np.array([1, 1]), [], {"topics": topics})
    lr = 1e-3  # small: what one word changes is not seen by the next
    mix = Mixture(topics=3, prior=0.4, alpha=0.2, lr=0.01)
    model = SkipGram(dim=8, documents=mix, negatives=0, window=1, epochs=1, sample=0, lr=lr, lr_end=lr, workers=1)
    found = model.fit(Corpus.of([text]), 2, start=start)
    tiny = SkipGram(**{**vars(model), "documents": Mixture(topics=3, prior=0.4, alpha=0.2, lr=1e-12)}).fit(
        Corpus.of([text]), 2, start=start
    )
    p0 = np.float64(tiny.docs[0])  # as it began
    w, V, U, T = np.log(p0), np.float64(words), np.float64(output), np.float64(topics)
    turns = {}
    starts, nodes, way = huffman(np.array([1, 1]))
    for word in (0, 1):
        turns[word] = 1.0 - way[starts[word]]

    def loss():
        p = np.exp(w) / np.exp(w).sum()
        doc, total = p @ T, -0.4 * (0.2 - 1) * np.log(p).sum()
        for pivot, target in ((1, 0), (0, 1)):
            x = (V[pivot] + doc) @ U[0]
            total -= np.log(sigmoid(x) if turns[target] else sigmoid(-x))
        return total

    step = np.log(found.docs[0]) - np.log(p0)
    step -= step.mean()
    want = -0.01 * np.sign(numerical(loss, w))
    np.testing.assert_allclose(step, want - want.mean(), atol=2e-5)
    np.testing.assert_allclose(found.shared["topics"] - topics, -lr * numerical(loss, T), atol=2e-5)
    np.testing.assert_allclose(found.words - words, -lr * numerical(loss, V), atol=2e-5)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (NgramSums(order=9), "at most 8"),
        (NgramSums(buckets=0), "buckets=0"),
        (NgramSums(lr=300.0, epochs=50, dim=8, sample=0), "lower lr"),
        (Senses(senses=33), "at most 32 senses"),
        (Senses(window=20), "at most 128"),
        (Senses(temperature=0), "temperature=0"),
        (SkipGram(documents=Mixture(topics=3), cbow=True), "cbow=False"),
        (SkipGram(documents=Bits(real=-1)), "real of 0 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(model, wanted, corpus):
    with pytest.raises(InputError, match=wanted):
        model.fit(corpus, 9)
