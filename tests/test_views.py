"""Views: what they do to pictures, token ids and vectors."""

import numpy as np
import pytest
import torch

from unlabeled.views import ImagePolicy, ImageViews, TextViews, VectorViews
from unlabeled.views.images import WHOLE, augment, gaussian, multi_crop, resampling, rotate4, to_batch, two_crops
from unlabeled.views.text import crop_span, drop_tokens, pack
from unlabeled.views.vectors import add_noise, corrupt, mix_neighbours


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pictures():
    return torch.rand(6, 3, 12, 12, generator=seeded(1))


def test_the_policy_that_does_nothing_gives_the_pictures_back(pictures):
    view, boxes = augment(pictures, WHOLE, generator=seeded())
    torch.testing.assert_close(view, pictures, atol=1e-6, rtol=0)
    assert boxes.tolist() == [[0, 0, 1, 1]] * 6


def test_resizing_agrees_with_pillows_antialiased_bilinear_filter():
    from PIL import Image

    array = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    for size in (7, 20, 33):
        ours, _ = augment(to_batch(torch.from_numpy(array)[None]), WHOLE, size, seeded())
        theirs = np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32) / 255
        assert np.abs(ours[0, 0].numpy() - theirs).max() < 1.5 / 255


def test_a_flipped_view_is_the_mirror_image_and_its_box_says_so(pictures):
    view, boxes = augment(pictures, ImagePolicy(**{**vars(WHOLE), "flip": 1.0}), generator=seeded())
    torch.testing.assert_close(view, pictures.flip(3), atol=1e-6, rtol=0)
    assert boxes.tolist() == [[1, 0, 0, 1]] * 6


def test_boxes_say_which_part_of_the_picture_a_crop_shows():
    ramp = torch.linspace(0, 1, 64).expand(8, 1, 64, 64)  # the value is the place from left to right
    policy = ImagePolicy(**{**vars(WHOLE), "scale": (0.2, 0.5), "flip": 0.5})
    view, boxes = augment(ramp, policy, 16, seeded(3))
    middle = view.mean(dim=(1, 2, 3))
    torch.testing.assert_close(middle, (boxes[:, 0] + boxes[:, 2]) / 2, atol=0.02, rtol=0)


def test_crops_keep_the_share_of_the_area_that_was_asked_for(pictures):
    policy = ImagePolicy(scale=(0.3, 0.5), ratio=(0.9, 1.1))
    _, boxes = augment(pictures.repeat(50, 1, 1, 1), policy, generator=seeded())
    area = (boxes[:, 2] - boxes[:, 0]).abs() * (boxes[:, 3] - boxes[:, 1])
    assert 0.29 < area.min() < 0.33 and 0.47 < area.max() < 0.51


def test_grey_views_have_three_equal_channels_with_the_pictures_luma(pictures):
    view, _ = augment(pictures, ImagePolicy(**{**vars(WHOLE), "grey": 1.0}), generator=seeded())
    luma = 0.299 * pictures[:, 0] + 0.587 * pictures[:, 1] + 0.114 * pictures[:, 2]
    for channel in range(3):
        torch.testing.assert_close(view[:, channel], luma, atol=1e-5, rtol=0)


def test_brightness_alone_scales_every_pixel_of_a_picture_by_one_factor(pictures):
    policy = ImagePolicy(**{**vars(WHOLE), "jitter": 1.0, "brightness": 0.4, "contrast": 0.0, "saturation": 0.0, "hue": 0.0})
    view, _ = augment(pictures * 0.5, policy, generator=seeded())
    factor = (view / (pictures * 0.5)).flatten(1)
    assert (factor.std(dim=1) < 1e-4).all() and 0.6 <= factor.min() and factor.max() <= 1.4 and factor.std() > 0.05


def test_contrast_alone_keeps_the_mean_grey_of_a_picture(pictures):
    policy = ImagePolicy(**{**vars(WHOLE), "jitter": 1.0, "brightness": 0.0, "contrast": 0.4, "saturation": 0.0, "hue": 0.0})
    calm = 0.4 + 0.2 * pictures
    view, _ = augment(calm, policy, generator=seeded())
    luma = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(view.mean(dim=(2, 3)) @ luma, calm.mean(dim=(2, 3)) @ luma, atol=1e-5, rtol=0)


def test_hue_and_saturation_leave_grey_pictures_alone():
    grey = torch.rand(4, 1, 8, 8, generator=seeded()).expand(4, 3, 8, 8)
    policy = ImagePolicy(**{**vars(WHOLE), "jitter": 1.0, "brightness": 0.0, "contrast": 0.0})
    view, _ = augment(grey, policy, generator=seeded())
    torch.testing.assert_close(view, grey, atol=1e-3, rtol=0)


def test_blur_is_a_gaussian_convolution_and_keeps_the_mean_of_a_constant_picture():
    kernel = gaussian(torch.tensor([1.5]), 31)[0, 15]
    place = torch.arange(31) - 15.0
    expected = torch.exp(-(place**2) / (2 * 1.5**2))
    torch.testing.assert_close(kernel, expected / expected.sum())
    view, _ = augment(torch.full((2, 3, 9, 9), 0.3), ImagePolicy(**{**vars(WHOLE), "blur": 1.0}), generator=seeded())
    torch.testing.assert_close(view, torch.full_like(view, 0.3))


def test_rows_of_a_resampling_matrix_sum_to_one_at_every_scale():
    matrix = resampling(torch.tensor([0.0, 3.2, 12.0]), torch.tensor([12.0, 5.9, 0.0]), 12, 7)
    torch.testing.assert_close(matrix.sum(dim=2), torch.ones(3, 7))


