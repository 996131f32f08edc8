"""Molecules (SMILES) and proteins (sequences) as vectors that need no chemistry library, and a key that one molecule can't escape."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.checks import whole

ATOM = re.compile(r"\[\d*(?P<inner>[A-Z][a-z]?|[a-z]{1,2})[^\]]*\]|(?P<two>Br|Cl)|(?P<one>[BCNOPSFIbcnops])")
RING = re.compile(r"\[[^\]]*\]|%(\d\d)|(\d)")
GONE = ("H", "Na", "K", "Li", "Ca", "Mg")  # hydrogen, and metals of salts


def gram_bits(texts: Sequence[str], low: int, high: int, bits: int = 1024) -> np.ndarray:
    """Which runs of `low` to `high` letters each text holds, hashed: float32 [n, bits] of 0 and 1, the same on every machine.

    Of SMILES 3 to 6 letters stand for fragments. InputError: texts that aren't.
    """
    found = np.zeros((len(texts), whole("bits", bits)), np.float32)
    for row, text in zip(found, _texts(texts), strict=True):
        row[[zlib.crc32(gram.encode()) % bits for gram in _grams(text, low, high)]] = 1
    return found


def gram_counts(texts: Sequence[str], k: int = 3, bits: int = 1024) -> np.ndarray:
    """How often each run of k letters stands in each text, hashed; square roots, rows of length 1 (of an empty text 0): float32 [n, bits].

    Of protein sequences the runs are k-mers. InputError: texts that aren't.
    """
    found = np.zeros((len(texts), whole("bits", bits)), np.float32)
    for row, text in zip(found, _texts(texts), strict=True):
        for gram, count in Counter(text[i : i + k] for i in range(len(text) - k + 1)).items():
            row[zlib.crc32(gram.encode()) % bits] += count
    found = np.sqrt(found)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def composition(smiles: str) -> tuple[tuple[str, int], ...]:
    """How many atoms of each element the largest part of a SMILES has, and how many rings.

    However a molecule is written, with its salt or without, this is the same; other molecules (isomers) may share it.
    """
    parts = [_counted(part) for part in smiles.split(".")]
    return tuple(sorted(max(parts, key=lambda part: sum(part.values()) - part["rings"]).items()))


def tanimoto(bits: np.ndarray) -> np.ndarray:
    """Shared over all bits of each two rows of 0 and 1, float32 [n, n]; 0 where both are empty."""
    shared = bits @ bits.T
    size = bits.sum(axis=1)
    return shared / np.maximum(size[:, None] + size - shared, 1e-12)


def _counted(part: str) -> Counter[str]:
    atoms = Counter((m["inner"] or m["two"] or m["one"]).capitalize() for m in ATOM.finditer(part))
    for name in GONE:
        atoms.pop(name, None)
    labels = sum(1 for m in RING.finditer(part) if m[1] or m[2])  # each ring opens and closes once
    return +(atoms + Counter(rings=labels // 2))


def _grams(text: str, low: int, high: int) -> set[str]:
    return {text[i : i + k] for k in range(low, high + 1) for i in range(len(text) - k + 1)}


def _texts(texts: Sequence[str]) -> list[str]:
    odd = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if odd is not None:
        raise InputError(f"text {odd} is {texts[odd]!r}: wanted a SMILES or a sequence, a str")
    return list(texts)


__all__ = ["composition", "gram_bits", "gram_counts", "tanimoto"]
