"""Where a command finds the configuration and the state folder: named, or by the configuration."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from typing import Any

import orjson

from actod import configfile
from actod.config import Config
from actod.errors import ActodError, TransientError
from actod.proof.dating import utc

_PATIENCE_SECONDS = 60.0  # a TPM makes a key in a few seconds
DEFAULT_CONFIG = Path("/etc/actod/actod.toml")


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Add --config."""
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")


def add_state_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --state and --config."""
    parser.add_argument("--state", type=Path, metavar="DIR", help="the state folder; default: the configuration's")
    add_config_argument(parser)


def count(text: str) -> int:
    """Read an argument that is a whole number from 1 on."""
    if not (text.isascii() and text.isdigit() and 0 < len(text.lstrip("0")) < 10):  # noqa: PLR2004 - digits
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is expected, not {text!r}")
    return int(text)


def utc_argument(text: str) -> str:
    """Read an argument that is a time."""
    try:
        return utc(text)
    except ActodError as exc:
        raise argparse.ArgumentTypeError("a time in ISO 8601 is expected, such as 2026-01-02T03:04:05Z") from exc


def state_folder(args: argparse.Namespace) -> Path:
    """Return the folder that the arguments name. Raises ConfigError."""
    return args.state if args.state is not None else configfile.load(args.config).state_directory


class NotRunningError(TransientError):
    """No daemon answers at its control socket."""


class RefusedError(ActodError):
    """The daemon did not do what it was asked; `reason` says why."""


def ask(config: Config, command: str, **arguments: Any) -> dict[str, Any]:
    """Have the running daemon do something, and return its answer. Raises NotRunningError, RefusedError."""
    return ask_at(config.control_socket, command, **arguments)


def ask_at(path: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Likewise, at a control socket that is known without a configuration."""
    request = orjson.dumps({"command": command, "arguments": arguments}) + b"\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE_SECONDS)
            connection.connect(str(path))
            connection.sendall(request)
            with connection.makefile("rb") as stream:
                answer = orjson.loads(stream.readline())
    except FileNotFoundError as exc:
        raise NotRunningError("daemon_away", f"no actod runs: there is no {path}") from exc
    except PermissionError as exc:
        raise RefusedError("peer_refused", "run this as root or as the user of actod") from exc
    except (OSError, ValueError) as exc:
        raise NotRunningError("daemon_away", f"nobody answers at {path}") from exc
    if "error" in answer:
        raise RefusedError(answer["error"], answer["message"])
    done: dict[str, Any] = answer["ok"]
    return done
