"""Looking into a store without touching it, beside a running daemon or alone: for the command line."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from actod.errors import ConfigError
from actod.store.faults import translated
from actod.store.outbox import Outbox, Sealed
from actod.store.schema import ARCHIVE, DATABASE_NAME, OUTBOX, QUARANTINE, connect_read_only
from actod.store.status import SpoolStatus, read_status

_PAGE = 100
PLACES = {OUTBOX: "waiting", QUARANTINE: "quarantine", ARCHIVE: "archive"}


class Inspection:
    """A read-only view of the store in `folder`; needs no lock. Close it soon: a long look holds up checkpoints."""

    def __init__(self, folder: Path) -> None:
        path = folder / DATABASE_NAME
        if not path.exists():
            raise ConfigError(
                key="--state", expected="a state folder that actod has used", found=str(folder), fix="name another"
            )
        with translated():
            self._connection = connect_read_only(path)
        self._outbox = Outbox(self._connection)

    def status(self, *, wall_ns: int) -> SpoolStatus:
        """Return the numbers."""
        with translated():
            return read_status(self._connection, wall_ns=wall_ns)

    def complaint(self) -> str:
        """Return what SQLite has against the file's structure, "" for nothing; `fsck` looks at each row as well."""
        with translated():
            said = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        return "" if said == "ok" else " ".join(said.split())

    def bundles(self, place: int, *, limit: int) -> list[Sealed]:
        """Return up to `limit` bundles of a place, in the order of sending."""
        with translated():
            return self._outbox.first(place, limit=limit)

    def every(self, places: Sequence[int]) -> Iterator[Sealed]:
        """Yield all bundles of some places, in the order of sending."""
        for place in places:
            passed = -1
            while rows := self._page(place, passed):
                yield from rows
                passed = rows[-1].at

    def _page(self, place: int, passed: int) -> list[Sealed]:
        with translated():
            return self._outbox.page(place, above=passed, limit=_PAGE)

    def find(self, proof_id: str) -> Sealed | None:
        """Return the bundle that is called `proof_id`, wherever it is."""
        with translated():
            return self._outbox.find(proof_id)

    def signed_since(self, wall_ns: int) -> Iterator[Sealed]:
        """Yield each bundle from the first on that was sealed at this time or later: a clock that went back hides none."""
        with translated():
            yield from self._outbox.signed_since(wall_ns)

    def envelope(self, row: Sealed) -> bytes | None:
        """Return an envelope to the byte as it is sent, None if it is damaged."""
        with translated():
            envelope = self._outbox.envelope(row)
            return envelope.body if envelope else None

    def contents(self) -> Iterator[bytes]:
        """Yield all content that the file holds, uncompressed: each chunk of events, each envelope around them."""
        with translated():
            chunks = (row[0] for row in self._connection.execute("SELECT id FROM chunk"))
            wraps = self._connection.execute("SELECT head, tail FROM wrap")
            yield from itertools.chain(self._outbox.chunks(chunks), (head + tail for head, tail in wraps))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


@contextlib.contextmanager
def inspect(folder: Path) -> Iterator[Inspection]:
    """Open an Inspection for a block."""
    inspection = Inspection(folder)
    try:
        yield inspection
    finally:
        inspection.close()
