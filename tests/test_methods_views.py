"""Views that are searched or standardised, and what the temperature of a contrastive loss does."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from unlabeled.data import as_items
from unlabeled.errors import InputError
from unlabeled.evaluate import domain_purity
from unlabeled.evaluate.selfaugment import BASE, OPERATIONS, SelfAugment, random_policy, rotation_score, sub_policy
from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.parts.losses import nt_xent, unit
from unlabeled.saving import load_model
from unlabeled.studies.contrastive_temperature import (
    Contrast,
    _two_views,
    contrastive,
    dials,
    entropy,
    gradients,
    penalties,
    projections,
    temperature_study,
)
from unlabeled.tasks.adapt.bss import BatchStyleStandardization, swap_style
from unlabeled.views import ImagePolicy, ImageViews
from unlabeled.views.images import WHOLE, MixedViews, _Random, _warp, augment, autocontrast, equalize, posterize


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def policy(**changes):
    return ImagePolicy(**{**vars(WHOLE), **changes})


def view_of(pictures, seed=0, **changes):
    return augment(pictures, policy(**changes), generator=seeded(seed))[0]


@pytest.fixture
def pictures():
    return torch.rand(6, 3, 12, 12, generator=seeded(1))


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    images = np.repeat(np.repeat((bunch.images * 15.9).astype(np.uint8), 2, axis=1), 2, axis=2)[..., None]
    return images[:300], bunch.target[:300]


# Operations of views --------------------------------------------------------------------------------------------------
def test_operations_that_are_off_leave_views_and_the_random_stream_as_they_were_before_there_were_any(pictures):
    sized = dict(shear_size=0.9, translate_size=0.9, rotate_size=90.0, sharpness=0.1, bits=1)
    for off in ({}, sized):
        generator = seeded(4)
        view = augment(pictures, ImagePolicy(blur=0.5, solarize=0.5, cutout=0.5, **off), generator=generator)[0]
        before = [0.3476, 0.1986, 0.3853, 0.5193, 0.633, 0.2839]  # from the code of that day
        assert view.mean(dim=(1, 2, 3)).tolist() == pytest.approx(before, abs=2e-4)
        assert torch.rand((), generator=generator).item() == pytest.approx(0.8905186653137207)


def test_translate_moves_the_picture_by_up_to_the_asked_share():
    dot = torch.zeros(200, 1, 21, 21)
    dot[:, :, 10, 10] = 1
    view = view_of(dot, translate=1.0, translate_size=0.3)
    place = torch.arange(21.0) - 10
    mass = view.sum(dim=(2, 3)).clamp(min=1e-6)[:, 0]
    across, down = (view[:, 0].sum(dim=1) @ place) / mass, (view[:, 0].sum(dim=2) @ place) / mass
    for moved in (across, down):
        assert 5 < moved.abs().max() <= 6.5 and moved.mean().abs() < 1
    assert np.corrcoef(across, down)[0, 1] < 0.5


def test_rotate_keeps_what_has_no_direction_and_turns_what_has():
    y, x = torch.meshgrid(torch.arange(21.0) - 10, torch.arange(21.0) - 10, indexing="ij")
    disc = torch.exp(-(x**2 + y**2) / 20).expand(8, 1, 21, 21)
    middle = (slice(None), slice(None), slice(3, 18), slice(3, 18))  # away from the mirrored corners
    torch.testing.assert_close(view_of(disc, rotate=1.0, rotate_size=45.0)[middle], disc[middle], atol=0.02, rtol=0)
    bar = torch.exp(-(y**2) / 2).expand(50, 1, 21, 21)
    turned = view_of(bar, rotate=1.0, rotate_size=30.0)[middle][:, 0]
    slope = [np.polyfit(np.arange(15), p.argmax(dim=0).numpy(), 1)[0] for p in turned]
    angle = np.degrees(np.arctan(slope))
    assert 20 < np.abs(angle).max() < 33 and angle.min() < -5 and angle.max() > 5


def test_rotation_of_a_picture_that_is_not_square_does_not_squeeze_it():
    y, x = torch.meshgrid(torch.arange(20.0) - 9.5, torch.arange(40.0) - 19.5, indexing="ij")
    disc = torch.exp(-(x**2 + y**2) / 20).expand(8, 1, 20, 40)
    turned = _warp(disc, policy(rotate=1.0, rotate_size=45.0), _Random(8, disc.device, seeded()))
    inside = (x**2 + y**2 < 81).expand_as(disc)  # away from the mirrored corners
    torch.testing.assert_close(turned[inside], disc[inside], atol=0.03, rtol=0)


def test_shear_slants_along_one_axis_only():
    y, x = torch.meshgrid(torch.arange(21.0) - 10, torch.arange(21.0) - 10, indexing="ij")
    cross = torch.maximum(torch.exp(-(x**2)), torch.exp(-(y**2))).expand(40, 1, 21, 21)
    view = view_of(cross, shear=1.0, shear_size=0.5)[:, 0]
    upright_kept = (view[:, 2, 10] - 1).abs() < 0.1
    level_kept = (view[:, 10, 2] - 1).abs() < 0.1
    assert (upright_kept | level_kept).all() and not upright_kept.all() and not level_kept.all()


def test_sharpness_softens_below_one_and_sharpens_above_and_keeps_flat_pictures(pictures):
    calm = 0.4 + 0.2 * pictures.repeat(10, 1, 1, 1)
    spread = view_of(calm, sharpen=1.0, sharpness=0.9).std(dim=(1, 2, 3)) / calm.std(dim=(1, 2, 3))
    assert spread.min() < 0.7 and spread.max() > 1.3
    flat = torch.full((3, 3, 8, 8), 0.3)
    torch.testing.assert_close(view_of(flat, sharpen=1.0), flat)


def test_autocontrast_and_equalize_are_what_numpy_gives_channel_by_channel(pictures):
    dim = 0.2 + 0.3 * pictures
    stretched, spread = autocontrast(dim), equalize(dim)
    for n in range(len(dim)):
        for c in range(3):
            channel = dim[n, c].numpy()
            expected = (channel - channel.min()) / (channel.max() - channel.min())
            np.testing.assert_allclose(stretched[n, c], expected, atol=1e-5)
            levels = np.round(channel * 255).astype(int)
            below = np.cumsum(np.bincount(levels.ravel(), minlength=256))
            first = below[levels.min()]
            np.testing.assert_allclose(spread[n, c], (below[levels] - first) / (levels.size - first), atol=1e-6)
    flat = torch.full((2, 3, 4, 4), 0.3)
    assert torch.equal(autocontrast(flat), flat) and torch.equal(equalize(flat), flat)


def test_posterize_keeps_the_high_bits(pictures):
    levels = (pictures * 255).round().int()
    torch.testing.assert_close((posterize(pictures, 3) * 255).round().int(), levels & 0b11100000)
    torch.testing.assert_close(view_of(pictures, invert=1.0), 1 - pictures, atol=1e-5, rtol=0)


def test_together_gives_all_pictures_of_a_view_the_same_colours():
    same = torch.rand(1, 3, 8, 8, generator=seeded()).repeat(5, 1, 1, 1)
    colours = dict(jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.5, solarize=0.5)
    apart, alike = (view_of(same, seed=3, together=together, **colours) for together in (False, True))
    assert (apart - apart[:1]).abs().max() > 0.1
    torch.testing.assert_close(alike, alike[:1].expand_as(alike))
    again = view_of(same, seed=4, together=True, **colours)
    assert (alike - again).abs().max() > 0.05


def test_bits_and_probabilities_out_of_range_are_refused():
    with pytest.raises(ValueError, match="bits"):
        ImagePolicy(bits=0)
    with pytest.raises(ValueError, match="shear is a probability"):
        ImagePolicy(shear=1.2)


def test_mixed_views_give_each_picture_one_of_the_policies_and_keep_the_order():
    ramp = torch.linspace(0.1, 0.4, 64)[:, None, None, None].expand(64, 1, 16, 16)
    views = MixedViews((policy(invert=1.0), policy()), size=16)(ramp, seeded())
    assert len(views) == 2
    for view in views:
        kept, inverted = ((view - one).abs().amax(dim=(1, 2, 3)) < 1e-4 for one in (ramp, 1 - ramp))
        assert (kept ^ inverted).all() and 15 < kept.sum() < 49
    assert not torch.equal(*views)
    with pytest.raises(ValueError, match="policies"):
        MixedViews(())


# Batch styles ---------------------------------------------------------------------------------------------------------
def test_swapping_styles_is_the_exchange_of_the_square_in_the_middle_of_the_shifted_amplitudes():
    for height, width in ((16, 16), (15, 12)):
        images = 0.3 + 0.2 * torch.rand(4, 3, height, width, generator=seeded())
        donors, share = torch.tensor([2, 2, 0, 1]), 0.2
        spectra = np.fft.fftshift(np.fft.fft2(images.numpy()), axes=(2, 3))
        amplitude, phase = np.abs(spectra), np.angle(spectra)
        rows, columns = (
            slice(size // 2 - half, size // 2 + half + 1) for size in (height, width) for half in [int(math.sqrt(share) * size / 2)]
        )
        mixed = amplitude.copy()
        mixed[:, :, rows, columns] = amplitude[donors][:, :, rows, columns]
        expected = np.fft.ifft2(np.fft.ifftshift(mixed * np.exp(1j * phase), axes=(2, 3)))
        assert np.abs(expected.imag).max() < 1e-6  # a square that isn't symmetric would leave an imaginary part
        np.testing.assert_allclose(swap_style(images, donors, torch.full((4,), share)), expected.real.clip(0, 1), atol=1e-5)


def test_no_share_leaves_pictures_alone_and_all_of_it_takes_every_amplitude(pictures):
    calm = 0.4 + 0.2 * pictures
    donors = torch.zeros(6, dtype=torch.long)
    torch.testing.assert_close(swap_style(calm, donors, torch.zeros(6)), calm, atol=1e-5, rtol=0)
    amplitude = torch.fft.fft2(swap_style(calm, donors, torch.ones(6))).abs()
    within = amplitude[:, :, 1:, 1:]  # up to what clamping costs
    torch.testing.assert_close(within, within[:1].expand_as(within), atol=0.2, rtol=0.3)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        swap_style(calm - 0.5, donors, torch.zeros(6))  # normalised pictures are refused


def test_all_pictures_of_a_view_get_one_style_and_each_view_its_own():
    tint = torch.rand(8, 3, 1, 1, generator=seeded(2)) * 0.5 + 0.25
    images = (tint + 0.1 * torch.randn(8, 3, 16, 16, generator=seeded(3))).clamp(0, 1)
    whole = ImageViews(policy(), size=16)
    for reference, spread in (("batch", 0.02), ("image", None)):
        views = BatchStyleStandardization(views=whole, reference=reference)(images, seeded(5))
        assert len(views) == 2
        means = [view.mean(dim=(2, 3)) for view in views]
        if spread:
            assert all(mean.std(dim=0).max() < spread for mean in means)
            assert (means[0].mean(dim=0) - means[1].mean(dim=0)).abs().max() > 0.03  # two references, not one for both
        else:
            assert all(mean.std(dim=0).max() > 0.05 for mean in means)


def test_where_colour_is_the_content_standardising_takes_it_away():
    tint = torch.rand(8, 3, 1, 1, generator=seeded(2)).expand(8, 3, 12, 12)
    view = BatchStyleStandardization(views=ImageViews(policy(), size=12))(tint, seeded())[0]
    torch.testing.assert_close(view, view[:1].expand_as(view), atol=1e-5, rtol=0)


def test_styles_wrap_small_views_boxes_and_mixed_policies():
    images = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8, generator=seeded())
    views, more = BatchStyleStandardization(views=ImageViews(local=2, boxes=True))(images, seeded())
    assert [view.shape[-1] for view in views] == [20, 20, 10, 10] and [box.shape for box in more["boxes"]] == [(5, 4)] * 4
    mixed = BatchStyleStandardization(views=MixedViews((policy(), BASE), views=3))(images, seeded())
    assert len(mixed) == 3


def test_impossible_styles_are_refused():
    for wrong in (dict(r=(0.5, 0.2)), dict(r=(0.0, 1.5)), dict(reference="each"), dict(views=lambda x, g: [x])):
        with pytest.raises(ValueError):
            BatchStyleStandardization(**wrong)


def test_a_learner_takes_batch_styles_and_loads_to_the_same_vectors(digits, tmp_path):
    images, _ = digits
    learner = SimCLR(encoder="conv5", views=BatchStyleStandardization(), epochs=4, batch_size=100).fit(images)
    assert learner.loss_curve_[-1] < learner.loss_curve_[0]
    learner.save(tmp_path / "model")
    np.testing.assert_allclose(load_model(tmp_path / "model").transform(images), learner.transform(images), atol=1e-5)


def test_domain_purity_is_a_double_loop_over_neighbours_and_one_where_domains_lie_apart():
    rng = np.random.default_rng(0)
    Z, domains = rng.normal(size=(40, 5)), rng.integers(0, 2, 40)
    U = Z.astype(np.float32) - Z.astype(np.float32).mean(axis=0)
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    same = [domains[j] == domains[i] for i in range(40) for j in sorted(set(range(40)) - {i}, key=lambda j: -(U[i] @ U[j]))[:7]]
    assert domain_purity(Z, domains, k=7) == pytest.approx(np.mean(same))
    assert domain_purity(Z + 50 * domains[:, None], domains, k=7) == 1.0
    with pytest.raises(InputError, match="one source each"):
        domain_purity(Z, domains[:5])
    with pytest.raises(InputError, match="k is 40"):
        domain_purity(Z, domains, k=40)


# SelfAugment ----------------------------------------------------------------------------------------------------------
def test_every_operation_changes_a_picture_and_leaves_the_base_alone(pictures):
    smooth = torch.nn.functional.interpolate(pictures, size=(24, 24), mode="bilinear") * 0.8 + 0.1
    still = policy(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    for name in OPERATIONS:
        changed = augment(smooth, sub_policy(still, [(name, 1.0, 0.9)]), generator=seeded())[0]
        assert (changed - smooth).abs().max() > 0.02, name
    both = sub_policy(BASE, [("brightness", 0.3, 1.0), ("hue", 0.7, 1.0)])
    assert (both.jitter, both.brightness, both.hue, both.contrast) == (0.7, 0.9, 0.5, 0.0) and both.scale == BASE.scale
    with pytest.raises(InputError, match="no operation is called 'warp'"):
        sub_policy(BASE, [("warp", 1.0, 1.0)])


def test_random_policies_repeat_with_the_seed_and_never_name_an_operation_twice_in_one_sub_policy():
    drawn = [random_policy(np.random.default_rng(seed), 200, 2) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(a[0] != b[0] for a, b in drawn[0]) and {op for one in drawn[0] for op, _, _ in one} == set(OPERATIONS)
    assert all(0.2 <= p <= 1 and 0 <= m <= 1 for one in drawn[0] for _, p, m in one)


@pytest.mark.parametrize("objective", ["minmax", "rotation", "icl"])
def test_scores_are_the_papers_three_objectives(objective):
    tried = [{"rotation": r, "icl": i} for r, i in ((1.0, 4.0), (2.0, 2.0), (3.0, 6.0))]
    SelfAugment(objective=objective)._scored(tried)
    expected = {"minmax": [0.5 - 1, 1 - 0.5, 1.5 - 1.5], "rotation": [0.5, 1, 1.5], "icl": [-1, -0.5, -1.5]}
    assert [trial["score"] for trial in tried] == pytest.approx(expected[objective])


def test_the_search_keeps_the_best_trials_of_each_fold_and_never_tries_on_what_it_trained_on(digits):
    images, _ = digits
    learner, seen = SimCLR(encoder="conv5", epochs=3, batch_size=50), []

    def fit(model, X):
        seen.append((model.views, X))
        return model.fit(X)

    search = SelfAugment(learner=learner, folds=2, trials=6, best=2, sub_policies=3, held=60)
    views = search.search(images, fit=fit)
    assert [len(X) for _, X in seen] == [150, 150] and all(given == ImageViews(BASE) for given, _ in seen)
    a, b = ({row.tobytes() for row in X} for _, X in seen)
    assert len(a & b) < 5  # digits repeat now and then; the folds themselves have none in common
    best = [one for fold in (0, 1) for one in sorted((t for t in search.trials_ if t["fold"] == fold), key=lambda t: t["score"])[:2]]
    assert views.policies == tuple(sub_policy(BASE, operations) for trial in best for operations in trial["policy"])
    assert len(views.policies) == 12 and learner.views is None
    assert SimCLR(views=views, encoder="conv5", epochs=1, batch_size=50).fit(images).transform(images).shape == (300, 128)


def test_the_rotation_score_is_far_from_chance_for_digits_and_at_chance_for_noise(digits):
    images, _ = digits
    net = SimCLR(encoder="conv5", epochs=2, batch_size=50).fit(images)
    assert rotation_score(net, images) > 0.6
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    assert rotation_score(net, noise) < 0.36


def test_pictures_without_an_upright_side_are_warned_of():
    noise = np.random.default_rng(0).integers(0, 256, (120, 16, 16, 1), dtype=np.uint8)
    with pytest.warns(UserWarning, match="no upright side"):
        SelfAugment(learner=SimCLR(encoder="conv5", epochs=1, batch_size=30), folds=2, trials=1, best=1).search(noise)


def test_a_search_that_cannot_be_is_refused(digits):
    images, _ = digits
    for wrong in (dict(objective="labels"), dict(folds=1), dict(trials=0)):
        with pytest.raises(InputError):
            SelfAugment(**wrong).search(images)
    with pytest.raises(InputError, match="square"):
        SelfAugment(learner=SimCLR(encoder="conv5", epochs=0), folds=2).search(np.zeros((20, 16, 20, 1), np.uint8))


# The temperature ------------------------------------------------------------------------------------------------------
def cosines(n=12, d=4, seed=0):
    a, b = unit(torch.randn(2, n, d, generator=seeded(seed))).double()
    return a @ b.T


@pytest.mark.parametrize("tau", [0.05, 0.3, 2.0])
def test_the_closed_form_of_the_gradients_is_what_autograd_gives(tau):
    s = cosines().requires_grad_()
    contrastive(s, tau).sum().backward()
    torch.testing.assert_close(gradients(s.detach(), tau), s.grad, atol=1e-9, rtol=1e-6)
    torch.testing.assert_close(s.grad.sum(dim=1), torch.zeros(12, dtype=torch.double), atol=1e-9, rtol=0)  # pull equals push


def test_penalties_are_the_share_of_each_negatives_gradient_and_spread_out_with_tau():
    s, spread = cosines(), []
    for tau in (0.05, 0.1, 0.3, 0.7, 2.0):
        push = gradients(s, tau).fill_diagonal_(0)
        torch.testing.assert_close(penalties(s, tau), push / push.sum(dim=1, keepdim=True))
        spread.append(entropy(penalties(s, tau)))
    assert (torch.stack(spread).diff(dim=0) > 0).all()
    assert entropy(penalties(s, 1e-7)).max() < 1e-3 and entropy(penalties(s, 1e4)).min() > math.log(11) - 1e-3


def test_in_the_limit_of_a_small_tau_only_the_hardest_negative_counts_as_in_a_triplet_of_margin_zero():
    s = cosines()
    hardest = (s - torch.eye(12) * 10).max(dim=1).values
    torch.testing.assert_close(1e-3 * contrastive(s, 1e-3), (hardest - s.diagonal()).clamp(min=0), atol=1e-2, rtol=0)


@pytest.mark.parametrize("hardest", [None, 0.3])
def test_an_infinite_temperature_is_the_simple_loss_by_a_double_loop_and_the_limit_of_large_ones(hardest):
    z1, z2 = torch.randn(2, 6, 4, generator=seeded(1)).requires_grad_()
    z = unit(torch.cat([z1, z2]))
    total = 0
    for i in range(12):
        partner = (i + 6) % 12
        negatives = sorted((float(z[i].detach() @ z[j].detach()) for j in range(12) if j not in (i, partner)), reverse=True)
        negatives = negatives[: math.ceil(10 * (hardest or 1))]
        total += sum(negatives) / len(negatives) - float(z[i].detach() @ z[partner].detach())
    assert nt_xent(z1, z2, math.inf, hardest=hardest).item() == pytest.approx(total / 12, abs=1e-5)
    limit, near = (torch.autograd.grad(tau * nt_xent(z1, z2, tau if tau > 1 else math.inf, hardest=hardest), z1)[0] for tau in (1, 300))
    assert torch.nn.functional.cosine_similarity(limit.flatten(), near.flatten(), dim=0) > 0.999


def test_the_study_gives_a_row_for_each_loss_tau_and_seed_and_labels_never_reach_a_fit(digits):
    images, y = digits
    settings = dict(encoder="conv5", epochs=2, batch_size=100)
    rows = temperature_study(images, y, taus=(0.1, 1.0), losses=("contrastive", "hard simple"), seeds=2, **settings)
    assert [(row["loss"], row["tau"], row["seed"]) for row in rows] == [
        (loss, tau, seed) for seed in (0, 1) for loss, tau in (("contrastive", 0.1), ("contrastive", 1.0), ("hard simple", math.inf))
    ]
    assert all(np.isfinite([row[dial] for dial in ("uniformity", "tolerance", "similarity", "gap", "knn", "probe")]).all() for row in rows)
    assert len({row["uniformity"] for row in rows}) == 6
    shuffled = temperature_study(images, np.roll(y, 7), taus=(0.1,), seeds=1, **settings)[0]
    assert shuffled["uniformity"] == pytest.approx(rows[0]["uniformity"]) and shuffled["gap"] == pytest.approx(rows[0]["gap"])
    blind = temperature_study(images, taus=(0.1,), seeds=(0,), **settings)[0]
    assert "tolerance" not in blind and blind["similarity"] == pytest.approx(rows[0]["similarity"])
    with pytest.raises(InputError, match="losses are"):
        temperature_study(images, losses=("triplet",))


def test_dials_are_read_on_unit_projections_and_without_pairs_of_an_item_with_itself(digits, tmp_path):
    images, y = digits
    learner = Contrast(encoder="conv5", epochs=2, batch_size=100, temperature=math.inf, hardest=0.1).fit(images)
    Z = projections(learner, _two_views(learner, as_items(images))[0])
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1, atol=1e-5)
    read = dials(learner, images, y)
    pairs = [float(Z[i] @ Z[j]) for i in range(0, 300) for j in range(300) if i != j and y[i] == y[j]]
    assert read["tolerance"] == pytest.approx(np.mean(pairs), abs=1e-4)
    gaps = -np.log(np.mean([math.exp(-2 * ((Z[i] - Z[j]) ** 2).sum()) for i in range(300) for j in range(i)]))
    assert read["uniformity"] == pytest.approx(gaps, abs=1e-3)
    flat = images.reshape(300, -1).astype(np.float64)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    near = np.argsort(-(flat @ flat.T - 5 * np.eye(300)), axis=1)[:, :10]
    assert read["similarity"] == pytest.approx(np.mean([Z[i] @ Z[j] for i in range(300) for j in near[i]]), abs=1e-3)
    learner.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert isinstance(again, Contrast) and again.temperature == math.inf
    np.testing.assert_allclose(again.transform(images), learner.transform(images), atol=1e-5)
