"""One HTML page of a run: a timeline of faults against the queue's depth and what has arrived, and how each was survived."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from hil.result import Result
from hil.tally import Sample

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 1100, 260, 60, 30
_COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#b9770e", "#7d3c98", "#117a65", "#5d6d7e", "#d35400")
_STYLE = "body{font:14px sans-serif;margin:2em;max-width:1140px}td,th{padding:2px 10px;text-align:left}tr.bad{color:#c0392b}"


def page(
    *,
    title: str,
    machine: str,
    samples: Sequence[Sample],
    results: Sequence[Result],
    account: dict[str, Any],
    facts: dict[str, Any],
) -> str:
    """Make the page."""
    rows = "".join(_row(result) for result in results)
    heads = "".join(
        f"<th>{head}</th>"
        for head in ("scenario", "began", "lasted", "recovered in", "deepest queue", "named as", "problem")
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>{escape(machine)}</p>{timeline(samples, results)}{recoveries(results)}"
        f"<h2>Scenarios</h2><table><tr>{heads}</tr>{rows}</table>"
        f"<h2>Account</h2>{_table(account)}<h2>Figures</h2>{_table(facts)}"
    )


def _row(result: Result) -> str:
    recovered = "" if result.recovered_seconds is None else f"{result.recovered_seconds:.1f} s"
    cells = (
        *(result.name, f"{result.began:.0f} s", f"{result.ended - result.began:.0f} s", recovered),
        *(str(result.deepest), result.named, result.problem),
    )
    return f"<tr{' class=bad' if result.problem else ''}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _table(values: dict[str, Any]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(json.dumps(value))}</td></tr>" for name, value in values.items())
    return f"<table>{rows}</table>"


def timeline(samples: Sequence[Sample], results: Sequence[Result]) -> str:
    """Draw the queue's depth (red) and what has arrived (blue) over time, each to its own scale; faults as bands."""
    if not samples:
        return ""
    last = max(sample.at for sample in samples) or 1
    deepest = max(1, *(sample.waiting for sample in samples))
    most = max(1, *(sample.arrived for sample in samples))
    wide, high = _WIDTH - _LEFT, _HEIGHT - _BOTTOM

    def x(at: float) -> float:
        return _LEFT + wide * at / last

    bands = []
    for index, result in enumerate(results):
        colour = _COLOURS[index % len(_COLOURS)]
        left, right = x(result.began), x(max(result.ended, result.began + 1))
        bands.append(
            f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{high}" fill="{colour}" opacity=".15"/>'
        )
        bands.append(f'<text transform="translate({left + 9:.1f} 4) rotate(90)" font-size="9">{escape(result.name)}</text>')
    lines = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.4" points="'
        + " ".join(f"{x(one.at):.1f},{high * (1 - getattr(one, name) / top):.1f}" for one in samples)
        + '"/>'
        for name, top, colour in (("waiting", deepest, "#c0392b"), ("arrived", most, "#2471a3"))
    )
    words = (
        f'<text x="2" y="12" font-size="10" fill="#c0392b">{deepest}</text>'
        f'<text x="2" y="26" font-size="10" fill="#2471a3">{most}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 10}" font-size="11">0 s</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 10}" font-size="11" text-anchor="end">{last:.0f} s</text>'
    )
    caption = "acknowledged and not yet at the collector (red), at the collector (blue), each against its own largest value"
    return f'<h2>Timeline</h2><p>{caption}</p><svg viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(bands)}{lines}{words}</svg>'


def recoveries(results: Sequence[Result]) -> str:
    """Draw how long after each fault's end everything that was owed had arrived."""
    known = [(result.name, result.recovered_seconds) for result in results if result.recovered_seconds is not None]
    longest = max([1.0, *(seconds for _, seconds in known)])
    bars = "".join(
        f'<text x="0" y="{16 * row + 12}" font-size="11">{escape(name)}</text>'
        f'<rect x="190" y="{16 * row + 3}" width="{700 * seconds / longest:.1f}" height="11" fill="#2471a3"/>'
        f'<text x="{196 + 700 * seconds / longest:.1f}" y="{16 * row + 12}" font-size="11">{seconds:.1f} s</text>'
        for row, (name, seconds) in enumerate(known)
    )
    return f'<h2>Recovery</h2><svg viewBox="0 0 {_WIDTH} {16 * len(known) + 4}">{bars}</svg>'


def spread(title: str, seconds: Sequence[float]) -> str:
    """Draw how often which time came, with median and worst, as an SVG of its own."""
    counts = Counter(int(one) for one in seconds)
    most, last = max(counts.values(), default=1), max(counts, default=1) + 1
    high, wide = _HEIGHT - _BOTTOM - 20, _WIDTH - _LEFT
    bars = "".join(
        f'<rect x="{_LEFT + wide * at / last:.1f}" y="{20 + high * (1 - count / most):.1f}" '
        f'width="{max(1.0, wide / last - 1):.1f}" height="{high * count / most:.1f}" fill="#2471a3"/>'
        for at, count in counts.items()
    )
    known = f"{len(seconds)} cuts, median {median(seconds):.1f} s, worst {max(seconds):.1f} s" if seconds else "none yet"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<text x="{_LEFT}" y="12">{escape(title)}: {known}</text>{bars}'
        f'<text x="{_LEFT}" y="{_HEIGHT - 12}">0 s</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 12}" text-anchor="end">{last} s</text></svg>\n'
    )


def write(folder: Path, name: str, **parts: Any) -> Path:
    """Write the page, and beside it everything that is in it as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.html").write_text(page(**parts), encoding="utf-8")
    data = parts | {
        "results": [result.as_dict() for result in parts["results"]],
        "samples": [[one.at, one.acknowledged, one.arrived, one.waiting] for one in parts["samples"]],
    }
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return folder / f"{name}.html"
