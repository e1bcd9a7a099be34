"""`make demo`: the main job on one machine, every part real, with faults half way, and an account at the end.

Exit code 0 only if no acknowledged message was lost, no sensitive value was found anywhere, and every bundle verified.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from hil.oracle import Verdict, events, judge
from hil.parts.scan import plant, proves, scan
from hil.rig import Rig, build, wait_for
from hil.robot.publisher import RobotProcess, number_of

_SECONDS = 30.0
_SEED = 20260101
SETTINGS = """
[seal]
max_age_seconds = 5.0
heartbeat_seconds = 10
"""


@dataclass
class Fault:
    """Something that goes wrong at a moment of the run."""

    at_seconds: float
    title: str
    strike: Callable[[Rig], None]
    done: bool = field(default=False)


def faults() -> list[Fault]:
    """Cut the collector for five seconds, kill actod once and the signer once."""

    def kill_actod(rig: Rig) -> None:
        rig.actod.kill()
        rig.actod.start()

    def kill_signer(rig: Rig) -> None:
        if pid := rig.actod.signer_pid():
            os.kill(pid, signal.SIGKILL)

    return [
        Fault(11, "collector cut", lambda rig: rig.collector.set_faults([{"kind": "cut", "at": "before_tls"}])),
        Fault(14, "actod killed (SIGKILL), started again", kill_actod),
        Fault(16, "collector back", lambda rig: rig.collector.set_faults([])),
        Fault(19, "signer killed (SIGKILL)", kill_signer),
    ]


def main() -> int:
    """Run the demo and return its exit code."""
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="actod-demo-"))
    console.print(f"[bold]actod demo[/bold] in {folder}: about {_SECONDS:.0f} s of robot, then the account\n")
    with build(folder, settings=SETTINGS) as rig:
        rig.actod.start()
        wait_for(rig.witness.subscribed, seconds=30, what="actod's subscription")
        robot = RobotProcess(port=rig.broker.port, folder=folder / "robot", seed=_SEED, seconds=_SECONDS)
        robot.start()
        play(rig, robot, console)
        published = robot.published()
        drain(rig, published, console)
        code = rig.actod.stop()
        verdict = judge(rig, number=number_of, published=published)
        found, control = search(rig, robot)
        return account(rig, console, verdict=verdict, published=len(published), found=found, control=control, code=code)


def play(rig: Rig, robot: RobotProcess, console: Console) -> None:
    """Strike each fault at its time while the robot publishes, and show what happens."""
    started, plan, happened = time.monotonic(), faults(), []
    with Live(console=console, refresh_per_second=4) as live:
        while robot.running():
            elapsed = time.monotonic() - started
            for fault in plan:
                if not fault.done and elapsed >= fault.at_seconds:
                    fault.done = True
                    fault.strike(rig)
                    happened.append(f"{fault.at_seconds:4.0f} s  {fault.title}")
            live.update(progress(rig, robot, elapsed, happened))
            time.sleep(0.25)


def progress(rig: Rig, robot: RobotProcess, elapsed: float, happened: list[str]) -> Table:
    """Draw the counters of the moment."""
    table = Table(box=None, show_header=False)
    table.add_row("time", f"{elapsed:4.0f} of {_SECONDS:.0f} s")
    table.add_row("published", str(robot.published_count()))
    table.add_row("acknowledged by actod", str(rig.witness.count_pubacks()))
    table.add_row("bundles at the collector", str(rig.collector.count()))
    for line in happened:
        table.add_row("", f"[yellow]{line}[/yellow]")
    return table


def drain(rig: Rig, published: set[str], console: Console) -> None:
    """Wait until the collector holds everything, or say what is missing."""

    def missing() -> set[str | None]:
        return published - {number_of(event["topic"], event["data"]) for event, _ in events(rig.envelopes())}

    with console.status("the queue drains"):
        try:
            wait_for(lambda: not missing(), seconds=60, what="every message at the collector")
        except TimeoutError:
            console.print(f"[red]{len(missing())} messages did not arrive within 60 s[/red]")


def search(rig: Rig, robot: RobotProcess) -> tuple[int, bool]:
    """Scan every byte of state, logs, temporary folders and received requests for what the robot planted.

    Returns (hits, whether the planted control value was found: a scan that finds nothing anywhere proves nothing).
    """
    control = plant(rig.folder / "tmp")
    places = [
        rig.state,
        rig.folder / "tmp",
        rig.folder / "actod.log",
        rig.collector.received_file,
        rig.collector.envelopes_file,
    ]
    hits = scan(places, [*robot.canaries(), rig.api_key, rig.token.pin, control])
    return sum(hit.canary != control for hit in hits), proves(hits, control)


def account(rig: Rig, console: Console, *, verdict: Verdict, published: int, found: int, control: bool, code: int) -> int:
    """Print the table and where things lie; return the exit code."""
    console.print()
    table = Table(title="what became of it", show_header=False)
    table.add_row("published", str(published))
    table.add_row("acknowledged", str(verdict.acknowledged))
    table.add_row("sealed (messages at the collector)", str(verdict.sealed))
    table.add_row("submitted (bundles with a receipt)", str(verdict.bundles))
    for name, count in verdict.verified.items():
        table.add_row(f"verified by {name}", f"{count} of {verdict.bundles}")
    table.add_row("chains without a hole (actod verify)", "yes" if not verdict.chain else verdict.chain)
    if not verdict.ledger:
        table.add_row("in the loss ledger", "nothing")
    for reason, count in sorted(verdict.ledger.items()):
        table.add_row(f"in the loss ledger: {reason}", str(count))
    table.add_row("repeated after redelivery, marked", str(verdict.repeated))
    table.add_row("lost", str(len(verdict.lost)))
    table.add_row("sensitive values found", str(found))
    table.add_row("control value found by the scan", "yes" if control else "NO")
    table.add_row("actod's exit code", str(code))
    console.print(table)
    problems = verdict.problems()
    if found or not control or code or verdict.sealed < published - sum(verdict.ledger.values()):
        problems.append("see the table")
    console.print(f"\nFiles: {rig.folder}\n  bundles    {rig.collector.envelopes_file}\n  audit log  {rig.state / 'audit'}")
    console.print(f"Look:  .venv/bin/actod verify {rig.collector.envelopes_file}")
    console.print(f"       .venv/bin/actod audit verify --state {rig.state}")
    console.print(f"       .venv/bin/actod queue list --state {rig.state}")
    for problem in problems:
        console.print(f"[bold red]FAIL[/bold red] {problem}")
    console.print("" if problems else "\n[bold green]Nothing lost, nothing leaked, everything verified.[/bold green]")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
