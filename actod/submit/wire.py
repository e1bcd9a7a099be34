"""How many bytes went over the wire for submission, by the kernel's own count of each connection (tcp(7), TCP_INFO).

Handshakes and TLS are in it; the headers of TCP and IP, and what was sent again, are not. A request that failed behind the
handshake, and whose connection is gone before it could be asked, counts with the length of its body.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any

_TCP_INFO_BYTES = 136
_ACKED_AND_RECEIVED = struct.Struct("=120xQQ")  # <linux/tcp.h>: tcpi_bytes_acked, tcpi_bytes_received; since Linux 4.1


class Wire:
    """Bytes since the start, of all connections that share it."""

    def __init__(self) -> None:
        self.sent = self.received = 0


class WireMeter:
    """Counts one connection. `stream` is httpcore's, None before there is one."""

    def __init__(self) -> None:
        self.stream: Any = None
        self._seen = (0, 0)

    def opened(self, stream: Any) -> None:
        """Count another connection from now on."""
        self.stream, self._seen = stream, (1, 0)  # the kernel counts the SYN as a byte

    def read(self, wire: Wire) -> bool:
        """Add what came since the last reading; False if the connection cannot be asked any more."""
        with suppress(OSError, struct.error, AttributeError):
            info = self.stream.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            seen = _ACKED_AND_RECEIVED.unpack(info)
            wire.sent += seen[0] - self._seen[0]
            wire.received += seen[1] - self._seen[1]
            self._seen = seen
            return True
        return False
