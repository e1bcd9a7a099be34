"""One HTML page of a run: a timeline of faults against the queue's depth and what has arrived, and how each was survived."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from hil.bound import upper
from hil.charts import timeline
from hil.result import Result

SIMULATED, BOARD = "simulated, not a board", "a board"
_STYLE = Path(__file__).with_name("report.css").read_text(encoding="ascii")
_BANDS = (
    "A band is a fault, with its number in the table below; the paler band is the time until all that was owed had arrived."
)
_WORDS = {  # of an account's and a run's figures
    "acknowledged": "messages that the robot acknowledged",
    "arrived": "of them, at the collector",
    "lost": "lost: acknowledged, and in no bundle (must be 0)",
    "bundles": "signed bundles",
    "verified_by_server": "bundles that the server's own function accepts (must be all)",
    "verified_by_hardware": "bundles with the enrolled chip's signature (must be all)",
    "repeated": "messages that came more than once",
    "unexplained": "of them, without a mark (must be 0)",
    "ledger": "messages that signed loss records count, by reason",
    "devices": "devices that signed",
    "epochs": "epochs of the chain",
    "chains": "holes in the chains",
    "audit": "holes in the audit log",
    "canaries": "planted values that were looked for",
    "canary_hits": "traces of them that were found (must be 0)",
    "control_found": "the search found what was planted for it to find",
    "problems": "what does not hold",
    "whole": "every packet that crossed the network card was kept",
    "connections": "connections to the collector",
    "bytes_sent": "bytes on them, from the robot",
    "names": "of them, with the collector's host name, which TLS sends in clear",
    "marked": "the rig's own, in clear, for the search to find (must be 1 or more)",
    "bare": "others that are no TLS (must be 0)",
    "in_clear": "bytes that are no TLS, by port (SSH left out)",
    "seed": "seed",
    "boots": "boots, seconds each",
    "hung": "starts that hung in the emulation before the disk was read, and were begun anew",
    "source": "digest of actod's source",
}


def page(
    *,
    title: str,
    machine: str,
    kind: str,
    samples: Sequence[Any],
    results: Sequence[Result],
    account: dict[str, Any],
    facts: dict[str, Any],
) -> str:
    """Make the page."""
    account = dict(account)
    traffic = account.pop("traffic", {})
    heard = f"<h2>The robot's traffic</h2><div class=wide>{_table(traffic)}</div>" if traffic else ""
    slow = "<p class=pale>Seconds are the emulation's: they say nothing of a board.</p>" if kind == SIMULATED else ""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
        f"<p><span class=kind>{escape(kind)}</span> {escape(machine)}</p>{slow}{_verdict(results, account)}"
        f"<h2>Timeline</h2><p class=pale>{_BANDS}</p><div class=wide>{timeline(samples, results)}</div>"
        f"{recoveries(results)}<h2>Faults</h2><div class=wide>{_faults(results)}</div>"
        f"<h2>Account</h2><div class=wide>{_table(account)}</div>{heard}"
        f"<h2>Run</h2><div class=wide>{_table(facts)}</div></html>\n"
    )


def _verdict(results: Sequence[Result], account: dict[str, Any]) -> str:
    """Say in a line what came of it all."""
    bad = sum(bool(result.problem) for result in results)
    lost, hits, wrong = account.get("lost", 0), account.get("canary_hits", 0), account.get("problems", [])
    said = (
        f"{len(results) - bad} of {len(results)} faults survived, {account.get('acknowledged', 0)} messages acknowledged, "
    )
    said += f"{lost} lost, {hits} traces of planted values"
    said += "".join(f"<br>{escape(one)}" for one in (supported(results), *wrong))
    return f"<p class='verdict {'bad' if bad or wrong else 'good'}'>{said}</p>"


def supported(results: Sequence[Result]) -> str:
    """Say what so many faults prove: not that none could do harm."""
    bad = sum(bool(result.problem) for result in results)
    most = 100 * upper(bad, len(results))
    of = f"{bad} of {len(results)} faults with a problem"
    return f"{of}: with 95 % confidence fewer than {most:.1f} % of such faults have one"


def recoveries(results: Sequence[Result]) -> str:
    """Draw how long after each fault's end everything that was owed had arrived."""
    known = [(number, result) for number, result in enumerate(results, 1) if result.recovered_seconds is not None]
    seconds = [result.recovered_seconds or 0.0 for _, result in known]
    if not seconds:
        return ""
    longest = max(1.0, *seconds)
    rows = "".join(
        f"<tr><td class=number>{number}</td><td>{escape(result.name)}</td>"
        f"<td class=bar><div style='width:{100 * took / longest:.1f}%'></div></td><td class=number>{took:.1f} s</td></tr>"
        for (number, result), took in zip(known, seconds, strict=True)
    )
    caption = (
        "from a fault's end until all that was owed had arrived, and ten messages of after it: these wait for their bundle"
    )
    caption += f"; median {median(seconds):.1f} s, worst {max(seconds):.1f} s"
    return f"<h2>Recovery</h2><p class=pale>Seconds {caption}.</p><table class=bars>{rows}</table>"


def _faults(results: Sequence[Result]) -> str:
    names = ("#", "fault", "began", "lasted", "recovered in", "deepest queue", "what actod said", "problem")
    numbers = {"#", "began", "lasted", "recovered in", "deepest queue"}
    heads = "".join(f"<th{' class=number' if name in numbers else ''}>{name}</th>" for name in names)
    rows = "".join(_row(number, result) for number, result in enumerate(results, 1))
    return f"<table><tr>{heads}</tr>{rows}</table>"


def _row(number: int, result: Result) -> str:
    recovered = "" if result.recovered_seconds is None else f"{result.recovered_seconds:.1f} s"
    minutes, seconds = divmod(round(result.began), 60)
    figures = (f"{minutes}:{seconds:02d}", f"{result.ended - result.began:.0f} s", recovered, str(result.deepest))
    cells = f"<td class=number>{number}</td><td>{escape(result.name)}</td>"
    cells += "".join(f"<td class=number>{escape(cell)}</td>" for cell in figures)
    cells += f"<td class=words>{escape(result.named)}</td><td>{escape(result.problem)}</td>"
    return f"<tr{' class=bad' if result.problem else ''}>{cells}</tr>"


def _table(values: dict[str, Any]) -> str:
    """List figures: those that have words in the order of these, so that what belongs together stands together."""
    order = list(_WORDS)
    values = dict(sorted(values.items(), key=lambda one: order.index(one[0]) if one[0] in _WORDS else len(order)))
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in _lines(values))
    return f"<table class=figures>{rows}</table>"


def _lines(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what each figure is, in words, and its value as a reader expects it."""
    for name, value in values.items():
        words = _WORDS.get(name, name.replace("_", " "))
        yield words, _spelt(value)


def _spelt(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_spelt(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"


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
