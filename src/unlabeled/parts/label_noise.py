"""Labels made wrong on purpose, and class mixes with a long tail: what methods for noisy labels are tried on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unlabeled.errors import InputError
from unlabeled.parts.labels import classes_of


def noisy_labels(
    y: Any, rate: float, kind: str = "sym", *, targets: str = "uniform", pairs: Mapping[Any, Any] | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Some labels of y [n] exchanged for wrong ones: (the labels [n], bool [n]: which were exchanged; for scoring only).

    kind "sym": round(rate x labelled) rows, drawn from all alike, get another class: targets "uniform", each other class alike
    (then a rare class may end with more wrong labels than right ones), or "mix", in proportion to how frequent it is in y.
    kind "asym": of each class that has a partner round(rate x its size) rows get the partner's label; `pairs` names partners
    {class: partner}, by default each class has the next one, in sorted order, the last the first.
    Rows without a label (-1, "", None) stay so. InputError: a bad rate, kind or targets, an unknown class, fewer than two classes.
    """
    if kind not in ("sym", "asym") or targets not in ("uniform", "mix"):
        raise InputError(f"kind={kind!r}, targets={targets!r}: wanted 'sym' or 'asym', and 'uniform' or 'mix'")
    if not 0 <= rate <= 1:
        raise InputError(f"rate={rate!r}: wanted a share from 0 to 1")
    y = np.asarray(y)
    classes, codes = classes_of(y)
    rng, new = np.random.default_rng(seed), codes.copy()
    if kind == "sym":
        labelled = np.flatnonzero(codes >= 0)
        rows = rng.choice(labelled, round(rate * len(labelled)), replace=False)
        chance = np.bincount(codes[labelled]) if targets == "mix" else np.ones(len(classes))
        for own in range(len(classes)):
            mine = rows[codes[rows] == own]
            others = np.where(np.arange(len(classes)) == own, 0, chance)
            new[mine] = rng.choice(len(classes), len(mine), p=others / others.sum())
    else:
        names = classes.tolist()
        partner = dict(zip(names, names[1:] + names[:1], strict=True)) if pairs is None else dict(pairs)
        unknown = [one for one in (*partner, *partner.values()) if one not in names]
        if unknown:
            raise InputError(f"pairs names {unknown[0]!r}, which is no class of y: wanted some of {names[:12]}")
        for name, other in partner.items():
            rows = np.flatnonzero(codes == names.index(name))
            new[rng.choice(rows, round(rate * len(rows)), replace=False)] = names.index(other)
    changed = new != codes
    noisy = y.copy()
    noisy[changed] = classes[new[changed]]
    return noisy, changed


def long_tail(y: Any, ratio: float, most: int | None = None, *, seed: int = 0) -> np.ndarray:
    """Rows of y [n] whose classes fall off exponentially: the first keeps `most`, the last most / ratio; int64, sorted.

    Which class is how large is drawn with `seed`. most: by default as many as the smallest class has. Every class keeps at
    least one row, and no more than it has. Cui et al., 2019, arXiv:1901.05555. InputError: a bad ratio or most, one class.
    """
    classes, codes = classes_of(y)
    sizes = np.bincount(codes[codes >= 0])
    most = int(sizes.min()) if most is None else most
    if not ratio >= 1 or most < 1:
        raise InputError(f"ratio={ratio!r}, most={most!r}: wanted both 1 or more")
    rng = np.random.default_rng(seed)
    wanted = [max(1, round(most * ratio ** (-place / (len(classes) - 1)))) for place in range(len(classes))]
    kept = [rng.permutation(np.flatnonzero(codes == c))[:size] for c, size in zip(rng.permutation(len(classes)), wanted, strict=True)]
    return np.sort(np.concatenate(kept))
