"""Systems for any kind of data: triplet network, CPC, LFR, Matryoshka."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from unlabeled import InputError, SimCLR, SimSiam, load_model
from unlabeled.data import Items
from unlabeled.encoders.sequences import Patches, Recurrent, RowsAbove, Waves, clips
from unlabeled.evaluate.probes import knn_accuracy, linear_probe
from unlabeled.learner import Batch, Net
from unlabeled.methods.contrastive.cpc import CPC
from unlabeled.methods.contrastive.matryoshka import Matryoshka
from unlabeled.methods.contrastive.matryoshka_adaptor import MatryoshkaAdaptor
from unlabeled.methods.contrastive.triplet_network import TripletNetwork
from unlabeled.methods.tabular.lfr import LFR, barlow_batch, diverse
from unlabeled.parts.prefix import truncate

QUICK = {"epochs": 2, "batch_size": 32}


@pytest.fixture(scope="module")
def pictures():
    return (load_digits().images[:96] * 15).astype(np.uint8)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.data.astype(np.float32), data.target


def tones(n: int, samples: int = 1200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tones of four pitches in noise, each with a phase and a loudness of its own."""
    rng = np.random.default_rng(seed)
    pitch = rng.integers(4, size=n)
    wave = np.sin(2 * np.pi * np.array([0.01, 0.017, 0.028, 0.045])[pitch][:, None] * np.arange(samples) + rng.uniform(0, 6.28, (n, 1)))
    return ((wave + rng.normal(0, 0.3, wave.shape)) * rng.uniform(0.2, 2, (n, 1))).astype(np.float32), pitch


@pytest.fixture(scope="module")
def waves():
    return tones(96)


@pytest.mark.parametrize("case", ["triplet", "cpc waves", "cpc pictures", "lfr", "lfr pictures", "matryoshka", "adaptor"])
def test_a_saved_model_gives_the_same_vectors(case, pictures, waves, tmp_path):
    learner, data = {
        "triplet": (TripletNetwork(**QUICK), pictures),
        "cpc waves": (CPC(**QUICK, steps=3), waves[0]),
        "cpc pictures": (CPC(**QUICK, steps=1, patch=4), pictures),
        "lfr": (LFR(**QUICK, candidates=2), pictures.reshape(96, -1).astype(np.float32)),
        "lfr pictures": (LFR(**QUICK, candidates=2), pictures),
        "matryoshka": (Matryoshka(**QUICK, dims=(4, 16), objective=SimCLR(temperature=0.3)), pictures),
        "adaptor": (MatryoshkaAdaptor(**QUICK, dims=(4, 16)), pictures.reshape(96, -1).astype(np.float32)),
    }[case]
    fitted = learner.fit(data)
    fitted.save(tmp_path)
    loaded = load_model(tmp_path)
    assert type(loaded) is type(fitted)
    expected = fitted.transform(data)
    assert np.isfinite(expected).all() and expected.std() > 0
    np.testing.assert_array_equal(loaded.transform(data), expected)
    # Trained again, the loaded one learns the same: nothing of its settings was lost.
    np.testing.assert_array_equal(loaded.fit(data).transform(data), expected)


# Triplet network ------------------------------------------------------------------------------------------------------


def triplet_net(z: np.ndarray, group: list[int], **options) -> tuple[TripletNetwork, Net, Batch]:
    """A network that gives the vectors z, so that the loss can be held against the formula."""
    learner = TripletNetwork(dim=z.shape[1], groups="group", **options)
    learner.n_items_ = len(z)
    encoder = torch.nn.Identity()
    encoder.width = z.shape[1]
    net = learner.build(encoder)
    torch.nn.init.eye_(net.project.weight)
    torch.nn.init.zeros_(net.project.bias)
    net.groups.of.copy_(torch.tensor(group))
    return learner, net, Batch([torch.tensor(z, dtype=torch.float32)], torch.arange(len(z)))


