"""The machine's clocks, by the kernel's own word."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from actod.model import Instant

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x0040  # <sys/timex.h>: the clock is not synchronised
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit Linux
_STATUS_OFFSET = 5 * ctypes.sizeof(ctypes.c_long)  # behind modes, offset, freq and two errors, each as wide as a long


class SystemClock:
    """Implements the Clock port with clock_gettime(2), adjtimex(2) and the kernel's boot id."""

    def __init__(self) -> None:
        self._boot_id = _BOOT_ID.read_text(encoding="ascii").strip()

    def now(self) -> Instant:
        """Read both clocks. The monotonic one is CLOCK_BOOTTIME: it goes on while the machine sleeps."""
        return Instant(wall_ns=time.time_ns(), monotonic_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def boot_id(self) -> str:
        """Return the kernel's random id of this boot."""
        return self._boot_id

    def synchronised(self) -> bool | None:
        """Ask adjtimex(2), which any user may; NTP is no evidence, only a hint. None where the call is not allowed."""
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
            return None
        status = int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little", signed=True)
        return not status & _STA_UNSYNC
