"""Each month: a real alert, the masker tried on what it must find, and all checks that need no network."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import orjson

from actod.cli.rounds.step import FAIL, OK, SKIP, WARN, Result, Round, Step
from actod.cli.state import ask
from actod.config import MaskingConfig
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy

# Type, member name, value: one of each family. Secrets are put together here, so that no search takes them for some.
PROBES: tuple[tuple[str, str, str], ...] = (
    ("email", "note", "write to jane.doe@example.com"),
    ("phone", "note", "call +44 20 7946 0958"),
    ("card", "note", "paid with 4111 1111 1111 1111"),
    ("iban", "note", "from DE89 3704 0044 0532 0130 00"),
    ("ipv4", "note", "seen at 203.0.113.77"),
    ("mac", "note", "from 02:42:ac:11:00:09"),
    ("gps", "latitude", "52.520008"),
    ("aws_key", "note", "key " + "AKIA" + "IOSFODNN7EXAMPLE"),
    ("git_token", "note", "token " + "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"),
    (
        "jwt",
        "note",
        "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    ),
    ("password", "password", "correct-horse-" + "battery"),
)


def _alerts(round_: Round) -> Iterator[Result]:
    """Have the daemon, with its own credentials, send an alert of the kind `test` to each channel."""
    if not round_.config.alerts:
        yield Result("alert-test", SKIP, "there is no channel of alerts")
        return
    channels = ask(round_.config, "alert.test")["channels"]
    away = {name: reason for name, reason in channels.items() if reason}
    if away:
        said = ", ".join(f"{name} ({reason})" for name, reason in away.items())
        yield Result("alert-test", FAIL, f"not delivered: {said}", "actod alert test NAME")
    else:
        yield Result("alert-test", OK, f"delivered to {', '.join(channels)}: somebody should have seen it")


def _masking(round_: Round) -> Iterator[Result]:
    """Mask a set of probes: the detectors must find each, and what this robot's own rules let through is named."""
    missed = _let_through(MaskingConfig())
    if missed:
        yield Result("masking-test", FAIL, f"not found: {', '.join(missed)}", "install this version of actod again")
        return
    kept = _let_through(round_.config.masking)
    if kept:
        yield Result("masking-test", WARN, f"rules let through: {', '.join(kept)}", "look at masking.rules: docs/masking.md")
    else:
        yield Result("masking-test", OK, f"{len(PROBES)} probes, each was masked")


def _let_through(masking: MaskingConfig) -> list[str]:
    masker = PolicyMasker(policy=Policy.compile(masking), pseudonym_key=secrets.token_bytes(32))
    kept = []
    for kind, name, value in PROBES:
        masked, _topic, _counts = masker.mask_value({name: value}, profile="balanced")
        if value.split()[-1] in orjson.dumps(masked).decode():
            kept.append(kind)
    return kept


STEPS = (
    Step("alert-test", _alerts, "systemctl start actod; actod alert test NAME"),
    Step("masking-test", _masking, "actod mask --explain"),
)
