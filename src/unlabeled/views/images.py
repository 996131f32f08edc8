"""Random views of a batch of pictures, as tensor code on the device the pictures are on.

A view is linear until its last step: crop, resize, flip and blur are one matrix an axis, and jitter and grey one
colour matrix an image. So a view costs three batched matrix products, whatever it consists of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma
# RGB -> YIQ: a hue shift is a rotation of the (I, Q) plane.
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


PROBABILITIES = tuple("flip jitter grey blur solarize cutout shear translate rotate sharpen autocontrast equalize posterize invert".split())


@dataclass(frozen=True)
class ImagePolicy:
    """What may happen to a picture, as data: it can be stored, compared and searched.

    Probabilities end in nothing, ranges are (low, high). The values are those of SimCLR (Chen et al., 2020,
    arXiv:2002.05709) and SimSiam (arXiv:2011.10566).

    Departures from torchvision's transforms, all cheap to see and none seen to matter: jitter is applied in one order
    (brightness, contrast, saturation, hue) instead of a random one, values are clamped once at the end, hue turns in
    YIQ instead of HSV, and a crop that doesn't fit is clipped instead of drawn again.
    """

    scale: tuple[float, float] = (0.2, 1.0)  # share of the picture's area that a crop keeps
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width over height of the crop
    flip: float = 0.5
    jitter: float = 0.8  # probability that brightness, contrast, saturation and hue change
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grey: float = 0.2
    blur: float = 0.0  # off by default: on small pictures it erases what is to be learned
    sigma: tuple[float, float] = (0.1, 2.0)  # of the blur, in pixels of the view
    solarize: float = 0.0
    cutout: float = 0.0
    cutout_size: float = 0.5  # side of the square that is cut out, as a share of the view's side
    # RandAugment's further operations (Cubuk et al., 2019, arXiv:1909.13719), off by default: a probability and how far it goes.
    shear: float = 0.0
    shear_size: float = 0.3  # how far an edge moves against the opposite one, as a share of the side, along one axis
    translate: float = 0.0
    translate_size: float = 0.3  # as a share of the side, along both axes
    rotate: float = 0.0
    rotate_size: float = 30.0  # degrees either way
    sharpen: float = 0.0
    sharpness: float = 0.9  # as brightness: the factor is drawn from 1 - sharpness to 1 + sharpness; below 1 it softens
    autocontrast: float = 0.0
    equalize: float = 0.0
    posterize: float = 0.0
    bits: int = 4  # that posterize keeps of 8
    invert: float = 0.0
    together: bool = False  # jitter, grey and solarize are drawn once for the whole batch instead of for each picture

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability: wanted 0 to 1, got {getattr(self, name)!r}")
        if self.bits not in range(1, 9):
            raise ValueError(f"bits is how many of 8 posterize keeps: wanted 1 to 8, got {self.bits!r}")
        for name in ("scale", "ratio", "sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} is a range (low, high) with 0 < low <= high, got {getattr(self, name)!r}")


WHOLE = ImagePolicy(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0, grey=0.0)


def to_batch(images: Tensor) -> Tensor:
    """uint8 [n, H, W, C] or [n, H, W] as stored -> float32 [n, C, H, W] in [0, 1]."""
    if images.ndim == 3:
        images = images[..., None]
    images = images.permute(0, 3, 1, 2)
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def augment(
    images: Tensor, policy: ImagePolicy, size: int | tuple[int, int] | None = None, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """One random view of each picture.

    images: float [n, C, H, W] in [0, 1], C = 1 or 3. size: side of the view in pixels (default: as the pictures).
    Returns the views, float32 [n, C, h, w] in [0, 1], and their boxes, float32 [n, 4]: left, top, right, bottom of
    the crop in the picture's own [0, 1] frame, left and right swapped where the view is flipped; shear, translate and
    rotate, which come after the crop, don't show in them.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must be [n, 1 or 3, H, W], got shape {tuple(images.shape)}")
    n, channels, height, width = images.shape
    out_h, out_w = (height, width) if size is None else (size, size) if isinstance(size, int) else size
    random = _Random(n, images.device, generator)
    colours = _Random(n, images.device, generator, together=policy.together)

    area = height * width * random.uniform(*policy.scale)
    ratio = random.uniform(math.log(policy.ratio[0]), math.log(policy.ratio[1])).exp()
    crop_w = (area * ratio).sqrt().clamp(1, width)
    crop_h = (area / ratio).sqrt().clamp(1, height)
    left, top = (width - crop_w) * random.uniform(), (height - crop_h) * random.uniform()
    flip = random.happens(policy.flip)
    first, last = torch.where(flip, left + crop_w, left), torch.where(flip, left, left + crop_w)
    boxes = torch.stack([first / width, top / height, last / width, (top + crop_h) / height], dim=1)

    across = resampling(first, last, width, out_w)
    down = resampling(top, top + crop_h, height, out_h)
    if policy.blur:
        sigma = torch.where(random.happens(policy.blur), random.uniform(*policy.sigma), torch.zeros(n, device=images.device))
        across, down = gaussian(sigma, out_w) @ across, gaussian(sigma, out_h) @ down
    # Rows first, all channels of a picture in one product: many tiny products cost several times as much on a CPU.
    rows = (images.flatten(1, 2) @ across.transpose(1, 2)).view(n, channels, height, out_w)
    view = down[:, None] @ rows

    if policy.shear or policy.translate or policy.rotate:
        view = _warp(view, policy, random)
    if policy.jitter or policy.grey:
        view = _colour(view, policy, colours)
    view = view.clamp_(0, 1)
    if policy.sharpen:
        view = torch.where(random.picks(policy.sharpen), _sharpened(view, random.uniform(1 - policy.sharpness, 1 + policy.sharpness)), view)
    if policy.autocontrast:
        view = torch.where(random.picks(policy.autocontrast), autocontrast(view), view)
    if policy.equalize:
        view = torch.where(random.picks(policy.equalize), equalize(view), view)
    if policy.solarize:
        view = torch.where(colours.picks(policy.solarize) & (view >= 0.5), 1 - view, view)
    if policy.posterize:
        view = torch.where(random.picks(policy.posterize), posterize(view, policy.bits), view)
    if policy.invert:
        view = torch.where(random.picks(policy.invert), 1 - view, view)
    if policy.cutout:
        view = _cut_out(view, policy, random)
    return view, boxes


