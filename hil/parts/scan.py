"""Raw byte scan of files and folders for values that must not be there.

    python -m hil.parts.scan --canaries FILE PATH...

Each canary is looked for in many forms (UTF-8, UTF-16, base64, percent, JSON and hexadecimal escapes, other case, without
separators), in every byte of every file and in the files' names; inside zlib and gzip streams; and, since SQLite cuts what
it stores into pages, in every value of every SQLite database. A scan that finds nothing proves nothing unless it can find:
`plant` writes a control value in all forms, and the oracle demands it back.

How it stays fast with thousands of values: any occurrence of a form of at least 15 bytes covers a whole 8-byte word that
lies at a multiple of 8. So the words of a piece, as one array of integers, are intersected with a table of the forms'
words at their 8 shifts; only forms that share a word with the piece are searched for. Shorter forms read more shifts.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import stat
import sys
import tempfile
import urllib.parse
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_WORD = 8
_PIECE_BYTES = 1 << 20
_INFLATED_BYTES = 64 << 20
_SHORTEST_ENCODED = 8  # a shorter piece of base64 or hex turns up by chance
_PACKED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
_SEPARATORS = re.compile(r"[\s\-.:/()_+]")


@dataclass(frozen=True, slots=True)
class Hit:
    """Where one was found. `offset` is in the file, or in what `inside` names: "zlib@offset", "sqlite:table.column"."""

    file: Path
    offset: int
    index: int
    form: str
    inside: str
    canary: str = field(repr=False)


def forms(canary: str) -> dict[bytes, str]:
    """Return every byte string under which a value may hide, with the name of the form."""
    found: dict[bytes, str] = {}

    def add(name: str, data: bytes, *, shortest: int = 1) -> None:
        if len(data) >= shortest:
            found.setdefault(data, name)

    add("utf-8", canary.encode())
    for name in ("utf-16-le", "utf-16-be"):
        add(name, canary.encode(name))
    add("lower", canary.lower().encode())
    add("upper", canary.upper().encode())
    bare = _SEPARATORS.sub("", canary)
    for text in (bare, bare.lower(), bare.upper()):
        add("bare", text.encode(), shortest=_SHORTEST_ENCODED)
    escaped = json.dumps(canary)[1:-1]
    for text in (escaped, escaped.upper().replace("\\U", "\\u"), escaped.replace("/", "\\/"), json.dumps(escaped)[1:-1]):
        add("json", text.encode())
    for text in (urllib.parse.quote(canary, safe=""), urllib.parse.quote_plus(canary), urllib.parse.quote(canary)):
        add("percent", text.encode())
        add("percent", re.sub(r"%..", lambda match: match[0].lower(), text).encode())
    add("hex", canary.encode().hex().encode(), shortest=2 * _SHORTEST_ENCODED)
    add("hex", canary.encode().hex().upper().encode(), shortest=2 * _SHORTEST_ENCODED)
    for data in _base64(canary.encode()):
        add("base64", data, shortest=_SHORTEST_ENCODED)
        add("base64", data.replace(b"+", b"-").replace(b"/", b"_"), shortest=_SHORTEST_ENCODED)
    return found


def _base64(data: bytes) -> Iterator[bytes]:
    """Yield what base64 makes of `data` wherever it stands in a longer text: the characters that no neighbour touches."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data)
        first = (8 * before + 5) // 6
        last = (8 * (before + len(data))) // 6
        yield whole[first:last]


