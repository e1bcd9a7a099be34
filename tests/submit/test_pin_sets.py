"""Pin sets that operators sign: which are taken, which are not, and that nothing brings an older one back."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from nacl.signing import SigningKey

from actod.config import CollectorConfig, PinSetConfig
from actod.errors import ConfigError, RejectedError, TransientError
from actod.submit.https import HttpsClient
from actod.submit.pinset import Operators, Reached, authenticate, key_text, parse_day, sign, verify
from actod.submit.tls import PIN_MEMORY, CollectorTls
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.submit.parts import (
    FakeAudit,
    FakeClock,
    Visit,
    collector_config,
    confirm,
    envelope,
    receipt_for,
    server_context,
    serving,
)

HOST = "127.0.0.1"
KEYS = [SigningKey(bytes([number]) * 32) for number in range(1, 5)]
NAMES = [key_text(bytes(key.verify_key)) for key in KEYS]
OPERATORS = Operators.parse(NAMES[:3], 2)  # the fourth key is a stranger's
PINS = ["sha256/" + base64.b64encode(hashlib.sha256(name).digest()).decode() for name in (b"one", b"two", b"three")]
NOW = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)


def document(*signers: int, **changes: Any) -> bytes:
    """Make a set, signed by these of the keys."""
    signed = {"type": "actod-pin-set", "host": HOST, "version": 5, "expires": "2027-06-01", "pins": PINS[:2]} | changes
    made = orjson.dumps({"signed": signed})
    for signer in signers:
        made = sign(made, KEYS[signer])
    return made


def forged(*signers: int, **changes: Any) -> bytes:
    """Sign what `sign` refuses to."""
    good = json.loads(document())["signed"] | changes
    message = b"actod:pins:v1\n" + orjson.dumps(good, option=orjson.OPT_SORT_KEYS)
    listed = [(NAMES[each], base64.b64encode(KEYS[each].sign(message).signature).decode()) for each in signers]
    return orjson.dumps({"signed": good, "signatures": [{"key": key, "signature": mark} for key, mark in listed]})


def edited(made: bytes, edit: Callable[[Any], Any]) -> bytes:
    value = json.loads(made)
    edit(value)
    return orjson.dumps(value)


def twice_by_one_key() -> bytes:
    """Make two signatures of one key differ: Ed25519 signs alike each time, but a verifier must not count on that."""
    return edited(document(0), lambda value: value["signatures"].extend(value["signatures"] * 3))


TAKEN = [
    ("two of three", document(0, 1)),
    ("all three", document(0, 1, 2)),
    ("two, and a stranger", document(0, 3, 2)),
    ("two, and a broken one", edited(document(0, 1, 2), lambda v: v["signatures"][0].update(signature="AAAA"))),
    ("a gap in versions", document(0, 1, version=900)),
    ("the first one at all", document(0, 1, version=1)),
    ("the very same again", document(0, 1)),
    ("signed anew by others", document(1, 2)),
]

REFUSED = [
    ("rollback", document(0, 1, 2, version=4), "pins_rollback"),
    ("same version, other content", document(0, 1, 2, pins=PINS[1:]), "pins_version_reused"),
    ("same version, another end", document(0, 1, 2, expires="2099-01-01"), "pins_version_reused"),
    ("expired", document(0, 1, version=6, expires="2026-11-25"), "pins_expired"),
    ("ends today", document(0, 1, version=6, expires="2026-11-26"), "pins_expired"),
    ("expired and rolled back", document(0, 1, version=4, expires="2026-11-25"), "pins_rollback"),
    ("no signature", document(version=6), "pins_too_few_signatures"),
    ("too few signatures", document(0, version=6), "pins_too_few_signatures"),
    ("one key signs twice", twice_by_one_key(), "pins_too_few_signatures"),
    ("one key under two names", edited(document(0), lambda v: v["signatures"].append(v["signatures"][0] | {"x": 1})),
     "pins_too_few_signatures"),
    ("unknown keys", document(3, version=6), "pins_too_few_signatures"),
    ("one known and one unknown key", document(0, 3, version=6), "pins_too_few_signatures"),
    ("a signature under another's name", edited(document(0, 3), lambda v: v["signatures"][1].update(key=NAMES[1])),
     "pins_too_few_signatures"),
    ("changed after signing", edited(document(0, 1), lambda v: v["signed"].update(version=6)), "pins_too_few_signatures"),
    ("a member added after signing", edited(document(0, 1), lambda v: v["signed"].update(x=1)), "pins_too_few_signatures"),
    ("wrong type", forged(0, 1, type="actod-firmware"), "pins_wrong_type"),
    ("a member too many", forged(0, 1, more=1), "pins_wrong_type"),
    ("another server's", document(0, 1, host="collector.example", version=6), "pins_wrong_host"),
    ("one pin", forged(0, 1, pins=PINS[:1]), "pins_too_few"),
    ("one pin twice", forged(0, 1, pins=PINS[:1] * 2), "pins_too_few"),
    ("pins that are none", forged(0, 1, pins=[1, 2]), "pins_too_few"),
    ("no list of pins", forged(0, 1, pins=None), "pins_too_few"),
    ("version 0", forged(0, 1, version=0), "pins_malformed"),
    ("version true", forged(0, 1, version=True), "pins_malformed"),
    ("a version beyond all others", forged(0, 1, version=2**60), "pins_malformed"),
    ("no day", forged(0, 1, expires="soon"), "pins_malformed"),
    ("an end that is a number", forged(0, 1, expires=20270601), "pins_malformed"),
    ("not JSON", b"{", "pins_malformed"),
    ("a list", b"[]", "pins_malformed"),
    ("nothing signed", b'{"signed": 1, "signatures": []}', "pins_malformed"),
    ("signatures that are none", b'{"signed": {}, "signatures": [1]}', "pins_malformed"),
    ("too long", document(0, 1) + b" " * 65536, "pins_malformed"),
]  # fmt: skip


def taken(made: bytes, *, now: dt.datetime | None = NOW) -> int:
    before = authenticate(document(0, 1), operators=OPERATORS)
    reached = Reached(0 if b'"version": 1,' in made or b'"version":1,' in made else 5, before.digest)
    return verify(made, operators=OPERATORS, host=HOST, now=now, before=reached).version


@pytest.mark.parametrize("made", [made for _, made in TAKEN], ids=[name for name, _ in TAKEN])
def test_a_set_that_enough_operators_signed_is_taken(made: bytes) -> None:
    assert taken(made) == json.loads(made)["signed"]["version"]


@pytest.mark.parametrize(("made", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_any_other_set_is_refused_with_its_reason(made: bytes, reason: str) -> None:
    with pytest.raises(RejectedError) as caught:
        taken(made)
    assert caught.value.reason == reason


def test_a_clock_that_nobody_set_ends_no_set_and_takes_no_older_one() -> None:
    assert taken(document(0, 1, version=6, expires="2026-11-25"), now=None) == 6
    with pytest.raises(RejectedError, match="pins_rollback"):
        taken(document(0, 1, version=4), now=None)


def test_a_signature_made_for_something_else_counts_for_nothing() -> None:
    value = json.loads(document())
    bare = orjson.dumps(value["signed"], option=orjson.OPT_SORT_KEYS)
    value["signatures"] = [
        {"key": NAMES[each], "signature": base64.b64encode(KEYS[each].sign(bare).signature).decode()} for each in (0, 1)
    ]
    with pytest.raises(RejectedError, match="pins_too_few_signatures"):
        taken(orjson.dumps(value))


def test_openssl_makes_the_keys_and_the_same_signatures(tmp_path: Path) -> None:
    def openssl(command: str) -> bytes:
        return subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True).stdout

    openssl("genpkey -algorithm ed25519 -out a.pem")
    name = openssl("pkey -in a.pem -pubout").split(b"\n")[1].decode()
    value = json.loads(document(1))
    (tmp_path / "m").write_bytes(b"actod:pins:v1\n" + orjson.dumps(value["signed"], option=orjson.OPT_SORT_KEYS))
    openssl("pkeyutl -sign -rawin -in m -inkey a.pem -out s")
    value["signatures"].append({"key": name, "signature": base64.b64encode((tmp_path / "s").read_bytes()).decode()})
    operators = Operators.parse([name, NAMES[1]], 2)
    assert authenticate(orjson.dumps(value), operators=operators).version == 5


@pytest.mark.parametrize(
    ("keys", "threshold", "key"),
    [
        ([], 2, "threshold"),
        (NAMES[:1], 2, "threshold"),
        (NAMES[:2], 0, "threshold"),
        ([NAMES[0], NAMES[0]], 2, "keys"),
        ([NAMES[0], "x"], 1, "keys"),
        ([NAMES[0], NAMES[1].rstrip("=")], 1, "keys"),
        ([NAMES[0], base64.b64encode(bytes(44)).decode()], 1, "keys"),
    ],
)
def test_operators_that_could_never_sign_enough_are_refused(keys: list[str], threshold: int, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"collector\.pin_set\.{key}"):
        Operators.parse(keys, threshold)


@pytest.mark.parametrize("text", ["", "2027-6-1", "2027-02-30", "01.06.2027", "2027-06-01T00:00:00Z", None, 1])
def test_only_a_day_is_a_day(text: Any) -> None:
    assert parse_day(text) is None
    assert parse_day("2027-06-01") == dt.datetime(2027, 6, 1, tzinfo=dt.UTC)


# -- on a robot ----------------------------------------------------------------------------------------------------------


def configured(folder: Path, authority: CertificateAuthority, port: int = 1, **changes: Any) -> CollectorConfig:
    pin_set = PinSetConfig(file=folder / "signed-pins.json", keys=NAMES[:3], threshold=2)
    return collector_config(folder, authority, port, pin_set=pin_set, **changes)


def test_rotation_on_a_running_client_needs_no_restart_closes_connections_and_is_never_undone(
    folder: Path, authority: CertificateAuthority
) -> None:
    """The server changes to another key: the fleet is given its pin first, and the old key is worth nothing after."""
    old, new = authority.issue("old"), authority.issue("new")
    clock, audit = FakeClock(), FakeAudit()
    file, state = folder / "signed-pins.json", folder / "state"
    state.mkdir(mode=0o700)

    def made(version: int, *pins: str) -> bytes:
        return document(0, 1, version=version, pins=list(pins))

    async def run() -> None:
        async with serving(confirm, server_context(old)) as raw:
            config = configured(folder, authority, raw.port, pins=[old.pin, PINS[0]])

            def client() -> tuple[CollectorTls, HttpsClient]:
                tls = CollectorTls(collector=config, clock=clock, audit=audit, state_directory=state)
                return tls, HttpsClient(collector=config, environment="dev", clock=clock, audit=audit, tls=tls)

            tls, https = client()
            await https.submit(envelope(1))  # under the configuration's own pins
            file.write_bytes(made(1, old.pin, new.pin))
            assert tls.refresh()
            await https.submit(envelope(2))
            assert len(raw.visits) == 2, "the connection made under the pins before is closed"
            await https.submit(envelope(3))
            assert len(raw.visits) == 2, "and the next one is kept"
            file.write_bytes(made(2, new.pin, PINS[0]))
            assert tls.refresh()
            assert await reason(https) == "pin_mismatch"
            raw.context = server_context(new)
            await https.submit(envelope(4))
            seen = raw.application_bytes
            for attack in (made(1, old.pin, new.pin), made(2, old.pin, new.pin), document(0, version=9), b"{"):
                file.write_bytes(attack)
                assert not tls.refresh()
                assert not tls.refresh(), "said once"
            await https.close()
            raw.context = server_context(old)
            for harm in ("the old set is offered at a start", "the file is gone", "the file cannot be read"):
                if harm.endswith("start"):
                    file.write_bytes(made(1, old.pin, new.pin))
                else:
                    file.unlink(missing_ok=True)
                if harm.endswith("read"):
                    file.mkdir()
                _tls, https = client()
                assert await reason(https) == "pin_mismatch", harm
                await https.close()
            assert raw.application_bytes == seen

    asyncio.run(run())
    refusals = [line["reason"] for line in audit.of("pins.refused")]
    assert refusals[:4] == ["pins_rollback", "pins_version_reused", "pins_too_few_signatures", "pins_malformed"]
    assert refusals[4:] == ["pins_rollback", "pins_unreadable"]
    assert (state / PIN_MEMORY).stat().st_mode & 0o777 == 0o600


def test_a_request_under_way_while_pins_change_ends_and_so_does_its_connection(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    ended = asyncio.Event()

    async def run() -> None:
        config = configured(folder, authority)

        async def script(visit: Visit) -> None:
            await visit.secure()
            request = await visit.request()
            (folder / "signed-pins.json").write_bytes(document(0, 1, pins=[authority.pin, PINS[0]]))
            assert tls.refresh()
            await visit.send(receipt_for(request))
            assert not await visit.some()
            ended.set()

        async with serving(script, server_context(certificate)) as raw:
            config = replace(config, url=f"https://{HOST}:{raw.port}")
            tls = CollectorTls(collector=config, clock=FakeClock(), state_directory=folder)
            https = HttpsClient(collector=config, environment="dev", clock=FakeClock(), tls=tls)
            await https.submit(envelope())
            async with asyncio.timeout(10):
                await ended.wait()

    asyncio.run(run())


async def reason(client: HttpsClient) -> str:
    with pytest.raises(TransientError) as caught:
        await client.submit(envelope())
    return caught.value.reason


def test_a_set_that_ends_while_it_is_in_force_blocks_until_a_newer_one_comes(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    """Else who holds the old key and keeps updates away could go on for ever. The clock must be one that somebody set."""
    clock, file = FakeClock(synchronised=False), folder / "signed-pins.json"
    day = dt.datetime.fromtimestamp(clock.now().wall_ns / 1e9, dt.UTC)
    yesterday, later = (f"{day + dt.timedelta(days=days):%Y-%m-%d}" for days in (-1, 30))

    async def run() -> None:
        async with serving(confirm, server_context(certificate)) as raw:
            file.write_bytes(document(0, 1, version=1, expires=yesterday, pins=[authority.pin, PINS[0]]))
            config = configured(folder, authority, raw.port)
            tls = CollectorTls(collector=config, clock=clock, state_directory=folder)
            https = HttpsClient(collector=config, environment="dev", clock=clock, tls=tls)
            await https.submit(envelope())  # nobody knows what day it is
            clock.is_synchronised, seen = True, raw.application_bytes
            assert tls.refresh(), "the connection that was opened before ends, too"
            assert not tls.refresh()
            assert await reason(https) == "pins_expired"
            assert raw.application_bytes == seen
            file.write_bytes(document(0, 1, version=2, expires=later, pins=[authority.pin, PINS[0]]))
            assert tls.refresh()
            await https.submit(envelope())
            await https.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("left", "synchronised", "told"), [(31, True, False), (30, True, True), (3, True, True), (3, False, False)]
)
def test_the_end_of_a_set_is_told_a_month_before_once(
    folder: Path, authority: CertificateAuthority, *, left: int, synchronised: bool, told: bool
) -> None:
    clock, audit = FakeClock(synchronised=synchronised), FakeAudit()
    day = dt.datetime.fromtimestamp(clock.now().wall_ns / 1e9, dt.UTC).replace(hour=0, minute=0, second=0)
    clock.wall_ns = int(day.timestamp() * 1e9) - clock.ns
    (folder / "signed-pins.json").write_bytes(document(0, 1, expires=f"{day + dt.timedelta(days=left):%Y-%m-%d}"))
    tls = CollectorTls(collector=configured(folder, authority), clock=clock, audit=audit, state_directory=folder)
    for _ in range(2):
        tls.refresh()
    assert [line["days"] for line in audit.of("pins.ends_soon")] == ([left] if told else [])


def test_an_operators_key_that_was_taken_away_takes_its_sets_along_but_not_their_version(
    folder: Path, authority: CertificateAuthority
) -> None:
    config, file, clock = configured(folder, authority), folder / "signed-pins.json", FakeClock()
    file.write_bytes(document(0, 1))
    tls = CollectorTls(collector=config, clock=clock, state_directory=folder)
    assert tls.guard.pins == frozenset(PINS[:2])
    config = replace(config, pin_set=replace(config.pin_set, keys=NAMES[1:3]))
    tls = CollectorTls(collector=config, clock=clock, state_directory=folder)
    assert tls.pin_set is None
    assert tls.guard.pins == frozenset(config.pins)
    file.write_bytes(document(1, 2, version=4))
    assert not tls.refresh()
    file.write_bytes(document(1, 2, version=6))
    assert tls.refresh()


@pytest.mark.parametrize("kept", [b"", b"{", b"[1]", b'{"version": 1}', b'{"version":"x","digest":""}'])
def test_a_damaged_memory_is_told_and_stops_nothing(kept: bytes, folder: Path, authority: CertificateAuthority) -> None:
    audit = FakeAudit()
    (folder / PIN_MEMORY).write_bytes(kept)
    (folder / "signed-pins.json").write_bytes(document(0, 1))
    tls = CollectorTls(collector=configured(folder, authority), clock=FakeClock(), audit=audit, state_directory=folder)
    assert tls.pin_set is not None
    assert len(audit.of("pins.memory_damaged")) == 1


def test_a_set_that_cannot_be_kept_is_not_in_force(folder: Path, authority: CertificateAuthority) -> None:
    """Else a power cut would bring the one before back."""
    audit = FakeAudit()
    (folder / "signed-pins.json").write_bytes(document(0, 1))
    config = configured(folder, authority)
    tls = CollectorTls(collector=config, clock=FakeClock(), audit=audit, state_directory=folder / "none")
    assert tls.guard.pins == frozenset(config.pins)
    assert [line["reason"] for line in audit.of("pins.refused")] == ["pins_unwritable"]
    (folder / "none").mkdir(mode=0o700)
    assert tls.refresh()


# -- report only ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "synchronised", "let_through"),
    [(30, True, True), (89, True, True), (91, True, False), (0, True, False), (-1, True, False), (30, False, False),
     (30, None, False)],
)  # fmt: skip
def test_report_only_lets_through_until_its_day_and_only_by_a_clock_that_was_set(
    folder: Path,
    authority: CertificateAuthority,
    certificate: Certificate,
    *,
    days: int,
    synchronised: bool | None,
    let_through: bool,
) -> None:
    clock, audit = FakeClock(synchronised=synchronised), FakeAudit()
    today = dt.datetime.fromtimestamp(clock.now().wall_ns / 1e9, dt.UTC)

    async def run() -> None:
        async with serving(confirm, server_context(certificate)) as raw:
            until = f"{today + dt.timedelta(days=days):%Y-%m-%d}"
            config = collector_config(folder, authority, raw.port, pins=PINS[:2], pins_report_only_until=until)
            https = HttpsClient(collector=config, environment="dev", clock=clock, audit=audit)
            for number in range(2):
                if let_through:
                    await https.submit(envelope(number))
                else:
                    assert await reason(https) == "pin_mismatch"
                await https.close()
            assert bool(raw.application_bytes) == let_through

    asyncio.run(run())
    assert len(audit.of("pins.would_refuse")) == let_through
    if let_through:
        assert certificate.pin in audit.of("pins.would_refuse")[0]["seen"]


def test_the_last_day_of_report_only_ends_the_connections_that_it_let_through(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    clock = FakeClock()
    tomorrow = dt.datetime.fromtimestamp(clock.now().wall_ns / 1e9, dt.UTC) + dt.timedelta(days=1)

    async def run() -> None:
        async with serving(confirm, server_context(certificate)) as raw:
            until = f"{tomorrow:%Y-%m-%d}"
            config = collector_config(folder, authority, raw.port, pins=PINS[:2], pins_report_only_until=until)
            tls = CollectorTls(collector=config, clock=clock)
            https = HttpsClient(collector=config, environment="dev", clock=clock, tls=tls)
            await https.submit(envelope())
            seen = raw.application_bytes
            clock.advance(86_400)
            assert tls.refresh()
            assert await reason(https) == "pin_mismatch"
            assert raw.application_bytes == seen

    asyncio.run(run())


@pytest.mark.parametrize("text", ["never", "2027", "true", "2027-13-01"])
def test_report_only_without_an_end_is_refused(text: str, folder: Path, authority: CertificateAuthority) -> None:
    config = collector_config(folder, authority, 1, pins_report_only_until=text)
    with pytest.raises(ConfigError, match="no report-only without an end"):
        CollectorTls(collector=config, clock=FakeClock())


def test_report_only_never_lets_an_invalid_chain_through(folder: Path, authority: CertificateAuthority) -> None:
    clock = FakeClock()
    today = dt.datetime.fromtimestamp(clock.now().wall_ns / 1e9, dt.UTC)
    stranger = CertificateAuthority.make(folder / "other").issue("stranger")

    async def run() -> None:
        async with serving(confirm, server_context(stranger)) as raw:
            until = f"{today + dt.timedelta(days=9):%Y-%m-%d}"
            config = collector_config(folder, authority, raw.port, pins_report_only_until=until)
            https = HttpsClient(collector=config, environment="dev", clock=clock)
            assert await reason(https) == "certificate_untrusted"
            assert raw.application_bytes == 0

    asyncio.run(run())
