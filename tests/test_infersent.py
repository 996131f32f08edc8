"""InferSent: a BiLSTM that no padding reaches, pairs as features, word vectors that stay, and what the labels teach."""

import numpy as np
import pytest
import torch
from torch import nn

import unlabeled as ul
from unlabeled import InputError
from unlabeled.encoders import Inputs
from unlabeled.encoders.bilstm import BiLSTM
from unlabeled.encoders.word_tables import levelled, padded
from unlabeled.methods.sentences.infersent import InferSent
from unlabeled.methods.words.word2vec import Word2Vec
from unlabeled.parts.anneal import anneal
from unlabeled.parts.text_pairs import PairedTexts, labelled_pairs, pair_features, text_pairs

ANIMALS, TOOLS = "cat dog horse cow goat sheep hen duck".split(), "saw drill hammer file clamp plane vice axe".split()
SMALL = {
    "word_dim": 16,
    "hidden": 12,
    "mlp": 16,
    "epochs": 4,
    "batch_size": 8,
    "lr": 0.5,
    "shrink": 1.5,
    "length": 32,
    "precision": "32-true",
}


@pytest.fixture(scope="module")
def told():
    """Pairs, "same" where both sides name things of one kind."""
    rng = np.random.default_rng(0)
    pairs, labels = [], []
    for _ in range(800):
        a, b = (kinds := [ANIMALS, TOOLS])[rng.integers(2)], kinds[rng.integers(2)]
        pairs.append((f"the {' '.join(rng.choice(a, 2))} here", f"a {rng.choice(b)} there"))
        labels.append("same" if a is b else "other")
    return pairs, labels


@pytest.fixture(scope="module")
def words():
    rng = np.random.default_rng(1)
    model = Word2Vec(dim=16)
    model.vocabulary_ = [*ANIMALS, *TOOLS, "the", "a", "here", "there"]
    model.inputs_, model.counts_ = Inputs("text"), np.ones(len(model.vocabulary_), np.int64)
    model.vectors_ = rng.normal(size=(len(model.vocabulary_), 16)).astype(np.float32)
    return model


@pytest.fixture(scope="module")
def model(told, words):
    return InferSent(word_vectors=words, **SMALL).fit(*told)


def by_hand(lstm: nn.LSTM, x: torch.Tensor) -> torch.Tensor:
    """The states of one direction for one text [length, d], gate by gate."""
    h, c, states = torch.zeros(lstm.hidden_size), torch.zeros(lstm.hidden_size), []
    for row in x:
        z = lstm.weight_ih_l0 @ row + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ h + lstm.bias_hh_l0
        i, f, g, o = z.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("pool", ["max", "mean", "last"])
def test_texts_of_all_lengths_side_by_side_are_read_as_each_by_itself(pool):
    torch.manual_seed(0)
    net, texts = BiLSTM(5, 4, pool), [torch.randn(n, 5) for n in (3, 7, 1, 5)]
    # What stands behind a text is anything: it must not be seen, and zeros must not win over negative states.
    x = torch.stack([torch.cat([text, 9 * torch.ones(7 - len(text), 5)]) for text in texts])
    found = net(x, torch.tensor([len(text) for text in texts]))
    for text, z in zip(texts, found, strict=True):
        ahead, back = by_hand(net.ahead, text), by_hand(net.back, text.flip(0)).flip(0)
        both = torch.cat([ahead, back], dim=1)
        wanted = {"max": both.amax(0), "mean": both.mean(0), "last": torch.cat([ahead[-1], back[0]])}[pool]
        torch.testing.assert_close(z, wanted, rtol=1e-4, atol=1e-6)
    if pool == "max":
        assert (found < 0).any()


def test_a_text_without_words_is_zeros_and_gives_no_gradient_that_is_not_finite():
    net = BiLSTM(3, 2)
    z = net(torch.zeros(2, 1, 3), torch.tensor([0, 1]))
    z.sum().backward()
    assert (z[0] == 0).all() and (z[1] != 0).all()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters())


def test_bfloat16_gives_nearly_the_same_states_and_gradients():
    torch.manual_seed(0)
    net, x, sizes = BiLSTM(32, 16), torch.randn(6, 9, 32), torch.tensor([9, 2, 5, 7, 1, 3])
    grads = []
    for half in (False, True):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            z = net(x, sizes)
        z.float().square().sum().backward()
        grads.append([z.detach().float(), *(weight.grad.clone() for weight in net.parameters())])
    for exact, rough in zip(*grads, strict=True):
        assert (exact - rough).norm() < 0.05 * exact.norm()


def test_the_features_of_a_pair_know_its_order_only_in_their_first_half():
    u, v = torch.randn(4, 3), torch.randn(4, 3)
    ours, turned = pair_features(u, v), pair_features(v, u)
    np.testing.assert_array_equal(ours, np.concatenate([u, v, np.abs(u - v), u * v], axis=1))
    assert (ours[:, 6:] == turned[:, 6:]).all() and (ours[:, :3] == turned[:, 3:6]).all() and (ours[:, :6] != turned[:, :6]).any()


