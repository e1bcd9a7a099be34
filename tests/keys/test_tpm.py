"""A TPM in software: sealed keys that the TPM co-signs, a family of them, and what a TPM does when it is treated badly."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from nacl.signing import VerifyKey

from actod.keys import lockout, wire
from actod.model import PublicKeys
from actod.proof import thumbprint
from actod.proof.envelope import assemble
from hil.parts import swtpm
from hil.parts.softhsm import KEY, SoftToken, make_token, module
from hil.rig import ROOT, wait_for
from tests.keys.parts import HASH, Signer, Spy, answer, ask, write_config, write_pin
from tests.proof.conftest import bundle_of, context_of

pytestmark = pytest.mark.tpm
EVENT = {"data": {"speed": 1.5}, "topic": "a/b", "ts": "2026-01-02T03:04:05Z"}
PURPOSE = b"actod:witness:v1\nanything"


def new_tpm(folder: Path, *, managed: bool = False) -> swtpm.TpmToken:
    """Make a TPM; skip on a laptop that has no means to, and fail in CI."""
    try:
        return swtpm.make_token(folder, managed=managed)
    except FileNotFoundError as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[swtpm.TpmToken]:
    """Make a TPM with the first generation of a key."""
    token = new_tpm(tmp_path / "token")
    yield token
    token.close()


@pytest.fixture
def tpm_signer(tpm: swtpm.TpmToken, make_signer: Callable[..., Signer]) -> Signer:
    signer = make_signer(tpm)
    signer.start()
    return signer


def unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def family(signer: Signer) -> list[dict[str, Any]]:
    word, body = signer.ask(wire.KEYS)
    assert word == b"ok", body
    return list(orjson.loads(body)["keys"])


def payload_of(key: dict[str, Any], **changes: Any) -> bytes:
    """Return what the daemon has co-signed for a bundle that names this key."""
    public = PublicKeys(unpacked(key["ed25519"]), key["ed25519_thumbprint"], key["p256_thumbprint"], key["kind"])
    return assemble(bundle_of([EVENT], **changes), keys=public, context=context_of()).canonical


def verify_es256(key: dict[str, Any], message: bytes, signature: bytes) -> None:
    """Verify with another library than ours."""
    point = b"\x04" + unpacked(key["p256"]["x"]) + unpacked(key["p256"]["y"])
    assert thumbprint.p256(point) == key["p256_thumbprint"]
    numbers = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    public.verify(encode_dss_signature(*numbers), message, ec.ECDSA(hashes.SHA256()))


def test_a_sealed_key_signs_and_the_tpm_co_signs_what_it_is_shown_whole(tpm_signer: Signer) -> None:
    (key,) = family(tpm_signer)
    assert (key["label"], key["generation"], key["kind"]) == (KEY, 1, "sealed")
    assert tpm_signer.stats()["memory_locked"]
    assert tpm_signer.process is not None
    locked = re.search(r"VmLck:\s+(\d+) kB", Path(f"/proc/{tpm_signer.process.pid}/status").read_text())
    assert locked is not None
    assert int(locked[1]) > 0
    ed25519 = VerifyKey(unpacked(key["ed25519"]))
    word, signature = tpm_signer.ask(wire.SIGN_BUNDLE, HASH.encode())
    assert word == b"ok"
    assert ed25519.verify(HASH.encode(), signature)
    word, signature = tpm_signer.ask(wire.COSIGN, payload_of(key))
    assert (word, len(signature)) == (b"ok", 64)
    verify_es256(key, payload_of(key), signature)
    both = orjson.loads(tpm_signer.ask(wire.SIGN_PURPOSE, PURPOSE)[1])
    assert ed25519.verify(PURPOSE, unpacked(both["ed25519"]))
    verify_es256(key, PURPOSE, unpacked(both["p256"]))


def test_the_tpm_co_signs_no_digest_no_text_and_no_payload_of_another_key_or_form(tpm_signer: Signer) -> None:
    (key,) = family(tpm_signer)
    good = payload_of(key)
    value = orjson.loads(good)

    def changed(change: Callable[[dict[str, Any]], Any], *, sort: int = orjson.OPT_SORT_KEYS) -> bytes:
        copy = orjson.loads(good)
        change(copy)
        return orjson.dumps(copy, option=sort)

    actod = value["meta"]["actod"]
    bodies = [
        b"",
        bytes(32),
        HASH.encode(),
        PURPOSE,
        good[:-1],
        good + b" ",
        b" " + good,
        good.replace(b'"hash_alg"', b' "hash_alg"'),
        b'{"created_at":"' + b"x" * 100,
        changed(lambda payload: payload.update(payload_hash="0" * 64)),
        changed(lambda payload: payload.update(extra=1)),
        changed(lambda payload: payload.pop("version")),
        changed(lambda payload: payload["meta"].pop("actod")),
        changed(lambda payload: payload["meta"].update(actod=[])),
        changed(lambda payload: payload["meta"]["actod"].update(cosign="x")),
        changed(lambda payload: payload["meta"]["actod"]["key"].update(p256="x" * 43)),
        changed(lambda payload: payload["meta"]["actod"]["key"].update(ed25519=actod["key"]["p256"])),
        changed(lambda payload: payload["meta"]["actod"].pop("key")),
        orjson.dumps(dict(reversed(value.items()))),
    ]
    for body in bodies:
        assert tpm_signer.ask(wire.COSIGN, body) == (b"error", b"request_refused"), body[:80]
    assert tpm_signer.stats()["refused"] == len(bodies)
    assert tpm_signer.ask(wire.COSIGN, changed(lambda _: None))[0] == b"ok"


def test_a_family_grows_by_generations_and_each_connection_chooses_its_key(tpm_signer: Signer) -> None:
    for generation in (2, 3, 2):
        word, body = tpm_signer.ask(wire.MAKE_NEXT, str(generation).encode())
        assert word == b"ok", body
        assert orjson.loads(body)["label"] == f"{KEY}.{generation}"
    keys = family(tpm_signer)
    assert [key["generation"] for key in keys] == [1, 2, 3]
    assert len({key[name] for key in keys for name in ("ed25519_thumbprint", "p256_thumbprint")}) == 6
    for operation, body in (
        (wire.SIGN_BUNDLE, HASH.encode()),
        (wire.SIGN_PURPOSE, PURPOSE),
        (wire.COSIGN, payload_of(keys[0])),
    ):
        assert tpm_signer.ask(operation, body) == (b"error", b"key_choice")
    assert tpm_signer.ask(wire.USE, b"x" * 43) == (b"error", b"key_unknown")
    assert tpm_signer.ask(wire.USE, b"x" * 42) == (b"error", b"request_refused")
    with tpm_signer.connected() as old, tpm_signer.connected() as new:
        for sock, key in ((old, keys[0]), (new, keys[2])):
            assert ask(sock, wire.USE, key["ed25519_thumbprint"].encode()) == (b"ok", b"")
        for sock, key, other in ((old, keys[0], keys[2]), (new, keys[2], keys[0]), (old, keys[0], keys[1])):
            both = orjson.loads(ask(sock, wire.SIGN_PURPOSE, PURPOSE)[1])
            assert VerifyKey(unpacked(key["ed25519"])).verify(PURPOSE, unpacked(both["ed25519"]))
            verify_es256(key, PURPOSE, unpacked(both["p256"]))
            assert ask(sock, wire.COSIGN, payload_of(other)) == (b"error", b"request_refused")
            assert ask(sock, wire.COSIGN, payload_of(key))[0] == b"ok"


# URI, PIN file and what to do stand in argv; the objects that actod would not make
SPOILER = """
    import sys
    from pathlib import Path
    from pkcs11 import Attribute, ObjectClass
    from actod.keys import provision, token, uri
    wanted, pin, what = uri.parse(sys.argv[1]), token.read_pin(Path(sys.argv[2])), sys.argv[3]
    library = token.load_library(wanted)
    session = token.log_in(token.find_token(library, wanted), pin=pin, writable=True)
    label = token.label_of(wanted.object, int(sys.argv[4]))
    if what == "pair":
        provision._make(session, label, on_token=False, pair=True, seed=False)
    elif what == "seed":
        provision._make(session, label, on_token=False, pair=False, seed=True)
    else:
        for item in list(session.get_objects({Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: label})):
            item.destroy()
        value = bytes(31) if what == "short" else bytes(32)
        session.create_object({Attribute.CLASS: ObjectClass.DATA, Attribute.TOKEN: True, Attribute.LABEL: label,
                               Attribute.PRIVATE: what != "public", Attribute.APPLICATION: "actod", Attribute.VALUE: value})
    token.close_quietly(library, session)
