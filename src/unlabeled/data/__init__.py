"""What a user has on disk or in memory becomes `Items`."""

from unlabeled.data.items import Items
from unlabeled.data.reading import as_items, read

__all__ = ["Items", "as_items", "read"]
