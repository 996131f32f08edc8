"""What 10^9 pictures and 10^9 texts would take, computed from the measured curves, with the arithmetic shown. Nothing here was run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

N = 10**9
SHARD = 10**7  # items of one shard
SAMPLE = 10**6  # items to learn from and to find cluster centres on
MEMORY = 64 * 2**30  # bytes of a machine that holds shards
LINKS = 2 * 16 * 4  # bytes of an item's links in the graph's lowest layer, M = 16
CORES = 16  # of a machine
HOURS = 24  # in which all is to be embedded


@dataclass(frozen=True)
class Kind:
    name: str
    raw: int  # bytes of an item as measured
    width: int  # numbers of a vector, float32
    really: str  # what people's own items may weigh


KINDS = (
    Kind("pictures", 32 * 32 * 3, 256, "camera pictures of 2 MB: 2,000 TB, read once, to small ones of 64 x 64: 12 TB"),
    Kind("texts", 70, 100, "pages of 3 kB: 3 TB"),
)


def section(steps: dict[str, Any]) -> list[str]:
    """Lines of docs/scaling.md. A step that wasn't measured is said to be missing, not guessed."""
    measured = {name: step for name, step in steps.items() if step["points"]}
    parts = [
        "## On paper: 10^9 pictures, 10^9 texts",
        "",
        "Computed from the curves above by `benchmarks/on_paper.py`; nothing of this size was run, on one machine or several.",
        f"A machine has {CORES} cores like these and {MEMORY // 2**30} GiB. Seconds are of the processor. Beyond the largest measured",
        "size they are continued with the measured exponent (at least 1). Items are embedded independently of each other, so M machines",
        "are taken to need an M-th of the time. Vectors lie in shards of 10^7; a query goes to all shards at once.",
    ]
    for kind in KINDS:
        lines = [storage(kind), learning(kind, measured), embedding(kind, measured), *index(kind, measured), query(measured)]
        lines += [grouping(measured), curation(measured)]
        parts += ["", f"**10^9 {kind.name}**", "", *(f"- {line}" for line in lines)]
    return parts


def storage(kind: Kind) -> str:
    vectors = N * kind.width * 4
    said = f"Storage: items 10^9 x {kind.raw:,} B = {N * kind.raw / 1e12:.2g} TB ({kind.really}); vectors 10^9 x {kind.width} x 4 B ="
    return f"{said} {vectors / 1e12:.2g} TB, kept twice (in the table, and mapped): {2 * vectors / 1e12:.2g} TB."


def learning(kind: Kind, steps: dict[str, Any]) -> str:
    if f"learn {kind.name}" not in steps:
        return "Learning: not measured."
    seconds, how = at(steps[f"learn {kind.name}"], SAMPLE)
    epochs = ", one epoch" if kind.name == "pictures" else ""
    return f"Learning, on a sample of 10^6{epochs}: {how} = {seconds / 3600:.2g} core-hours."


def embedding(kind: Kind, steps: dict[str, Any]) -> str:
    if f"embed {kind.name}" not in steps:
        return "Embedding: not measured."
    last = steps[f"embed {kind.name}"]["points"][-1]
    rate = last["n"] / last["cpu"]
    hours = N / rate / 3600
    said = f"Embedding: {last['n']:,} items in {last['cpu']:.3g} s = {rate:,.0f} a second; 10^9 / {rate:,.0f} / 3,600 ="
    return f"{said} {hours:,.0f} core-hours, machines for {HOURS} hours: {math.ceil(hours / HOURS / CORES):,}."


def index(kind: Kind, steps: dict[str, Any]) -> list[str]:
    each = kind.width * 4 + kind.width * 2 + LINKS
    shard, shards = SHARD * each, N // SHARD
    holds = max(1, MEMORY // shard)
    room = f"Memory of the index: 10^7 x ({kind.width} x 4 B of a vector + {kind.width} x 2 B of its bfloat16 code + {LINKS} B of links) = "
    room += (
        f"{shard / 2**30:.1f} GiB a shard, {holds} to a machine, {shards} shards on {math.ceil(shards / holds)} machines. With the vectors "
    )
    lean = SHARD * (each - kind.width * 4)
    room += f"left on an SSD {lean / 2**30:.1f} GiB a shard, {math.ceil(shards / max(1, MEMORY // lean))} machines."
    if "index" not in steps:
        return ["Index: not measured.", room]
    seconds, how = at(steps["index"], SHARD)
    wider = kind.width / 64
    hours = shards * seconds * wider / 3600
    built = f"Building it: {how} = {seconds:,.0f} s a shard of vectors of 64 numbers; with {kind.width} taken as {wider:g} times that; "
    return [f"{built}{shards} shards: {hours:,.0f} core-hours.", room]


def query(steps: dict[str, Any]) -> str:
    if "search" not in steps:
        return "A query: not measured."
    seconds, how = at(steps["search"], SHARD)
    said = f"A query: each shard {how} = {seconds * 1000:.2g} ms at most (a graph's grows like log n), all at once; besides, the network"
    return f"{said} and merging {N // SHARD} lists of 10."


def grouping(steps: dict[str, Any]) -> str:
    if "cluster" not in steps:
        return "Clusters: not measured."
    seconds, how = at(steps["cluster"], SAMPLE)
    return f"Clusters: centres on a sample of 10^6: {how} = {seconds / 60:.2g} core-minutes; assigning all is one pass over the vectors."


def curation(steps: dict[str, Any]) -> str:
    """Beyond 10^5 items the finest level has n / 100 groups, so that distances, and seconds, grow with the square of n."""
    if "curate" not in steps:
        return "Curation: not measured."
    bend = 10**5
    seconds, how = at(steps["curate"], bend)
    whole, shard, shards = (seconds * (N / bend) ** 2 / 3600, seconds * (SHARD / bend) ** 2 / 3600, N // SHARD)
    said = f"Curation: {how} = {seconds:.3g} s at 10^5; beyond, the finest level has n / 100 groups, so x (n / 10^5)^2: all at once "
    said += f"{whole:,.0f} core-hours, which nobody should do; in shards of 10^7 {shards} x {shard:,.1f} = {shards * shard:,.0f} "
    few = seconds * (N / bend) / 3600
    return (
        said + f"core-hours; in shards of 10^5, with 1,000 groups each, 10^4 x {seconds:.3g} s = {few:,.0f}, and then their centres again."
    )


def at(step: dict[str, Any], n: int) -> tuple[float, str]:
    """Seconds at n items, and the arithmetic: measured there, of the next larger point, or continued from the largest."""
    known = {point["n"]: point["cpu"] for point in step["points"]}
    last = max(known)
    if n <= last:
        above = min(size for size in known if size >= n)
        return known[above], f"{known[above]:.3g} s (measured{'' if above == n else f' at {above:,}'})"
    slope = max(1.0, step["exponent"] or 1.0)
    return known[last] * (n / last) ** slope, f"{known[last]:.3g} s at {last:,} x ({n / last:g})^{slope:.2f}"