class Scanner:
    """All forms of all canaries, ready to be looked for."""

    def __init__(self, canaries: Sequence[str]) -> None:
        if not all(canaries):
            raise ValueError("an empty canary is everywhere")
        self.canaries = list(canaries)
        self._found_by: dict[bytes, list[tuple[int, str]]] = defaultdict(list)
        for index, canary in enumerate(self.canaries):
            for data, name in forms(canary).items():
                self._found_by[data].append((index, name))
        self.longest = max(map(len, self._found_by), default=1)
        self._short = [data for data in self._found_by if len(data) < _WORD]
        self._table: dict[int, list[bytes]] = defaultdict(list)
        self._step = _WORD
        self._fill([data for data in self._found_by if len(data) >= _WORD])
        self._words = frozenset(self._table)

    def _fill(self, needles: list[bytes]) -> None:
        """Enter each form under the words that an occurrence must cover; those that fewest forms share."""
        shared = Counter(needle[at : at + _WORD] for needle in needles for at in range(len(needle) - _WORD + 1))
        for needle in needles:
            step = _WORD
            while len(needle) < _WORD - 1 + step:
                step //= 2
            self._step = min(self._step, step)
            words = [needle[at : at + _WORD] for at in range(len(needle) - _WORD + 1)]
            costs = [sum(shared[word] for word in words[at : at + step]) for at in range(len(words) - step + 1)]
            start = costs.index(min(costs))
            for word in words[start : start + step]:
                self._table[int.from_bytes(word, sys.byteorder)].append(needle)

    def find(self, data: bytes) -> Iterator[tuple[int, int, str]]:
        """Yield (offset, canary index, form) of every occurrence in `data`."""
        candidates = {needle for needle in self._short if needle in data}
        padded = memoryview(data + bytes(2 * _WORD))
        for shift in range(0, _WORD, self._step):
            end = shift + (len(padded) - shift) // _WORD * _WORD
            for word in self._words.intersection(padded[shift:end].cast("Q")):
                candidates.update(self._table[word])
        for needle in candidates:
            at = data.find(needle)
            while at >= 0:
                for index, name in self._found_by[needle]:
                    yield at, index, name
                at = data.find(needle, at + 1)

    def file(self, path: Path) -> Iterator[Hit]:
        """Scan one file (or block device) of any size: name, bytes, packed streams, and rows if it is a database."""
        for at, index, name in self.find(os.fsencode(path.name)):
            yield self._hit(path, at, index, name, "name")
        descriptor = os.open(path, os.O_RDONLY)
        try:
            offset, head = 0, os.pread(descriptor, 16, 0)
            while data := os.pread(descriptor, _PIECE_BYTES + self.longest - 1, offset):
                # What begins behind the piece is the next piece's.
                for at, index, name in self.find(data):
                    if at < _PIECE_BYTES:
                        yield self._hit(path, offset + at, index, name, "")
                for match in _PACKED.finditer(data, 0, _PIECE_BYTES + 2):
                    if match.start() < _PIECE_BYTES:
                        yield from self._packed(path, descriptor, offset + match.start())
                offset += _PIECE_BYTES
        finally:
            os.close(descriptor)
        if head == b"SQLite format 3\0":
            yield from self._database(path)

    def _packed(self, path: Path, descriptor: int, offset: int) -> Iterator[Hit]:
        def stored() -> Iterator[bytes]:
            at = offset
            while data := os.pread(descriptor, 65536, at):
                yield data
                at += len(data)

        for at, index, name in self.find(inflate(stored())):
            yield self._hit(path, at, index, name, f"zlib@{offset}")

    def _database(self, path: Path) -> Iterator[Hit]:
        """Read every value of a copy, so that the original (its journal too) is not touched."""
        with tempfile.TemporaryDirectory(prefix="scan-") as folder:
            for suffix in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{path}{suffix}", f"{folder}/copy{suffix}")
            with contextlib.closing(sqlite3.connect(f"{folder}/copy")) as connection, contextlib.suppress(sqlite3.Error):
                connection.text_factory = bytes
                for (table,) in connection.execute(
                    "SELECT CAST(name AS BLOB) FROM sqlite_master WHERE type='table'"
                ).fetchall():
                    yield from self._rows(path, connection, table.decode())

    def _rows(self, path: Path, connection: sqlite3.Connection, table: str) -> Iterator[Hit]:
        name = table.replace('"', '""')
        cursor = connection.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - quoted, and from the database itself
        columns = [column[0] for column in cursor.description]
        for row in cursor:
            for column, value in zip(columns, row, strict=True):
                data = value if isinstance(value, bytes) else str(value).encode()
                plain = [data, *(inflate([data[match.start() :]]) for match in _PACKED.finditer(data, 0, 64))]
                for part in plain:
                    for at, index, form in self.find(part):
                        yield self._hit(path, at, index, form, f"sqlite:{table}.{column}")

    def _hit(self, path: Path, offset: int, index: int, form: str, inside: str) -> Hit:
        return Hit(path, offset, index, form, inside, self.canaries[index])


