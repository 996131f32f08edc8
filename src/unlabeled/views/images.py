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

    def __post_init__(self) -> None:
        for name in ("flip", "jitter", "grey", "blur", "solarize", "cutout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability: wanted 0 to 1, got {getattr(self, name)!r}")
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
    the crop in the picture's own [0, 1] frame, left and right swapped where the view is flipped.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must be [n, 1 or 3, H, W], got shape {tuple(images.shape)}")
    n, channels, height, width = images.shape
    out_h, out_w = (height, width) if size is None else (size, size) if isinstance(size, int) else size
    random = _Random(n, images.device, generator)

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

    if policy.jitter or policy.grey:
        view = _colour(view, policy, random)
    view = view.clamp_(0, 1)
    if policy.solarize:
        view = torch.where(random.happens(policy.solarize)[:, None, None, None] & (view >= 0.5), 1 - view, view)
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


class _Random:
    """Draws for n pictures at once from one generator, on the generator's device."""

    def __init__(self, n: int, device: torch.device, generator: torch.Generator | None):
        self.n, self.device, self.generator = n, device, generator

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        source = self.generator.device if self.generator is not None else self.device
        return torch.rand(self.n, generator=self.generator, device=source).to(self.device) * (high - low) + low

    def happens(self, probability: float) -> Tensor:
        return self.uniform() < probability


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
