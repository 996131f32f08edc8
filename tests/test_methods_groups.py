"""SCAN, MLC, G-SimCLR and decoupled uniformity with a prior: their formulas, their traps, and that they find groups."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import make_blobs

from unlabeled.errors import InputError
from unlabeled.evaluate.probes import clustering_scores, knn_accuracy
from unlabeled.learner import Batch, Net
from unlabeled.methods.clustering.mlc import MLC
from unlabeled.methods.contrastive.decoupled_uniformity import DecoupledUniformity, ridge
from unlabeled.methods.contrastive.g_simclr import GSimCLR, guided_order, kinds
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.methods.generative.autoencoder import AutoEncoder
from unlabeled.parts.losses import coding_rate, decoupled_uniformity, nt_xent
from unlabeled.parts.neighbours import nearest
from unlabeled.parts.selflabel import representatives, self_label_loss, sure_from
from unlabeled.parts.spectral import membership, nearest_subspace, spectral, subspaces
from unlabeled.saving import load_model
from unlabeled.tasks.cluster.scan import SCAN, scan_loss
from unlabeled.views import ImageViews, VectorViews
from unlabeled.views.stronger import stronger

QUICK = {"epochs": 2, "batch_size": 32}
FAST = {
    DecoupledUniformity: {"prior": "vae", "prior_epochs": 1, "prior_dim": 4},
    GSimCLR: {"coder_epochs": 1},
    MLC: {"n_clusters": 3, "dim": 16},
    SCAN: {"n_classes": 3, "neighbours": 5, "heads": 2, "pretext": SimCLR(epochs=1, batch_size=32)},
    AutoEncoder: {"variational": True, "latent": 8},
}


@pytest.fixture(scope="module")
def blobs():
    x, y = make_blobs(300, 10, centers=4, cluster_std=2.0, random_state=0)
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def pictures():
    """96 pictures of three kinds: a bright half at the left, at the top, or nowhere, in noise."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 90, (96, 16, 16, 3))
    x[0::3, :, :8] += 150
    x[1::3, :8] += 150
    return x.astype(np.uint8)


def unit_rows(n, d, seed=0):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


# All of them ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", list(FAST))
def test_a_saved_model_gives_the_same_vectors(system, pictures, tmp_path):
    fitted = system(**QUICK, **FAST[system]).fit(pictures)
    fitted.save(tmp_path)
    loaded = load_model(tmp_path)
    np.testing.assert_allclose(loaded.transform(pictures), fitted.transform(pictures), atol=1e-5)
    for name in ("labels_", "pseudo_labels_", "subspaces_", "neighbours_"):
        if hasattr(fitted, name):
            np.testing.assert_array_equal(getattr(loaded, name), getattr(fitted, name))
    if hasattr(fitted, "predict"):
        np.testing.assert_array_equal(loaded.predict(pictures), fitted.predict(pictures))


@pytest.mark.parametrize(("system", "options"), [(DecoupledUniformity, {}), (GSimCLR, {"coder_epochs": 1}), (AutoEncoder, {})])
def test_training_lowers_the_loss(system, options, pictures):
    curve = system(epochs=8, batch_size=32, **options).fit(pictures).loss_curve_
    assert curve[-1] < curve[0] - 0.01


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        (DecoupledUniformity(prior=np.zeros((5, 2))), "5 rows for 96"),
        (DecoupledUniformity(prior="gan"), '"vae" or an array'),
        (DecoupledUniformity(kernel="linear"), "kernel must be"),
        (DecoupledUniformity(sigma=0.0), "sigma"),
        (GSimCLR(clusters=10, batch_size=32), "10 clusters can't fill a batch of 32"),
        (GSimCLR(pseudo_labels=[0, 1, 2]), "for 96 examples: wanted one whole number"),
        (GSimCLR(batches="sorted"), '"guided" or "mask"'),
        (MLC(n_clusters=1), "n_clusters from 2"),
        (MLC(eta=0.0), "eta must be positive"),
        (SCAN(n_classes=40, batch_size=32, pretext=SimCLR(epochs=0)), "n_classes from 2 to the 32"),
        (SCAN(threshold=1.0, pretext=SimCLR(epochs=0)), "threshold"),
        (SCAN(pretext="simclr"), "pretext must be a Learner"),
    ],
)
def test_impossible_settings_are_refused_by_name(learner, words, pictures):
    with pytest.raises(InputError, match=words):
        learner.fit(pictures)


def test_an_auto_encoder_of_texts_is_refused(blobs):
    with pytest.raises(InputError, match="not texts"):
        AutoEncoder(epochs=1).fit(["one text", "another text", "and a third"])


