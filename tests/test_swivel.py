"""Swivel's step against autograd, its answer where it is known, and what comes in."""

import gzip

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import unlabeled as ul
from unlabeled import InputError
from unlabeled.methods.words.swivel import Swivel
from unlabeled.parts.cooccurrence import cooccurrence

RNG = np.random.default_rng(0)


def planted(n=48, m=36, kinds=4, seed=0):
    """Counts of n rows with m columns, of which those of one kind go together and others never do; frequencies differ."""
    rng = np.random.default_rng(seed)
    kind = [np.arange(n) % kinds, np.arange(m) % kinds]
    rate = np.where(kind[0][:, None] == kind[1], 3.0, 0.0) * rng.gamma(1, 1, (n, 1)) * rng.gamma(1, 1, m)
    return rng.poisson(rate).astype(float), kind


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(f"{'abcd'[k]}{i}" for i in rng.integers(0, 8, 12)) for k in rng.integers(0, 4, 400)]


def by_autograd(X, dim, conf, hinge, lr, seed, epochs, parts):
    """The paper's loss, cell by cell, in float64; AdaGrad with sums of squares by row, not by shard."""
    X = torch.tensor(X, dtype=torch.float64)
    rows, columns, total = X.sum(1), X.sum(0), X.sum()
    rng = torch.Generator().manual_seed(seed)
    W, C = (torch.randn(n, dim, generator=rng).div(dim**0.5).double() for n in X.shape)
    squares = [torch.zeros_like(W), torch.zeros_like(C)]
    losses = []
    for _ in range(epochs):
        loss_sum = 0.0
        for shard in torch.randperm(parts[0] * parts[1], generator=rng).tolist():
            here, there = (torch.arange(at, n, p) for at, n, p in zip(divmod(shard, parts[1]), X.shape, parts, strict=True))
            w, c = W[here].clone().requires_grad_(), C[there].clone().requires_grad_()
            x = X[here][:, there]
            expected = torch.log(total) - torch.log(rows[here])[:, None] - torch.log(columns[there])
            pmi = torch.log(x.clamp(min=1e-300)) + expected
            score = w @ c.T
            seen = 0.5 * (conf[0] + conf[1] * x ** conf[2]) * (score - pmi) ** 2
            never = torch.nn.functional.softplus(score - expected) if hinge else torch.zeros_like(score)
            loss = torch.where(x > 0, seen, never).sum()
            loss_sum += float(loss.detach())
            for table, square, at, gradient in zip((W, C), squares, (here, there), torch.autograd.grad(loss, (w, c)), strict=True):
                square[at] += gradient**2
                table[at] -= lr * gradient / (square[at].sqrt() + 1e-8)
        losses.append(loss_sum / X.numel())
    return W.numpy(), C.numpy(), losses


@pytest.mark.parametrize("hinge", ["soft_hinge", None])
def test_training_is_that_of_the_papers_loss_by_autograd_over_shards(hinge):
    X, _ = planted()
    X[X.sum(axis=1) == 0, 0] = 1
    X[0, X.sum(axis=0) == 0] = 1
    order = [np.argsort(-X.sum(axis=axis), kind="stable") for axis in (1, 0)]  # the model sorts by frequency, so that shards are alike
    X = X[order[0]][:, order[1]]
    model = Swivel(dim=5, shard=16, unobserved=hinge, epochs=3, lr=0.2, seed=4, conf=(0.2, 0.3, 0.6)).fit(csr_array(X))
    W, C, losses = by_autograd(X, 5, (0.2, 0.3, 0.6), hinge, 0.2, 4, 3, (3, 3))
    np.testing.assert_allclose(model.row_vectors_, W, atol=1e-3)
    np.testing.assert_allclose(model.col_vectors_, C, atol=1e-3)
    np.testing.assert_allclose(model.loss_curve_, losses, rtol=1e-3)


def test_what_was_seen_gets_its_mutual_information_and_what_was_not_stays_below():
    X, kind = planted(seed=1)
    together = kind[0][:, None] == kind[1]
    scores = {}
    for hinge in ("soft_hinge", None):
        model = Swivel(dim=8, shard=16, epochs=150, unobserved=hinge).fit(csr_array(X))
        scores[hinge] = model.row_vectors_ @ model.col_vectors_.T
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(X * X.sum() / X.sum(axis=1, keepdims=True) / X.sum(axis=0))
    learned = {hinge: np.corrcoef(score[X > 3], pmi[X > 3])[0, 1] for hinge, score in scores.items()}
    assert min(learned.values()) > 0.8, learned
    frequent = (X.sum(axis=1) > 8)[:, None] & (X.sum(axis=0) > 8) & ~together
    assert scores["soft_hinge"][frequent].mean() < scores[None][frequent].mean() - 0.5
    assert scores["soft_hinge"][frequent].mean() < 0 < scores["soft_hinge"][X > 3].mean()


def test_rows_and_columns_that_were_never_counted_have_zeros_and_the_others_are_as_without_them():
    X, _ = planted()
    keep = [X.sum(axis=axis) > 0 for axis in (1, 0)]
    X = X[keep[0]][:, keep[1]]
    wider = np.zeros((len(X) + 2, X.shape[1] + 1))
    wider[1:-1, :-1] = X
    model = Swivel(dim=4, epochs=5).fit(csr_array(wider))
    assert (model.vectors_[[0, -1]] == 0).all() and (model.col_vectors_[-1] == 0).all()
    assert np.isfinite(model.vectors_).all() and (np.abs(model.vectors_[1:-1]).sum(axis=1) > 0).all()