"""


def spoil(token: SoftToken, what: str, generation: int = 1) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SPOILER), token.uri, str(token.pin_file), what, str(generation)]
    subprocess.run(command, env=os.environ | token.environment | {"PYTHONPATH": str(ROOT)}, check=True, timeout=30)


def test_a_generation_that_was_never_finished_is_passed_over_and_finished_when_it_is_asked_for(
    tpm: swtpm.TpmToken, make_signer: Callable[..., Signer]
) -> None:
    spoil(tpm, "pair", 2)
    spoil(tpm, "seed", 3)
    signer = make_signer(tpm)
    signer.start()
    assert [key["generation"] for key in family(signer)] == [1]
    assert signer.reason() == ""
    for generation in (2, 3):
        assert signer.ask(wire.MAKE_NEXT, b"%d" % generation)[0] == b"ok"
    assert [key["generation"] for key in family(signer)] == [1, 2, 3]


@pytest.mark.parametrize("half", ["pair", "seed"])
def test_a_first_key_that_was_never_finished_is_finished_by_init(
    tmp_path: Path, spy: Spy, make_signer: Callable[..., Signer], half: str
) -> None:
    """A power cut between a TPM's key pair and the seed beside it: provisioning is repeated, and must come through."""
    spy.on("no-ed25519")
    plain = make_token(tmp_path / "soft", keys=0)
    token = dataclasses.replace(plain, uri=spy.uri, environment=dict(plain.environment) | spy.environment)
    spoil(token, half)
    config = write_config(tmp_path, token, uri=spy.uri)
    command = [sys.executable, "-m", "actod", "keys", "init", "--json", "--config", str(config)]
    done = subprocess.run(
        command, env=os.environ | token.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    signer = make_signer(token, spy=spy)
    signer.start()
    assert signer.reason() == ""
    assert [unpacked(key["ed25519"]).hex() for key in family(signer)] == [orjson.loads(done.stdout)["ed25519"]]


@pytest.mark.parametrize(("what", "reason"), [("pair", "key_count"), ("short", "key_kind")])
def test_two_pairs_of_one_label_and_a_short_seed_are_refused(
    tpm: swtpm.TpmToken, make_signer: Callable[..., Signer], what: str, reason: str
) -> None:
    spoil(tpm, what)
    signer = make_signer(tpm)
    signer.start()
    assert signer.reason() == reason
    assert signer.ask(wire.KEYS) == (b"error", reason.encode())
    assert signer.stats()["calls"] == 0


def test_a_seed_that_can_be_read_without_the_pin_is_refused(
    tmp_path: Path, spy: Spy, make_signer: Callable[..., Signer]
) -> None:
    """A TPM's library makes no such object; SoftHSM, which is made to look like one here, does."""
    spy.on("no-ed25519")
    plain = make_token(tmp_path / "soft", keys=0)
    token = dataclasses.replace(plain, uri=spy.uri, environment=dict(plain.environment) | spy.environment)
    spoil(token, "pair")
    spoil(token, "public")
    signer = make_signer(token, spy=spy)
    signer.start()
    assert signer.reason() == "key_open"
    spoil(token, "private")
    signer.becomes("")


def test_what_others_keep_on_the_token_under_labels_that_are_no_text_is_passed_over(
    tmp_path: Path, spy: Spy, make_signer: Callable[..., Signer]
) -> None:
    spy.on("no-ed25519")
    plain = make_token(tmp_path / "soft", keys=0)
    token = dataclasses.replace(plain, uri=spy.uri, environment=dict(plain.environment) | spy.environment)
    spoil(token, "pair")
    spoil(token, "seed")
    other = tmp_path / "other"
    other.write_bytes(b"other")
    command = ["pkcs11-tool", "--module", str(module()), "--login", "--pin", plain.pin, "--write-object", str(other)]
    others = [*command, "--type", "data", "--label", b"\xff\xfe", "--private"]
    subprocess.run(others, env=os.environ | plain.environment, check=True, capture_output=True, timeout=20)
    signer = make_signer(token, spy=spy)
    signer.start()
    assert signer.reason() == ""


def test_a_tpm_that_is_killed_and_started_anew_signs_on_with_the_same_key(tpm: swtpm.TpmToken, tpm_signer: Signer) -> None:
    before = family(tpm_signer)
    tpm.tpm.kill()
    tpm.tpm.start()
    assert tpm_signer.ask(wire.COSIGN, payload_of(before[0]))[0] == b"ok"  # rebuilt within the request
    tpm.tpm.kill()
    assert tpm_signer.ask(wire.COSIGN, payload_of(before[0])) == (b"error", b"token_away")
    tpm.tpm.start()
    wait_for(lambda: tpm_signer.ask(wire.COSIGN, payload_of(before[0]))[0] == b"ok", what="a co-signature")
    assert family(tpm_signer) == before


SERVER = """
    import asyncio, os, sys
    from pathlib import Path
    from actod.keys import process, uri
    from actod.keys.keeper import TokenKeeper
    keeper = TokenKeeper(uri.parse(sys.argv[1]), pin_file=Path(sys.argv[2]), pauses_seconds=(0.01,))
    asyncio.run(process.serve(keeper=keeper, socket_path=Path(sys.argv[3]), peers=frozenset({os.getuid()})))
"""


def test_a_signer_whose_token_stays_away_ends_so_that_a_new_one_may_try(
    tpm: swtpm.TpmToken, make_signer: Callable[..., Signer]
) -> None:
    """With its own pauses that takes 104 s; here they are short."""
    signer = make_signer(tpm)
    tpm.tpm.kill()
    signer.socket.parent.mkdir(mode=0o700)
    signer.environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", textwrap.dedent(SERVER), tpm.uri, str(tpm.pin_file), str(signer.socket)]
    with signer.log_file.open("ab") as log:
        signer.process = process = subprocess.Popen(command, env=signer.environment, stdout=log, stderr=log)
    wait_for(signer.listens, what="the signer's socket")
    asked, deadline = 0, time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, EOFError):
            assert signer.reason() == "token_away"
            asked += 1
    assert process.wait(10) == 1
    assert asked >= 24


