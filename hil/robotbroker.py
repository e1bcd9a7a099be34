"""A broker on the robot itself, its store on a disk of its own: what it was given, and what actod acknowledged of that.

actod reaches it by way of a witness on this machine, which outlives the robot's power. A broker acknowledges before it
writes: what it loses in a power cut before actod fetched it is the broker's loss, and is counted apart. What actod
acknowledged is actod's.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.parts.certificates import Certificate
from hil.parts.witness import Witness
from hil.robot.model import Message, number_of
from hil.robot.notes import Notes
from hil.robot.planted import Planter
from hil.robot.uplink import Uplink
from hil.tally import Tally

_FIRST = 1_000_000  # no number of the traffic's
_PAUSE_SECONDS = 0.1
_DRAIN_SECONDS = 120.0


class Sender(threading.Thread):
    """The robot's software: publishes notes full of what must be masked, until it is told to end."""

    def __init__(self, *, port: int, folder: Path, seed: int) -> None:
        super().__init__(name="robot's software", daemon=True)
        self._over, self._folder = threading.Event(), folder
        self._planter = Planter(random.Random(f"{seed}/planted"))
        self._notes = Notes(chance=random.Random(f"{seed}/notes"), planter=self._planter)
        self._uplink = Uplink(host="127.0.0.1", port=port, folder=folder, client_prefix="inside")
        self.sent, self.unconfirmed = 0, 0

    def run(self) -> None:
        """Publish."""
        self._uplink.connect(["inside"], {})
        while not self._over.is_set():
            self._uplink.publish(self._next())
            self.sent += 1
            self._uplink.pause(_PAUSE_SECONDS)
        self.unconfirmed = self._uplink.drain(_DRAIN_SECONDS)
        self._uplink.close()

    def _next(self) -> Message:
        number = _FIRST + self.sent
        topic, body = self._notes.make()
        data = {**body, "n": number}
        identity = str(number_of(topic, data))
        return Message(
            number=number,
            identity=identity,
            at=0.0,
            sender="inside",
            topic=topic,
            payload=json.dumps(data).encode(),
            retain=False,
            canaries=self._planter.take(),
        )

    def end(self) -> None:
        """End, once the broker has confirmed everything."""
        self._over.set()
        self.join(2 * _DRAIN_SECONDS)

    def confirmed(self) -> set[str]:
        """Return what the broker confirmed."""
        entries = map(json.loads, (self._folder / "witness.jsonl").read_text(encoding="utf-8").splitlines())
        return {f"#{entry['n']}" for entry in entries if "acked" in entry}

    def canaries(self) -> list[str]:
        """Return what was planted."""
        return [line for line in (self._folder / "canaries.txt").read_text(encoding="utf-8").split("\n") if line]


@dataclass
class RobotBroker:
    """What surrounds a broker on the robot. `witness` is where actod has to connect."""

    witness: Witness
    tally: Tally
    sender: Sender

    @classmethod
    @contextlib.contextmanager
    def around(
        cls,
        *,
        port: int,
        listen: str,
        certificate: Certificate,
        folder: Path,
        seed: int,
        envelopes: Callable[[], list[dict[str, Any]]],
    ) -> Iterator[RobotBroker]:
        """Start the witness before the broker at `port`; the sender is for the scenario to start."""
        with Witness(port, listen=listen, certificate=certificate).running() as witness:
            tally = Tally(seen=lambda: witness.seen, envelopes=envelopes, name=number_of)
            yield cls(witness, tally, Sender(port=port, folder=folder, seed=seed))

    def names(self) -> set[str]:
        """Return every message that the sender made."""
        return {f"#{_FIRST + count}" for count in range(self.sender.sent)}

    def lost(self) -> set[str]:
        """Return what actod acknowledged and no bundle holds."""
        return self.tally.waiting()

    def figures(self) -> dict[str, int]:
        """Return what a result says of it."""
        self.tally.refresh()
        confirmed, acknowledged, arrived = (
            self.sender.confirmed(),
            self.tally.acknowledged,
            self.tally.arrived & self.names(),
        )
        return {
            "sent": self.sender.sent,
            "confirmed_by_broker": len(confirmed),
            "acknowledged_by_actod": len(acknowledged),
            "arrived": len(arrived),
            "lost_by_broker": len(confirmed - acknowledged - arrived),
            "lost_by_actod": len(acknowledged - arrived),
        }
