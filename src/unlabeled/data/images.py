"""Pictures of any size and mode -> one uint8 array [n, H, W, C], decoded by all cores in bounded memory."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unlabeled.data.items import count, short
from unlabeled.data.jpegs import decode_into, shape_of, small_jpeg
from unlabeled.data.storage import RowFile, write_at
from unlabeled.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

EXTENSIONS = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"P5", b"P6")

KEPT = 64  # pictures that share one size up to this side stay as they are; others are not made larger than it
SMALLEST = 8  # nor smaller than this
MOST_PIXELS = 10**9  # a picture that says it has more is a mistake or an attack
MOST_BYTES = 1 << 30  # what one picture may need while it is decoded
ALONE = 128 << 20  # pictures that need more than this are decoded one at a time
CHUNK = 64  # pictures a worker takes at once, at most
MANY = 1000  # from here on processes pay: threads wait for each other too often when pictures are small

_alone: Any = threading.Lock()  # in a worker process: the one that all of them share


class Header(NamedTuple):
    """What is known of a picture before it is decoded."""

    width: int
    height: int
    grey: bool
    animated: bool
    deep: bool  # more than 8 bits a channel


def read_pictures(
    source: Callable[[], Iterable[Any]],
    *,
    cache: Path | None = None,
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray | None, np.ndarray, dict[int, str], list[str]]:
    """Decode the pictures of `source()`: paths, encoded bytes, or PIL images, in an order that is the same at every call.

    Returns (uint8 [m, H, W, C], or None when nothing can be read; the m positions that can; {position: reason} of the others; notes).
    """
    if size is not None and size < 1:
        raise InputError(f"size is {size}: wanted the side of the pictures in pixels, 1 or more")
    with _large_pictures_allowed():
        headers, reasons = [], {}
        for position, header in enumerate(_in_parallel(_headers, source())):
            headers.append(header)
            if isinstance(header, str):
                reasons[position] = header
        total = len(headers)
        while len(reasons) < total:
            good = np.array([position for position in range(total) if position not in reasons])
            shape = _shape([headers[position] for position in good], size)
            with RowFile(shape, np.uint8, cache, "images") as file:
                failed = _decode(source(), reasons, file, progress, total)
                kept = [position for position in good if position not in failed]
                reasons.update(failed)
                if not kept:
                    break
                if _shape([headers[position] for position in kept], size) != shape:
                    continue  # what couldn't be read had a say in the size: decode the others again
                if failed:
                    whole = np.isin(good, kept)
                    file.rewrite(partial(_those, whole))
                return file.finish(), np.array(kept), reasons, _notes([headers[position] for position in kept])
    return None, np.array([], np.int64), reasons, []


def _those(whole: np.ndarray, start: int, rows: np.ndarray) -> np.ndarray:
    return rows[whole[start : start + len(rows)]]


def _shape(headers: Sequence[Header], size: int | None) -> tuple[int, int, int]:
    """(H, W, C) of all: kept as they are when they share a small size, else squares of `size` or of the median shorter side, 8 to 64."""
    channels = 1 if all(header.grey for header in headers) else 3
    if size is None:
        sizes = {(header.height, header.width) for header in headers}
        if len(sizes) == 1 and max(same := sizes.pop()) <= KEPT:
            return (*same, channels)
        size = int(np.clip(np.median([min(header.width, header.height) for header in headers]), SMALLEST, KEPT))
    return size, size, channels


def _notes(headers: Sequence[Header]) -> list[str]:
    animated, deep = sum(header.animated for header in headers), sum(header.deep for header in headers)
    return ([f"{count(animated, 'animated or many-page picture')}: the first frame is used"] if animated else []) + (
        [f"{count(deep, 'picture')} with more than 8 bits a channel: scaled to 8"] if deep else []
    )


def _headers(chunk: Sequence[Any]) -> list[Header | str]:
    def header(picture: Any) -> Header | str:
        if (data := small_jpeg(picture)) is not None and (shape := shape_of(data)) is not None and 0 < shape[0] * shape[1] <= MOST_PIXELS:
            return Header(shape[1], shape[0], shape[2] == 1, animated=False, deep=False)
        with _open(picture) as image:
            if image.width * image.height > MOST_PIXELS:
                return f"{image.width:,} x {image.height:,} pixels: more than {MOST_PIXELS:,}"
            if image.width * image.height == 0:
                return "no pixels"
            turned = _orientation(image) >= 5
            width, height = (image.height, image.width) if turned else image.size
            animated = image.format != "MPO" and getattr(image, "is_animated", False)
            return Header(width, height, _is_grey(image), bool(animated), image.mode[0] in "IF")

    return [_or_reason(header, picture) for picture in chunk]


def _decode(
    pictures: Iterable[Any], skip: dict[int, str], file: RowFile, progress: Callable[[int, int], None] | None, total: int
) -> dict[int, str]:
    """Decode all but the positions in `skip` into the rows of `file`; returns the reasons of those that failed."""

    def wanted() -> Iterator[tuple[int, int, Any]]:
        row = 0
        for position, picture in enumerate(pictures):
            if position not in skip:
                yield row, position, picture
                row += 1

    failed = {}
    decode = partial(_decode_into, file.file.fileno(), file.offset, file.shape, file.path.parent)
    file.rows = total - len(skip)
    for done, (position, reason) in enumerate(_in_parallel(decode, wanted()), 1):
        if reason is not None:
            failed[position] = reason
        if progress is not None and (done % CHUNK == 0 or done == total - len(skip)):
            progress(done + len(skip), total)
    return failed


def _decode_into(
    fd: int, offset: int, shape: tuple[int, ...], folder: Path, chunk: Sequence[tuple[int, int, Any]]
) -> list[tuple[int, str | None]]:
    """Decode (row, position, picture)s, rows one after the other, into an open file; returns (position, reason or None) of each."""
    rows = np.zeros((len(chunk), *shape), np.uint8)
    results: list[tuple[int, str | None]] = []
    for into, (_, position, picture) in zip(rows, chunk, strict=True):
        if (data := small_jpeg(picture)) is not None and decode_into(into, data):
            results.append((position, None))
            continue
        done = _or_reason(_pixels, picture, shape)
        if isinstance(done, str):
            results.append((position, done))
        else:
            into[...] = done
            results.append((position, None))
    write_at(fd, offset + chunk[0][0] * rows[0].nbytes, rows, folder)
    return results


def _pixels(picture: Any, shape: tuple[int, ...]) -> np.ndarray | str:
    """uint8 [H, W, C] of one picture, or the reason why not."""
    from PIL import Image

    height, width, channels = shape
    with _open(picture) as image:
        turn = _orientation(image)
        as_is = (image.size if turn < 5 else image.size[::-1]) == (width, height)
        full = image.width * image.height
        if not as_is and image is not picture:
            image.draft(None, (2 * width, 2 * width))  # JPEG: decodes at 1/2, 1/4 or 1/8; twice the side keeps the antialiasing ours
        need = _bytes_to_decode(image, full)
        if need > min(MOST_BYTES, _memory() // 4):
            return f"{image.width:,} x {image.height:,} pixels need {need / 2**30:.1f} GiB to decode: save it smaller, or as a plain JPEG"
        with _alone if need > ALONE else nullcontext():
            image.load()
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            box = (left, top, left + side, top + side)
            if (mode := _mode_to_resize(image)) is not None:
                image = image if as_is else image.crop(box)
                image, box = image.convert(mode) if mode else _eight_bits(image), (0, 0, side, side)
            if not as_is:
                image = image.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
            if image.mode in ("LA", "RGBA"):
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA"))
            image = image.convert("L" if channels == 1 else "RGB")
            if turn > 1:
                image = image.transpose(_turns()[turn])
            return np.asarray(image).reshape(shape)


def _mode_to_resize(image: Image.Image) -> str | None:
    """What the picture must become before it can be resized: None as it is, '' 8 bits."""
    if image.mode[0] in "IF":
        return ""
    if image.mode in ("P", "PA") or (image.has_transparency_data and image.mode in ("1", "L", "RGB")):
        return "RGBA" if image.has_transparency_data else "RGB"
    return None if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else "L" if image.mode == "1" else "RGB"


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 bits become 8. Real numbers, and whole ones beyond 16 bits, have no fixed range: each picture's own is used."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, np.float32))
    low, high = float(values.min()), float(values.max())
    if image.mode[0] == "I" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-12))).round().astype(np.uint8))


def _bytes_to_decode(image: Image.Image, full: int) -> int:
    """Memory that decoding will take, of a picture with `full` pixels in its file.

    Pillow keeps 1, 2 or 4 bytes a pixel, and copies where it converts.
    """
    each = 1 if image.mode in ("1", "L", "P") else 2 if image.mode.startswith("I;16") else 4
    if image.mode in ("RGBA", "LA", "I", "F", "I;16", "I;16B") or image.format == "WEBP":
        each *= 2
    if image.info.get("progressive") or image.info.get("progression"):
        return full * 6 + image.width * image.height * each  # libjpeg keeps all coefficients of a progressive picture
    return image.width * image.height * each


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8. A TIFF is turned by Pillow itself; reading the EXIF of a PNG without one would decode it."""
    if "exif" not in image.info or image.format == "TIFF":
        return 1
    turn = image.getexif().get(0x0112, 1)
    return turn if turn in range(1, 9) else 1


