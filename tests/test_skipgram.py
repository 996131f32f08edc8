"""The compiled skip-gram engine against plain NumPy, against what its objective is known to converge to, and what it refuses."""

import numpy as np
import pytest

from unlabeled import InputError, MissingCompiler
from unlabeled.parts import native
from unlabeled.parts.skipgram import Corpus, SkipGram, huffman

EXACT = {"negatives": 0, "sample": 0, "shrink": False, "workers": 1}  # a tree instead of draws: nothing is random but the start


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    return Corpus.of([rng.integers(0, 9, 12) for _ in range(6)] + [[], [3]])


def by_hand(model, corpus, n_words):
    """The same steps one after another in float64: skip-gram or CBOW, with or without documents, up the tree of words."""
    rng = np.random.default_rng(model.seed)
    V = np.float64((rng.random((n_words, model.dim), np.float32) - 0.5) / model.dim)
    D = np.float64((rng.random((len(corpus), model.dim), np.float32) - 0.5) / model.dim)
    U = np.zeros_like(V)
    starts, nodes, turns = huffman(np.bincount(corpus.tokens, minlength=n_words))
    total, done = model.epochs * len(corpus.tokens), 0
    for _ in range(model.epochs):
        rate = None
        for text in range(len(corpus)):
            words = corpus.tokens[corpus.starts[text] : corpus.starts[text + 1]]
            if rate is None:  # so short a corpus has one rate an epoch
                rate = model.lr - (model.lr - model.lr_end) * (done + len(words)) / total
            for i, word in enumerate(words):
                near = [j for j in range(max(0, i - model.window), min(len(words), i + model.window + 1)) if j != i] * model.neighbours
                rows = [(V, words[j]) for j in near] + [(D, text)] * model.documents
                if not rows:
                    continue
                H = np.stack([table[row] for table, row in rows])
                H = H.mean(axis=0, keepdims=True) if model.cbow else H
                way = slice(starts[word], starts[word + 1])
                G = rate * (1.0 - turns[way] - 1 / (1 + np.exp(-H @ U[nodes[way]].T)))
                change = G @ U[nodes[way]]
                np.add.at(U, nodes[way], G.T @ H)
                for k, (table, row) in enumerate(rows):
                    table[row] += change[0] / len(rows) if model.cbow else change[k]
        done += len(corpus.tokens)
    return V, U, D


@pytest.mark.parametrize("cbow", [False, True])
@pytest.mark.parametrize(("documents", "neighbours"), [(False, True), (True, True), (True, False)])
def test_every_step_is_the_gradient_worked_out_by_hand(corpus, cbow, documents, neighbours):
    lr = 1.0 if cbow or not neighbours else 0.4
    model = SkipGram(dim=10, window=3, epochs=6, lr=lr, cbow=cbow, documents=documents, neighbours=neighbours, **EXACT)
    found, (V, U, D) = model.fit(corpus, 9), by_hand(model, corpus, 9)
    np.testing.assert_allclose(found.words, V, atol=3e-3)
    np.testing.assert_allclose(found.output, U, atol=3e-3)
    assert np.abs(U).max() > 0.1  # it went far beyond what is allowed to differ
    if documents:
        np.testing.assert_allclose(found.docs, D, atol=3e-3)


