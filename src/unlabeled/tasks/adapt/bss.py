"""Views whose style is the same for a whole batch: the source of a picture stops telling pictures apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.views.images import ImageViews, to_batch


def swap_style(images: Tensor, donors: Tensor, share: Tensor) -> Tensor:
    """Give pictures the low frequencies' amplitudes of other pictures: their colours and shading, not their shapes.

    images: float [n, C, H, W] in [0, 1], not normalised. donors: int64 [n], whose amplitudes each picture gets. share: [n],
    the area of the square of frequencies around zero that is exchanged; 0 leaves a picture as it is, 1 exchanges all.
    The phase stays the picture's own. Yang and Soatto, 2020, arXiv:2004.05498 (FDA).
    """
    if images.ndim != 4 or not images.is_floating_point() or not (0 <= images.min() and images.max() <= 1):
        raise ValueError(f"images must be float [n, C, H, W] in [0, 1], got {images.dtype} {tuple(images.shape)}")
    spectrum = torch.fft.fft2(images)
    amplitude, phase = spectrum.abs(), spectrum.angle()
    # Frequencies by their number of waves: the square that fftshift would put into the middle, symmetric, so that pictures stay real.
    inside = [
        (torch.fft.fftfreq(size, device=images.device).abs() <= share.sqrt()[:, None] / 2) & (share[:, None] > 0)
        for size in images.shape[2:]
    ]
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.fft.ifft2(torch.polar(torch.where(square, amplitude[donors], amplitude), phase)).real.clamp(0, 1)


@dataclass(frozen=True)
class BatchStyleStandardization:
    """Any views of pictures, each taken of a batch that was given one style first: a random picture's of that batch.

    Scalbert, Vakalopoulou and Couzinie-Devy, 2023, "Towards domain-invariant Self-Supervised Learning with Batch Styles
    Standardization", arXiv:2303.06088. For pictures from several unknown sources (cameras, hospitals, artists): partners differ
    in style, and within a view nothing but content tells pictures apart. It takes away colour: not for tasks where colour is
    the content. `SimCLR(views=BatchStyleStandardization())`; called as the views it wraps.

    reference: "batch", one picture's style for all of a view; "image", another random one for each (Fourier augmentation, FA,
    the paper's baseline); the share of the frequencies is drawn once for a view, or for each picture, likewise.
    together: colours jitter alike in a whole view, as otherwise they would give every picture a style of its own again.
    Under distributed training every process has styles of its own.
    """

    views: Any = ImageViews()  # a dataclass with the fields `views` and, maybe, `local`, `policy` or `policies`
    r: tuple[float, float] = (0.02, 0.5)  # share of the frequencies that are exchanged; the range is not in the paper's text
    reference: str = "batch"
    together: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.r[0] <= self.r[1] <= 1:
            raise ValueError(f"r is a range of shares: wanted 0 <= low <= high <= 1, got {self.r!r}")
        if self.reference not in ("batch", "image"):
            raise ValueError(f'reference must be "batch" or "image", got {self.reference!r}')
        if not isinstance(getattr(self.views, "views", None), int):
            raise ValueError(f"views must be ImageViews or a dataclass like it, with a field views; got {type(self.views).__name__}")

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Any:
        batch = to_batch(images) if images.dtype == torch.uint8 else images
        views: list[Tensor] = []
        more: dict[str, list[Any]] = {}
        for one in self._singles():
            drawn = one(self._styled(batch, generator), generator)
            drawn, extra = drawn if isinstance(drawn, tuple) else (drawn, {})
            views += drawn
            for name, values in extra.items():
                more.setdefault(name, []).extend(values)
        return (views, more) if more else views

    def _singles(self) -> list[Any]:
        """The wrapped views one by one, in their order: each is taken of a batch in a style of its own."""
        base = self.views
        if self.together and hasattr(base, "policy"):
            base = replace(base, policy=replace(base.policy, together=True))
        if self.together and hasattr(base, "policies"):
            base = replace(base, policies=tuple(replace(policy, together=True) for policy in base.policies))
        if not getattr(base, "local", 0):
            return [replace(base, views=1)] * base.views
        return [replace(base, views=1, local=0)] * base.views + [replace(base, views=0, local=1)] * base.local

    def _styled(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        n, each = len(batch), self.reference == "image"
        source = generator.device if generator is not None else batch.device
        donors = torch.randint(n, (n if each else 1,), generator=generator, device=source).to(batch.device).expand(n)
        share = torch.rand(n if each else 1, generator=generator, device=source).to(batch.device).expand(n)
        return swap_style(batch, donors, share * (self.r[1] - self.r[0]) + self.r[0])