def test_rows_keep_their_order_and_names():
    X, kind = planted(seed=2)
    model = Swivel(dim=8, epochs=150).fit(csr_array(X), words=[f"row {i}" for i in range(len(X))])
    often = np.flatnonzero(X.sum(axis=1) > 15)
    near = [int(model.most_similar(f"row {i}", 1)[0][0].split()[1]) for i in often]
    assert np.mean([kind[0][a] == kind[0][b] for a, b in zip(often, near, strict=True)]) > 0.8
    shuffled = np.random.default_rng(0).permutation(len(X))
    again = Swivel(dim=8, epochs=150).fit(csr_array(X[shuffled]))
    frequent = X.sum(axis=1)[shuffled]
    unique = np.array([np.sum(frequent == f) == 1 for f in frequent])  # rows as frequent as another start from the other's vector
    assert unique.sum() > 5 and model.counts_[shuffled].tolist() == again.counts_.tolist()


def test_texts_a_file_lists_of_words_and_their_counts_give_the_same(texts, tmp_path):
    (tmp_path / "t.txt").write_text("\n".join(texts), encoding="utf-8")
    with gzip.open(tmp_path / "t.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(texts))
    settings = {"dim": 6, "epochs": 10, "window": 4}
    model = Swivel(**settings).fit(texts)
    for X in (tmp_path / "t.txt", str(tmp_path / "t.txt.gz"), [text.split() for text in texts]):
        assert (Swivel(**settings).fit(X).vectors_ == model.vectors_).all()
    counts = model.count(texts)
    assert abs(counts.matrix() - cooccurrence(texts, model.vocabulary_, 4)).max() < 1e-3
    sums = counts.row_sums
    assert len(np.unique(sums)) > 25 and model.counts_.tolist() == sorted(model.counts_.tolist(), reverse=True)
    given = Swivel(**settings).fit(counts.matrix(), words=model.vocabulary_)
    assert given.vocabulary_ == model.vocabulary_ and given.vectors_.shape == model.vectors_.shape
    np.testing.assert_allclose(model.vectors_, model.row_vectors_ + model.col_vectors_)


def test_words_of_a_kind_are_near_and_a_text_is_the_mean_of_its_words(texts):
    model = ul.Swivel(dim=16, epochs=60).fit(texts)
    for kind in "abcd":
        assert sum(word[0] == kind for word, _ in model.most_similar(f"{kind}1", 7)) >= 6
    np.testing.assert_allclose(model.transform(["a1 b2 zzz"])[0], (model.vector("a1") + model.vector("b2")) / 2, rtol=1e-6)


def test_shards_on_the_disk_give_what_memory_gives(texts, monkeypatch):
    from unlabeled.methods.words import cooccurrence_model

    settings = {"dim": 6, "epochs": 4, "shard": 10}
    held, count = Swivel(**settings).fit(texts), cooccurrence_model.count_pairs
    seen = []

    def on_disk(*given, **more):
        seen.append(count(*given, **more, held=100, top=4))
        return seen[-1]

    monkeypatch.setattr(cooccurrence_model, "count_pairs", on_disk)
    np.testing.assert_allclose(Swivel(**settings).fit(texts).vectors_, held.vectors_, atol=1e-5)
    assert isinstance(seen[0].cells, np.memmap) and seen[0].parts == (4, 4)


def test_what_was_learned_is_kept_and_a_seed_repeats(texts, tmp_path):
    model = Swivel(dim=6, epochs=3, conf=(0.1, 0.5, 0.5)).fit(texts)
    again = Swivel.load(model.save(tmp_path / "m"))
    for name in ("vectors_", "row_vectors_", "col_vectors_", "counts_"):
        assert (getattr(again, name) == getattr(model, name)).all()
    assert tuple(again.conf) == (0.1, 0.5, 0.5) and again.most_similar("a1", 3) == model.most_similar("a1", 3)
    assert (Swivel(dim=6, epochs=3, conf=(0.1, 0.5, 0.5)).fit(texts).vectors_ == model.vectors_).all()
    assert not np.allclose(Swivel(dim=6, epochs=3, conf=(0.1, 0.5, 0.5), seed=1).fit(texts).vectors_, model.vectors_)


def test_other_scripts_pictures_empty_one_word_and_very_long_texts_are_taken():
    long = " ".join(f"w{i}" for i in RNG.integers(0, 30, 100_000))
    model = Swivel(dim=4, epochs=2, min_count=1).fit(["Привет мир 👩‍👩‍👧‍👦 👍🏽", "東京に行く", "", "alone", long, *["a b"] * 50])
    assert np.isfinite(model.vectors_).all() and "👍🏽" in model and "京" in model and "мир" in model
    assert (model.vector("alone") == 0).all()  # it stands with nothing
    assert (model.transform(["", "zzz"]) == 0).all()


@pytest.mark.parametrize(
    ("settings", "X", "said"),
    [
        ({"dim": 0}, ["a b"] * 9, "dim=0"),
        ({"epochs": 1.5}, ["a b"] * 9, "epochs=1.5"),
        ({"lr": 0}, ["a b"] * 9, "lr=0"),
        ({"unobserved": "hinge"}, ["a b"] * 9, "unobserved='hinge'"),
        ({"window": 0}, ["a b"] * 9, "window=0"),
        ({"shard": -1}, ["a b"] * 9, "shard=-1"),
        ({"conf": (0.1, 2)}, ["a b"] * 9, "conf="),
        ({}, ["a b"], "min_count=5"),
        ({}, ["a", "b"] * 9, "no two known words"),
        ({}, [3, 4], "wanted a str"),
        ({}, csr_array(-np.eye(3)), "below 0"),
    ],
)
def test_mistakes_are_said_in_one_line(settings, X, said):
    with pytest.raises(InputError, match=said) as error:
        Swivel(**settings).fit(X)
    assert "\n" not in str(error.value)
