"""Systems that learn from clusters of their own making: DeepCluster, SwAV, SeLa, ODC, and the part they share."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score

from unlabeled.errors import InputError
from unlabeled.learner import Batch, Source
from unlabeled.methods.clustering.deepcluster import DeepCluster
from unlabeled.methods.clustering.odc import OnlineDeepClustering
from unlabeled.methods.clustering.sela import SeLa
from unlabeled.methods.clustering.swav import SwAV
from unlabeled.parts import pseudo
from unlabeled.parts.assign import sinkhorn

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (96, 16, 16, 3), dtype=np.uint8)
# Four blobs of vectors: something that clusters can find.
KINDS = np.arange(240) % 4
BLOBS = (4 * np.eye(4, 12)[KINDS] + RNG.normal(0, 0.7, (240, 12))).astype(np.float32)
SMALL = {"encoder": "conv5", "epochs": 2, "batch_size": 32, "device": "cpu", "precision": "32-true"}
ON_BLOBS = {"epochs": 12, "batch_size": 60, "device": "cpu", "precision": "32-true", "lr": 1e-2}
METHODS = [
    SwAV(prototypes=8, dim=16, queue=32, **SMALL),
    SeLa(clusters=6, heads=2, **SMALL),
    OnlineDeepClustering(clusters=6, dim=16, hidden=16, centroid_interval=2, **SMALL),
    DeepCluster(clusters=6, **SMALL),
]
FITTED: dict[str, object] = {}


def fitted(learner):
    """Trained once for all tests of this file."""
    name = type(learner).__name__
    if name not in FITTED:
        FITTED[name] = type(learner)(**learner.get_params(deep=False)).fit(PICTURES)
    return FITTED[name]


def by_name(learner):
    return type(learner).__name__


# All four ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("learner", METHODS, ids=by_name)
def test_a_saved_model_gives_the_same_vectors_and_the_same_labels(learner, tmp_path):
    model = fitted(learner)
    again = type(model).load(model.save(tmp_path))
    assert np.array_equal(again.transform(PICTURES), model.transform(PICTURES))
    labels = (lambda m: m.labels_) if hasattr(model, "labels_") else (lambda m: m.assign(PICTURES))
    assert np.array_equal(labels(again), labels(model))


@pytest.mark.parametrize("learner", METHODS, ids=by_name)
def test_a_resumed_run_ends_like_a_whole_one(learner, tmp_path):
    whole = fitted(learner)
    model = type(learner)(**learner.get_params(deep=False))

    class Enough(Exception):
        pass

    def stop_in_the_second_epoch(progress):
        if progress.epoch == 2:
            raise Enough

    from unlabeled import learner as module

    before, module.CHECKPOINT_SECONDS = module.CHECKPOINT_SECONDS, 0.0
    try:
        with pytest.raises(Enough):
            model.fit(PICTURES, checkpoint=tmp_path, watch=stop_in_the_second_epoch)
        model.fit(PICTURES, checkpoint=tmp_path, resume=True)
    finally:
        module.CHECKPOINT_SECONDS = before
    assert np.allclose(model.transform(PICTURES), whole.transform(PICTURES), atol=1e-5)
    if hasattr(model, "labels_"):
        assert np.array_equal(model.labels_, whole.labels_)


@pytest.mark.parametrize(
    "learner",
    [
        SwAV(prototypes=12, dim=8, hidden=32, queue=0, **ON_BLOBS | {"epochs": 40}),
        OnlineDeepClustering(clusters=4, dim=8, hidden=32, min_cluster=5, centroid_interval=2, **ON_BLOBS),
        SeLa(clusters=4, heads=1, **ON_BLOBS),
        DeepCluster(clusters=4, pca=None, **ON_BLOBS),
    ],
    ids=by_name,
)
def test_clusters_of_blobs_are_the_blobs(learner):
    learner.fit(BLOBS)
    assert learner.loss_curve_[-1] < learner.loss_curve_[0] or isinstance(learner, DeepCluster)  # whose task changes every epoch
    labels = learner.labels_ if hasattr(learner, "labels_") else learner.assign(BLOBS)
    assert normalized_mutual_info_score(KINDS, labels.reshape(-1, len(BLOBS))[0]) > 0.5  # random labels: 0.02 to 0.1


@pytest.mark.parametrize("learner", METHODS[1:], ids=by_name)
def test_there_are_never_more_clusters_than_a_fifth_of_the_examples(learner):
    model = type(learner)(**learner.get_params(deep=False) | {"clusters": 1000, "epochs": 1}).fit(PICTURES[:40])
    assert model.labels_.max() < 8


@pytest.mark.parametrize(
    "learner",
    [
        DeepCluster(clusters=1),
        SeLa(clusters=2.5),
        SeLa(lam=0.0),
        SeLa(heads=0),
        OnlineDeepClustering(momentum=2.0),
        OnlineDeepClustering(centroid_interval=0),
        SwAV(queue=-1),
        SwAV(coded=0),
    ],
    ids=lambda learner: f"{type(learner).__name__}",
)
def test_settings_that_mean_nothing_are_refused(learner):
    with pytest.raises(InputError, match="wanted|must be"):
        learner.set_params(**SMALL).fit(PICTURES)


# The shared part --------------------------------------------------------------------------------------------------
def test_an_epoch_uniform_over_clusters_shows_each_equally_often_and_its_members_in_turn():
    labels = torch.tensor([0] * 90 + [3] * 7 + [5] * 3)
    order = pseudo.uniform_over(labels, 100, torch.Generator().manual_seed(1))
    shown = labels[order].bincount(minlength=6)
    assert sorted(shown[[0, 3, 5]].tolist()) == [33, 33, 34] and shown.sum() == 100
    times = order.bincount(minlength=100)
    assert times[:90].max() == 1  # a large cluster is cut, not repeated
    assert {int(t) for t in times[90:97]} <= {4, 5}
    assert {int(t) for t in times[97:]} <= {11, 12}
    other = pseudo.uniform_over(labels, 100, torch.Generator().manual_seed(2))
    assert not torch.equal(order, other)


def test_clustering_whitens_so_that_a_loud_axis_does_not_drown_the_others():
    rng = np.random.default_rng(0)
    quiet = rng.integers(0, 2, 400)
    Z = np.stack([1000 * rng.normal(size=400), 2 * quiet - 1 + 0.1 * rng.normal(size=400)], axis=1).astype(np.float32)
    assert normalized_mutual_info_score(quiet, pseudo.cluster(Z, 4, seed=0)) > 0.4
    assert normalized_mutual_info_score(quiet, pseudo.cluster(Z, 4, seed=0, pca=None)) < 0.1


def test_outputs_are_those_of_eval_mode_in_the_order_of_the_data_and_leave_the_mode_as_it_was():
    model = fitted(METHODS[3])
    net = model.net_.train()
    source = Source(model._items(PICTURES, reset=False), net.encode, model.inputs_)
    z = pseudo.outputs(net, net.encode, source)
    assert net.training and not z.requires_grad
    net.eval()
    assert np.allclose(z.numpy(), model.transform(PICTURES), atol=1e-6)


# DeepCluster ------------------------------------------------------------------------------------------------------
def test_deepcluster_starts_its_classifier_anew_with_every_clustering_and_only_then():
    model = DeepCluster(clusters=6, refresh=2, **SMALL | {"epochs": 0}).fit(PICTURES)
    source = Source(model._items(PICTURES, reset=False), model.net_.encode, model.inputs_)
    head, seen = model.net_.pseudo.classify, []
    for epoch in range(4):
        with torch.no_grad():
            head.weight.fill_(float(epoch + 1))
        model.before_epoch(model.net_, source)
        seen.append(bool((head.weight == epoch + 1).all()))
        assert seen[-1] or float(head.weight.detach().std()) == pytest.approx(0.01, rel=0.2)
    assert seen == [False, True, False, True]
    assert int(model.net_.pseudo.rounds) == 2


# SwAV -------------------------------------------------------------------------------------------------------------
def test_swav_loss_is_the_papers_pseudo_code_over_two_large_and_two_small_crops():
    model = SwAV(prototypes=5, dim=6, hidden=8, eps=0.05, queue=0, **SMALL | {"epochs": 0}).fit(PICTURES)
    net = model.net_.eval()  # eval: batch norm then treats every crop alike, however the crops are grouped
    views = [torch.rand(12, 3, size, size) for size in (16, 16, 8, 8)]
    found = model.loss(net, Batch(views, torch.arange(12)))
    with torch.no_grad():
        C = F.normalize(net.prototypes.weight, dim=1)
        scores = [F.normalize(net.project(net.encode(view)), dim=1) @ C.T for view in views]
        total = []
        for i in (0, 1):
            Q = (scores[i].double() / 0.05).exp().T  # [k, n], as in the paper
            Q /= Q.sum()
            for _ in range(3):
                Q /= Q.sum(dim=1, keepdim=True) * len(Q)
                Q /= Q.sum(dim=0, keepdim=True) * Q.shape[1]
            q = (Q * Q.shape[1]).T
            total += [-(q * (scores[v] / 0.1).log_softmax(1)).sum(1).mean() for v in range(4) if v != i]
    assert found.item() == pytest.approx(torch.stack(total).mean().item(), rel=1e-4)


def test_swav_codes_use_prototypes_alike_where_a_plain_softmax_does_not():
    model = SwAV(prototypes=5, dim=6, sinkhorn_iters=50, eps=0.05, queue=0, **SMALL | {"epochs": 0}).fit(PICTURES)
    scores = torch.rand(40, 5) + torch.tensor([1.0, 0, 0, 0, 0])
    code = model.codes(model.net_, 0, scores)
    assert torch.allclose(code.sum(dim=1), torch.ones(40)) and torch.allclose(code.sum(dim=0), torch.full((5,), 8.0), atol=0.01)
    plain = model.set_params(sinkhorn_iters=0).codes(model.net_, 0, scores)
    assert torch.allclose(plain.sum(dim=1), torch.ones(40)) and plain.sum(dim=0)[0] > 38


def test_swav_scores_its_queue_anew_and_gives_codes_to_the_batch_only():
    model = SwAV(prototypes=5, dim=6, queue=24, queue_start=0.0, **SMALL | {"epochs": 0}).fit(PICTURES)
    net, scores = model.net_, torch.rand(10, 5)
    alone = model.codes(net, 0, scores)
    net.queues[0].add(torch.randn(10, 6))
    assert torch.equal(model.codes(net, 0, scores), alone)  # not full yet
    net.queues[0].add(torch.randn(14, 6))
    first = model.codes(net, 0, scores)
    assert first.shape == (10, 5) and not torch.allclose(first, alone, atol=1e-3)
    with torch.no_grad():
        net.prototypes.weight.copy_(torch.randn(5, 6))
    assert not torch.allclose(model.codes(net, 0, scores), first, atol=1e-3)
    assert torch.equal(model.codes(net, 1, scores), alone)  # each view has a queue of its own


def test_swavs_prototypes_stay_of_unit_length_and_frozen_at_first():
    model = fitted(METHODS[0])
    assert np.allclose(np.linalg.norm(model.prototypes_, axis=1), 1, atol=1e-5)
    frozen = SwAV(**METHODS[0].get_params(deep=False) | {"freeze": 1.0}).fit(PICTURES)
    first = SwAV(**METHODS[0].get_params(deep=False)).untrained(PICTURES)
    assert np.allclose(frozen.prototypes_, first.prototypes_, atol=1e-6)
    assert not np.allclose(model.prototypes_, first.prototypes_, atol=1e-3)


def test_swav_needs_two_views():
    from unlabeled.views import ImageViews

    with pytest.raises(InputError, match="2 views or more, got 1"):
        SwAV(views=ImageViews(views=1), **SMALL).fit(PICTURES)


# SeLa -------------------------------------------------------------------------------------------------------------
def test_sela_labels_are_those_of_the_authors_scaling_and_nearly_equally_frequent():
    torch.manual_seed(0)
    log_p = (torch.randn(300, 6) + torch.tensor([3.0, 0, 0, 0, 0, 0])).log_softmax(dim=1)
    labels = SeLa().relabel(log_p)
    # sinkhornknopp.py, in numpy: alpha and beta until beta moves by less than a thousandth
    P = log_p.double().exp().numpy().T ** 25
    beta, step = np.ones((300, 1)) / 300, 1.0
    while step > 1e-6:
        alpha = (1 / 6) / (P @ beta)
        new = (1 / 300) / (alpha.T @ P).T
        step, beta = np.abs(beta / new - 1).mean(), new
    Q = alpha * P * beta.T
    assert np.allclose(Q.sum(axis=1), 1 / 6, rtol=1e-3) and np.allclose(Q.sum(axis=0), 1 / 300)
    assert (labels.numpy() == Q.argmax(axis=0)).mean() > 0.99
    assert labels.bincount(minlength=6).min() >= 45 and log_p.argmax(dim=1).bincount(minlength=6).max() > 200


def test_sela_relabels_more_often_at_the_start_and_never_with_0():
    def moments(relabels):
        model = SeLa(clusters=6, relabels=relabels, **SMALL | {"epochs": 0}).fit(PICTURES)
        model.set_params(epochs=16)
        source, at = Source(model._items(PICTURES, reset=False), model.net_.encode, model.inputs_), []
        model.relabel = lambda log_p: at.append(epoch) or log_p.argmax(dim=1)
        for epoch in range(16):  # noqa: B007  (the lambda above reads it)
            model.before_epoch(model.net_, source)
        return sorted(set(at))

    assert moments(4) == [0, 1, 4, 9]  # 16 (k / 4)^2
    assert moments(0) == []
    assert moments(1000) == list(range(16))


def test_selas_first_labels_are_balanced_and_differ_between_heads():
    model = SeLa(clusters=6, heads=3, relabels=0, **SMALL | {"epochs": 1}).fit(PICTURES)
    assert all((np.bincount(head) == 16).all() for head in model.labels_)
    assert normalized_mutual_info_score(*model.labels_[:2]) < 0.3


# ODC --------------------------------------------------------------------------------------------------------------
def blobs_in_memory(sizes=(30, 30, 30), dim=8, smallest=5, momentum=0.5):
    torch.manual_seed(0)
    kinds = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    rows = F.normalize(3 * F.one_hot(kinds, dim).float() + 0.3 * torch.randn(len(kinds), dim), dim=1)
    memory = pseudo.ClusterMemory(len(kinds), len(sizes), dim, momentum, smallest)
    memory.bank.rows.copy_(rows)
    memory.labels.copy_(kinds)
    memory.recentre()
    return memory, kinds


def test_odc_mixes_the_new_feature_into_the_memory_and_takes_the_nearest_centroids_label():
    memory, _ = blobs_in_memory(momentum=0.9)
    old, new = memory.bank.rows[:2].clone(), torch.randn(2, 8)
    new[0] = 5 * memory.centroids[2]  # example 0 now looks like the third blob
    memory.update(torch.tensor([0, 1]), new)
    expected = F.normalize(0.9 * F.normalize(new, dim=1) + 0.1 * old, dim=1)
    assert torch.allclose(memory.bank.rows[:2], expected, atol=1e-6)
    assert memory.labels[0] == 2
    distances = torch.cdist(memory.bank.rows, memory.centroids)
    assert memory.labels[1] == distances[1].argmin()


def test_odc_dissolves_a_small_cluster_and_fills_its_number_with_half_of_the_largest():
    memory, kinds = blobs_in_memory(sizes=(60, 30, 3))
    memory.bank.rows[:25] = F.normalize(memory.bank.rows[:25] + 2 * F.one_hot(torch.tensor(5), 8), dim=1)  # two halves, unequal
    memory.mend()
    assert (memory.sizes >= 5).all() and memory.sizes.sum() == 93
    assert len(memory.labels[:25].unique()) == 1 and len(memory.labels[25:60].unique()) == 1
    assert memory.labels[0] != memory.labels[30] and {0, 2} == set(memory.labels[:60].tolist())
    assert (memory.labels[60:90] == 1).all()  # the cluster that was neither small nor the largest is left alone
    assert set(memory.labels[kinds == 2].tolist()) <= {0, 1, 2}
    for k in range(3):
        expected = F.normalize(memory.bank.rows[memory.labels == k].sum(dim=0), dim=0)
        if k != 1:  # whose centroid waits for the next turn
            assert torch.allclose(memory.centroids[k], expected, atol=1e-5)


def test_odc_fills_an_empty_number_even_where_all_examples_are_alike():
    memory, _ = blobs_in_memory(sizes=(20, 20))
    memory.bank.rows.copy_(F.normalize(torch.ones(40, 8), dim=1))
    memory.labels.zero_()
    memory.mend()
    assert sorted(memory.sizes.tolist()) == [20, 20]


def test_odc_loss_weighs_classes_by_the_root_of_their_size_with_the_labels_from_before_the_step():
    model = OnlineDeepClustering(clusters=4, dim=8, hidden=8, **SMALL | {"epochs": 0}).fit(PICTURES)
    net = model.net_.eval()
    net.memory.labels.copy_(torch.tensor([0] * 60 + [1] * 30 + [2] * 6))
    index, view = torch.arange(0, 96, 5), torch.rand(20, 3, 16, 16)
    batch = Batch([view], index)
    found = model.loss(net, batch)
    weight = torch.tensor([60.0, 30, 6, 1]) ** -0.5
    weight *= 4 / weight.sum()
    expected = F.cross_entropy(net.classify(net.neck(net.encode(view))), net.memory.labels[index], weight=weight)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_odc_keeps_every_cluster_above_the_least_size():
    model = fitted(METHODS[2])
    assert np.bincount(model.labels_, minlength=6).min() >= 8
    assert model.assign(PICTURES).shape == (96,)


def test_sinkhorn_with_absorbed_sweeps_is_sinkhorn():
    torch.manual_seed(0)
    scores, mass = torch.randn(50, 4).double(), torch.tensor([5.0, 10, 15, 20]).double()
    for iters in (1, 7, 20, 33):
        every, absorbed = (sinkhorn(scores, 0.1, iters, col_mass=mass, absorb=absorb) for absorb in (1, 10))
        assert torch.allclose(every, absorbed, rtol=1e-9)
    with pytest.raises(ValueError, match="absorb"):
        sinkhorn(scores, absorb=0)