# Decoupled uniformity ---------------------------------------------------------------------------------------------------


def decoupled(views, **options):
    """The loss of rows that stand for encoded views, and for their projections."""
    learner = DecoupledUniformity(**options)
    net = Net(encode=torch.nn.Identity(), project=torch.nn.Identity())
    if options.get("prior") is not None:
        net.register_buffer("prior", torch.as_tensor(options["prior"], dtype=torch.float32))
    return float(learner.loss(net, Batch(views, torch.arange(len(views[0])))))


def test_decoupled_uniformity_is_the_double_sum_over_unnormalised_means():
    views = [unit_rows(6, 4, seed) for seed in (1, 2, 3)]
    mu = sum(views) / 3
    pairs = [math.exp(-2 * float((mu[i] - mu[j]).square().sum())) for i in range(6) for j in range(6) if i != j]
    assert decoupled(views) == pytest.approx(math.log(sum(pairs) / 30), abs=1e-5)


def test_pulling_views_apart_raises_the_loss_which_unit_means_would_hide():
    axes = torch.eye(4)[:2]
    shift = 0.8 * torch.eye(4)[2:3]
    apart = [F.normalize(axes + shift, dim=1), F.normalize(axes - shift, dim=1)]  # the same directions of the means
    assert decoupled(apart) > decoupled([axes, axes]) + 0.5


def test_the_kernel_form_is_ridge_regression_of_the_means():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(7, 3))
    views = [unit_rows(7, 4, seed) for seed in (1, 2)]
    K = np.exp(-((w[:, None] - w[None]) ** 2).sum(-1) / 2)
    mu = np.linalg.inv(K + 0.01 * np.eye(7)) @ K @ ((views[0] + views[1]) / 2).numpy()
    assert decoupled(views, prior=w) == pytest.approx(float(decoupled_uniformity(torch.from_numpy(mu))), abs=1e-4)


def test_a_prior_that_tells_all_examples_apart_changes_little_and_one_of_equal_rows_makes_one_mean():
    views = [unit_rows(7, 4, seed) for seed in (1, 2)]
    assert decoupled(views, prior=1e3 * np.eye(7), lam=1e-4) == pytest.approx(decoupled(views), abs=1e-3)
    assert decoupled(views, prior=np.ones((7, 2))) == pytest.approx(0, abs=1e-3)


def test_weights_of_an_examples_own_kind_add_up_to_nearly_one():
    gram = torch.block_diag(torch.ones(3, 3), torch.ones(2, 2)).double()
    weights = ridge(gram, gram, 0.01)
    np.testing.assert_allclose(weights[:3, :3].sum(dim=1), 3 / 3.01, rtol=1e-5)
    assert float(weights[:3, 3:].abs().max()) < 1e-9


def test_sigma_is_the_median_distance_so_the_scale_of_the_prior_does_not_matter(blobs):
    x, y = blobs
    w = np.eye(4, dtype=np.float32)[y]
    a, b = (DecoupledUniformity(epochs=1, batch_size=64, prior=scale * w).fit(x).loss_curve_ for scale in (1, 100))
    assert a == pytest.approx(b, abs=1e-4)


def test_a_prior_teaches_what_the_views_cannot_show():
    x, y = make_blobs(300, 10, centers=4, cluster_std=5.0, random_state=0)
    x = np.concatenate([x, np.random.default_rng(0).normal(scale=30, size=(300, 60))], axis=1).astype(np.float32)
    scores = []
    for prior in (np.eye(4)[y[:200]], None):
        fitted = DecoupledUniformity(epochs=15, batch_size=64, prior=prior).fit(x[:200])
        scores.append(knn_accuracy(fitted.transform(x[:200]), y[:200], fitted.transform(x[200:]), y[200:]))
    assert scores[0] > scores[1] + 0.05


# G-SimCLR ---------------------------------------------------------------------------------------------------------------


def test_no_guided_batch_holds_a_label_twice_and_an_epoch_has_n_draws():
    labels = torch.from_numpy(np.random.default_rng(0).choice(12, 500, p=np.arange(1, 13) / 78))
    order = guided_order(labels, 10, torch.Generator().manual_seed(0))
    assert order.shape == (500,)
    assert all(len(set(batch)) == 10 for batch in labels[order].view(50, 10).tolist())


def test_a_label_is_gone_through_before_one_of_its_examples_comes_again():
    labels = torch.arange(40) % 4
    order = guided_order(labels, 4, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(40))


