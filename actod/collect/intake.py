"""What was received and is not yet durable: bounded in messages and bytes, and handed out in commit groups.

A message counts against the bound from its arrival until its group is released. Beyond three quarters of the bound QoS 0
is not let in, so that what cannot be acknowledged never stops what can; on routes of interventions and safety it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from actod.collect.window import CommitWindow
from actod.config import IntakeConfig
from actod.model import Delivery
from actod.ports import Clock

_QOS0_SHARE = 0.75


class Intake:
    """Between the broker's connection, which adds, and the pipeline, which takes groups and releases them."""

    def __init__(self, config: IntakeConfig, *, receive_maximum: int, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._window = CommitWindow(config, receive_maximum=receive_maximum)
        self._waiting: list[Delivery] = []
        self._messages = self._bytes = 0
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._loop = asyncio.get_running_loop()

    def adopt(self, config: IntakeConfig) -> None:
        """Take other bounds; what is here stays."""
        self._config = config

    def full(self) -> bool:
        """Whether nothing more may be read."""
        return self._messages >= self._config.max_messages or self._bytes >= self._config.max_bytes

    def has_room_for_qos0(self) -> bool:
        """Whether a message that nobody will send again may be let in."""
        return (
            self._messages < self._config.max_messages * _QOS0_SHARE and self._bytes < self._config.max_bytes * _QOS0_SHARE
        )

    def add(self, delivery: Delivery) -> None:
        """Take a message in. `arm` must be called once all that is there was added."""
        self._waiting.append(delivery)
        self._messages += 1
        self._bytes += _size(delivery)
        self._window.arrived(delivery.received.monotonic_ns, acknowledgeable=delivery.qos > 0)

    def release(self, deliveries: Sequence[Delivery], *, acknowledged: int) -> None:
        """Make room: a group is durable, and so many of it were acknowledged to the broker."""
        self._window.acknowledged(self._clock.now().monotonic_ns, acknowledged)
        self._messages -= len(deliveries)
        self._bytes -= sum(map(_size, deliveries))

    def connection_changed(self) -> None:
        """Note that the broker waits for none of our acknowledgements any more."""
        self._window.reset()

    def end(self) -> None:
        """Let `groups` hand out what is here, and end."""
        self._ended = True
        self._due.set()

    async def groups(self) -> AsyncIterator[Sequence[Delivery]]:
        """Yield commit groups in arrival order until `end`."""
        while self._waiting or not self._ended:
            await self._due.wait()
            self._due.clear()
            most = self._config.max_group
            group, self._waiting = self._waiting[:most], self._waiting[most:]
            self._window.taken()
            if self._waiting:
                self._due.set()
            if group:
                yield group

    def arm(self) -> None:
        """See to it that `groups` wakes when a commit is due."""
        due = self._window.due_ns()
        if due is None:
            return
        wait_seconds = (due - self._clock.now().monotonic_ns) / 1e9
        if wait_seconds <= 0 or len(self._waiting) >= self._config.max_group or self.full():
            self._due.set()
            return
        if self._timer is not None:
            if self._timer.when() <= self._loop.time() + wait_seconds + 0.002:
                return  # it wakes early enough, and then looks again
            self._timer.cancel()
        self._timer = self._loop.call_later(wait_seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.arm()


def _size(delivery: Delivery) -> int:
    return len(delivery.payload) + len(delivery.topic)
