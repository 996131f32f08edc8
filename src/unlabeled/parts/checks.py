"""What a parameter has to be, said in one line and refused with its name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unlabeled.errors import InputError


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> float:
    """`value` if it is a finite number from `low` to `high` (above: larger than `low`). InputError names it otherwise."""
    right = isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
    if not right or not low <= value <= high or (above and value == low):
        bounds = [f"above {low:g}" if above else f"of at least {low:g}"] * (low > -math.inf) + [f"at most {high:g}"] * (high < math.inf)
        raise InputError(f"{name}={value!r}: wanted a number {' and '.join(bounds)}".rstrip())
    return float(value)


def whole(name: str, value: Any, low: int = 1) -> int:
    """`value` if it is a whole number of at least `low`. InputError names it otherwise."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low:
        raise InputError(f"{name}={value!r}: wanted a whole number of at least {low}")
    return int(value)


def one_of(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """`value` if it is one of the choices. InputError names it otherwise."""
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise InputError(f"{name}={value!r}: wanted one of {', '.join(repr(choice) for choice in choices)}")
    return value