def test_large_labels_come_more_often_where_a_batch_leaves_room_for_it():
    labels = torch.tensor([0] * 300 + [1] * 100 + [2] * 100)
    drawn = torch.bincount(labels[guided_order(labels, 1, torch.Generator().manual_seed(0))]) / 500
    np.testing.assert_allclose(drawn, [0.6, 0.2, 0.2], atol=0.07)


def test_a_batch_larger_than_the_number_of_labels_is_refused():
    with pytest.raises(InputError, match="3 clusters can't fill a batch of 4"):
        guided_order(torch.arange(30) % 3, 4, torch.Generator())


def test_guided_training_keeps_its_promise_and_masked_training_leaves_pairs_out(pictures):
    guided = GSimCLR(epochs=1, batch_size=8, coder_epochs=1).fit(pictures)
    assert len(np.unique(guided.pseudo_labels_)) == 8
    order = guided.order(guided.net_, 96, torch.Generator().manual_seed(1)).numpy()
    assert all(len(set(batch)) == 8 for batch in guided.pseudo_labels_[order].reshape(-1, 8).tolist())
    z1, z2 = unit_rows(6, 4, 1), unit_rows(6, 4, 2)
    net = Net(encode=torch.nn.Identity(), project=torch.nn.Identity())
    net.register_buffer("labels", torch.tensor([0, 0, 1, 1, 2, 3]))
    found = float(GSimCLR(batches="mask").loss(net, Batch([z1, z2], torch.arange(6))))
    z, total = torch.cat([z1, z2]), 0.0
    for i in range(12):
        rivals = [k for k in range(12) if k != i and (k == (i + 6) % 12 or net.labels[k % 6] != net.labels[i % 6])]
        total -= math.log(math.exp(z[i] @ z[(i + 6) % 12] / 0.1) / sum(math.exp(z[i] @ z[k] / 0.1) for k in rivals))
    assert found == pytest.approx(total / 12, abs=1e-4)
    assert found < float(nt_xent(z1, z2, 0.1))


def test_pseudo_labels_of_an_auto_encoder_tell_kinds_of_pictures_apart(pictures):
    found = kinds(pictures, 3, seed=0, latent=8, epochs=15, encoder="conv5")
    assert clustering_scores(found, np.arange(96) % 3)["accuracy"] > 0.8


# MLC --------------------------------------------------------------------------------------------------------------------


def test_the_membership_is_doubly_stochastic_and_blind_to_signs():
    c = unit_rows(500, 64)
    g = membership(c, 0.175)
    np.testing.assert_allclose(g.sum(dim=0), 1, atol=1e-3)
    np.testing.assert_allclose(g.sum(dim=1), 1, atol=1e-3)
    flipped = c * torch.where(torch.rand(500, 1, generator=torch.Generator().manual_seed(0)) < 0.5, -1, 1)
    np.testing.assert_allclose(membership(flipped, 0.175), g, atol=1e-5)


class Rows(torch.nn.Module):
    width = 6

    def forward(self, x):
        return x


def test_the_second_stage_is_the_papers_objective_and_reaches_both_heads():
    learner = MLC(n_clusters=2, rank=2, dim=6, warm=0.0)
    learner.n_items_, learner.steps_ = 8, 10
    net = learner.build(Rows())
    net.features, net.clusters = torch.nn.Linear(6, 6), torch.nn.Linear(6, 6)
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    loss = learner.loss(net, Batch([x[:4], x[4:]], torch.arange(4)))
    loss.backward()
    assert net.clusters.weight.grad.abs().max() > 1e-6 and net.features.weight.grad.abs().max() > 1e-6
    with torch.no_grad():
        Z = F.normalize(net.features(x), dim=1).T.double()
        g = membership(F.normalize(net.clusters(x), dim=1), 0.175).double()
    n, d, eps2 = 8, 6, 0.1
    together = torch.logdet(torch.eye(d) + d / (n * eps2) * Z @ Z.T) / 2
    apart = 0.0
    for j in range(n):
        s = g[:, j].sum()
        apart += s / (2 * n) * torch.logdet(torch.eye(d) + d / (s * eps2) * Z @ torch.diag(g[:, j]) @ Z.T)
    assert float(loss.detach()) == pytest.approx(float(apart - together + 0.025 * g.square().sum()), abs=1e-4)


