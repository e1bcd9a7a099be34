r"""What daemon and signer say to each other: length-prefixed frames over a Unix socket.

A request is `<length: 4 bytes, big endian><operation>\n<body>`,
an answer `<length>ok\n<body>` or `<length>error\n<reason>[\n<sentence>]`: the reason is a fixed word, the sentence holds
fixed words and counts. What each operation takes and gives stands in `desk.py`.
"""

from __future__ import annotations

import asyncio

MAX_FRAME_BYTES = 2 * 1024 * 1024
KEYS, USE, MAKE_NEXT = b"keys", b"use", b"make_next"
SIGN_BUNDLE, SIGN_PURPOSE, COSIGN = b"sign_bundle", b"sign_purpose", b"cosign"
SIGN_ATTESTATION = b"sign_attestation"
PING, STATS = b"ping", b"stats"


class ProtocolError(Exception):
    """The other side does not speak this protocol."""


def pack(word: bytes, body: bytes = b"") -> bytes:
    """Make one frame."""
    return (len(word) + 1 + len(body)).to_bytes(4) + word + b"\n" + body


async def receive(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one frame: (word, body). Raises ProtocolError, or IncompleteReadError when the other side is gone."""
    length = int.from_bytes(await reader.readexactly(4))
    if not 0 < length <= MAX_FRAME_BYTES:
        raise ProtocolError
    word, newline, body = (await reader.readexactly(length)).partition(b"\n")
    if not newline:
        raise ProtocolError
    return word, body