def test_a_signer_heals_within_the_request_when_the_tpms_resource_manager_was_started_anew(
    tmp_path: Path, make_signer: Callable[..., Signer]
) -> None:
    token = new_tpm(tmp_path / "managed", managed=True)
    manager = token.gate
    assert isinstance(manager, swtpm.ResourceManager)
    try:
        signer = make_signer(token)
        signer.start()
        (key,) = family(signer)
        for _ in range(2):
            assert signer.ask(wire.COSIGN, payload_of(key))[0] == b"ok"
            manager.kill()
            manager.start()
        assert signer.ask(wire.COSIGN, payload_of(key))[0] == b"ok"
        manager.kill()
        assert signer.ask(wire.COSIGN, payload_of(key)) == (b"error", b"token_away")
        manager.start()
        wait_for(lambda: signer.ask(wire.COSIGN, payload_of(key))[0] == b"ok", what="a co-signature")
        assert signer.stats()["reason"] is None
    finally:
        token.close()


def test_a_locked_tpm_is_named_with_its_time_and_the_same_pin_is_tried_again_when_that_is_over(
    tpm: swtpm.TpmToken, tpm_signer: Signer
) -> None:
    assert tpm_signer.reason() == ""
    tpm.lock(seconds=4)
    wait_for(lambda: tpm_signer.ask(wire.SIGN_PURPOSE, PURPOSE) == (b"error", b"pin_locked"), what="the lockout")
    with tpm_signer.connected() as sock:
        sock.sendall(wire.pack(wire.KEYS))
        assert re.fullmatch(rb"pin_locked\nthe TPM is locked for at most [0-4] s more", answer(sock)[1])
    stats = tpm_signer.stats()
    assert stats["reason"] == "pin_locked"
    assert 0 < stats["lockout_seconds"] <= 4
    wait_for(lambda: tpm_signer.ask(wire.SIGN_PURPOSE, PURPOSE)[0] == b"ok", seconds=20, what="the end of the lockout")
    stats = tpm_signer.stats()
    assert (stats["reason"], stats["lockout_seconds"], stats["errors"]["pin_locked"]) == (None, None, 1)
    said = tpm_signer.log_file.read_text()
    assert "The TPM has locked itself" in said
    assert "The TPM's lockout has ended." in said


