"""Credentials and pins of a running daemon: replaced, revoked, unreadable, empty, another environment's; rotated, signed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from actod.cli.state import ask
from actod.configfile import load
from actod.submit.pinset import key_text, sign
from hil.parts.scan import forms
from hil.rig import Rig, build, wait_for
from tests.collect.session import publish
from tests.submit.parts import write_private

# So many requests a second, since each harm below halves the pace: a fleet must not come back at full speed.
SETTINGS = """
backoff_max_seconds = 300.0
requests_per_second = 2000.0
proof_sample_seconds = 1.0
monitor_api_key_file = "monitor-key"

[collector.pin_set]
file = "signed-pins.json"
keys = [{keys}]

[seal]
max_age_seconds = 0.1
heartbeat_seconds = 1

[fleet]
api_key_file = "fleet-key"
interval_seconds = 1
battery_route = "sensors"
charge_pointer = "/battery/charge"

[[alerts]]
name = "ops"
url_file = "alert-url"
secret_file = "alert-secret"
ca_file = "ca/ca.pem"
"""
MONITOR_KEY = "acto_CANARY-monitor-key-0123456789abcdefghijklm"
FLEET_KEY = "acto_CANARY-fleet-key-0123456789abcdefghijklmnop"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("live") / "r"
    keys = ", ".join(f'"{key_text(bytes(SigningKey(bytes([each]) * 32).verify_key))}"' for each in (1, 2, 3))
    with build(folder, settings=SETTINGS.replace("{keys}", keys)) as rig:
        write_private(folder / "fleet-key", FLEET_KEY)
        write_private(folder / "alert-url", f"https://127.0.0.1:{rig.collector.port}/hook/CANARY-hook")
        write_private(folder / "alert-secret", "CANARY-signing-secret")
        write_private(folder / "mqtt-password", "CANARY-old-password")
        text = rig.config_file.read_text().replace(
            "[mqtt]\n", '[mqtt]\nusername = "robot"\npassword_file = "mqtt-password"\n'
        )
        rig.config_file.write_text(text)
        set_password(rig, "CANARY-old-password")
        write_private(folder / "monitor-key", MONITOR_KEY)
        rig.collector.take_keys(rig.api_key, FLEET_KEY, MONITOR_KEY)
        rig.actod.start()
        wait_for(rig.envelopes, what="the first bundle")
        yield rig


def set_password(rig: Rig, password: str) -> None:
    """Have the broker know this password of actod's; it ends all connections."""
    rig.broker.passwords, rig.broker.settings = {"robot": password}, "allow_anonymous true"
    rig.broker.restart()


def reports(rig: Rig) -> list[dict[str, Any]]:
    """Return the bodies of health reports that the server got."""
    received = (rig.folder / "collector" / "received.bin").read_bytes()
    posts = [part for part in received.split(b"\n\n") if b"POST /v1/fleet/devices/" in part]
    return [json.loads(post.split(b"\n")[-1]) for post in posts]


def test_the_machines_health_is_reported_with_a_key_of_its_own(rig: Rig) -> None:
    publish(rig.broker.port, [{"battery": {"charge": 81.5}}], topic="robot/r7/battery")
    last = wait_for(lambda: [each for each in reports(rig) if "battery_percent" in each], what="a report")[-1]
    assert last["battery_percent"] == 81.5
    assert 0 <= last["cpu_percent"] <= 100
    assert 0 < last["memory_used_mb"] < last["memory_total_mb"]
    assert 0 < last["disk_percent"] <= 100
    assert last["uptime_seconds"] > 0
    assert isinstance(last["network_connected"], bool)
    assert set(last["custom_metrics"]) >= {"actod_outbox_bundles", "actod_journal_messages", "actod_quarantined_bundles"}
    rig.collector.take_keys(rig.api_key)
    wait_for(lambda: audited(rig, "fleet.away"), what="a refused report")
    assert audited(rig, "fleet.away")[0]["reason"] == "status_401"
    delivers_again(rig)
    rig.collector.take_keys(rig.api_key, FLEET_KEY)
    wait_for(lambda: audited(rig, "fleet.resumed"), what="a report that is taken")