def test_the_cluster_head_starts_as_the_trained_feature_head(blobs):
    fitted = MLC(n_clusters=4, epochs=1, batch_size=64, warm=1.0).fit(blobs[0])
    for a, b in zip(fitted.net_.features.state_dict().values(), fitted.net_.clusters.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    other = MLC(n_clusters=4, epochs=1, batch_size=64, warm=0.0).fit(blobs[0])
    assert not torch.equal(other.net_.features[0].weight, other.net_.clusters[0].weight)


def test_mlc_finds_groups_and_gives_new_items_to_their_subspaces(blobs):
    x, y = blobs
    fitted = MLC(n_clusters=4, epochs=8, batch_size=64, lr=1e-3).fit(x[:200])
    assert clustering_scores(fitted.labels_, y[:200])["nmi"] > 0.9
    assert clustering_scores(fitted.predict(x[200:]), y[200:])["nmi"] > 0.9
    gram = np.einsum("kdr,kds->krs", fitted.subspaces_, fitted.subspaces_)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(8), gram.shape), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(fitted.transform(x[:20]), axis=1), 1, atol=1e-5)


def test_without_expansion_the_features_collapse(blobs):
    x = blobs[0]
    options = {"n_clusters": 4, "epochs": 8, "batch_size": 64, "lr": 1e-3}
    whole, collapsed = (coding_rate(torch.from_numpy(MLC(**options, expansion=e).fit_transform(x))) for e in (1.0, 0.0))
    assert float(collapsed) < float(whole) / 2


def test_spectral_clustering_cuts_blocks_apart():
    truth = np.repeat([0, 1, 2], [5, 9, 4])
    blocks = (truth[:, None] == truth) / np.bincount(truth)[truth][:, None]
    noisy = 0.9 * blocks + 0.1 / len(truth)
    assert clustering_scores(spectral(noisy.astype(np.float32), 3), truth)["accuracy"] == 1


def test_spectral_clustering_does_not_mind_how_much_weight_an_item_has():
    truth = np.repeat([0, 1, 2], [5, 9, 4])
    weight = np.linspace(0.1, 10, len(truth))
    affinity = ((truth[:, None] == truth) + 0.05) * weight[:, None] * weight
    assert clustering_scores(spectral(affinity.astype(np.float32), 3), truth)["accuracy"] == 1


def test_rows_go_to_the_subspace_that_they_were_drawn_from_and_small_clusters_leave_columns_empty():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(9, 6, generator=generator))[0]
    z = torch.cat([torch.randn(20, 3, generator=generator) @ axes[:, part].T for part in (slice(0, 3), slice(3, 6))])
    labels = torch.arange(2).repeat_interleave(20)
    found = subspaces(z, labels, 3, 3)
    for k in range(2):
        torch.testing.assert_close(found[k] @ found[k].T, axes[:, 3 * k : 3 * k + 3] @ axes[:, 3 * k : 3 * k + 3].T, atol=1e-4, rtol=0)
    assert torch.equal(nearest_subspace(z, found), labels) and not found[2].any()


# SCAN -------------------------------------------------------------------------------------------------------------------


def test_the_scan_loss_is_the_papers_with_the_entropy_of_the_batchs_mean():
    p, q = (torch.softmax(torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(s)), dim=2) for s in (0, 1))
    agree, spread = scan_loss(p, q)
    for head in range(2):
        each = [-math.log(float((p[i, head] * q[i, head]).sum())) for i in range(5)]
        mean = p[:, head].mean(dim=0)
        assert float(agree[head]) == pytest.approx(sum(each) / 5, abs=1e-5)
        assert float(spread[head]) == pytest.approx(-float((mean * mean.log()).sum()), abs=1e-5)


def test_sure_and_spread_items_cost_least_and_opposite_neighbours_stay_finite():
    sure = torch.eye(3)[:, None]
    agree, spread = scan_loss(sure, sure)
    assert float(agree) == pytest.approx(0, abs=1e-6) and float(spread) == pytest.approx(math.log(3), abs=1e-5)
    assert np.isfinite(float(scan_loss(sure, sure.roll(1, 0))[0]))


def test_self_labels_count_sure_items_only_and_every_class_alike():
    p = torch.tensor([[0.995, 0.005], [0.999, 0.001], [0.002, 0.998], [0.6, 0.4]])
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    ce = F.cross_entropy(logits, torch.tensor([0, 0, 1, 0]), reduction="none")
    expected = float(((ce[0] + ce[1]) / 2 + ce[2]) / 2)
    assert float(self_label_loss(logits, p, torch.full((2,), 0.99))) == pytest.approx(expected, abs=1e-6)
    assert float(self_label_loss(logits, p, torch.full((2,), 0.9999))) == 0