def inflate(pieces: Iterable[bytes]) -> bytes:
    """Return what a zlib or gzip stream holds, as far as it can be read, up to 64 MiB."""
    plain, inflater = bytearray(), zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    for piece in pieces:
        # In small steps: an error takes with it what the same call had already read.
        for at in range(0, len(piece), 256):
            try:
                plain += inflater.decompress(piece[at : at + 256])
            except zlib.error:
                return bytes(plain)
            if inflater.eof or len(plain) > _INFLATED_BYTES:
                return bytes(plain)
    return bytes(plain)


def scan(places: Iterable[Path], canaries: Sequence[str], *, leave_out: Iterable[Path] = ()) -> list[Hit]:
    """Scan files and folders; return all hits. A place that is not there is an error: a zero must not come from a typo.

    Symbolic links are not followed; sockets and FIFOs are named, not read. A file that ends between listing and reading
    (a journal that was just folded in) is left out.
    """
    scanner, excluded = Scanner(canaries), {path.absolute() for path in leave_out}
    hits: list[Hit] = []
    for place in places:
        place.lstat()
        for path in _files(place, excluded):
            with contextlib.suppress(FileNotFoundError):
                hits += scanner.file(path)
    return hits


def _files(place: Path, excluded: set[Path]) -> Iterator[Path]:
    if place.absolute() in excluded:
        return
    mode = place.lstat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
        yield place
    elif stat.S_ISDIR(mode):
        for path in sorted(place.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                yield from _files(path, excluded)


def plant(folder: Path) -> str:
    """Write a control value in all forms to a file in `folder`; return it. The scan must find each of its forms."""
    control = f"Contrôle/{secrets.token_hex(12)}"
    data = b"\n".join(forms(control)) + zlib.compress(b"packed " + control.encode())
    descriptor = os.open(folder / "control.bin", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"\0" * 1000 + data)
    return control


def proves(hits: Iterable[Hit], control: str) -> bool:
    """Whether every form of a planted control was found, the one inside a packed stream too."""
    mine = [hit for hit in hits if hit.canary == control]
    wanted = set(forms(control).values())
    return wanted <= {hit.form for hit in mine} and any(hit.inside.startswith("zlib@") for hit in mine)


def main() -> int:
    """Scan, with a control of its own; print where, never what. Exit code 0 only if nothing but the control was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--canaries", type=Path, required=True, help="one value a line")
    parser.add_argument("places", type=Path, nargs="+")
    options = parser.parse_args()
    canaries = [line for line in options.canaries.read_text(encoding="utf-8").split("\n") if line]
    with tempfile.TemporaryDirectory(prefix="scan-") as folder:
        control = plant(Path(folder))
        hits = scan([*options.places, Path(folder)], [*canaries, control], leave_out=[options.canaries])
    found = [hit for hit in hits if hit.canary != control]
    for hit in found:
        print(
            json.dumps(
                {"file": str(hit.file), "offset": hit.offset, "canary": hit.index, "form": hit.form, "in": hit.inside}
            )
        )
    proved = proves(hits, control)
    print(
        f"{len(found)} of {len(canaries)} values' traces found; control {'found' if proved else 'NOT FOUND'}",
        file=sys.stderr,
    )
    return 0 if proved and not found else 1


if __name__ == "__main__":
    sys.exit(main())
