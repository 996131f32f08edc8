"""One batch becomes several random views of it, on the device, without per-sample Python."""

from unlabeled.views.images import ImagePolicy, ImageViews
from unlabeled.views.text import TextViews
from unlabeled.views.vectors import VectorViews

__all__ = ["ImagePolicy", "ImageViews", "TextViews", "VectorViews", "views_for"]


def views_for(kind: str) -> ImageViews | TextViews | VectorViews:
    """The views that suit a kind of data when the user names none."""
    return {"image": ImageViews, "text": TextViews}.get(kind, VectorViews)()
