"""What the work costs the disk: bytes that the kernel was asked to bring to it, against bytes that came in."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_IO = Path("/proc/self/io")
_DAY_NS = 86_400 * 1_000_000_000
_LEAST_NS = 60 * 1_000_000_000  # a shorter time says nothing about a day


class Wear:
    """Counts from its making on. All that the process writes is in it: store, audit log, vault."""

    def __init__(self, monotonic_ns: int) -> None:
        self._since_ns, self._before = monotonic_ns, written_bytes()
        self._payload_bytes = 0

    def note(self, payload_bytes: int) -> None:
        """Count what was journaled."""
        self._payload_bytes += payload_bytes

    def bytes_a_day(self, monotonic_ns: int) -> int | None:
        """Return how much a day is written at the pace so far; None where that is not known (yet)."""
        written, passed_ns = self._written(), monotonic_ns - self._since_ns
        return None if written is None or passed_ns < _LEAST_NS else written * _DAY_NS // passed_ns

    def amplification(self) -> float | None:
        """Return bytes written for each byte journaled; None where that is not known (yet)."""
        written = self._written()
        return None if written is None or not self._payload_bytes else round(written / self._payload_bytes, 2)

    def _written(self) -> int | None:
        now = written_bytes()
        return None if now is None or self._before is None else now - self._before


def written_bytes() -> int | None:
    """Return what this process had written to disk, proc(5); None where the kernel does not count it."""
    with suppress(OSError, ValueError, KeyError):
        fields = dict(line.split(": ") for line in _IO.read_text(encoding="ascii").splitlines())
        return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])
    return None
