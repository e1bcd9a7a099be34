"""Tell systemd how the daemon fares: sd_notify(3) is one datagram to a Unix socket."""

from __future__ import annotations

import os
import socket


class Notifier:
    """Sends states to $NOTIFY_SOCKET; without one every call does nothing."""

    def __init__(self, *, address: str | None = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]

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
