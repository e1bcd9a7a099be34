"""The keys of a robot as an operator sees them: states, ages, and public keys in the forms that others read."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from actod.config import Config
from actod.keys.ring import RingState
from actod.model import EnrolledKey, JsonObject
from actod.proof.statements import Key
from actod.proof.thumbprint import base64url

_SECONDS_A_DAY = 86_400
# SubjectPublicKeyInfo up to the key itself: RFC 8410, and RFC 5480 for a point of 65 bytes on P-256
_SPKI_ED25519 = bytes.fromhex("302a300506032b6570032100")
_SPKI_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def describe(generations: Sequence[EnrolledKey], state: RingState, *, now: str) -> list[dict[str, Any]]:
    """Return each key: those on the token by generation, then those that were used and are gone from it.

    `state` is in-use, next, past, retired or unused; `age_days` counts from the first use.
    """
    used = {past.key.ed25519: past for past in state.past}
    lines = []
    for key in generations:
        past = used.pop(key.ed25519_thumbprint, None)
        line = {"label": key.label, "generation": key.generation} | _named(Key.of(key.public))
        lines.append(line | _state(key.ed25519_thumbprint, state, now) | (_past(past) if past else {}))
    if state.current is not None and not any(line["ed25519"] == state.current.ed25519 for line in lines):
        lines.append({"label": None, "generation": None} | _named(state.current) | _state(state.current.ed25519, state, now))
    return lines + [{"label": None, "generation": None} | _named(past.key) | _past(past) for past in used.values()]


def _named(key: Key) -> dict[str, Any]:
    return {"ed25519": key.ed25519, "p256": key.p256, "kind": key.kind}


def _state(ed25519: str, state: RingState, now: str) -> dict[str, Any]:
    if state.current is not None and ed25519 == state.current.ed25519:
        return {"state": "in-use", "since": state.since, "until": None, "age_days": age_days(state.since, now)}
    pending = state.pending or state.prepared
    word = "next" if pending is not None and pending.statement.new.ed25519 == ed25519 else "unused"
    return {"state": word, "since": None, "until": None, "age_days": None}


def _past(past: Any) -> dict[str, Any]:
    word = "retired" if past.retired else "past"
    return {"state": word, "since": past.since, "until": past.until, "age_days": age_days(past.since, past.until)}


def age_days(since: str, until: str) -> int | None:
    """Return the whole days between two times; None where one is none. A clock that went back makes no negative age."""
    try:
        seconds = (_moment(until) - _moment(since)).total_seconds()
    except ValueError:
        return None
    return max(0, int(seconds // _SECONDS_A_DAY))


def max_age_days(config: Config) -> int:
    """Return after how many days of use a key should be replaced."""
    return config.token.key_max_age_days or (365 if config.environment == "prod" else 1095)


def forms(key: EnrolledKey) -> JsonObject:
    """Return the public keys of a generation as JWK, PEM and in the ACTO form (base64 of the raw Ed25519 key)."""
    p256 = None
    if key.p256 is not None:
        jwk = {"kty": "EC", "crv": "P-256", "x": base64url(key.p256[1:33]), "y": base64url(key.p256[33:])}
        p256 = {"thumbprint": key.p256_thumbprint, "jwk": jwk, "pem": _pem(_SPKI_P256 + key.p256)}
    return {
        "generation": key.generation,
        "kind": key.kind,
        "ed25519": {
            "thumbprint": key.ed25519_thumbprint,
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.ed25519)},
            "pem": _pem(_SPKI_ED25519 + key.ed25519),
            "acto": base64.b64encode(key.ed25519).decode(),
        },
        "p256": p256,
    }


def _pem(spki: bytes) -> str:
    text = base64.b64encode(spki).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
