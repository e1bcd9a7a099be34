"""What an ended file of the log is compressed with: gzip, as `zcat` reads it. Pure.

Most lines are those of commit groups: as long as the one before, with a hash of their own and the one that line ended with.
Short matches between hashes are chance and cost more than they save, so Z_FILTERED leaves them out: a log of such lines gets
5.6 times smaller, 5.1 times without. Level 9 brings nothing. A window of all 32 KiB finds the last full checkpoint.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import suppress

MOST_BYTES = 32 * 1024 * 1024  # decompressed, twice the largest audit.max_file_bytes: a reader need take no more into memory
_LEVEL, _MEMORY_LEVEL = 6, 8  # 256 KiB of memory while it works
_GZIP = 16 + zlib.MAX_WBITS
_STEP_BYTES = 4096


def deflated(parts: Iterable[bytes]) -> bytes:
    """Return a gzip file of the parts. It bears no time and no name: the same content is the same file."""
    engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP, _MEMORY_LEVEL, zlib.Z_FILTERED)
    return b"".join([*(engine.compress(part) for part in parts), engine.flush()])


def inflated(packed: bytes) -> tuple[bytes, str]:
    """Return what is in a gzip file of one member, to the first bad byte, and what is wrong with it: "" for nothing."""
    engine, parts, room = zlib.decompressobj(_GZIP), list[bytes](), MOST_BYTES
    for at in range(0, len(packed), _STEP_BYTES):
        step, before = packed[at : at + _STEP_BYTES], engine.copy()
        if engine.eof:
            return b"".join(parts), "damaged: there is more behind the end of the compressed data"
        try:
            part = engine.decompress(step, room + 1)
        except zlib.error:
            parts.append(_to_the_bad_byte(before, step, room))
            return b"".join(parts), "damaged: it cannot be decompressed to its end"
        parts.append(part[:room])
        room -= len(part)
        if room < 0:
            return b"".join(parts), f"it decompresses to more than {MOST_BYTES} bytes, which none of ours does"
    if engine.unused_data:
        return b"".join(parts), "damaged: there is more behind the end of the compressed data"
    return b"".join(parts), "" if engine.eof else "damaged: the compressed data ends too early"


def _to_the_bad_byte(engine: zlib._Decompress, step: bytes, room: int) -> bytes:
    found = bytearray()
    with suppress(zlib.error):
        for at in range(len(step)):
            found += engine.decompress(step[at : at + 1], room + 1)
    return bytes(found[:room])
