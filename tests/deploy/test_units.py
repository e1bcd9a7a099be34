"""The shipped units: what systemd itself says of their sandbox and of their text."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from actod.cli.checks.unit import SANDBOX
from hil.rig import ROOT

UNITS = ROOT / "deploy" / "systemd"
MOST_EXPOSED = {"actod.service": 15, "actod-signer.service": 20}  # tenths, as systemd-analyze counts
MAINTENANCE, ROUNDS = "actod-maintenance@.service", ("weekly", "monthly", "quarterly")
RULES = (ROOT / "deploy" / "debian" / "template" / "rules").read_text(encoding="utf-8")
_RUNNING = "/usr/lib/systemd/system"


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing: apt-get install systemd")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a machine's root with our units, the targets that every unit hangs on, and what they start."""
    system = tmp_path / "usr/lib/systemd/system"
    system.mkdir(parents=True)
    for unit in UNITS.iterdir():
        if unit.suffix in {".service", ".timer"}:
            shutil.copy(unit, system)
    for unit in ("sysinit.target", "basic.target", "shutdown.target", "multi-user.target", "timers.target"):
        shutil.copy(Path(_RUNNING) / unit, system)
    program = tmp_path / "usr/bin/actod"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(("unit", "most"), (MOST_EXPOSED | {MAINTENANCE: 15}).items())
def test_the_sandbox_is_as_tight_as_promised(unit: str, most: int) -> None:
    done = analyze("security", "--offline=true", f"--threshold={most}", "--no-pager", UNITS / unit)
    assert done.returncode == 0, done.stdout[-200:]
    assert done.stderr == ""


def test_systemd_understands_every_line(root: Path) -> None:
    units = [unit.name for unit in sorted(UNITS.iterdir()) if unit.suffix in {".service", ".timer"}]
    done = analyze("verify", "--man=no", f"--root={root}", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_that_test_sees_a_line_that_systemd_does_not_know(root: Path) -> None:
    unit = root / "usr/lib/systemd/system/actod.service"
    unit.write_text(unit.read_text(encoding="utf-8") + "[Service]\nRestrtSec=1\n", encoding="utf-8")
    assert "RestrtSec" in analyze("verify", "--man=no", f"--root={root}", "actod.service").stderr


@pytest.mark.parametrize("unit", MOST_EXPOSED)
def test_a_unit_never_gives_up_but_on_a_configuration_that_is_refused_and_leaves_no_memory_on_disk(unit: str) -> None:
    lines = set((UNITS / unit).read_text(encoding="utf-8").splitlines())
    wanted = "Type=notify Restart=always StartLimitIntervalSec=0 RestartPreventExitStatus=78 LimitCORE=0 MemorySwapMax=0"
    assert set(wanted.split()) <= lines
    assert [line for line in lines if line.startswith("WatchdogSec=")]


def test_the_two_units_share_neither_user_nor_state_and_only_the_signer_has_the_token() -> None:
    daemon, signer = ((UNITS / unit).read_text(encoding="utf-8") for unit in MOST_EXPOSED)
    users = [re.findall(r"^User=(.+)$", text, re.MULTILINE) for text in (daemon, signer)]
    assert users == [["actod"], ["actod-signer"]]
    assert re.findall(r"^(?:DeviceAllow|LoadCredentialEncrypted)=", daemon, re.MULTILINE) == []
    assert re.findall(r"^DeviceAllow=(.+)$", signer, re.MULTILINE) == ["/dev/tpmrm0 rw"]
    assert "PrivateNetwork=yes" in signer
    assert "-/var/lib/actod " in signer


@pytest.mark.parametrize("unit", MOST_EXPOSED)
def test_actod_check_looks_at_each_line_of_the_sandbox_that_names_no_place(unit: str) -> None:
    text = (UNITS / unit).read_text(encoding="utf-8").partition("# -- the sandbox --")[2].partition("[Install]")[0]
    keys = set(re.findall(r"^([A-Za-z]+)=", text, re.MULTILINE))
    of_places = {"DeviceAllow", "ExecPaths", "InaccessiblePaths", "ReadWritePaths", "SystemCallErrorNumber"}
    lists = {"RestrictAddressFamilies", "SocketBindAllow", "SystemCallFilter"}
    assert keys - of_places - lists <= set(SANDBOX[unit])


def test_the_signers_unit_looks_where_provision_puts_token_and_pin() -> None:
    unit = (UNITS / "actod-signer.service").read_text(encoding="utf-8")
    steps = (ROOT / "deploy" / "tpm" / "steps.py").read_text(encoding="utf-8")
    (store,) = re.findall(r'^STORE = "/var/lib/([^"]+)"', steps, re.MULTILINE)
    (folder,) = re.findall(r'^SECRETS, ENCRYPTED = "[^"]+", "([^"]+)"', steps, re.MULTILINE)
    assert f"\nStateDirectory={store}\n" in unit
    assert f"TPM2_PKCS11_STORE=/var/lib/{store} " in unit
    assert f"\nLoadCredentialEncrypted=token-pin:{folder}/actod.token-pin\n" in unit


def test_each_round_of_maintenance_has_a_timer_that_makes_up_for_what_was_missed() -> None:
    service = (UNITS / MAINTENANCE).read_text(encoding="utf-8")
    assert "\nExecStart=/usr/bin/actod maintenance %i\n" in service
    assert "\nPrivateNetwork=yes\n" in service
    assert "LoadCredential" not in service
    for kind in ROUNDS:
        lines = (UNITS / f"actod-maintenance-{kind}.timer").read_text(encoding="utf-8").splitlines()
        wanted = f"OnCalendar={kind} Persistent=true Unit=actod-maintenance@{kind}.service WantedBy=timers.target"
        assert set(wanted.split()) <= set(lines)
        assert [line for line in lines if line.startswith("RandomizedDelaySec=")]
        assert f"--name=actod-maintenance-{kind}\n" in RULES, "the package enables it"


def test_maintenance_has_the_daemons_sandbox_and_less() -> None:
    daemon, service = (
        set((UNITS / unit).read_text(encoding="utf-8").splitlines()) for unit in ("actod.service", MAINTENANCE)
    )
    sandbox = {
        line
        for line in daemon
        if re.match(
            r"(Private|Protect|Restrict|Lock|Memory(Deny|Swap)|NoNew|Capab|Amb|Device|Keyring|NoExec|System|UMask)", line
        )
    }
    looser = sandbox - service
    assert looser == {"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"}
    assert "RestrictAddressFamilies=AF_UNIX" in service
