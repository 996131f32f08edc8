"""What a stranger sends, decoded in a bounded way: looked at before it is unpacked, and never unpacked whole when it is too large."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from typing import Any

import numpy as np

from unlabeled.data import Items
from unlabeled.data.images import FORMATS, read_pictures
from unlabeled.errors import InputError

TEXT = 1 << 20  # bytes of a text
SIDE = 20_000  # pixels


class TooLarge(InputError):
    """More than the server takes on: 413."""


def picture(data: bytes, size: int | None, pixels: int) -> Items:
    """One uploaded picture as Items, as the reader of folders would have made it. size: the side that the run's model wants.

    Raises InputError for what isn't a picture, TooLarge for more than `pixels` pixels, by its header, before anything is decoded.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own word on large pictures: ours comes next
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
        except Image.DecompressionBombError:
            raise TooLarge(f"a picture of far more than {pixels:,} pixels: make it smaller") from None
        except Exception:  # Pillow raises whatever its decoders meet
            raise InputError("that is no picture that can be read: send a PNG, JPEG, WebP, GIF, BMP, TIFF or PPM file") from None
    if width * height > pixels or max(width, height) > SIDE:
        raise TooLarge(f"a picture of {width:,} x {height:,} pixels: at most {pixels:,} in all and {SIDE:,} a side are decoded")
    values, _, reasons, _ = read_pictures(lambda: [data], size=size)
    if values is None:
        raise InputError(f"the picture can't be read: {reasons.get(0, 'unknown')}")
    return Items("image", values, ["upload"])


def text(data: bytes) -> str:
    """One uploaded text."""
    if len(data) > TEXT:
        raise TooLarge(f"a text of {len(data):,} bytes: at most {TEXT:,} are read")
    try:
        found = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("that is no UTF-8 text") from None
    if not found.strip() or "\0" in found:
        raise InputError("that file holds no text")
    return found


def vector(data: bytes, width: int) -> np.ndarray:
    """One uploaded vector: an .npy file [d] or [1, d]."""
    try:
        found = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False, max_header_size=1024)
    except Exception:
        raise InputError(f"that is no .npy file with a vector of {width} numbers") from None
    if found.dtype.kind not in "fiu" or found.size != width or not np.isfinite(found).all():
        raise InputError(f"an array of shape {list(found.shape)} and type {found.dtype}: wanted {width} finite numbers")
    return found.reshape(width).astype(np.float32)


def data_url(address: str) -> bytes:
    """The bytes of "data:image/png;base64,..."."""
    head, comma, body = address.partition(",")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise InputError("these items are pictures: send each as data:image/png;base64,...")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("what follows base64, is no base64") from None


def decoded(kind: str, data: bytes, model: Any, pixels: int) -> Items | str:
    """An uploaded file as what a run of this `kind` can embed."""
    if kind == "image":
        return picture(data, model.inputs_.size, pixels)
    return text(data) if kind == "text" else Items("vector", vector(data, model.inputs_.features)[None], ["upload"])
