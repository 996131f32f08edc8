"""Years, dates and numbers as people write them, as points in time, and stretches of time."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.checks import whole

DAY = 86_400.0
YEARS = (1000, 2200)  # whole numbers all between these are years
SECONDS = (631_152_000, 4_102_444_800)  # and all between these seconds since 1970: times from 1990 to 2100
MISSING = ("", "nan", "none", "null", "nat", "na", "n/a")
TWITTER = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d?) (\d\d:\d\d:\d\d) ([+-]\d{4}) (\d{4})")


@dataclass(frozen=True)
class Times:
    """kind: "year" (whole numbers), "date" (seconds since 1970, UTC) or "number"."""

    values: np.ndarray  # float64 [n], NaN where there is none
    kind: str
    missing: int  # items without a value
    unread: int  # items with one that is none of these


def read_times(values: Sequence[Any]) -> Times:
    """Numbers, years, dates, and dates with a time, of text or not.

    Whole numbers that all lie between 1000 and 2200 are years, numbers that all lie between 1990 and 2100 in seconds since 1970 are
    dates; other numbers are numbers. Text: ISO (2012-06, 2012-06-12, 2012-06-12T10:00:00Z, with slashes too), an e-mail's, Twitter's.
    InputError: more than half of the values can't be read, or all are the same.
    """
    array = np.asarray(values)
    if array.dtype.kind == "M":
        there = ~np.isnat(array)
        seconds = np.where(there, array.astype("datetime64[ms]").astype(np.int64) / 1000, np.nan)
        return _checked(seconds, "date", int((~there).sum()), 0, "")
    said = [None if _is_missing(value) else value for value in (values.tolist() if isinstance(values, np.ndarray) else values)]
    known = [value for value in said if value is not None]
    if any(isinstance(value, bool) for value in known):
        raise InputError("the times are true and false: wanted dates, years or numbers")
    read, kind = [_number(value) for value in known], "number"
    numbers = np.array([value for value in read if value is not None])
    dates = [_date(value) for value in known] if len(numbers) < len(known) else []
    if dates and sum(value is not None for value in dates) >= len(numbers):
        read, kind = dates, "date"
    elif len(numbers) and (numbers == np.round(numbers)).all() and YEARS[0] <= numbers.min() and numbers.max() <= YEARS[1]:
        kind = "year"
    elif len(numbers) and (numbers == np.round(numbers)).all() and None not in (days := [_date(f"{value:.0f}") for value in numbers]):
        read, kind = _in_place(read, days), "date"  # 20120612
    elif len(numbers) and SECONDS[0] <= numbers.min() and numbers.max() <= SECONDS[1]:
        kind = "date"
    example = next((value for value, one in zip(known, read, strict=True) if one is None), "")
    filled = np.array([np.nan if one is None else one for one in _in_place(said, read)], np.float64)
    return _checked(filled, kind, len(said) - len(known), sum(one is None for one in read), example)


def _in_place(read: list[float | None], values: list[float | None]) -> list[float | None]:
    found = iter(values)
    return [None if one is None else next(found) for one in read]


def _checked(values: np.ndarray, kind: str, missing: int, unread: int, example: Any) -> Times:
    there = values[np.isfinite(values)]
    if unread > len(there):
        wanted = "wanted dates (2012-06-12, 2012-06-12T10:00:00Z), years or numbers"
        raise InputError(f"{unread:,} of {len(values) - missing:,} times can't be read, {str(example)[:40]!r} say: {wanted}")
    if not len(there) or there.min() == there.max():
        raise InputError(
            f"{'no item has a time' if not len(there) else 'all items have the same time'}: there is nothing to compare over time"
        )
    return Times(values, kind, missing, unread)


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and value.strip().lower() in MISSING)


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None


def _date(value: Any) -> float | None:
    """Seconds since 1970; without a zone the time is taken for UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        text = str(value).strip()
        if match := TWITTER.fullmatch(text):
            month, day, clock, zone, year = match.groups()
            text = f"{day} {month} {year} {clock} {zone}"
        value = next(filter(None, (_tried(read, text) for read in READERS)), None)
        if value is None:
            return None
    return float(((value if value.tzinfo else value.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def _loose(text: str) -> datetime:
    """ISO as people write it: a year or a month alone, slashes, months and days of one digit."""
    match = re.fullmatch(r"(\d{4})(?:[-/.](\d\d?))?(?:[-/.](\d\d?))?([ T].*)?", text)
    year, month, day, rest = match.groups() if match else ("", "", "", "")
    return datetime.fromisoformat(f"{year}-{int(month or 1):02}-{int(day or 1):02}{rest or ''}")


READERS = (datetime.fromisoformat, _loose, email.utils.parsedate_to_datetime)


def _tried(read: Callable[[str], datetime], text: str) -> datetime | None:
    try:
        return read(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def time_bins(times: Times, bins: int = 10) -> tuple[np.ndarray, list[str]]:
    """Stretches of equal length: which one each item is in, int64 [n], -1 without a time, and their names.

    At most `bins`: of years and days no stretch is shorter than one.
    """
    values, bins = times.values, whole("bins", bins, 2)
    there = np.isfinite(values)
    low, high = float(values[there].min()), float(values[there].max())
    least = {"year": 1.0, "date": DAY if high - low >= 2 * DAY else 0.0, "number": 0.0}[times.kind]
    if least:
        low = np.floor(low / least) * least
        span = int(np.floor(high / least) - low / least) + 1
        width = -(-span // bins) * least
        bins = -(-span // round(width / least))
    else:
        width = (high - low) / bins
    which = np.full(len(values), -1, np.int64)
    which[there] = np.clip((values[there] - low) // width, 0, bins - 1).astype(np.int64)
    edges = [low + width * i for i in range(bins + 1)]
    return which, [_named(a, min(b, high + least), times.kind, least) for a, b in zip(edges, edges[1:], strict=False)]


def _named(begin: float, end: float, kind: str, least: float) -> str:
    if kind == "number":
        return f"{begin:.6g} to {end:.6g}"
    if kind == "year":
        return f"{begin:.0f}" if end - begin <= 1 else f"{begin:.0f} to {end - 1:.0f}"
    first, last = (datetime.fromtimestamp(t, UTC) for t in (begin, max(begin, end - (least or 1))))
    shape = "%Y-%m-%d" if least else "%Y-%m-%d %H:%M"
    return first.strftime(shape) if least and end - begin <= least else f"{first.strftime(shape)} to {last.strftime(shape)}"
