"""The process itself: nothing leaks out of it, it ends with its parent, and what it need not load it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actod.keys import wire
from hil.parts.scan import forms
from hil.parts.softhsm import SoftToken
from hil.rig import ROOT, wait_for
from tests.keys.parts import Signer, Spy, write_pin

NO_POWER = ("setpriv", "--bounding-set=-sys_ptrace") if os.geteuid() == 0 else ()  # root could look into anything


def test_the_pin_stands_in_no_argument_environment_or_log(token: SoftToken, make_signer: Callable[..., Signer]) -> None:
    signer = make_signer(token, settings='[log]\nlevel = "debug"\n')
    signer.start()
    assert signer.reason() == ""
    write_pin(token, "wrong-pin-4711")
    assert signer.process is not None
    again = make_signer(token, settings='[log]\nlevel = "debug"\n')
    again.socket = again.socket.with_name("again.sock")
    again.start()
    assert again.reason() == "pin_incorrect"
    seen = Path(again.log_file).read_bytes()
    for process in (signer.process, again.process):
        assert process is not None
        for name in ("cmdline", "environ"):
            seen += Path(f"/proc/{process.pid}/{name}").read_bytes()
    for pin in (token.pin, "wrong-pin-4711"):
        assert [name for pattern, name in forms(pin).items() if pattern in seen] == []


def test_it_leaves_no_core_file_and_no_process_of_its_own_user_looks_into_it(
    token: SoftToken, make_signer: Callable[..., Signer]
) -> None:
    signer = make_signer(token, prefix=NO_POWER)
    signer.start()
    assert signer.reason() == ""
    control = subprocess.Popen([*NO_POWER, "sleep", "60"])
    assert signer.process is not None
    try:
        limits = Path(f"/proc/{signer.process.pid}/limits").read_text()
        assert next(line for line in limits.splitlines() if "core file" in line).split()[4:6] == ["0", "0"]

        def look(pid: int) -> str:
            command = [*NO_POWER, "sh", "-c", f": < /proc/{pid}/mem"]
            return subprocess.run(command, capture_output=True, text=True, check=False).stderr

        wait_for(lambda: look(control.pid) == "", what="the sight of an open process")
        assert "Permission denied" in look(signer.process.pid)
    finally:
        control.kill()
        control.wait(10)


PARENT = """
import os, subprocess, sys
child = subprocess.Popen([*sys.argv[1:], "--parent", str(os.getpid())])
print(child.pid, flush=True)
child.wait()
"""


def test_it_dies_with_its_parent(token: SoftToken, make_signer: Callable[..., Signer]) -> None:
    signer = make_signer(token)
    child = start_under_a_parent(signer)
    assert signer.process is not None
    signer.process.kill()
    signer.process.wait(10)
    wait_for(lambda: is_dead(child), seconds=5, what="the child's end")


def test_a_call_to_the_token_ends_before_the_signer_does_when_its_parent_is_killed(
    token: SoftToken, make_signer: Callable[..., Signer], spy: Spy
) -> None:
    """SoftHSM empties its file in each login and writes it anew: a kill in between destroys the token and its key."""
    signer = make_signer(token, spy=spy)
    spy.on("hang-login")
    child = start_under_a_parent(signer)
    with signer.connected() as sock:
        sock.sendall(wire.pack(wire.KEYS))
        wait_for(lambda: spy.logins() == 1, what="the login")
        assert signer.process is not None
        signer.process.kill()
        signer.process.wait(10)
        assert not is_dead(child)
        spy.off("hang-login")
        wait_for(lambda: is_dead(child), seconds=5, what="the child's end")
    assert spy.count("logged-in") == 1


def start_under_a_parent(signer: Signer) -> int:
    """Start the signer as the child of a process of its own, which takes its place; return the child's pid."""
    command = [sys.executable, "-m", "actod", "signer", "--config", str(signer.config_file), "--socket", str(signer.socket)]
    with signer.log_file.open("ab") as log:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *command], env=signer.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=log
        )
    assert parent.stdout is not None
    with parent.stdout as said:
        child = int(said.readline())
    signer.process = parent
    wait_for(signer.listens, what="the signer's socket")
    return child


def is_dead(pid: int) -> bool:
    """Whether a process has ended; where nobody collects orphans it stays a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_it_does_not_start_under_another_parent_than_it_was_told(
    token: SoftToken, make_signer: Callable[..., Signer]
) -> None:
    signer = make_signer(token)
    command = [sys.executable, "-m", "actod", "signer", "--config", str(signer.config_file), "--parent", "1"]
    done = subprocess.run(command, env=signer.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (1, "actod signer: parent_gone\n")


def test_it_ends_in_order_when_it_is_told_to_and_leaves_the_log_quiet(signer: Signer) -> None:
    assert signer.reason() == ""
    assert signer.end() == 0
    assert "Traceback" not in signer.log_file.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_hanging_token_does_not_keep_it_from_ending(
    token: SoftToken, make_signer: Callable[..., Signer], spy: Spy, number: signal.Signals
) -> None:
    signer = make_signer(token, spy=spy)
    signer.start()
    assert signer.reason() == ""
    spy.on("hang")
    with signer.connected() as sock:
        sock.sendall(wire.pack(wire.SIGN_BUNDLE, b"0" * 64))
        wait_for(lambda: float(signer.ask(wire.PING)[1]) > 0.05, what="a call that does not come back")
        assert signer.process is not None
        signer.process.send_signal(number)
        assert signer.process.wait(10) == 0


def test_it_loads_no_network_client_and_nothing_that_only_command_lines_need(
    token: SoftToken, make_signer: Callable[..., Signer]
) -> None:
    signer = make_signer(token)
    signer.environment["PYTHONPROFILEIMPORTTIME"] = "1"  # names each module on stderr as it is loaded
    signer.start()
    assert signer.reason() == ""
    assert signer.process is not None
    maps = Path(f"/proc/{signer.process.pid}/maps").read_text()
    loaded = {line.rpartition("|")[2].strip() for line in signer.log_file.read_text().splitlines() if "import time:" in line}
    assert "libsofthsm2" in maps
    assert {"actod.keys.process", "pkcs11", "nacl", "structlog.dev"} <= loaded
    networks = {"httpx", "httpcore", "h11", "paho", "http", "sqlite3", "anyio"}
    # what was kept out is named once, by the attempt to load it
    unused = {"rich", "click", "pygments", "typer", "cryptography", "psutil"} | {"actod.daemon", "actod.submit"}
    assert {name for name in loaded if name.partition(".")[0] in networks} == set()
    assert {name for name in loaded for word in unused if name.startswith(word + ".")} == set()
    assert [name for name in ("cryptography", "psutil", "_sqlite3") if name in maps] == []
