"""PixPro, OBoW, JigClu, BYOL, Barlow Twins, DINO and MAE: their formulas against loops, their traps, and that they learn."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from unlabeled import ImageViews, InputError, SimCLR, load_model
from unlabeled.evaluate.probes import knn_accuracy
from unlabeled.learner import Batch
from unlabeled.methods.generative.mae import MAE
from unlabeled.methods.pretext.jigclu import JigClu, PieceViews
from unlabeled.methods.siamese.barlow_twins import BarlowTwins
from unlabeled.methods.siamese.byol import BYOL
from unlabeled.methods.siamese.dino import DINO
from unlabeled.methods.siamese.obow import OBoW
from unlabeled.methods.siamese.pixpro import PixPro
from unlabeled.parts.by_size import by_size, encode_by_size
from unlabeled.parts.dense import propagate, same_place
from unlabeled.parts.losses import supcon
from unlabeled.parts.masked import normalised, patches
from unlabeled.parts.memory import Queue
from unlabeled.parts.words import VisualWords, cells
from unlabeled.views.bags import BagViews
from unlabeled.views.images import ImagePolicy, augment

QUICK = {"epochs": 2, "batch_size": 32}
IMAGE_ONLY = [(PixPro, {"encoder": "conv5"}), (OBoW, {"words": 64, "encoder": "conv5-dense"}), (JigClu, {"encoder": "conv5"})]
ANY = [(BYOL, {}), (BarlowTwins, {}), (DINO, {"prototypes": 64}), (MAE, {})]


@pytest.fixture(scope="module")
def pictures():
    """Digits on a 24 x 24 canvas in three channels, uint8 [96, 24, 24, 3]."""
    small = (load_digits().images[:96] * 15).astype(np.uint8)
    return np.repeat(small.repeat(3, axis=1).repeat(3, axis=2)[..., None], 3, axis=3)


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)


def begun(system, data, **options):
    """An estimator, its net in training mode and one batch of views of all of the data, as the loop would make them."""
    learner = system(**QUICK | options)
    items = learner._items(data, reset=True)
    net = learner._new_net(items).train()
    made = (learner.views or learner.default_views(items.kind))(torch.from_numpy(data), torch.Generator().manual_seed(0))
    views, more = made if isinstance(made, tuple) else (made, {})
    torch.manual_seed(0)
    return learner, net, Batch(views, torch.arange(len(data)), **more)


@pytest.mark.parametrize(("system", "options"), IMAGE_ONLY + ANY)
def test_training_goes_on_and_a_saved_model_gives_the_same_vectors(system, options, pictures, tmp_path):
    fitted = system(**QUICK | {"encoder": "conv5"} | options).fit(pictures)
    z = fitted.transform(pictures)
    assert len(fitted.loss_curve_) == 2 and np.isfinite(z).all() and z.std() > 0
    fitted.save(tmp_path)
    np.testing.assert_allclose(load_model(tmp_path).transform(pictures), z, atol=1e-5)


@pytest.mark.parametrize(("system", "options"), ANY)
def test_the_foundations_learn_from_vectors_too(system, options, vectors):
    z = system(**QUICK | options).fit(vectors).transform(vectors)
    assert z.shape[0] == 90 and np.isfinite(z).all() and z.std() > 0


@pytest.mark.parametrize(("system", "options"), IMAGE_ONLY)
def test_systems_for_pictures_say_so_when_they_get_vectors(system, options, vectors):
    with pytest.raises(InputError, match="the data are vectors"):
        system(**QUICK | options | {"encoder": "mlp"}).fit(vectors)


def test_views_of_one_size_pass_together_and_keep_their_order():
    views = [torch.full((2, 3, side, side), float(i)) for i, side in enumerate((8, 8, 4, 4, 4, 8))]
    together = by_size(views)
    assert [tuple(one.shape) for one in together] == [(4, 3, 8, 8), (6, 3, 4, 4), (2, 3, 8, 8)]
    assert torch.cat([one.mean(dim=(1, 2, 3)) for one in together]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_small_crops_do_not_move_the_statistics_that_whole_pictures_are_embedded_with():
    views = [torch.rand(8, 3, side, side, generator=torch.Generator().manual_seed(side)) for side in (16, 8)]
    net = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    alone = copy.deepcopy(net)
    both = encode_by_size(net, views)
    torch.testing.assert_close(both, torch.cat([alone(views[0]), copy.deepcopy(alone)(views[1])]))
    torch.testing.assert_close(net[0].running_mean, alone[0].running_mean)
    assert net[0].momentum == 0.1


# PixPro -------------------------------------------------------------------------------------------------------------
def test_bins_of_two_crops_match_where_a_loop_finds_them_within_reach():
    boxes = torch.tensor([[[0.1, 0.0, 0.7, 0.6], [0.9, 0.2, 0.3, 1.0]], [[0.0, 0.3, 0.5, 0.9], [0.0, 0.0, 0.3, 0.4]]])
    found = same_place(boxes[0], boxes[1], (2, 3), (4, 2), 0.7)
    for n in range(2):
        (ax, ay, bx, by), (cx, cy, dx, dy) = boxes[0, n].tolist(), boxes[1, n].tolist()
        reach = 0.7 * max(np.hypot((bx - ax) / 3, (by - ay) / 2), np.hypot((dx - cx) / 2, (dy - cy) / 4))
        for i in range(6):
            x, y = ax + (i % 3 + 0.5) * (bx - ax) / 3, ay + (i // 3 + 0.5) * (by - ay) / 2
            for j in range(8):
                u, v = cx + (j % 2 + 0.5) * (dx - cx) / 2, cy + (j // 2 + 0.5) * (dy - cy) / 4
                assert bool(found[n, i, j]) == (np.hypot(x - u, y - v) < reach)


def test_a_mirrored_crop_matches_its_mirrored_bins_and_only_those():
    flipped = ImagePolicy(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=1.0)
    _, mirrored = augment(torch.rand(2, 3, 8, 8), flipped)
    plain = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, 4)
    match = same_place(plain, mirrored, (3, 3), (3, 3), 0.3)
    expected = torch.eye(3)[[2, 1, 0]]
    assert torch.equal(match[0].float(), torch.kron(torch.eye(3), expected))


def test_crops_without_overlap_match_nowhere_and_add_nothing(pictures):
    learner, net, batch = begun(PixPro, pictures[:8], encoder="conv5")
    batch.boxes = [torch.tensor([[0.0, 0.0, 0.1, 0.1]]).expand(8, 4), torch.tensor([[0.8, 0.8, 1.0, 1.0]]).expand(8, 4)]
    assert float(learner.loss(net, batch)["pixels"]) == 0


def test_propagation_agrees_with_a_double_loop_and_ignores_opposite_pixels():
    x, g = torch.randn(2, 1, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    y = propagate(x, g, 2.0).flatten(2)[0]
    a, b = x.flatten(2)[0].T, g.flatten(2)[0].T
    for i in range(4):
        total = torch.zeros(4)
        for j in range(4):
            total += max(float(torch.cosine_similarity(a[i], a[j], dim=0)), 0) ** 2 * b[j] / b[j].norm()
        torch.testing.assert_close(y[:, i], total)
    opposite = torch.stack([torch.ones(4), -torch.ones(4)], dim=1)[None, :, None]
    torch.testing.assert_close(propagate(opposite, opposite, 2.0), opposite / 2)  # each hears itself alone


def test_pixpros_loss_and_pixel_contrast_agree_with_loops(pictures):
    for objective in ("consistency", "contrast"):
        learner, net, batch = begun(PixPro, pictures[:8], encoder="conv5-dense", objective=objective, propagation=False)
        maps = [net.pixels(net.encode.map(view)).flatten(2) for view in batch.views]
        keys = [net.teacher["pixels"](net.teacher["encode"](view)).flatten(2) for view in batch.views]
        grid, expected = (5, 5) if maps[0].shape[2] == 25 else (4, 4), 0.0
        for a, b in ((0, 1), (1, 0)):
            match = same_place(batch.boxes[a], batch.boxes[b], grid, grid, 0.7)
            cosine = torch.cosine_similarity(maps[a][:, :, :, None], keys[b][:, :, None, :], dim=1)
            if objective == "consistency":
                expected -= 2 * sum((c * m).sum() / (m.sum() + 1e-6) for c, m in zip(cosine, match, strict=True)) / 8
            else:
                e = (cosine / 0.3).exp()
                rows = [-torch.log(e[n, i][match[n, i]].sum() / e[n, i].sum()) for n, i in match.any(dim=2).nonzero()]
                expected += torch.stack(rows).mean() / 2
        torch.testing.assert_close(learner.loss(net, batch)["pixels"], expected, rtol=1e-3, atol=1e-4)


def test_pixpros_gradient_never_reaches_the_teacher_which_follows(pictures):
    learner, net, batch = begun(PixPro, pictures[:16], encoder="conv5", instance_weight=1.0)
    terms = learner.loss(net, batch)
    assert set(terms) == {"pixels", "instance"}
    sum(terms.values()).backward()
    assert all(p.grad is None for p in net.teacher.parameters()) and net.pixels[0].weight.grad.abs().sum() > 0
    before = net.teacher["instance"].copies[0][0].weight.clone()
    with torch.no_grad():
        net.instance[0].weight += 1
    learner.after_step(net, batch)
    assert not torch.equal(net.teacher["instance"].copies[0][0].weight, before)


def test_pixpro_gives_features_per_place_and_its_vectors_are_their_mean(pictures):
    fitted = PixPro(**QUICK, encoder="conv5").fit(pictures)
    maps = fitted.maps(pictures)
    assert maps.shape == (96, 128, 3, 3)
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), fitted.transform(pictures), atol=1e-5)
    with pytest.raises(InputError, match="no method map"):
        PixPro(**QUICK, encoder=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1728, 8))).fit(pictures)


# OBoW ---------------------------------------------------------------------------------------------------------------
def test_a_bag_is_the_largest_soft_assignment_of_any_cell_and_sums_to_one():
    local, rows = torch.rand(3, 5, 128), torch.rand(16, 128)
    for reduce in ("max", "mean"):
        words = VisualWords(16, 128, 15.0, reduce)
        words.add(rows)
        words.mu.fill_(4.0)
        bags, mu = words.bags(local)
        squared = ((local[:, :, None] - rows) ** 2).sum(dim=3)
        soft = torch.softmax(-15 * squared / 4.0, dim=2)
        bag = soft.max(dim=1).values if reduce == "max" else soft.mean(dim=1)
        torch.testing.assert_close(bags, bag / bag.sum(dim=1, keepdim=True), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(mu, squared.min(dim=2).values.mean(), rtol=1e-3, atol=1e-4)


def test_bags_do_not_depend_on_the_scale_of_the_features():
    local, rows, found = torch.rand(3, 5, 128), torch.rand(16, 128), []
    for scale in (1, 7):
        words = VisualWords(16, 128, 15.0)
        words.start(scale * local, scale * rows)
        found.append(words.bags(scale * local)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_cells_leave_the_border_out_and_the_fresh_word_is_a_mean_of_nine():
    maps = torch.randn(4, 2, 6, 5, generator=torch.Generator().manual_seed(3))
    local, fresh = cells(maps)
    assert torch.equal(local[1], maps[1, :, 1:-1, 1:-1].flatten(1).T)
    for n in range(4):
        means = [maps[n, :, i : i + 3, j : j + 3].mean(dim=(1, 2)) for i in (1, 2) for j in (1,)]
        assert any(torch.allclose(fresh[n], mean, atol=1e-6) for mean in means)


def test_the_vocabulary_starts_from_real_features_and_renews_itself_first_in_first_out(pictures):
    learner, net, batch = begun(OBoW, pictures[:20], words=50)
    loss = learner.loss(net, batch)
    first = net.words.vectors
    assert torch.equal(first, batch.fresh)
    assert first.shape == (20, 128) and bool((first >= 0).all()) and float(first.norm(dim=1).std()) > 0  # not normalised
    loss.backward()
    assert net.generate[0].weight.grad.abs().sum() > 0 and not net.words.rows.requires_grad
    for new in range(1, 4):
        batch.fresh = torch.full((20, 128), float(new))
        learner.after_step(net, batch)
        torch.testing.assert_close(net.words.vectors[-20:], batch.fresh)
    assert net.words.vectors[:, 0].tolist() == 10 * [1.0] + 20 * [2.0] + 20 * [3.0]
    frozen, net, batch = begun(OBoW, pictures[:20], words=50, renew=False)
    frozen.loss(net, batch)
    for _ in range(3):  # 20, 40, 50 and no more
        before = net.words.vectors
        frozen.after_step(net, batch)
    assert len(before) == 50 and torch.equal(net.words.vectors, before)


def test_obows_loss_is_the_divergence_summed_over_sizes_of_crop(pictures):
    learner, net, batch = begun(OBoW, pictures[:20], words=50)
    loss = learner.loss(net, batch)
    target = net.words.bags(cells(net.teacher(batch.views[0]))[0])[0]
    unit = torch.nn.functional.normalize
    weights, expected = unit(net.generate(unit(net.words.vectors, dim=1)), dim=1), 0.0
    for views in (batch.views[1:3], batch.views[3:]):
        said = torch.softmax(8 * net.encode(torch.cat(views)) @ weights.T, dim=1)
        every = target.repeat(len(views), 1)
        expected += (every * (every.clamp(min=1e-30).log() - said.log())).sum(dim=1).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-3)


def test_obow_gives_bags_and_words_and_refuses_maps_without_an_inside(pictures):
    fitted = OBoW(**QUICK, words=40).fit(pictures)
    bags = fitted.bag_of_words(pictures)
    assert bags.shape == (96, 40) and fitted.words_.shape == (40, 128)
    np.testing.assert_allclose(bags.sum(axis=1), 1, atol=1e-4)
    with pytest.raises(InputError, match="conv5-dense"):
        OBoW(**QUICK, encoder="conv5").fit(pictures)
    assert [view.shape[-1] for view in BagViews()(torch.from_numpy(pictures[:2]))] == [24, 18, 18, 12, 12, 12]


def test_a_queue_can_keep_vectors_as_they_came():
    queue = Queue(4, 2, unit=False)
    queue.add(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert queue.vectors.tolist() == [[3.0, 4.0], [0.0, 0.0]]


# JigClu -------------------------------------------------------------------------------------------------------------
def test_pieces_overlap_and_each_is_cropped_on_its_own():
    ramp = torch.arange(20.0).expand(3, 3, 20, 20) / 20
    whole = ImagePolicy(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0, grey=0.0)
    left, right = PieceViews(policy=whole)(ramp)[:2]
    assert left.shape == (3, 3, 10, 10)  # pixels 0 to 15 and 4 to 19, at half the side
    assert left[0, 0].mean() == pytest.approx(7.5 / 20, abs=0.01) and right[0, 0].mean() == pytest.approx(11.5 / 20, abs=0.01)
    cut = PieceViews(policy=ImagePolicy(scale=(0.36, 0.6), jitter=0.0, grey=0.0))(
        ramp[:1].repeat(64, 1, 1, 1), torch.Generator().manual_seed(0)
    )
    means = torch.stack([piece.mean(dim=(1, 2, 3)) for piece in cut])
    assert np.corrcoef(means[0], means[2])[0, 1] < 0.5  # pieces of the same columns, different crops


@pytest.mark.parametrize("mixed", [True, False])
def test_jigclu_knows_which_picture_and_place_every_cell_of_a_montage_has(pictures, mixed):
    """An encoder that tells a piece's own colour: labels have to follow it through the shuffle."""
    learner, net, batch = begun(JigClu, pictures[:6], encoder="conv5", mixed=mixed)
    n, seen = 6, {}
    batch.views = [torch.full((n, 3, 12, 12), 0.0) + (place * n + torch.arange(n)).view(n, 1, 1, 1) for place in range(4)]
    net.encode.map = lambda montage: seen.setdefault("montage", montage).mean(dim=1, keepdim=True).expand(-1, 128, -1, -1)
    net.locate = torch.nn.Module()
    net.locate.forward = lambda h: 100.0 * torch.nn.functional.one_hot((h[:, 0].round() // n).long(), 4).float()
    net.project = torch.nn.Module()
    net.project.forward = lambda h: torch.nn.functional.one_hot((h[:, 0].round() % n).long(), n).float()
    terms = learner.loss(net, batch)
    assert float(terms["location"]) < 1e-6
    by_hand = -np.log(np.exp(1 / 0.3) / (3 * np.exp(1 / 0.3) + 20))  # 3 partners at cosine 1, 20 others at 0, itself left out
    assert float(terms["cluster"]) == pytest.approx(by_hand, rel=1e-4)
    sources = [{int(v) % n for v in cells.unique()} for cells in seen["montage"]]
    assert seen["montage"].shape == (6, 3, 24, 24)
    assert all(len(s) == 1 for s in sources) if not mixed else any(len(s) > 1 for s in sources)


def test_jigclus_cluster_loss_leaves_a_piece_itself_out_of_the_denominator():
    z = torch.nn.functional.normalize(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    groups, total = torch.arange(8) % 2, 0.0
    for i in range(8):
        denominator = sum(torch.exp(z[i] @ z[k] / 0.3) for k in range(8) if k != i)
        partners = [j for j in range(8) if j != i and j % 2 == i % 2]
        total -= sum(torch.log(torch.exp(z[i] @ z[j] / 0.3) / denominator) for j in partners) / 3 / 8
    torch.testing.assert_close(supcon(z, groups, 0.3), total)


def test_jigclu_refuses_views_that_are_no_pieces(pictures):
    with pytest.raises(InputError, match="wants 4 pieces"):
        JigClu(**QUICK, encoder="conv5", views=ImageViews()).fit(pictures)
    with pytest.raises(InputError, match="grid"):
        JigClu(**QUICK, encoder="conv5", grid=1).fit(pictures)


# BYOL, Barlow Twins, SimCLR without negatives ------------------------------------------------------------------------
def test_byols_loss_is_the_squared_distance_of_unit_predictions_from_the_teachers_other_view(vectors):
    learner, net, batch = begun(BYOL, vectors)
    unit, (v1, v2) = torch.nn.functional.normalize, batch.views
    expected = 0.0
    for mine, other in ((v1, v2), (v2, v1)):
        p, t = unit(net.predict(net.project(net.encode(mine))), dim=1), unit(net.teacher(other), dim=1)
        expected += (p - t).square().sum(dim=1).mean() / 2
    loss = learner.loss(net, batch)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(p.grad is None for p in net.teacher.parameters())


def test_byols_teacher_moves_by_its_momentum(vectors):
    learner, net, batch = begun(BYOL, vectors, momentum=0.9)
    with torch.no_grad():
        net.project[0].weight += 1.0
    learner.after_step(net, batch)
    moved = net.teacher.copies[1][0].weight - (net.project[0].weight - 1.0)
    torch.testing.assert_close(moved, torch.full_like(moved, 0.1), atol=1e-5, rtol=1e-3)


def test_barlow_twins_loss_agrees_with_numpys_correlation(vectors):
    learner, net, batch = begun(BarlowTwins, vectors, dim=8, off_diagonal=0.1)
    loss = float(learner.loss(net, batch))
    a, b = (net.project(net.encode(view)).detach().numpy() for view in batch.views)
    c = np.corrcoef(a.T, b.T)[:8, 8:]
    assert loss == pytest.approx(((np.diag(c) - 1) ** 2).sum() + 0.1 * ((c**2).sum() - (np.diag(c) ** 2).sum()), rel=1e-2)


def test_without_negatives_simclr_collapses(vectors):
    def spread(negatives):
        fitted = SimCLR(epochs=60, batch_size=45, lr=1e-2, negatives=negatives).fit(vectors)
        with torch.no_grad():
            z = fitted.net_.project(fitted.net_.encode(torch.from_numpy(vectors)))
        unit = torch.nn.functional.normalize(z, dim=1)
        return float((unit @ unit.T).mean())

    assert spread(False) > spread(True) + 0.3


# DINO ---------------------------------------------------------------------------------------------------------------
def test_dinos_loss_agrees_with_a_loop_over_pairs_of_different_views(pictures):
    learner, net, batch = begun(DINO, pictures[:8], encoder="conv5", prototypes=20)
    net.centre.uniform_(-1, 1)
    net.eval()  # batch norm would tell crops taken together from crops taken one by one
    terms = []
    for i in range(2):
        teacher = torch.softmax((net.teacher(batch.views[i]) - net.centre) / 0.04, dim=1)
        for j in range(6):
            if i != j:
                student = torch.softmax(net.classify(net.project(net.encode(batch.views[j]))) / 0.1, dim=1)
                terms.append(-(teacher * student.log()).sum(dim=1).mean())
    assert len(terms) == 10
    torch.testing.assert_close(learner.loss(net, batch), torch.stack(terms).mean(), rtol=1e-4, atol=1e-4)


def test_dinos_centre_follows_what_the_teacher_said_and_stays_at_zero_without_centring(pictures):
    learner, net, batch = begun(DINO, pictures[:8], encoder="conv5", prototypes=20)
    learner.loss(net, batch)
    learner.after_step(net, batch)
    torch.testing.assert_close(net.centre, 0.1 * batch.seen.mean(dim=0))
    learner, net, batch = begun(DINO, pictures[:8], encoder="conv5", prototypes=20, centring=False)
    learner.loss(net, batch)
    learner.after_step(net, batch)
    assert not net.centre.any()


# MAE ----------------------------------------------------------------------------------------------------------------
def test_patches_are_cut_row_by_row_and_normalised_one_by_one():
    x = torch.rand(2, 3, 8, 8)
    cut = patches(x, 4)
    torch.testing.assert_close(cut[1, 2], x[1, :, 4:, :4].flatten())
    torch.testing.assert_close(normalised(cut).mean(dim=2), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised(cut).var(dim=2), torch.ones(2, 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("encoder", ["conv5", "vit"])
def test_hidden_patches_never_reach_the_encoder_and_only_they_count(encoder, pictures):
    learner, net, batch = begun(MAE, pictures[:4], encoder=encoder)
    net.eval()
    x, hidden = batch.views[0], torch.zeros(4, 36, dtype=torch.bool)
    hidden[:, ::2] = True
    visible = (~hidden).nonzero()[:, 1].view(4, 18)
    grid = hidden.view(4, 1, 6, 6).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    other = torch.where(grid, torch.rand_like(x), x)
    with torch.no_grad():
        one, two, three = (net.decode(net.encode, v, hidden, visible) for v in (x, other, 1 - x))
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    assert float((one - three).abs().max()) > 1e-3
    said, target = torch.rand(4, 36, 48), net.decode.target(x)
    net.decode.forward = lambda encode, x, hide, see: torch.where(hide[:, :, None], said, torch.nan)  # visible ones don't count
    assert torch.isfinite(learner.loss(net, Batch([x], torch.arange(4)))) and target.shape == said.shape


def test_mae_hides_the_share_it_was_told_to_and_without_a_share_is_an_autoencoder(pictures):
    for mask, count in ((0.75, 27), (0.0, 0), (0.999, 35)):
        learner, net, batch = begun(MAE, pictures[:4], encoder="conv5", mask=mask)
        seen = []
        inner = net.decode.forward
        net.decode.forward = lambda encode, x, hide, see, inner=inner, seen=seen: (seen.append(hide), inner(encode, x, hide, see))[1]
        learner.loss(net, batch)
        assert (seen[0].sum(dim=1) == count).all()


def test_mae_fills_in_a_feature_that_follows_from_another_and_not_an_independent_one():
    x = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    tied = np.stack([x[:, 0], x[:, 0], x[:, 0] * 5 + 3], axis=1)
    free = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
    options = {"epochs": 40, "batch_size": 100, "mask": 0.34, "lr": 5e-3}
    assert MAE(**options).fit(tied).loss_curve_[-1] < 0.3 < 0.8 < MAE(**options).fit(free).loss_curve_[-1]


def test_mae_measures_batch_norms_statistics_on_whole_pictures(pictures):
    fitted = MAE(epochs=40, batch_size=48, encoder="conv5", mask=0.9).fit(pictures)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    first = fitted.net_.encode.normalise  # before any weight: the colours of what it saw; crops shift them a little, patches would by 0.2
    torch.testing.assert_close(first.running_mean, x.mean(dim=(0, 2, 3)), atol=0.1, rtol=0)


def test_mae_says_what_it_cannot_take(pictures):
    with pytest.raises(InputError, match="texts"):
        MAE(**QUICK).fit(["one text", "and another"] * 8)
    with pytest.raises(InputError, match="share"):
        MAE(**QUICK, mask=1.0).fit(pictures)
    with pytest.raises(InputError, match="too large"):
        MAE(**QUICK, encoder="conv5", patch=16).fit(pictures)


# They learn ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("system", "options"), [one for one in ANY if one[0] is not DINO])  # whose target moves with it
def test_training_lowers_the_loss_on_vectors(system, options, vectors):
    curve = system(epochs=15, batch_size=30, **options).fit(vectors).loss_curve_
    assert np.mean(curve[-3:]) < np.mean(curve[:2])


def test_jigclu_tells_digits_apart_better_than_chance():
    digits = load_digits()
    X = (digits.images.repeat(2, axis=1).repeat(2, axis=2) * 15).astype(np.uint8)[:600]
    fitted = JigClu(encoder="conv5", epochs=4, batch_size=60).fit(X)
    Z = fitted.transform(X)
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    assert knn_accuracy(Z[:400], digits.target[:400], Z[400:], digits.target[400:600]) > 0.3
