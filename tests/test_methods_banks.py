"""Systems with a memory: instance discrimination, invariance propagation, MoCo v2 and its choice of negatives."""

import math
import time

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from unlabeled import load_model
from unlabeled.learner import Batch, Net
from unlabeled.methods.contrastive.instance_discrimination import InstanceDiscrimination
from unlabeled.methods.contrastive.invariance_propagation import InvariancePropagation, Neighbours
from unlabeled.methods.contrastive.moco import MoCo, left_out
from unlabeled.methods.contrastive.moco_dual_hard import MoCoDualHard
from unlabeled.parts.memory import Bank
from unlabeled.views import VectorViews

SMALL_WALK = {"k": 2, "positives": 3, "background": 64}
SYSTEMS = [
    (InstanceDiscrimination, {}),
    (InstanceDiscrimination, {"negatives": 8, "proximal": 30.0}),
    (InvariancePropagation, SMALL_WALK),
    (MoCo, {"queue": 48}),
    (MoCo, {"queue": 48, "dual_view": "keygrad"}),
    (MoCoDualHard, {"queue": 48}),
]
QUICK = {"epochs": 3, "batch_size": 32}


@pytest.fixture(scope="module")
def pictures():
    return (load_digits().images[:96] * 15).astype(np.uint8)


@pytest.fixture(scope="module")
def groups():
    """Five far groups of vectors, 24 in each, and which group each is in."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 24)
    return (6 * rng.normal(size=(5, 8))[y] + rng.normal(size=(120, 8))).astype(np.float32), y


def built(learner, encoder, n, steps=100):
    """The learner's modules on an encoder, as fit would make them for n vectors."""
    learner.n_items_, learner.steps_ = n, steps
    torch.manual_seed(0)
    return learner.build(encoder)


def linear(width=6):
    torch.manual_seed(7)
    encoder = nn.Linear(4, width)
    encoder.width = width
    return encoder


def batch_of(*rows, n=5, views=1):
    g = torch.Generator().manual_seed(1)
    return Batch([torch.randn(n, 4, generator=g) for _ in range(views)], torch.tensor(rows or range(n)))


def total(loss):
    return sum(loss.values()) if isinstance(loss, dict) else loss


# Every one of them -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("system", "options"), SYSTEMS)
def test_a_saved_model_gives_the_same_vectors_and_keeps_its_memory(system, options, pictures, tmp_path):
    fitted = system(**QUICK, **options).fit(pictures)
    fitted.save(tmp_path)
    loaded = load_model(tmp_path)
    assert type(loaded) is system and loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.transform(pictures), fitted.transform(pictures))
    ours, theirs = fitted.net_.state_dict(), loaded.net_.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(("system", "options"), SYSTEMS[1:])
