"""What an account says: the figures of a run, and what of them does not hold. Pure; hil/account.py draws it up."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

from hil.traffic import Traffic


@dataclass
class Account:
    """What became of a run. `lost` are acknowledged messages that no bundle holds; `ledger` explains none of them."""

    acknowledged: int = 0
    arrived: int = 0
    bundles: int = 0
    repeated: int = 0
    unexplained: int = 0
    lost: list[str] = field(default_factory=list)
    ledger: dict[str, int] = field(default_factory=dict)
    verified_by_server: int = 0
    verified_by_hardware: int = 0
    devices: int = 0
    epochs: list[int] = field(default_factory=list)
    chains: str = ""
    lives: int = 1  # more than one where an image was put back; each is verified by itself
    gone: dict[str, int] = field(default_factory=dict)  # acknowledged, and known to have gone with a disk, by why
    inside: dict[str, int] = field(default_factory=dict)  # a broker on the robot: see hil/robotbroker.py
    audit: str = ""
    canaries: int = 0
    canary_hits: list[str] = field(default_factory=list)
    control_found: bool = False
    traffic: Traffic | None = None  # of a virtual robot

    def problems(self) -> list[str]:
        """Return one line for each thing that does not hold; empty is a pass."""
        found = [] if self.acknowledged and self.bundles else ["nothing was acknowledged, or nothing arrived: no account"]
        found += [f"{len(self.lost)} lost: {self.lost[:5]}"] if self.lost else []
        found += [f"{self.unexplained} repeated without a mark"] if self.unexplained else []
        for who, count in (("the server's own function", self.verified_by_server), ("hardware", self.verified_by_hardware)):
            if count != self.bundles:
                found.append(f"{count} of {self.bundles} bundles verified by {who}")
        found += [f"chains: {self.chains}"] if self.chains else []
        found += [f"audit log: {self.audit}"] if self.audit else []
        found += [f"canaries found: {self.canary_hits[:5]}"] if self.canary_hits else []
        found += [] if self.control_found else ["the scan did not find its control value"]
        return found + (self.traffic.problems() if self.traffic is not None else [])


def problems(said: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what `actod verify --json` has against a set of bundles; one that was ended before it said anything as well."""
    if not said.returncode:
        return []
    if not said.stdout:
        return [said.stderr or ended(said)]
    report = json.loads(said.stdout)
    parts = [report, *report["chains"], *report["envelopes"]]
    return [problem for part in parts for problem in part["problems"]] or [f"the verdict is {report['verdict']}"]


def ended(said: subprocess.CompletedProcess[str]) -> str:
    """Say of a program that said nothing how it ended."""
    return f"it ended with {said.returncode}, and said nothing"


def summary(account: Account) -> dict[str, Any]:
    """Return the figures as the results file has them."""
    return {name: value for name, value in vars(account).items() if name not in {"lost", "canary_hits", "traffic"}} | {
        "traffic": account.traffic.figures() if account.traffic is not None else {},
        "lost": len(account.lost),
        "problems": account.problems(),
        "canary_hits": len(account.canary_hits),
    }


def in_words(account: Account) -> str:
    """Return the figures that matter most, in one line."""
    return (
        f"{account.acknowledged} messages acknowledged, {len(account.lost)} lost, {account.bundles} bundles, "
        f"{account.verified_by_hardware} of them verified by hardware, {account.canaries} canaries looked for, "
        f"{len(account.canary_hits)} traces found"
    )
