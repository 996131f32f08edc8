"""What a benchmark yields: rows of ours beside the peer's, and whether what was wanted was reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One comparison. `ours` and `theirs` are in `unit`; None: not measured, and `note` says why.

    ratio: how many times as fast we are. wanted: the least ratio; most: for what has no peer, the most that `ours` may be.
    each: what the ratio was in every round, so that its noise shows.
    quality, theirs_quality: of what `measured_by` says; equal: whether they count as equal (None: there is no quality to compare).
    """

    case: str
    peer: str
    unit: str = ""
    ours: float | None = None
    theirs: float | None = None
    wanted: float | None = None
    most: float | None = None
    measured_by: str = ""
    quality: float | None = None
    theirs_quality: float | None = None
    equal: bool | None = None
    note: str = ""
    each: list[float] = field(default_factory=list)  # the ratio of every round

    @property
    def ratio(self) -> float | None:
        if self.ours is None or self.theirs is None:
            return None
        rate = self.unit.endswith("/s")  # the more the better; else seconds
        fast, slow = (self.ours, self.theirs) if rate else (self.theirs, self.ours)
        return fast / max(slow, 1e-12)

    @property
    def met(self) -> bool | None:
        """Whether it is as fast as wanted with equal quality; None where nothing was measured or nothing is wanted."""
        if self.most is not None and self.ours is not None:
            return self.ours <= self.most
        if self.wanted is None or self.ratio is None:
            return None
        return self.ratio >= self.wanted and self.equal is not False

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio, "met": self.met}


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Of rates, round by round."""
    return [round(mine / other, 3) for mine, other in zip(ours, theirs, strict=True)]


@dataclass(frozen=True)
class Benchmark:
    """One entry of the registry.

    peers: {name: what its environment is made of}; () is our own environment. run(plan) yields rows as they come.
    data: sets that must lie in UNLABELED_DATA. minutes: about how long it takes on 2 busy cores, without --full.
    """

    name: str
    what: str
    run: Callable[[Plan], Any]
    peers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    minutes: float = 1


@dataclass(frozen=True)
class Plan:
    """What a benchmark is given: `engines` {"unlabeled" or a peer: interpreter} (peers without an environment are left out)."""

    engines: dict[str, str]
    data: Path
    scratch: Path
    full: bool = False
    rounds: int = 3

    @property
    def peers(self) -> dict[str, str]:
        return {name: python for name, python in self.engines.items() if name != "unlabeled"}