def test_cutout_replaces_a_square_by_the_mean_colour(pictures):
    view, _ = augment(pictures, ImagePolicy(**{**vars(WHOLE), "cutout": 1.0, "cutout_size": 0.5}), generator=seeded())
    changed = (view - pictures).abs().sum(dim=1) > 1e-4
    assert changed.flatten(1).any(dim=1).all() and not changed.flatten(1).all(dim=1).any()
    for picture, view_, where in zip(pictures, view, changed, strict=True):
        torch.testing.assert_close(view_[:, where].mean(dim=1), picture.mean(dim=(1, 2)), atol=1e-4, rtol=0)


def test_solarize_inverts_only_the_bright_pixels(pictures):
    view, _ = augment(pictures, ImagePolicy(**{**vars(WHOLE), "solarize": 1.0}), generator=seeded())
    torch.testing.assert_close(view, torch.where(pictures >= 0.5, 1 - pictures, pictures), atol=1e-5, rtol=0)


def test_the_same_generator_gives_the_same_views_and_another_gives_others(pictures):
    first, again, other = (two_crops(pictures, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other[0])


def test_multi_crop_gives_views_of_each_kind_in_order(pictures):
    views, boxes = multi_crop(pictures, [(ImagePolicy(), 12, 2), (ImagePolicy(scale=(0.05, 0.2)), 6, 3)], seeded())
    assert [view.shape[-1] for view in views] == [12, 12, 6, 6, 6] and all(box.shape == (6, 4) for box in boxes)


def test_image_views_shrink_large_pictures_but_not_tiny_ones():
    assert [v.shape[-1] for v in ImageViews(local=1)(torch.zeros(2, 32, 32, 3, dtype=torch.uint8), seeded())] == [20, 20, 10]
    assert [v.shape for v in ImageViews()(torch.zeros(2, 8, 8, 1, dtype=torch.uint8), seeded())] == [(2, 1, 8, 8)] * 2


def test_rotate4_turns_every_picture_by_quarter_turns(pictures):
    turned, label = rotate4(pictures)
    assert torch.equal(turned[label == 2], pictures.flip(2, 3)) and label.bincount().tolist() == [6] * 4


def test_a_policy_with_an_impossible_number_is_refused():
    with pytest.raises(ValueError, match="flip is a probability"):
        ImagePolicy(flip=1.5)
    with pytest.raises(ValueError, match="scale is a range"):
        ImagePolicy(scale=(0.5, 0.2))
    with pytest.raises(ValueError, match=r"\[n, 1 or 3, H, W\]"):
        augment(torch.zeros(2, 5, 4, 4), ImagePolicy())


IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [3, 4, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]])


def test_pack_closes_gaps_and_cuts_the_padding_that_all_rows_share():
    keep = torch.tensor([[1, 0, 1, 0, 1, 0], [0, 1, 1, 1, 1, 1], [1] * 6]).bool()
    assert pack(IDS, keep).tolist() == [[5, 7, 9], [4, 0, 0], [1, 0, 0]]


def test_token_dropout_keeps_the_order_the_asked_share_and_at_least_one_token():
    long = torch.arange(1, 1001).expand(4, 1000)
    kept = drop_tokens(long, 0.3, seeded())
    counts = (kept != 0).sum(dim=1)
    assert ((counts > 650) & (counts < 750)).all()
    assert all((row[row != 0].diff() > 0).all() for row in kept)
    assert ((drop_tokens(IDS, 0.99, seeded()) != 0).sum(dim=1) >= 1).all()


def test_a_span_crop_is_contiguous_and_of_the_asked_share():
    long = torch.arange(1, 101).expand(8, 100)
    for row in crop_span(long, (0.5, 0.6), seeded()):
        span = row[row != 0]
        assert 50 <= len(span) <= 60 and (span.diff() == 1).all()


def test_text_views_never_mix_texts():
    ids = torch.arange(1, 41).view(4, 10)
    for view in TextViews()(ids, seeded()):
        assert all(set(new[new != 0].tolist()) <= set(old.tolist()) for new, old in zip(view, ids, strict=True))


def test_corrupted_features_come_from_the_same_column_at_the_asked_rate():
    x = torch.arange(2000.0).view(100, 20)
    y = corrupt(x, 0.3, seeded())
    assert 0.25 < (x != y).float().mean() < 0.33
    assert all(set(y[:, j].tolist()) <= set(x[:, j].tolist()) for j in range(20))


def test_noise_is_scaled_by_each_features_spread():
    x = torch.randn(4000, 2, generator=seeded()) * torch.tensor([1.0, 100.0])
    spread = (add_noise(x, 0.1, seeded(1)) - x).std(dim=0)
    torch.testing.assert_close(spread, torch.tensor([0.1, 10.0]), rtol=0.1, atol=0)


def test_mixing_moves_a_row_towards_a_row_of_its_own_neighbourhood():
    x = torch.cat([torch.randn(20, 4, generator=seeded()), torch.randn(20, 4, generator=seeded(1)) + 50])
    moved = mix_neighbours(x, 0.5, 3, seeded())
    assert not torch.equal(moved, x) and (moved[:20].mean() < 10) and (moved[20:].mean() > 40)
    assert torch.equal(mix_neighbours(x[:1], 0.5), x[:1])


def test_vector_views_refuse_impossible_shares():
    with pytest.raises(ValueError, match="corruption"):
        VectorViews(corruption=2.0)
    with pytest.raises(ValueError, match="dropout"):
        TextViews(dropout=1.0)