def test_the_triplet_loss_averages_over_triplets_of_partner_and_stranger():
    z, group = np.random.default_rng(0).normal(size=(6, 3)) * 2, [0, 0, 1, 1, 2, 2]
    learner, net, batch = triplet_net(z, group)
    torch.manual_seed(0)
    drawn = np.mean([float(learner.loss(net, batch).detach()) for _ in range(600)])
    every = []
    for a, p, s in itertools.permutations(range(6), 3):
        if group[a] == group[p] != group[s]:
            near, far = np.linalg.norm(z[a] - z[p]), np.linalg.norm(z[a] - z[s])
            every.append(2 * (np.exp(near) / (np.exp(near) + np.exp(far))) ** 2)
    assert len(every) == 24
    assert drawn == pytest.approx(np.mean(every), abs=3 * np.std(every) / np.sqrt(6 * 600) + 1e-3)


def test_the_siamese_baseline_pulls_partners_and_pushes_strangers_to_the_margin():
    z = np.array([[0.0, 0], [3, 0], [0.4, 0], [3.4, 0]])
    learner, net, batch = triplet_net(z, [0, 0, 1, 1], objective="siamese", mining="semi_hard", margin=5.0)
    # Partners are 3 apart. 0 and 3 have a stranger beyond that, at 3.4; 1 and 2 take the farthest there is, at 2.6.
    expected = np.mean([9 + 1.6**2, 9 + 2.4**2, 9 + 2.4**2, 9 + 1.6**2]) / 2
    assert float(learner.loss(net, batch).detach()) == pytest.approx(expected, rel=1e-5)


def test_semi_hard_mining_takes_the_nearest_stranger_beyond_the_partner():
    z = torch.tensor([[0.0], [1.0], [0.5], [1.2], [5.0]])
    learner, net, _ = triplet_net(z.numpy(), [0, 0, 1, 1, 1], mining="semi_hard")
    anchor, partner, stranger = learner.draw(z, net.groups.of)
    first = dict(zip(anchor.tolist(), zip(partner.tolist(), stranger.tolist(), strict=True), strict=True))
    assert first[0] == (1, 3)  # 0.5 is nearer than the partner at 1.0, 5.0 is farther than need be


def test_members_of_small_groups_meet_in_a_batch(pictures):
    group = np.arange(96) // 2  # 48 pairs; by chance hardly a pair would meet among 8
    learner = TripletNetwork(groups="pair", epochs=1, batch_size=8)
    learner.fit(Items("image", pictures[..., None], columns={"pair": group}))
    order = learner.order(learner.net_, 96, torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == list(range(96))
    batches = group[order.numpy()].reshape(-1, 8)
    assert all(np.unique(batch).size == 4 for batch in batches)
    assert len({tuple(batch) for batch in batches}) == 12 and not np.array_equal(batches.flatten(), np.sort(batches.flatten()))


def test_a_learned_distance_finds_groups_that_it_was_never_shown():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 25)
    X = np.concatenate([rng.normal(size=(40, 4))[group] + rng.normal(0, 0.25, (1000, 4)), rng.normal(size=(1000, 16))], axis=1)
    X, seen = X.astype(np.float32), group < 30  # 4 columns say who belongs together, 16 say nothing
    items = Items("vector", X[seen], columns={"group": group[seen]})

    def found(learner: TripletNetwork) -> float:
        far = learner.distance(X[~seen], X[~seen])
        np.fill_diagonal(far, np.inf)  # the query itself doesn't count
        return float((group[~seen][far.argmin(axis=1)] == group[~seen]).mean())

    learner = TripletNetwork(groups="group", dim=16, epochs=15, batch_size=128)
    assert found(learner.fit(items)) > found(TripletNetwork(dim=16).untrained(X)) + 0.2
    assert 0 <= learner.active_ < 1 and learner.loss_curve_[-1] < learner.loss_curve_[0] * 0.7


def test_coinciding_triplets_have_a_finite_gradient():
    learner, net, batch = triplet_net(np.zeros((4, 2)), [0, 0, 1, 1])
    learner.loss(net, batch).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.project.parameters())