def test_where_hardly_anything_is_sure_the_surest_tenth_of_each_class_counts():
    p = torch.full((200, 2), 0.0)
    p[:, 0] = torch.cat([torch.linspace(0.5, 0.7, 100), torch.linspace(0.1, 0.4, 100)])
    p[:, 1] = 1 - p[:, 0]
    cut = sure_from(p, 0.99)
    assert [int((p[rows].max(dim=1).values > c).sum()) for rows, c in zip((slice(0, 100), slice(100, 200)), cut, strict=True)] == [10, 10]
    assert sure_from(torch.tensor([[0.999, 0.001], [0.001, 0.999]]), 0.99).tolist() == pytest.approx([0.99, 0.99])


def test_neighbours_are_the_nearest_by_cosine_without_the_item_itself_even_among_copies(blobs):
    x = np.concatenate([blobs[0][:60], np.repeat(blobs[0][:1], 8, axis=0)])
    fitted = SCAN(n_classes=2, neighbours=4, epochs=1, batch_size=32, heads=1).fit(x)
    assert not (fitted.neighbours_ == np.arange(len(x))[:, None]).any()
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    u = u - u.mean(axis=0)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    cosine = u @ u.T
    np.fill_diagonal(cosine, -2)
    wanted = np.sort(cosine, axis=1)[:, :-5:-1]
    np.testing.assert_allclose(np.take_along_axis(cosine, fitted.neighbours_, axis=1), wanted, atol=1e-4)


def test_nearest_rows_are_in_order_and_never_the_row_itself():
    x = unit_rows(40, 5).numpy()
    x[30:] = x[0]
    cosine = x @ x.T
    np.fill_diagonal(cosine, -2)
    found = nearest(x, 6)
    assert found.shape == (40, 6) and not (found == np.arange(40)[:, None]).any()
    np.testing.assert_allclose(np.take_along_axis(cosine, found, axis=1), -np.sort(-cosine, axis=1)[:, :6], atol=1e-6)
    assert nearest(x[:3], 6).shape == (3, 2)


def test_stronger_views_differ_more_from_what_they_show(blobs, pictures):
    def distance(views, x):
        shown = x if x.ndim == 2 else torch.from_numpy(np.moveaxis(x.numpy(), 3, 1).astype(np.float32) / 255)
        return float((views(x, torch.Generator().manual_seed(0))[0] - shown).square().mean())

    for x, usual in ((torch.from_numpy(blobs[0]), VectorViews(views=1)), (torch.from_numpy(pictures), ImageViews(views=1))):
        assert distance(stronger(usual), x) > 1.1 * distance(usual, x)
    assert stronger(len) is len


def test_scan_classifies_groups_it_was_never_told_and_shows_theirrepresentatives(blobs):
    x, y = blobs
    fitted = SCAN(n_classes=4, epochs=10, batch_size=64, heads=3).fit(x[:200])
    assert clustering_scores(fitted.labels_, y[:200])["nmi"] > 0.9
    p = fitted.predict_proba(x[200:])
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert clustering_scores(p.argmax(axis=1), y[200:])["nmi"] > 0.9
    shown = fitted.prototypes()
    assert (fitted.labels_[shown] == np.arange(4)).all()


def test_only_the_entropy_makes_scan_use_all_classes_of_a_cloud_without_groups():
    x = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
    used = []
    for weight in (5.0, 0.0):
        found = SCAN(n_classes=8, epochs=20, batch_size=64, heads=1, entropy_weight=weight, self_label=0.0).fit(x).labels_
        share = np.bincount(found, minlength=8) / len(found)
        used.append(math.exp(-(share[share > 0] * np.log(share[share > 0])).sum()))
    assert used[0] > 6 and used[1] < 4


def test_scan_starts_from_the_pretexts_weights_and_does_not_change_the_pretext(pictures):
    pretext = SimCLR(epochs=1, batch_size=32).fit(pictures)
    before = {name: value.clone() for name, value in pretext.net_.encode.state_dict().items()}
    start = SCAN(n_classes=3, epochs=0, pretext=pretext).fit(pictures)
    assert all(torch.equal(value, before[name]) for name, value in start.net_.encode.state_dict().items())
    SCAN(n_classes=3, **QUICK, pretext=pretext, heads=2).fit(pictures)
    assert all(torch.equal(value, before[name]) for name, value in pretext.net_.encode.state_dict().items())


def test_a_prototype_is_nearest_to_the_mean_of_the_surest_items():
    Z = np.array([[0.0], [1.0], [2.0], [50.0], [9.0]])
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    assert representatives(Z, p).tolist()[0] == 1
    assert representatives(Z[:3], p[:3]).tolist() == [1, -1]
