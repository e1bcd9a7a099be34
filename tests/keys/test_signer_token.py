"""What the signer makes of PINs, keys and tokens that are not as they should be, and that it heals by itself."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from actod import secretfile
from actod.keys import wire
from actod.keys.remedies import remedy
from hil.parts.softhsm import KEY, SoftToken, make_token, module
from tests.keys.parts import Signer, Spy, add_key, write_pin


def test_a_wrong_pin_reaches_the_token_once_however_often_it_is_asked_and_written(
    token: SoftToken, spy: Spy, make_signer: Callable[..., Signer]
) -> None:
    write_pin(token, "wrong-pin-4711")
    signer = make_signer(token, spy=spy)
    signer.start()
    for _ in range(5):
        assert signer.reason() == "pin_incorrect"
    write_pin(token, "wrong-pin-4711")  # a new file with the old PIN, as after a new start of the unit
    token.pin_file.touch()
    for _ in range(5):
        assert signer.reason() == "pin_incorrect"
    assert (spy.logins(), signer.stats()["errors"]) == (1, {"pin_incorrect": 1})
    write_pin(token, "wrong-pin-4712")
    assert signer.reason() == signer.reason() == "pin_incorrect"
    assert (spy.logins(), signer.stats()["errors"]) == (2, {"pin_incorrect": 2})
    write_pin(token, token.pin)
    assert signer.reason() == signer.reason() == ""
    assert (spy.logins(), signer.stats()["calls"]) == (3, 2)


def test_a_locked_pin_is_not_sent_again(token: SoftToken, spy: Spy, make_signer: Callable[..., Signer]) -> None:
    spy.on("locked")
    signer = make_signer(token, spy=spy)
    signer.start()
    assert [signer.reason() for _ in range(4)] == ["pin_locked"] * 4
    assert (spy.logins(), signer.stats()["errors"]) == (1, {"pin_locked": 1})


def test_the_last_try_is_left_to_the_operator(token: SoftToken, spy: Spy, make_signer: Callable[..., Signer]) -> None:
    spy.on("final-try")
    signer = make_signer(token, spy=spy)
    signer.start()
    assert [signer.reason() for _ in range(4)] == ["pin_last_try"] * 4
    assert spy.logins() == 0
    spy.off("final-try")
    signer.becomes("")
    assert spy.logins() == 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.chmod(0o644), "pin_open"),
        (lambda file: file.unlink(), "pin_unreadable"),
        (lambda file: file.write_text("\n"), "pin_empty"),
        (lambda file: file.write_bytes(b"\xff\xfe pin"), "pin_malformed"),
    ],
)
def test_a_pin_file_that_cannot_be_used_is_named_and_heals_when_it_is_mended(
    token: SoftToken,
    spy: Spy,
    make_signer: Callable[..., Signer],
    spoil: Callable[[Path], None],
    reason: str,
) -> None:
    spoil(token.pin_file)
    signer = make_signer(token, spy=spy)
    signer.start()
    assert signer.reason() == signer.reason() == reason
    assert spy.logins() == 0
    if reason == "pin_open":
        token.pin_file.chmod(0o600)  # as the remedy says: the content and its time stay what they are
    else:
        write_pin(token, token.pin)
    signer.becomes("")
    assert spy.logins() == 1


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ([], "key_count"),
        (["ed25519", "ed25519"], "key_count"),
        (["p256"], "key_kind"),
        (["extractable"], "key_open"),
        (["open"], "key_open"),
        (["imported"], "key_foreign"),
    ],
)
def test_anything_but_one_closed_ed25519_key_is_refused(
    tmp_path: Path, make_signer: Callable[..., Signer], keys: list[str], reason: str
) -> None:
    token = make_token(tmp_path / "token", keys=keys.count("ed25519"))
    for kind in keys:
        if kind != "ed25519":
            add_key(token, kind)
    signer = make_signer(token)
    signer.start()
    assert signer.reason() == reason
    assert signer.ask(wire.KEYS) == (b"error", reason.encode())
    assert signer.stats()["calls"] == 0
    assert signer.stats()["errors"][reason] >= 1


def test_a_token_that_goes_and_comes_back_heals_by_itself(signer: Signer, token: SoftToken) -> None:
    before = signer.ask(wire.KEYS)
    (folder,) = (token.folder / "tokens").iterdir()
    away = token.folder / "away"
    folder.rename(away)
    signer.becomes("token_absent")
    away.rename(folder)
    signer.becomes("")
    assert signer.ask(wire.KEYS) == before


def test_a_token_whose_driver_fails_to_start_heals_by_itself(signer: Signer, token: SoftToken) -> None:
    assert signer.reason() == ""
    tokens, away = token.folder / "tokens", token.folder / "away"
    tokens.rename(away)
    assert signer.reason() == signer.reason() == "token_away"
    away.rename(tokens)
    signer.becomes("")


def test_a_key_that_is_made_later_is_found(tmp_path: Path, make_signer: Callable[..., Signer]) -> None:
    token = make_token(tmp_path / "token", keys=0)
    signer = make_signer(token)
    signer.start()
    assert signer.reason() == "key_count"
    add_key(token, "closed")
    signer.becomes("")


def test_a_token_that_fails_every_second_signature_is_never_used(
    token: SoftToken, spy: Spy, make_signer: Callable[..., Signer]
) -> None:
    spy.on("sign-once")
    signer = make_signer(token, spy=spy)
    signer.start()
    assert signer.ask(wire.KEYS) == (b"error", b"token_away")  # found out before anything is promised
    assert signer.reason() == "token_away"
    assert signer.stats()["calls"] == 0
    spy.off("sign-once")
    signer.becomes("")


def test_a_module_that_is_none_is_a_token_that_is_away(
    token: SoftToken, spy: Spy, make_signer: Callable[..., Signer], tmp_path: Path
) -> None:
    broken = Spy(tmp_path / "no.so", spy.folder)
    signer = make_signer(token, spy=broken)
    signer.start()
    assert signer.reason() == "token_away"


def kind(signer: Signer) -> str:
    word, body = signer.ask(wire.KEYS)
    return str(orjson.loads(body)["keys"][0]["kind"]) if word == b"ok" else body.decode()


ALLOWED = "allow_software_token_in_prod = true"


@pytest.mark.parametrize(
    ("environment", "hardware", "settings", "expected"),
    [
        ("prod", False, "", "token_software"),
        ("prod", False, ALLOWED, "software"),
        ("prod", True, "", "on-token"),
        ("staging", False, "", "software"),
        ("dev", True, "", "on-token"),
    ],
)
def test_a_software_token_signs_nothing_in_prod_unless_it_is_allowed_by_name(
    token: SoftToken,
    spy: Spy,
    make_signer: Callable[..., Signer],
    environment: str,
    hardware: bool,
    settings: str,
    expected: str,
) -> None:
    if hardware:
        spy.on("hardware")
    signer = make_signer(token, spy=spy, environment=environment, settings=settings)
    signer.start()
    assert kind(signer) == expected
    if expected == "token_software":
        assert signer.reason() == "token_software"
        assert spy.logins() == 0
    else:
        assert signer.reason() == ""


def test_every_reason_of_token_and_pin_has_a_remedy_of_its_own() -> None:
    source = "".join(file.read_text() for file in (Path(__file__).parents[2] / "actod" / "keys").glob("*.py"))
    raised = set(
        re.findall(r'(?:TransientError|TokenError|RebuildError|ChoiceError|PinError|StopError)\(\s*"([a-z_]+)"', source)
    )
    raised |= {f"pin_{fault}" for fault in re.findall(r'SecretFileError\(\s*"(\w+)"', inspect.getsource(secretfile))}
    of_the_process = {"signer_away", "signer_protocol", "parent_gone", "request_refused"}
    assert len(raised) > 15
    assert {reason for reason in raised if "signer itself" in remedy(reason)} == of_the_process


@pytest.mark.parametrize("half", ["pubkey", "privkey"])
def test_half_a_pair_keeps_its_place_and_the_next_generation_is_made_behind_it(
    token: SoftToken, make_signer: Callable[..., Signer], half: str
) -> None:
    signer = make_signer(token)
    signer.start()
    assert signer.ask(wire.MAKE_NEXT, b"2")[0] == b"ok"
    assert signer.end() == 0
    tool = ("pkcs11-tool", "--module", str(module()), "--login", "--pin", token.pin, "--delete-object", "--type", half)
    subprocess.run([*tool, "--label", f"{KEY}.2"], env=os.environ | token.environment, check=True, capture_output=True)
    signer = make_signer(token)
    signer.start()
    assert signer.ask(wire.MAKE_NEXT, b"2") == (b"error", b"key_count")
    assert signer.ask(wire.MAKE_NEXT, b"3")[0] == b"ok"
    assert [key["generation"] for key in orjson.loads(signer.ask(wire.KEYS)[1])["keys"]] == [1, 3]
