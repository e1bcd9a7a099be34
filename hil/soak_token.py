"""The main job while its TPM is treated badly: `python -m hil.soak_token --kills 20 --minutes 5`, see `make soak-token`.

swtpm is killed and started again under load, stays away for minutes, is locked, is stopped; and is absent, stopped or
locked when the daemon starts. In each case collection must go on (or begin) while the token is away, sealing must begin
again by itself when it is back, and at the end every acknowledged message must be in a co-signed bundle that the stock
verifier accepts. What is measured stands in the table that is printed; exit code 0 only if all of it holds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.oracle import Verdict, events, judge
from hil.parts import swtpm
from hil.parts.swtpm import TpmToken
from hil.rig import Rig, build, wait_for
from hil.soak import number

SETTINGS = """requests_per_second = 1000
backoff_min_seconds = 0.05
backoff_max_seconds = 1.0

[seal]
max_age_seconds = 0.5
max_events = 200
heartbeat_seconds = 5

[signer]
timeout_seconds = 2.0
"""
_PER_SECOND = 50
_COLLECTS_WITHIN_SECONDS = 5.0
_LATE_SECONDS = 60.0
_SAYS = {
    "SIGSTOP": ("signer_timeout", "signer_away"),
    "stopped": ("signer_timeout", "signer_away"),
    "locked": ("pin_locked",),
}
_LONG_LOCKOUT_SECONDS = 600


class Load(threading.Thread):
    """Publishes numbered QoS 1 messages at a steady rate until it is told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__(name="load")
        self._port, self._ended, self.published = port, threading.Event(), 0

    def run(self) -> None:
        """Publish; the last message is confirmed by the broker before the thread ends."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="load", protocol=mqtt.MQTTv5)
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        last = None
        while not self._ended.wait(1 / _PER_SECOND):
            last = client.publish(f"robot/{self.published % 3}/joints", json.dumps({"n": self.published}), qos=1)
            self.published += 1
        if last is not None:
            last.wait_for_publish(60)
        client.disconnect()
        client.loop_stop()

    def end(self) -> None:
        """Stop, and wait for the end."""
        self._ended.set()
        self.join(120)


@dataclass
class Case:
    """What became of one case; times in seconds, None where there is nothing to measure."""

    name: str
    away: float
    collected: float | None = None  # from the daemon's start to the first acknowledgement
    resumed: float | None = None  # from the token's return to the first bundle sealed after it
    expected: tuple[str, ...] = ("token_away",)
    said: str = ""  # what the daemon gave as its reason meanwhile
    lockout: float | None = None  # and how long it said that a lockout lasts at most

    def problems(self) -> list[str]:
        """Return what does not hold."""
        found = []
        if self.collected is not None and self.collected > _COLLECTS_WITHIN_SECONDS:
            found.append(f"{self.name}: the first acknowledgement came {self.collected:.1f} s after the start")
        return found


@dataclass
class Soak:
    """Runs the cases on one rig."""

    rig: Rig
    token: TpmToken
    say: Callable[[str], None] = print
    cases: list[Case] = field(default_factory=list)

    def kills(self, count: int) -> None:
        """Kill and restart the TPM under load."""
        for index in range(1, count + 1):
            self._away(f"killed, {index} of {count}", self.token.tpm.kill, self.token.tpm.start, seconds=0.0)

    def stopped(self, seconds: float) -> None:
        """Have no TPM for a while."""
        self._away(f"down for {seconds:g} s", self.token.tpm.kill, self.token.tpm.start, seconds=seconds)

    def paused(self, seconds: float) -> None:
        """SIGSTOP the TPM for longer than the signer may be silent."""
        self._away(f"SIGSTOP for {seconds:g} s", self.token.tpm.pause, self.token.tpm.resume, seconds=seconds)

    def locked(self, seconds: int) -> None:
        """Lock the TPM for longer than actod may take to notice; from then on it unlocks itself within `seconds`."""
        lock, relent = partial(self.token.lock, seconds=_LONG_LOCKOUT_SECONDS), partial(self.token.relent, seconds=seconds)
        self._away(f"locked for {seconds} s", lock, relent, seconds=0.0)
        self.token.unlock()

    def boot(self, name: str, away: Callable[[], None], back: Callable[[], None], *, late: float = 0.0) -> None:
        """Start the daemon while the TPM is not there, and give it back once messages are acknowledged."""
        self.rig.actod.stop()
        away()
        case = Case(f"{name} at boot", late, expected=_SAYS.get(name, ("token_away",)))
        before, started = self.rig.witness.count_pubacks(), time.monotonic()
        self.rig.actod.start()
        wait_for(lambda: self.rig.witness.count_pubacks() > before, seconds=60, what=f"collection with a TPM {case.name}")
        case.collected = time.monotonic() - started
        self._ask(case)
        self._give_back(case, back, late)

    def _away(self, name: str, away: Callable[[], None], back: Callable[[], None], *, seconds: float) -> None:
        case = Case(name, seconds, expected=_SAYS.get(name.split(maxsplit=1)[0], ("token_away",)))
        away()
        before = self.rig.witness.count_pubacks()
        wait_for(lambda: self.rig.witness.count_pubacks() > before, seconds=60, what=f"collection with a TPM {name}")
        self._ask(case)
        self._give_back(case, back, seconds)

    def _ask(self, case: Case) -> None:
        """Wait until the daemon says why it does not seal."""

        def said() -> bool:
            status = self._status()
            case.said = status.get("sealing_waits_for") or ""
            case.lockout = status.get("signer", {}).get("lockout_seconds")
            return case.said in case.expected and ("locked" not in case.name or bool(case.lockout))

        wait_for(said, seconds=60, what=f"the reason, {case.name}")

    def _give_back(self, case: Case, back: Callable[[], None], seconds: float) -> None:
        time.sleep(seconds)  # how long it is away is the experiment
        back()
        returned, moment = time.monotonic(), datetime.now(UTC).isoformat()
        wait_for(lambda: self._newest() > moment, seconds=180, what=f"a bundle after the TPM came back, {case.name}")
        case.resumed = time.monotonic() - returned
        self.cases.append(case)
        self.say(line(case))

    def _status(self) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(20)
                control.connect(str(self.rig.state / "run" / "control.sock"))
                control.sendall(b'{"command":"status","arguments":{}}\n')
                with control.makefile("rb") as answer:
                    return dict(json.loads(answer.readline())["ok"])
        except (OSError, ValueError):
            return {}  # not yet listening

    def _newest(self) -> str:
        """Return when the newest bundle that the collector holds was sealed."""
        file = self.rig.collector.envelopes_file
        if not file.exists():
            return ""
        with file.open("rb") as lines:
            lines.seek(max(0, file.stat().st_size - (1 << 20)))
            whole = [text for text in lines.read().split(b"\n")[:-1] if text.endswith(b"}")]
        last = json.loads(whole[-1]) if whole else {}
        envelope = last.get("envelope", last)
        return str(envelope["payload"]["created_at"]) if envelope else ""


def line(case: Case) -> str:
    """Return one line of the table."""

    def seconds(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    lockout = f", {case.lockout:.0f} s left" if case.lockout else ""
    return f"{case.name:<24} {seconds(case.collected):>10} {seconds(case.resumed):>9}  {case.said}{lockout}"


HEAD = f"{'the TPM was':<24} {'collects':>10} {'seals':>9}  meanwhile the daemon said"


def run(
    rig: Rig, *, kills: int, down: float, lockout: int, late: float = 0.0, say: Callable[[str], None] = print
) -> list[str]:
    """Run the cases on a rig with a TPM that was built with SETTINGS; return what does not hold.

    `down` and `late` are seconds without a TPM, under load and after a start; without `late` two of the starts are left out.
    """
    token = rig.token
    assert isinstance(token, TpmToken)
    tpm, soak = token.tpm, Soak(rig, token, say)
    say(HEAD)
    rig.actod.start()
    wait_for(rig.witness.subscribed, seconds=30, what="the subscription")
    load = Load(rig.broker.port)
    load.start()
    try:
        wait_for(rig.envelopes, seconds=60, what="the first bundle")
        soak.kills(kills)
        soak.stopped(down)
        soak.locked(lockout)
        soak.paused(4.0)
        soak.boot("absent", tpm.kill, tpm.start)
        if late:
            soak.boot("late", tpm.kill, tpm.start, late=late)
            soak.boot("stopped", tpm.pause, tpm.resume)
        soak.boot("locked", lambda: token.lock(seconds=_LONG_LOCKOUT_SECONDS), token.unlock)
    finally:
        load.end()
    wanted = set(range(load.published))
    wait_for(
        lambda: wanted <= {number("", event["data"]) for event, _ in events(rig.envelopes())},
        seconds=120,
        what="every message at the collector",
    )
    rig.actod.stop()
    verdict = judge(rig, number=number, published=wanted)
    say(account(verdict, rig))
    return verdict.problems() + [found for case in soak.cases for found in case.problems()] + _marks(rig, down)


def _marks(rig: Rig, down: float) -> list[str]:
    """Return what is wrong with the marks: each bundle is co-signed, and one that waited a minute for its token says so."""
    marks = [envelope["payload"]["meta"]["actod"] for envelope in rig.envelopes()]
    found = [] if all("cosign" in mark and mark["key"]["kind"] == "sealed" for mark in marks) else ["not all are co-signed"]
    if (down > _LATE_SECONDS) != any(mark["sealed_late"] for mark in marks):
        found.append(f"sealed_late is wrong after {down:g} s without a token")
    return found


def account(verdict: Verdict, rig: Rig) -> str:
    """Return what became of the messages."""
    late = sum(envelope["payload"]["meta"]["actod"]["sealed_late"] for envelope in rig.envelopes())
    return (
        f"acknowledged {verdict.acknowledged}, lost {len(verdict.lost)}, in {verdict.bundles} bundles, "
        f"of them sealed late {late}; verified {verdict.verified}"
    )


def main() -> int:
    """Run the campaign and print the account."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--lockout", type=int, default=30, help="seconds")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="actod-soak-token-"))
    print(f"soak-token: in {folder}", flush=True)
    with build(folder, settings=SETTINGS, new_token=swtpm.make_token) as rig:
        problems = run(rig, kills=options.kills, down=60 * options.minutes, lockout=options.lockout, late=10.0)
    for problem in problems:
        print(f"FAIL {problem}")
    if not problems:
        shutil.rmtree(folder)
        print("soak-token: nothing was lost, and sealing began again by itself each time")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
