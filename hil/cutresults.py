"""What the results file of power cuts says: the account of all its batches of this source, and the plot beside it.

A batch of another source does not count, nor does one that a person has set aside, with the reason in its line.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from hil.bound import upper
from hil.charts import spread
from hil.soak import source


def told(lines: list[dict[str, Any]]) -> list[str]:
    """Return the account of all batches in words: the bound that the count supports, and how long it took to come back."""
    cuts = sum(line["cuts"] for line in lines)
    lost = sum(min(line["cuts"], line["lost"]) for line in lines)  # cuts that lost something: at most so many of a batch
    messages, gone = sum(line["acknowledged"] for line in lines), sum(line["lost"] for line in lines)
    seconds = [one for line in lines for one in line["collecting_seconds"]]
    persons = sum("person" in problem for line in lines for problem in line["problems"])
    most = max((line["tpm_failures_at_end"] for line in lines), default=0)
    locked = sum(line["tpm_lockouts"] for line in lines)
    hung = sum(line.get("emulation_hung", 0) for line in lines)
    kind = "simulated, not a board" if any(line["simulated"] for line in lines) else "boards"
    if not seconds:
        return [f"{cuts} power cuts, and no start after one"]
    return [
        f"{cuts} power cuts ({kind}), {messages} acknowledged messages, {gone} lost, {persons} starts that needed a person",
        f"with 95 % confidence a cut loses something in fewer than {100 * upper(lost, cuts):.2f} % of cuts",
        f"collecting again after {statistics.median(seconds):.1f} s (median), {max(seconds):.1f} s (worst)",
        f"the TPM had counted up to {most} unclean stops; {locked} lines of the journal name a lockout",
        f"{hung} starts hung in the emulation before the disk was read, and were begun anew",
    ]


def conclude(results: Path) -> int:
    """Print and draw what the results file holds of this source."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    of_this = [line for line in lines if line["source"] == source()]
    if len(lines) > len(of_this):
        print(f"power cuts: {len(lines) - len(of_this)} batches of another source do not count")
    for line in of_this:
        if why := line.get("set_aside"):
            print(f"power cuts: {line['cuts']} cuts do not count: {why}")
    mine = [line for line in of_this if not line.get("set_aside")]
    for sentence in told(mine):
        print(f"power cuts: {sentence}")
    seconds = [one for line in mine for one in line["collecting_seconds"]]
    results.with_suffix(".svg").write_text(spread("seconds from power to the first acknowledged message", seconds))
    problems = [problem for line in mine for problem in line["problems"]]
    for problem in problems:
        print(f"FAIL {problem}")
    return bool(problems)
