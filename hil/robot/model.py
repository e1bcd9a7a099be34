"""The whole robot as one sequence of numbered messages, the same for the same seed, start and settings."""

from __future__ import annotations

import datetime as dt
import heapq
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from hil.robot import messages_v2, messages_v3
from hil.robot.machine import Machine
from hil.robot.messages_v2 import Header
from hil.robot.notes import Notes
from hil.robot.planted import Planter
from hil.robot.sensors import Sensors

_NATURAL_RATE = 55.0  # messages a second of all streams together before scaling
_REMARKS = 0.04  # the share of states that carry an operator's remark


@dataclass(frozen=True, slots=True)
class Message:
    """One publication. `at` is seconds since the start; `number` is also in the payload as the member `n`.

    `identity` tells it from every other also after masking, which drops members that a schema does not know.
    """

    number: int
    identity: str
    at: float
    sender: str
    topic: str
    payload: bytes = field(repr=False)
    retain: bool
    canaries: tuple[str, ...] = field(repr=False)


def number_of(topic: str, data: Mapping[str, Any]) -> str | None:
    """Return what tells a message from every other: topic and headerId, or its number; None for a foreign one.

    A last will is foreign: it has no number, and the broker sends it whenever it is stopped, with the first headerId.
    """
    if data.get("connectionState") in {messages_v2.BROKEN, messages_v3.BROKEN}:
        return None
    if "headerId" in data:
        return f"{topic}#{data['headerId']}"
    return f"#{data['n']}" if "n" in data else None


class Vehicle:
    """One VDA 5050 vehicle: the machine, its topics, and a headerId for each topic."""

    def __init__(self, *, words: ModuleType, prefix: str, manufacturer: str, serial: str, machine: Machine) -> None:
        self.words, self.machine, self.sender = words, machine, f"{prefix}/{manufacturer}/{serial}"
        self._manufacturer, self._serial = manufacturer, serial
        self._header_ids: dict[str, int] = {}

    def header(self, kind: str, timestamp: str) -> Header:
        """Make the next header of a topic."""
        number = self._header_ids.get(kind, 0)
        self._header_ids[kind] = (number + 1) % 2**32
        return {
            "headerId": number,
            "timestamp": timestamp,
            "version": self.words.VERSION,
            "manufacturer": self._manufacturer,
            "serialNumber": self._serial,
        }

    def last(self, kind: str) -> int:
        """Return the headerId last used on a topic."""
        return max(self._header_ids.get(kind, 0) - 1, 0)

    def will(self, timestamp: str) -> tuple[str, bytes]:
        """Return topic and payload of the last will. It has no number, and its headerId is old, as the standard says."""
        header = self.header("connection", timestamp)
        self._header_ids["connection"] -= 1
        return f"{self.sender}/connection", json.dumps(self.words.connection(header, self.words.BROKEN)).encode()