def test_groups_that_say_nothing_are_refused(pictures):
    items = Items("image", pictures[..., None], columns={"one": np.zeros(96, int), "own": np.arange(96)})
    for column, said in (("one", "one group"), ("own", "one group"), ("none", "no column 'none'")):
        with pytest.raises(InputError, match=said):
            TripletNetwork(groups=column, **QUICK).fit(items)
    with pytest.raises(InputError, match="objective"):
        TripletNetwork(objective="hinge", **QUICK).fit(pictures)


# CPC ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["waves", "pictures"])
def test_neither_encoder_nor_context_sees_what_comes_later(kind):
    torch.manual_seed(0)
    if kind == "waves":
        encode, context, x = Waves(8), Recurrent(8, 8), torch.randn(3, 1200)
        changed = x.clone()
        changed[:, 800:] = changed[:, 800:].flip(1)  # the loudness of the clip stays
        known = (800 - 265) // 80  # places whose 265 samples end before 800
    else:
        encode, context, x = Patches(8, 1, 4), RowsAbove(8, 8), torch.rand(3, 1, 16, 16)
        changed = x.clone()
        changed[:, :, 10:] = torch.rand(3, 1, 6, 16)
        known = 4  # rows 0, 2, 4, 6 of height 4
    before, after = (context(encode.train()(one)) for one in (x, changed))
    assert before.shape[1] > known
    torch.testing.assert_close(before[:, :known], after[:, :known])
    assert (before[:, -1] - after[:, -1]).abs().max() > 1e-4


def test_cpc_scores_are_unnormalised_and_the_positive_is_the_only_own_entry():
    torch.manual_seed(0)
    query, key = torch.randn(3, 2, 5), torch.randn(3, 2, 5)
    q, k = query.flatten(0, 1).numpy(), key.flatten(0, 1).numpy()
    scores, item = q @ k.T, np.arange(6) // 2
    for negatives, counts in (("batch", np.ones((6, 6), bool)), ("others", item[:, None] != item), ("same", item[:, None] == item)):
        allowed = counts | np.eye(6, dtype=bool)
        expected = np.mean([np.log(np.exp(scores[i, allowed[i]]).sum()) - scores[i, i] for i in range(6)])
        assert float(CPC(negatives=negatives).score(query, key)) == pytest.approx(expected, rel=1e-5)


def test_the_bound_stays_below_log_n_and_grows_with_training(waves):
    X, _ = tones(64, seed=1)
    settings = {"steps": 3, "batch_size": 32, "anchors": 4}
    before = CPC(**settings, dim=32).untrained(waves[0]).mi_bounds(X)
    after = CPC(**settings, epochs=20, dim=32, lr=3e-3).fit(waves[0]).mi_bounds(X)
    assert before.shape == (3,) and (after < np.log(32 * 4)).all()
    assert (after > before + 0.5).all()


def test_cpc_hears_the_pitch_better_than_an_untrained_network():
    X, y = tones(192, 800)
    test, y_test = tones(128, 800, seed=1)
    learner = CPC(steps=3, epochs=12, lr=3e-3, dim=32, context_dim=32)
    Z, Z_test = (learner.fit(X).transform(x) for x in (X, test))
    blank = CPC(steps=3, dim=32, context_dim=32).untrained(X)
    assert linear_probe(Z, y, Z_test, y_test) > linear_probe(blank.transform(X), y, blank.transform(test), y_test) - 0.02
    assert knn_accuracy(Z, y, Z_test, y_test) > 0.9
    assert learner.loss_curve_[-1] < learner.loss_curve_[0] - 0.5


def test_loudness_does_not_change_what_cpc_hears(waves):
    learner = CPC(steps=3, epochs=1).fit(waves[0])
    np.testing.assert_allclose(learner.transform(waves[0]), learner.transform(waves[0] * 3), atol=1e-3)


