"""Tampering: every change of an envelope is named, and what we accept the stock server accepts."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from nacl.signing import SigningKey

from actod.model import Envelope
from actod.proof.canonical import canonical, digest
from actod.proof.verify import AmbiguousObject, Verdict, verify_envelope
from tests.proof.test_vectors import ENVELOPES, FLOATS

ROOT = Path(__file__).parents[2]
KEY = SigningKey(bytes(range(32)))


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every member of an envelope, containers included."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from paths(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from paths(member, (*path, index))


def changes(value: Any) -> Iterator[Any]:
    """Values that are not this one, of its own type and of another."""
    if isinstance(value, bool) or value is None:
        yield from (not value, "x")
    elif isinstance(value, str):
        yield from (value + "x", "x" + value[1:] if value[:1] != "x" else "y", value[:-1] if value else "z", 5, None)
    elif isinstance(value, int | float):
        yield from (value * 3 + 1 if value == value else 1.5, str(value))  # noqa: PLR0124 - NaN stays NaN
    elif isinstance(value, dict):
        yield from ({**value, "added": 1}, [], "text")
    elif isinstance(value, list):
        yield from ([*value, 1], {}, value[1:] if value else [None])


def put(envelope: Any, path: tuple[Any, ...], value: Any) -> Any:
    result = copy.deepcopy(envelope)
    target = result
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return result


def drop(envelope: Any, path: tuple[Any, ...]) -> Any:
    result = copy.deepcopy(envelope)
    target = result
    for step in path[:-1]:
        target = target[step]
    del target[path[-1]]
    return result


def resign(envelope: Any, *, key: SigningKey = KEY, hash_telemetry: bool = True) -> Any:
    """Sign an envelope anew, as one who has a key can."""
    result = copy.deepcopy(envelope)
    payload = result["payload"]
    alg = payload["hash_alg"] if payload["hash_alg"] in {"sha256", "blake3"} else "sha256"
    if hash_telemetry:
        payload["telemetry_hash"] = digest(canonical(payload["telemetry_normalized"]), alg)
    payload.pop("payload_hash", None)
    payload["payload_hash"] = digest(canonical(payload), alg)
    result["signature_b64"] = base64.b64encode(key.sign(payload["payload_hash"].encode()).signature).decode()
    result["signer_public_key_b64"] = base64.b64encode(bytes(key.verify_key)).decode()
    return result


def test_every_change_of_every_member_is_named(forge: Callable[..., Envelope]) -> None:
    count = 0
    for body in (orjson.loads(forge().body), *(vector["envelope"] for vector in ENVELOPES.values())):
        envelope = json.loads(json.dumps(body))
        for path in paths(envelope):
            if path == ("anchor_ref",):
                continue  # outside of the hash, by the protocol
            value = envelope
            for step in path:
                value = value[step]
            for changed in (drop(envelope, path), *(put(envelope, path, other) for other in changes(value))):
                checked = verify_envelope(changed)
                assert checked.verdict is Verdict.INVALID, path
                count += 1
    assert count > 1000


def test_what_is_accepted_the_stock_server_accepts_whatever_was_changed(forge: Callable[..., Envelope]) -> None:
    envelope = orjson.loads(forge().body)
    attempts = []
    for path in paths(envelope):
        if path[0] != "payload" or path == ("payload", "payload_hash"):
            continue
        value = envelope
        for step in path:
            value = value[step]
        for changed in (drop(envelope, path), *(put(envelope, path, other) for other in changes(value))):
            try:
                attempts.append(resign(changed))
            except (KeyError, TypeError):
                attempts.append(changed)
    attempts += [put(envelope, ("anchor_ref",), value) for value in ("a reference", 5, {})]
    ours = [verify_envelope(attempt).verdict is Verdict.VALID for attempt in attempts]
    stock = [verdict["valid"] for verdict in stock_verdicts(attempts)]
    assert len(attempts) > 250
    assert sum(ours) > 20  # one who has the key may sign other content
    assert [attempt for attempt, mine, theirs in zip(attempts, ours, stock, strict=True) if mine and not theirs] == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("payload", "version"), "2", "version is not 1"),
        (("payload", "signature_alg"), "rsa", "signature_alg is not ed25519"),
        (("payload", "hash_alg"), "md5", "hash_alg is neither"),
        (("payload", "subject", "robot_id"), "other", "subject and telemetry disagree on robot_id"),
        (("payload", "subject", "more"), 1, "subject has members that the protocol does not have"),
        (("payload", "more"), 1, "payload has members that the protocol does not have"),
        (("payload", "meta", "actod", "v"), 2, "meta.actod has a version"),
        (("payload", "meta", "actod", "seq"), 2, "seq 2 names 0 predecessors"),
        (("payload", "meta", "dependencies"), ["f" * 64], "seq 1 names 1 predecessors"),
        (("payload", "meta", "dependency_count"), 1, "seq 1 names 0 predecessors"),
        (("payload", "meta", "actod", "key", "ed25519"), "x" * 43, "signed again by a stranger"),
        (("payload", "meta", "actod", "key", "kind"), "sealed", "(cosign) is missing"),
    ],
)
def test_one_who_has_the_key_is_still_told_what_is_wrong(
    forge: Callable[..., Envelope], path: tuple[str, ...], value: Any, problem: str
) -> None:
    problems = verify_envelope(resign(put(orjson.loads(forge().body), path, value))).problems
    assert any(problem in found for found in problems), problems


def test_content_that_was_signed_again_by_a_stranger_is_refused(forge: Callable[..., Envelope]) -> None:
    envelope = resign(orjson.loads(forge().body), key=SigningKey(bytes(32)))
    assert verify_envelope(envelope).problems == ["the signer is not the key named inside: signed again by a stranger"]


def test_a_telemetry_hash_that_the_stock_server_never_looks_at_is_checked(forge: Callable[..., Envelope]) -> None:
    envelope = put(orjson.loads(forge().body), ("payload", "telemetry_hash"), "0" * 64)
    forged = resign(envelope, hash_telemetry=False)
    assert [verdict["valid"] for verdict in stock_verdicts([forged])] == [True]
    assert verify_envelope(forged).problems == ["telemetry_hash does not match the content"]


def test_a_key_that_stands_twice_makes_the_verdict_depend_on_the_parser(forge: Callable[..., Envelope]) -> None:
    def ambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        return value if len(value) == len(pairs) else AmbiguousObject(value)

    text = forge().body.decode()
    checked = verify_envelope(json.loads(text.replace('"speed":1.5', '"speed":9,"speed":1.5'), object_pairs_hook=ambiguous))
    assert checked.verdict is Verdict.VERIFIER_DEPENDENT
    assert "twice" in checked.dependent
    checked = verify_envelope(json.loads(text.replace('"speed":1.5', '"speed":1.5,"speed":9'), object_pairs_hook=ambiguous))
    assert checked.verdict is Verdict.INVALID


@pytest.mark.parametrize(
    "thing", [None, 1, "x", [], {}, {"payload": None}, {"payload": {}}, {"payload": {"payload_hash": "é"}}]
)
def test_what_is_no_envelope_is_invalid_and_no_crash(thing: Any) -> None:
    assert verify_envelope(thing).verdict is Verdict.INVALID


def test_a_vastly_nested_envelope_is_invalid_and_no_crash(forge: Callable[..., Envelope]) -> None:
    envelope = orjson.loads(forge().body)
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    envelope["payload"]["meta"]["x"] = deep
    assert verify_envelope(envelope).verdict is Verdict.INVALID


@pytest.fixture(scope="session")
def old_orjson() -> Path:
    """Where orjson 3.11.5 is installed; fetched once if the set-up has not done it."""
    folder = ROOT / ".cache/orjson-3.11.5"
    if not folder.is_dir():
        fresh = folder.with_suffix(".new")
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--target", str(fresh), "orjson==3.11.5"]
        done = subprocess.run(command, capture_output=True, timeout=120, check=False)
        if done.returncode and not os.environ.get("CI"):
            pytest.skip("orjson 3.11.5 is neither in .cache nor to be had")
        assert done.returncode == 0, done.stderr
        fresh.rename(folder)
    return folder


def stock_verdicts(envelopes: list[Any], orjson_folder: Path | None = None) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "hil/parts/stock_verifier.py")],
        input="".join(json.dumps(envelope) + "\n" for envelope in envelopes),
        env=dict(os.environ) | {"PYTHONPATH": str(orjson_folder or "")},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("age", ["newest", "3.11.5"])
def test_the_stock_verifier_says_the_same_under_both_versions_of_orjson(
    forge: Callable[..., Envelope], old_orjson: Path, age: str
) -> None:
    own = [orjson.loads(forge(hash_alg=hash_alg).body) for hash_alg in ("sha256", "blake3")]
    tampered = put(own[0], ("payload", "telemetry_normalized", "events", 0, "data", "speed"), 1.25)
    vectors = list(ENVELOPES.values())
    verdicts = stock_verdicts(
        [*own, tampered, *(vector["envelope"] for vector in vectors)], old_orjson if age == "3.11.5" else None
    )
    assert {verdict["orjson"] for verdict in verdicts} == {"3.11.5" if age == "3.11.5" else orjson.__version__}
    assert [verdict["valid"] for verdict in verdicts[:3]] == [True, True, False]
    assert [verify_envelope(envelope).verdict for envelope in (*own, tampered)] == ["valid", "valid", "invalid"]
    for vector, verdict in zip(vectors, verdicts[3:], strict=True):
        expected = vector["verify_internal"] if age == "newest" else vector["verify_internal_orjson_3_11_5"]
        assert verdict["valid"] is (expected is True), vector["name"]
        ours = verify_envelope(vector["envelope"]).verdict
        assert ours is not Verdict.INVALID
        if ours is Verdict.VALID:
            assert verdict["valid"]
        if vector["name"] in FLOATS:
            assert verdict["valid"] is (age == "newest")
