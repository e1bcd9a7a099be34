"""Stands where systemd does: gives a service its $NOTIFY_SOCKET, and hears what it says there."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from pathlib import Path


class Manager:
    """`environment` goes to the service; `hears` waits for a datagram that a condition holds of. Close it."""

    def __init__(self, folder: Path, *, watchdog_seconds: float) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        address = folder / "notify"
        self.socket.bind(str(address))
        self.environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": str(int(watchdog_seconds * 1e6))}

    def heard(self) -> dict[str, str]:
        """Return the oldest datagram that was not taken yet, as states; empty if there is none."""
        try:
            lines = self.socket.recv(65536).decode().splitlines()
        except BlockingIOError:
            return {}
        return dict(line.partition("=")[::2] for line in lines)

    def forget(self) -> None:
        """Take all that was said so far."""
        while self.heard():
            pass

    def hears(self, condition: Callable[[dict[str, str]], object], *, seconds: float = 30) -> dict[str, str]:
        """Return the first datagram from now on that fulfils the condition. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            select.select([self.socket], [], [], 0.1)
            said = self.heard()
            if said and condition(said):
                return said
        raise TimeoutError(f"the service did not say it within {seconds:g} s")

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
