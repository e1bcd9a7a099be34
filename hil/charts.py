"""The plots of a report, as SVG that needs nothing else: no script, no font, no file beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from statistics import median

from hil.result import Result
from hil.tally import Sample

_WIDTH, _LEFT, _RIGHT = 1100, 64, 14
_TOP, _HIGH, _BETWEEN, _BOTTOM = 34, 150, 44, 40  # above the first panel, each panel, between them, below the second
_SPREAD_HEIGHT, _MARGIN = 260, 30
_STEPS = (1, 2, 5)


def steps(most: float, *, wanted: int) -> list[int]:
    """Return about `wanted` round numbers from 0 on, the last of them not above `most`."""
    unit = 1
    while True:
        for step in _STEPS:
            if most / (step * unit) <= wanted:
                return list(range(0, int(most) + 1, step * unit))
        unit *= 10


def timeline(samples: Sequence[Sample], results: Sequence[Result]) -> str:
    """Draw the queue's depth above, what was acknowledged and what has arrived below, over minutes; faults as bands."""
    if not samples:
        return ""
    last = max(sample.at for sample in samples) or 1
    wide = _WIDTH - _LEFT - _RIGHT
    below = _TOP + _HIGH + _BETWEEN

    def x(at: float) -> float:
        return _LEFT + wide * at / last

    def line(name: str, top: int, most: int) -> str:
        return " ".join(f"{x(one.at):.1f},{top + _HIGH * (1 - getattr(one, name) / most):.1f}" for one in samples)

    deepest = max(1, *(sample.waiting for sample in samples))
    most = max(1, *(sample.acknowledged for sample in samples))
    bottom = below + _HIGH
    bands = "".join(_band(number, result, x, bottom) for number, result in enumerate(results, 1))
    queue = f'<polygon class="queue" points="{x(samples[0].at):.1f},{_TOP + _HIGH} {line("waiting", _TOP, deepest)} '
    queue += f'{x(samples[-1].at):.1f},{_TOP + _HIGH}"/>'
    drawn = f'<polyline class="owed" points="{line("acknowledged", below, most)}"/>'
    drawn += f'<polyline class="got" points="{line("arrived", below, most)}"/>'
    minutes = "".join(
        f'<text class="tick" x="{x(60 * minute):.1f}" y="{bottom + 18}" text-anchor="middle">{minute}</text>'
        for minute in steps(last / 60, wanted=14)
    )
    heads = _head(_TOP, "queue on the robot, messages") + _head(
        below, "messages: acknowledged (dashed), at the collector (solid)"
    )
    heads += f'<text class="tick" x="{_WIDTH - _RIGHT}" y="{bottom + 34}" text-anchor="end">minutes of traffic</text>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" role="img" aria-label="queue and arrivals over time">'
        f"{bands}{_grid(_TOP, deepest)}{_grid(below, most)}{queue}{drawn}{minutes}{heads}</svg>"
    )


def _band(number: int, result: Result, x: Callable[[float], float], bottom: int) -> str:
    """Draw a fault's time, and paler how long it took to recover; its number stands above."""
    left, right = x(result.began), max(x(result.ended), x(result.began) + 2)
    said = f"{number}. {result.name}: {result.began:.0f} to {result.ended:.0f} s"
    kind = "fault bad" if result.problem else "fault"
    drawn = f'<g><title>{escape(said)}</title><rect class="{kind}" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
    drawn += f'height="{bottom - _TOP}"/><text class="{kind}" x="{left:.1f}" y="{_TOP - 5}">{number}</text></g>'
    if result.recovered_seconds is None:
        return drawn
    wide = max(0.0, x(result.ended + result.recovered_seconds) - right)
    return f'{drawn}<rect class="after" x="{right:.1f}" y="{_TOP}" width="{wide:.1f}" height="{bottom - _TOP}"/>'


def _grid(top: int, most: int) -> str:
    """Draw a panel's lines and their values."""
    drawn = []
    for value in steps(most, wanted=4):
        y = top + _HIGH * (1 - value / most)
        drawn.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    return "".join(drawn)


def _head(top: int, words: str) -> str:
    return f'<text class="head" x="{_LEFT}" y="{top - 18 if top == _TOP else top - 8}">{escape(words)}</text>'


def spread(title: str, seconds: Sequence[float]) -> str:
    """Draw how often which time came, with median and worst, as an SVG of its own."""
    counts = Counter(int(one) for one in seconds)
    most, last = max(counts.values(), default=1), max(counts, default=1) + 1
    high, wide = _SPREAD_HEIGHT - _MARGIN - 20, _WIDTH - _LEFT
    bars = "".join(
        f'<rect x="{_LEFT + wide * at / last:.1f}" y="{20 + high * (1 - count / most):.1f}" '
        f'width="{max(1.0, wide / last - 1):.1f}" height="{high * count / most:.1f}" fill="#2471a3"/>'
        for at, count in counts.items()
    )
    bars += "".join(
        f'<text x="{_LEFT - 6}" y="{20 + high * (1 - count / most) + 4:.1f}" text-anchor="end">{count}</text>'
        for count in steps(most, wanted=4)
    )
    bars += "".join(
        f'<text x="{_LEFT + wide * at / last:.1f}" y="{_SPREAD_HEIGHT - 12}" text-anchor="middle">{at} s</text>'
        for at in steps(last, wanted=12)[:-1]
    )
    known = f"{len(seconds)} cuts, median {median(seconds):.1f} s, worst {max(seconds):.1f} s" if seconds else "none yet"
    size = f'viewBox="0 0 {_WIDTH} {_SPREAD_HEIGHT}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{_LEFT}" y="12">{escape(title)}: {known}</text>{bars}</svg>\n'
    )
