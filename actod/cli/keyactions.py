"""What each action of `actod keys` does: with the running daemon where it changes something, beside it where not."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from actod.cli.state import ask
from actod.config import Config
from actod.errors import ConfigError, RejectedError, TransientError
from actod.keys import operators, provision
from actod.keys.enquiry import ask_keys
from actod.keys.listing import describe, forms
from actod.keys.ring import RingState, read_state
from actod.model import EnrolledKey
from actod.proof import thumbprint
from actod.proof.envelope import iso
from actod.proof.statements import ADOPTION, Key, parse
from actod.proof.trust import Trust
from actod.service.clock import SystemClock
from actod.store.inspection import PLACES, inspect
from actod.store.schema import DATABASE_NAME

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def init(config: Config, _args: argparse.Namespace) -> dict[str, Any]:
    """Make the first key."""
    public_key = provision.make_key(config.token.uri, pin_file=config.token.pin_file, beside_others=False)
    return {"ed25519": public_key.hex(), "thumbprint": thumbprint.ed25519(public_key)}


def list_keys(config: Config, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return every key with its state."""
    return describe(_generations(config, args), _state(config), now=iso(SystemClock().now().wall_ns))


def show(config: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Return the key in use."""
    key = _in_use(_generations(config, args), _state(config))
    return {
        "ed25519": key.ed25519.hex(),
        "thumbprint": key.ed25519_thumbprint,
        "kind": key.kind,
        "p256": key.p256_thumbprint,
        "generation": key.generation,
    }


def rotate(config: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Have the daemon rotate."""
    return ask(config, "keys.rotate", reason=args.reason)


def retire(config: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Have the daemon retire a key; list what is disputed."""
    done = ask(config, "keys.retire", ed25519=args.ed25519, reason=args.reason, suspected_since=args.suspected_since)
    if args.suspected_since is not None:
        done["disputed"] = list(_signed_since(config, done["retired"], args.suspected_since))
    return done


def _signed_since(config: Config, ed25519: str, since: str) -> Iterator[dict[str, Any]]:
    """Yield what a key signed from the first bundle at this time on, as far as the store still holds it."""
    with inspect(config.state_directory) as store:
        for row in store.signed_since(_nanoseconds(since)):
            envelope = orjson.loads(store.envelope(row) or b"null")
            if envelope is None or envelope["payload"]["meta"]["actod"]["key"]["ed25519"] == ed25519:
                yield {"proof_id": row.proof_id, "sealed_at": iso(row.sealed_wall), "place": PLACES[row.place]}


def _nanoseconds(moment: str) -> int:
    return (datetime.fromisoformat(moment) - _EPOCH) // timedelta(microseconds=1) * 1000


def adopt(config: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Have the daemon prepare an adoption, or carry it out."""
    if args.signature is not None:
        return ask(config, "keys.adopt", signature=operators.read_signature(args.signature))
    if args.operator is None or args.out is None:
        raise ConfigError(
            key="--operator",
            expected="--operator FILE with --out FILE, then --signature FILE",
            fix="prepare the statement, have it signed, and bring the signature: docs/keys.md",
        )
    done = ask(
        config,
        "keys.prepare_adoption",
        operator=operators.read_public(args.operator),
        reason=args.reason,
        suspected_since=args.suspected_since,
    )
    args.out.write_bytes(done.pop("statement").encode())
    return done | {"statement": str(args.out)}


def sign_statement(args: argparse.Namespace) -> dict[str, Any]:
    """Sign a statement with an operator's key; return what it says."""
    text = args.statement.read_bytes()
    try:
        statement = parse(text)
    except RejectedError as exc:
        raise _no_statement(args.statement) from exc
    if statement.purpose != ADOPTION:
        raise _no_statement(args.statement)
    signer, out = operators.read_signer(args.key), args.out or args.statement.with_name(f"{args.statement.name}.sig")
    out.write_bytes(signer.sign(text).signature)
    return statement.body | {"signature": str(out)}


def _no_statement(file: Path) -> ConfigError:
    return ConfigError(key="STATEMENT", expected="what actod keys adopt --out wrote", found=str(file), fix="name that file")


def export(config: Config, args: argparse.Namespace) -> Any:
    """Return public keys as text or JSON, or the content of a trust file."""
    generations, state = _generations(config, args), _state(config)
    if args.trust:
        return _trust(config, generations, state, [operators.read_public(file) for file in args.operator]).file
    made = forms(_in_use(generations, state))
    if args.form == "json":
        return made
    if args.form in {"jwk", "acto"}:
        return made["ed25519"][args.form]
    curve = made[args.form.removesuffix(".pem")]
    if curve is None:
        raise ConfigError(key="--as", expected="a key with P-256", found=made["kind"], fix="--as ed25519.pem")
    return curve["pem"]


def _trust(config: Config, generations: tuple[EnrolledKey, ...], state: RingState, trusted: list[str]) -> Trust:
    """Enrol the keys that this robot signs and signed with, the retired ones left out; before its first start, all."""
    keys = [past.key for past in state.past if not past.retired]
    keys += [state.current] if state.current is not None else [Key.of(key.public) for key in generations]
    return Trust({_device(config): tuple(keys)}, frozenset(trusted))


def _device(config: Config) -> str | None:
    """Return the device's id, None before its first start where the configuration does not name one."""
    if (config.state_directory / DATABASE_NAME).exists():
        with inspect(config.state_directory) as store:
            return store.status(wall_ns=0).device
    return config.device.id or None


def _generations(config: Config, args: argparse.Namespace) -> tuple[EnrolledKey, ...]:
    return asyncio.run(ask_keys(config, config_file=args.config))


def _state(config: Config) -> RingState:
    return read_state(config.state_directory) or RingState()


def _in_use(generations: tuple[EnrolledKey, ...], state: RingState) -> EnrolledKey:
    for key in reversed(generations):
        if state.current is None or key.ed25519_thumbprint == state.current.ed25519:
            return key
    raise TransientError("key_gone", "the token does not hold the key that this robot signs with")
