"""Key bytes in memory: kept off the swap where the system lets us, and overwritten when they are done with.

What cannot be promised: Python and libsodium's wrapper copy bytes as they go, the PKCS#11 library keeps copies of its own,
and freed memory keeps its content until it is used again. Such copies live in this process alone, which leaves no core
file and which its own user cannot look into (`process.harden`); root can. Only the pages of the key that is kept are
locked; that the copies cannot be swapped out either is the affair of the signer's own unit (MemorySwapMax=0).
"""

from __future__ import annotations

import ctypes
import mmap
import sys

_libc = ctypes.CDLL(None, use_errno=True)


def lock(secret: bytes) -> bool:
    """Lock the pages that hold these bytes; False where the system refuses."""
    return bool(_libc.mlock(*_pages(secret)) == 0)


def unlock(secret: bytes) -> None:
    """Let go of the pages: what else was locked on them is so no more. Else each rebuild would cost some of the limit."""
    _libc.munlock(*_pages(secret))


def wipe(secret: bytes) -> None:
    """Overwrite bytes that nobody else may use any more. They are no literal and longer than one byte: not shared."""
    ctypes.memset(_address(secret), 0, len(secret))


def _pages(secret: bytes) -> tuple[ctypes.c_void_p, ctypes.c_size_t]:
    start = _address(secret)
    first = start - start % mmap.PAGESIZE
    return ctypes.c_void_p(first), ctypes.c_size_t(start + len(secret) - first)


def _address(secret: bytes) -> int:
    """Return where CPython keeps the content of a bytes object: behind its header, before the final zero."""
    return id(secret) + sys.getsizeof(secret) - len(secret) - 1
