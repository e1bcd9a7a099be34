"""`actod export --dsse FILE...`: the claims of bundles for in-toto tools, as DSSE envelopes that the robot's key signs."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asn1crypto.algos import DSASignature

from actod import configfile
from actod.cli.state import add_config_argument
from actod.cli.verify import read_files
from actod.config import Config, LogConfig
from actod.errors import EXIT_FAILED, EXIT_USAGE, ConfigError, TransientError
from actod.keys.client import SignerClient
from actod.keys.enquiry import ask_signer
from actod.keys.remedies import remedy
from actod.keys.ring import read_state
from actod.model import EnrolledKey, PurposeSignature
from actod.proof.attestation import PAYLOAD_TYPE, statement
from actod.proof.verify import Verdict, verify_envelope
from actod.service import log


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "export",
        help="give the claims of bundles to other tools",
        epilog="Exit codes: 0 done, 1 a bundle does not verify or the token does not sign, 2 usage, 78 configuration.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an envelope, a list, JSON lines, a folder")
    parser.add_argument(
        "--dsse", action="store_true", required=True, help="in-toto statements in DSSE envelopes, one a line"
    )
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Verify each bundle, and print its statement in an envelope that the key in use signs."""
    config = configfile.load(args.config)
    log.configure(LogConfig(level="error"))
    envelopes = []
    for source, envelope in read_files(args.files):
        checked = verify_envelope(envelope, source=source)
        if checked.verdict is not Verdict.VALID:
            why = "; ".join(checked.problems) or checked.dependent
            print(f"actod export: {source}: not attested: {why}", file=sys.stderr)
            return EXIT_FAILED
        envelopes.append(envelope)
    if not envelopes:
        print("actod export: no envelope in these files", file=sys.stderr)
        return EXIT_USAGE
    try:
        for line in _attested(config, args.config, envelopes):
            print(json.dumps(line))
    except TransientError as exc:
        print(f"actod export: {exc}. Fix: {remedy(exc.reason)}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _attested(config: Config, config_file: Path, envelopes: list[Any]) -> Iterator[dict[str, Any]]:
    library = _library()
    made = [library(statement(envelope), PAYLOAD_TYPE, {}) for envelope in envelopes]
    messages = [one.pae() for one in made]
    key, signatures = asyncio.run(
        ask_signer(config, config_file=config_file, question=lambda client: _sign(config, client, messages))
    )
    for envelope, signature in zip(made, signatures, strict=True):
        given = [(key.ed25519_thumbprint, signature.ed25519)]
        if signature.p256 is not None and key.p256_thumbprint is not None:
            given.append((key.p256_thumbprint, DSASignature.from_p1363(signature.p256).dump()))
        unsigned = envelope.to_dict()
        unsigned["signatures"] = [{"keyid": name, "sig": base64.b64encode(value).decode()} for name, value in given]
        yield library.from_dict(unsigned).to_dict()


async def _sign(config: Config, client: SignerClient, messages: list[bytes]) -> tuple[EnrolledKey, list[PurposeSignature]]:
    """Have each message signed by the key that this robot signs with."""
    generations, state = await client.keys(), read_state(config.state_directory)
    key = generations[-1]
    if state is not None and state.current is not None:
        current = state.current.ed25519
        found = [one for one in generations if one.ed25519_thumbprint == current]
        if not found:
            raise TransientError("key_gone", "the token does not hold the key that this robot signs with")
        key = found[0]
    await client.use(key.ed25519_thumbprint)
    return key, [await client.sign_attestation(message) for message in messages]


def _library() -> Any:
    """Return securesystemslib's envelope. Raises ConfigError where it is not installed."""
    try:
        from securesystemslib.dsse import Envelope  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise ConfigError(
            key="--dsse", expected="securesystemslib, which is not installed", fix="pip install 'actod[dsse]'"
        ) from exc
    return Envelope