def two_crops(
    images: Tensor, policy: ImagePolicy = ImagePolicy(), size: int | None = None, generator: torch.Generator | None = None
) -> list[Tensor]:
    """Two independent views of each picture: a list of two float32 [n, C, h, w]."""
    return [augment(images, policy, size, generator)[0] for _ in range(2)]


def multi_crop(
    images: Tensor, specs: Sequence[tuple[ImagePolicy, int | None, int]], generator: torch.Generator | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Several kinds of views at once: specs are (policy, side in pixels, how many).

    Returns the views in the order of the specs, and their boxes (see `augment`). Caron et al., 2020, arXiv:2006.09882.
    """
    pairs = [augment(images, policy, size, generator) for policy, size, count in specs for _ in range(count)]
    return [view for view, _ in pairs], [box for _, box in pairs]


def resampling(start: Tensor, stop: Tensor, source: int, target: int) -> Tensor:
    """Matrices [n, target, source] that resize the pixels from `start` to `stop` ([n], in pixels) to `target` pixels.

    Triangle filter, widened when shrinking so that nothing aliases (as Pillow's BILINEAR); stop < start flips.
    """
    step = (stop - start) / target
    centre = start[:, None] + step[:, None] * (torch.arange(target, device=start.device) + 0.5)
    pixel = torch.arange(source, device=start.device) + 0.5
    support = step.abs().clamp(min=1)[:, None, None]
    weights = (1 - (pixel - centre[:, :, None]).abs() / support).clamp_(min=0)
    return weights / weights.sum(dim=2, keepdim=True)


def gaussian(sigma: Tensor, size: int) -> Tensor:
    """Matrices [n, size, size] that blur an axis with a Gaussian of `sigma` pixels ([n]; 0 leaves it as it is)."""
    pixel = torch.arange(size, device=sigma.device, dtype=torch.float32)
    squared = (pixel[:, None] - pixel[None, :]) ** 2
    weights = torch.exp(-squared / (2 * sigma.clamp(min=1e-3)[:, None, None] ** 2))
    return weights / weights.sum(dim=2, keepdim=True)


def autocontrast(images: Tensor) -> Tensor:
    """Each channel of each picture [n, C, H, W] stretched so that its darkest pixel is 0 and its brightest 1; flat ones stay."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def equalize(images: Tensor) -> Tensor:
    """Each channel's 256 levels spread so that all are about equally frequent, by its cumulative histogram; flat ones stay."""
    levels = (images.flatten(2) * 255).round().long()
    ones = torch.ones_like(levels, dtype=images.dtype)
    below = torch.zeros(*levels.shape[:2], 256, device=images.device).scatter_add_(2, levels, ones).cumsum(dim=2)
    first = below.gather(2, levels.amin(dim=2, keepdim=True))  # how many pixels have the darkest level
    spread = (below.gather(2, levels) - first) / (levels.shape[2] - first).clamp(min=1)
    return torch.where(first < levels.shape[2], spread, images.flatten(2)).view_as(images)


def posterize(images: Tensor, bits: int) -> Tensor:
    """The highest `bits` of each 8-bit level, the others 0."""
    step = 2 ** (8 - bits)
    return (images * 255).round().div(step, rounding_mode="floor") * step / 255


def rotate4(images: Tensor) -> tuple[Tensor, Tensor]:
    """Each square picture turned by 0, 90, 180 and 270 degrees: [4n, C, H, H] and the quarter turns, int64 [4n]."""
    if images.shape[-1] != images.shape[-2]:
        raise ValueError(f"rotate4 needs square pictures, got {images.shape[-2]}x{images.shape[-1]}")
    turned = [torch.rot90(images, turn, dims=(2, 3)) for turn in range(4)]
    return torch.cat(turned), torch.arange(4, device=images.device).repeat_interleave(len(images))


@dataclass(frozen=True)
class ImageViews:
    """Which views a learner gets of a batch of pictures: `views` large crops and `local` small ones (multi-crop).

    Called with uint8 [n, H, W, C] (or float [n, C, H, W]) and a generator; returns a list of float32 [n, C, h, w], with
    `boxes` also {"boxes": a list of [n, 4], one a view} (see `augment`).
    """

    policy: ImagePolicy = ImagePolicy()
    views: int = 2
    size: int | None = None  # side of a large view in pixels, default: `share` of the picture's
    share: float = 0.625  # small views cost little, and the network is shown many more of them in the same time
    local: int = 0
    local_scale: tuple[float, float] = (0.05, 0.25)
    local_size: int | None = None  # default: half of a large view
    boxes: bool = False

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Any:
        batch = to_batch(images) if images.dtype == torch.uint8 else images
        side = min(batch.shape[2:])
        size = self.size or max(min(side, 16), round(side * self.share))  # below 16 pixels nothing is left to shrink
        specs: list[tuple[ImagePolicy, int | None, int]] = [(self.policy, size, self.views)]
        if self.local:
            small = self.local_size or size // 2
            specs.append((replace(self.policy, scale=self.local_scale), small, self.local))
        views, boxes = multi_crop(batch, specs, generator)
        return (views, {"boxes": boxes}) if self.boxes else views


@dataclass(frozen=True)
class MixedViews:
    """Each picture of a view follows one of several policies, drawn at random: a searched policy of many sub-policies.

    Called as `ImageViews`. For speed a view of a batch draws `at_once` of the policies and deals its pictures out among them.
    """

    policies: tuple[ImagePolicy, ...]
    views: int = 2
    size: int | None = None  # side of a view in pixels, default: as for `ImageViews`
    at_once: int = 8

    def __post_init__(self) -> None:
        if not self.policies:
            raise ValueError("policies is empty: wanted at least one ImagePolicy")

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        batch = to_batch(images) if images.dtype == torch.uint8 else images
        return [self._one(batch, generator) for _ in range(self.views)]

    def _one(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        source = generator.device if generator is not None else batch.device
        chosen = torch.randperm(len(self.policies), generator=generator, device=source)[: self.at_once]
        dealt = torch.randint(len(chosen), (len(batch),), generator=generator, device=source).to(batch.device)
        parts = [(self.policies[c], (dealt == i).nonzero()[:, 0]) for i, c in enumerate(chosen.tolist())]
        parts = [(policy, rows) for policy, rows in parts if len(rows)]
        drawn = [ImageViews(policy, 1, self.size)(batch[rows], generator)[0] for policy, rows in parts]
        return torch.cat(drawn)[torch.cat([rows for _, rows in parts]).argsort()]


class _Random:
    """Draws for n pictures at once from one generator, on the generator's device; together: one draw that all n share."""

    def __init__(self, n: int, device: torch.device, generator: torch.Generator | None, together: bool = False):
        self.n, self.device, self.generator, self.together = n, device, generator, together

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        source = self.generator.device if self.generator is not None else self.device
        drawn = torch.rand(1 if self.together else self.n, generator=self.generator, device=source)
        return drawn.to(self.device).expand(self.n) * (high - low) + low

    def happens(self, probability: float) -> Tensor:
        return self.uniform() < probability

    def picks(self, probability: float) -> Tensor:
        """As `happens`, [n, 1, 1, 1]: beside pictures."""
        return self.happens(probability)[:, None, None, None]


def _warp(view: Tensor, policy: ImagePolicy, random: _Random) -> Tensor:
    """Rotation, shear and shift as one affine map a picture; what comes from outside is the picture's mirror image."""
    height, width = view.shape[2:]

    def amount(probability: float, most: float) -> Tensor:
        return random.happens(probability) * random.uniform(-most, most)

    angle = amount(policy.rotate, math.radians(policy.rotate_size)) if policy.rotate else torch.zeros(len(view), device=view.device)
    turn = torch.stack([angle.cos(), -angle.sin() * height / width, angle.sin() * width / height, angle.cos()], dim=1).view(-1, 2, 2)
    slant = torch.eye(2, device=view.device).repeat(len(view), 1, 1)
    if policy.shear:
        by, across = amount(policy.shear, policy.shear_size), random.happens(0.5)
        slant[:, 0, 1], slant[:, 1, 0] = by * across, by * ~across
    shift = torch.zeros(len(view), 2, 1, device=view.device)
    if policy.translate:
        on = random.happens(policy.translate)  # the grid goes from -1 to 1: a share of the side is twice as long there
        shift = torch.stack([on * 2 * random.uniform(-policy.translate_size, policy.translate_size) for _ in range(2)], dim=1)[:, :, None]
    grid = torch.nn.functional.affine_grid(torch.cat([turn @ slant, shift], dim=2), list(view.shape), align_corners=False)
    return torch.nn.functional.grid_sample(view, grid, padding_mode="reflection", align_corners=False)


def _sharpened(view: Tensor, factor: Tensor) -> Tensor:
    """Away from (factor > 1) or towards (factor < 1) the view smoothed by Pillow's 3x3 filter; the edge is repeated outwards."""
    channels = view.shape[1]
    kernel = torch.ones(channels, 1, 3, 3, device=view.device) / 13
    kernel[:, :, 1, 1] = 5 / 13
    smooth = torch.nn.functional.conv2d(torch.nn.functional.pad(view, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)
    return torch.lerp(smooth, view, factor[:, None, None, None]).clamp(0, 1)


def _colour(view: Tensor, policy: ImagePolicy, random: _Random) -> Tensor:
    """Brightness, contrast, saturation, hue and grey as one affine map of the channels an image."""
    n, channels = view.shape[:2]
    on = random.happens(policy.jitter)

    def factor(strength: float) -> Tensor:
        return torch.where(on, random.uniform(max(0.0, 1 - strength), 1 + strength), torch.ones(n, device=view.device))

    brightness, contrast = factor(policy.brightness), factor(policy.contrast)
    luma = torch.tensor(GREY if channels == 3 else (1.0,), device=view.device)
    mean = (view.mean(dim=(2, 3)) @ luma) * brightness  # contrast pulls towards the mean grey of the brightened view
    scale, shift = brightness * contrast, mean * (1 - contrast)
    if channels == 1:
        return view * scale[:, None, None, None] + shift[:, None, None, None]

    grey_of = luma.expand(3, 3)
    eye = torch.eye(3, device=view.device)
    saturation = factor(policy.saturation)[:, None, None]
    mix = saturation * eye + (1 - saturation) * grey_of
    if policy.hue:
        angle = torch.where(on, random.uniform(-policy.hue, policy.hue), torch.zeros(n, device=view.device)) * 2 * math.pi
        turn = torch.zeros(n, 3, 3, device=view.device)
        turn[:, 0, 0] = 1
        turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
        turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
        yiq = torch.tensor(YIQ, device=view.device)
        mix = torch.linalg.inv(yiq) @ turn @ yiq @ mix
    mix = torch.where(random.happens(policy.grey)[:, None, None], grey_of @ mix, mix)
    # Rows of every matrix above sum to 1, so the grey shift passes through them unchanged.
    flat = torch.baddbmm(shift[:, None, None].expand(n, 3, 1), mix * scale[:, None, None], view.flatten(2))
    return flat.view_as(view)


def _cut_out(view: Tensor, policy: ImagePolicy, random: _Random) -> Tensor:
    """Replace a random square by the view's mean colour. DeVries and Taylor, 2017, arXiv:1708.04552."""
    on = random.happens(policy.cutout)
    inside = []
    for size in view.shape[2:]:
        half = policy.cutout_size * size / 2
        centre = random.uniform(0, size)
        pixel = torch.arange(size, device=view.device) + 0.5
        inside.append((pixel - centre[:, None]).abs() <= half)
    mask = inside[0][:, None, :, None] & inside[1][:, None, None, :] & on[:, None, None, None]
    return torch.where(mask, view.mean(dim=(2, 3), keepdim=True), view)