class Robot:
    """Two vehicles (VDA 5050 2.1 and 3.0), the sensors of a third robot, and people around them.

    `rate` is messages a second on average, `first` the first number, `epoch` the wall time of the start (seconds since
    1970), `bursts` whether there are bursts and silences.
    """

    def __init__(self, *, seed: int, seconds: float, rate: float, epoch: float, first: int = 1, bursts: bool = True) -> None:
        self._chance = random.Random(seed)
        self._seconds, self._epoch, self._next = seconds, epoch, first
        self._planter = Planter(self._fork())
        self._notes = Notes(chance=self._fork(), planter=self._planter)
        self._sensors = Sensors(self._fork())
        self._ascii = self._fork()
        self.vehicles = [
            self._vehicle(messages_v2, "uagv/v2", "Korvo", "KV-2041"),
            self._vehicle(messages_v3, "vda5050/v3", "Hallbot", "HB-77"),
        ]
        self._phases = list(self._plan(self._fork(), bursts=bursts))
        starts = [0.0, *(end for end, _ in self._phases)]
        whole = sum((end - start) * factor for start, (end, factor) in zip(starts, self._phases, strict=False))
        self._scale = rate / _NATURAL_RATE * self._phases[-1][0] / whole

    def messages(self) -> Iterator[Message]:
        """Yield all messages in the order of their time."""
        for vehicle in self.vehicles:
            header = vehicle.header("connection", self._stamp(0))
            body = vehicle.words.connection(header, "ONLINE")
            yield self._message(0, vehicle.sender, f"{vehicle.sender}/connection", body, retain=True)
        queue: list[tuple[float, int, float, Callable[[float], Iterator[Message]]]] = []
        for index, (hertz, make) in enumerate(self._streams()):
            period = 1 / (hertz * self._scale)
            heapq.heappush(queue, (self._chance.random() * period, index, period, make))
        while queue:
            at, index, period, make = heapq.heappop(queue)
            at = self._out_of_silence(at)
            if at >= self._seconds:
                continue
            yield from make(at)
            later = at + period * self._chance.uniform(0.8, 1.2) / max(self._factor(at), 0.01)
            heapq.heappush(queue, (later, index, period, make))
        for vehicle in self.vehicles:
            header = vehicle.header("connection", self._stamp(self._seconds))
            body = vehicle.words.connection(header, "OFFLINE")
            yield self._message(self._seconds, vehicle.sender, f"{vehicle.sender}/connection", body, retain=True)

    def wills(self) -> dict[str, tuple[str, bytes]]:
        """Return (topic, payload) of each sender's last will."""
        return {vehicle.sender: vehicle.will(self._stamp(0)) for vehicle in self.vehicles}

    def _streams(self) -> list[tuple[float, Callable[[float], Iterator[Message]]]]:
        streams: list[tuple[float, Callable[[float], Iterator[Message]]]] = []
        for vehicle in self.vehicles:
            streams += [(5.0, self._states(vehicle)), (8.0, self._visualizations(vehicle))]
        sensors = [
            (10.0, "joint_states", self._sensors.joint_states),
            (9.0, "imu", self._sensors.imu),
            (1.0, "battery", self._sensors.battery),
            (2.0, "scan", self._sensors.scan),
            (5.0, "odom", self._sensors.odometry),
        ]
        streams += [(hertz, self._reading(name, make)) for hertz, name, make in sensors]
        streams.append((2.0, self._note))
        return streams

    def _states(self, vehicle: Vehicle) -> Callable[[float], Iterator[Message]]:
        def make(at: float) -> Iterator[Message]:
            machine = vehicle.machine
            machine.advance(at)
            commands, machine.commands = machine.commands, []
            for command in commands:
                kind = "instantActions" if command.action else "order"
                header = vehicle.header(kind, self._stamp(at))
                words = vehicle.words
                body = words.instant_actions(header, command) if command.action else words.order(header, machine)
                yield self._message(at, vehicle.sender, f"{vehicle.sender}/{kind}", body)
            remark = self._notes.remark() if self._chance.random() < _REMARKS else None
            body = vehicle.words.state(vehicle.header("state", self._stamp(at)), machine, remark)
            yield self._message(at, vehicle.sender, f"{vehicle.sender}/state", body)

        return make

    def _visualizations(self, vehicle: Vehicle) -> Callable[[float], Iterator[Message]]:
        def make(at: float) -> Iterator[Message]:
            vehicle.machine.advance(at)
            body = vehicle.words.visualization(
                vehicle.header("visualization", self._stamp(at)), vehicle.machine, vehicle.last("state")
            )
            yield self._message(at, vehicle.sender, f"{vehicle.sender}/visualization", body)

        return make

    def _reading(self, name: str, make_body: Callable[[float], dict[str, Any]]) -> Callable[[float], Iterator[Message]]:
        def make(at: float) -> Iterator[Message]:
            yield self._message(at, "site", f"robot/7/{name}", make_body(self._epoch + at))

        return make

    def _note(self, at: float) -> Iterator[Message]:
        topic, body = self._notes.make()
        yield self._message(at, "site", topic, body)

    def _message(self, at: float, sender: str, topic: str, body: Any, *, retain: bool = False) -> Message:
        number, self._next = self._next, self._next + 1
        text = json.dumps({**body, "n": number}, ensure_ascii=self._ascii.random() < 0.5)
        return Message(
            number,
            str(number_of(topic, {**body, "n": number})),
            at,
            sender,
            topic,
            text.encode(),
            retain,
            self._planter.take(),
        )

    def _vehicle(self, words: ModuleType, prefix: str, manufacturer: str, serial: str) -> Vehicle:
        machine = Machine(chance=self._fork(), fault_text=self._notes.fault_text)
        return Vehicle(words=words, prefix=prefix, manufacturer=manufacturer, serial=serial, machine=machine)

    def _fork(self) -> random.Random:
        return random.Random(self._chance.getrandbits(64))

    def _stamp(self, at: float) -> str:
        moment = dt.datetime.fromtimestamp(self._epoch + at, dt.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

    def _plan(self, chance: random.Random, *, bursts: bool) -> Iterator[tuple[float, float]]:
        """Yield (end, factor) of phases: ordinary traffic, bursts at four times the rate, and silences."""
        end, factor = 0.0, 1.0
        while end < self._seconds:
            end += chance.uniform(2, 6) if factor == 1.0 else chance.uniform(0.7, 1.6)
            yield end, factor if bursts else 1.0
            factor = chance.choice([4.0, 0.0]) if factor == 1.0 else 1.0

    def _factor(self, at: float) -> float:
        return next((factor for end, factor in self._phases if at < end), 1.0)

    def _out_of_silence(self, at: float) -> float:
        return next((end if factor == 0.0 else at for end, factor in self._phases if at < end), at)
