"""Small SVGs by hand: bars of ratios and curves on two logarithmic axes. (matplotlib isn't a dependency, nor worth being one.)"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

FONT = 'font-family="sans-serif" font-size="11"'
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")


def bars(rows: Sequence[tuple[str, float | None, float | None]]) -> str:
    """Horizontal bars of how many times as fast, on a logarithmic axis, with a mark where it was wanted: (label, ratio, wanted)."""
    known = [(label, ratio, wanted) for label, ratio, wanted in rows if ratio]
    ends = [0.5, 2.0, *(ratio for _, ratio, _ in known), *(wanted for _, _, wanted in known if wanted)]
    low, high = math.log10(min(ends)) - 0.05, math.log10(max(ends)) + 0.15
    left, width, step = 470, 420, 20

    def x(value: float) -> float:
        return left + width * (math.log10(value) - low) / (high - low)

    height = step * len(known) + 50
    parts = [_open(left + width + 70, height)]
    for tick in (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000):
        if low <= math.log10(tick) <= high:
            colour = "#555" if tick == 1 else "#ddd"
            parts.append(f'<line x1="{x(tick):.1f}" y1="20" x2="{x(tick):.1f}" y2="{height - 25}" stroke="{colour}"/>')
            parts.append(f'<text x="{x(tick):.1f}" y="{height - 10}" {FONT} text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{left}" y="14" {FONT}>times as fast as the peer; the mark is what was wanted</text>')
    for i, (label, ratio, wanted) in enumerate(known):
        y, start, end = 25 + i * step, min(x(1), x(ratio)), max(x(1), x(ratio))
        colour = "#999" if wanted is None else "#2ca02c" if ratio >= wanted else "#d62728"
        parts.append(f'<text x="{left - 8}" y="{y + 11}" {FONT} text-anchor="end">{escape(label[:74])}</text>')
        parts.append(f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{max(end, x(1)) + 5:.1f}" y="{y + 11}" {FONT}>{ratio:.2f}</text>')
        if wanted:
            parts.append(f'<line x1="{x(wanted):.1f}" y1="{y - 2}" x2="{x(wanted):.1f}" y2="{y + 16}" stroke="#000" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def curves(lines: dict[str, Sequence[tuple[float, float]]], title: str, across: str) -> str:
    """Lines through points (x, y), both axes logarithmic."""
    points = [point for line in lines.values() for point in line if point[1] > 0]
    left, top, width, height = 60, 30, 520, 320
    (x0, x1), (y0, y1) = (
        (math.floor(min(math.log10(p[i]) for p in points)), math.ceil(max(math.log10(p[i]) for p in points))) for i in (0, 1)
    )

    def place(x: float, y: float) -> tuple[float, float]:
        return left + width * (math.log10(x) - x0) / max(x1 - x0, 1), top + height * (1 - (math.log10(y) - y0) / max(y1 - y0, 1))

    parts = [_open(left + width + 190, top + height + 45), f'<text x="{left}" y="18" {FONT}>{escape(title)}</text>']
    for power in range(x0, x1 + 1):
        at = place(10**power, 10**y0)[0]
        parts.append(f'<line x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{top + height}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{top + height + 16}" {FONT} text-anchor="middle">10^{power}</text>')
    for power in range(y0, y1 + 1):
        at = place(10**x0, 10.0**power)[1]
        parts.append(f'<line x1="{left}" y1="{at:.1f}" x2="{left + width}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" {FONT} text-anchor="end">10^{power}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 36}" {FONT} text-anchor="middle">{escape(across)}</text>')
    for i, (name, line) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        placed = [place(*point) for point in line if point[1] > 0]
        parts.append(
            f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        y = top + 14 + 18 * i
        parts.append(f'<rect x="{left + width + 12}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{left + width + 27}" y="{y}" {FONT}>{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _open(width: float, height: float) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<rect width="100%" height="100%" fill="white"/>'
