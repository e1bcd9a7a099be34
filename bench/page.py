"""docs/performance.md, whose figures stand in bench/reference.json: each is written here, none by hand.

Between `<!-- NAME -->` and `<!-- end -->` the page holds what this module makes of the reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from bench import pictures
from bench.budgets import ELSEWHERE, unmeasured
from bench.figure import number
from hil.rig import ROOT

PAGE, REFERENCE, IMAGES = ROOT / "docs" / "performance.md", ROOT / "bench" / "reference.json", ROOT / "docs" / "img"
PEERS = ROOT / "bench" / "reference-peers.json"
_PLACE = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->\n", re.DOTALL)

# How many times as long a core takes for Python as the one that measured: (least, most). A published run of the n-body
# program on a Raspberry Pi 4 at 1.5 GHz took 158 s, and 20.6 s on the core of the reference under the same Python 3.7: 7.7
# times, or 6.4 at 1.8 GHz. A Pi 5 is reviewed as two to three times as fast as a Pi 4; the Orin Nano's core does about as
# much in a cycle as a Pi 5's, at two thirds of its clock.
BOARDS = {
    "Raspberry Pi 4 (Cortex-A72, 1.8 GHz)": (6.0, 9.0),
    "Raspberry Pi 5 (Cortex-A76, 2.4 GHz)": (2.5, 4.0),
    "Jetson Orin Nano (Cortex-A78AE, 1.5 to 1.7 GHz)": (3.5, 5.5),
}
_SHARE = 0.5  # of one core: what a robot can spare


def adopt(result: dict[str, Any]) -> None:
    """Make a result the reference, and write page and pictures anew."""
    REFERENCE.write_text(json.dumps(result, indent=1) + "\n")
    pictures.draw(result, IMAGES)
    PAGE.write_text(rendered(PAGE.read_text()))


def rendered(text: str) -> str:
    """Return the page with each place filled from the reference."""
    result = json.loads(REFERENCE.read_text())
    peers = json.loads(PEERS.read_text()) if PEERS.exists() else None

    def fill(match: re.Match[str]) -> str:
        return f"<!-- {match[1]} -->\n{_PLACES[match[1]](result, peers)}<!-- end -->\n"

    return _PLACE.sub(fill, text)


def _machine(result: dict[str, Any], _peers: Any) -> str:
    machine = result["machine"]
    words = [f"{machine['cores']} cores of {machine['cpu']} ({machine['virtual']})", machine["memory"], machine["disk"]]
    words += [machine["system"], f"Python {machine['python']}", machine["libraries"]]
    return f"Measured on {result['taken']}, in {result['seconds'] / 60:.0f} minutes: {', '.join(words)}.\n"


def _budgets(result: dict[str, Any], _peers: Any) -> str:
    rows = ["| budget | first | then | measured | |", "|---|---|---|---|---|"]
    for each in result["budgets"]:
        limits = f"≤ {each['first']:g} {each['unit']} | ≤ {each['then']:g} {each['unit']}"
        rows.append(f"| {each['what']} | {limits} | {number(each['value'])} {each['unit']} | {each['verdict']} |")
    rows += [f"| {what} | | | not measured in this run | |" for what in unmeasured(result["budgets"])]
    rows += [f"| {what} | {limit} | {limit} | see {where} | |" for what, limit, where in ELSEWHERE]
    return "\n".join(rows) + "\n"


def _figures(result: dict[str, Any], _peers: Any) -> str:
    rows = ["| figure | median | spread | floor | ratio |", "|---|---|---|---|---|"]
    for name, figure in result["figures"].items():
        values = figure["values"]
        spread = f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else ""
        floor = f"{figure['floor_name']}: {number(figure['floor'])}" if figure["floor"] else ""
        ratio = f"{number(figure['ratio'])} x" if figure["ratio"] else ""
        rows.append(f"| {name} | {number(figure['value'])} {figure['unit']} | {spread} | {floor} | {ratio} |")
    return "\n".join(rows) + "\n"


def _stages(result: dict[str, Any], _peers: Any) -> str:
    one, other = (result["figures"][f"CPU a message, QoS {qos}, to the receipt"]["split"] for qos in (1, 0))
    rows = ["| stage | QoS 1 | QoS 0 |", "|---|---|---|"]
    rows += [f"| {stage} | {us:.1f} us | {other[stage]:.1f} us |" for stage, us in one.items()]
    return "\n".join(rows) + "\n"


def _boards(result: dict[str, Any], _peers: Any) -> str:
    us = result["figures"]["CPU a message, QoS 1, to the receipt"]["value"]
    bundle = result["figures"]["drain of 10,000 bundles over TLS, CPU a bundle"]["value"]
    start = result["figures"]["start to READY, on a store of 256 MiB"]["value"]
    rows = [
        "| board | times as slow | CPU a message | messages a second, half a core | drain, bundles a second | to READY |",
        "|---|---|---|---|---|---|",
    ]
    for board, (least, most) in BOARDS.items():
        pace = f"{_round(_SHARE * 1e6 / us / most):,} to {_round(_SHARE * 1e6 / us / least):,}"
        drain = f"{_round(1e6 / bundle / most):,} to {_round(1e6 / bundle / least):,}"
        cpu = f"{_round(us * least):,} to {_round(us * most):,} us"
        ready = f"{start * least:.1f} to {start * most:.1f} s"
        rows.append(f"| {board} | {least:g} to {most:g} | {cpu} | {pace} | {drain} | {ready} |")
    return "\n".join(rows) + "\n"


def _round(value: float) -> int:
    """Round to two digits: an estimate has no more."""
    digits = len(str(int(value))) - 2
    return int(round(value, -digits)) if digits > 0 else int(value)


def _peers(_result: dict[str, Any], peers: dict[str, Any] | None) -> str:
    if peers is None:
        return "Not measured.\n"
    rows = [
        "| | CPU a message | against paho's loop | kept across SIGKILL | masks | signs | what it cannot do |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in peers["peers"]:
        cost = ratio = "-"
        if each["values"]:
            spread = f"{number(min(each['values']))} to {number(max(each['values']))}"
            cost, ratio = f"{number(each['us'])} us ({spread})", f"{number(each['ratio'])} x"
        words = (each["kept"], each["masks"], each["signs"], each["cannot"])
        rows.append(f"| {each['name']} | {cost} | {ratio} | " + " | ".join(words) + " |")
    return "\n".join(rows) + "\n"


_PLACES: dict[str, Callable[[dict[str, Any], Any], str]] = {
    "machine": _machine,
    "budgets": _budgets,
    "figures": _figures,
    "stages": _stages,
    "boards": _boards,
    "peers": _peers,
}


if __name__ == "__main__":
    result = json.loads(REFERENCE.read_text())
    pictures.draw(result, IMAGES)
    PAGE.write_text(rendered(PAGE.read_text()))