def test_cpc_says_what_it_can_not_read(pictures, waves):
    with pytest.raises(InputError, match="not texts"):
        CPC(**QUICK).fit(["a text", "another text"] * 20)
    with pytest.raises(InputError, match="too few to predict 6"):
        CPC(**QUICK).fit(pictures)
    with pytest.raises(InputError, match="own encoder"):
        CPC(**QUICK, encoder="mlp").fit(waves[0])
    with pytest.raises(InputError, match="needs negatives"):
        CPC(**QUICK, steps=2, negatives="same").fit(waves[0]).mi_bounds(waves[0])


def test_clips_are_cut_and_padded_around_their_middle():
    out = clips([np.arange(1, 8), [5.0, 6.0], []], 4)
    assert out.tolist() == [[2, 3, 4, 5], [0, 5, 6, 0], [0, 0, 0, 0]]


# LFR ------------------------------------------------------------------------------------------------------------------


def test_diverse_picks_what_a_greedy_search_over_determinants_picks():
    rng = np.random.default_rng(3)
    v = rng.normal(size=(9, 6))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    similarity = v @ v.T
    chosen: list[int] = []
    for _ in range(4):
        rest = [i for i in range(9) if i not in chosen]
        chosen.append(max(rest, key=lambda i: np.linalg.det(similarity[np.ix_(chosen + [i], chosen + [i])]) + 1e-12 * (i == 0)))
    assert diverse(torch.tensor(similarity), 4)[1:] == chosen[1:] and diverse(torch.tensor(similarity), 4)[0] == 0 == chosen[0]
    # A copy of a row adds nothing: it comes last.
    assert sorted(diverse(torch.tensor(similarity[:3, :3]).repeat(2, 2), 3)) != [0, 3, 4] and len(set(diverse(torch.eye(4), 4))) == 4


def test_the_batchwise_loss_compares_items_not_dimensions():
    p, t = torch.randn(5, 3), torch.randn(5, 3)
    c = np.array([[np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for b in t.numpy()] for a in p.numpy()])
    expected = ((1 - np.diag(c)) ** 2).sum() + 0.01 * (c[~np.eye(5, dtype=bool)] ** 2).sum()
    assert float(barlow_batch(p, t, 0.01)) == pytest.approx(expected, rel=1e-5)


def test_the_random_networks_are_chosen_once_never_train_and_see_standardised_columns(digits):
    X, _ = digits
    X = X * np.linspace(1, 1000, 64, dtype=np.float32)  # columns of very different size
    learner = LFR(epochs=4, batch_size=256, targets=3, candidates=4).fit(X)
    first = LFR(epochs=1, batch_size=256, targets=3, candidates=4).fit(X)
    for (name, late), early in zip(learner.net_.targets.state_dict().items(), first.net_.targets.state_dict().values(), strict=True):
        assert torch.equal(late, early), name
    scaled = learner.net_.scale(torch.tensor(X))
    assert float(scaled.mean().abs()) < 1e-3 and float(scaled.std(dim=0).max()) == pytest.approx(1, abs=0.01)


def test_every_other_epoch_trains_the_predictors_alone(digits):
    states = []

    class Watched(LFR):
        def before_epoch(self, net, data):
            super().before_epoch(net, data)
            states.append({name: value.clone() for name, value in net.state_dict().items()})

    Watched(epochs=3, batch_size=256).fit(digits[0])
    for before, after, alone in ((states[0], states[1], False), (states[1], states[2], True)):
        moved = {name for name in before if not torch.equal(before[name], after[name])} - {"scale.epoch"}
        assert any(name.startswith("predict") for name in moved)
        assert any(name.startswith("encode") for name in moved) is not alone


def test_lfr_learns_more_from_a_table_than_the_network_had(digits):
    X, y = digits
    few = np.arange(1000) < 100
    learner = LFR(epochs=30, batch_size=128).fit(X[:1000])
    Z, Z_test = learner.transform(X[:1000]), learner.transform(X[1000:])
    blank = LFR().untrained(X[:1000])
    before = knn_accuracy(blank.transform(X[:1000])[few], y[:1000][few], blank.transform(X[1000:]), y[1000:], k=5)
    assert knn_accuracy(Z[few], y[:1000][few], Z_test, y[1000:], k=5) > before
    assert learner.loss_curve_[-1] < learner.loss_curve_[0] * 0.7


