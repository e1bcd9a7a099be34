"""The root of the command line. Each command group is a file beside this one, loaded only when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from actod.errors import EXIT_USAGE, ActodError

# name -> (module, one line of help)
_COMMANDS = {
    "run": ("run", "collect, mask, seal and submit until stopped"),
    "signer": ("signer", "hold the token and sign for the daemon (started by it, or a unit of its own)"),
    "check": ("check", "test configuration, token, broker, server and permissions, each with its remedy"),
    "verify": ("verify", "verify envelopes: signature, hashes, chain, gaps"),
    "audit": ("audit", "verify or show the local audit log"),
    "queue": ("queue", "list or show what waits for the collector"),
    "routes": ("routes", "show what would happen to a message"),
    "keys": ("keys", "make and show the token's keys"),
    "mask": ("mask", "mask JSON lines, explain each decision, or search files"),
    "version": ("version", "print the version"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors of ours are one line on stderr, never a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(prog="actod", description="The edge daemon that proves what a robot reported.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = None
    for name, (module, summary) in _COMMANDS.items():
        if name == wanted:
            command = importlib.import_module(f"actod.cli.{module}")
            command.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    parsed = parser.parse_args(arguments)
    try:
        return int(command.run(parsed)) if command else EXIT_USAGE
    except ActodError as exc:
        print(f"actod {parsed.command}: {exc}", file=sys.stderr)
        return exc.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return EXIT_USAGE