def test_a_wrong_pin_costs_the_tpm_one_failure_however_often_it_is_asked(tpm: swtpm.TpmToken, tpm_signer: Signer) -> None:
    assert tpm_signer.reason() == ""
    write_pin(tpm, "wrong-pin-4711")
    tpm.tpm.kill()  # one failure more: so a TPM counts an unclean stop
    tpm.tpm.start()
    for _ in range(3):
        assert tpm_signer.reason() in {"", "pin_incorrect"}
        tpm_signer.ask(wire.SIGN_PURPOSE, PURPOSE)
    assert tpm_signer.ask(wire.SIGN_PURPOSE, PURPOSE) == (b"error", b"pin_incorrect")
    said = tpm.tool("tpm2_getcap", "properties-variable")
    assert "TPM2_PT_LOCKOUT_COUNTER: 0x2" in said
    write_pin(tpm, tpm.pin)
    assert tpm_signer.ask(wire.SIGN_PURPOSE, PURPOSE)[0] == b"ok"


LOCKED = "  inLockout:  1\nTPM2_PT_LOCKOUT_COUNTER: 0x5\nTPM2_PT_MAX_AUTH_FAIL: 0x4\nTPM2_PT_LOCKOUT_INTERVAL: 0xA\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (LOCKED, 20.0),
        (LOCKED.replace("0x5", "0x4"), 10.0),
        (LOCKED.replace("inLockout:  1", "inLockout:  0"), 0.0),
        (LOCKED.replace("0xA", "soon"), None),
        ("", None),
        (LOCKED.splitlines()[0], None),
    ],
)
def test_what_the_tpm_says_of_its_lockout_is_read_and_anything_else_is_not(text: str, seconds: float | None) -> None:
    said = lockout.read(text)
    assert (said and said.seconds_left) == seconds


def test_check_shows_how_near_the_tpm_is_to_a_lockout(tpm: swtpm.TpmToken, tmp_path: Path) -> None:
    config = write_config(tmp_path, tpm)

    def said() -> str:
        command = [sys.executable, "-m", "actod", "check", "--offline", "--config", str(config)]
        environment = os.environ | tpm.environment
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    tpm.tpm.kill()
    tpm.tpm.start()
    assert re.search(r"ok +tpm-lockout: [01] failures of 31 count, one is forgiven every 600 s", said())
    tpm.lock(seconds=60)
    locked = said()
    assert re.search(r"fail +tpm-lockout: .*locked for at most 60 s", locked)
    assert re.search(r"fail +token-answers: pin_locked: the TPM is locked for at most [3-6][0-9] s more", locked)