def test_pairs_come_in_as_rows_or_as_columns():
    rows = [("a", "b"), ("c", "d"), ("e", "f")]
    assert (
        text_pairs(rows)
        == text_pairs((["a", "c", "e"], ["b", "d", "f"]))
        == text_pairs(np.array(rows))
        == (["a", "c", "e"], ["b", "d", "f"])
    )
    assert text_pairs([("a", "b"), ("c", "d")]) == (["a", "c"], ["b", "d"])  # two rows aren't two columns


def test_every_pair_is_in_one_batch_with_those_of_its_left_text_and_held_out_pairs_share_no_left_text():
    left = [f"left {i // 3}" for i in range(90)]
    data, rng = PairedTexts(left, [f"right {i}" for i in range(90)]), np.random.default_rng(0)
    assert [(data.texts[a], data.texts[b]) for a, b in data.pairs] == list(zip(left, [f"right {i}" for i in range(90)], strict=True))
    dev = data.held_out(0.2, rng)
    assert dev.sum() == 18 and not {left[i] for i in np.flatnonzero(dev)} & {left[i] for i in np.flatnonzero(~dev)}
    sizes = rng.integers(1, 9, len(data.texts))
    parts = [list(data.batches(np.flatnonzero(~dev), 12, sizes, rng)) for _ in range(2)]
    assert all(sorted(np.concatenate(one)) == np.flatnonzero(~dev).tolist() for one in parts)
    assert [set(part) for part in parts[0]] != [set(part) for part in parts[1]]
    whole = PairedTexts(["one"] * 40, [str(i) for i in range(40)]).held_out(0.1, rng)  # one left text only: any of the pairs
    assert whole.sum() == 4


def test_word_vectors_have_mean_zero_and_mean_square_one_on_their_main_axes():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(300, 6)) * [9, 5, 1, 1, 1, 1] + 3).astype(np.float32)
    centre, axes = levelled(vectors, 2)
    found = (vectors - centre) @ axes
    assert np.allclose(found.mean(0), 0, atol=1e-4) and np.mean(found**2) == pytest.approx(1, rel=1e-4)
    u, s, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found / np.linalg.norm(found, axis=0)), np.abs(u[:, :2]), atol=1e-3)
    assert levelled(vectors, 10)[1].shape == (6, 6)


def test_what_the_labels_say_is_learned_and_words_of_a_kind_come_nearer(told, model, words):
    pairs, labels = told
    assert np.mean([a == b for a, b in zip(model.predict(pairs), labels, strict=True)]) > 0.9
    assert model.classes_ == ["other", "same"] and model.loss_curve_[-1] < 0.6 * model.loss_curve_[0]
    first = InferSent(word_vectors=words, **SMALL).untrained(pairs)
    kind = np.repeat([0, 1], 8)

    def apart(m):
        Z = m.transform([f"the {word}" for word in [*ANIMALS, *TOOLS]])
        Z = Z - Z.mean(0)
        cosine = Z @ Z.T / np.outer(*[np.linalg.norm(Z, axis=1)] * 2)
        return cosine[kind[:, None] == kind].mean() - cosine[kind[:, None] != kind].mean()

    assert apart(model) > apart(first) + 0.2


def test_words_stay_and_the_best_epoch_is_kept(told, words, model):
    assert not any(name.startswith("words") for name, _ in model.net_.named_parameters())
    pairs, labels = told
    hit = np.array([a == b for a, b in zip(model.predict(pairs), labels, strict=True)])
    dev = PairedTexts(*zip(*pairs, strict=True)).held_out(0.1, np.random.default_rng(0))
    assert hit[dev].mean() == pytest.approx(max(model.dev_curve_), abs=0.03)


def test_the_rate_falls_where_the_score_does_not_rise_and_the_best_epoch_stays():
    net, rates, said = nn.Linear(1, 1, bias=False), [], iter([0.5, 0.4, 0.6, 0.6, 0.1, 0.9])

    def epoch(lr):
        rates.append(lr)
        with torch.no_grad():
            net.weight.fill_(len(rates))
        return -float(len(rates))

    losses, scores = anneal(net, epoch, lambda: next(said), lr=1.0, decay=0.5, shrink=4.0, min_lr=1e-3, epochs=9)
    assert rates == [1, 0.5, 0.5**2 / 4, 0.5**3 / 4, 0.5**4 / 16]  # the next, 0.5**5 / 64, is too small
    assert losses == [-1, -2, -3, -4, -5] and scores == [0.5, 0.4, 0.6, 0.6, 0.1] and net.weight.item() == 3


def test_classes_keep_their_names_and_come_in_the_order_of_these():
    data, y, classes = labelled_pairs([("a", c) for c in "bcdefgh"], np.array([2.0, np.nan, 0.0, -1.0, 2.0, 0.0, 1.0]))
    assert classes == [0.0, 1.0, 2.0] and y.tolist() == [2, 0, 2, 0, 1] and [data.texts[b] for _, b in data.pairs] == [*"bdfgh"]
    assert labelled_pairs([("a", c) for c in "bcde"], ["x", "y", "y", "x"])[2] == ["x", "y"]


