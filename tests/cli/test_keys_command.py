"""`actod keys`, as its user runs it."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from nacl.signing import VerifyKey

from actod.cli.keys import add_parser
from actod.proof import thumbprint
from hil.parts.softhsm import SoftToken, make_token
from hil.rig import ROOT
from tests.keys.conftest import spy, spy_library  # noqa: F401 - fixtures
from tests.keys.parts import Spy, write_config, write_pin


@pytest.fixture
def empty(tmp_path: Path) -> SoftToken:
    """Make a token without a key."""
    return make_token(tmp_path / "token", keys=0)


def keys(
    folder: Path,
    token: SoftToken,
    *arguments: str,
    spy: Spy | None = None,  # noqa: F811
    command: str = "keys",
) -> subprocess.CompletedProcess[str]:
    config = write_config(folder, token, uri=spy.uri if spy else "")
    done = subprocess.run(
        [sys.executable, "-m", "actod", command, *arguments, "--config", str(config)],
        env=dict(os.environ) | token.environment | (spy.environment if spy else {}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert token.pin not in done.stdout + done.stderr
    return done


def test_a_key_is_made_once_and_shown_with_its_thumbprint(tmp_path: Path, empty: SoftToken) -> None:
    done = keys(tmp_path, empty, "init", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    made = json.loads(done.stdout)
    public_key = bytes.fromhex(made["ed25519"])
    assert VerifyKey(public_key)
    assert made["thumbprint"] == thumbprint.ed25519(public_key)
    shown = keys(tmp_path, empty, "show", "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout) == made | {"kind": "software", "p256": None, "generation": 1}
    assert [line.split() for line in keys(tmp_path, empty, "show").stdout.splitlines()] == [
        ["ed25519", made["ed25519"]],
        ["thumbprint", made["thumbprint"]],
        ["kind", "software"],
        ["p256", "-"],
        ["generation", "1"],
    ]
    again = keys(tmp_path, empty, "init")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("actod keys init: key_exists: the token holds a key with the label 'actod-ed25519'")
    assert "Fix: name another label" in again.stderr
    assert json.loads(keys(tmp_path, empty, "show", "--json").stdout)["ed25519"] == made["ed25519"]


def test_no_key_is_1_and_says_how_one_is_made(tmp_path: Path, empty: SoftToken) -> None:
    done = keys(tmp_path, empty, "show")
    assert (done.returncode, done.stdout) == (1, "")
    assert "actod keys show: key_count: generation 1 must be exactly one key pair, found 0 private keys" in done.stderr
    assert "Fix: make exactly one key" in done.stderr
    assert "actod keys init" in done.stderr


def test_a_wrong_pin_is_sent_once_and_named_with_its_remedy(
    tmp_path: Path,
    empty: SoftToken,
    spy: Spy,  # noqa: F811
) -> None:
    write_pin(empty, "wrong-pin-4711")
    for count, action in enumerate(("init", "show"), 1):
        done = keys(tmp_path, empty, action, spy=spy)
        assert done.returncode == 1
        assert f"actod keys {action}: pin_incorrect: PinIncorrect at login. Fix: put the right PIN into" in done.stderr
        assert "wrong-pin-4711" not in done.stderr
        assert spy.logins() == count


def test_the_last_try_is_not_taken_by_init_either(
    tmp_path: Path,
    empty: SoftToken,
    spy: Spy,  # noqa: F811
) -> None:
    spy.on("final-try")
    done = keys(tmp_path, empty, "init", spy=spy)
    assert (done.returncode, spy.logins()) == (1, 0)
    assert "pin_last_try" in done.stderr


@pytest.mark.parametrize(
    ("mode", "reason", "remedy"), [(0o644, "pin_open", "chmod 600"), (None, "pin_unreadable", "write the PIN to the file")]
)
def test_a_pin_file_that_cannot_be_used_is_named(
    tmp_path: Path, empty: SoftToken, mode: int | None, reason: str, remedy: str
) -> None:
    if mode is None:
        empty.pin_file.unlink()
    else:
        empty.pin_file.chmod(mode)
    for action in ("init", "show"):
        done = keys(tmp_path, empty, action)
        assert done.returncode == 1
        assert f"actod keys {action}: {reason}" in done.stderr
        assert remedy in done.stderr


def test_a_missing_token_is_named(tmp_path: Path, empty: SoftToken) -> None:
    (folder,) = (empty.folder / "tokens").iterdir()
    folder.rename(empty.folder / "away")
    for action in ("init", "show"):
        done = keys(tmp_path, empty, action)
        assert done.returncode == 1
        assert f"actod keys {action}: token_absent" in done.stderr
        assert "Fix: check token.uri" in done.stderr


def test_a_driver_that_ends_the_process_is_named_and_not_waited_for(
    tmp_path: Path,
    empty: SoftToken,
    spy: Spy,  # noqa: F811
) -> None:
    spy.on("crash")
    done = keys(tmp_path, empty, "show", spy=spy)
    assert (done.returncode, done.stdout) == (1, "")
    assert "actod keys show: signer_crashed: the process ends each time, the last with exit -6. Fix: " in done.stderr
    assert "is started again" not in done.stderr  # the supervisor's own log is for a daemon
    done = keys(tmp_path, empty, "--json", "--offline", spy=spy, command="check")
    assert done.returncode == 1
    lines = {line["id"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert "signer_crashed" in lines["token-answers"]["detail"]
    assert "module-path" in lines["token-answers"]["remedy"]
    assert "is started again" not in done.stderr


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", ""])
def test_a_time_that_is_none_is_named(tmp_path: Path, empty: SoftToken, time: str) -> None:
    done = keys(tmp_path, empty, "retire", "--suspected-since", time)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a time in ISO 8601 is expected" in done.stderr


@pytest.mark.parametrize(
    "text", [b"", b"actod:adoption:v1\n", b"actod:adoption:v1\n{}", b"actod:rotation:v1\n[1]", b"\xff:v1\n1"]
)
def test_only_a_statement_gets_an_operators_signature(tmp_path: Path, text: bytes) -> None:
    key, statement = tmp_path / "operator.pem", tmp_path / "statement"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", str(key)], check=True, capture_output=True)
    key.chmod(0o600)
    statement.write_bytes(text)
    command = [sys.executable, "-m", "actod", "keys", "sign-statement", str(statement), "--key", str(key)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (78, "")
    assert "expected what actod keys adopt --out wrote" in done.stderr
    assert not statement.with_name("statement.sig").exists()


def test_nothing_is_left_behind(tmp_path: Path, empty: SoftToken) -> None:
    keys(tmp_path, empty, "init")
    keys(tmp_path, empty, "show")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["actod.toml", "token"]


def test_the_page_about_keys_shows_commands_that_are_there() -> None:
    page = (ROOT / "docs" / "keys.md").read_text()
    commands = [
        line.split("#")[0] for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()
    ]
    commands = [re.sub(r"^sudo (-u actod )?", "", command).split(">")[0] for command in commands]
    commands = [command for command in commands if command.startswith("actod keys ")]
    assert len(commands) >= 6
    root = argparse.ArgumentParser()
    add_parser(root.add_subparsers(dest="command"))
    for command in commands:
        assert root.parse_args(shlex.split(command)[1:]).action in command
