"""Key bytes in memory: kept off the swap where the system lets us, and overwritten when they are done with.

What cannot be promised: Python and libsodium's wrapper copy bytes as they go, the PKCS#11 library keeps copies of its own,
and freed memory keeps its content until it is used again. Such copies live in this process alone, which leaves no core
file and which its own user cannot look into (`process.harden`); root can. Where the limit on locked memory is lifted
(LimitMEMLOCK=infinity), all of the process is locked, copies included; else only the pages of the key that is kept. The
signer's own unit has no swap at all (MemorySwapMax=0).
"""

from __future__ import annotations

import ctypes
import mmap
import resource
import sys

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_libc = ctypes.CDLL(None, use_errno=True)


def lock_everything() -> bool:
    """Lock the whole process in memory, now and from now on; False where the limit on it forbids that.

    A finite limit would turn each later allocation beyond it into a failure, so then nothing is locked here.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard != resource.RLIM_INFINITY:
        return False
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    return bool(_libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)


def lock(secret: bytes) -> bool:
    """Lock the pages that hold these bytes; False where the system refuses."""
    start = _address(secret)
    first = start - start % mmap.PAGESIZE
    return bool(_libc.mlock(ctypes.c_void_p(first), ctypes.c_size_t(start + len(secret) - first)) == 0)


def wipe(secret: bytes) -> None:
    """Overwrite bytes that nobody else may use any more. They are no literal and longer than one byte: not shared."""
    ctypes.memset(_address(secret), 0, len(secret))


def _address(secret: bytes) -> int:
    """Return where CPython keeps the content of a bytes object: behind its header, before the final zero."""
    return id(secret) + sys.getsizeof(secret) - len(secret) - 1
