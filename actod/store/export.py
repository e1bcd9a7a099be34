r"""Bundles for someone else's eyes: a file that only the holder of a private key can read.

    actod:export:v1\n, then chunks: 4 bytes of length, and a SealedBox of
    16 bytes that name the export, 8 bytes of chunk number from 0, 1 byte that is 1 in the last chunk, a piece of the content

The content is a JSON line for each envelope, to the byte as it is sent. Every chunk is sealed to the recipient, so memory
is bounded by one; a chunk that is missing, moved, of another export or cut off at the end is found by the reader.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from actod.durable import sync_folder
from actod.errors import RejectedError

MAGIC = b"actod:export:v1\n"
_Box: TypeAlias = "SealedBox[Any]"
_CHUNK_BYTES = 256 * 1024
_ID_BYTES, _NUMBER_BYTES, _LENGTH_BYTES = 16, 8, 4
_HEADER_BYTES = _ID_BYTES + _NUMBER_BYTES + 1
_OVERHEAD_BYTES = 48  # of a SealedBox: the ephemeral key, the tag


def write_export(path: Path, lines: Iterable[bytes], *, recipient: bytes) -> int:
    """Write an export to a new file, 0600; return how many lines it holds. `recipient` is a public key of 32 bytes.

    Raises OSError; what was written then is removed.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            count = _write(file, lines, SealedBox(PublicKey(recipient)))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return count


def _write(file: BinaryIO, lines: Iterable[bytes], box: _Box) -> int:
    export, number, count, waiting = os.urandom(_ID_BYTES), 0, 0, bytearray()
    file.write(MAGIC)
    for line in lines:
        count += 1
        waiting += line + b"\n"
        while len(waiting) > _CHUNK_BYTES:
            _write_chunk(file, box, export, number, bytes(waiting[:_CHUNK_BYTES]), last=False)
            del waiting[:_CHUNK_BYTES]
            number += 1
    _write_chunk(file, box, export, number, bytes(waiting), last=True)
    return count


def _write_chunk(file: BinaryIO, box: _Box, export: bytes, number: int, piece: bytes, *, last: bool) -> None:
    sealed = box.encrypt(export + number.to_bytes(_NUMBER_BYTES) + bytes([last]) + piece)
    file.write(len(sealed).to_bytes(_LENGTH_BYTES) + sealed)


def read_export(file: BinaryIO, *, private_key: bytes) -> Iterator[bytes]:
    """Yield the pieces of an export, checked. Raises RejectedError: "not_sealed_to_us", "export_damaged", "export_cut"."""
    if file.read(len(MAGIC)) != MAGIC:
        raise RejectedError("not_an_export", "the file does not begin as an export does")
    box, export, number, last = SealedBox(PrivateKey(private_key)), None, 0, False
    while not last:
        length = int.from_bytes(_exactly(file, _LENGTH_BYTES))
        if not _HEADER_BYTES <= length - _OVERHEAD_BYTES <= _HEADER_BYTES + _CHUNK_BYTES:
            raise RejectedError("export_damaged", f"chunk {number} has no length that a chunk has")
        opened = _opened(box, _exactly(file, length))
        export = export or opened[:_ID_BYTES]
        if opened[: _ID_BYTES + _NUMBER_BYTES] != export + number.to_bytes(_NUMBER_BYTES):
            raise RejectedError("export_damaged", f"chunk {number} is another export's, or not in its place")
        last = opened[_HEADER_BYTES - 1] == 1
        yield opened[_HEADER_BYTES:]
        number += 1
    if file.read(1):
        raise RejectedError("export_damaged", "something stands behind the last chunk")


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise RejectedError("export_cut", "its end is missing; what came before is whole")
    return data


def _opened(box: _Box, sealed: bytes) -> bytes:
    try:
        return box.decrypt(sealed)
    except CryptoError:
        pass
    raise RejectedError("not_sealed_to_us", "damaged, or sealed to another key")