def _turns() -> dict[int, Any]:
    from PIL.Image import Transpose as T

    return {2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_270, 7: T.TRANSVERSE, 8: T.ROTATE_90}


def _is_grey(image: Image.Image) -> bool:
    if image.mode != "P":
        return image.mode in ("1", "L", "LA", "La") or image.mode[0] in "IF"
    palette = image.palette
    if palette is None or not isinstance(palette.palette, bytes | bytearray):
        return False
    width = len(palette.rawmode or palette.mode)
    colours = np.frombuffer(bytes(palette.palette[: len(palette.palette) // width * width]), np.uint8).reshape(-1, width)[:, :3]
    return bool((colours == colours[:, :1]).all())


@contextmanager
def _open(picture: Any):
    from PIL import Image

    if isinstance(picture, Image.Image):
        yield picture
        return
    data = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    with Image.open(data, formats=FORMATS) as image:
        yield image


def _or_reason(function: Callable, picture: Any, *rest: Any) -> Any:
    """function(picture, *rest), or in plain words why the picture can't be read."""
    from PIL import UnidentifiedImageError

    try:
        if picture in (None, b"") or (isinstance(picture, str | Path) and os.stat(picture).st_size == 0):
            return "empty (0 bytes)"
        return function(picture, *rest)
    except UnidentifiedImageError:
        return f"not a picture of a known format ({', '.join(FORMATS).lower()}), or its beginning is damaged"
    except PermissionError:
        return "permission denied"
    except FileNotFoundError:
        return "not there (a broken link, or removed while it was read)"
    except MemoryError:
        return "too large for the memory there is"
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on damaged files
        return f"truncated or damaged ({short(error)})"


def _in_parallel(function: Callable[[Sequence[Any]], Sequence[Any]], things: Iterable[Any]) -> Iterator[Any]:
    """function(chunk) of chunks of `things`: on all cores, results in order, few chunks in flight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    things = iter(things)
    first = list(islice(things, MANY))
    things = chain(first, things)
    size = min(CHUNK, max(1, len(first) // (8 * cores)))  # a few large pictures are shared out evenly
    waiting: deque[Future] = deque()
    with _processes(cores, first) or ThreadPoolExecutor(cores) as pool:
        try:
            while chunk := list(islice(things, size)):
                waiting.append(pool.submit(function, chunk))
                if len(waiting) > 2 * cores:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenExecutor:
            raise InputError(
                "a worker that decoded pictures was killed, perhaps for want of memory: close other programs, or make the "
                "largest pictures smaller"
            ) from None
        finally:
            for future in waiting:
                future.cancel()


def _processes(cores: int, first: Sequence[Any]) -> ProcessPoolExecutor | None:
    """Worker processes, where many pictures can be sent to them and the system can fork; they inherit the open files."""
    things = [thing[-1] if isinstance(thing, tuple) else thing for thing in first]
    if cores == 1 or len(first) < MANY or sys.platform != "linux" or any(hasattr(thing, "getexif") for thing in things):
        return None
    import multiprocessing

    if multiprocessing.current_process().daemon:  # may not have children
        return None
    try:
        fork = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(cores, fork, _begin, (fork.Lock(),))
    except (OSError, ImportError):  # no semaphores here
        return None


def _begin(lock: Any) -> None:
    global _alone
    _alone = lock
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer


@contextmanager
def _large_pictures_allowed():
    """Pillow's own limit (179 million pixels) is replaced by ours, which knows what a picture will cost."""
    from PIL import Image

    Image.init()  # loads the formats now, not in several threads at once
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _memory() -> int:
    """Bytes of memory in this machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8 << 30
