"""A state folder belongs to the environment that it was made in: what was recorded in dev never goes to prod's server."""

from __future__ import annotations

from pathlib import Path

from actod.durable import write_whole
from actod.errors import ConfigError, TransientError

_FILE = "environment"


def hold_to_environment(folder: Path, environment: str) -> None:
    """Note the environment of a new folder. Raises ConfigError for a folder of another, TransientError for a full disk."""
    try:
        known = (folder / _FILE).read_bytes()[:16].decode("ascii", "replace")
    except FileNotFoundError:
        known = ""
    except OSError as exc:
        raise TransientError("environment_unreadable", exc.strerror or "") from exc
    if not known:
        try:
            write_whole(folder / _FILE, environment.encode())
        except OSError as exc:
            raise TransientError("environment_unwritable", exc.strerror or "") from exc
    elif known != environment:
        raise ConfigError(
            key="environment",
            expected=f"{known!r}, in which {folder} was made",
            found=repr(environment),
            fix="name another state_directory for this environment: its chain begins anew there",
        )
