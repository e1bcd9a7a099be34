"""The rows of a file whose trees are damaged, found leaf by leaf: a page that pointed to a thousand others is not their end.

Reads the format itself, https://www.sqlite.org/fileformat2.html#b_tree_pages: table leaf pages that are not on the freelist,
and the cells that their pointers name. What it yields is not believed: each row's digest decides (I6 of the store).
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actod.store.schema import PAGE_BYTES

_LEAF = 13  # a leaf of a table's tree; an overflow page begins with the high byte of a page number, which is 0
_MOST_LOCAL = PAGE_BYTES - 35
_LEAST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_MOST_PAYLOAD = 64 << 20
_WIDTHS = (0, 1, 2, 3, 4, 6, 8)  # of the integer serial types
_FLOAT, _ZERO, _ONE, _BLOB = 7, 8, 9, 12


class LeafPages:
    """The leaves of one file. The WAL must have been moved into it. Close it."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._pages = len(self._data) // PAGE_BYTES
        self._cells: dict[int, list[tuple[int, int]]] = {}  # columns -> (rowid, where the cell begins)
        for columns, rowid, at in self._every_cell():
            self._cells.setdefault(columns, []).append((rowid, at))
        self._by_rowid: dict[int, dict[int, list[int]]] = {}

    def close(self) -> None:
        """Let go of the file."""
        self._data.close()

    def rows(self, columns: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of every table with so many columns; the rowid stands where the row itself has NULL first."""
        for _rowid, at in self._cells.get(columns, []):
            row = self._row(at)
            if row is not None:
                yield row

    def find(self, columns: int, rowid: int) -> list[tuple[Any, ...]]:
        """Return the rows of every table with so many columns that have this rowid."""
        if columns not in self._by_rowid:
            index: dict[int, list[int]] = {}
            for number, at in self._cells.get(columns, []):
                index.setdefault(number, []).append(at)
            self._by_rowid[columns] = index
        found = [self._row(at) for at in self._by_rowid[columns].get(rowid, [])]
        return [row for row in found if row is not None]

    def _every_cell(self) -> Iterator[tuple[int, int, int]]:
        free = self._freelist()
        for number in range(1, self._pages + 1):
            start = (number - 1) * PAGE_BYTES
            header = start + 100 if number == 1 else start
            if self._data[header] != _LEAF or number in free:
                continue
            for index in range(self._integer(header + 3, 2)):
                pointer = header + 8 + 2 * index
                at = start + self._integer(pointer, 2)
                if pointer >= start + PAGE_BYTES - 2 or not header < at < start + PAGE_BYTES - 4:
                    break
                with contextlib.suppress(IndexError, ValueError):
                    size, after = self._varint(at)
                    rowid, body = self._varint(after)
                    columns = self._columns(body)
                    if size <= _MOST_PAYLOAD:
                        yield columns, rowid, at

    def _freelist(self) -> set[int]:
        free: set[int] = set()
        trunk = self._integer(32, 4)
        while 1 < trunk <= self._pages and trunk not in free:
            free.add(trunk)
            start = (trunk - 1) * PAGE_BYTES
            count = min(self._integer(start + 4, 4), PAGE_BYTES // 4 - 2)
            free.update(self._integer(start + 8 + 4 * index, 4) for index in range(count))
            trunk = self._integer(start, 4)
        return free

    def _columns(self, body: int) -> int:
        """Count the serial types of a record's header."""
        length, at = self._varint(body)
        end, count = body + length, 0
        while at < end:
            _serial, at = self._varint(at)
            count += 1
        return count

    def _row(self, cell: int) -> tuple[Any, ...] | None:
        with contextlib.suppress(IndexError, ValueError):
            size, after = self._varint(cell)
            rowid, body = self._varint(after)
            return _record(self._payload(body, size), rowid)
        return None

    def _payload(self, body: int, size: int) -> bytes:
        """Put a cell's payload together: what is in the page, then along the chain of overflow pages."""
        if size <= _MOST_LOCAL:
            return self._data[body : body + size]
        local = _LEAST_LOCAL + (size - _LEAST_LOCAL) % (PAGE_BYTES - 4)
        local = local if local <= _MOST_LOCAL else _LEAST_LOCAL
        parts, left, page = [self._data[body : body + local]], size - local, self._integer(body + local, 4)
        while left > 0:
            if not 1 < page <= self._pages:
                raise ValueError("a chain of pages leads nowhere")
            start = (page - 1) * PAGE_BYTES
            parts.append(self._data[start + 4 : start + 4 + min(left, PAGE_BYTES - 4)])
            left, page = left - PAGE_BYTES + 4, self._integer(start, 4)
        return b"".join(parts)

    def _integer(self, at: int, size: int) -> int:
        return int.from_bytes(self._data[at : at + size])

    def _varint(self, at: int) -> tuple[int, int]:
        return _varint(self._data, at)


def _varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    """Read a variable-length integer; return it and where the next begins. Raises IndexError."""
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return value, at + index + 1
    return _signed(value << 8 | data[at + 8]), at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _record(payload: bytes, rowid: int) -> tuple[Any, ...]:
    """Decode a record. Raises IndexError or ValueError for what is none of ours."""
    length, at = _varint(payload, 0)
    values: list[Any] = []
    body = length
    while at < length:
        serial, at = _varint(payload, at)
        if serial == _FLOAT or _ONE < serial < _BLOB or serial < 0:
            raise ValueError("no value that a row of ours has")
        if serial in (_ZERO, _ONE):
            values.append(serial - _ZERO)
            continue
        width = _WIDTHS[serial] if serial < _FLOAT else (serial - _BLOB) // 2
        piece = payload[body : body + width]
        if len(piece) != width:
            raise ValueError("the record ends early")
        body += width
        values.append(_value(serial, piece))
    if values and values[0] is None:
        values[0] = rowid
    return tuple(values)


def _value(serial: int, piece: bytes) -> int | str | bytes | None:
    if serial == 0:
        return None
    if serial < _FLOAT:
        return int.from_bytes(piece, signed=True)
    return bytes(piece) if serial % 2 == 0 else piece.decode("utf-8", "surrogateescape")
