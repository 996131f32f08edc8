"""SimCSE, DCLR, ClusterNS and CompCSE: the formulas by brute force, what must not get a gradient, and what is kept when training hurts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import unlabeled as ul
from unlabeled import InputError
from unlabeled.data import as_items
from unlabeled.encoders import Inputs
from unlabeled.encoders.text import HuggingFaceText
from unlabeled.learner import Batch
from unlabeled.methods.sentences import before_after, dclr
from unlabeled.methods.sentences.compcse import InTwo
from unlabeled.methods.sentences.sentence_contrast import Beginning, encoded, side_by_side
from unlabeled.parts import centroids
from unlabeled.parts.losses import info_nce
from unlabeled.parts.weighted_nce import weighted_info_nce

WORDS = [f"w{i}" for i in range(60)]


def texts_of(n, seed=0, topics=6):
    """Sentences of 4 to 12 words, most of them of one of a few topics."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        own = rng.integers(topics) * 10
        rows.append(
            " ".join(WORDS[own + rng.integers(10)] if rng.random() < 0.8 else rng.choice(WORDS) for _ in range(rng.integers(4, 13)))
        )
    return rows


def bert(dropout=0.1):
    """A two-layer BERT with random weights and a tokenizer of sixty words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=32
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        chance = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        model = BertModel(BertConfig(vocab_size=len(names), max_position_embeddings=64, **shape, **chance))
    return HuggingFaceText(model, tokenizer, length=32)


SMALL = {"epochs": 1, "batch_size": 16, "replace": "always", "precision": "32-true"}


@pytest.fixture(scope="module")
def texts():
    return texts_of(96)


def random_rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# The loss -----------------------------------------------------------------------------------------------------------
def test_weighted_info_nce_is_the_sum_written_out():
    q, k, more = random_rows(5, 4), random_rows(5, 4, seed=1), random_rows(3, 4, seed=2)
    w, v = random_rows(5, 5, seed=3).abs(), random_rows(5, 3, seed=4).abs()
    cosine = lambda a, b: float(a @ b / (a.norm() * b.norm()))  # noqa: E731
    total = 0.0
    for i in range(5):
        own = np.exp(cosine(q[i], k[i]) / 0.3)
        others = sum(float(w[i, j]) * np.exp(cosine(q[i], k[j]) / 0.3) for j in range(5) if j != i)
        others += sum(float(v[i, j]) * np.exp(cosine(q[i], more[j]) / 0.3) for j in range(3))
        total -= np.log(own / (own + others)) / 5
    found = weighted_info_nce(q, k, temperature=0.3, weights=w, extra=more, extra_weights=v)
    assert abs(float(found) - total) < 1e-5
    torch.testing.assert_close(weighted_info_nce(q, k, temperature=0.3), info_nce(q, k, temperature=0.3))


def test_a_mask_never_hides_the_positive_and_one_that_hides_all_else_leaves_nothing_to_learn():
    q, k = random_rows(4, 3).requires_grad_(), random_rows(4, 3, seed=1)
    nothing = weighted_info_nce(q, k, temperature=0.05, weights=torch.zeros(4, 4))
    nothing.backward()
    assert float(nothing.detach()) == 0 and torch.isfinite(q.grad).all()
    by_hand = weighted_info_nce(q, k, temperature=0.05, weights=1 - torch.eye(4))
    torch.testing.assert_close(by_hand, weighted_info_nce(q, k, temperature=0.05))


def test_weights_that_cannot_be_are_refused():
    q = random_rows(4, 3)
    for weights in (-torch.ones(4, 4), torch.ones(3, 4)):
        with pytest.raises(ValueError, match="weights must be"):
            weighted_info_nce(q, q, temperature=0.1, weights=weights)


def test_texts_go_through_the_encoder_in_pieces_and_come_back_in_their_order():
    net = bert().eval()
    ids = Beginning(12)(torch.tensor(_padded(net.tokenize(texts_of(40)))))[0]
    with torch.no_grad():
        torch.testing.assert_close(encoded(net, ids, rows=7), net(ids), atol=1e-5, rtol=1e-4)
    both = side_by_side(ids, ids[:, :3])
    assert both.shape == (80, ids.shape[1]) and (both[40:, 3:] == 0).all()


def _padded(rows):
    return [row + [0] * (max(map(len, rows)) - len(row)) for row in rows]


# All options off ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "system",
    [
        lambda **more: ul.DCLR(noise_ratio=0, phi=None, **more),
        lambda **more: ul.ClusterNS(hard_negatives=False, false_negatives=False, **more),
    ],
)
def test_with_all_options_off_it_is_simcse_exactly(texts, system):
    want = ul.SimCSE(encoder=bert(), **SMALL).fit(texts)
    found = system(encoder=bert(), **SMALL).fit(texts)
    np.testing.assert_array_equal(found.transform(texts), want.transform(texts))
    assert found.loss_curve_ == want.loss_curve_


def test_simcse_learns_from_dropout_and_the_loss_is_info_nce_of_two_passes():
    net = bert().train()
    system = ul.SimCSE(encoder=net, **SMALL)
    system.inputs_, system.n_items_ = Inputs("text"), 9
    system_net = system.build(net).train()
    ids = torch.tensor(_padded(net.tokenize(texts_of(9))))
    torch.manual_seed(3)
    found = system.loss(system_net, Batch([ids], torch.arange(9)))
    torch.manual_seed(3)
    z = system_net.project(encoded(net, torch.cat([ids, ids])))
    torch.testing.assert_close(found, info_nce(z[:9], z[9:], temperature=0.05))
    assert not torch.equal(z[:9], z[9:])


def test_an_encoder_without_dropout_has_nothing_to_tell_two_passes_apart(texts):
    with pytest.raises(InputError, match="dropout"):
        ul.SimCSE(encoder=bert(dropout=0.0), **SMALL).fit(texts)
    with pytest.raises(InputError, match="dropout"):
        ul.SimCSE(encoder="ngrams", **SMALL).fit(texts)


# DCLR ---------------------------------------------------------------------------------------------------------------
def non_uniformity(z, noise, tau):
    return float((F.normalize(z, dim=1) @ F.normalize(noise, dim=1).T / tau).exp().sum(dim=1).log().mean())


def test_noise_moves_towards_the_sentences_a_step_of_the_given_length_at_a_time():
    z, noise = random_rows(8, 6).requires_grad_(), random_rows(5, 6, seed=1)
    path = [dclr.towards(noise, z, 0.5, steps, 0.01) for steps in range(4)]
    losses = [non_uniformity(z.detach(), one, 0.5) for one in path]
    assert losses[0] < losses[1] < losses[2] < losses[3] and torch.equal(path[0], noise)
    torch.testing.assert_close((path[1] - noise).norm(dim=1), torch.full((5,), 0.01))
    assert not path[3].requires_grad and z.grad is None


def test_no_gradient_reaches_the_encoder_through_the_noise():
    z = random_rows(8, 6).requires_grad_()
    noise = dclr.towards(random_rows(5, 6, seed=1), z, 0.5, 3, 0.1)
    weighted_info_nce(z, z.detach(), temperature=0.5, extra=noise).backward()
    fixed = z.detach().clone().requires_grad_()
    weighted_info_nce(fixed, fixed.detach(), temperature=0.5, extra=noise.clone()).backward()
    torch.testing.assert_close(z.grad, fixed.grad)


def test_two_sentences_that_the_frozen_encoder_finds_alike_are_no_negatives(texts):
    frozen = bert()
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    system = ul.DCLR(encoder=bert(), complementary=frozen, phi=0.9, noise_ratio=0.5, **SMALL)
    net = system.untrained(texts).net_
    system._complement = [frozen.eval()]
    ids = torch.tensor(_padded(frozen.tokenize([texts[0], texts[1], texts[0], texts[2]])))
    z = random_rows(4, 16)
    found = system.negatives(net, Batch([ids], torch.arange(4)), z, z)
    with torch.no_grad():
        c = F.normalize(frozen(ids), dim=1).numpy()
    np.testing.assert_array_equal(found["weights"].numpy(), (c @ c.T < 0.9).astype(np.float32))
    assert found["weights"][0, 2] == 0 and found["extra"].shape == (2, 16)
    fitted = ul.DCLR(encoder=bert(), complementary=frozen, **SMALL).fit(texts)
    assert not any("complement" in name for name in fitted.net_.state_dict()) and not hasattr(fitted, "_complement")
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())


def test_a_frozen_encoder_of_other_tokens_is_refused(texts):
    with pytest.raises(InputError, match="same tokenizer"):
        ul.DCLR(encoder=bert(), complementary="ngrams", **SMALL).fit(texts)


# ClusterNS ----------------------------------------------------------------------------------------------------------
def test_the_hard_negative_is_the_second_nearest_centre():
    z, centres = random_rows(20, 5), random_rows(7, 5, seed=1)
    own, second = centroids.nearest(z, centres)
    for i in range(20):
        order = sorted(range(7), key=lambda k: -float(F.cosine_similarity(z[i], centres[k], dim=0)))
        assert [int(own[i]), int(second[i])] == order[:2]


def test_the_chain_takes_the_sentence_least_like_the_one_before_it():
    z = F.normalize(random_rows(12, 4), dim=1)
    chain = centroids.farthest_chain(z, 5)
    places = [int((z == row).all(dim=1).nonzero()) for row in chain]
    assert len(set(places)) == 5 and places[0] == 0
    for at, (last, next_) in enumerate(zip(places, places[1:], strict=False)):
        left = [i for i in range(12) if i not in places[: at + 1]]
        assert next_ == min(left, key=lambda i: float(z[i] @ z[last]))


def test_sentences_of_one_cluster_are_masked_but_never_oneself_and_never_too_many():
    own, cosine, mine = torch.tensor([0, 0, 1, 0]), random_rows(4, 4), torch.arange(4)
    same = centroids.false_negatives(own, cosine, mine, 1.0)
    want = (own[:, None] == own) & ~torch.eye(4, dtype=torch.bool)
    assert torch.equal(same, want)
    few = centroids.false_negatives(own, cosine, mine, 0.25)
    assert int(few.sum()) == 3 and (few & ~want).sum() == 0
    assert float(cosine[few].min()) >= float(cosine[want & ~few].max())


def test_the_bidirectional_margin_is_its_formula_and_zero_between_the_margins():
    cosine, mine = torch.tensor([[0.9, 0.7, 0.89], [0.0, 1.0, 0.2], [0.5, 0.5, 0.8]]), torch.arange(3)
    same = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    # d: -0.2 is between; -0.01 is too near by 0.04; -1.0 too far by 0.5
    assert abs(float(centroids.bidirectional_margin(cosine, same, mine, 0.05, 0.5)) - (0 + 0.04 + 0.5) / 3) < 1e-6
    assert float(centroids.bidirectional_margin(cosine, same & False, mine, 0.05, 0.5)) == 0


def test_clusters_begin_when_sentences_point_apart_and_move_with_their_members(texts):
    system = ul.ClusterNS(encoder=bert(), k=4, momentum=0.5, **SMALL)
    net = system.untrained(texts).net_
    alike = Batch([], torch.arange(16))
    alike.z = F.normalize(random_rows(16, 16) * 0.01 + 1, dim=1)
    system.after_step(net, alike)
    assert not net.clustering
    apart = Batch([], torch.arange(16))
    apart.z = F.normalize(random_rows(16, 16), dim=1)
    system.after_step(net, apart)
    assert net.clustering and torch.equal(net.centroids, centroids.farthest_chain(apart.z, 4))
    before, (own, _) = net.centroids.clone(), centroids.nearest(apart.z, net.centroids)
    system.after_step(net, apart)
    for k in range(4):
        mean = F.normalize(apart.z[own == k].mean(dim=0), dim=0)
        torch.testing.assert_close(net.centroids[k], F.normalize(before[k] + mean, dim=0))


def test_the_loss_of_clusterns_is_that_of_its_columns_and_gives_centres_no_gradient(texts):
    system = ul.ClusterNS(encoder=bert(), k=4, hard_weight=0.7, bml_weight=0.3, most_masked=1.0, **SMALL)
    net = system.untrained(texts).net_
    net.centroids.copy_(F.normalize(random_rows(4, 16, seed=5), dim=1))
    net.clustering.fill_(True)
    z, positive = random_rows(6, 16).requires_grad_(), random_rows(6, 16, seed=1)
    system.pair = lambda net, views: (z, positive)
    batch = Batch([], torch.arange(6))
    found = system.loss(net, batch)
    unit = lambda x: x.detach().numpy() / np.linalg.norm(x.detach().numpy(), axis=1, keepdims=True)  # noqa: E731
    a, p, c = unit(z), unit(positive), unit(net.centroids)
    order = np.argsort(-(a @ c.T), axis=1)
    total, margins = 0.0, []
    for i in range(6):
        terms = [np.exp(a[i] @ p[i] / 0.05)]
        terms += [np.exp(a[i] @ p[j] / 0.05) for j in range(6) if order[j, 0] != order[i, 0]]
        terms += [np.exp(a[i] @ c[order[j, 1]] / 0.05 + 0.7 * (i == j)) for j in range(6)]
        total -= np.log(terms[0] / sum(terms)) / 6
        for j in range(6):
            if j != i and order[j, 0] == order[i, 0]:
                d = a[i] @ p[j] - a[i] @ p[i]
                margins.append(max(0, d + 0.05) + max(0, -d - 0.5))
    assert abs(float(found.detach()) - (total + 0.3 * np.mean(margins))) < 1e-4
    found.backward()
    assert z.grad is not None and not net.centroids.requires_grad


# CompCSE ------------------------------------------------------------------------------------------------------------
def test_a_text_is_cut_into_two_parts_that_make_it_and_short_ones_stay_whole():
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 0, 0, 0, 0, 0], [0] * 8, [1, 2, 3, 4, 0, 0, 0, 0]])
    for split in ("random", "middle"):
        whole, left, right = InTwo(7, split)(ids, torch.Generator().manual_seed(0))
        for row in range(4):
            a, b, c = ([int(x) for x in part[row] if x] for part in (whole, left, right))
            assert (b == c == a) if len(a) < 4 else (b + c == a and b and c), (split, row)
        assert [int(x) for x in whole[0]] == list(range(1, 8))
    assert (InTwo(8, "middle")(ids)[1][0] != 0).sum() == 4


def test_parts_are_composed_before_the_head():
    net = bert().eval()
    for compose, by_hand in (
        ("avg", lambda a, b: (a + b) / 2),
        ("max", torch.maximum),
        ("cat", lambda a, b: torch.cat([a[:, :8], b[:, 8:]], dim=1)),
    ):
        system = ul.CompCSE(encoder=net, compose=compose, d0=5, **SMALL)
        whole = system.build(net).eval()
        views = InTwo(30)(torch.tensor(_padded(net.tokenize(texts_of(6)))), torch.Generator().manual_seed(0))
        with torch.no_grad():
            z, positive = system.pair(whole, views)
            want = whole.project(by_hand(net(views[1]), net(views[2])))
            torch.testing.assert_close(positive, want[:, :5], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(z, whole.project(net(views[0]))[:, :5], atol=1e-5, rtol=1e-4)
            assert not torch.allclose(by_hand(whole.project(net(views[1])), whole.project(net(views[2])))[:, :5], positive, atol=1e-3)


# All of them --------------------------------------------------------------------------------------------------------
SYSTEMS = {
    "SimCSE": {},
    "DCLR": {"noise_lr": 0.5, "phi": 0.95},
    "ClusterNS": {"k": 4, "start_cosine": 1.0},
    "CompCSE": {"compose": "cat"},
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_learns_repeats_itself_and_is_opened_again_here_and_by_sentence_transformers(name, texts, tmp_path):
    from sentence_transformers import SentenceTransformer

    fit = lambda: getattr(ul, name)(encoder=bert(), **SYSTEMS[name], **SMALL).fit(texts)  # noqa: E731
    model = fit()
    hard = [*texts[:5], "", "w1", "東京 naïve 👩‍👩‍👧‍👦", "w3 " * 2000, texts[0]]
    Z = model.transform(hard)
    assert Z.shape == (10, 16) and np.isfinite(Z).all() and not np.allclose(Z, type(model)(encoder=bert()).untrained(texts).transform(hard))
    model = fit()
    np.testing.assert_array_equal(model.transform(hard), Z)
    model.save(tmp_path / "model")
    np.testing.assert_allclose(type(model).load(tmp_path / "model", encoder=bert()).transform(hard), Z, atol=1e-6)
    theirs = SentenceTransformer(str(model.save_sentence_transformer(tmp_path / "st")), device="cpu")
    np.testing.assert_allclose(theirs.encode(hard, show_progress_bar=False), Z, atol=2e-6)


@pytest.mark.parametrize("name", SYSTEMS)
def test_hard_texts_do_not_stop_the_training(name):
    texts = ["", "w1", "w1", "w2 w3", "東京", "👩‍👩‍👧‍👦", "w4 " * 100_000, *texts_of(25)]
    model = getattr(ul, name)(encoder=bert(), **SYSTEMS[name], **SMALL).fit(texts)
    assert np.isfinite(model.transform(texts)).all() and np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("SimCSE", {"temperature": 0}),
        ("SimCSE", {"replace": "never"}),
        ("SimCSE", {"length": 2}),
        ("DCLR", {"phi": 2}),
        ("DCLR", {"noise_steps": -1}),
        ("ClusterNS", {"k": 1}),
        ("ClusterNS", {"bml": (0.5, 0.1)}),
        ("CompCSE", {"compose": "sum"}),
        ("CompCSE", {"split": "thirds"}),
        ("CompCSE", {"d0": 0}),
    ],
)
def test_parameters_that_cannot_be_are_refused_by_name(name, wrong, texts):
    with pytest.raises(InputError, match=next(iter(wrong))):
        getattr(ul, name)(encoder=bert(), **SMALL | wrong).fit(texts)


# Better or not ------------------------------------------------------------------------------------------------------
JUDGED = SMALL | {"replace": "if better"}


def test_an_encoder_that_training_made_worse_is_kept_with_a_warning_that_gives_the_numbers(tmp_path):
    texts = texts_of(300)
    start = ul.SimCSE(encoder=bert()).untrained(texts)
    with pytest.warns(UserWarning, match=r"kept the encoder that it started from.* on 60 texts held out .uniformity -\d\.\d+ before"):
        model = ul.SimCSE(encoder=bert(), **JUDGED | {"lr": 0.5}).fit(texts)
    said = model.comparison_
    assert model.kept_start_ and said["texts"] == 60 and (said["gain"] < 0 or said["even"] > said["even_start"])
    np.testing.assert_array_equal(model.transform(texts), start.transform(texts))
    model.save(tmp_path / "model")
    again = ul.SimCSE.load(tmp_path / "model", encoder=bert())
    assert again.kept_start_ and again.comparison_ == model.comparison_
    np.testing.assert_allclose(again.transform(texts), model.transform(texts), atol=1e-6)
    assert model.n_items_ == 240  # the others were held out
    always = ul.SimCSE(encoder=bert(), **JUDGED | {"lr": 0.5, "replace": "always"}).fit(texts)
    assert not always.kept_start_ and always.comparison_ is None and always.n_items_ == 300


def test_what_is_better_is_taken_without_a_word(recwarn):
    texts = texts_of(300)
    model = ul.SimCSE(encoder=bert(), **JUDGED | {"lr": 3e-3, "epochs": 2}).fit(texts)
    assert not model.kept_start_ and before_after.better(model.comparison_)
    assert not [w for w in recwarn if "kept the encoder" in str(w.message)]
    assert not np.allclose(model.transform(texts), ul.SimCSE(encoder=bert()).untrained(texts).transform(texts))


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({}, True),
        ({"even": -1.0}, False),  # not more even
        ({"gain": -0.03}, False),  # halves find each other worse
        ({"gain": -0.01}, True),  # within two standard errors
        ({"texts": 49}, False),
    ],
)
def test_better_is_more_even_and_no_worse_at_finding_halves_and_few_texts_prove_nothing(said, taken):
    found = {"texts": 50, "even_start": -1.5, "even": -2.0, "start": 0.2, "trained": 0.21, "gain": 0.01, "error": 0.01}
    assert before_after.better(found | said) == taken


def test_four_texts_are_too_few_to_replace_an_encoder(texts):
    with pytest.warns(UserWarning, match="on 0 texts"):
        assert ul.SimCSE(encoder=bert(), **JUDGED).fit(texts[:4]).kept_start_


def test_the_comparison_is_of_uniformity_and_of_paired_differences(texts):
    from unlabeled.evaluate.labelfree import uniformity

    start, trained = ul.SimCSE(encoder=bert()).untrained(texts), ul.SimCSE(encoder=bert(), **SMALL | {"lr": 0.1}).fit(texts)
    said = before_after.compared(start, trained, as_items(texts))
    gain = before_after.found(trained, as_items(texts)) - before_after.found(start, as_items(texts))
    assert said["texts"] == 96 and abs(said["gain"] - gain.mean()) < 1e-12
    assert abs(said["error"] - gain.std(ddof=1) / len(gain) ** 0.5) < 1e-12
    assert abs(said["even"] - uniformity(trained.transform(texts))) < 1e-4
    assert abs(said["even_start"] - uniformity(start.transform(texts))) < 1e-4


def test_halves_find_each_other_as_a_search_by_hand_says(monkeypatch):
    texts, halves = [*texts_of(30), "", "w1 w2"], []
    model = ul.SimCSE(encoder=bert()).untrained(texts)
    embed = model.embed
    monkeypatch.setattr(type(model), "embed", lambda self, net, ids: halves.append(ids) or embed(net, ids))
    got = before_after.found(model, as_items(texts))
    lengths = sorted(len(text.split()) for text in texts if len(text.split()) >= 4)
    assert len(got) == len(lengths) and len(halves) == 2 * before_after.DRAWS
    want = np.zeros(len(got))
    for A, B in zip(halves[::2], halves[1::2], strict=True):
        assert [int(a + b) for a, b in zip((A != 0).sum(1), (B != 0).sum(1), strict=True)] == lengths  # each token is in one of them
        assert ((B != 0).sum(1) - (A != 0).sum(1)).unique().tolist() in ([0, 1], [0], [1])
        with torch.no_grad():
            a, b = (embed(model.net_, ids).numpy().astype(np.float64) for ids in (A, B))
        a, b = (Z - Z.mean(axis=0) for Z in (a, b))
        cosine = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
        for i in range(len(a)):
            there = 1 + sum(cosine[i, j] > cosine[i, i] for j in range(len(a)))
            back = 1 + sum(cosine[j, i] > cosine[i, i] for j in range(len(a)))
            want[i] += (1 / there + 1 / back) / 2 / before_after.DRAWS
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert before_after.found(model, as_items(["w1", ""])).shape == (0,)
