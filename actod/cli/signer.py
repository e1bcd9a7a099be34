"""`actod signer`: the process that holds the token."""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
from pathlib import Path

from actod import configfile
from actod.cli.state import add_config_argument
from actod.config import SignerConfig
from actod.errors import ConfigError
from actod.keys import process, uri
from actod.keys.keeper import TokenKeeper
from actod.service import log
from actod.service.folder import own_folder
from actod.service.notify import Notifier
from actod.service.watchdog import Watchdog


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("signer", help="hold the token and sign for the daemon")
    add_config_argument(parser)
    parser.add_argument("--socket", type=Path, help="where to listen; default: the configuration's")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    process.harden(parent=args.parent)
    config = configfile.load(args.config)
    wanted = uri.parse(config.token.uri)
    log.configure(config.log, announce=args.parent is None, identifier="actod-signer")
    socket = args.socket or config.signer_socket
    if config.state_directory in socket.parents:
        own_folder(config.state_directory)  # whoever starts first makes it, and makes it ours alone
    allowed = config.environment != "prod" or config.token.allow_software_token_in_prod
    keeper = TokenKeeper(
        wanted,
        pin_file=config.token.pin_file,
        allow_software=allowed,
        lockout_seconds=config.token.lockout_seconds,
    )
    notifier = Notifier() if args.parent is None else Notifier(address="")  # a child's state is not the unit's
    asyncio.run(_serve(keeper, socket, config.signer, notifier))
    return 0


async def _serve(keeper: TokenKeeper, socket: Path, signer: SignerConfig, notifier: Notifier) -> None:
    """Serve. As a unit of its own it has systemd for a parent, which ends it when a call to the token hangs."""

    async def told() -> None:
        notifier.send(READY="1", STATUS="listening")
        await Watchdog(notifier=notifier, stuck={"token": lambda: keeper.busy_seconds() > signer.timeout_seconds}).run()

    await process.serve(
        keeper=keeper,
        socket_path=socket,
        peers=frozenset({os.getuid(), *_daemon_uids(signer.daemon_user)}),
        mode=0o660 if signer.daemon_user else 0o600,  # the kernel lets in the group of the folder's unit, we its user alone
        beside=told,
    )


def _daemon_uids(name: str) -> list[int]:
    try:
        return [pwd.getpwnam(name).pw_uid] if name else []
    except KeyError as exc:
        raise ConfigError(
            key="signer.daemon_user",
            expected="a user of this machine",
            found=repr(name),
            fix="name the user of actod.service, or leave it out where the daemon starts the signer",
        ) from exc
