"""Sealed bundles: the outbox, the archive behind it and the quarantine beside it. One table, three places.

`id` rises with each bundle; the key, made of place, rank and id, is the order of sending, so that putting and taking are
one seek each however much is queued.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass, fields, replace

from actod.model import PRIORITY, Bundle, Envelope, TrafficClass
from actod.store.chunk import digest, parse_ranges, ranges, unpack
from actod.store.faults import DamageError
from actod.store.ledger import robot_key
from actod.store.schema import ARCHIVE, OUTBOX, PLACE_SHIFT, QUARANTINE, RANK_SHIFT

CLASSES = tuple(TrafficClass)
_ID_MASK = (1 << RANK_SHIFT) - 1


def key(place: int, traffic_class: TrafficClass, number: int) -> int:
    """Make the key of a bundle."""
    return place << PLACE_SHIFT | PRIORITY[traffic_class] << RANK_SHIFT | number


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row of the table `bundle`.

    `chunks` are "number+count" words, `size` and `digest` are those of the envelope's body,
    `losses` how much its ledger counts.
    """

    at: int
    proof_id: str
    payload_hash: str
    robot: str
    epoch: int
    seq: int
    device_seq: int
    count: int
    size: int
    losses: int
    chunks: str
    sealed_wall: int
    settled_wall: int | None
    note: str | None
    digest: bytes

    @property
    def id(self) -> int:
        """Return the bundle's number in this store."""
        return self.at & _ID_MASK

    @property
    def first_number(self) -> int:
        """Return the number of its first message; 0 where its events do not stand in chunks."""
        return next((number for number, _count in parse_ranges(self.chunks)), 0)

    @property
    def place(self) -> int:
        """Return OUTBOX, ARCHIVE or QUARANTINE."""
        return self.at >> PLACE_SHIFT

    @property
    def traffic_class(self) -> TrafficClass:
        """Return the class whose rank the row has."""
        return CLASSES[self.at >> RANK_SHIFT & 3]


COLUMNS = ", ".join(f.name for f in fields(Sealed)) + ", mark"


