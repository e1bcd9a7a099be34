"""The root of the command line. Each command group is a file beside this one, loaded only when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from actod.errors import EXIT_FAILED, EXIT_USAGE, ActodError, ConfigError

# name -> (module, one line of help)
_COMMANDS = {
    "run": ("run", "collect, mask, seal and submit until stopped"),
    "reload": ("reload", "have the running daemon take a changed configuration"),
    "signer": ("signer", "hold the token and sign for the daemon (started by it, or a unit of its own)"),
    "check": ("check", "look at configuration, secrets, token, broker, collector, store, machine and units"),
    "verify": ("verify", "verify envelopes: signature, hashes, chain, gaps"),
    "export": ("export", "give the claims of bundles to in-toto tools, as DSSE envelopes"),
    "audit": ("audit", "verify or show the local audit log"),
    "queue": ("queue", "what waits for the collector: list, affected, inspect, fsck, export, retry, purge"),
    "status": ("status", "what the running daemon is about, in one screen"),
    "why": ("why", "say why the oldest bundle has not left, and what to do"),
    "routes": ("routes", "show what would happen to a message, or open a commitment"),
    "keys": ("keys", "make, show, rotate, retire and adopt the robot's keys"),
    "pins": ("pins", "sign, verify or show the pins of the collector"),
    "credentials": ("credentials", "list or rotate API keys and the broker's password"),
    "incident": ("incident", "stop submitting for the time of an incident, or let it go on"),
    "diag": ("diag", "a bundle for support: what may be seen, sealed to whoever is to read it"),
    "maintenance": ("maintenance", "what a checklist asks for each week, month and quarter; run by timers"),
    "alert": ("alert", "try a channel of alerts"),
    "mask": ("mask", "mask JSON lines, explain each decision, or search files"),
    "vault": ("vault", "open what a robot sealed to its operator"),
    "wipe": ("wipe", "erase the state folder for ever, and say last what was in it"),
    "version": ("version", "print the version"),
}

# structlog and httpx load the first three where they are installed, for command lines of their own: 10 MB that no daemon
# needs. httpcore looks for sniffio four times at each request, through all of sys.path.
_DAEMONS = {"run", "signer"}
_NOT_FOR_DAEMONS = ("click", "pygments", "rich", "sniffio", "trio")

_EXIT_SIGNAL = 128  # a command that SIGINT or SIGPIPE cut short says so, as shells do: it is no success


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors of ours are one line on stderr, never a traceback."""
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            _flush()  # here, where a reader that left is caught, and not when the interpreter ends
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_SIGNAL + signal.SIGPIPE
    except KeyboardInterrupt:
        return _EXIT_SIGNAL + signal.SIGINT
    except _OutputError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"actod: the output cannot be written: {exc}", file=sys.stderr)
        return EXIT_FAILED


class _OutputError(Exception):
    """What was printed did not all arrive: a full disk."""


def _flush() -> None:
    if sys.stdout is None:  # closed by whoever started us
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise _OutputError(exc.strerror) from exc


def _run(arguments: list[str]) -> int:
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(prog="actod", description="The edge daemon that proves what a robot reported.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command: Any = None
    for name, (module, summary) in _COMMANDS.items():
        if name == wanted:
            command = _load(name, module)
            command.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    parsed = parser.parse_args(arguments)
    try:
        return int(command.run(parsed)) if command else EXIT_USAGE
    except ActodError as exc:
        print(f"actod {parsed.command}: {_explained(exc, parsed)}", file=sys.stderr)
        return exc.exit_code
    except BrokenPipeError:
        raise
    except OSError as exc:
        if exc.filename is None:
            raise
        print(f"actod {parsed.command}: {exc.filename}: {exc.strerror}", file=sys.stderr)
        return EXIT_FAILED


def _load(name: str, module: str) -> Any:
    if name in _DAEMONS:
        for unused in _NOT_FOR_DAEMONS:
            sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # None: importing it is an ImportError
    return importlib.import_module(f"actod.cli.{module}")


def _explained(error: ActodError, parsed: argparse.Namespace) -> ActodError:
    """Name the configuration file in an error that was raised where only the key was known."""
    file = getattr(parsed, "config", None)
    if not isinstance(error, ConfigError) or error.file or file is None or error.key.startswith("-"):
        return error
    from actod import configfile  # noqa: PLC0415 - most commands end without it

    try:
        return configfile.located(error, file)
    except ConfigError:  # it is about something else: a state folder that was named, where there is no configuration
        return error
