"""What must hold after the faults: held against the witness and the collector, never against actod's own word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hil.rig import ROOT, Rig

Number = Callable[[str, dict[str, Any]], Any]


@dataclass
class Verdict:
    """The account of a run. `lost` are acknowledged messages that no bundle holds; `unexplained` repeats no mark."""

    acknowledged: int = 0
    sealed: int = 0
    bundles: int = 0
    lost: list[Any] = field(default_factory=list)
    invented: list[Any] = field(default_factory=list)
    unexplained: list[Any] = field(default_factory=list)
    repeated: int = 0
    verified: dict[str, int] = field(default_factory=dict)
    chain: str = ""
    ledger: Counter[str] = field(default_factory=Counter)

    def problems(self) -> list[str]:
        """Return one line for each thing that does not hold; empty is a pass."""
        found = []
        for name in ("lost", "invented", "unexplained"):
            values = getattr(self, name)
            if values:
                found.append(f"{len(values)} {name}: {values[:5]}")
        found += [
            f"{name}: {count} of {self.bundles} verified" for name, count in self.verified.items() if count != self.bundles
        ]
        if self.chain:
            found.append(f"chain: {self.chain}")
        return found


def events(envelopes: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield each event of the robots (not actod's own) and whether it is marked as a repeated delivery."""
    for envelope in envelopes:
        payload = envelope["payload"]
        if payload["subject"]["task_id"] == "actod":
            continue
        marks = payload["meta"]["actod"]["marks"]
        marked = {index for word in ("redelivered", "possible_duplicate", "retained") for index in marks.get(word, ())}
        for index, event in enumerate(payload["telemetry_normalized"]["events"]):
            yield event, index in marked


def judge(rig: Rig, *, number: Number, published: Iterable[Any]) -> Verdict:
    """Compare what the witness saw acknowledged with what the collector holds, and have all bundles verified."""
    envelopes = rig.envelopes()
    verdict = Verdict(bundles=len(envelopes))
    acknowledged = {
        number(seen.topic, json.loads(seen.payload)) for seen in rig.witness.acknowledged() if seen.payload[:1] == b"{"
    }
    acknowledged.discard(None)
    copies: Counter[Any] = Counter()
    marked: Counter[Any] = Counter()
    for event, mark in events(envelopes):
        identity = number(event["topic"], event["data"])
        copies[identity] += 1
        marked[identity] += mark
    copies.pop(None, None)
    verdict.acknowledged, verdict.sealed = len(acknowledged), len(copies)
    verdict.lost = sorted(acknowledged - set(copies), key=str)
    verdict.invented = sorted(set(copies) - set(published), key=str)
    verdict.repeated = sum(count - 1 for count in copies.values())
    verdict.unexplained = [identity for identity, count in copies.items() if count - 1 > marked[identity]]
    for envelope in envelopes:
        for line in envelope["payload"]["meta"]["actod"]["loss"]:
            verdict.ledger[line["reason"]] += line["count"]
    verify(rig, verdict)
    return verdict


def verify(rig: Rig, verdict: Verdict) -> None:
    """Have every bundle verified by actobotics' own function under two orjson, and the chains by `actod verify`."""
    file = rig.collector.envelopes_file
    for name, path in (
        ("actobotics, newest orjson", None),
        ("actobotics, orjson 3.11.5", ROOT / ".cache/orjson-3.11.5"),
    ):
        verdict.verified[name] = stock_verified(file, path)
    result = rig.tool("verify", "--json", str(file))
    if result.returncode:
        verdict.chain = (result.stdout or result.stderr)[:2000]


def stock_verified(file: Path, orjson_folder: Path | None) -> int:
    """Count the envelopes of a JSONL file that the server's own verify function accepts."""
    environment = dict(os.environ) | {"PYTHONPATH": str(orjson_folder or "")}
    with file.open("rb") as lines:
        result = subprocess.run(
            [sys.executable, str(ROOT / "hil/parts/stock_verifier.py")],
            stdin=lines,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    return sum(json.loads(line)["valid"] for line in result.stdout.splitlines() if line)