class Outbox:
    """The table of one connection. Writes happen inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, row: Sealed, *, head: bytes, tail: bytes) -> None:
        """Add a bundle, with the bytes of its envelope around the events."""
        self._connection.execute("INSERT INTO wrap VALUES (?,?,?)", (row.id, head, tail))
        self.write(row)

    @staticmethod
    def row_of(
        bundle: Bundle, envelope: Envelope, *, number: int, chunks: Sequence[tuple[int, int]], wall_ns: int
    ) -> tuple[Sealed, bytes, bytes]:
        """Make the row of a newly sealed bundle, and cut its envelope around the events.

        An envelope in which the events do not stand as they are is kept whole, and the chunks are not named.
        """
        head, events, tail = envelope.body.partition(bundle.events)
        row = Sealed(
            at=key(OUTBOX, envelope.traffic_class, number),
            proof_id=envelope.proof_id,
            payload_hash=envelope.payload_hash,
            robot=robot_key(bundle.stream.robot_id),
            epoch=bundle.epoch,
            seq=bundle.seq,
            device_seq=bundle.device_seq,
            count=bundle.count,
            size=len(envelope.body),
            losses=sum(loss.count for loss in bundle.loss),
            chunks=ranges(chunks) if events else "",
            sealed_wall=wall_ns,
            settled_wall=None,
            note=None,
            digest=digest((), envelope.body),
        )
        return row, head, tail

    def write(self, row: Sealed) -> None:
        """Add a row alone."""
        values = astuple(row)
        places = ",".join("?" * (len(values) + 1))
        self._connection.execute(f"INSERT INTO bundle VALUES ({places})", (*values, digest(values)))  # noqa: S608

    def move(self, row: Sealed, *, place: int, settled_wall: int | None, note: str | None) -> Sealed:
        """Bring a bundle to another place; its content stays where it is. Raises DamageError if it is not there."""
        self._forget(row)
        at = key(place, row.traffic_class, row.id)
        moved = replace(row, at=at, settled_wall=settled_wall, note=note)
        self.write(moved)
        return moved

    def keep_whole(self, row: Sealed, body: bytes) -> Sealed:
        """Write a bundle's content anew, in one piece beside its row."""
        self._forget(row)
        numbers = [(number,) for number, _count in parse_ranges(row.chunks)]
        self._connection.executemany("DELETE FROM chunk WHERE id=?", numbers)
        self._connection.execute("INSERT OR REPLACE INTO wrap VALUES (?,?,?)", (row.id, body, b""))
        kept = replace(row, chunks="")
        self.write(kept)
        return kept

    def delete(self, row: Sealed) -> None:
        """Remove a bundle with its events."""
        self._forget(row)
        self._connection.execute("DELETE FROM wrap WHERE id=?", (row.id,))
        numbers = [(number,) for number, _count in parse_ranges(row.chunks)]
        self._connection.executemany("DELETE FROM chunk WHERE id=?", numbers)

    def first(self, place: int, *, limit: int = 1) -> list[Sealed]:
        """Return up to `limit` bundles in the order of sending."""
        query = f"SELECT {COLUMNS} FROM bundle WHERE at BETWEEN ? AND ? ORDER BY at LIMIT ?"  # noqa: S608 - fixed words
        return list(self._read(query, place << PLACE_SHIFT, (place + 1 << PLACE_SHIFT) - 1, limit))

    def page(self, place: int, *, above: int, limit: int) -> list[Sealed]:
        """Return up to `limit` bundles of a place whose key is above one, in the order of sending."""
        query = f"SELECT {COLUMNS} FROM bundle WHERE at BETWEEN ? AND ? ORDER BY at LIMIT ?"  # noqa: S608 - fixed words
        low = max(place << PLACE_SHIFT, above + 1)
        return list(self._read(query, low, (place + 1 << PLACE_SHIFT) - 1, limit))

    def near(self, place: int, share: float) -> Sealed | None:
        """Return a bundle of a place, by its share (0 to 1) of the way from the oldest to the newest of a class."""
        query = "SELECT MIN(at), MAX(at) FROM bundle WHERE at BETWEEN ? AND ?"
        low, high = self._connection.execute(query, (place << PLACE_SHIFT, (place + 1 << PLACE_SHIFT) - 1)).fetchone()
        if low is None:
            return None
        classes = [row.traffic_class for row in self.oldest(place)]
        chosen = classes[min(int(share * len(classes)), len(classes) - 1)]
        first = key(place, chosen, 0)
        low, high = self._connection.execute(query, (first, first | _ID_MASK)).fetchone()
        at = low + int((share * len(classes) % 1) * (high - low))
        query = f"SELECT {COLUMNS} FROM bundle WHERE at BETWEEN ? AND ? ORDER BY at LIMIT 1"  # noqa: S608 - fixed words
        return next(self._read(query, at, high), None)

    def after(
        self,
        place: int,
        passed: Mapping[TrafficClass, int],
        *,
        skip: AbstractSet[int] = frozenset(),
        without: AbstractSet[TrafficClass] = frozenset(),
    ) -> Sealed | None:
        """Return the first bundle in the order of sending whose number is above the one passed in its class.

        Left out are those whose keys are in `skip`, and the classes in `without`.
        """
        query = f"SELECT {COLUMNS} FROM bundle WHERE at BETWEEN ? AND ? ORDER BY at LIMIT ?"  # noqa: S608 - fixed words
        for traffic_class in CLASSES:
            if traffic_class in without:
                continue
            low = key(place, traffic_class, 0)
            for row in self._read(query, low + passed.get(traffic_class, -1) + 1, low | _ID_MASK, len(skip) + 1):
                if row.at not in skip:
                    return row
        return None

    def count(self, place: int, *, most: int) -> int:
        """Count the bundles of a place, up to `most`."""
        query = "SELECT COUNT(*) FROM (SELECT 1 FROM bundle WHERE at BETWEEN ? AND ? LIMIT ?)"
        span = (place << PLACE_SHIFT, (place + 1 << PLACE_SHIFT) - 1)
        found: int = self._connection.execute(query, (*span, most)).fetchone()[0]
        return found

    def noted(self, place: int, note: str, *, limit: int) -> list[Sealed]:
        """Return up to `limit` bundles of a place with this note. Reads the whole place: for people."""
        query = f"SELECT {COLUMNS} FROM bundle WHERE at BETWEEN ? AND ? AND note=? ORDER BY at LIMIT ?"  # noqa: S608
        return list(self._read(query, place << PLACE_SHIFT, (place + 1 << PLACE_SHIFT) - 1, note, limit))

    def oldest(self, place: int) -> list[Sealed]:
        """Return the oldest bundle of each class in a place, highest class first."""
        query = f"SELECT {COLUMNS} FROM bundle WHERE at BETWEEN ? AND ? ORDER BY at LIMIT 1"  # noqa: S608 - fixed words
        lows = [key(place, traffic_class, 0) for traffic_class in CLASSES]
        return [row for low in lows for row in self._read(query, low, low | _ID_MASK)]

    def newest(self, place: int, *, limit: int) -> list[Sealed]:
        """Return up to `limit` bundles of each class in a place, those sealed last first."""
        query = f"SELECT {COLUMNS} FROM bundle WHERE at BETWEEN ? AND ? ORDER BY at DESC LIMIT ?"  # noqa: S608 - fixed words
        lows = [key(place, traffic_class, 0) for traffic_class in CLASSES]
        return [row for low in lows for row in self._read(query, low, low | _ID_MASK, limit)]

    def oldest_of(self, place: int, traffic_class: TrafficClass, *, skip: AbstractSet[int]) -> Sealed | None:
        """Return the oldest bundle of one class in a place, leaving out the keys in `skip`."""
        query = f"SELECT {COLUMNS} FROM bundle WHERE at BETWEEN ? AND ? ORDER BY at LIMIT ?"  # noqa: S608 - fixed words
        low = key(place, traffic_class, 0)
        rows = self._read(query, low, low | _ID_MASK, 1 + len(skip))
        return next((row for row in rows if row.at not in skip), None)

    def least(self, place: int) -> Sealed | None:
        """Return the oldest bundle of the lowest class in a place: what goes first when room is needed."""
        return next(reversed(self.oldest(place)), None)

    def find(self, proof_id: str) -> Sealed | None:
        """Return a bundle by its proof id. Reads the whole table: for people, not for the main path."""
        return next(self._read(f"SELECT {COLUMNS} FROM bundle WHERE proof_id=?", proof_id), None)  # noqa: S608

    def at(self, number: int) -> Sealed | None:
        """Return a bundle by its key."""
        return next(self._read(f"SELECT {COLUMNS} FROM bundle WHERE at=?", number), None)  # noqa: S608 - fixed words

    def numbered(self, number: int) -> Sealed | None:
        """Return the bundle of this number, in whichever place and class it is."""
        places = (key(place, word, number) for place in (OUTBOX, ARCHIVE, QUARANTINE) for word in CLASSES)
        return next(filter(None, map(self.at, places)), None)

    def signed_since(self, wall_ns: int) -> Iterator[Sealed]:
        """Yield each bundle from the first on that was sealed at this time or later, in the order of sealing."""
        rows = sorted(self._read(f"SELECT {COLUMNS} FROM bundle"), key=lambda row: row.id)  # noqa: S608 - fixed words
        yield from itertools.dropwhile(lambda row: row.sealed_wall < wall_ns, rows)

    def envelope(self, row: Sealed) -> Envelope | None:
        """Put the envelope together again, to the byte; None if a part is missing or damaged."""
        wrap = self._connection.execute("SELECT head, tail FROM wrap WHERE id=?", (row.id,)).fetchone()
        if wrap is None or not all(isinstance(part, bytes) for part in wrap):  # one flipped bit makes another type
            return None
        events = list(self.chunks(number for number, _count in parse_ranges(row.chunks)))
        body = b"".join((wrap[0], b",".join(events), wrap[1]))
        if digest((), body) != row.digest:
            return None
        return Envelope(row.proof_id, row.payload_hash, body, row.traffic_class, row.count)

    def chunks(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Yield the events of chunks, uncompressed; nothing for one that is missing or damaged."""
        for number in numbers:
            stored = self._connection.execute("SELECT body FROM chunk WHERE id=?", (number,)).fetchone()
            events = unpack(stored[0]) if stored else None
            if events is not None:
                yield events

    def _forget(self, row: Sealed) -> None:
        if self._connection.execute("DELETE FROM bundle WHERE at=?", (row.at,)).rowcount != 1:
            raise DamageError("store_damaged", "a bundle is not where it was")

    def _read(self, query: str, *parameters: int | str) -> Iterator[Sealed]:
        for values in self._connection.execute(query, parameters):
            if digest(values[:-1]) != values[-1]:
                raise DamageError("store_damaged", "a bundle's row does not match its digest")
            yield Sealed(*values[:-1])
