"""Throughput held for a minute with a bounded queue, and the pace at which the broker begins to hold messages back.

A publisher keeps at most so many messages unfinished; depth is counted where they wait: at the broker, in the journal, in
the outbox. Then it publishes at rising paces, until less comes through than is published, or more than a second's worth
waits.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actod.config import IntakeConfig
from bench.figure import Figure
from bench.load import SETTINGS, another_broker, floor, look, rig, running
from bench.machine import say
from bench.wire import packet
from hil.rig import Rig, wait_for

HOLD_SECONDS = 60.0
IN_FLIGHT = 200  # what actod asks for, for the floor as well
_WAITING = 4000  # more than a commit interval brings at the pace that a core holds
_CHUNK = 50
_SAMPLE_SECONDS = 0.5
_STEP_SECONDS = 4.0
_LARGEST_GROUP = IntakeConfig().max_group  # messages: acknowledged by so many at once
_PACES = (500, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12000, 16000, 24000, 32000)
_SETTINGS = f"""{SETTINGS}
[intake]
limits = false
"""  # what a robot may send in a second, or a minute, is a rule and no measure of the program
_MQTT_3_1_1 = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x00\x00\x06source"

Sample = tuple[float, float, int, int, int]  # seconds, messages a second, and depth at broker, journal, outbox (bundles)


class Source:
    """A publisher at QoS 1 that costs next to nothing: packets are made before, and answers are counted, not read."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(_MQTT_3_1_1)
        self._socket.recv(4)
        self._socket.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._packets = [packet(number, properties=b"") for number in range(20_000)]
        self.sent = 0

    def send(self, count: int) -> None:
        """Send so many, and throw away what the broker has answered."""
        first = self.sent % len(self._packets)
        data = b"".join((self._packets + self._packets[:count])[first : first + count])
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                self._drain(0.01)
        self.sent += count
        self._drain(0)

    def _drain(self, seconds: float) -> None:
        while self._selector.select(seconds) and self._socket.recv(65536):
            seconds = 0

    def close(self) -> None:
        self._socket.close()


@contextmanager
def source(port: int) -> Iterator[Source]:
    made = Source(port)
    try:
        yield made
    finally:
        made.close()


def hold(folder: Path, *, seconds: float = HOLD_SECONDS) -> tuple[list[Figure], list[Sample]]:
    """Return the figures, and what was seen over time."""
    with (
        rig(folder, qos=1, settings=_SETTINGS, broker=f"max_inflight_messages {IN_FLIGHT}") as made,
        another_broker(folder / "beside", in_flight=IN_FLIGHT) as beside,
    ):
        say("throughput of the floor")
        bare = [_floor(beside.port)]
        say(f"throughput held for {seconds:.0f} s")
        with running(made), source(made.broker.port) as publisher:
            before = look(made).acknowledged
            samples = _held(made, publisher, seconds)
            wait_for(lambda: look(made).acknowledged >= before + publisher.sent, seconds=60, what="the rest")
            begins = _begins(made, publisher)
        say("throughput of the floor, again")
        bare.append(_floor(beside.port))
    paces = sorted(sample[1] for sample in samples[4:])
    deciles = [paces[len(paces) * tenth // 10] for tenth in (1, 3, 5, 7, 9)]
    name = f"throughput held for {seconds:.0f} s, QoS 1, {IN_FLIGHT} in flight"
    return [
        Figure(name=name, unit="msg/s", values=deciles, floors=bare, floor_name="paho's loop", kind="wall"),
        Figure(name="pace above which the broker holds back, of those tried", unit="msg/s", values=[begins], kind="wall"),
    ], samples


def _floor(port: int, *, messages: int = 20_000) -> float:
    with floor(port, messages=messages, qos=1) as process, source(port) as publisher:
        assert process.stdout is not None
        for _turn in ("to warm up", "counted"):
            began = time.perf_counter()
            for _ in range(0, messages, _CHUNK):
                publisher.send(_CHUNK)
            process.stdout.readline()
        return messages / (time.perf_counter() - began)


def _held(made: Rig, publisher: Source, seconds: float) -> list[Sample]:
    began = time.perf_counter()
    offset, sent = look(made).acknowledged, publisher.sent
    samples: list[Sample] = []
    sampled, done_then = began, 0
    while (now := time.perf_counter()) - began < seconds:
        status = look(made)
        done = status.acknowledged - offset
        room = _WAITING - (publisher.sent - sent - done)
        for _ in range(0, room, _CHUNK):
            publisher.send(_CHUNK)
        if now - sampled >= _SAMPLE_SECONDS:
            pace = (done - done_then) / (now - sampled)
            depth = publisher.sent - sent - done
            samples.append((now - began, pace, depth, status.journal_messages, status.outbox_bundles))
            sampled, done_then = now, done
        if room <= 0:
            time.sleep(0.005)
    return samples


def _begins(made: Rig, publisher: Source) -> float:
    """Return the last pace of which all came through, but for a group, in the second half of its step.

    What waits at the end is not enough to go by: in a short step little more piles up at a pace that is a little too high.
    """
    kept = 0.0
    for pace in _PACES:
        offset, sent, began = look(made).acknowledged, publisher.sent, time.perf_counter()
        half: tuple[float, int] | None = None  # when, and how many were through
        while (passed := time.perf_counter() - began) < _STEP_SECONDS:
            if half is None and passed > _STEP_SECONDS / 2:
                half = passed, look(made).acknowledged
            due = int(pace * passed) - (publisher.sent - sent)
            if due >= _CHUNK:
                publisher.send(_CHUNK)
            else:
                time.sleep((_CHUNK - due) / pace)
        now = look(made).acknowledged
        passed, waiting = time.perf_counter() - began, (publisher.sent - sent) - (now - offset)
        assert half is not None
        through = (now - half[1]) / (passed - half[0])
        say(f"at {pace} a second {through:.0f} come through, and {waiting} wait")
        if waiting > pace or through + _LARGEST_GROUP / (passed - half[0]) < pace:
            break
        kept = float(pace)
        wait_for(lambda: look(made).acknowledged >= offset + publisher.sent - sent, seconds=60, what="the rest")  # noqa: B023
    return kept
