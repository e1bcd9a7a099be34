"""Tell systemd how the daemon fares: sd_notify(3) is one datagram to a Unix socket."""

from __future__ import annotations

import os
import socket
import time


class Notifier:
    """Sends states to $NOTIFY_SOCKET; without one every call does nothing.

    `watchdog_seconds` is how often systemd wants to hear that we live; 0 where it does not.
    """

    def __init__(self, *, address: str | None = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self.watchdog_seconds = _watchdog_seconds() if self._address else 0.0
        self._status = ""

    def send(self, **states: str) -> None:
        """Send `STATE=value` lines, such as READY="1", STATUS="...". A manager that is away or full is not our failure."""
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in states.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
            try:
                sock.connect(self._address)
                sock.send(message.encode())
            except OSError:
                return

    def status(self, text: str) -> None:
        """Send what `systemctl status` shows, if it changed."""
        if text != self._status:
            self._status = text
            self.send(STATUS=text)

    def reloading(self) -> None:
        """Say that the configuration is read anew; READY=1 ends it. systemd 253 and newer want to know since when."""
        self.send(RELOADING="1", MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))


def _watchdog_seconds() -> float:
    """Return WATCHDOG_USEC in seconds, if it is meant for this process; see sd_watchdog_enabled(3)."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() else 0.0
