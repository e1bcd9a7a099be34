"""Unix sockets that only some may use: made with their mode from the first moment, and the kernel's word on who calls."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

from actod.errors import ConfigError, LockedError

_OTHERS_MAY_WRITE = 0o022
_MAX_PATH_FIX = "or name a socket of at most 107 bytes in a folder of ours"


def listen(path: Path, *, key: str, who: str, mode: int = 0o600) -> socket.socket:
    """Bind a socket of this mode in place of one that was left. `key` and `who` name the setting and the service.

    Raises LockedError("<who>_running") if another answers there, ConfigError if no socket can be made.
    """
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.parent.stat().st_mode & _OTHERS_MAY_WRITE:
            raise _refused("a folder that only we can write", f"mode {path.parent.stat().st_mode & 0o7777:04o}", path, key)
        if _answers(path):
            raise LockedError(f"{who}_running", f"another {who} listens on {path}: end it, or name another {key}")
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o777 & ~mode)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(before)
    except OSError as exc:
        raise _refused("a path at which we can make a socket", exc.strerror or str(exc), path, key) from exc
    return listener


def peer_uid(sock: socket.socket) -> int:
    """Return the user at the other end, by the kernel's word."""
    _pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def _refused(expected: str, found: str, path: Path, key: str) -> ConfigError:
    fix = f"install -d -m 0700 {path.parent}, {_MAX_PATH_FIX}"
    return ConfigError(key=key, expected=expected, found=found, fix=fix)


def _answers(path: Path) -> bool:
    """Whether somebody listens already: taking his socket from him would leave his clients with nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(os.fspath(path)) in {0, errno.EAGAIN}
