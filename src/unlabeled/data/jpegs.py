"""Small JPEGs decoded in one call of libjpeg-turbo: for thumbnails, what Pillow does in Python around it takes most of the time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

LARGEST = 1 << 16  # bytes of a file: beyond, decoding takes the time, and Pillow can decode at a part of the size


def small_jpeg(picture: Any) -> bytes | None:
    """The bytes of a path or of encoded bytes, when they are a small JPEG that is to be shown as it lies in the file; else None.

    None where Pillow's own handling is wanted: EXIF (a picture may be turned), MPO (several pictures), and whatever can't be read.
    """
    if isinstance(picture, (str, Path)):
        try:
            # A pipe that is called .jpg must not make us wait for a writer.
            file = os.open(picture, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return None
        try:
            data = os.read(file, LARGEST + 1)
        except OSError:
            return None
        finally:
            os.close(file)
    elif isinstance(picture, bytes):
        data = picture
    else:
        return None
    plain = len(data) <= LARGEST and data.startswith(b"\xff\xd8\xff") and b"Exif\0" not in data and b"MPF\0" not in data
    return data if plain else None


def shape_of(data: bytes) -> tuple[int, int, int] | None:
    """(height, width, 1 or 3 channels) that a JPEG's header says; None when it is none of grey and YCbCr, or can't be read."""
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return (height, width, 1 if colours == "Gray" else 3) if colours in ("Gray", "YCbCr") else None


def decode_into(out: np.ndarray, data: bytes) -> bool:
    """Decode into `out`, contiguous uint8 [H, W, C] of the file's size. False (and `out` undefined) when it has another, or isn't whole."""
    import simplejpeg

    shape = shape_of(data)
    if shape is None or shape[:2] != out.shape[:2] or shape[2] > out.shape[2]:
        return False
    try:
        simplejpeg.decode_jpeg(data, "RGB" if out.shape[2] == 3 else "GRAY", buffer=out)
    except ValueError:
        return False
    return True
