"""Rotation, retirement and adoption as an operator does them: real daemon, real token, real kill, real verifier."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.parts.softhsm import make_token
from hil.rig import Rig, build, wait_for


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Make one robot for the whole file: its tests are its life, in this order."""
    with build(tmp_path_factory.mktemp("life") / "r", settings="[seal]\nmax_age_seconds = 0.2\n") as rig:
        rig.actod.start()
        wait_for(rig.envelopes, what="the first bundle")
        wait_for(lambda: any(key["state"] == "in-use" for key in keys(rig, "list")), what="the first key")
        yield rig


@pytest.fixture(scope="module")
def enrolled(rig: Rig) -> Path:
    """Return the trust file that the operator wrote when the robot was new."""
    public = rig.folder / "operator.pub.pem"
    operator = rig.folder / "operator.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", str(operator)], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", str(operator), "-pubout", "-out", str(public)], check=True)
    operator.chmod(0o600)
    file = rig.folder / "trust.json"
    file.write_text(json.dumps(keys(rig, "export", "--trust", "--operator", str(public))))
    return file


def keys(rig: Rig, *arguments: str, code: int = 0) -> Any:
    done = rig.tool("keys", *arguments, "--config", str(rig.config_file), "--json")
    assert "Traceback" not in done.stderr
    assert rig.token.pin not in done.stdout + done.stderr
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def in_use(rig: Rig) -> str:
    return next(key["ed25519"] for key in keys(rig, "list") if key["state"] == "in-use")


def all_delivered(rig: Rig) -> None:
    """Wait until nothing is journaled or queued any more."""

    def empty() -> bool:
        done = rig.tool("queue", "list", "--config", str(rig.config_file), "--json")
        status = json.loads(done.stdout)["status"] if done.returncode == 0 else {}
        return status.get("journal_messages") == 0 and status.get("outbox_bundles") == 0

    wait_for(empty, what="an empty queue")


def verify(rig: Rig, file: Path) -> dict[str, Any]:
    bundles = rig.folder / "bundles.json"
    bundles.write_text(json.dumps(rig.envelopes()))
    done = rig.tool("verify", "--json", "--trust", str(file), str(bundles))
    report: dict[str, Any] = json.loads(done.stdout)
    told = [report["problems"], [one["problems"] for one in report["envelopes"] if one["problems"]]]
    assert (done.returncode, report["verdict"]) == (0, "valid"), told
    return report


def test_a_key_is_rotated_and_retired_while_the_robot_works(rig: Rig, enrolled: Path) -> None:
    first = in_use(rig)
    (started,) = [line for line in keys(rig, "list") if line["state"] == "in-use"]
    assert (started["generation"], started["age_days"]) == (1, 0)
    done = keys(rig, "rotate")
    assert (done["old"], done["done"], in_use(rig)) == (first, True, done["new"])
    done = keys(rig, "retire", first, "--suspected-since", started["since"])
    assert (done["retired"], done["current"]) == (first, in_use(rig))
    assert [line["state"] for line in keys(rig, "list")] == ["retired", "in-use"]
    exported = keys(rig, "export", "--trust")
    assert [key["ed25519"] for entry in exported["devices"] for key in entry["keys"]] == [done["current"]]
    all_delivered(rig)
    report = verify(rig, enrolled)
    disputed = {one["proof_id"] for one in report["envelopes"] if one["disputed"]}
    assert disputed == {line["proof_id"] for line in done["disputed"]}
    assert disputed
    events = [
        json.loads(line)["event"]
        for line in rig.tool("audit", "show", "--state", str(rig.state), "--json").stdout.splitlines()
    ]
    assert [event for event in events if event in {"key.rotating", "key.rotated", "key.retired"}] == [
        "key.rotating",
        "key.rotated",
        "key.retired",
    ]


def test_a_daemon_that_is_killed_while_keys_rotate_goes_on_with_one_of_them(rig: Rig, enrolled: Path) -> None:
    for pause_seconds in (0.3, 0.6):
        command = [sys.executable, "-m", "actod", "keys", "rotate", "--config", str(rig.config_file)]
        rotation = subprocess.Popen(command, env=rig.actod.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            rotation.wait(pause_seconds)
        rig.actod.kill()
        rotation.wait(30)
        rig.actod.start()
    wait_for(lambda: not any(key["state"] == "next" for key in keys(rig, "list")), what="the rotation's end")

    def rotated() -> bool:
        done = rig.tool("keys", "rotate", "--config", str(rig.config_file), "--json")
        return done.returncode == 0 and json.loads(done.stdout)["done"]

    wait_for(rotated, what="a rotation by the daemon that has just started, and its signer")
    all_delivered(rig)
    verify(rig, enrolled)


def test_a_dead_token_is_replaced_by_another_with_an_operators_signature(rig: Rig, enrolled: Path) -> None:
    operator, public = rig.folder / "operator.pem", rig.folder / "operator.pub.pem"
    assert "key_present" in keys(rig, "adopt", "--operator", str(public), "--out", str(rig.folder / "x"), code=1)
    assert rig.actod.stop() == 0
    other = make_token(rig.folder / "other")
    shutil.rmtree(rig.token.folder / "tokens")
    shutil.copytree(other.folder / "tokens", rig.token.folder / "tokens")
    shutil.copy2(other.pin_file, rig.token.pin_file)
    rig.actod.start()
    statement, signature = rig.folder / "statement", rig.folder / "statement.sig"

    def prepared() -> bool:
        done = rig.tool(
            *("keys", "adopt", "--config", str(rig.config_file), "--operator", str(public), "--out", str(statement))
        )
        return done.returncode == 0

    wait_for(prepared, what="the daemon and its token")
    command = [
        "openssl",
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        str(operator),
        "-in",
        str(statement),
        "-out",
        str(signature),
    ]
    subprocess.run(command, check=True)
    by_openssl = signature.read_bytes()
    done = rig.tool("keys", "sign-statement", str(statement), "--key", str(operator))
    assert (done.returncode, signature.read_bytes()) == (0, by_openssl), done.stderr
    assert keys(rig, "adopt", "--signature", str(signature))["epoch"] == 2
    all_delivered(rig)
    report = verify(rig, enrolled)
    assert {chain["epoch"] for chain in report["chains"]} == {1, 2}
