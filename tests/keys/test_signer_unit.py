"""The signer as a unit of its own: another user's daemon is answered, nobody else; a call that hangs is not called life."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actod.keys import wire
from hil.parts.manager import Manager
from hil.parts.softhsm import SoftToken
from hil.rig import ROOT, wait_for
from tests.keys.parts import Signer, Spy

WATCHDOG_SECONDS = 0.4
DAEMON, STRANGER = "nobody", "daemon"  # two users that every Debian has
ASK = """
import asyncio, os, pwd, sys
from pathlib import Path
from actod.keys.client import SignerClient
os.setgroups([])
os.setresuid(*[pwd.getpwnam(sys.argv[2]).pw_uid] * 3)  # only now: the interpreter may lie where he cannot read
print(asyncio.run(SignerClient(Path(sys.argv[1]), timeout_seconds=10).public_keys()).kind)
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with contextlib.closing(Manager(tmp_path, watchdog_seconds=WATCHDOG_SECONDS)) as made:
        yield made


def alive(said: dict[str, str]) -> bool:
    return said == {"WATCHDOG": "1"}


def ask(socket: Path, user: str) -> subprocess.CompletedProcess[str]:
    """Ask for the public keys as another user, who is in the socket's group as the daemon is by its unit."""
    return subprocess.run(
        [sys.executable, "-c", ASK, str(socket), user],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_the_daemons_user_is_answered_and_no_other_and_the_daemons_state_is_not_needed(
    token: SoftToken, make_signer: Callable[..., Signer], manager: Manager, tmp_path: Path, open_folder: Path
) -> None:
    run = open_folder / "unit"
    run.mkdir(mode=0o755)
    signer = make_signer(token, settings=f'[signer]\nsocket = "{run}/signer.sock"\ndaemon_user = "{DAEMON}"\n')
    signer.socket = run / "signer.sock"
    signer.environment |= manager.environment
    signer.start()
    manager.hears(lambda said: said == {"READY": "1", "STATUS": "listening"})
    manager.hears(alive)
    assert signer.socket.stat().st_mode & 0o777 == 0o660
    mine, strange = ask(signer.socket, DAEMON), ask(signer.socket, STRANGER)
    assert (mine.stdout.strip(), mine.stderr) == ("software", "")
    assert strange.returncode != 0
    assert "A process of another user was refused" in signer.log_file.read_text()
    assert not (tmp_path / "state").exists()
    assert signer.process is not None
    signer.process.send_signal(signal.SIGTERM)
    assert signer.process.wait(10) == 0


def test_a_daemons_user_who_is_not_there_is_refused_by_name(token: SoftToken, make_signer: Callable[..., Signer]) -> None:
    signer = make_signer(token, settings='[signer]\ndaemon_user = "no-such-user"\n')
    done = subprocess.run(
        [sys.executable, "-m", "actod", "signer", "--config", str(signer.config_file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=signer.environment,
        cwd=ROOT,
    )
    assert done.returncode == 78
    assert f"{signer.config_file}: signer.daemon_user: expected a user of this machine" in done.stderr


def test_a_call_to_the_token_that_hangs_keeps_the_sign_of_life_back(
    token: SoftToken, make_signer: Callable[..., Signer], spy: Spy, manager: Manager
) -> None:
    signer = make_signer(token, spy=spy, settings="[signer]\ntimeout_seconds = 0.5\n")
    signer.environment |= manager.environment
    signer.start()
    assert signer.reason() == ""
    manager.hears(alive)
    spy.on("hang")
    with signer.connected() as sock:
        sock.sendall(wire.pack(wire.SIGN_BUNDLE, b"0" * 64))
        wait_for(lambda: "makes no progress" in signer.log_file.read_text(), what="the watchdog's complaint")
        manager.forget()
        with pytest.raises(TimeoutError):
            manager.hears(alive, seconds=3 * WATCHDOG_SECONDS)
        spy.off("hang")
        manager.hears(alive)