def test_pairs_without_a_label_are_left_out(told, words):
    pairs, labels = told
    some = InferSent(word_vectors=words, **SMALL | {"epochs": 1}).fit(pairs[:60], labels[:60])
    more = InferSent(word_vectors=words, **SMALL | {"epochs": 1}).fit(
        [*pairs[:60], *pairs[60:80]], [*labels[:60], *["", None, -1, "-1"] * 5]
    )
    assert (some.transform(["the cat"]) == more.transform(["the cat"])).all()


def test_texts_of_all_kinds_come_back_in_their_order(model):
    long = " ".join(["dog saw"] * 50_000)
    texts = ["the cat", "", "zzz", "the dog here", long, "😀 東京", "the cat"]
    Z = model.transform(texts)
    assert Z.shape == (7, 24) and Z.dtype == np.float32 and np.isfinite(Z).all()
    assert (Z[[1, 2, 5]] == 0).all() and np.allclose(Z[0], Z[6], atol=1e-6)
    for text, z in zip(texts, Z, strict=True):
        np.testing.assert_allclose(model.transform([text])[0], z, atol=1e-5)
    out, told = np.empty((7, 24), np.float32), []
    assert model.transform(texts, out=out, progress=lambda *at: told.append(at)) is out and told == [(7, 7)]


def test_the_importance_of_words_is_the_share_of_dimensions_that_they_win(model):
    found = model.word_importance("the zzz dog here")
    assert [word for word, _ in found] == ["the", "dog", "here"] and sum(share for _, share in found) == pytest.approx(1)
    assert model.word_importance("dog") == [("dog", 1.0)] and model.word_importance("zzz") == []
    with pytest.raises(InputError, match="pool='mean'"):
        InferSent(pool="mean", word_vectors=model.word_vectors, **SMALL).untrained([("the cat", "dog")]).word_importance("cat")


def test_word_vectors_are_learned_of_the_pairs_and_further_texts_where_none_are_given(told):
    model = InferSent(**SMALL | {"epochs": 1}).fit(told[0][:50], told[1][:50], texts=["violin viola"] * 20)
    assert "viola" in model.words_ and (model.transform(["violin"]) != 0).any()


def test_a_saved_model_says_the_same(told, model, tmp_path):
    model.save(tmp_path / "kept")
    again = ul.load_model(tmp_path / "kept")
    texts = ["the cat", "a drill there"]
    assert type(again) is InferSent and (again.transform(texts) == model.transform(texts)).all()
    assert again.predict(told[0][:9]) == model.predict(told[0][:9]) and again.dev_curve_ == model.dev_curve_


def test_a_seed_makes_it_repeatable(told, words):
    first, same, other = (
        InferSent(word_vectors=words, seed=seed, **SMALL | {"epochs": 1}).fit(*told).transform(["the cat"]) for seed in (0, 0, 1)
    )
    assert (first == same).all() and (first != other).any()


@pytest.mark.parametrize(
    ("pairs", "labels", "setting", "wanted"),
    [
        ([("a", "b")] * 9, [0] * 9, {}, "9 labelled pairs of 1 classes"),
        ([("a", "b")] * 3, [0, 1], {}, "2 labels for 3 pairs"),
        (["ab", "cd"], None, {}, "a label each"),
        (["ab", "cd"], [0, 1], {}, "pair 0 is 'ab'"),
        ([("a", 1), ("a", "b")], [0, 1], {}, "right text of pair 0"),
        ("ab", [0], {}, "pairs is a str"),
        ([], [], {}, "0 left and 0 right"),
        ([("", "!"), ("", "?")] * 3, [0, 1] * 3, {"word_vectors": "minilm"}, "has a vector"),
        ([("a", "b"), ("a", "c")] * 3, [0, 1] * 3, {"pool": "min"}, "pool='min'"),
        ([("a", "b"), ("a", "c")] * 3, [0, 1] * 3, {"word_vectors": "glove"}, "word_vectors='glove'"),
        ([("a", "b"), ("a", "c")] * 3, [0, 1] * 3, {"hidden": 0}, "hidden=0"),
        ([("a", "b"), ("a", "c")] * 3, [0, 1] * 3, {"decay": 2.0}, "decay=2.0"),
    ],
)
def test_what_makes_no_sense_is_refused(pairs, labels, setting, wanted):
    with pytest.raises(InputError, match=wanted):
        InferSent(**SMALL | setting).fit(pairs, labels)


def test_an_untrained_model_has_no_classes(words):
    model = InferSent(word_vectors=words, **SMALL).untrained([("the cat", "dog")])
    with pytest.raises(InputError, match="untrained"):
        model.predict([("the cat", "dog")])
    with pytest.raises(InputError, match="reads texts"):
        model.transform(np.zeros((2, 3), np.float32))


def test_padding_is_told_by_sizes():
    x, sizes = padded(torch.eye(3), [np.array([0, 2]), np.array([], np.int64), np.array([1])])
    assert x.shape == (3, 2, 3) and sizes.tolist() == [2, 0, 1] and (x[1] == 0).all() and (x[2, 1] == 0).all()
