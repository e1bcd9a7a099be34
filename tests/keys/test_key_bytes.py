"""The bytes of a sealed key stand nowhere on disk in clear: not in the token's store, logs, state or core files."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from actod.keys import wire
from hil.parts import swtpm
from hil.rig import ROOT, wait_for
from tests.keys.parts import Signer, write_pin
from tests.keys.seed import forms, found, seed_of
from tests.keys.test_tpm import PURPOSE, family, payload_of, tpm, unpacked

pytestmark = pytest.mark.tpm
__all__ = ["tpm"]


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield what a process has in memory that it can write, piece by piece."""
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, mode = line.split()[:2]
            if mode.startswith("rw"):
                start, end = (int(part, 16) for part in place.split("-"))
                memory.seek(start)
                yield memory.read(end - start)


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """Make the folder in which the processes run, and so leave their core files."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def leaving_cores(folder: Path) -> tuple[str, ...]:
    """Return a prefix: no limit on core files (where we may lift it), and a folder for them."""
    return ("sh", "-c", 'ulimit -c unlimited; cd "$0" && exec "$@"', str(folder))


def test_the_seed_stands_in_no_file_of_token_signer_and_daemon_and_in_no_core_file(
    tpm: swtpm.TpmToken,
    make_signer: Callable[..., Signer],
    crashed: Path,
    tmp_path: Path,
) -> None:
    seed = seed_of(tpm)
    signer = make_signer(tpm, settings='[log]\nlevel = "debug"\n', prefix=leaving_cores(crashed))
    signer.environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(crashed)}
    signer.start()
    (key,) = family(signer)
    assert unpacked(key["ed25519"]) == bytes(SigningKey(seed).verify_key)  # it is the seed that signs
    assert signer.ask(wire.SIGN_PURPOSE, PURPOSE)[0] == signer.ask(wire.COSIGN, payload_of(key))[0] == b"ok"
    tpm.tpm.kill()
    assert signer.ask(wire.SIGN_PURPOSE, PURPOSE) == (b"error", b"token_away")
    tpm.tpm.start()
    wait_for(lambda: signer.ask(wire.SIGN_PURPOSE, PURPOSE)[0] == b"ok", what="a signature")
    write_pin(tpm, tpm.pin)
    assert signer.process is not None
    if os.geteuid() == 0:  # root sees it in the memory, raw: what is looked for can be found
        assert any(seed in piece for piece in memory_of(signer.process.pid))
    control = subprocess.Popen([*leaving_cores(crashed), "sleep", "60"])
    wait_for(lambda: Path(f"/proc/{control.pid}/comm").read_text() == "sleep\n", what="the control process")
    for process in (control, signer.process):
        process.send_signal(signal.SIGABRT)
        process.wait(20)
    cores = [file.name for file in crashed.iterdir() if "core" in file.name]
    assert not [name for name in cores if name.endswith(str(signer.process.pid))]
    if Path("/proc/sys/kernel/core_pattern").read_text() == "core\n":
        assert len(cores) == 1  # the control's
    planted = crashed / "planted"
    planted.write_bytes(b"\0".join(forms(seed)))
    hits = found([tpm.folder, tmp_path / "state", signer.log_file, crashed], seed)
    assert hits == {("planted", form) for form in forms(seed)}
