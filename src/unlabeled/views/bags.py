"""Views for bags of visual words: the teacher's, then those of the student, who has to guess the rest of the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unlabeled.views.images import WHOLE, ImagePolicy, multi_crop, to_batch


@dataclass(frozen=True)
class BagViews:
    """The nearly whole picture for the teacher, `crops` crops and `patches` patches of it, strongly coloured, for the student."""

    policy: ImagePolicy = ImagePolicy()
    crops: int = 2
    crop_scale: tuple[float, float] = (0.2, 0.6)  # the paper: 160 pixels of 224, scale (0.08, 0.6)
    patches: int = 3
    patch_scale: tuple[float, float] = (0.08, 0.25)  # the paper: five of 96 pixels out of nine overlapping ones of 256

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        batch = to_batch(images) if images.dtype == torch.uint8 else images
        side = min(batch.shape[2:])
        mild = replace(WHOLE, scale=(0.6, 1.0), ratio=(3 / 4, 4 / 3), flip=0.5)
        crop, patch = replace(self.policy, scale=self.crop_scale), replace(self.policy, scale=self.patch_scale)
        return multi_crop(batch, [(mild, side, 1), (crop, side * 3 // 4, self.crops), (patch, side // 2, self.patches)], generator)[0]