def test_lfr_refuses_texts_and_impossible_settings(digits):
    with pytest.raises(InputError, match="vectors of the texts"):
        LFR(**QUICK).fit(["a text", "another text"] * 20)
    with pytest.raises(InputError, match="at least 1"):
        LFR(**QUICK, candidates=0).fit(digits[0][:64])
    with pytest.raises(InputError, match="objective"):
        LFR(**QUICK, objective="mse").fit(digits[0][:64])


# Matryoshka -----------------------------------------------------------------------------------------------------------


def test_the_nested_loss_is_the_sum_of_the_objectives_on_each_prefix(pictures):
    learner = Matryoshka(**QUICK, dims=(4, 16)).fit(pictures)
    net = learner.net_
    views = [torch.rand(8, 1, 8, 8) for _ in range(2)]
    terms = learner.loss(net, Batch(views, torch.arange(8)))
    assert list(terms) == ["first 4", "first 16"]
    z = net.nest(net.encode(torch.cat(views)))
    for (name, term), head, m in zip(terms.items(), net.heads, (4, 16), strict=True):
        p = torch.nn.functional.normalize(head.project(z[:, :m]), dim=1)
        logits = (p @ p.T / 0.1).fill_diagonal_(-torch.inf)
        expected = torch.nn.functional.cross_entropy(logits, torch.arange(16).roll(8))
        assert float(term.detach()) == pytest.approx(float(expected.detach()), rel=1e-4), name


def test_short_prefixes_of_nested_vectors_beat_those_of_plain_ones(digits):
    X, y = digits
    common = {"epochs": 15, "batch_size": 128, "lr": 2e-3, "seed": 0}
    nested = Matryoshka(**common, dims=(2, 8, 32)).fit(X[:1000])
    plain = Matryoshka(**common, dims=(32,)).fit(X[:1000])
    A, B = (truncate(model.transform(X), 2) for model in (nested, plain))
    assert knn_accuracy(A[:1000], y[:1000], A[1000:], y[1000:]) > knn_accuracy(B[:1000], y[:1000], B[1000:], y[1000:]) + 0.1


def test_the_adaptor_keeps_neighbours_in_fewer_numbers(digits):
    X, y = digits
    rng = np.random.default_rng(0)
    Z = (X - X.mean(axis=0)) @ np.linalg.qr(rng.normal(size=(64, 64)))[0].astype(np.float32)
    adaptor = MatryoshkaAdaptor(dims=(4, 16, 64), epochs=15, batch_size=128).fit(Z[:1000])
    A = adaptor.transform(Z)
    scores = {}
    for name, V in (("adapted", A), ("cut", Z)):
        scores[name] = [knn_accuracy(truncate(V, m)[:1000], y[:1000], truncate(V, m)[1000:], y[1000:]) for m in (4, 64)]
    assert scores["adapted"][0] > scores["cut"][0] + 0.1
    assert scores["adapted"][1] > scores["cut"][1] - 0.02


def test_what_can_not_be_nested_is_refused(pictures):
    with pytest.raises(InputError, match="can't be an objective here"):
        Matryoshka(**QUICK, objective=CPC()).fit(pictures)
    with pytest.raises(InputError, match="no method is called"):
        Matryoshka(**QUICK, objective="nonsense").fit(pictures)
    with pytest.raises(InputError, match="dims are sizes that grow"):
        Matryoshka(**QUICK, dims=(16, 8)).fit(pictures)
    with pytest.raises(InputError, match="turn the axes"):
        Matryoshka(**QUICK, whiten=0.5).fit(pictures)
    assert Matryoshka(**QUICK, objective=SimSiam()).fit(pictures).transform(pictures).shape == (96, 64)