def test_products_converge_to_the_shifted_pointwise_mutual_information():
    """Levy and Goldberg, 2014: with enough dimensions v.u = log(p(w, c) / (p(w) q(c))) - log k, q what negatives are drawn by."""
    rng = np.random.default_rng(1)
    joint = rng.dirichlet(np.full(25, 2.0)).reshape(5, 5)
    pairs = rng.choice(25, 40_000, p=joint.ravel())
    corpus = Corpus.of([*np.stack([pairs // 5, pairs % 5], axis=1)])
    model = SkipGram(dim=8, window=1, negatives=3, power=0.75, epochs=12, lr=0.1, sample=0, workers=1)
    found = model.fit(corpus, 5)
    counts = np.zeros((5, 5))
    np.add.at(counts, (pairs // 5, pairs % 5), 1)
    counts += counts.T  # each of a pair predicts the other
    p, noise = counts.sum(axis=0), counts.sum(axis=0) ** 0.75
    noise = noise / noise.sum()
    # A draw of the predicted word itself is passed over: word c is a negative for what predicts another word.
    drawn = 3 * noise * (p[:, None] - counts)
    np.testing.assert_allclose(found.words @ found.output.T, np.log(counts / drawn), atol=0.15)


def test_one_thread_repeats_and_several_learn_the_same(corpus):
    again = [SkipGram(dim=12, epochs=3, workers=1).fit(corpus, 9) for _ in range(2)]
    assert (again[0].words == again[1].words).all()
    rng = np.random.default_rng(0)
    texts = Corpus.of([rng.integers(0, 10, 20) + 10 * (i % 2) for i in range(2000)])
    words = SkipGram(dim=10, epochs=3, workers=4, sample=0).fit(texts, 20).words
    cosine = words @ words.T / np.outer(*[np.linalg.norm(words, axis=1)] * 2)
    assert cosine[:10, :10].mean() > cosine[:10, 10:].mean() + 0.5


def test_the_tree_gives_frequent_words_short_ways_that_no_other_word_shares():
    counts = np.array([50, 1, 7, 20, 3, 4])
    starts, nodes, turns = huffman(counts)
    ways = [tuple(zip(nodes[a:b].tolist(), turns[a:b].tolist(), strict=True)) for a, b in zip(starts[:-1], starts[1:], strict=True)]
    assert len(set(ways)) == 6 and all(way[0][0] == 4 for way in ways)  # all begin at the root
    length = np.diff(starts)
    assert (counts * length).sum() == 4 + 8 + 15 + 35 + 85  # what the two lightest weigh together, again and again
    assert (np.diff(length[np.argsort(-counts, kind="stable")]) >= 0).all()


def test_only_documents_move_when_further_ones_are_inferred():
    rng = np.random.default_rng(0)
    texts = Corpus.of([rng.integers(0, 10, 20) + 10 * (i % 2) for i in range(60)] + [[]])
    model = SkipGram(dim=6, documents=True, epochs=20, lr=0.1, sample=0, workers=1)
    known = model.fit(texts, 20)
    kept = known.words.copy(), known.output.copy(), known.docs.copy()
    new = SkipGram(dim=6, documents=True, neighbours=False, epochs=20, lr=0.1, sample=0, workers=1).infer(
        Corpus.of([rng.integers(0, 10, 20), rng.integers(10, 20, 20), []]), known
    )
    assert all((a == b).all() for a, b in zip(kept, (known.words, known.output, known.docs), strict=True))
    of_kind = [known.docs[0:60:2].mean(axis=0), known.docs[1:60:2].mean(axis=0)]
    assert new[0] @ of_kind[0] > new[0] @ of_kind[1] and new[1] @ of_kind[1] > new[1] @ of_kind[0]


def test_words_that_are_left_out_by_their_frequency_learn_less():
    texts = Corpus.of([[0, 1] * 10 + [2 + i % 50, 0] for i in range(500)])
    seen = []
    SkipGram(dim=8, epochs=2, workers=1).fit(texts, 52, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    start = np.random.default_rng(0).normal(size=(52, 8)).astype(np.float32)
    all_of_them, few = (SkipGram(dim=8, epochs=1, sample=sample, workers=1).fit(texts, 52, start=start).words for sample in (0, 1e-5))
    assert np.linalg.norm(few[0] - start[0]) < 0.3 * np.linalg.norm(all_of_them[0] - start[0])


def test_a_file_on_disk_serves_as_texts(tmp_path, corpus):
    np.save(tmp_path / "tokens.npy", corpus.tokens)
    mapped = Corpus(np.load(tmp_path / "tokens.npy", mmap_mode="r"), corpus.starts)
    model = SkipGram(dim=7, epochs=2, workers=1)
    assert (model.fit(mapped, 9).words == model.fit(corpus, 9).words).all()


def test_a_rate_at_which_training_runs_away_is_said(corpus):
    with pytest.raises(InputError, match="lower lr"):
        SkipGram(dim=8, window=5, epochs=60, lr=60.0, sample=0, workers=1).fit(corpus, 9)


@pytest.mark.parametrize(
    ("setting", "tokens", "wanted"),
    [
        ({}, [[9]], "from 0 to 8"),
        ({}, [[-1]], "from 0 to 8"),
        ({"dim": 0}, [[1]], "dim=0"),
        ({"window": 101}, [[1]], "at most 100"),
        ({"lr": 0}, [[1]], "lr above 0"),
        ({"neighbours": False}, [[1]], "nothing would predict"),
    ],
)
def test_what_makes_no_sense_is_refused(setting, tokens, wanted):
    with pytest.raises(InputError, match=wanted):
        SkipGram(**setting).fit(Corpus.of(tokens), 9)


def test_without_a_compiler_it_says_what_to_install(monkeypatch, tmp_path):
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingCompiler, match="install gcc or clang"):
        native.library(source)


def test_what_does_not_compile_says_why_and_what_does_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    good, bad = tmp_path / "good.c", tmp_path / "bad.c"
    good.write_text("int one(void) { return 1; }")
    bad.write_text("int one(void) { return x; }")
    assert native.library(good).one() == 1
    assert [path.suffix for path in (tmp_path / "cache" / "unlabeled" / "native").iterdir()] == [".so"]
    with pytest.raises(MissingCompiler, match=r"bad\.c"):
        native.library(bad)
