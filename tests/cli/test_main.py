"""The command line's root: usage, exit codes, and no traceback whatever happens."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from actod import __version__
from actod.audit.log import AuditLog
from actod.cli.main import _COMMANDS, main
from actod.config import AuditConfig
from actod.errors import ActodError
from actod.service.clock import SystemClock
from hil.rig import ROOT
from tests.config.parts import BASE, write

README = (ROOT / "README.md").read_text(encoding="utf-8")


def actod(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "actod", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, input=stdin)


def test_no_command_and_an_unknown_one_are_usage_errors() -> None:
    for arguments in ([], ["frobnicate"], ["--frobnicate"], ["run", "--frobnicate"], ["keys"], ["audit", "frobnicate"]):
        done = actod(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith("usage: actod")
        assert "Traceback" not in done.stderr


def test_help_names_every_command_and_each_command_has_its_own() -> None:
    done = actod("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in _COMMANDS:
        assert re.search(rf"^ +{command}\s+\w", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", _COMMANDS)
def test_each_command_can_be_loaded_and_says_how_it_is_used(command: str) -> None:
    done = actod(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: actod {command}")


def test_the_readme_lists_the_commands_that_there_are() -> None:
    listed = set(re.findall(r"^\| `actod (\w+)", README, re.MULTILINE))
    assert listed == set(_COMMANDS) - {"version"}


def test_the_version_is_the_packages() -> None:
    done = actod("version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"actod {__version__}\n", "")
    assert main(["version"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "--dry-run"], ["signer"], ["check"], ["keys", "show"], ["keys", "init"], ["routes", "test", "a"]],
    ids=" ".join,
)
def test_a_missing_configuration_is_78_and_one_line_with_its_remedy(tmp_path: Path, arguments: list[str]) -> None:
    missing = tmp_path / "actod.toml"
    done = actod(*arguments, "--config", missing)
    assert (done.returncode, done.stdout) == (78, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"actod {arguments[0]}: config: {missing}: (file): expected a readable TOML file, found No such")
    assert "--config" in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_instead_of_a_configuration_is_refused_alike(tmp_path: Path) -> None:
    done = actod("check", "--config", tmp_path)
    assert done.returncode == 78
    assert "Is a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_that_knows_its_key_alone_gets_its_file(tmp_path: Path) -> None:
    config = write(tmp_path, BASE | {"masking": {"mask_char": "ab"}})
    done = actod("run", "--dry-run", "--config", config)
    assert done.returncode == 78
    assert done.stderr.startswith(f"actod run: config: {config}: masking.mask_char: expected ")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    done = actod("mask", "--pseudonym-key", tmp_path / "missing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"actod mask: {tmp_path / 'missing'}: No such file or directory\n"


LEAVING = [
    ("mask --profile strict", 5000),
    ("mask --profile strict", 1),
    ("version", 0),
    ("audit show --last 1000 --state", 0),
    ("--help", 0),  # argparse itself passes over what it could not write at once
]


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(("command", "lines"), LEAVING)
def test_a_reader_that_leaves_gets_no_message_and_no_success(
    tmp_path: Path, command: str, lines: int, unbuffered: str
) -> None:
    arguments = command.split()
    if arguments[0] == "audit":
        log = AuditLog(tmp_path / "audit", clock=SystemClock(), config=AuditConfig())
        for number in range(1000):
            log.record("test.line", number=number, text="x" * 200)
        log.close()
        arguments.append(str(tmp_path))
    (tmp_path / "stdin").write_text('{"a": "b"}\n' * lines)
    reader, writer = os.pipe()
    os.close(reader)  # nobody reads: what `| head -1` leaves behind
    with os.fdopen(writer, "w") as left, (tmp_path / "stdin").open() as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "actod", *arguments],
            cwd=ROOT,
            env=dict(os.environ) | {"PYTHONUNBUFFERED": unbuffered},
            stdin=stdin,
            stdout=left,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    left_early = {128 + signal.SIGPIPE}
    if command == "--help" and unbuffered:
        left_early.add(0)  # newer versions of argparse pass over what they could not write
    assert done.stderr == ""
    assert done.returncode in left_early


def test_an_output_that_does_not_fit_the_disk_is_no_success() -> None:
    environment = dict(os.environ) | {"PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "actod", "version"]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=20
        )
    assert (done.returncode, done.stderr) == (1, "actod: the output cannot be written: No space left on device\n")


def test_a_closed_output_is_no_failure() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m actod version >&-"], cwd=ROOT, capture_output=True, check=False, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_is_130_and_no_traceback(tmp_path: Path) -> None:
    """A broker that takes the connection and says nothing keeps `actod check` waiting."""
    (tmp_path / "pin").touch(mode=0o600)  # empty: token and server are not asked
    (tmp_path / "api-key").touch(mode=0o600)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = write(tmp_path, BASE | {"state_directory": str(tmp_path / "state"), "mqtt": {"port": port}})
        process = subprocess.Popen(
            ["env", "--default-signal=INT", sys.executable, "-m", "actod", "check", "--config", str(config)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (128 + signal.SIGINT, "")


def test_every_error_of_ours_has_an_exit_code_of_its_own_kind() -> None:
    def below(cls: type[ActodError]) -> set[type[ActodError]]:
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

    assert {cls.exit_code for cls in below(ActodError)} == {1, 70, 75, 78}
    assert os.EX_CONFIG == 78
