"""One batch becomes several random views of it, on the device, without per-sample Python."""

from unlabeled.views.images import ImagePolicy, ImageViews
from unlabeled.views.text import TextViews
from unlabeled.views.vectors import VectorViews

__all__ = ["ImagePolicy", "ImageViews", "TextViews", "VectorViews", "views_for"]


def views_for(kind: str, views: int = 2, local: int = 0) -> ImageViews | TextViews | VectorViews:
    """The views that suit a kind of data: so many, and `local` small ones besides, which outside pictures are ordinary ones."""
    if kind == "image":
        return ImageViews(views=views, local=local)
    return (TextViews if kind == "text" else VectorViews)(views=views + local)
