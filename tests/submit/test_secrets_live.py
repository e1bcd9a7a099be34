"""Credentials and pins of a running daemon: replaced, revoked, unreadable, empty, another environment's; rotated, signed."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from actod.cli.state import ask
from actod.configfile import load
from actod.submit.pinset import key_text
from hil.parts.scan import forms
from hil.rig import Rig, build, wait_for
from tests.submit.parts import write_private

SETTINGS = """
backoff_max_seconds = 300.0

[collector.pin_set]
file = "signed-pins.json"
keys = [{keys}]

[seal]
max_age_seconds = 0.1
heartbeat_seconds = 1
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("live") / "r"
    keys = ", ".join(f'"{key_text(bytes(SigningKey(bytes([each]) * 32).verify_key))}"' for each in (1, 2, 3))
    with build(folder, settings=SETTINGS.replace("{keys}", keys)) as rig:
        rig.actod.start()
        wait_for(rig.envelopes, what="the first bundle")
        yield rig


def state(rig: Rig) -> str:
    return str(ask(load(rig.config_file), "status")["uplink"])


def audited(rig: Rig, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for file in sorted((rig.state / "audit").iterdir()) for line in file.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def fresh_key(rig: Rig, *, taken: bool = True) -> str:
    key = "acto_" + secrets.token_urlsafe(32)
    if taken:
        rig.collector.take_keys(rig.api_key, key)
    return key


def delivers_again(rig: Rig) -> None:
    """Within the two seconds of a look at the files, not after a backoff of minutes."""
    before = len(rig.envelopes())
    wait_for(lambda: len(rig.envelopes()) > before and state(rig) == "ok", what="a delivery", seconds=20)


HARM = {
    "revoked": ("{key}", 0o600),
    "empty": ("\n", 0o600),
    "open to others": ("{key}", 0o644),
    "of another environment": ("{key}\nfor prod 127.0.0.1\n", 0o600),
    "of another server": ("{key}\nfor dev collector.example\n", 0o600),
    "gone": ("", 0),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_key_that_goes_bad_blocks_as_auth_and_a_good_one_is_used_without_a_restart(rig: Rig, harm: str) -> None:
    file, (text, mode) = rig.folder / "api-key", HARM[harm]
    good = file.read_text()
    pid = rig.actod.pid()
    if harm == "revoked":
        rig.collector.take_keys()
    elif harm == "gone":
        file.unlink()
    else:
        write_private(file, text.replace("{key}", good.strip()), mode=mode)
    wait_for(lambda: state(rig) == "blocked:auth", what="the state")
    if harm == "revoked":
        new = "acto_" + secrets.token_urlsafe(32)
        rig.collector.take_keys(new)
        write_private(file, new + "\nfor dev 127.0.0.1\n")
        rig.api_key = new
    else:
        write_private(file, good)
    delivers_again(rig)
    assert rig.actod.pid() == pid
    reason = "unauthorised" if harm == "revoked" else "credential_unreadable"
    assert audited(rig, "submit.state")[-2]["reason"] == reason


def rotate(rig: Rig, key: str, *options: str) -> tuple[int, str]:
    new = write_private(rig.folder / "new-key", key + "\n")
    done = rig.tool("credentials", "rotate", "submit", "--new", str(new), *options, "--config", str(rig.config_file))
    shown = done.stdout + done.stderr
    assert not [name for pattern, name in forms(key).items() if pattern in shown.encode()]
    return done.returncode, shown


def test_a_new_key_that_the_server_refuses_is_never_put_in_place(rig: Rig) -> None:
    before = (rig.folder / "api-key").read_text()
    code, said = rotate(rig, fresh_key(rig, taken=False))
    assert (code, "tried: refused. Nothing was changed" in said) == (1, True)
    assert (rig.folder / "api-key").read_text() == before
    code, said = rotate(rig, before.split("\n", maxsplit=1)[0])
    assert (code, "credential_unchanged" in said) == (1, True)
    assert not [file for file in rig.folder.iterdir() if file.name.startswith("api-key.")]


def test_a_rotation_keeps_the_old_key_until_the_new_one_is_used_and_the_old_one_refused(rig: Rig) -> None:
    old, new = rig.api_key, fresh_key(rig)
    code, said = rotate(rig, new)
    assert (code, "in place" in said, "is still accepted: revoke it there" in said) == (1, True, True)
    assert (rig.folder / "api-key").read_text() == f"{new}\nfor dev 127.0.0.1\n"
    assert old in (rig.folder / "api-key.previous").read_text()
    assert (rig.folder / "api-key").stat().st_mode & 0o777 == 0o600
    code, said = rotate(rig, fresh_key(rig, taken=False))
    assert (code, "rotation_under_way" in said) == (1, True)
    rig.collector.take_keys(new)
    rig.api_key = new
    done = rig.tool("credentials", "finish", "submit", "--config", str(rig.config_file))
    assert (done.returncode, "is refused, and removed here" in done.stdout) == (0, True)
    assert not (rig.folder / "api-key.previous").exists()
    assert [line["old"] for line in audited(rig, "credential.rotated")] == ["kept", "accepted", "refused"]
    assert {line["key"] for line in audited(rig, "credential.changed")} == {"collector.api_key_file"}
    listed = rig.tool("credentials", "list", "--config", str(rig.config_file))
    assert (listed.returncode, "collector.api_key_file" in listed.stdout) == (0, True)
    assert new not in (rig.state / "credentials.json").read_text()


def test_while_a_rotation_is_under_way_the_old_key_serves_where_the_new_one_fails(rig: Rig) -> None:
    old, new = rig.api_key, fresh_key(rig)
    rotate(rig, new, "--wait", "1")
    rig.collector.take_keys(old)  # the server forgot the new one: restored from a copy
    delivers_again(rig)
    assert audited(rig, "credential.fallback")
    assert state(rig) == "ok"
    (rig.folder / "api-key.previous").rename(rig.folder / "api-key")
    delivers_again(rig)


def test_a_fleet_takes_a_signed_pin_set_from_a_file_alone(rig: Rig, tmp_path: Path) -> None:
    """Two operators sign with openssl's keys on their own machines; the robot needs the file, and no restart."""
    file, pins = tmp_path / "pins.json", [rig.authority.pin, rig.authority.backup_pin]
    pems = [write_private(tmp_path / f"{each}.pem", _pem(bytes([each]) * 32)) for each in (2, 3)]
    signed = {"type": "actod-pin-set", "host": "127.0.0.1", "version": 7, "expires": "2999-01-01", "pins": pins}
    file.write_text(json.dumps({"signed": signed}))
    for pem, verdict in zip(pems, ("pins_too_few_signatures: 1 of 2", "would be taken"), strict=True):
        assert rig.tool("pins", "sign", "--key", str(pem), str(file)).returncode == 0
        done = rig.tool("pins", "verify", str(file), "--config", str(rig.config_file))
        assert verdict in done.stdout + done.stderr
        (rig.folder / "signed-pins.json").write_bytes(file.read_bytes())
        event = "pins.in_force" if done.returncode == 0 else "pins.refused"
        wait_for(lambda event=event: audited(rig, event), what=event)
    shown = rig.tool("pins", "show", "--config", str(rig.config_file)).stdout
    assert "version      7" in shown
    assert all(pin in shown for pin in pins)
    assert "signatures   2" in rig.tool("pins", "show", str(file)).stdout
    assert rig.tool("pins", "show", str(rig.authority.ca_file)).stdout.split() == ["pin", rig.authority.pin]
    delivers_again(rig)


def _pem(seed: bytes) -> str:
    der = bytes.fromhex("302e020100300506032b657004220420") + seed  # RFC 8410, section 7
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(der).decode()}\n-----END PRIVATE KEY-----\n"


def test_a_state_folder_of_one_environment_is_refused_in_another(rig: Rig) -> None:
    """What was recorded in dev never goes to prod's server. The last test: it ends the daemon."""
    assert rig.actod.stop() == 0
    text = rig.config_file.read_text()
    rig.config_file.write_text(text.replace('environment = "dev"', 'environment = "staging"'))
    write_private(rig.folder / "api-key", rig.api_key)
    done = rig.tool("run", "--config", str(rig.config_file))
    assert done.returncode == 78
    assert f"{rig.config_file}: environment: expected 'dev'" in done.stderr
    assert "another state_directory" in done.stderr