def test_own_proofs_are_fetched_with_a_key_of_its_own(rig: Rig) -> None:
    """The collector's own counters: fetched without the monitor's key, they are refused, and nothing else is."""
    rig.collector.take_keys(rig.api_key, FLEET_KEY, MONITOR_KEY)
    wait_for(lambda: b"GET /v1/proofs/" in (rig.folder / "collector" / "received.bin").read_bytes(), what="a fetched proof")
    listed = wait_for(
        lambda: ask(load(rig.config_file), "credentials")["collector.monitor_api_key_file"]["proven"], what="a key in use"
    )
    assert listed
    rig.collector.take_keys(rig.api_key, FLEET_KEY)
    refused = rig.collector.stats()["stats"].get("status_401", 0)
    wait_for(lambda: rig.collector.stats()["stats"].get("status_401", 0) > refused, what="a fetch that is refused")
    delivers_again(rig)


def test_no_scope_is_served_by_the_key_of_another(rig: Rig) -> None:
    rig.collector.take_keys(FLEET_KEY)
    wait_for(lambda: state(rig) == "blocked:auth", what="the state")
    rig.collector.take_keys(rig.api_key, FLEET_KEY)
    write_private(rig.folder / "api-key", rig.api_key)  # a look at the files wakes what waits
    delivers_again(rig)
    file = rig.folder / "same.toml"
    file.write_text(rig.config_file.read_text().replace('"fleet-key"', '"api-key"'))
    done = rig.tool("run", "--dry-run", "--config", str(file))
    assert done.returncode == 78
    assert "fleet.api_key_file: expected another key than collector.api_key_file" in done.stderr


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


def test_the_brokers_password_is_tried_before_it_is_put_in_place_and_used_without_a_restart(rig: Rig) -> None:
    new = write_private(rig.folder / "new-password", "CANARY-new-password\n")
    command = ("credentials", "rotate", "broker", "--new", str(new), "--config", str(rig.config_file))
    done = rig.tool(*command)
    assert (done.returncode, "tried: refused" in done.stderr) == (1, True)
    assert (rig.folder / "mqtt-password").read_text() == "CANARY-old-password"
    connected = len(audited(rig, "broker.connected"))
    set_password(rig, "CANARY-new-password")
    done = rig.tool(*command)
    assert done.returncode == 0, done.stderr
    assert "The old credential is refused, and removed here." in done.stdout
    assert (rig.folder / "mqtt-password").read_text() == "CANARY-new-password\n"
    wait_for(lambda: len(audited(rig, "broker.connected")) > connected, what="a session under the new password")
    assert "CANARY" not in done.stdout + rig.actod.log_file.read_text()


def test_a_fleet_takes_a_signed_pin_set_from_a_file_alone(rig: Rig, tmp_path: Path) -> None:
    """The robot needs the file, and no restart."""
    file, pins = tmp_path / "pins.json", [rig.authority.pin, rig.authority.backup_pin]
    signed = {"type": "actod-pin-set", "host": "127.0.0.1", "version": 7, "expires": "2999-01-01", "pins": pins}
    file.write_text(json.dumps({"signed": signed}))
    for number, verdict in ((2, "pins_too_few_signatures: 1 of 2"), (3, "would be taken")):
        file.write_bytes(sign(file.read_bytes(), SigningKey(bytes([number]) * 32)))
        done = rig.tool("pins", "verify", str(file), "--config", str(rig.config_file))
        assert verdict in done.stdout + done.stderr
        (rig.folder / "signed-pins.json").write_bytes(file.read_bytes())
        event = "pins.in_force" if done.returncode == 0 else "pins.refused"
        wait_for(lambda event=event: audited(rig, event), what=event)
    wait_for(lambda: audited(rig, "alert.undelivered"), what="an alert, at a server that takes none")
    assert audited(rig, "alert.undelivered")[0]["reason"] == "status_401"
    assert "CANARY" not in rig.actod.log_file.read_text()
    shown = rig.tool("pins", "show", "--config", str(rig.config_file)).stdout
    assert "version      7" in shown
    assert all(pin in shown for pin in pins)
    delivers_again(rig)


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
