"""An ended file of the log is compressed: five times as much of the past fits into the log's share.

Invariants, held by `tests/audit/test_packing.py` with a kill at each step, and by the power cuts of `tests/power`:
1. Only a file that has ended, so is on disk and never written again, is compressed.
2. The plain file goes only once the compressed one has its name, is on disk, and was read back to the same bytes.
3. So while both are there, they hold the same. Where they differ, both stay, and `verify.py` says so.
4. It takes no room that is not there: what would not fit into the log's share is left as it is.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from actod.audit.files import content, is_packed, log_files, packed_file, size_of
from actod.audit.gzipped import MOST_BYTES, deflated
from actod.durable import sync_folder, write_whole

_PART_BYTES = 256 * 1024


def unpacked(folder: Path) -> list[Path]:
    """Return the ended files that are not compressed, oldest first. The newest has not ended."""
    return [file for file in log_files(folder)[:-1] if not is_packed(file) and file.stat().st_size <= MOST_BYTES]


def pack(file: Path, *, most_bytes: int | None) -> int:
    """Compress an ended file, if it takes no more than that much room; return how many bytes of disk that freed.

    Goes on where a kill ended it. Raises OSError: then the file is what it was.
    """
    before, packed = size_of(file), packed_file(file)
    if not packed.exists():
        data = deflated(_parts(file))
        if len(data) >= file.stat().st_size:
            return 0
        if most_bytes is not None and len(data) > most_bytes:
            raise OSError(errno.ENOSPC, "the audit log has its share")
        write_whole(packed, data)
    settle(file)
    return before - size_of(file)


def settle(file: Path) -> None:
    """End a compression: of two forms that hold the same the plain one goes, and a compressed one that cannot be read.

    Both stay if they are whole and differ. Raises OSError.
    """
    packed = packed_file(file)
    if is_packed(file) or not packed.exists():
        return
    data, damage = content(packed)
    if damage:
        packed.unlink()
    elif (data, damage) == content(file):
        sync_folder(file.parent)  # a kill may have come before the new name was on disk
        file.unlink()
    else:
        return
    sync_folder(file.parent)


def settle_all(folder: Path) -> None:
    """End what a kill left of a compression: a file that has no name yet goes, of two that are the same the plain one."""
    for begun in folder.glob(".audit-*.gz.new"):
        begun.unlink()
    for file in log_files(folder):
        with suppress(FileNotFoundError):
            settle(file)


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while part := opened.read(_PART_BYTES):
            yield part
