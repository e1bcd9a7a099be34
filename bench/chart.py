"""Charts as SVG by hand, curves and bars: nothing but text is needed to draw them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 230, 40, 50
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#b9770e", "#7d3c98", "#117a65", "#5d6d7e", "#d35400")
_LABEL_PIXELS = 14


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y), both above 0. A curve without a label is drawn thin and grey."""

    points: list[tuple[float, float]]
    label: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`, logarithmic unless it is said to be linear, with its ticks by their words."""

    title: str
    low: float
    high: float
    ticks: dict[float, str]
    linear: bool = False

    def share(self, value: float) -> float:
        """Return where a value stands, from 0 to 1."""
        if self.linear:
            return (max(self.low, min(self.high, value)) - self.low) / (self.high - self.low)
        return (log10(max(self.low, min(self.high, value))) - log10(self.low)) / (log10(self.high) - log10(self.low))


def svg(title: str, x: Axis, y: Axis, curves: list[Curve]) -> str:
    """Draw the curves; labels stand to the right of where they end."""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return LEFT + wide * x.share(point[0]), TOP + high * (1 - y.share(point[1]))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
        f'<text x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x.title)}</text>',
        f'<text transform="translate(16 {TOP + high / 2:.0f}) rotate(-90)" text-anchor="middle">{escape(y.title)}</text>',
    ]
    for value, word in x.ticks.items():
        at = place((value, y.low))[0]
        parts.append(f'<path d="M{at:.1f} {TOP}v{high}" stroke="#eee"/>')
        parts.append(f'<text x="{at:.1f}" y="{TOP + high + 16}" text-anchor="middle">{escape(word)}</text>')
    for value, word in y.ticks.items():
        at = place((x.low, value))[1]
        parts.append(f'<path d="M{LEFT} {at:.1f}h{wide}" stroke="#eee"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(word)}</text>')
    parts.extend(_lines(curves, [[place(point) for point in curve.points] for curve in curves]))
    return "\n".join([*parts, "</svg>", ""])


def _lines(curves: list[Curve], places: list[list[tuple[float, float]]]) -> list[str]:
    parts = []
    labelled: list[tuple[float, float, str, str]] = []
    for curve, points in zip(curves, places, strict=True):
        colour = COLOURS[len(labelled) % len(COLOURS)] if curve.label else "#bbb"
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        dashes = ' stroke-dasharray="5 4"' if curve.dashed else ""
        width = 1.6 if curve.label else 0.6
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>')
        if curve.label:
            labelled.append((points[-1][1], points[-1][0], curve.label, colour))
    free = 0.0
    for py, px, label, colour in sorted(labelled):
        free = max(py, free + _LABEL_PIXELS)  # one below the other
        parts.append(f'<text x="{max(px, WIDTH - RIGHT) + 8:.1f}" y="{free + 4:.1f}" fill="{colour}">{escape(label)}</text>')
    return parts


def bars(title: str, rows: dict[str, dict[str, float]], *, unit: str) -> str:
    """Draw each row as one bar of its parts, one after the other, from the left; parts keep their colour in all rows."""
    parts_of_all = list(dict.fromkeys(name for row in rows.values() for name in row))
    colour = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(parts_of_all)}
    widest = max(sum(row.values()) for row in rows.values())
    left, wide, high, step = 190, WIDTH - 190 - 90, 34, 52
    height = TOP + step * len(rows) + 24 * (1 + len(parts_of_all) // 5) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="22" font-size="14">{escape(title)}</text>',
    ]
    for index, (name, row) in enumerate(rows.items()):
        top, at = TOP + step * index, float(left)
        parts.append(f'<text x="{left - 8}" y="{top + high / 2 + 4:.0f}" text-anchor="end">{escape(name)}</text>')
        for part, value in row.items():
            width = wide * value / widest
            parts.append(f'<rect x="{at:.1f}" y="{top}" width="{width:.1f}" height="{high}" fill="{colour[part]}"/>')
            if width > 3 * _LABEL_PIXELS:
                middle = at + width / 2
                place = f'x="{middle:.1f}" y="{top + high / 2 + 4:.0f}"'
                parts.append(f'<text {place} text-anchor="middle" fill="#fff">{value:.1f}</text>')
            at += width
        parts.append(f'<text x="{at + 6:.1f}" y="{top + high / 2 + 4:.0f}">{sum(row.values()):.0f} {escape(unit)}</text>')
    for index, part in enumerate(parts_of_all):
        x, y = left + index % 5 * 120, TOP + step * len(rows) + 20 + index // 5 * 22
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour[part]}"/>')
        parts.append(f'<text x="{x + 15}" y="{y}">{escape(part)}</text>')
    return "\n".join([*parts, "</svg>", ""])
