"""Arrays in memory, .npy and .npz: two dimensions are vectors, three or four are pictures."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data.images import read_pictures
from unlabeled.data.items import Items, count, listed, short
from unlabeled.data.storage import IN_MEMORY, RowFile, blocks, disk_errors, mapped, scratch
from unlabeled.errors import InputError

WANTED = "numbers [n, d] (vectors) or [n, H, W], [n, H, W, 3] (pictures)"


def read_npy(path: Path, *, kind: str | None, cache: Path | None, size: int | None) -> Items:
    """An .npy file, mapped, never loaded whole."""
    return from_array(_load(path, path.name), kind=kind, source=path.name, cache=cache, size=size)


def read_npz(path: Path, *, kind: str | None, column: str | None, cache: Path | None, size: int | None) -> Items:
    """The one array of an .npz file with rows to learn from, or the one named `column`; arrays [n] beside it become columns."""
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            for name in names:
                arrays[name] = _unpacked(archive, name + ".npy", cache)
    except (InputError, PermissionError):
        raise
    except Exception as error:  # zipfile and zlib raise nearly anything on damaged files
        raise InputError(f"{path.name} is not a readable .npz file ({short(error)}): write it again with numpy.savez") from None
    if not names:
        raise InputError(f"{path.name} holds no array: wanted {WANTED}")
    if column is not None and column not in arrays:
        raise InputError(f"no array {column!r} in {path.name}: it has {listed(names)}")
    several = [name for name in names if arrays[name].ndim >= 2] or names
    if column is None and len(several) != 1:
        raise InputError(f"{path.name} has {count(len(several), 'array')} ({listed(several)}): name one with column (--column)")
    chosen = column or several[0]
    items = from_array(arrays[chosen], kind=kind, source=f"{chosen} of {path.name}", cache=cache, size=size)
    items.columns = {
        name: np.array(array)
        for name, array in arrays.items()
        if name != chosen and array.shape == (len(items),) and array.dtype.kind in "biufU"
    }
    return items


def _unpacked(archive: zipfile.ZipFile, name: str, cache: Path | None) -> np.ndarray:
    """An array of an .npz file, as a map of a temporary file."""
    spool = scratch(cache, ".npy")
    try:
        with archive.open(name) as member, open(spool, "wb") as out, disk_errors(spool.parent):
            shutil.copyfileobj(member, out, 1 << 20)
        return mapped(spool, temporary=True)
    except ValueError as error:  # Python objects, or no rows to map
        spool.unlink()
        return np.array(None) if "Python objects" in str(error) else np.load(archive.open(name), allow_pickle=False)
    except BaseException:
        spool.unlink(missing_ok=True)
        raise


def _load(path: Path, name: str) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except PermissionError:
        raise
    except Exception as error:  # the header is parsed as Python, so that damage shows in many ways
        if "Python objects" in str(error):
            raise InputError(f"{name} holds Python objects: wanted {WANTED}; save it with a number type") from None
        try:
            return np.load(path, allow_pickle=False)  # without rows nothing can be mapped; that is said later
        except Exception:
            why = "it doesn't begin as one" if "pickle" in str(error) else short(error)
            raise InputError(f"{name} is not a readable .npy file ({why}): write it again with numpy.save") from None


def from_array(
    array: Any, *, kind: str | None = None, source: str = "the array", cache: Path | None = None, size: int | None = None
) -> Items:
    """Items of a dense array: [n, d] vectors, [n, H, W] or [n, H, W, C] (also [n, C, H, W]) pictures, [n] strings texts."""
    if hasattr(array, "toarray"):
        raise InputError(f"{source} is a sparse matrix {list(array.shape)}: wanted dense {WANTED}; use .toarray(), or TruncatedSVD first")
    array = array.detach().cpu() if hasattr(array, "detach") else array
    array = array if isinstance(array, np.ndarray) else np.asarray(array)
    if array.dtype.kind == "c":
        raise InputError(f"{source} has dtype {array.dtype}. Complex data not supported: wanted {WANTED}; use its real part or its modulus")
    if array.dtype.kind == "U" and array.ndim == 1:
        if kind not in (None, "text"):
            raise InputError(f"{source} holds strings, kind {kind!r} was asked for: wanted kind 'text'")
        return Items("text", array.tolist(), source=source)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{source} has dtype {array.dtype}: wanted {WANTED}; for texts give a list of str")
    if array.ndim not in (2, 3, 4):
        raise InputError(
            f"{source} has shape {list(array.shape)}: wanted {WANTED}. Reshape your data, for one number an item with array.reshape(-1, 1)"
        )
    found = "vector" if array.ndim == 2 else "image"
    if kind is not None and kind != found and (kind, found) != ("table", "vector"):
        wanted = WANTED if kind in ("image", "vector", "table") else "a list of str"
        raise InputError(f"{source} has shape {list(array.shape)}, kind {kind!r} was asked for: wanted {wanted}")
    if len(array) == 0:
        raise InputError(f"{source} has 0 rows (shape {list(array.shape)}): wanted at least one")
    if 0 in array.shape:
        raise InputError(f"{source} has 0 feature(s) (shape=({', '.join(map(str, array.shape))})) while a minimum of 1 is required.")
    if found == "vector":
        return Items(kind or found, _float32(array, source, cache), source=source)
    return _pictures(array, source, cache, size)


def _float32(array: np.ndarray, source: str, cache: Path | None) -> np.ndarray:
    """float32 [n, d], C-ordered and finite; a large array of another type is converted block by block into a file."""
    bad, first = 0, -1

    def checked(start: int, rows: np.ndarray) -> np.ndarray:
        nonlocal bad, first
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32)
        wrong = ~np.isfinite(rows).all(axis=1)
        if wrong.any():
            first = start + int(wrong.argmax()) if first < 0 else first
            bad += int(wrong.sum())
        return rows

    if array.dtype == np.float32 and array.flags.c_contiguous:
        for start, rows in blocks(array):
            checked(start, rows)
        values = array
    else:
        values = _converted(array, array.shape[1:], np.float32, checked, cache, "vectors")
    if bad:
        raise InputError(
            f"{source}: {count(bad, 'row')} of {len(array):,} with NaN or infinite values (or too large for float32), "
            f"the first is row {first:,}: drop those rows or fill them in, for example with numpy.nan_to_num"
        )
    return values


def _converted(
    array: np.ndarray, shape: tuple[int, ...], dtype: Any, change: Callable[[int, np.ndarray], np.ndarray], cache: Path | None, name: str
) -> np.ndarray:
    """change(first row, rows) of all rows: [n, *shape] in memory when small, else in a file."""
    if len(array) * int(np.prod(shape)) * np.dtype(dtype).itemsize <= IN_MEMORY:
        return np.concatenate([change(start, rows) for start, rows in blocks(array)])
    with RowFile(shape, dtype, cache, name) as file:
        for start, rows in blocks(array):
            file.append(change(start, rows))
        return file.finish()


def _pictures(array: np.ndarray, source: str, cache: Path | None, size: int | None) -> Items:
    notes = []
    if array.ndim == 3:
        array = array[..., None]
    if array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        array = array.transpose(0, 2, 3, 1)
        notes.append(f"{source} has its channels first: read as [n, height, width, channels]")
    height, width, channels = array.shape[1:]
    if channels not in (1, 3, 4):
        raise InputError(
            f"{source} has shape {list(array.shape)}: wanted pictures with 1 or 3 channels, [n, H, W], [n, H, W, 3] or [n, 3, H, W]"
        )
    change = _to_bytes(array, source)
    if array.dtype != np.uint8 or channels == 4 or not array.flags.c_contiguous:

        def opaque(start: int, rows: np.ndarray) -> np.ndarray:
            rows = change(rows)
            if channels == 4:  # on white
                rows = (255 - (255 - rows[..., :3].astype(np.uint16)) * rows[..., 3:] // 255).astype(np.uint8)
            return rows

        array = _converted(array, (height, width, min(channels, 3)), np.uint8, opaque, cache, "images")
    if size is not None and (height, width) != (size, size):
        from PIL import Image

        pictures = array if array.shape[3] == 3 else array[..., 0]
        resized, _, reasons, _ = read_pictures(
            lambda: (Image.fromarray(rows) for _, block in blocks(pictures) for rows in block), cache=cache, size=size
        )
        if resized is None:
            raise InputError(f"{source}: no picture could be read ({next(iter(reasons.values()))})")
        array = resized
    return Items("image", array, source=source, notes=notes)


def _to_bytes(array: np.ndarray, source: str) -> Callable[[np.ndarray], np.ndarray]:
    """What makes uint8 of these pixels: those in [0, 1] are stretched, those in [0, 255] rounded; 16 bits are scaled down."""
    if array.dtype == np.uint8:
        return lambda rows: rows
    if array.dtype == bool:
        return lambda rows: rows.astype(np.uint8) * 255
    low, high = np.inf, -np.inf
    for start, rows in blocks(array):
        lowest, highest = float(rows.min()), float(rows.max())
        if not np.isfinite(lowest + highest):
            row = start + int((~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)).argmax())
            raise InputError(
                f"{source}: picture {row:,} has NaN or infinite pixels: drop it or fill them in, for example with numpy.nan_to_num"
            )
        low, high = min(low, lowest), max(high, highest)
    if low >= 0 and high <= 1 and array.dtype.kind == "f":
        scale = 255.0
    elif low >= 0 and high <= 255:
        scale = 1.0
    elif low >= 0 and high <= 65535 and array.dtype.kind in "iu":
        scale = 255 / 65535
    else:
        raise InputError(
            f"{source} has pixels from {low:g} to {high:g}: wanted 0 to 255, or 0 to 1; rescale them, for example "
            "(x - x.min()) / (x.max() - x.min())"
        )
    return lambda rows: (rows.astype(np.float32) * np.float32(scale)).round().astype(np.uint8)
