"""Clock, disk, systemd's socket and the inventory: what the machine says of itself."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actod.errors import ConfigError
from actod.service.clock import SystemClock
from actod.service.disk import disk_of, require_lasting
from actod.service.machine import host_facts
from actod.service.notify import Notifier
from actod.service.records import inventory
from hil.rig import ROOT


def test_the_clock_reads_wall_and_boot_time_and_the_kernels_boot_id() -> None:
    clock = SystemClock()
    before, first, second = time.time_ns(), clock.now(), clock.now()
    assert before <= first.wall_ns <= second.wall_ns <= time.time_ns()
    assert first.monotonic_ns <= second.monotonic_ns <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) < first.wall_ns
    assert clock.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip() == SystemClock().boot_id()


ADJTIMEX = """
#include <stdio.h>
#include <sys/timex.h>
int main(void) {
    struct timex t = {0};
    printf("%d", adjtimex(&t) < 0 ? 2 : !(t.status & STA_UNSYNC));
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_whether_the_clock_is_synchronised_is_read_as_the_compiler_lays_it_out(tmp_path: Path) -> None:
    program = tmp_path / "adjtimex"
    subprocess.run(["gcc", "-x", "c", "-o", str(program), "-"], input=ADJTIMEX.encode(), check=True)
    said = subprocess.run([str(program)], capture_output=True, check=False).stdout
    assert SystemClock().synchronised() is {b"0": False, b"1": True, b"2": None}[said]


def notified(address: str, bound: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(bound)
        manager.settimeout(5)
        Notifier(address=address).send(READY="1", STATUS="collecting")
        return manager.recv(1000)


def test_systemd_gets_one_datagram_on_a_path_or_an_abstract_name(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    assert notified(path, path) == b"READY=1\nSTATUS=collecting"
    name = f"actod-test-{os.getpid()}"
    assert notified(f"@{name}", f"\0{name}") == b"READY=1\nSTATUS=collecting"


def test_a_manager_that_is_away_or_does_not_read_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Notifier(address=str(tmp_path / "none")).send(READY="1")
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().send(READY="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "deaf"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "deaf"))
        notifier = Notifier()
        for _ in range(1000):  # far more than any queue of datagrams holds
            notifier.send(WATCHDOG="1")
        assert manager.recv(100) == b"WATCHDOG=1"


def test_the_inventory_names_versions_and_starts_without_one() -> None:
    named = inventory()
    assert named["orjson"] == importlib.metadata.version("orjson")
    assert {"actod", "python", "kernel", "machine", "paho-mqtt", "python-pkcs11"} <= set(named)
    program = "import sys; from actod.service.records import inventory; sys.path.clear(); print(inventory()['orjson'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"unknown\n"


MOUNTS = """22 1 8:1 / / rw - ext4 /dev/none rw
23 22 0:21 / /run rw - tmpfs tmpfs rw
24 22 8:2 / {folder} rw shared:1 - xfs /dev/none2 rw
25 22 0:30 / {folder}/with\\040space rw - nfs server:/export rw
"""


def test_the_disk_under_a_folder_is_that_of_the_longest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(folder=tmp_path))
    (tmp_path / "with space" / "state").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    empty = tmp_path / "devices"
    assert disk_of(tmp_path / "with space" / "state", mounts=mounts, devices=empty).kind == "nfs"
    assert disk_of(tmp_path / "plain", mounts=mounts, devices=empty).kind == "xfs"
    assert disk_of(Path("/etc"), mounts=mounts, devices=empty).kind == "ext4"
    assert disk_of(Path("/run"), mounts=mounts, devices=empty).volatile
    assert not disk_of(tmp_path / "plain", mounts=mounts, devices=empty).volatile
    assert disk_of(tmp_path / "plain", mounts=mounts, devices=empty).encrypted is None


def mounted(folder: Path, *arguments: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *arguments, folder], check=False, capture_output=True)
    if done.returncode:
        if "CI" in os.environ:
            pytest.fail("mounting needs root")
        pytest.skip("mounting needs root")


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for point in ("merged", "memory"):
        subprocess.run(["umount", "-l", tmp_path / point], check=False, capture_output=True)


def test_a_folder_that_a_power_cut_empties_is_refused_by_name_in_prod_unless_it_is_asked_for(mounts: Path) -> None:
    memory = mounts / "memory"
    mounted(memory, "-t", "tmpfs", "tmpfs")
    for name in ("lower", "upper", "work"):
        (memory / name).mkdir()
    layers = f"lowerdir={memory}/lower,upperdir={memory}/upper,workdir={memory}/work"
    mounted(mounts / "merged", "-t", "overlay", "-o", layers, "overlay")
    for folder, kind in ((memory, "tmpfs"), (mounts / "merged", "overlay")):
        with pytest.raises(ConfigError, match=f"on {kind}") as refused:
            require_lasting(folder, environment="prod", allowed=False)
        assert "allow_volatile" in refused.value.fix
        require_lasting(folder, environment="prod", allowed=True)
        require_lasting(folder, environment="dev", allowed=False)


def test_a_disk_that_is_read_only_or_has_no_inodes_is_named(mounts: Path) -> None:
    memory = mounts / "memory"
    mounted(memory, "-t", "tmpfs", "-o", "nr_inodes=3", "tmpfs")
    assert (disk_of(memory).inodes, disk_of(memory).read_only) == (2, False)  # of three one is the folder itself
    subprocess.run(["mount", "-o", "remount,ro", memory], check=True)
    assert disk_of(memory).read_only


@pytest.mark.parametrize(
    ("layers", "encrypted"),
    [
        ([""], False),
        (["CRYPT-LUKS2-0f-root"], True),
        (["LVM-x", "CRYPT-LUKS2-0f-pv"], True),
        (["LVM-x", ""], False),
        (["LVM-x", "LVM-y", "CRYPT-PLAIN-z"], True),
    ],
)
def test_a_disk_is_encrypted_if_dm_crypt_lies_anywhere_below(tmp_path: Path, layers: list[str], encrypted: bool) -> None:
    number = tmp_path.stat().st_dev
    at = tmp_path / "devices" / f"{os.major(number)}:{os.minor(number)}"
    for index, uuid in enumerate(layers):
        at.mkdir(parents=True)
        if uuid:
            (at / "dm").mkdir()
            (at / "dm" / "uuid").write_text(uuid + "\n")
        at = at / "slaves" / f"below{index}"
    mounts = tmp_path / "mounts"
    mounts.write_text("22 1 8:1 / / rw - ext4 none rw\n")
    assert disk_of(tmp_path, mounts=mounts, devices=tmp_path / "devices").encrypted is encrypted


def test_one_open_disk_below_makes_the_whole_open(tmp_path: Path) -> None:
    number = tmp_path.stat().st_dev
    device = tmp_path / "devices" / f"{os.major(number)}:{os.minor(number)}"
    for name, uuid in (("a", "CRYPT-LUKS2-a"), ("b", "")):
        (device / "slaves" / name / "dm").mkdir(parents=True)
        (device / "slaves" / name / "dm" / "uuid").write_text(uuid)
    (tmp_path / "mounts").write_text("22 1 8:1 / / rw - ext4 none rw\n")
    assert disk_of(tmp_path, mounts=tmp_path / "mounts", devices=tmp_path / "devices").encrypted is False


def host(root: Path, *, machine: str, board: str, card: str, folder: Path) -> dict[str, str]:
    """Lay out what a kernel shows of a board, with an encrypted partition of a card under `folder`; return its facts."""
    number = folder.stat().st_dev
    crypt = root / "sys/devices/virtual/block/dm-0"
    disk = root / "sys/devices/platform/mmc/block/mmcblk0"
    part = disk / "mmcblk0p2"
    for made in (crypt / "slaves", disk / "device", part, root / "sys/dev/block", root / "etc", root / "sys/block"):
        made.mkdir(parents=True, exist_ok=True)
    (root / "etc/machine-id").write_text(machine + "\n")
    tree = root / "sys/firmware/devicetree/base"
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "serial-number").write_text(board + "\0")
    (part / "partition").write_text("2\n")
    (disk / "device/cid").write_text(card + "\n")
    for link, target in (
        (crypt / "slaves/mmcblk0p2", part),
        (root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}", crypt),
    ):
        if not link.is_symlink():
            link.symlink_to(target)
    return host_facts(folder, root=root)


def test_a_board_a_card_and_an_image_are_told_apart_below_luks_and_partitions(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    facts = host(tmp_path / "1", machine="m" * 32, board="b00c", card="1b534d", folder=tmp_path / "state")
    assert set(facts) == {"machine", "board", "medium"}
    cloned = host(tmp_path / "2", machine="m" * 32, board="b00c", card="1b534e", folder=tmp_path / "state")
    assert {name for name in facts if cloned[name] != facts[name]} == {"medium"}
    moved = host(tmp_path / "3", machine="m" * 32, board="b00d", card="1b534d", folder=tmp_path / "state")
    assert {name for name in facts if moved[name] != facts[name]} == {"board"}
    assert "b00c" not in str(facts)
    assert "board" not in host(tmp_path / "4", machine="m", board="0000", card="1", folder=tmp_path / "state")
    assert host_facts(tmp_path / "state", root=tmp_path / "nothing") == {}