def test_a_resumed_run_ends_like_an_unbroken_one(system, options, groups, tmp_path, monkeypatch):
    X, settings = groups[0], {**QUICK, **options, "epochs": 4}
    whole = system(**settings).fit(X)
    monkeypatch.setattr("unlabeled.learner.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(time, "monotonic", iter(range(10**6)).__next__)  # a watcher is told of every step

    def stop(progress):
        if progress.step == 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        system(**settings).fit(X, checkpoint=tmp_path, watch=stop)
    resumed = system(**settings).fit(X, checkpoint=tmp_path, resume=True)
    np.testing.assert_allclose(resumed.loss_curve_, whole.loss_curve_, atol=1e-4)


@pytest.mark.parametrize(("system", "options"), SYSTEMS)
def test_training_teaches_to_find_the_other_view_of_an_example(system, options, groups):
    X, _ = groups
    views = VectorViews()(torch.from_numpy(X), torch.Generator().manual_seed(1))
    nearer = {}  # share of the other examples that lie nearer than the example's own other view
    for when, epochs in (("before", 0), ("after", 20)):
        net = system(epochs=epochs, batch_size=24, **options).fit(X).net_
        with torch.no_grad():
            a, b = (torch.nn.functional.normalize(net.project(net.encode(view)), dim=1) for view in views)
        similarity = a @ b.T
        nearer[when] = (similarity > similarity.diagonal()[:, None]).float().mean().item()
    assert nearer["after"] < 0.9 * nearer["before"]


@pytest.mark.parametrize(
    ("system", "options", "words"),
    [
        (InstanceDiscrimination, {"negatives": 0}, "negatives must be at least 1"),
        (InstanceDiscrimination, {"bank_momentum": 1.5}, "momentum"),
        (InvariancePropagation, {"negatives": 8}, "leave negatives at None"),
        (InvariancePropagation, {"k": 96}, "1 <= k < 96"),
        (InvariancePropagation, {"levels": 0}, "levels"),
        (InvariancePropagation, {"background": 1}, "background must be at least 2"),
        (MoCo, {"dual_view": "both"}, "dual_view"),
        (MoCo, {"hard_ratio": 0.0}, "hard_ratio must lie in"),
        (MoCoDualHard, {"filter_quantile": 1.1}, "filter_quantile must lie in"),
        (MoCo, {"splits": 0}, "splits"),
        (MoCo, {"queue": 0}, "queue"),
        (MoCo, {"temperature": 0.0}, "temperature"),
        (InstanceDiscrimination, {"temperature": 0.0}, "temperature"),
    ],
)
def test_impossible_settings_are_refused_by_name(system, options, words, pictures):
    with pytest.raises(ValueError, match=words):
        system(**QUICK, **options).fit(pictures)


# Instance discrimination -------------------------------------------------------------------------------------------
def test_the_loss_is_minus_the_log_probability_of_ones_own_row_among_all():
    learner = InstanceDiscrimination(dim=3, temperature=0.2)
    net, batch = built(learner, linear(), 9), batch_of(7, 0, 3, 8, 1)
    v = torch.nn.functional.normalize(net.project(net.encode(batch.views[0])), dim=1).detach().double().numpy()
    rows = net.bank.rows.double().numpy()
    e = np.exp(v @ rows.T / 0.2)
    expected = np.mean([-math.log(e[i, own] / e[i].sum()) for i, own in enumerate(batch.index.tolist())])
    assert learner.loss(net, batch).item() == pytest.approx(expected, abs=1e-5)


def test_the_noise_contrastive_loss_is_that_of_a_loop_with_z_of_the_first_batch():
    learner = InstanceDiscrimination(dim=3, temperature=0.2, negatives=4)
    net, batch = built(learner, linear(), 9), batch_of(7, 0, 3, 8, 1)
    z = np.nan
    for views in (batch.views, [2 - batch.views[0]]):
        batch.views = views
        torch.manual_seed(5)
        loss = learner.loss(net, batch).item()
        torch.manual_seed(5)
        noise = torch.randint(9, (5, 4)).numpy()
        v = batch.z.detach().double().numpy()
        e = np.exp(v @ net.bank.rows.double().numpy().T / 0.2)
        if np.isnan(z):
            z = 9 * np.mean([e[i, j] for i in range(5) for j in noise[i]])
        each = []
        for i, own in enumerate(batch.index.tolist()):
            h = e[i] / z / (e[i] / z + 4 / 9)
            each.append(-math.log(h[own]) - sum(math.log(1 - h[j]) for j in noise[i]))
        assert loss == pytest.approx(np.mean(each), abs=1e-4)


def test_picking_rows_of_a_bank_agrees_with_comparing_to_all():
    torch.manual_seed(0)
    bank, z, index = Bank(64, 5), torch.randn(3, 5), torch.tensor([[3, 3], [0, 63], [9, 1]])  # 2 of 64: rows are picked
    torch.testing.assert_close(bank(z, index), bank(z).gather(1, index))
    many = index.repeat(1, 4)  # 8 of 64: one product
    torch.testing.assert_close(bank(z, many), bank(z).gather(1, many))


def test_the_proximal_term_is_a_sum_over_dimensions():
    batch, losses = batch_of(), {}
    for weight in (0.0, 30.0):
        learner = InstanceDiscrimination(dim=3, proximal=weight)
        net = built(learner, linear(), 5)
        losses[weight] = learner.loss(net, batch).item()
    squared = (batch.z.detach() - net.bank.rows).square().sum(dim=1).mean().item()
    assert losses[30.0] - losses[0.0] == pytest.approx(30 * squared, rel=1e-4)


def test_the_bank_holds_each_example_under_its_own_index_and_carries_no_gradient(groups):
    X, _ = groups
    learner = InstanceDiscrimination(epochs=20, batch_size=24).fit(X)
    with torch.no_grad():
        z = learner.net_.project(learner.net_.encode(torch.from_numpy(X)))
    assert learner.bank_.shape == (120, 128) and not learner.bank_.requires_grad
    torch.testing.assert_close(learner.bank_.norm(dim=1), torch.ones(120))
    first = learner.net_.bank(z).argmax(dim=1)
    assert (first == torch.arange(120)).float().mean() > 0.08  # by chance 1 in 120


def test_a_step_changes_only_the_rows_of_its_batch_and_takes_half_of_the_new():
    learner = InstanceDiscrimination(dim=3)
    net, batch = built(learner, linear(), 9), batch_of(7, 0, 3, 8, 1)
    before = net.bank.rows.clone()
    learner.loss(net, batch)
    assert torch.equal(net.bank.rows, before)  # only after the step
    learner.after_step(net, batch)
    mixed = torch.nn.functional.normalize(before[batch.index] + batch.z.detach(), dim=1)
    torch.testing.assert_close(net.bank.rows[batch.index], mixed)
    rest = [2, 4, 5, 6]
    assert torch.equal(net.bank.rows[rest], before[rest])


# Invariance propagation --------------------------------------------------------------------------------------------
def test_without_weight_and_background_it_is_instance_discrimination_step_by_step(groups):
    X, _ = groups
    plain = InstanceDiscrimination(**QUICK).fit(X)
    same = InvariancePropagation(**QUICK, weight=0.0, background=None).fit(X)
    np.testing.assert_allclose(same.loss_curve_, plain.loss_curve_, atol=1e-4)
    np.testing.assert_allclose(same.transform(X), plain.transform(X), atol=1e-3)
    cut = InvariancePropagation(**QUICK, weight=0.0, background=4).fit(X)
    assert cut.loss_curve_[0] < plain.loss_curve_[0] - 1  # fewer to be told apart from


def test_a_walk_reaches_what_a_loop_over_all_paths_reaches():
    table = torch.tensor([[1, 2], [3, 0], [4, 4], [5, 1], [0, 2], [2, 3]])
    neighbours = Neighbours(6, 2)
    neighbours.table.copy_(table)
    expected = []
    for start in (0, 3):
        level, all_levels = [start], []
        for _ in range(3):
            level = [n for node in level for n in table[node].tolist()]
            all_levels += level
        expected.append(sorted(all_levels))
    found = neighbours.walk(torch.tensor([0, 3]), 3)
    assert found.shape == (2, 2 + 4 + 8)
    assert [sorted(row) for row in found.tolist()] == expected


def propagating(hard=True, **options):
    learner = InvariancePropagation(dim=3, temperature=0.5, k=2, levels=2, positives=3, background=6, start=0.0, hard=hard, **options)
    net = built(learner, linear(), 9)
    return learner, net


@pytest.mark.parametrize("hard", [True, False])
def test_both_terms_are_those_of_a_loop(hard):
    learner, net = propagating(hard)
    net.neighbours.table.copy_(torch.randint(9, (9, 2), generator=torch.Generator().manual_seed(3)))
    batch = batch_of(7, 0, 3, 8, 1)
    loss = learner.loss(net, batch)
    s = batch.z.detach().double().numpy() @ net.bank.rows.double().numpy().T
    instance, propagated = [], []
    for row, i in zip(s, batch.index.tolist(), strict=True):
        e = np.exp(row / 0.5)
        others = sorted((j for j in range(9) if j != i), key=lambda j: -row[j])
        background = e[i] + sum(e[j] for j in others[:5])  # six with the example itself
        instance.append(-math.log(e[i] / background))
        first = net.neighbours.table[i].tolist()
        reached = [j for j in first + [m for node in first for m in net.neighbours.table[node].tolist()] if j != i]
        pulled = sorted(reached, key=lambda j: row[j], reverse=not hard)[:3]
        propagated.append(-math.log(sum(e[j] for j in pulled) / (background - e[i])))  # a sum inside the log, itself outside
    assert loss["instance"].item() == pytest.approx(np.mean(instance), abs=1e-5)
    assert loss["propagated"].item() == pytest.approx(0.6 * np.mean(propagated), abs=1e-5)


def test_the_least_similar_positives_cost_more_than_the_most_similar_ones():
    found = {}
    for hard in (True, False):
        learner, net = propagating(hard)
        net.neighbours.table.copy_(torch.randint(9, (9, 2), generator=torch.Generator().manual_seed(3)))
        found[hard] = learner.loss(net, batch_of(7, 0, 3, 8, 1))["propagated"].item()
    assert found[True] > found[False] + 0.01


def test_examples_not_seen_yet_have_no_positives_and_leave_the_loss_alone():
    learner, net = propagating()
    batch = batch_of(7, 0, 3, 8, 1)
    loss = learner.loss(net, batch)
    assert loss["propagated"].item() == 0 and torch.isfinite(loss["instance"])
    total(loss).backward()
    assert torch.isfinite(net.project[0].weight.grad).all()


def test_nothing_is_propagated_before_the_table_means_something():
    learner, net = propagating()
    learner.start, learner.steps_ = 0.5, 4
    net.neighbours.table.copy_(torch.randint(9, (9, 2), generator=torch.Generator().manual_seed(3)))
    said = []
    for _ in range(4):
        batch = batch_of(7, 0, 3, 8, 1)
        said.append(isinstance(learner.loss(net, batch), dict))
        learner.after_step(net, batch)
    assert said == [False, False, True, True]


def test_neighbours_are_of_ones_group_and_never_oneself(groups):
    X, y = groups
    learner = InvariancePropagation(epochs=20, batch_size=24, **SMALL_WALK).fit(X)
    table = learner.neighbours_.numpy()
    assert table.shape == (120, 2) and (table != np.arange(120)[:, None]).all()
    assert (y[table] == y[:, None]).mean() > 0.6  # by chance 0.2


# MoCo --------------------------------------------------------------------------------------------------------------
def stepped(learner, n=3, rows=6):
    """A net after n steps without training, so that its queue is filled, and the keys that went in."""
    net, keys = built(learner, linear(), 20), []
    for step in range(n):
        g = torch.Generator().manual_seed(step)
        batch = Batch([torch.randn(rows, 4, generator=g) for _ in range(2)], torch.arange(rows))
        learner.loss(net, batch)
        learner.after_step(net, batch)
        keys.append(torch.nn.functional.normalize(batch.keys, dim=1))
    return net, torch.cat(keys)


def test_plain_moco_asks_once_and_compares_with_the_queue_of_earlier_keys_alone():
    learner = MoCo(dim=3, hidden=None, queue=12, temperature=0.3)
    net, keys = stepped(learner)
    torch.testing.assert_close(net.queue.vectors, keys[-12:])
    batch = batch_of(views=2)
    loss = learner.loss(net, batch)
    q, k = net.project(net.encode(batch.views[0])), net.teacher(batch.views[1])
    q, k = (torch.nn.functional.normalize(z, dim=1).detach().double().numpy() for z in (q, k))
    e = np.exp(q @ keys[-12:].double().numpy().T / 0.3)
    own = np.exp((q * k).sum(axis=1) / 0.3)
    assert loss.item() == pytest.approx(-np.log(own / (own + e.sum(axis=1))).mean(), abs=1e-5)
    torch.testing.assert_close(net.queue.vectors, keys[-12:])  # the batch's own keys go in after the step
    learner.after_step(net, batch)
    torch.testing.assert_close(net.queue.vectors[-5:].double().numpy(), k, atol=1e-6, rtol=0)


def test_the_first_step_has_no_negatives_and_no_gradient():
    learner = MoCo(dim=3)
    net, batch = built(learner, linear(), 20), batch_of(views=2)
    loss = learner.loss(net, batch)
    loss.backward()
    assert loss.item() == 0 and not any(p.grad.any() for p in net.encode.parameters())


@pytest.mark.parametrize("options", [{}, {"dual_view": True}, {"dual_view": "keygrad"}])
def test_the_slow_network_gets_no_gradient_and_follows_after_the_step(options):
    learner = MoCo(dim=3, momentum=0.9, **options)
    net, _ = stepped(learner)
    learner.loss(net, batch_of(views=2)).backward()
    assert all(p.grad is None for p in net.teacher.parameters()) and any(p.grad.any() for p in net.encode.parameters())
    with torch.no_grad():
        net.encode.weight += 1
    before = net.teacher.copies[0].weight.clone()
    learner.after_step(net, Batch([], torch.arange(0), keys=torch.randn(2, 3)))
    torch.testing.assert_close(net.teacher.copies[0].weight, 0.9 * before + 0.1 * net.encode.weight)


def test_the_two_ways_of_asking_are_the_means_of_their_two_losses():
    batch = batch_of(views=2)
    v1, v2 = batch.views

    def loss(views, **options):
        learner = MoCo(dim=3, queue=12, **options)
        net, _ = stepped(MoCo(dim=3, queue=12))
        return learner.loss(net, Batch(views, batch.index)), net

    there, net = loss([v1, v2])
    both, _ = loss([v1, v2], dual_view=True)
    assert both.item() == pytest.approx((there + loss([v2, v1])[0]).item() / 2, abs=1e-6)
    q, k = net.project(net.encode(v1)), net.teacher(v2)
    q, k = (torch.nn.functional.normalize(z, dim=1) for z in (q, k))
    logits = torch.cat([(k * q).sum(dim=1, keepdim=True), k @ net.queue.vectors.T], dim=1) / 0.2
    back = -logits.log_softmax(dim=1)[:, 0].mean()
    keygrad, _ = loss([v1, v2], dual_view="keygrad")
    assert keygrad.item() == pytest.approx((there + back).item() / 2, abs=1e-5)


def test_keys_keep_their_order_and_are_normalised_in_parts_of_the_batch():
    class Normed(nn.Module):
        width = 4

        def __init__(self):
            super().__init__()
            self.norm, self.sizes = nn.BatchNorm1d(4), []

        def forward(self, x):
            self.sizes.append(len(x))
            return self.norm(x)

    x, keys = batch_of(n=16).views[0], {}
    for splits in (1, 4):
        learner = MoCo(dim=3, splits=splits)
        net = built(learner, Normed(), 20).train()
        keys[splits] = learner.keys(net, x)
        assert net.teacher.copies[0].sizes == [16 // splits] * splits
        whole = built(learner, Normed(), 20).train().teacher(x)
        assert torch.allclose(keys[splits], whole, atol=1e-5) == (splits == 1)
    net.eval()
    torch.testing.assert_close(learner.keys(net, x), net.teacher(x))  # without batch statistics only the order could differ


def test_what_is_left_out_are_the_easy_and_above_a_quantile_the_suspicious():
    similarity = torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    assert not left_out(similarity, None, None).any()
    for row, gone in zip(similarity.numpy(), left_out(similarity, 0.25, 0.95).numpy(), strict=True):
        order = np.argsort(-row)
        limit = np.quantile(row, 0.95)
        kept = {j for j in order[:10] if row[j] <= limit}
        assert set(np.flatnonzero(~gone)) == kept and len(kept) == 8
    assert not left_out(similarity, 1.0, 1.0).any()


def test_at_least_one_negative_stays_even_where_the_filter_would_take_all():
    similarity = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    gone = left_out(similarity, 0.1, 0.5)  # the single hardest lies above the median
    assert ((~gone).sum(dim=1) == 1).all()
    assert torch.equal((~gone).int().argmax(dim=1), similarity.argmax(dim=1))
    assert (~left_out(torch.zeros(2, 6), 0.5, 0.5)).any(dim=1).all()


def test_negatives_are_chosen_only_after_the_warm_up():
    batch, kept = batch_of(views=2), {}
    for when, steps in (("before", 100), ("after", 6)):
        learner = MoCo(dim=3, queue=18, hard_ratio=0.25, choose_after=0.5)
        net, _ = stepped(learner)
        learner.steps_ = steps  # of which three are over
        kept[when] = learner.loss(net, batch).item()
        plain = MoCo(dim=3, queue=18)
        plain.steps_ = steps
        kept["all"] = plain.loss(net, batch).item()
    assert kept["before"] == pytest.approx(kept["all"], abs=1e-6) and kept["after"] < kept["all"] - 1e-3


def test_the_preset_with_everything_off_is_moco(groups):
    X, _ = groups
    plain = MoCo(**QUICK, queue=48).fit(X)
    off = MoCoDualHard(**QUICK, queue=48, dual_view=False, hard_ratio=None, filter_quantile=None).fit(X)
    np.testing.assert_array_equal(off.transform(X), plain.transform(X))
    on = MoCoDualHard(**QUICK, queue=48).fit(X)
    assert not np.allclose(on.transform(X), plain.transform(X))


def test_labels_are_not_asked_for_and_a_net_has_the_parts_it_names(pictures):
    net = MoCo(**QUICK, queue=48).fit(pictures).net_
    assert isinstance(net, Net) and {"encode", "project", "teacher", "queue"} <= {name for name, _ in net.named_children()}
