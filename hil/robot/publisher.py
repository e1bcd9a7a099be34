"""`python -m hil.robot.publisher`: publishes a Site over MQTT, QoS 1, and writes down what it did.

`published.jsonl` gets a line for each message that the broker has confirmed; `canaries.txt` each planted value.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.robot.model import Site
from hil.robot.vda import Message

_ROOT = Path(__file__).resolve().parents[2]


def number_of(topic: str, data: dict[str, Any]) -> str | None:
    """Return what tells a message from every other, also after masking: topic and headerId, or the number."""
    if "headerId" in data:
        return f"{topic}#{data['headerId']}"
    return f"#{data['n']}" if "n" in data else None


class RobotProcess:
    """The publisher as a process of its own."""

    def __init__(self, *, port: int, folder: Path, seed: int, seconds: float) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._arguments = [sys.executable, "-m", "hil.robot.publisher", "--port", str(port), "--folder", str(folder)]
        self._arguments += ["--seed", str(seed), "--seconds", str(seconds)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start publishing."""
        with (self.folder / "robot.log").open("ab") as log:
            self._process = subprocess.Popen(self._arguments, cwd=_ROOT, stdout=log, stderr=log)

    def running(self) -> bool:
        """Whether it still publishes. Raises RuntimeError if it failed."""
        assert self._process is not None
        code = self._process.poll()
        if code:
            raise RuntimeError(f"the robot failed, see {self.folder / 'robot.log'}")
        return code is None

    def published(self) -> set[str]:
        """Return the identity of every message that the broker confirmed."""
        file = self.folder / "published.jsonl"
        return {json.loads(line)["id"] for line in file.read_text(encoding="utf-8").splitlines()} if file.exists() else set()

    def published_count(self) -> int:
        """Return how many messages the broker confirmed so far."""
        file = self.folder / "published.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def canaries(self) -> list[str]:
        """Return every planted value."""
        return (self.folder / "canaries.txt").read_text(encoding="utf-8").split("\n")


def publish(site: Site, *, port: int, folder: Path, seconds: float) -> None:
    """Publish for so long, ten times a second; a missing broker is waited for."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="robot-model", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(100)
    client.connect("127.0.0.1", port)
    client.loop_start()
    sent: list[tuple[str, mqtt.MQTTMessageInfo]] = []
    with (folder / "published.jsonl").open("a", encoding="utf-8") as out:

        def send(message: Message) -> None:
            topic, data = message
            identity = number_of(topic, data)
            sent.append((str(identity), client.publish(topic, json.dumps(data), qos=1)))

        def confirm(*, wait: bool) -> None:
            while sent and (wait or sent[0][1].is_published()):
                identity, info = sent.pop(0)
                info.wait_for_publish(30)
                out.write(json.dumps({"id": identity}) + "\n")
            out.flush()

        started = time.monotonic()
        for message in site.open(now=_now()):
            send(message)
        for tick in range(int(seconds * 10)):
            for message in site.tick(now=_now(), seconds=time.monotonic() - started):
                send(message)
            confirm(wait=False)
            time.sleep(max(0.0, started + (tick + 1) / 10 - time.monotonic()))
        for message in site.close(now=_now()):
            send(message)
        confirm(wait=True)
    client.disconnect()
    client.loop_stop()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    """Publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    site = Site(options.seed)
    publish(site, port=options.port, folder=options.folder, seconds=options.seconds)
    (options.folder / "canaries.txt").write_text("\n".join(site.people.planted), encoding="utf-8")


if __name__ == "__main__":
    main()
