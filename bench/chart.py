"""A chart of curves on two logarithmic axes, as SVG by hand: nothing but text is needed to draw it."""

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
    """A logarithmic axis from `low` to `high`, with its ticks by their words."""

    title: str
    low: float
    high: float
    ticks: dict[float, str]

    def share(self, value: float) -> float:
        """Return where a value stands, from 0 to 1."""
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
