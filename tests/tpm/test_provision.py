"""deploy/tpm: a token, a PIN that nobody knows, a key and a report, on SoftHSM and on a TPM; and its reverse."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actod.proof.trust import read as read_trust
from hil.parts.swtpm import Gate, Swtpm
from hil.rig import ROOT

PROGRAMS = ROOT / "deploy" / "tpm"
STORE = "/var/lib/actod-token"


class Machine:
    """A folder that stands for the robot, and how its token is reached."""

    def __init__(self, root: Path, kind: str, *options: str) -> None:
        self.root, self.kind, self.options = root, kind, options
        root.mkdir()

    def run(
        self, name: str, *more: str, actod: str = f"{sys.executable} -m actod", trace: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        tracer = ["strace", "-f", "-v", "-s", "1000000", "-e", "trace=execve", "-o", str(trace)] if trace else []
        command = [sys.executable, str(PROGRAMS / name), self.kind, *self.options, "--actod", actod, *more]
        environment = dict(os.environ) | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "TSS2_LOG": "all+NONE"}
        return subprocess.run(
            [*tracer, *command, "--root", str(self.root), "--user", getpass.getuser()],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Return mode and content of everything, the token's own files left out: reading may touch them."""
        found = {str(path.relative_to(self.root)): path for path in self.root.rglob("*")}
        kept = {name: path for name, path in found.items() if not name.startswith(f"{STORE[1:]}/")}
        return {name: (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for name, path in kept.items()}


@pytest.fixture
def softhsm(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root", "softhsm", "--seal", "file")


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Machine]:
    """Make a machine with a TPM, whose PIN is encrypted to it: the host's own key belongs to the machine of the test."""
    chip = Swtpm(tmp_path / "tpm")
    chip.start()
    gate = Gate(chip)
    yield Machine(tmp_path / "root", "tpm", "--seal", "tpm2", "--tcti", f"swtpm:host=127.0.0.1,port={gate.port}")
    gate.close()
    chip.kill()


def words(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return what a run says of its steps: done, doing, would do."""
    assert done.returncode == 0, done.stderr
    return {line[:9].strip() for line in done.stdout.splitlines() if not line.startswith("enrol")}


def provision_twice(machine: Machine, trace: Path) -> dict[str, tuple[int, bytes]]:
    """Provision a machine; return what stands on it then."""
    assert "would do" in words(machine.run("provision", "--dry-run"))
    assert machine.files() == {}
    assert machine.run("provision", actod="false").returncode == 1  # what a run leaves that ends in the middle is completed
    limits = machine.root.with_name("limits")
    assert machine.run("provision", actod=f"sh -c 'cat /proc/self/limits > {limits}; exit 1'").returncode == 1
    assert re.search(r"^Max core file size +0 +0 ", limits.read_text(), re.MULTILINE)  # no core file with a PIN in it
    begun = {name: content for name, content in machine.files().items() if "token-" in name}
    left = machine.root / "run" / "actod-provision"  # where a run that is killed leaves the PIN
    left.mkdir(parents=True)
    (left / "pin").touch()
    assert words(machine.run("provision", trace=trace)) == {"done", "doing"}
    made = machine.files()
    assert begun
    assert begun.items() <= made.items()
    assert words(machine.run("provision")) == {"done"}
    assert machine.files() == made
    return made


def take_back(machine: Machine, made: dict[str, tuple[int, bytes]]) -> None:
    assert machine.run("unprovision").returncode == 1  # not without --destroy-keys
    assert words(machine.run("unprovision", "--dry-run")) == {"would und"}
    assert machine.files() == made
    assert machine.run("unprovision", "--destroy-keys").returncode == 0
    assert {name for name, (_, content) in machine.files().items() if content} == set()
    assert not (machine.root / STORE[1:]).exists()


def test_softhsm_is_provisioned_with_a_pin_that_nobody_saw_and_taken_back(softhsm: Machine, tmp_path: Path) -> None:
    made = provision_twice(softhsm, tmp_path / "trace")
    (key,) = read_trust([json.loads(made["etc/actod/report.json"][1])]).devices[None]
    assert key.kind == "software"
    for name in ("token-pin", "token-so-pin"):
        mode, secret = made[f"etc/actod/credentials/{name}"]
        assert (mode & 0o777, len(secret)) == (0o400, 32)
        assert secret.decode() not in (tmp_path / "trace").read_text()  # every program's arguments and environment
        assert [one for one, (_, content) in made.items() if secret in content] == [f"etc/actod/credentials/{name}"]
    assert "SOFTHSM2_CONF=" in (tmp_path / "trace").read_text()  # the environment is there, too
    assert not list((softhsm.root / "run").iterdir())
    drop_in = made["etc/systemd/system/actod-signer.service.d/token.conf"][1].decode()
    assert f"LoadCredentialEncrypted=\nLoadCredential=token-pin:{softhsm.root}/etc/actod/credentials/token-pin\n" in drop_in
    assert 'pin_file = "credential:token-pin"' in made["etc/actod/conf.d/40-token.toml"][1].decode()
    another_seal_is_refused_and_none_keeps_the_one_there_is(softhsm, made)
    take_back(softhsm, made)


def another_seal_is_refused_and_none_keeps_the_one_there_is(softhsm: Machine, made: dict[str, tuple[int, bytes]]) -> None:
    """Hold the report to the truth: tpm2, of a PIN in a plain file, would have `actod check` call a stolen card safe."""
    for asked in ("host", "tpm2"):
        softhsm.options = ("--seal", asked)
        refused = softhsm.run("provision")
        assert (refused.returncode, "is sealed to file, and stays so" in refused.stderr) == (1, True), refused.stderr
        assert softhsm.files() == made
    softhsm.options = ()
    (softhsm.root / "etc/actod/token-pin.sealed-to").unlink()  # of an older provision
    assert words(softhsm.run("provision")) == {"done"}
    (softhsm.root / "etc/actod/token-pin.sealed-to").write_text("file")


@pytest.mark.tpm
def test_a_tpm_is_provisioned_with_limits_and_a_pin_sealed_to_it_and_taken_back(tpm: Machine, tmp_path: Path) -> None:
    made = provision_twice(tpm, tmp_path / "trace")
    (key,) = read_trust([json.loads(made["etc/actod/report.json"][1])]).devices[None]
    assert (key.kind, key.p256 is None) == ("sealed", False)
    drop_in = made["etc/systemd/system/actod-signer.service.d/token.conf"][1].decode()
    assert drop_in == f"[Service]\nEnvironment=TPM2_PKCS11_TCTI={tpm.options[3]}\n"  # the rest stands in the unit
    unit = (ROOT / "deploy/systemd/actod-signer.service").read_text()
    assert "LoadCredentialEncrypted=token-pin:/etc/credstore.encrypted/actod.token-pin\n" in unit
    assert f"StateDirectory={STORE.removeprefix('/var/lib/')}\n" in unit
    assert made["etc/credstore.encrypted/actod.token-pin"][0] & 0o777 == 0o600
    limits = subprocess.run(
        ["tpm2_getcap", "-T", tpm.options[3], "properties-variable"], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"TPM2_PT_(?:MAX_AUTH_FAIL|LOCKOUT_INTERVAL|LOCKOUT_RECOVERY): (\S+)", limits) == [
        "0x1F",
        "0x258",
        "0x258",
    ]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "root", "tpm", "--seal", "file", "--tcti", "device:/dev/none")
    done = machine.run("provision", "--no-packages")
    assert done.returncode == 1
    assert "/dev/none is not there: enable the TPM" in done.stderr
    assert "Traceback" not in done.stderr
