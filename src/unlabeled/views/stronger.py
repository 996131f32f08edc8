"""Views that change an item more than given ones do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unlabeled.views.images import ImageViews
from unlabeled.views.vectors import VectorViews


def stronger(views: Any) -> Any:
    """Of pictures: every one in stronger colours and with a square cut out; of vectors: more noise and more foreign numbers.

    Views of other kinds come back as they are.
    """
    if isinstance(views, ImageViews):
        colours: dict[str, Any] = {"jitter": 1.0, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
        return replace(views, policy=replace(views.policy, **colours, cutout=1.0, cutout_size=0.33))
    if isinstance(views, VectorViews):
        return replace(views, noise=2 * views.noise, corruption=min(1.0, 1.5 * views.corruption))
    return views
